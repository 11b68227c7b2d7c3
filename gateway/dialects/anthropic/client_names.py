"""What Messages calls what a neutral request has. Source: https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

from gateway.dialects.client_names import ClientNames

CLIENT_NAMES = ClientNames(
    fields={
        "sampling": ("",),
        "stop": ("stop_sequences",),
        "parallel_tool_calls": ("tool_choice.disable_parallel_tool_use",),
        "response_format": ("output_config.format", "output_format"),
        "reasoning": ("thinking", "output_config.effort"),
        "reasoning.effort": ("output_config.effort", "thinking"),
        "reasoning.budget": ("thinking.budget_tokens",),
        "user": ("metadata.user_id",),
    },
    inside={
        "cache": ("cache_control",),
        "arguments": ("input",),
        "call_id": ("tool_use_id",),
        "name": ("title",),
        "parameters": ("input_schema",),
    },
)
