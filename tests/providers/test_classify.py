"""From an answer to a verdict, row by row. The bodies have the shapes that providers send."""

from __future__ import annotations

import json

import pytest

from gateway.errors import ConnectError, Disconnect, ProtocolError, UpstreamTimeout
from gateway.policy.verdict import EVIDENCE_LIMIT, Provenance, Scope, Status
from gateway.providers.classify import classify_answer, classify_failure, classify_inside

NOW = 1_800_000_000.0
JSON = [(b"content-type", b"application/json")]
HTML = [(b"content-type", b"text/html; charset=UTF-8")]


def openai_error(message: str, code: str | None = None, kind: str = "invalid_request_error") -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


ROWS = [
    # credentials
    (401, openai_error("Incorrect API key provided", "invalid_api_key"), JSON, Scope.KEY, Status.SUSPECT),
    (401, b"<html><head><title>401 Authorization Required</title></head></html>", HTML, Scope.KEY, Status.SUSPECT),
    (401, b"", [], Scope.KEY, Status.SUSPECT),
    (403, openai_error("Your account was deactivated", "account_deactivated"), JSON, Scope.KEY, Status.SUSPECT),
    # quota
    (402, b'{"detail":"Payment Required"}', JSON, Scope.ACCOUNT, Status.NO_QUOTA),
    (
        429,
        openai_error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
        JSON,
        Scope.ACCOUNT,
        Status.NO_QUOTA,
    ),
    (429, openai_error("Hard limit", "billing_hard_limit_reached"), JSON, Scope.ACCOUNT, Status.NO_QUOTA),
    (400, openai_error("Hard limit", "billing_hard_limit_reached"), JSON, Scope.ACCOUNT, Status.NO_QUOTA),
    (400, b'{"code":"Arrearage","message":"Access denied"}', JSON, Scope.ACCOUNT, Status.NO_QUOTA),
    (
        400,
        b'{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}',
        JSON,
        Scope.ACCOUNT,
        Status.NO_QUOTA,
    ),
    # limits
    (429, openai_error("Rate limit reached", "rate_limit_exceeded", "requests"), JSON, Scope.KEY, Status.RATE_LIMITED),
    (429, b"Too many requests. For more on scraping, see our terms.", [], Scope.KEY, Status.RATE_LIMITED),
    (
        429,
        openai_error(
            "Request too large for gpt-4o in organization org-1 on tokens per min (TPM)", "rate_limit_exceeded"
        ),
        JSON,
        Scope.CLIENT,
        Status.BAD_REQUEST,
    ),
    # access
    (403, openai_error("You are not allowed to sample from this model"), JSON, Scope.KEY_MODEL, Status.NO_ACCESS),
    (
        403,
        openai_error("Country, region, or territory not supported", "unsupported_country_region_territory"),
        JSON,
        Scope.PROVIDER,
        Status.NO_ACCESS,
    ),
    (403, b"<!DOCTYPE html><html><title>Just a moment...</title>", HTML, Scope.PROVIDER, Status.UNKNOWN),
    (503, b"<!DOCTYPE html><html><title>Just a moment...</title>", HTML, Scope.PROVIDER, Status.OVERLOADED),
    # the client's affair
    (404, openai_error("The model `x` does not exist", "model_not_found"), JSON, Scope.CLIENT, Status.NO_MODEL),
    (404, b"Not Found", [], Scope.CLIENT, Status.BAD_REQUEST),
    (400, openai_error("Invalid value: 'tool'", "invalid_value"), JSON, Scope.CLIENT, Status.BAD_REQUEST),
    (400, openai_error("my essay is about credit, balance and quota"), JSON, Scope.CLIENT, Status.BAD_REQUEST),
    (400, openai_error("Maximum context length", "context_length_exceeded"), JSON, Scope.CLIENT, Status.BAD_REQUEST),
    (405, b"", [], Scope.CLIENT, Status.BAD_REQUEST),
    (413, b"length limit exceeded", [], Scope.CLIENT, Status.BAD_REQUEST),
    (415, b"", [], Scope.CLIENT, Status.BAD_REQUEST),
    (422, b"Failed to deserialize the JSON body", [], Scope.CLIENT, Status.BAD_REQUEST),
    (501, b'{"error":{"code":501,"message":"audio input is not supported"}}', JSON, Scope.CLIENT, Status.BAD_REQUEST),
    # the provider's
    *(
        (status, b"oops", [], Scope.PROVIDER, Status.SERVER_ERROR)
        for status in (500, 502, 504, 520, 521, 522, 523, 524)
    ),
    (503, b'{"code":"unavailable","error":"at capacity"}', JSON, Scope.PROVIDER, Status.OVERLOADED),
    (529, b'{"type":"error","error":{"type":"overloaded_error"}}', JSON, Scope.PROVIDER, Status.OVERLOADED),
    (408, b"", [], Scope.PROVIDER, Status.TIMEOUT),
]


