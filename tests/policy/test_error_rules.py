"""The operator's rules: which holds, which decides, and whom it blames."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import jsonlib
from gateway.config.provider import ErrorParsingConfig, ErrorRule
from gateway.config.rules import LONG_TEXT, SHORT_TEXT
from gateway.policy.error_rules import MEANINGS, Rule, compile_rules, find_rule
from gateway.policy.verdict import Scope, Status

GOOGLE = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{}, {"reason": "QUOTA", "fatal": True}]}}]
FLAT = {"code": 30001, "message": "plan ended", "nested": {"0": "zero"}}


def rules(*each: ErrorRule, enabled: bool = True) -> tuple[Rule, ...]:
    return compile_rules(ErrorParsingConfig(enabled, each))


def rule(
    path: str = "$", pattern: str = ".", status: int = 0, map_to: str = "no_quota", priority: int = 0
) -> ErrorRule:
    return ErrorRule(status, path, pattern, map_to, priority)


def holds(path: str, pattern: str, body: Any, status: int = 429) -> bool:
    return find_rule(rules(rule(path, pattern)), status, body, jsonlib.dumps(body).decode()) is not None


@pytest.mark.parametrize(
    ("path", "pattern", "body", "found"),
    [
        ("message", "^plan ended$", FLAT, True),
        ("$.message", "ended", FLAT, True),
        ("message", "^ended", FLAT, False),
        ("code", "^30001$", FLAT, True),
        ("nested.0", "zero", FLAT, True),
        ("nested", ".", FLAT, False),
        ("message.code", ".", FLAT, False),
        ("missing.code", ".", FLAT, False),
        ("error.status", "EXHAUSTED", GOOGLE, True),
        ("error.details.1.reason", "QUOTA", GOOGLE, True),
        ("error.details.1.fatal", "^true$", GOOGLE, True),
        ("error.details.0.reason", ".", GOOGLE, False),
        ("error.details.7.reason", ".", GOOGLE, False),
        ("error.details.reason", ".", GOOGLE, False),
        ("0.error.code", "429", GOOGLE, True),
        ("1.error.code", "429", GOOGLE, False),
        ("$", '"message":"plan', FLAT, True),
        ("$", r"^\[\{", GOOGLE, True),
        ("error", ".", [], False),
        ("error", ".", "a string", False),
        ("error", ".", None, False),
        ("error", ".", {"error": None}, False),
        ("error", "plain words", {"error": "plain words"}, True),
    ],
)
def test_a_path_leads_through_objects_and_arrays(path: str, pattern: str, body: Any, found: bool) -> None:
    assert holds(path, pattern, body) is found


def test_a_body_that_is_no_json_has_only_its_raw_text() -> None:
    both = rules(rule("error", "."), rule("$", "^quota gone"))
    decided = find_rule(both, 500, None, "quota gone, sorry")
    assert decided is not None
    assert decided.number == 2


@pytest.mark.parametrize(("wanted", "status", "found"), [(0, 418, True), (429, 429, True), (429, 430, False)])
def test_a_status_must_be_the_answers(wanted: int, status: int, found: bool) -> None:
    assert (find_rule(rules(rule(status=wanted)), status, None, "x") is not None) is found


def test_the_highest_priority_decides_and_among_equals_the_first() -> None:
    ordered = rules(rule(priority=1), rule(priority=5, map_to="timeout"), rule(priority=5), rule(priority=-1))
    assert [each.number for each in ordered] == [2, 3, 1, 4]
    decided = find_rule(ordered, 400, None, "x")
    assert decided is not None
    assert (decided.row.reason, decided.row.verdict) == ("rule_2", Status.TIMEOUT)


def test_rules_that_are_switched_off_are_not_there() -> None:
    assert rules(rule(), enabled=False) == ()


@pytest.mark.parametrize("map_to", MEANINGS)
def test_whom_a_rule_blames_follows_from_what_it_maps_to(map_to: str) -> None:
    (compiled,) = rules(rule(map_to=map_to))
    assert (compiled.row.scope, compiled.row.verdict) == MEANINGS[map_to]


def test_no_rule_confirms_a_rejection_or_speaks_for_the_operator() -> None:
    given = {status for _, status in MEANINGS.values()}
    assert given.isdisjoint({Status.INVALID_KEY, Status.DISABLED, Status.REMOVED, Status.VALID, Status.UNTESTED})
    assert MEANINGS["network_error"][0] is Scope.PROVIDER, "a key is never blamed for the way"


def test_a_pattern_sees_only_the_beginning_of_a_long_text() -> None:
    assert find_rule(rules(rule("$", "needle")), 400, None, "x" * (LONG_TEXT - 6) + "needle") is not None
    assert find_rule(rules(rule("$", "needle")), 400, None, "x" * LONG_TEXT + "needle") is None
    assert find_rule(rules(rule("$", ".*x.*needle")), 400, None, "x" * SHORT_TEXT + "needle") is None


PARTS = st.sampled_from(["error", "code", "0", "1", "message"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner),
    max_leaves=10,
)


@given(st.lists(PARTS, min_size=1, max_size=5), JSON)
def test_no_body_is_too_strange(path: list[str], body: Any) -> None:
    find_rule(rules(rule(".".join(path))), 400, body, "")
