"""Errors in Google's shape."""

from __future__ import annotations

import pytest

from gateway import jsonlib
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.gemini.errors import carries_error, empty_answer, error_body, read_failure, write_failure
from gateway.dialects.names import Json
from gateway.errors import RequestError

TYPE = "type.googleapis.com/google.rpc."


def error(code: int, status: str, message: str = "", *details: Json) -> Json:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def info(reason: str) -> Json:
    return {"@type": f"{TYPE}ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def quota(name: str, value: str = "50") -> Json:
    return {"@type": f"{TYPE}QuotaFailure", "violations": [{"quotaId": name, "quotaValue": value}]}


def test_our_errors_say_all_in_googles_words() -> None:
    refused = RequestError(429, "rate_limited", "Slow down.", param="contents", retry_after=3.2, extra={"limit": 5})
    assert jsonlib.loads(error_body(refused)) == {
        "error": {
            "code": 429,
            "message": "Slow down.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": f"{TYPE}ErrorInfo",
                    "reason": "RATE_LIMITED",
                    "domain": "llmgateway",
                    "metadata": {"limit": "5"},
                },
                {
                    "@type": f"{TYPE}BadRequest",
                    "fieldViolations": [{"field": "contents", "description": "Slow down."}],
                },
                {"@type": f"{TYPE}RetryInfo", "retryDelay": "4s"},
            ],
        }
    }


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (413, "INVALID_ARGUMENT"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (529, "INTERNAL"),
    ],
)
def test_statuses_have_their_words(status: int, word: str) -> None:
    assert jsonlib.loads(error_body(RequestError(status, "x", "y")))["error"]["status"] == word


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_of_failure_comes_back_from_a_stream(kind: FailureKind) -> None:
    written = write_failure(Failure(0, kind, "m"))["error"]
    assert 400 <= written["code"] < 600
    assert written["details"][0]["reason"] == kind.value.upper()


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, error(400, "INVALID_ARGUMENT", "Bad."), FailureKind.INVALID_REQUEST, "INVALID_ARGUMENT"),
        (
            400,
            error(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID")),
            FailureKind.AUTHENTICATION,
            "API_KEY_INVALID",
        ),
        (
            400,
            error(400, "INVALID_ARGUMENT", "API key expired. Renew it."),
            FailureKind.AUTHENTICATION,
            "INVALID_ARGUMENT",
        ),
        (
            400,
            error(
                400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."
            ),
            FailureKind.CONTEXT_LENGTH,
            "INVALID_ARGUMENT",
        ),
        (
            400,
            error(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit"),
            FailureKind.TOO_LARGE,
            "INVALID_ARGUMENT",
        ),
        (
            400,
            error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
            FailureKind.PERMISSION,
            "FAILED_PRECONDITION",
        ),
        (
            403,
            error(403, "PERMISSION_DENIED", "No.", info("BILLING_DISABLED")),
            FailureKind.BILLING,
            "BILLING_DISABLED",
        ),
        (
            403,
            error(403, "PERMISSION_DENIED", "No.", info("SERVICE_DISABLED")),
            FailureKind.PERMISSION,
            "SERVICE_DISABLED",
        ),
        (401, error(401, "UNAUTHENTICATED"), FailureKind.AUTHENTICATION, "UNAUTHENTICATED"),
        (404, error(404, "NOT_FOUND"), FailureKind.NOT_FOUND, "NOT_FOUND"),
        (409, error(409, "ABORTED"), FailureKind.CONFLICT, "ABORTED"),
        (413, "too large", FailureKind.TOO_LARGE, ""),
        (429, error(429, "RESOURCE_EXHAUSTED"), FailureKind.RATE_LIMIT, "RESOURCE_EXHAUSTED"),
        (
            429,
            error(429, "RESOURCE_EXHAUSTED", "", quota("GenerateRequestsPerMinutePerProject")),
            FailureKind.RATE_LIMIT,
            "RESOURCE_EXHAUSTED",
        ),
        (
            429,
            error(429, "RESOURCE_EXHAUSTED", "", quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")),
            FailureKind.QUOTA,
            "RESOURCE_EXHAUSTED",
        ),
        (500, error(500, "INTERNAL"), FailureKind.SERVER, "INTERNAL"),
        (503, error(503, "UNAVAILABLE", "The model is overloaded."), FailureKind.OVERLOADED, "UNAVAILABLE"),
        (504, error(504, "DEADLINE_EXCEEDED"), FailureKind.TIMEOUT, "DEADLINE_EXCEEDED"),
        (503, [error(503, "UNAVAILABLE")], FailureKind.OVERLOADED, "UNAVAILABLE"),
        (503, "<html>", FailureKind.OVERLOADED, "UNAVAILABLE"),
        (418, {"error": "text"}, FailureKind.INVALID_REQUEST, ""),
        (400, {"message": "bare", "status": "INVALID_ARGUMENT"}, FailureKind.INVALID_REQUEST, "INVALID_ARGUMENT"),
        (0, error(503, "UNAVAILABLE"), FailureKind.OVERLOADED, "UNAVAILABLE"),
        (0, {"error": {"code": 429}}, FailureKind.RATE_LIMIT, "RESOURCE_EXHAUSTED"),
        (500, None, FailureKind.SERVER, "INTERNAL"),
        (500, [], FailureKind.SERVER, "INTERNAL"),
        (
            500,
            {"error": {"code": "x", "message": 1, "status": [], "details": [1, {"reason": 2}]}},
            FailureKind.SERVER,
            "INTERNAL",
        ),
    ],
)
def test_what_a_providers_error_means(status: int, body: object, kind: FailureKind, code: str) -> None:
    failure = read_failure(status, body)
    assert (failure.status, failure.kind, failure.code) == (status, kind, code)


def test_the_message_the_field_and_the_time_are_kept() -> None:
    violations = {"@type": f"{TYPE}BadRequest", "fieldViolations": [{"field": "contents[0]", "description": "Bad."}]}
    delay = {"@type": f"{TYPE}RetryInfo", "retryDelay": "34.5s"}
    failure = read_failure(400, error(400, "INVALID_ARGUMENT", "Bad.", violations, delay))
    assert failure == Failure(400, FailureKind.INVALID_REQUEST, "Bad.", "INVALID_ARGUMENT", "contents[0]", 34.5)
    assert read_failure(500, "plain words").message == "plain words"


@pytest.mark.parametrize(
    ("obj", "carries"),
    [
        (error(500, "INTERNAL"), True),
        ([error(500, "INTERNAL")], True),
        ({"error": "text"}, True),
        ({"error": None}, False),
        ({"candidates": []}, False),
        ([], False),
        ("error", False),
    ],
)
def test_a_body_may_be_an_error_whatever_its_status(obj: object, carries: bool) -> None:
    assert carries_error(obj) is carries


@pytest.mark.parametrize(
    ("obj", "empty"),
    [
        ({"candidates": [{}]}, False),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, False),
        ({"candidates": []}, True),
        ({}, True),
        (error(500, "INTERNAL"), True),
        ([], True),
    ],
)
def test_an_answer_may_answer_nothing(obj: object, empty: bool) -> None:
    assert empty_answer(obj) is empty


def test_a_page_instead_of_an_error_is_not_quoted() -> None:
    failure = read_failure(502, "<!doctype html><title>Bad gateway</title>")
    assert (failure.status, failure.message) == (502, "")
