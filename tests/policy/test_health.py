"""The life of a key as values: what a verdict or the passing of time makes of a standing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.provider import HealthConfig
from gateway.policy.health import (
    DISABLED,
    LIFTED_BY_PROBE,
    SHORTEST_REST,
    TRANSITIONS,
    UNTESTED,
    VALID,
    WAKE_OF,
    Event,
    Standing,
    Wake,
    advance,
    amnesty,
    count_failure,
    default_rest,
    due,
    event_of,
    faults_in_row,
    forgive_downtime,
    outlasts,
    rest_until,
    wake,
)
from gateway.policy.verdict import Provenance, Scope, Status, Verdict

NOW = 1_800_000_000.0
HEALTH = HealthConfig()
BENCHING = sorted(WAKE_OF)
AUTOMATIC = sorted({status for status, _ in TRANSITIONS} - {Status.DISABLED})
DAY = 86400.0
S = Status


def verdict(status: Status, until: float | None = None, scope: Scope = Scope.KEY) -> Verdict:
    provenance = Provenance.HEURISTIC if until is None else Provenance.AUTHORITATIVE
    return Verdict(scope, status, "reason", until, provenance, "evidence")


@pytest.mark.parametrize(
    ("current", "told", "becomes"),
    [
        (S.UNTESTED, S.SUSPECT, S.SUSPECT),
        (S.VALID, S.SUSPECT, S.SUSPECT),
        (S.RATE_LIMITED, S.SUSPECT, S.SUSPECT),
        (S.SUSPECT, S.SUSPECT, S.INVALID_KEY),
        (S.INVALID_KEY, S.SUSPECT, S.INVALID_KEY),
        (S.NO_ACCESS, S.SUSPECT, S.INVALID_KEY),
        (S.VALID, S.NO_ACCESS, S.SUSPECT),
        (S.NO_QUOTA, S.NO_ACCESS, S.SUSPECT),
        (S.SUSPECT, S.NO_ACCESS, S.NO_ACCESS),
        (S.NO_ACCESS, S.NO_ACCESS, S.NO_ACCESS),
        (S.SUSPECT, S.RATE_LIMITED, S.RATE_LIMITED),
        (S.INVALID_KEY, S.NO_QUOTA, S.NO_QUOTA),
        (S.VALID, S.NO_MODEL, S.NO_MODEL),
    ],
)
def test_a_rejection_is_believed_the_second_time_and_everything_else_at_once(
    current: Status, told: Status, becomes: Status
) -> None:
    before = Standing(current, streak=int(current is S.SUSPECT))
    assert advance(before, verdict(told), NOW, HEALTH).status is becomes


def test_a_limit_never_counts_towards_invalid() -> None:
    bad = {S.SUSPECT, S.INVALID_KEY, S.NO_ACCESS}
    rejections = {Event.REJECTED, Event.REJECTED_FOR_GOOD, Event.FORBIDDEN, Event.FORBIDDEN_FOR_GOOD}
    assert all(event in rejections for (_, event), after in TRANSITIONS.items() if after in bad)


def test_as_many_rejections_as_configured_make_a_suspect_invalid() -> None:
    standing, seen = VALID, []
    for _ in range(5):
        standing = advance(standing, verdict(S.SUSPECT), NOW, HEALTH, confirmations=3)
        seen.append(standing.status)
    assert seen == [S.SUSPECT, S.SUSPECT, S.SUSPECT, S.INVALID_KEY, S.INVALID_KEY]
    assert event_of(Standing(S.SUSPECT, streak=3), S.NO_ACCESS, 3) is Event.FORBIDDEN_FOR_GOOD


@pytest.mark.parametrize("status", AUTOMATIC)
def test_every_automatic_status_is_left_by_success_and_by_the_operators_word(status: Status) -> None:
    assert TRANSITIONS[status, Event.SUCCESS] is S.VALID
    assert TRANSITIONS[status, Event.CLEARED] is S.UNTESTED
    assert TRANSITIONS[status, Event.DISABLED] is S.DISABLED


def test_only_the_operator_ends_what_the_operator_said() -> None:
    events = {event for status, event in TRANSITIONS if status is S.DISABLED}
    assert events == {Event.ENABLED, Event.CLEARED}


def test_a_list_of_models_proves_the_credential_and_nothing_else() -> None:
    lifted = {status for status, event in TRANSITIONS if event is Event.LISTED}
    assert lifted == {S.UNTESTED, S.SUSPECT, S.INVALID_KEY} == LIFTED_BY_PROBE["models"]
    assert LIFTED_BY_PROBE["request"] == lifted | {S.NO_QUOTA, S.NO_MODEL, S.NO_ACCESS}


@pytest.mark.parametrize(
    ("failing_days", "told", "rest_days"),
    [
        (29, S.NO_QUOTA, 0.25),
        (30, S.NO_QUOTA, 10),
        (89, S.INVALID_KEY, 10),
        (90, S.INVALID_KEY, None),
        (90, S.NO_QUOTA, None),
        (400, S.RATE_LIMITED, 60 / DAY),
    ],
)
def test_who_fails_for_long_is_looked_at_seldom_and_then_no_more(
    failing_days: float, told: Status, rest_days: float | None
) -> None:
    before = Standing(told, NOW, failing_since=NOW - failing_days * DAY, due=True)
    after = advance(before, verdict(told), NOW, HEALTH)
    assert after.until == (None if rest_days is None else NOW + rest_days * DAY)
    assert after.stopped is (rest_days is None)
    named = advance(before, verdict(told, NOW + 5), NOW, HEALTH)
    assert named.until == NOW + 5, "the provider's word stands"


@pytest.mark.parametrize(("late_days", "forgiven"), [(1, 0), (3, 3)])
def test_time_that_the_gateway_was_off_does_not_count_as_failing(late_days: float, forgiven: float) -> None:
    before = Standing(S.INVALID_KEY, NOW - late_days * DAY, failing_since=NOW - 50 * DAY)
    after = forgive_downtime(before, NOW, HEALTH)
    assert after.failing_since == NOW - (50 - forgiven) * DAY
    assert after.until == before.until


def test_amnesty_makes_a_key_due_and_its_failing_begin_now() -> None:
    stopped = Standing(S.INVALID_KEY, None, failing_since=NOW - 99 * DAY, streak=4)
    after = amnesty(stopped, NOW)
    assert (after.until, after.failing_since, after.status) == (NOW, NOW, S.INVALID_KEY)


@pytest.mark.parametrize(("seconds", "in_row"), [(599, 1), (601, 0)])
def test_faults_far_apart_are_not_in_a_row(seconds: float, in_row: int) -> None:
    once = count_failure(VALID, verdict(S.SERVER_ERROR, scope=Scope.PROVIDER), NOW)
    assert faults_in_row(once, NOW + seconds, HEALTH) == in_row


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        (S.RATE_LIMITED, 60),
        (S.NO_QUOTA, 6 * 3600),
        (S.SERVER_ERROR, 1800),
        (S.OVERLOADED, 1800),
        (S.TIMEOUT, 1800),
        (S.NO_MODEL, 3600),
        (S.SUSPECT, 65),
        (S.NO_ACCESS, 10 * 86400),
        (S.INVALID_KEY, 10 * 86400),
    ],
)
def test_a_rest_without_a_hint_is_the_policys(status: Status, seconds: float) -> None:
    assert default_rest(status, HEALTH) == seconds
    assert rest_until(status, verdict(status), NOW, NOW, HEALTH) == NOW + seconds


@given(st.sampled_from(BENCHING), st.none() | st.floats(-1e12, 1e12))
def test_every_rest_has_an_end_within_bounds_and_a_hint_is_not_shortened(status: Status, seconds: float | None) -> None:
    until = None if seconds is None else NOW + seconds
    end = rest_until(status, verdict(status, until), NOW, NOW, HEALTH)
    assert end is not None
    assert NOW + SHORTEST_REST <= end <= NOW + HEALTH.max_cooldown
    if until is not None and NOW + SHORTEST_REST <= until <= NOW + HEALTH.max_cooldown:
        assert end == until


@given(
    st.sampled_from([UNTESTED, VALID]) | st.sampled_from(BENCHING).map(lambda status: Standing(status, NOW, due=True)),
    st.sampled_from(BENCHING),
)
def test_whoever_is_benched_is_not_eligible_until_it_is_due(before: Standing, told: Status) -> None:
    after = advance(before, verdict(told), NOW, HEALTH)
    assert not after.usable and not after.eligible and after.until is not None
    assert after.status in WAKE_OF
    assert due(after).eligible and not due(after).usable


@given(st.sampled_from(AUTOMATIC), st.sampled_from(BENCHING), st.booleans())
def test_the_first_failure_after_a_success_is_remembered(current: Status, told: Status, proven: bool) -> None:
    before = Standing(current, failing_since=NOW - 5, proven=proven)
    assert advance(before, verdict(told), NOW, HEALTH).failing_since == NOW - 5


def test_what_the_verdict_said_is_kept() -> None:
    after = advance(VALID, verdict(S.RATE_LIMITED, NOW + 20), NOW, HEALTH)
    assert after == Standing(
        S.RATE_LIMITED, NOW + 20, Provenance.AUTHORITATIVE, "reason", "evidence", failing_since=NOW, proven=True
    )
    later = advance(after, verdict(S.NO_QUOTA), NOW + 30, HEALTH)
    assert later.failing_since == NOW, "it has not succeeded since"


@pytest.mark.parametrize(
    ("proven", "told", "remains"),
    [
        (True, S.RATE_LIMITED, True),
        (True, S.SUSPECT, True),
        (False, S.RATE_LIMITED, False),
    ],
)
def test_a_key_has_proven_itself_until_it_is_confirmed_bad(proven: bool, told: Status, remains: bool) -> None:
    before = Standing(S.VALID, proven=proven)
    assert advance(before, verdict(told), NOW, HEALTH).proven is remains
    suspect = Standing(S.SUSPECT, NOW, streak=1, proven=True)
    assert advance(suspect, verdict(S.SUSPECT), NOW, HEALTH).proven is False


def test_a_providers_faults_are_counted_and_any_other_verdict_begins_anew() -> None:
    fault = verdict(S.SERVER_ERROR, scope=Scope.PROVIDER)
    once = count_failure(VALID, fault, NOW)
    assert (once.status, once.streak, once.failing_since, once.usable) == (S.VALID, 1, NOW, True)
    twice = advance(once, fault, NOW + 5, HEALTH)
    assert (twice.status, twice.streak, twice.failing_since) == (S.SERVER_ERROR, 2, NOW)
    assert advance(twice, verdict(S.RATE_LIMITED), NOW, HEALTH).streak == 0


def test_a_fault_during_a_trial_leaves_the_trial_to_the_next() -> None:
    trial = due(Standing(S.NO_QUOTA, NOW))
    after = count_failure(trial, verdict(S.TIMEOUT, scope=Scope.PROVIDER), NOW)
    assert (after.status, after.until, after.eligible) == (S.NO_QUOTA, NOW, True)


@pytest.mark.parametrize(("proven", "status"), [(True, S.VALID), (False, S.UNTESTED)])
def test_who_returns_is_what_it_was(proven: bool, status: Status) -> None:
    after = wake(Standing(S.RATE_LIMITED, NOW, reason="r", evidence="e", failing_since=1.0, streak=2, proven=proven))
    assert after == Standing(status, None, reason="r", evidence="e", failing_since=1.0, streak=2, proven=proven)


def test_limits_and_faults_pass_and_accusations_are_tried() -> None:
    returning = {status for status, how in WAKE_OF.items() if how is Wake.RETURN}
    assert returning == {S.RATE_LIMITED, S.SERVER_ERROR, S.OVERLOADED, S.TIMEOUT}
    usable = {S.UNTESTED, S.VALID, S.DISABLED, S.REMOVED}
    outcomes = {S.BAD_REQUEST, S.NETWORK_ERROR, S.STREAM_DISCONNECT, S.UNKNOWN}
    assert set(WAKE_OF) == set(Status) - usable - outcomes


def test_a_disabled_key_is_never_eligible() -> None:
    assert not DISABLED.eligible


@pytest.mark.parametrize(
    ("standing", "told", "longer"),
    [
        (S.RATE_LIMITED, verdict(S.RATE_LIMITED, NOW + 90), True),
        (S.RATE_LIMITED, verdict(S.NO_QUOTA, NOW + 90), True),
        (S.NO_QUOTA, verdict(S.RATE_LIMITED, NOW + 90), True),
        (S.RATE_LIMITED, verdict(S.RATE_LIMITED, NOW + 30), False),
        (S.RATE_LIMITED, verdict(S.RATE_LIMITED), False),
        (S.SUSPECT, verdict(S.RATE_LIMITED, NOW + 90), False),
        (S.RATE_LIMITED, verdict(S.SUSPECT), False),
    ],
)
def test_only_the_providers_own_later_time_prolongs_a_rest(standing: Status, told: Verdict, longer: bool) -> None:
    assert outlasts(Standing(standing, NOW + 60), told) is longer
