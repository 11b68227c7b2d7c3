"""Errors in OpenAI's shape: our own, those that providers hide in a 200, and those of other dialects.

Source: https://platform.openai.com/docs/guides/error-codes, and each provider's page on errors
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway import jsonlib
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.names import Json
from gateway.errors import RequestError
from gateway.policy.facts import ErrorFacts, read_facts, status_inside


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


# --- between dialects ------------------------------------------------------------------------------------------------

_K = FailureKind

_OF_WORD: Mapping[str, FailureKind] = {
    "context_length_exceeded": _K.CONTEXT_LENGTH,
    "exceed_context_size_error": _K.CONTEXT_LENGTH,  # llama.cpp
    "too_many_prompt_tokens": _K.CONTEXT_LENGTH,  # Perplexity
    "string_above_max_length": _K.INVALID_REQUEST,
    "content_filter": _K.CONTENT_FILTER,
    "content_policy_violation": _K.CONTENT_FILTER,
    "flagged_input": _K.CONTENT_FILTER,  # OpenRouter
    "invalid_api_key": _K.AUTHENTICATION,
    "authentication_error": _K.AUTHENTICATION,
    "permission_error": _K.PERMISSION,
    "insufficient_quota": _K.QUOTA,
    "billing_hard_limit_reached": _K.BILLING,
    "billing_not_active": _K.BILLING,
    "model_not_found": _K.NOT_FOUND,
    "DeploymentNotFound": _K.NOT_FOUND,
    "request_too_large": _K.TOO_LARGE,
    "rate_limit_exceeded": _K.RATE_LIMIT,
    "rate_limited": _K.RATE_LIMIT,
    "RateLimitReached": _K.RATE_LIMIT,
    "overloaded_error": _K.OVERLOADED,
}
"""By `code`, `type` or a reason beside them; what only repeats the status stands in the next table."""

_OF_STATUS: Mapping[int, FailureKind] = {
    401: _K.AUTHENTICATION,
    402: _K.BILLING,
    403: _K.PERMISSION,
    404: _K.NOT_FOUND,
    408: _K.TIMEOUT,
    409: _K.CONFLICT,
    413: _K.TOO_LARGE,
    429: _K.RATE_LIMIT,
    498: _K.OVERLOADED,  # Groq's flex capacity
    503: _K.OVERLOADED,
    504: _K.TIMEOUT,
    529: _K.OVERLOADED,
}

_OF_TEXT: tuple[tuple[re.Pattern[str], FailureKind], ...] = (
    (
        re.compile(
            r"maximum (context|prompt) length|context (length|window|size)|too many tokens|prompt is too long", re.I
        ),
        _K.CONTEXT_LENGTH,
    ),
    (re.compile(r"credit balance|insufficient (balance|credits?|funds)|add (more )?credits", re.I), _K.BILLING),
    (re.compile(r"(incorrect|invalid) api key", re.I), _K.AUTHENTICATION),  # xAI says so in a 400
)
"""For 400, 402, 413, 422 and what came inside a 200: vendors that have no code for it say it in words."""

_TYPES: Mapping[FailureKind, tuple[str, str | None]] = {
    _K.INVALID_REQUEST: ("invalid_request_error", None),
    _K.CONTEXT_LENGTH: ("invalid_request_error", "context_length_exceeded"),
    _K.CONTENT_FILTER: ("invalid_request_error", "content_filter"),
    _K.AUTHENTICATION: ("authentication_error", "invalid_api_key"),
    _K.PERMISSION: ("permission_error", None),
    _K.BILLING: ("insufficient_quota", "insufficient_quota"),
    _K.NOT_FOUND: ("invalid_request_error", None),
    _K.CONFLICT: ("invalid_request_error", None),
    _K.TOO_LARGE: ("invalid_request_error", "request_too_large"),
    _K.RATE_LIMIT: ("rate_limit_error", "rate_limit_exceeded"),
    _K.QUOTA: ("insufficient_quota", "insufficient_quota"),
    _K.OVERLOADED: ("server_error", "overloaded"),
    _K.TIMEOUT: ("timeout_error", "timeout"),
    _K.SERVER: ("server_error", None),
}
"""`type`, and the `code` where there is none that clients know. Clients look for `context_length_exceeded` by name."""


def read_failure(status: int, body: object) -> Failure:
    """What an error answer of this dialect says, or with status 0 what an error event does. `body` is decoded JSON, or
    text. Never raises."""
    text = body if isinstance(body, str) else ""
    facts = read_facts(status or status_inside(body), body, text, "")
    kind = _kind(facts)
    message = "" if facts.html else facts.message
    code = facts.code or facts.type
    return Failure(status, kind, message or f"the provider failed ({facts.status})", code, _param(body))


def write_failure(failure: Failure) -> Json:
    """`{"error": {"message", "type", "param", "code"}}`."""
    kind, code = _TYPES[failure.kind]
    if failure.kind is not FailureKind.CONTEXT_LENGTH:
        code = failure.code or code
    return {"error": {"message": failure.message, "type": kind, "param": failure.param or None, "code": code}}


def _kind(facts: ErrorFacts) -> FailureKind:
    for word in (facts.code, facts.type, *sorted(facts.reasons)):
        if word in _OF_WORD:
            return _OF_WORD[word]
    if facts.status in (400, 402, 413, 422, 500):
        for pattern, kind in _OF_TEXT:
            if pattern.search(facts.message):
                return kind
    if facts.status in _OF_STATUS:
        return _OF_STATUS[facts.status]
    return FailureKind.INVALID_REQUEST if 400 <= facts.status < 500 else FailureKind.SERVER


def _param(body: object) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else ""
