"""Anthropic's error shape, and what the provider's errors mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic.errors import carries_error, empty_answer, error_body, read_failure, write_failure
from gateway.dialects.failure import Failure, FailureKind
from gateway.errors import RequestError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"),
        (403, "permission_error"), (404, "not_found_error"), (405, "invalid_request_error"), (413, "request_too_large"),
        (429, "rate_limit_error"), (500, "api_error"), (502, "api_error"), (503, "overloaded_error"),
        (504, "timeout_error"), (529, "overloaded_error"),
    ],
)  # fmt: skip
def test_an_error_of_ours_has_anthropics_shape(status: int, kind: str) -> None:
    err = RequestError(status, "the_code", "what happened", param="messages.0", extra={"required": 3})
    assert json.loads(error_body(err)) == {
        "type": "error",
        "error": {
            "type": kind,
            "message": "what happened",
            "details": {"error_code": "the_code", "param": "messages.0", "required": 3},
        },
    }


@pytest.mark.parametrize(
    ("obj", "error", "empty"),
    [
        ({"type": "message", "content": [{"type": "text", "text": "Hi"}]}, False, False),
        ({"type": "message", "content": []}, False, False),
        ({"type": "message", "content": None}, False, True),
        ({}, False, True),
        ([], False, True),
        (None, False, True),
        ({"type": "error", "error": {"type": "api_error"}}, True, True),
        ({"type": "error"}, True, True),
        ({"error": "no", "content": []}, True, True),
        ({"error": None, "content": []}, False, False),
    ],
)
def test_an_answer_without_content_or_with_an_error_is_empty(obj: object, error: bool, empty: bool) -> None:
    assert (carries_error(obj), empty_answer(obj)) == (error, empty)


def body(kind: str, message: str, **more: object) -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "answer", "kind", "code", "param"),
    [
        (529, body("overloaded_error", "Overloaded"), FailureKind.OVERLOADED, "overloaded_error", ""),
        (0, body("overloaded_error", "Overloaded"), FailureKind.OVERLOADED, "overloaded_error", ""),
        (
            400,
            body("invalid_request_error", "prompt is too long: 200016 tokens > 200000 maximum"),
            FailureKind.CONTEXT_LENGTH, "invalid_request_error", "",
        ),
        (
            400,
            body("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
            FailureKind.BILLING, "invalid_request_error", "",
        ),
        (
            400,
            body("invalid_request_error", "You have reached your specified API usage limits. You will regain access…"),
            FailureKind.QUOTA, "invalid_request_error", "",
        ),
        (
            400,
            body("invalid_request_error", "Output blocked by content filtering policy"),
            FailureKind.CONTENT_FILTER, "invalid_request_error", "",
        ),
        (
            400,
            body("invalid_request_error", "messages.0.content: Input should be a valid list"),
            FailureKind.INVALID_REQUEST, "invalid_request_error", "messages.0.content",
        ),
        (401, body("authentication_error", "invalid"), FailureKind.AUTHENTICATION, "authentication_error", ""),
        (404, body("not_found_error", "model: no-such"), FailureKind.NOT_FOUND, "not_found_error", "model"),
        (
            429,
            body("rate_limit_error", "slow", details={"error_code": "enforced_spend_limit_reached"}),
            FailureKind.RATE_LIMIT, "enforced_spend_limit_reached", "",
        ),
        (413, body("request_too_large", "too large"), FailureKind.TOO_LARGE, "request_too_large", ""),
        (500, body("new_error", "?"), FailureKind.SERVER, "api_error", ""),
        (418, body("new_error", "?"), FailureKind.INVALID_REQUEST, "invalid_request_error", ""),
        (503, "upstream connect error", FailureKind.OVERLOADED, "overloaded_error", ""),
        (400, {"error": "just a text"}, FailureKind.INVALID_REQUEST, "invalid_request_error", ""),
    ],
)  # fmt: skip
def test_an_error_is_known_by_its_type_and_its_words(
    status: int, answer: object, kind: FailureKind, code: str, param: str
) -> None:
    failure = read_failure(status, answer)
    assert (failure.status, failure.kind, failure.code, failure.param) == (status, kind, code, param)
    assert failure.message


def test_a_page_of_html_is_not_told_to_the_client() -> None:
    assert read_failure(502, "<html><b>Bad gateway</b></html>").message == "The provider answered with HTTP 502."
    assert read_failure(503, "upstream connect error").message == "upstream connect error"
    assert read_failure(0, {}).message == "The provider failed inside its stream."


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_failure_has_a_type_of_anthropics(kind: FailureKind) -> None:
    written = write_failure(Failure(400, kind, "sorry", code="their_code", param="model"))
    assert written["type"] == "error"
    assert written["error"]["details"] == {"error_code": "their_code", "param": "model"}
    told = read_failure(400, written).kind
    assert told is {FailureKind.QUOTA: FailureKind.RATE_LIMIT, FailureKind.CONTENT_FILTER: told}.get(kind, kind)


def test_a_full_context_is_told_in_the_words_that_clients_look_for() -> None:
    failure = Failure(
        400, FailureKind.CONTEXT_LENGTH, "maximum context length is 128000", code="context_length_exceeded"
    )
    assert write_failure(failure)["error"]["message"] == "prompt is too long: maximum context length is 128000"
    ours = Failure(400, FailureKind.CONTEXT_LENGTH, "prompt is too long: 9 > 8")
    assert write_failure(ours)["error"]["message"] == "prompt is too long: 9 > 8"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "error", "message", "details", "error_code"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from([0, 200, 400, 429, 503, 529]), JSON)
def test_no_answer_makes_the_reading_of_an_error_fail(status: int, answer: object) -> None:
    assert read_failure(status, answer).message is not None
