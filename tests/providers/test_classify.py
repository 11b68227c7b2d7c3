"""From an answer to a verdict: a line for each meaning, with bodies in the shapes that providers send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import jsonlib
from gateway.errors import ConnectError, Disconnect, ProtocolError, ProxyError, UpstreamError, UpstreamTimeout
from gateway.policy.verdict import EVIDENCE_LIMIT, Provenance, Row, Scope, Status, Verdict, statuses
from gateway.providers.classify import Meanings, classify_answer, classify_failure, classify_inside

NOW = 1_800_000_000.0
COMMON = Meanings()
Headers = Sequence[tuple[bytes, bytes]]
JSON: Headers = ((b"content-type", b"application/json"),)
HTML: Headers = ((b"content-type", b"text/html; charset=UTF-8"),)
CHALLENGE = b"<!DOCTYPE html><html lang=en><head><title>Just a moment...</title></head><body></body></html>"
NGINX = b"<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body><hr>nginx</body></html>"


def openai(message: str, kind: str | None = None, code: str | None = None) -> bytes:
    return jsonlib.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def anthropic(kind: str, message: str) -> bytes:
    return jsonlib.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


def google(code: int, status: str, message: str, *details: dict[str, Any], wrapped: bool = True) -> bytes:
    """`wrapped`: in an array, as the OpenAI-compatible endpoint sends it."""
    error = {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    return jsonlib.dumps([error] if wrapped else error)


def reason(name: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name, "domain": "googleapis.com"}


KEY_SUSPECT = (Scope.KEY, Status.SUSPECT)
ACCOUNT_NO_QUOTA = (Scope.ACCOUNT, Status.NO_QUOTA)
KEY_LIMITED = (Scope.KEY, Status.RATE_LIMITED)
NO_ACCESS = (Scope.KEY_MODEL, Status.NO_ACCESS)
REGION = (Scope.PROVIDER, Status.NO_ACCESS)
CHALLENGED = (Scope.PROVIDER, Status.UNKNOWN)
MODEL = (Scope.CLIENT, Status.NO_MODEL)
CLIENT = (Scope.CLIENT, Status.BAD_REQUEST)
FAILED = (Scope.PROVIDER, Status.SERVER_ERROR)
OVERLOADED = (Scope.PROVIDER, Status.OVERLOADED)

ANSWERS: list[tuple[int, bytes, tuple[Scope, Status]]] = [
    # The credential.
    (401, openai("Incorrect API key provided: sk-abcd.", "invalid_request_error", "invalid_api_key"), KEY_SUSPECT),
    (401, anthropic("authentication_error", "invalid x-api-key"), KEY_SUSPECT),
    (401, jsonlib.dumps({"detail": "Unauthorized"}), KEY_SUSPECT),
    (401, b"<html><head><title>401 Authorization Required</title></head></html>", KEY_SUSPECT),
    (401, b"", KEY_SUSPECT),
    (403, openai("Your account is not active.", "invalid_request_error", "account_deactivated"), KEY_SUSPECT),
    (400, google(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")), KEY_SUSPECT),
    (403, google(403, "PERMISSION_DENIED", "Bad key.", reason("API_KEY_INVALID"), wrapped=False), KEY_SUSPECT),
    # The account's money.
    (402, openai("Insufficient Balance", "unknown_error", "invalid_request_error"), ACCOUNT_NO_QUOTA),
    (402, b"Payment Required", ACCOUNT_NO_QUOTA),
    (429, openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"), ACCOUNT_NO_QUOTA),
    (429, openai("You exceeded your current quota.", "insufficient_quota"), ACCOUNT_NO_QUOTA),
    (400, openai("Hard limit.", "invalid_request_error", "billing_hard_limit_reached"), ACCOUNT_NO_QUOTA),
    (429, openai("Hard limit.", "invalid_request_error", "billing_hard_limit_reached"), ACCOUNT_NO_QUOTA),
    (429, openai("Not active.", "billing_not_active", "billing_not_active"), ACCOUNT_NO_QUOTA),
    (400, anthropic("invalid_request_error", "Your credit balance is too low to go on."), ACCOUNT_NO_QUOTA),
    (400, jsonlib.dumps({"code": "Arrearage", "message": "Access denied.", "request_id": "1"}), ACCOUNT_NO_QUOTA),
    # Its limits.
    (429, openai("Rate limit reached for requests.", "requests", "rate_limit_exceeded"), KEY_LIMITED),
    (429, anthropic("rate_limit_error", "This would exceed your rate limit."), KEY_LIMITED),
    (429, jsonlib.dumps({"object": "error", "message": "Rate limit exceeded", "code": "1300"}), KEY_LIMITED),
    (429, google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."), KEY_LIMITED),
    (429, b"Too many requests", KEY_LIMITED),
    (429, openai("Request too large for m on tokens per min (TPM).", "tokens", "rate_limit_exceeded"), CLIENT),
    # Permission.
    (403, openai("You are not allowed to sample from this model", "invalid_request_error"), NO_ACCESS),
    (403, google(403, "PERMISSION_DENIED", "The API is disabled.", reason("SERVICE_DISABLED")), NO_ACCESS),
    (403, google(403, "PERMISSION_DENIED", "Referer.", reason("API_KEY_HTTP_REFERRER_BLOCKED")), NO_ACCESS),
    (403, google(403, "PERMISSION_DENIED", "Address.", reason("API_KEY_IP_ADDRESS_BLOCKED")), NO_ACCESS),
    # Where we call from, and who stands between.
    (403, openai("Not supported.", "request_forbidden", "unsupported_country_region_territory"), REGION),
    (400, google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), REGION),
    (403, CHALLENGE, CHALLENGED),
    (503, CHALLENGE, CHALLENGED),
    (503, NGINX, CHALLENGED),
    # A model that is not there: the pool knows whether other keys serve it.
    (404, openai("The model `m` does not exist.", "invalid_request_error", "model_not_found"), MODEL),
    (400, openai("The requested model 'm' does not exist.", "invalid_request_error", "model_not_found"), MODEL),
    (404, openai('model "m:latest" not found, try pulling it first', "api_error"), MODEL),
    (404, anthropic("not_found_error", "model: no-such-model"), MODEL),
    (404, google(404, "NOT_FOUND", "models/m-1.5 is not found for API version v1beta"), MODEL),
    (404, openai("The API deployment does not exist.", code="DeploymentNotFound"), MODEL),
    # The request's own mistakes.
    (404, openai("Invalid URL (POST /v1/chat/nonsense)", "invalid_request_error", "unknown_url"), CLIENT),
    (404, openai("This is not a chat model and thus not supported here.", "invalid_request_error"), CLIENT),
    (400, openai("Maximum context length exceeded.", "invalid_request_error", "context_length_exceeded"), CLIENT),
    (400, openai("Invalid prompt: 'my credit, my quota, my invalid api key'", "invalid_request_error"), CLIENT),
    (400, openai("my essay is about credit, balance and quota", "invalid_request_error"), CLIENT),
    (404, b"Not Found", CLIENT),
    (405, openai("Method not allowed."), CLIENT),
    (413, b"Failed to buffer the request body: length limit exceeded", CLIENT),
    (415, jsonlib.dumps({"detail": "Unsupported Media Type"}), CLIENT),
    (422, jsonlib.dumps({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}), CLIENT),
    (501, openai("The current model does not support audio input.", "not_supported_error"), CLIENT),
    (418, b"", CLIENT),
    # The provider's.
    (500, openai("The server had an error while processing your request.", "server_error"), FAILED),
    (500, b"", FAILED),
    (502, b"<html><body>Bad Gateway</body></html>", FAILED),
    (504, b"upstream request timeout", FAILED),
    *((status, b"<html>cloudflare</html>", FAILED) for status in (520, 521, 522, 523, 524)),
    (503, openai("That model is currently overloaded with other requests.", "server_error"), OVERLOADED),
    (503, b"upstream connect error or disconnect/reset before headers", OVERLOADED),
    (503, google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), OVERLOADED),
    (529, anthropic("overloaded_error", "Overloaded"), OVERLOADED),
    (408, b"", (Scope.PROVIDER, Status.TIMEOUT)),
]


@pytest.mark.parametrize(("status", "body", "meaning"), ANSWERS)
def test_every_answer_has_a_meaning(status: int, body: bytes, meaning: tuple[Scope, Status]) -> None:
    headers = HTML if body.lstrip().startswith(b"<") else JSON
    verdict = classify_answer(COMMON, status, headers, body, NOW)
    assert (verdict.scope, verdict.status) == meaning
    assert verdict.until is None and verdict.provenance is Provenance.HEURISTIC
    assert verdict.evidence.startswith(f"{status}")
    assert verdict.reason
    bare = classify_answer(COMMON, status, (), body, NOW)
    assert (bare.scope, bare.status) == meaning, "the type of the content may be missing"


LIMIT = openai("Rate limit reached.", "requests", "rate_limit_exceeded")
QUOTA = openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "23s"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, [(b"retry-after", b"20")], LIMIT, 20),
        (429, [(b"retry-after", b"0.5")], LIMIT, 0.5),
        (429, [(b"retry-after", b"Fri, 15 Jan 2027 08:01:00 GMT")], LIMIT, 60),
        (429, [(b"retry-after-ms", b"1500")], LIMIT, 1.5),
        (429, [(b"retry-after", b"20"), (b"retry-after-ms", b"1500")], LIMIT, 20),
        (429, [(b"anthropic-ratelimit-tokens-reset", b"2027-01-15T08:00:30Z")], LIMIT, 30),
        (
            429,
            [(b"x-ratelimit-remaining-tokens", b"0"), (b"x-ratelimit-reset-tokens", b"1m26.4s")],
            LIMIT,
            86.4,
        ),
        (429, [], google(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", RETRY_INFO), 23),
        (429, [], openai("Please try again in 7m12s.", "tokens", "rate_limit_exceeded"), 432),
        (429, [], b"Slow down. Please retry after 12 seconds", 12),
        (429, [], LIMIT, None),
        (429, [(b"retry-after", b"soon")], LIMIT, None),
        (429, [(b"retry-after", b"86400")], QUOTA, 86400),
        (429, [(b"retry-after", b"1")], QUOTA, None),  # a rate limit's header beside a quota's error
        (402, [(b"retry-after", b"3600")], b"", 3600),
        (401, [(b"retry-after", b"20")], b"", None),
        (503, [(b"retry-after", b"20")], b"", None),
    ],
)
def test_the_providers_own_time_is_taken_for_limits_and_quotas(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, seconds: float | None
) -> None:
    verdict = classify_answer(COMMON, status, [*JSON, *headers], body, NOW)
    if seconds is None:
        assert (verdict.until, verdict.provenance) == (None, Provenance.HEURISTIC)
    else:
        assert verdict.until == pytest.approx(NOW + seconds)
        assert verdict.provenance is Provenance.AUTHORITATIVE


def test_the_raw_hint_is_kept_as_evidence() -> None:
    verdict = classify_answer(COMMON, 429, [*JSON, (b"retry-after", b"20")], LIMIT, NOW)
    assert verdict.evidence == "429 rate_limit_exceeded (retry-after: 20) Rate limit reached."


@given(st.text(max_size=EVIDENCE_LIMIT + 50), st.text(max_size=20))
def test_evidence_is_bounded_and_holds_no_key(before: str, after: str) -> None:
    secret = "sk-0123456789abcdef0123456789abcdef"
    body = openai(f"{before}{secret}{after}", "invalid_request_error", "invalid_api_key")
    verdict = classify_answer(COMMON, 401, JSON, body, NOW, lambda text: text.replace(secret, "sk-…cdef"))
    assert len(verdict.evidence) <= EVIDENCE_LIMIT
    assert secret[:8] not in verdict.evidence


def test_a_vendors_rows_come_first() -> None:
    own = Row(Scope.KEY, Status.NO_QUOTA, "own", statuses(418))
    assert classify_answer(Meanings(rows=(own,)), 418, JSON, b"", NOW).reason == "own"


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ({"error": {"message": "Rate limited", "code": 429}}, KEY_LIMITED),
        ({"error": {"message": "No such model", "code": "model_not_found"}}, MODEL),
        ({"error": {"message": "Bad key", "code": "invalid_api_key"}}, KEY_SUSPECT),
        ({"error": {"message": "Quota", "code": "insufficient_quota"}}, ACCOUNT_NO_QUOTA),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, OVERLOADED),
        ({"type": "error", "error": {"type": "permission_error", "message": "No"}}, NO_ACCESS),
        ({"error": {"message": "Failed to call a function", "code": "tool_use_failed",
                    "type": "invalid_request_error"}}, CLIENT),
        ({"object": "error", "message": "Too long", "type": "BadRequestError", "code": 400}, CLIENT),
        ({"error": {"message": "Provider returned error", "code": 502}}, FAILED),
        ({"error": "something went wrong"}, FAILED),
    ],
)  # fmt: skip
def test_an_error_inside_a_200_means_what_it_would_alone(error: object, meaning: tuple[Scope, Status]) -> None:
    verdict = classify_inside(COMMON, JSON, error, NOW)
    assert (verdict.scope, verdict.status) == meaning


@pytest.mark.parametrize(
    ("error", "status", "why"),
    [
        (ConnectError("refused"), Status.NETWORK_ERROR, "connecterror"),
        (UpstreamTimeout("connect", 10), Status.NETWORK_ERROR, "timeout_connect"),
        (Disconnect("closed"), Status.NETWORK_ERROR, "disconnect"),
        (ProtocolError("not HTTP"), Status.NETWORK_ERROR, "protocolerror"),
        (UpstreamTimeout("write", 60), Status.TIMEOUT, "timeout_write"),
        (UpstreamTimeout("first_byte", 600), Status.TIMEOUT, "timeout_first_byte"),
        (UpstreamTimeout("idle", 300), Status.TIMEOUT, "timeout_idle"),
        (UpstreamTimeout("total", 900), Status.TIMEOUT, "timeout_total"),
    ],
)
def test_no_answer_is_never_the_keys_fault(error: UpstreamError, status: Status, why: str) -> None:
    assert classify_failure(error) == Verdict(Scope.PROVIDER, status, why, evidence=str(error))


@pytest.mark.parametrize(("beyond", "reason"), [(False, "proxy_failed"), (True, "beyond_proxy")])
def test_a_proxy_that_cannot_be_passed_is_neither_the_keys_nor_the_providers_fault(beyond: bool, reason: str) -> None:
    error = ProxyError("http://proxy.test:1 refuses connections", beyond=beyond)
    assert classify_failure(error) == Verdict(Scope.PROXY, Status.NETWORK_ERROR, reason, evidence=str(error))


@given(
    st.integers(400, 599),
    st.lists(
        st.tuples(st.sampled_from([b"content-type", b"retry-after", b"x-ratelimit-reset"]), st.binary(max_size=40)),
        max_size=3,
    ),
    st.binary(max_size=200),
)
def test_whatever_comes_there_is_a_verdict(status: int, headers: Headers, body: bytes) -> None:
    verdict = classify_answer(COMMON, status, headers, body, NOW)
    assert verdict.until is None or verdict.until >= NOW
