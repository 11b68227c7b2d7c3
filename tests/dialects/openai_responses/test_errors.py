"""Errors of the Responses API, in bodies and in events."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.openai_responses.errors import empty_answer, failed_code, read_failure, write_failure

BUSY = {"code": "rate_limit_exceeded", "message": "slow down", "param": "input"}


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"type": "tokens", **BUSY}},
        {"type": "error", "error": BUSY},
        {"type": "error", **BUSY},
        {"type": "response.failed", "response": {"error": BUSY}},
    ],
)
def test_an_error_is_read_from_wherever_it_stands(body: dict[str, Any]) -> None:
    failure = read_failure(0, body)
    assert failure == Failure(0, FailureKind.RATE_LIMIT, "slow down", "rate_limit_exceeded", "input")
    assert write_failure(failure)["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("body", [None, "", "<html>", 3, [], {}, {"error": None}, {"response": {"error": 3}}])
def test_a_body_that_says_nothing_is_a_failure_all_the_same(body: object) -> None:
    assert read_failure(500, body).kind is FailureKind.SERVER


@pytest.mark.parametrize(
    ("obj", "empty"),
    [
        ({"object": "response", "output": [{"type": "message"}]}, False),
        ({"object": "response", "status": "queued", "output": [], "error": None}, False),
        ({"object": "response", "id": "resp_1", "output": [], "error": BUSY}, True),
        ({"object": "response", "id": "resp_1"}, False),
        ({"object": "response", "output": None}, True),
        ({"object": "response"}, True),
        ([], True),
        (None, True),
    ],
)
def test_an_answer_without_output_or_with_an_error_is_empty(obj: object, empty: bool) -> None:
    assert empty_answer(obj) is empty


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FailureKind.CONTEXT_LENGTH, "context_length_exceeded"),
        (FailureKind.RATE_LIMIT, "rate_limit_exceeded"),
        (FailureKind.QUOTA, "insufficient_quota"),
        (FailureKind.BILLING, "insufficient_quota"),
        (FailureKind.INVALID_REQUEST, "invalid_prompt"),
        (FailureKind.OVERLOADED, "server_error"),
        (FailureKind.SERVER, "server_error"),
    ],
)
def test_a_failed_response_has_one_of_the_codes_that_clients_look_for(kind: FailureKind, code: str) -> None:
    assert failed_code(Failure(0, kind, "no", "their_own_word")) == code
