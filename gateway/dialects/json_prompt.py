"""How a model without a response format of its own is asked for JSON."""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects.conversation import ResponseFormat

_JSON_ONLY = "Answer with one JSON object and nothing else: no text around it and no code fence."


def ask_for_json(wanted: ResponseFormat) -> str:
    """A sentence for the instructions. `wanted` is no plain text."""
    if not wanted.schema:
        return _JSON_ONLY
    return f"{_JSON_ONLY} It must match this JSON Schema: {jsonlib.dumps(wanted.schema).decode()}"
