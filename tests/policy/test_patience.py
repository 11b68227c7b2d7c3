"""When a service that does not answer is asked."""

from __future__ import annotations

from gateway.policy.patience import FAILURES, PAUSE, Patience


def opened(now: float) -> Patience:
    patience = Patience()
    for _ in range(FAILURES):
        assert patience.allows(now) and not patience.lost
        patience.fail(now)
    return patience


def test_it_opens_after_failures_in_a_row_and_no_earlier() -> None:
    patience = Patience()
    for _ in range(10):
        for _ in range(FAILURES - 1):
            patience.fail(0.0)
        patience.succeed()
    assert patience.allows(0.0) and not patience.lost
    assert not opened(0.0).allows(0.0)


def test_after_a_pause_one_tries_and_the_others_wait_for_what_comes_of_it() -> None:
    patience = opened(100.0)
    assert not patience.allows(100.0 + PAUSE - 0.1)
    assert patience.allows(100.0 + PAUSE)
    assert not patience.allows(100.0 + PAUSE)
    patience.succeed()
    assert patience.allows(100.0 + PAUSE) and not patience.lost


def test_a_try_that_fails_begins_another_pause() -> None:
    patience = opened(100.0)
    assert patience.allows(200.0)
    patience.fail(200.2)
    assert patience.lost and not patience.allows(200.0 + PAUSE)
    assert patience.allows(200.2 + PAUSE)


def test_a_try_that_nobody_hears_of_is_no_end() -> None:
    patience = opened(100.0)
    assert patience.allows(200.0)
    assert patience.allows(200.0 + PAUSE)
