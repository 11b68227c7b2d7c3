"""OpenAI's error shape, and answers that are none."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.openai_chat.errors import carries_error, empty_answer, error_body, read_failure, write_failure
from gateway.errors import RequestError


def test_an_error_of_ours_has_openais_shape() -> None:
    err = RequestError(400, "invalid_request_error", "messages is missing", param="messages", extra={"required": 3})
    assert json.loads(error_body(err)) == {
        "error": {
            "message": "messages is missing",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "invalid_request_error",
            "required": 3,
        }
    }


@pytest.mark.parametrize(
    ("obj", "error", "empty"),
    [
        ({"choices": [{"index": 0}]}, False, False),
        ({"choices": [{"index": 0}], "error": None}, False, False),
        ({"choices": []}, False, True),
        ({"choices": None}, False, True),
        ({}, False, True),
        ([], False, True),
        (None, False, True),
        ({"error": {"message": "no"}}, True, True),
        ({"error": "no", "choices": [{}]}, True, True),
        ({"object": "error", "message": "no"}, True, True),
        ({"error": "", "choices": [{}]}, False, False),
    ],
)
def test_an_answer_without_choices_or_with_an_error_is_empty(obj: object, error: bool, empty: bool) -> None:
    assert (carries_error(obj), empty_answer(obj)) == (error, empty)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            {"error": {"message": "m", "type": "invalid_request_error", "param": "messages", "code": None}},
            Failure(400, FailureKind.INVALID_REQUEST, "m", "invalid_request_error", "messages"),
        ),
        (
            400,
            {"error": {"message": "m", "code": "context_length_exceeded"}},
            Failure(400, FailureKind.CONTEXT_LENGTH, "m", "context_length_exceeded"),
        ),
        (
            400,
            {"code": "Client specified an invalid argument", "error": "This model's maximum prompt length is 131072"},
            Failure(400, FailureKind.CONTEXT_LENGTH, "This model's maximum prompt length is 131072",
                    "Client specified an invalid argument"),
        ),
        (
            400,
            {"error": {"message": "exceeds the available context size (512)", "type": "exceed_context_size_error"}},
            Failure(400, FailureKind.CONTEXT_LENGTH, "exceeds the available context size (512)",
                    "exceed_context_size_error"),
        ),
        (400, {"error": "Incorrect API key provided: x"},
         Failure(400, FailureKind.AUTHENTICATION, "Incorrect API key provided: x")),
        (401, {"detail": "Unauthorized"}, Failure(401, FailureKind.AUTHENTICATION, "Unauthorized")),
        (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error"}},
         Failure(402, FailureKind.BILLING, "Insufficient Balance", "unknown_error")),
        (403, {"error": {"message": "m", "code": "forbidden"}}, Failure(403, FailureKind.PERMISSION, "m", "forbidden")),
        (404, {"error": {"message": "m", "code": "model_not_found"}},
         Failure(404, FailureKind.NOT_FOUND, "m", "model_not_found")),
        (429, {"object": "error", "message": "m", "type": "rate_limited", "code": "1300"},
         Failure(429, FailureKind.RATE_LIMIT, "m", "1300")),
        (429, {"error": {"message": "m", "type": "insufficient_quota", "code": "insufficient_quota"}},
         Failure(429, FailureKind.QUOTA, "m", "insufficient_quota")),
        (422, "Failed to deserialize", Failure(422, FailureKind.INVALID_REQUEST, "Failed to deserialize")),
        (500, "", Failure(500, FailureKind.SERVER, "the provider failed (500)")),
        (503, "<html><h1>no</h1>", Failure(503, FailureKind.OVERLOADED, "the provider failed (503)")),
        (504, None, Failure(504, FailureKind.TIMEOUT, "the provider failed (504)")),
        (0, {"error": {"message": "m", "code": 429}}, Failure(0, FailureKind.RATE_LIMIT, "m", "")),
        (0, {"error": {"message": "m", "type": "invalid_request_error", "code": "tool_use_failed"}},
         Failure(0, FailureKind.INVALID_REQUEST, "m", "tool_use_failed")),
        (0, {"error": {"message": "m"}}, Failure(0, FailureKind.SERVER, "m")),
    ],
)  # fmt: skip
def test_a_failure_is_read_from_each_vendors_envelope(status: int, body: object, expected: Failure) -> None:
    assert read_failure(status, body) == expected


@pytest.mark.parametrize(
    "body", [None, [], [1], 5, {"error": []}, {"error": {"code": [], "param": 5}}, {"error": True}]
)
def test_no_body_is_too_strange_for_a_failure(body: object) -> None:
    assert read_failure(500, body).kind is FailureKind.SERVER


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (
            Failure(400, FailureKind.CONTEXT_LENGTH, "m", "prompt_too_long"),
            "invalid_request_error",
            "context_length_exceeded",
        ),
        (Failure(529, FailureKind.OVERLOADED, "m", "overloaded_error"), "server_error", "overloaded_error"),
        (Failure(429, FailureKind.RATE_LIMIT, "m"), "rate_limit_error", "rate_limit_exceeded"),
        (Failure(400, FailureKind.INVALID_REQUEST, "m"), "invalid_request_error", None),
    ],
)
def test_a_failure_is_written_with_openais_words(failure: Failure, kind: str, code: str | None) -> None:
    assert write_failure(failure) == {"error": {"message": "m", "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_of_failure_has_its_words(kind: FailureKind) -> None:
    error = write_failure(Failure(400, kind, "m", param="messages"))["error"]
    assert (error["message"], error["param"]) == ("m", "messages")
    assert error["type"]
