"""Facts read out of any envelope, and the rows that give them a meaning. Whole answers: `providers/test_classify`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.facts import TEXT_LIMIT, ErrorFacts, read_facts, status_inside
from gateway.policy.verdict import COMMON_ROWS, Row, Scope, Status, Verdict, decide_row, statuses, words

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "type", "message", "detail", "details", "status", "x"]), inner
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, ErrorFacts(400, "c", "t", message="m")),
        ({"type": "error", "error": {"type": "t", "message": "m"}}, ErrorFacts(400, "", "t", message="m")),
        ({"code": "c", "error": "m"}, ErrorFacts(400, "c", "", message="m")),
        ({"detail": "m"}, ErrorFacts(400, message="m")),
        ({"object": "error", "message": "m", "type": "t", "code": "1300"}, ErrorFacts(400, "1300", "t", message="m")),
        ({"error": {"code": 400, "msg": "m"}}, ErrorFacts(400, message="m")),
        ({"error": {"code": "c"}, "message": "m"}, ErrorFacts(400, "c", message="m")),
        ({"error": None, "message": "m"}, ErrorFacts(400, message="m")),
        ({"code": 20012, "message": "m", "data": None}, ErrorFacts(400, "20012", message="m")),
        ({"error": {"code": True, "message": "m"}}, ErrorFacts(400, message="m")),
        ({"status": 400, "title": "t", "detail": "m"}, ErrorFacts(400, message="m")),
        ({"error": {"type": "t", "details": {"error_code": "e"}}}, ErrorFacts(400, "", "t", frozenset("e"))),
        (
            {"error": {"code": 400, "metadata": {"limit_source": "l", "flagged_input": "…"}}},
            ErrorFacts(400, reasons=frozenset({"l", "flagged_input"})),
        ),
        (
            [{"error": {"code": 400, "message": "m", "status": "S", "details": [{"reason": "R"}, {}, "x"]}}],
            ErrorFacts(400, reasons=frozenset("SR"), message="m"),
        ),
    ],
)
def test_every_envelope_is_opened(body: object, facts: ErrorFacts) -> None:
    assert read_facts(400, body, "", "application/json") == facts


PER_DAY = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}
PER_MINUTE = {"quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier"}
OLD = {"quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model_per_day"}


@pytest.mark.parametrize(
    ("violations", "message", "limits"),
    [
        ([PER_MINUTE, PER_DAY], "", {"PerDay", "PerModel"}),
        ([PER_MINUTE], "", {"PerMinute", "PerModel"}),
        ([{"quotaId": "RequestsPerDay"}, PER_MINUTE], "", {"PerDay"}),
        ([OLD], "", {"PerDay", "PerModel"}),
        ([PER_DAY, PER_MINUTE | {"quotaValue": "0"}], "", {"PerMinute", "PerModel", "Zero"}),
        ([PER_DAY], "* Quota exceeded, limit: 0, model: m", {"Zero"}),
        ([PER_DAY], "* Quota exceeded, limit: 0.5", {"PerDay", "PerModel"}),
        ([], "limit: 0", set()),
        ([{"quotaId": "PerDaydream"}, {"quotaId": 7}, "x", {}], "limit: 0", set()),
        ("none", "", set()),
        (None, "", set()),
    ],
)
def test_of_several_quotas_the_longest_counts(violations: Any, message: str, limits: set[str]) -> None:
    body = {"error": {"code": 429, "message": message, "details": [{"violations": violations}, {"reason": "R"}]}}
    assert read_facts(429, body, "", "").limits == limits
    assert read_facts(400, body, "", "").limits == set()


@pytest.mark.parametrize(
    ("text", "content_type", "html"),
    [
        ("<html><body>Just a moment...", "text/html; charset=utf-8", True),
        ("  \n<!DOCTYPE html><title>", "", True),
        ("upstream connect error", "text/plain", False),
        ("I like <html>", "text/plain", False),
        ("", "", False),
    ],
)
def test_a_page_is_told_from_a_sentence(text: str, content_type: str, html: bool) -> None:
    facts = read_facts(503, None, text, content_type)
    assert (facts.html, facts.message) == (html, text)


@given(JSON, st.integers(400, 599))
def test_no_body_is_too_strange(body: Any, status: int) -> None:
    row = decide_row(read_facts(status, body, "", ""))
    assert isinstance(row.verdict, Status)
    assert 400 <= status_inside(body) <= 599


@given(st.integers(400, 599), st.sampled_from(["", "rate_limit_exceeded", "invalid_value"]))
def test_a_clients_mistake_never_blames_a_key(status: int, code: str) -> None:
    row = decide_row(ErrorFacts(status, code, message="credit quota billing invalid key balance"))
    assert (row.scope in (Scope.KEY, Scope.KEY_MODEL, Scope.ACCOUNT)) == (status in (401, 402, 403, 429))


@pytest.mark.parametrize(
    "message",
    [
        "Write a poem about credit and quota",
        "Invalid value: 'my credit balance'",
        "Explain: insufficient_quota",
        "The user asked: 'Incorrect API key provided', why?",
        "I heard that User location is not supported",
    ],
)
def test_words_of_users_that_an_error_repeats_are_no_evidence(message: str) -> None:
    row = decide_row(ErrorFacts(400, "invalid_value", "invalid_request_error", message=message))
    assert (row.scope, row.verdict) == (Scope.CLIENT, Status.BAD_REQUEST)


def test_all_conditions_of_a_row_must_hold() -> None:
    row = Row(
        Scope.KEY, Status.SUSPECT, "r", statuses(400), words("c"), words("t"), text=re.compile("told"), html=False
    )
    facts: dict[str, Any] = {"status": 400, "code": "c", "type": "t", "message": "I was told"}
    assert row.matches(ErrorFacts(**facts))
    assert not replace(row, limits=words("PerDay")).matches(ErrorFacts(**facts))
    assert replace(row, limits=words("PerDay")).matches(ErrorFacts(**facts, limits=words("PerDay", "PerModel")))
    for name, other in {"status": 401, "code": "d", "type": "", "message": "I was", "html": True}.items():
        assert not row.matches(ErrorFacts(**{**facts, name: other}))
    assert row.matches(ErrorFacts(**{**facts, "code": "", "reasons": frozenset(["c"])}))


def test_text_is_looked_at_only_where_messages_are() -> None:
    row = Row(Scope.CLIENT, Status.UNKNOWN, "r", text=re.compile("needle"))
    assert row.matches(ErrorFacts(400, message="x" * (TEXT_LIMIT - 6) + "needle"))
    assert not row.matches(ErrorFacts(400, message="x" * TEXT_LIMIT + "needle"))


def test_a_vendors_rows_are_asked_first() -> None:
    own = Row(Scope.ACCOUNT, Status.NO_QUOTA, "own", statuses(401))
    assert decide_row(ErrorFacts(401), [own]) is own
    assert decide_row(ErrorFacts(403), [own]).reason == "forbidden"


def test_every_common_row_has_a_reason_of_its_own_kind() -> None:
    meanings: dict[str, set[tuple[Scope, Status]]] = {}
    for row in COMMON_ROWS:
        meanings.setdefault(row.reason, set()).add((row.scope, row.verdict))
    assert all(len(found) == 1 for found in meanings.values())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"code": 429}}, 429),
        ({"error": {"code": "503"}}, 503),
        ({"error": {"code": "insufficient_quota"}}, 429),
        ({"error": {"type": "overloaded_error"}}, 503),
        ({"error": {"code": "unheard_of", "type": "invalid_request_error"}}, 400),
        ({"error": {"code": 200}}, 500),
        ({"error": "words alone"}, 500),
        ({"error": "words", "code": "model_not_found"}, 404),
        ({"object": "error", "code": 404}, 404),
        ("nonsense", 500),
    ],
)
def test_an_error_inside_a_200_has_the_status_it_would_have_had(body: object, status: int) -> None:
    assert status_inside(body) == status


@pytest.mark.parametrize(
    ("scope", "key", "provider"),
    [
        (Scope.KEY, True, False),
        (Scope.KEY_MODEL, True, False),
        (Scope.ACCOUNT, True, False),
        (Scope.PROVIDER, False, True),
        (Scope.PROXY, False, True),
        (Scope.CLIENT, False, False),
        (Scope.GATEWAY, False, False),
    ],
)
def test_a_verdict_blames_one_side_at_most(scope: Scope, key: bool, provider: bool) -> None:
    verdict = Verdict(scope, Status.UNKNOWN, "")
    assert (verdict.blames_key, verdict.blames_provider) == (key, provider)
