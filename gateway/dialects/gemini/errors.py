"""Errors in Google's shape: our own, what a provider's say, and those inside a 200.

Google's JSON array form wraps an error into an array, too. `details` are typed: `ErrorInfo` has the reason in one word,
`QuotaFailure` names the quotas that are used up, `RetryInfo` says when to come back, `BadRequest` which field is wrong.

Sources: https://google.aip.dev/193, https://ai.google.dev/gemini-api/docs/troubleshooting,
https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from gateway import jsonlib
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.gemini.finish import read_block
from gateway.dialects.gemini.protojson import camel
from gateway.dialects.names import Json
from gateway.errors import RequestError
from gateway.policy.facts import read_facts
from gateway.wire.retry_after import parse_duration

DOMAIN = "llmgateway"
"""Whose words the reasons in our own errors are."""

_TYPE = "type.googleapis.com/google.rpc."

_STATUS_WORDS: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto, read from HTTP to the word."""

_KIND_STATUS: dict[FailureKind, int] = {
    FailureKind.INVALID_REQUEST: 400,
    FailureKind.CONTEXT_LENGTH: 400,
    FailureKind.CONTENT_FILTER: 400,
    FailureKind.AUTHENTICATION: 401,
    FailureKind.PERMISSION: 403,
    FailureKind.BILLING: 402,
    FailureKind.NOT_FOUND: 404,
    FailureKind.CONFLICT: 409,
    FailureKind.TOO_LARGE: 413,
    FailureKind.RATE_LIMIT: 429,
    FailureKind.QUOTA: 429,
    FailureKind.OVERLOADED: 503,
    FailureKind.TIMEOUT: 504,
    FailureKind.SERVER: 500,
}
"""The status of a failure inside a stream, which has none of its own."""

_KIND_WORDS: dict[str, FailureKind] = {
    "INVALID_ARGUMENT": FailureKind.INVALID_REQUEST,
    "OUT_OF_RANGE": FailureKind.INVALID_REQUEST,
    "FAILED_PRECONDITION": FailureKind.PERMISSION,  # billing or country, see below
    "UNAUTHENTICATED": FailureKind.AUTHENTICATION,
    "PERMISSION_DENIED": FailureKind.PERMISSION,
    "NOT_FOUND": FailureKind.NOT_FOUND,
    "ALREADY_EXISTS": FailureKind.CONFLICT,
    "ABORTED": FailureKind.CONFLICT,
    "RESOURCE_EXHAUSTED": FailureKind.RATE_LIMIT,
    "UNAVAILABLE": FailureKind.OVERLOADED,
    "DEADLINE_EXCEEDED": FailureKind.TIMEOUT,
}

_KIND_REASONS: dict[str, FailureKind] = {
    "API_KEY_INVALID": FailureKind.AUTHENTICATION,  # with status 400
    "API_KEY_EXPIRED": FailureKind.AUTHENTICATION,
    "ACCESS_TOKEN_EXPIRED": FailureKind.AUTHENTICATION,
    "BILLING_DISABLED": FailureKind.BILLING,
}

_KIND_TEXTS: tuple[tuple[re.Pattern[str], FailureKind], ...] = (
    (re.compile(r"API key (?:not valid|expired)", re.IGNORECASE), FailureKind.AUTHENTICATION),
    (re.compile(r"input token count.*exceeds the maximum", re.IGNORECASE | re.DOTALL), FailureKind.CONTEXT_LENGTH),
    (re.compile(r"payload size exceeds", re.IGNORECASE), FailureKind.TOO_LARGE),
    (re.compile(r"User location is not supported"), FailureKind.PERMISSION),
    (re.compile(r"\bbilling\b.*\b(?:enable|disabled|account)", re.IGNORECASE | re.DOTALL), FailureKind.BILLING),
)
"""What only the sentence tells; looked at where the status is one that Google uses for many things."""

_LASTING = frozenset({"PerDay", "PerWeek", "PerMonth", "Zero"})


# --- our own ---------------------------------------------------------------------------------------------------------


