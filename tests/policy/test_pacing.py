"""A batch's outcome decides about the next."""

from __future__ import annotations

from gateway.policy.pacing import LARGEST_BATCH, LONGEST_PAUSE, Pace

START = Pace.begin(10, 30.0)


def test_clean_batches_let_it_grow_up_to_a_bound() -> None:
    pace = START
    sizes = []
    for _ in range(9):
        pace = pace.after(pace.size, 0, 0)
        sizes.append(pace.size)
    assert sizes == [20, 40, 80, 160, 320, 640, LARGEST_BATCH, LARGEST_BATCH, LARGEST_BATCH]
    assert pace.pause == 30.0


def test_a_rate_limit_halves_the_batch_and_doubles_the_pause() -> None:
    pace = START.after(10, 1, 0)
    assert (pace.size, pace.pause) == (5, 60.0)
    for _ in range(20):
        pace = pace.after(pace.size, 1, 0)
    assert (pace.size, pace.pause) == (1, LONGEST_PAUSE)


def test_after_a_rate_limit_the_pause_comes_back_to_what_was_configured() -> None:
    pace = START.after(10, 1, 0).after(5, 0, 0)
    assert (pace.size, pace.pause) == (10, 30.0)


def test_many_transient_failures_make_it_smaller_and_few_do_not() -> None:
    assert START.after(10, 0, 4).size == 5
    assert START.after(10, 0, 3).size == 20


def test_a_batch_that_was_not_full_says_nothing_about_a_larger_one() -> None:
    assert START.after(3, 0, 0) == START
