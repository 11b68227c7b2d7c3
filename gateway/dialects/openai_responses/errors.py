"""Errors of the Responses API: those of Chat Completions, and where a stream's events carry them.

Source: https://platform.openai.com/docs/guides/error-codes,
https://platform.openai.com/docs/api-reference/responses-streaming (error, response.failed)
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.openai_chat.errors import carries_error, write_failure
from gateway.dialects.openai_chat.errors import read_failure as read_chat_failure

__all__ = ["empty_answer", "failed_code", "read_failure", "write_failure"]


def empty_answer(obj: object) -> bool:
    """Whether a 200 answers nothing: an error, or neither output nor an id by which it can be had later. An empty array
    of output is an answer: the model had nothing to say."""
    if carries_error(obj) or not isinstance(obj, dict):
        return True
    return not isinstance(obj.get("output"), list) and not isinstance(obj.get("id"), str)


def read_failure(status: int, body: object) -> Failure:
    """What an error answer or an event's payload says. Never raises.

    An event has its error in `error`, in `response.error`, or is one itself (`{"type": "error", "code", "message"}`).
    """
    if isinstance(body, dict) and not body.get("error"):
        response = body.get("response")
        if isinstance(response, dict) and response.get("error"):
            body = {"error": response["error"]}
        elif body.get("type") == "error":
            body = {"error": {name: value for name, value in body.items() if name in ("code", "message", "param")}}
    return read_chat_failure(status, body)


_CODES: Mapping[FailureKind, str] = {
    FailureKind.INVALID_REQUEST: "invalid_prompt",
    FailureKind.CONTENT_FILTER: "invalid_prompt",
    FailureKind.CONTEXT_LENGTH: "context_length_exceeded",
    FailureKind.RATE_LIMIT: "rate_limit_exceeded",
    FailureKind.QUOTA: "insufficient_quota",
    FailureKind.BILLING: "insufficient_quota",
}


def failed_code(failure: Failure) -> str:
    """The `code` in a failed response. The API has few words for it, by which clients decide whether to try again."""
    return _CODES.get(failure.kind, "server_error")
