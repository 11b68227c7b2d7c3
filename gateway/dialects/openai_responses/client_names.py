"""What the Responses API calls what a neutral request has.
Source: https://platform.openai.com/docs/api-reference/responses/create"""

from __future__ import annotations

from gateway.dialects.client_names import ClientNames

CLIENT_NAMES = ClientNames(
    fields={
        "messages": ("input",),
        "sampling": ("",),
        "sampling.logprobs": ("include",),
        "max_tokens": ("max_output_tokens",),
        "response_format": ("text.format",),
        "verbosity": ("text.verbosity",),
        "reasoning.summary": ("reasoning.summary", "reasoning.generate_summary"),
        "cache_key": ("prompt_cache_key",),
        "cache_retention": ("prompt_cache_retention",),
    },
    inside={
        "cache": ("prompt_cache_breakpoint",),
        "citations": ("annotations",),
        "name": ("filename",),
        "grammar": ("format",),
    },
)
