"""Errors in OpenAI's shape: our own, and those that providers hide in a 200.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from typing import Any

from gateway import jsonlib
from gateway.errors import RequestError


def error_object(err: RequestError) -> dict[str, Any]:
    """The value of `error` in OpenAI's shape."""
    return {"message": err.message, "type": err.kind, "param": err.param, "code": err.code, **(err.extra or {})}


def error_body(err: RequestError) -> bytes:
    """The body of an error answer: `{"error": {"message", "type", "param", "code", …}}`."""
    return jsonlib.dumps({"error": error_object(err)})


def carries_error(obj: object) -> bool:
    """Whether a body is an error whatever its status says: a top-level `error` that is an object or a text
    (Azure, OpenRouter, xAI), or vLLM's flat `{"object": "error", …}`. `"error": null` is none."""
    if not isinstance(obj, dict):
        return False
    error = obj.get("error")
    return (bool(error) and isinstance(error, dict | str)) or obj.get("object") == "error"


def empty_answer(obj: object) -> bool:
    """Whether the 200 of a chat or completions call answers nothing: an error, or no choices."""
    return carries_error(obj) or not (isinstance(obj, dict) and obj.get("choices"))