def error_body(err: RequestError) -> bytes:
    """The body of an error answer: `{"error": {"code", "message", "status", "details"}}`."""
    words = {name: str(value) for name, value in (err.extra or {}).items()}
    error = _error(err.status, err.message, err.code, err.param or "", err.retry_after, words)
    return jsonlib.dumps({"error": error})


def write_failure(failure: Failure) -> Json:
    """A failure of a provider, or of the gateway, for a client of this dialect: `{"error": {…}}`."""
    status = failure.status or _KIND_STATUS[failure.kind]
    code = failure.code or failure.kind.value
    return {"error": _error(status, failure.message, code, failure.param, failure.retry_after, {})}


def _error(
    status: int, message: str, code: str, param: str, retry_after: float | None, metadata: dict[str, str]
) -> dict[str, Any]:
    word = _STATUS_WORDS.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    details: list[Json] = [
        {"@type": f"{_TYPE}ErrorInfo", "reason": code.upper(), "domain": DOMAIN, "metadata": metadata}
    ]
    if param:
        violation = {"field": param, "description": message}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{math.ceil(retry_after)}s"})
    return {"code": status, "message": message, "status": word, "details": details}


# --- a provider's ----------------------------------------------------------------------------------------------------


def carries_error(obj: object) -> bool:
    """Whether a body or an event is an error whatever its status says; in an array, its first."""
    if isinstance(obj, list):
        obj = obj[0] if obj else None
    if not isinstance(obj, dict):
        return False
    error = obj.get("error")
    return bool(error) and isinstance(error, dict | str)


def empty_answer(obj: object) -> bool:
    """Whether the 200 of a generateContent call answers nothing: an error, or neither a candidate nor the reason why
    the prompt has none."""
    if carries_error(obj) or not isinstance(obj, dict):
        return True
    fields = camel(obj)
    return not fields.get("candidates") and read_block(fields.get("promptFeedback")) is None


def read_failure(status: int, body: object) -> Failure:
    """What an error answer says, or an error event's payload (status 0). `body` is decoded JSON, or text."""
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else body
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) else body if isinstance(body, dict) else {}
    message = error.get("message")
    message = message if isinstance(message, str) and not message.lstrip().startswith("<") else ""
    word = error.get("status")
    word = word if isinstance(word, str) else _STATUS_WORDS.get(_code(error, status), "")
    reason = next((detail["reason"] for detail in _details(error) if isinstance(detail.get("reason"), str)), "")
    kind = _kind(_code(error, status), word, reason, message, body)
    return Failure(status, kind, message, reason or word, _field_at_fault(error), _retry_after(error))


def _code(error: Json, status: int) -> int:
    code = error.get("code")
    return status or (code if type(code) is int else 0)


def _kind(status: int, word: str, reason: str, message: str, body: object) -> FailureKind:
    if reason in _KIND_REASONS:
        return _KIND_REASONS[reason]
    if word == "RESOURCE_EXHAUSTED" or status == 429:
        limits = read_facts(429, body, message, "").limits
        return FailureKind.QUOTA if limits & _LASTING else FailureKind.RATE_LIMIT
    if status in (0, 400, 403):
        for pattern, kind in _KIND_TEXTS:
            if pattern.search(message):
                return kind
    if status == 413:
        return FailureKind.TOO_LARGE
    fallback = FailureKind.INVALID_REQUEST if 400 <= status < 500 else FailureKind.SERVER
    return _KIND_WORDS.get(word, fallback)


def _details(error: Json) -> Iterator[Json]:
    details = error.get("details")
    yield from (detail for detail in (details if isinstance(details, list) else ()) if isinstance(detail, dict))


def _field_at_fault(error: Json) -> str:
    for detail in _details(error):
        violations = detail.get("fieldViolations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict) and isinstance(violation.get("field"), str):
                return str(violation["field"])
    return ""


def _retry_after(error: Json) -> float | None:
    for detail in _details(error):
        delay = detail.get("retryDelay")
        if isinstance(delay, str):
            return parse_duration(delay)
    return None
