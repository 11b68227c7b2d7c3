"""What a tool gave, as Google has it: `functionResponse.response` is an object, all others have text.

"Use `output` key to specify function output and `error` key to specify error details (if any). If `output` and `error`
keys are not specified, then whole `response` is treated as function output." So text goes in as `{"output": text}`.
Only text that is exactly what this module makes of an object becomes that object again: numbers in a protobuf Struct
are doubles, and an `id` of twenty digits must not come out of a translation changed. An object with a `$ref` stays
text, too: Google takes it for a reference of its own and refuses the call (vercel/ai#14369).

Source: https://ai.google.dev/api/caching#FunctionResponse
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects.gemini.protojson import json_text
from gateway.dialects.names import Json

_EXACT = 1 << 53
"""Whole numbers up to here are the same as a double."""


def read_response(response: Json, path: str) -> tuple[str, bool | None]:
    """The text of a `response`, and whether it is an error."""
    if len(response) == 1:
        for name, is_error in (("output", None), ("error", True)):
            if name in response:
                value = response[name]
                return (value if isinstance(value, str) else json_text(value, path)), is_error
    return json_text(response, path), None


def write_response(text: str, is_error: bool | None) -> Json:
    """The `response` of a result."""
    if is_error:
        return {"error": text}
    own = _own_object(text)
    return {"output": text} if own is None else own


def _own_object(text: str) -> Json | None:
    if not text.startswith("{"):
        return None
    try:
        value = jsonlib.loads(text)
        if jsonlib.dumps(value).decode("utf-8", "surrogatepass") != text:
            return None
    except (TypeError, ValueError, RecursionError):
        return None
    wrapped = len(value) == 1 and value.keys() <= {"output", "error"}
    return None if wrapped or not _survives(value) else value


def _survives(value: object) -> bool:
    """Whether a protobuf Struct gives a value back as it was. As deep as `jsonlib` writes: some 250 levels."""
    if isinstance(value, dict):
        return "$ref" not in value and all(map(_survives, value.values()))
    if isinstance(value, list):
        return all(map(_survives, value))
    return not isinstance(value, int) or abs(value) <= _EXACT
