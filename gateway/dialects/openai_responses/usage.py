"""Usage of the Responses API: `usage` of an answer, `response.usage` of a stream's last event.

The arithmetic is that of the Chat Completions dialect; only the names differ.
Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from gateway.dialects.names import Json
from gateway.dialects.openai_chat.usage import disjoint_usage
from gateway.usage import Usage


def read_usage(obj: object) -> Usage | None:
    """Usage of an answer or of one stream payload; `None` if there is none."""
    if not isinstance(obj, dict):
        return None
    response = obj.get("response")
    return disjoint_usage((response if isinstance(response, dict) else obj).get("usage"))


def write_usage(usage: Usage) -> Json:
    """The value of `usage`. Details are part of their whole, and both are there even where nobody said them: clients
    have no other way to read it."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read or 0,
            "cache_write_tokens": (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0),
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.input + usage.output,
    }
