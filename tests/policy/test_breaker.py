"""When a service that does not answer is asked."""

from __future__ import annotations

from gateway.policy.breaker import FAILURES, PAUSE, Breaker


def opened(now: float) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.allows(now) and not breaker.open
        breaker.fail(now)
    return breaker


def test_it_opens_after_failures_in_a_row_and_no_earlier() -> None:
    breaker = Breaker()
    for _ in range(10):
        for _ in range(FAILURES - 1):
            breaker.fail(0.0)
        breaker.succeed()
    assert breaker.allows(0.0) and not breaker.open
    assert not opened(0.0).allows(0.0)


def test_after_a_pause_one_tries_and_the_others_wait_for_what_comes_of_it() -> None:
    breaker = opened(100.0)
    assert not breaker.allows(100.0 + PAUSE - 0.1)
    assert breaker.allows(100.0 + PAUSE)
    assert not breaker.allows(100.0 + PAUSE)
    breaker.succeed()
    assert breaker.allows(100.0 + PAUSE) and not breaker.open


def test_a_try_that_fails_begins_another_pause() -> None:
    breaker = opened(100.0)
    assert breaker.allows(200.0)
    breaker.fail(200.2)
    assert breaker.open and not breaker.allows(200.0 + PAUSE)
    assert breaker.allows(200.2 + PAUSE)


def test_a_try_that_nobody_hears_of_is_no_end() -> None:
    breaker = opened(100.0)
    assert breaker.allows(200.0)
    assert breaker.allows(200.0 + PAUSE)