@pytest.mark.parametrize(("status", "body", "headers", "scope", "verdict"), ROWS)
def test_an_answer_means(
    status: int, body: bytes, headers: list[tuple[bytes, bytes]], scope: Scope, verdict: Status
) -> None:
    found = classify_answer((), status, headers, body, NOW)
    assert (found.scope, found.status) == (scope, verdict)
    assert found.reason and len(found.evidence) <= EVIDENCE_LIMIT


@pytest.mark.parametrize(
    ("headers", "body", "until"),
    [
        ([(b"retry-after", b"20")], b"{}", NOW + 20),
        ([(b"retry-after-ms", b"1500")], b"{}", NOW + 1.5),
        ([], openai_error("Please try again in 7m12s."), NOW + 432),
        ([(b"retry-after", b"soon")], b"{}", None),
        ([], b"{}", None),
    ],
)
def test_a_limit_lasts_as_long_as_the_provider_says(
    headers: list[tuple[bytes, bytes]], body: bytes, until: float | None
) -> None:
    found = classify_answer((), 429, [*JSON, *headers], body, NOW)
    assert found.until == (until if until is None else pytest.approx(until))
    assert found.provenance is (Provenance.HEURISTIC if until is None else Provenance.AUTHORITATIVE)


def test_a_used_up_quota_is_not_back_when_a_rate_limit_would_be() -> None:
    body = openai_error("You exceeded your current quota", "insufficient_quota")
    assert classify_answer((), 429, [*JSON, (b"retry-after", b"1")], body, NOW).until is None
    assert classify_answer((), 429, [*JSON, (b"retry-after", b"7200")], body, NOW).until == NOW + 7200


@pytest.mark.parametrize(
    ("error", "scope", "verdict"),
    [
        ({"error": {"message": "Rate limited", "code": 429}}, Scope.KEY, Status.RATE_LIMITED),
        ({"error": {"message": "Bad key", "code": "invalid_api_key"}}, Scope.KEY, Status.SUSPECT),
        ({"error": {"message": "No more", "code": "insufficient_quota"}}, Scope.ACCOUNT, Status.NO_QUOTA),
        ({"error": {"message": "Too long", "code": "context_length_exceeded"}}, Scope.CLIENT, Status.BAD_REQUEST),
        ({"error": {"message": "Upstream broke", "code": 502}}, Scope.PROVIDER, Status.SERVER_ERROR),
        ({"error": {"message": "Something"}}, Scope.PROVIDER, Status.SERVER_ERROR),
        ({"error": "just a text"}, Scope.PROVIDER, Status.SERVER_ERROR),
    ],
)
def test_an_error_inside_a_200_is_judged_like_the_error_it_is(error: object, scope: Scope, verdict: Status) -> None:
    found = classify_inside((), JSON, error, NOW)
    assert (found.scope, found.status) == (scope, verdict)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ConnectError("refused"), Status.NETWORK_ERROR),
        (UpstreamTimeout("first_byte", 600), Status.TIMEOUT),
        (UpstreamTimeout("connect", 10), Status.TIMEOUT),
        (Disconnect("reset"), Status.SERVER_ERROR),
        (ProtocolError("not HTTP"), Status.SERVER_ERROR),
    ],
)
def test_no_answer_is_never_a_keys_fault(
    error: ConnectError | UpstreamTimeout | Disconnect | ProtocolError, verdict: Status
) -> None:
    found = classify_failure(error)
    assert (found.scope, found.status) == (Scope.PROVIDER, verdict)
    assert not found.blames_key
