"""From an answer to a verdict: a line for each meaning, with bodies in the shapes that providers send."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.provider import ErrorParsingConfig, ErrorRule
from gateway.errors import ConnectError, Disconnect, ProtocolError, ProxyError, UpstreamError, UpstreamTimeout
from gateway.policy.calendar import MIDNIGHT_PACIFIC
from gateway.policy.error_rules import compile_rules
from gateway.policy.proxyhealth import EGRESS_REASONS
from gateway.policy.verdict import EVIDENCE_LIMIT, Provenance, Row, Scope, Status, Verdict, statuses
from gateway.providers.classify import Meanings, classify_answer, classify_failure, classify_inside, judge_answer
from tests.providers.bodies import (
    ACCOUNT_NO_QUOTA,
    CHALLENGE,
    CLIENT,
    FAILED,
    KEY_LIMITED,
    KEY_SUSPECT,
    MODEL,
    NGINX,
    NO_ACCESS,
    OVERLOADED,
    google,
    openai,
)
from tests.providers.bodies import COMMON as COMMON_ANSWERS

NOW = 1_800_000_000.0
COMMON = Meanings()
Headers = Sequence[tuple[bytes, bytes]]
JSON: Headers = ((b"content-type", b"application/json"),)
HTML: Headers = ((b"content-type", b"text/html; charset=UTF-8"),)


@pytest.mark.parametrize(("status", "body", "meaning"), COMMON_ANSWERS)
def test_every_answer_has_a_meaning(status: int, body: bytes, meaning: tuple[Scope, Status]) -> None:
    headers = HTML if body.lstrip().startswith(b"<") else JSON
    verdict = classify_answer(COMMON, status, headers, body, NOW)
    assert (verdict.scope, verdict.status) == meaning
    assert verdict.until is None and verdict.provenance is Provenance.HEURISTIC
    assert verdict.evidence.startswith(f"{status}")
    assert verdict.reason
    bare = classify_answer(COMMON, status, (), body, NOW)
    assert (bare.scope, bare.status) == meaning, "the type of the content may be missing"


@pytest.mark.parametrize(
    ("status", "page", "reason"),
    [
        (403, CHALLENGE, "challenge_page"),
        (403, b"<html><title>403 Forbidden</title>", "challenge_page"),
        (503, CHALLENGE, "challenge_page"),
        (503, b"<!doctype html><title>Attention Required! | Cloudflare</title>", "challenge_page"),
        (503, NGINX, "error_page"),
    ],
)
def test_a_page_of_a_balancer_whose_servers_are_down_refuses_nobodys_address(
    status: int, page: bytes, reason: str
) -> None:
    verdict = classify_answer(COMMON, status, HTML, page, NOW)
    assert verdict.reason == reason
    assert (verdict.reason in EGRESS_REASONS) is (reason == "challenge_page")


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


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait"),
    [
        (503, [(b"retry-after", b"20")], b"", 20),
        (529, [(b"retry-after", b"0.5")], openai("Overloaded", "overloaded_error"), 0.5),
        (500, [(b"retry-after", b"Fri, 15 Jan 2027 08:01:00 GMT")], b"", 60),
        (502, [(b"retry-after-ms", b"1500")], b"", 1.5),
        (503, [(b"retry-after", b"0")], b"", 0),
        (503, [], google(503, "UNAVAILABLE", "The model is overloaded.", RETRY_INFO), 23),
        (503, [], openai("Overloaded. Please try again in 30 seconds.", "overloaded_error"), 30),
        (503, [], b"", None),
        (503, [(b"retry-after", b"soon")], b"", None),
        (500, [(b"x-ratelimit-remaining-tokens", b"0"), (b"x-ratelimit-reset-tokens", b"9s")], b"", None),
        (500, [(b"anthropic-ratelimit-tokens-reset", b"2027-01-15T08:00:30Z")], b"", None),
        (429, [(b"retry-after", b"20")], LIMIT, None),
        (400, [(b"retry-after", b"20")], b"", None),
    ],
)
def test_a_provider_at_fault_says_how_long_it_wants_to_be_left_alone(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, wait: float | None
) -> None:
    verdict = classify_answer(COMMON, status, [*JSON, *headers], body, NOW)
    assert verdict.wait == (None if wait is None else pytest.approx(wait))
    if wait is not None:
        assert (verdict.scope, verdict.until) == (Scope.PROVIDER, None), "no key rests for it"
        assert f"{status} " in verdict.evidence and "(" in verdict.evidence


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


def test_the_operators_rules_come_before_the_vendors_and_keep_the_providers_time() -> None:
    row = Row(Scope.CLIENT, Status.BAD_REQUEST, "vendor", statuses(418))
    own = compile_rules(ErrorParsingConfig(rules=(ErrorRule(418, "$", "tea", "rate_limited"),)))
    judged = judge_answer(Meanings(own, (row,)), 418, [*JSON, (b"retry-after", b"20")], b"no tea", NOW)
    assert (judged.verdict.scope, judged.verdict.status, judged.verdict.reason) == (*KEY_LIMITED, "rule_1")
    assert judged.verdict.until == NOW + 20
    assert judged.rule is own[0]
    without = judge_answer(Meanings(own, (row,)), 418, JSON, b"coffee", NOW)
    assert (without.row, without.rule) == (row, None)


def test_a_quota_that_returns_by_the_calendar_outranks_every_hint() -> None:
    row = Row(Scope.ACCOUNT, Status.NO_QUOTA, "daily", statuses(429), reset=MIDNIGHT_PACIFIC)
    body = google(429, "RESOURCE_EXHAUSTED", "Please retry in 964 ms", RETRY_INFO)
    verdict = classify_answer(Meanings(rows=(row,)), 429, [*JSON, (b"retry-after", b"7200")], body, NOW)
    assert verdict.until == NOW + 86400  # NOW is midnight there
    assert verdict.provenance is Provenance.AUTHORITATIVE
    assert "(quota: midnight Pacific)" in verdict.evidence
