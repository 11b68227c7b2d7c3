"""Usage of the Responses API: `usage` of an answer, `response.usage` of a stream's last event.

The arithmetic is that of the Chat Completions dialect; only the names differ.
Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from gateway.dialects.openai_chat.usage import disjoint_usage
from gateway.usage import Usage


def read_usage(obj: object) -> Usage | None:
    """Usage of an answer or of one stream payload; `None` if there is none."""
    if not isinstance(obj, dict):
        return None
    response = obj.get("response")
    return disjoint_usage((response if isinstance(response, dict) else obj).get("usage"))
