"""Errors in Anthropic's shape: our own, the provider's, and those inside streams.

    {"type": "error", "error": {"type": "invalid_request_error", "message": "…", "details": {"error_code": "…"}}}

`details.error_code` is where Anthropic's SDKs look for a stable code, so ours stands there.
Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

import re
from typing import Any

from gateway import jsonlib
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.names import Json
from gateway.errors import RequestError

MESSAGE_LIMIT = 1000
"""Characters of a body that is no JSON which are told to the client: enough for a proxy's sentence."""

_TYPE_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_KIND_OF_TYPE = {
    "invalid_request_error": FailureKind.INVALID_REQUEST,
    "authentication_error": FailureKind.AUTHENTICATION,
    "billing_error": FailureKind.BILLING,
    "permission_error": FailureKind.PERMISSION,
    "not_found_error": FailureKind.NOT_FOUND,
    "conflict_error": FailureKind.CONFLICT,
    "request_too_large": FailureKind.TOO_LARGE,
    "rate_limit_error": FailureKind.RATE_LIMIT,
    "overloaded_error": FailureKind.OVERLOADED,
    "timeout_error": FailureKind.TIMEOUT,
    "api_error": FailureKind.SERVER,
}

_TYPE_OF_KIND = {
    FailureKind.INVALID_REQUEST: "invalid_request_error",
    FailureKind.CONTEXT_LENGTH: "invalid_request_error",
    FailureKind.CONTENT_FILTER: "invalid_request_error",
    FailureKind.AUTHENTICATION: "authentication_error",
    FailureKind.PERMISSION: "permission_error",
    FailureKind.BILLING: "billing_error",
    FailureKind.NOT_FOUND: "not_found_error",
    FailureKind.CONFLICT: "conflict_error",
    FailureKind.TOO_LARGE: "request_too_large",
    FailureKind.RATE_LIMIT: "rate_limit_error",
    FailureKind.QUOTA: "rate_limit_error",
    FailureKind.OVERLOADED: "overloaded_error",
    FailureKind.TIMEOUT: "timeout_error",
    FailureKind.SERVER: "api_error",
}

TOO_LONG = "prompt is too long"
"""How Anthropic's message begins when the context is full: clients (Claude Code) then shorten their history."""

_BY_MESSAGE: tuple[tuple[re.Pattern[str], FailureKind], ...] = (
    (re.compile(rf"{TOO_LONG}|exceed(s|ed)? (the )?context (limit|window)", re.I), FailureKind.CONTEXT_LENGTH),
    (re.compile(r"credit balance is too low", re.I), FailureKind.BILLING),
    (re.compile(r"reached your specified (workspace )?API usage limits", re.I), FailureKind.QUOTA),
    (re.compile(r"blocked by content filtering", re.I), FailureKind.CONTENT_FILTER),
)
"""What Anthropic says with a type that is as general as the status."""

_FIELD = re.compile(r"^(?P<field>[a-z_]+(?:\.\w+)*): ")


def error_body(err: RequestError) -> bytes:
    """The body of an error answer of ours."""
    kind = _TYPE_OF_STATUS.get(err.status, "api_error" if err.status >= 500 else "invalid_request_error")
    details = {"error_code": err.code, **({"param": err.param} if err.param else {}), **(err.extra or {})}
    return jsonlib.dumps(_envelope(kind, err.message, details))


def carries_error(obj: object) -> bool:
    """Whether a body is an error whatever its status says: Anthropic's envelope, or an `error` as others write it."""
    if not isinstance(obj, dict):
        return False
    error = obj.get("error")
    return obj.get("type") == "error" or (bool(error) and isinstance(error, dict | str))


def empty_answer(obj: object) -> bool:
    """Whether a 200 answers nothing: an error, or no content. An empty array of content is an answer: the model had
    nothing to add."""
    return carries_error(obj) or not (isinstance(obj, dict) and isinstance(obj.get("content"), list))


def read_failure(status: int, body: object) -> Failure:
    """What an error answer, or the payload of an `error` event (status 0), says. Never raises."""
    error = _error_object(body)
    kind_word, message = error.get("type"), error.get("message")
    if not isinstance(message, str):
        message = f"The provider answered with HTTP {status}." if status else "The provider failed inside its stream."
    if not isinstance(kind_word, str) or kind_word not in _KIND_OF_TYPE:
        kind_word = _TYPE_OF_STATUS.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    kind = next((kind for pattern, kind in _BY_MESSAGE if pattern.search(message)), _KIND_OF_TYPE[kind_word])
    field = _FIELD.match(message)
    return Failure(status, kind, message, code if isinstance(code, str) else kind_word, field["field"] if field else "")


def write_failure(failure: Failure) -> Json:
    """The same for a client: the body of an error answer, or the payload of an `error` event."""
    message = failure.message
    if failure.kind is FailureKind.CONTEXT_LENGTH and TOO_LONG not in message.lower():
        message = f"{TOO_LONG}: {message}"
    kind = _TYPE_OF_KIND[failure.kind]
    details = {name: value for name, value in (("error_code", failure.code), ("param", failure.param)) if value}
    return _envelope(kind, message, {} if details == {"error_code": kind} else details)


def _envelope(kind: str, message: str, details: Json) -> Json:
    error = {"type": kind, "message": message, **({"details": details} if details else {})}
    return {"type": "error", "error": error}


def _error_object(body: object) -> dict[str, Any]:
    if isinstance(body, str):
        text = body.strip()
        return {"message": text[:MESSAGE_LIMIT]} if text and not text.startswith("<") else {}
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else body
