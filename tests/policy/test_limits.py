"""A request passes all of its limits, or none of them counts it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.accounts import RateLimits
from gateway.policy.limits import Headroom, Limits, Refusal, Subject, Ticket


def everybody(**limits: int) -> Subject:
    return Subject("global", "", RateLimits(**limits))


def user(name: str = "ann", **limits: int) -> Subject:
    return Subject("user", name, RateLimits(**limits))


def token(name: str = "laptop", **limits: int) -> Subject:
    return Subject("token", name, RateLimits(**limits))


def passes(limits: Limits, now: float, *subjects: Subject, tokens: int = 0) -> bool:
    return isinstance(limits.take(subjects, tokens, now), Ticket)


def passes_and_ends(limits: Limits, now: float, subject: Subject) -> bool:
    ticket = limits.take([subject], 0, now)
    if isinstance(ticket, Ticket):
        ticket.settle(0, now)
    return isinstance(ticket, Ticket)


def refused(limits: Limits, now: float, *subjects: Subject, tokens: int = 0) -> Refusal:
    decision = limits.take(subjects, tokens, now)
    assert isinstance(decision, Refusal)
    return decision


@pytest.mark.parametrize("scope", [everybody, user, token])
@pytest.mark.parametrize(
    ("limit", "until"),
    [({"requests_per_minute": 3}, 61.0), ({"requests_per_hour": 3}, 3660.0), ({"tokens_per_minute": 30}, 61.0)],
)
def test_what_is_beyond_a_limit_is_refused_until_the_window_has_room(
    scope: Any, limit: dict[str, int], until: float
) -> None:
    limits, subject = Limits(), scope(**limit)
    assert [passes(limits, 0.0, subject, tokens=10) for _ in range(4)] == [True, True, True, False]
    refusal = refused(limits, 0.0, subject, tokens=10)
    assert (refusal.scope, refusal.kind, refusal.limit) == (subject.scope, *next(iter(limit.items())))
    assert refusal.retry_after == until
    assert not passes(limits, until - 0.01, subject, tokens=10)
    assert passes(limits, until, subject, tokens=10)


def test_requests_at_once_are_refused_until_one_ends() -> None:
    limits, subject = Limits(), user(concurrency=1)
    ticket = limits.take([subject], 0, 0.0)
    refusal = refused(limits, 0.0, subject)
    assert (refusal.kind, refusal.retry_after) == ("concurrency", 1.0)
    assert isinstance(ticket, Ticket)
    ticket.settle(0, 0.0)
    assert passes(limits, 0.0, subject)


def test_a_request_that_one_limit_refuses_is_counted_by_none() -> None:
    limits = Limits()
    first, second = everybody(requests_per_minute=2, concurrency=5), user(requests_per_minute=1)
    assert passes(limits, 0.0, first, second)
    for _ in range(10):
        assert refused(limits, 0.0, first, second).scope == "user"
    assert passes(limits, 0.0, first, user("bob", requests_per_minute=1))
    assert refused(limits, 0.0, first, user("eve", requests_per_minute=1)).scope == "global"


def test_the_limit_that_lasts_longest_is_named() -> None:
    limits = Limits()
    subjects = (everybody(requests_per_minute=1), user(requests_per_hour=1, concurrency=1))
    assert passes(limits, 0.0, *subjects)
    assert (refused(limits, 0.0, *subjects).scope, refused(limits, 0.0, *subjects).kind) == (
        "user",
        "requests_per_hour",
    )


def test_a_request_larger_than_the_limit_never_fits() -> None:
    limits, subject = Limits(), user(tokens_per_minute=100)
    assert refused(limits, 0.0, subject, tokens=101).retry_after is None
    assert passes(limits, 0.0, subject, tokens=100)
    assert refused(limits, 500.0, subject, tokens=101).tokens == Headroom(100, 100, 0.0)


def test_the_tightest_limits_are_told() -> None:
    limits = Limits()
    subjects = (everybody(requests_per_minute=100, tokens_per_minute=50), user(requests_per_hour=9), token())
    ticket = limits.take(subjects, 20, 10.0)
    assert isinstance(ticket, Ticket)
    assert ticket.requests == Headroom(9, 8, 3650.0)
    assert ticket.tokens == Headroom(50, 30, 61.0)
    refusal = refused(limits, 10.0, *subjects, tokens=31)
    assert (refusal.requests, refusal.tokens) == (ticket.requests, ticket.tokens)


def test_tokens_that_were_not_used_are_free_again() -> None:
    limits, subject = Limits(), user(tokens_per_minute=100)
    ticket = limits.take([subject], 90, 0.0)
    assert isinstance(ticket, Ticket)
    assert not passes(limits, 5.0, subject, tokens=20)
    ticket.settle(10, 5.0)
    assert passes(limits, 5.0, subject, tokens=90)
    assert refused(limits, 6.0, subject, tokens=10).retry_after == 55.0  # when the first request's ten leave


def test_tokens_beyond_the_reservation_count_later_when_its_time_is_over() -> None:
    limits, subject = Limits(), user(tokens_per_minute=100)
    ticket = limits.take([subject], 10, 0.0)
    assert isinstance(ticket, Ticket)
    ticket.settle(70, 200.0)
    assert refused(limits, 200.0, subject, tokens=50).retry_after == 61.0
    assert passes(limits, 200.0, subject, tokens=40)


def test_other_limits_change_nothing_about_what_was_counted() -> None:
    limits = Limits()
    assert all(passes(limits, 0.0, user(requests_per_minute=5)) for _ in range(3))
    assert refused(limits, 1.0, user(requests_per_minute=2)).limit == 2
    assert refused(limits, 1.0, user(requests_per_minute=2)).requests == Headroom(2, 0, 60.0)
    assert passes(limits, 1.0, user(requests_per_minute=4, requests_per_hour=1))
    assert refused(limits, 1.0, user(requests_per_minute=9, requests_per_hour=1)).kind == "requests_per_hour"


@pytest.mark.parametrize("kind", ["requests_per_minute", "requests_per_hour", "tokens_per_minute"])
def test_a_request_without_a_limit_forgets_nothing_of_what_was_counted_for_it(kind: str) -> None:
    limits, subject, other = Limits(), user("ann", **{kind: 2}), user(concurrency=9)
    got = [passes(limits, 0.0, each, tokens=1) for each in (subject, other, subject, other, subject, other, subject)]
    assert got == [True, True, True, True, False, True, False]


def test_one_with_something_counted_for_a_limit_that_it_has_no_more_is_not_idle() -> None:
    limits, subject = Limits(kept=1, limit=100), user(requests_per_minute=1)
    assert passes_and_ends(limits, 0.0, subject)
    assert passes_and_ends(limits, 0.0, user(concurrency=1))
    assert passes(limits, 1.0, user("bob", concurrency=1))
    assert not passes(limits, 1.0, subject)


def test_what_is_noted_counts_though_it_is_beyond_the_limit() -> None:
    limits, subject = Limits(), user(requests_per_minute=1)
    for _ in range(3):
        assert limits.note([subject], 0, 0.0).requests is not None
    assert refused(limits, 0.0, subject).requests == Headroom(1, 0, 61.0)


def test_only_idle_subjects_are_forgotten() -> None:
    limits = Limits(kept=3, limit=100)
    for n in range(10):
        assert passes_and_ends(limits, 0.0, user(f"user {n}", requests_per_minute=1))
    assert len(limits) == 10
    assert not any(passes(limits, 30.0, user(f"user {n}", requests_per_minute=1)) for n in range(10))
    for n in range(20):
        assert passes_and_ends(limits, 100.0 + n / 10, user(f"other {n}", requests_per_minute=1))
    assert len(limits) == 20


def test_one_with_a_request_in_flight_is_not_idle() -> None:
    limits = Limits(kept=1, limit=100)
    ticket = limits.take([user("ann", concurrency=1)], 0, 0.0)
    assert passes(limits, 500.0, user("bob", concurrency=1))
    assert not passes(limits, 500.0, user("ann", concurrency=1))
    assert isinstance(ticket, Ticket)


def test_there_is_an_end_to_what_is_kept() -> None:
    limits = Limits(kept=3, limit=5)
    for n in range(50):
        assert passes(limits, 0.0, user(f"user {n}", requests_per_minute=1))
    assert len(limits) == 5
    assert not passes(limits, 0.0, user("user 49", requests_per_minute=1))


NUMBERS = st.sampled_from([0, 1, 2, 5])
SETS = st.builds(RateLimits, NUMBERS, st.sampled_from([0, 4, 7]), st.sampled_from([0, 10, 30]), NUMBERS)
REQUESTS = st.lists(
    st.tuples(
        st.floats(0.0, 70.0), st.sampled_from(["ann", "bob"]), st.integers(0, 12), st.booleans(), st.integers(0, 20)
    ),
    max_size=60,
)


@given(SETS, SETS, REQUESTS)
def test_it_decides_as_a_list_of_all_requests_would(
    of_all: RateLimits, of_each: RateLimits, requests: list[tuple[float, str, int, bool, int]]
) -> None:
    """The naive way: every request ever, with its slot. `ends`: the oldest in flight ends first, with other tokens."""
    limits, now = Limits(), 0.0
    log: list[dict[str, Any]] = []

    def counted(name: str, step: int, what: str) -> int:
        return sum(each[what] for each in log if name in ("", each["user"]) and each["at"] // step >= now // step - 60)

    def fits(rules: RateLimits, name: str, tokens: int) -> bool:
        running = sum(1 for each in log if each["ticket"] is not None and name in ("", each["user"]))
        return (
            (not rules.requests_per_minute or counted(name, 1, "n") < rules.requests_per_minute)
            and (not rules.requests_per_hour or counted(name, 60, "n") < rules.requests_per_hour)
            and (not rules.tokens_per_minute or counted(name, 1, "tokens") + tokens <= rules.tokens_per_minute)
            and (not rules.concurrency or running < rules.concurrency)
        )

    for pause, name, tokens, ends, used in requests:
        now += pause
        decision = limits.take([Subject("global", "", of_all), Subject("user", name, of_each)], tokens, now)
        assert isinstance(decision, Ticket) is (fits(of_all, "", tokens) and fits(of_each, name, tokens))
        if isinstance(decision, Ticket):
            log.append({"at": now, "user": name, "n": 1, "tokens": tokens, "ticket": decision})
        if ends and (oldest := next((each for each in log if each["ticket"] is not None), None)):
            used = min(used, oldest["tokens"])  # what was used beyond it is another test's
            oldest["ticket"].settle(used, now)
            oldest["ticket"], oldest["tokens"] = None, used
