"""What Chat Completions calls what a neutral request has.
Source: https://platform.openai.com/docs/api-reference/chat/create, and the fields of others that `request_reader.py`
reads."""

from __future__ import annotations

from gateway.dialects.client_names import ClientNames

CLIENT_NAMES = ClientNames(
    fields={
        "sampling": ("",),
        "max_tokens": ("max_completion_tokens", "max_tokens"),
        "tool_choice": ("tool_choice", "function_call"),
        "response_format.schema": ("response_format.json_schema.schema", "response_format.schema"),
        "response_format.description": ("response_format.json_schema.description",),
        "reasoning": ("reasoning_effort", "reasoning", "thinking"),
        "reasoning.effort": ("reasoning_effort", "reasoning.effort", "thinking", "reasoning"),
        "reasoning.budget": ("reasoning.max_tokens", "thinking.budget_tokens"),
        "cache_key": ("prompt_cache_key",),
        "cache_retention": ("prompt_cache_retention",),
    },
    inside={
        "cache": ("cache_control", "prompt_cache_breakpoint"),
        "detail": ("image_url.detail",),
        "name": ("name", "file.filename", "document_name"),
        "arguments": ("function.arguments", "custom.input", "arguments"),
        "call_id": ("tool_call_id",),
        "parameters": ("function.parameters", "parameters"),
        "strict": ("function.strict", "strict"),
        "grammar": ("custom.format",),
    },
)
