"""The moving average: bad news at once, good news slowly."""

from __future__ import annotations

from math import e, isclose

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.latency import DECAY_SECONDS, FAILURE_SECONDS, PeakLatency

SECONDS = st.floats(0.0, 3600.0)
STEPS = st.lists(st.tuples(SECONDS, st.floats(-10.0, 600.0), st.booleans()), max_size=50)
"""What was measured, how far the clock went (backwards, too: a wall clock is set), and whether it failed."""


def after(steps: list[tuple[float, float, bool]]) -> tuple[PeakLatency, float]:
    """Of these measurements, one after the other."""
    latency, now = PeakLatency(), 1000.0
    for seconds, pause, failed in steps:
        now += pause
        (latency.fail if failed else latency.observe)(seconds, now)
    return latency, now


def test_nothing_is_known_of_a_new_one() -> None:
    assert PeakLatency().seconds(1e9) == 0.0


@given(STEPS, st.floats(-1000.0, 1e6))
def test_it_is_never_below_zero_nor_above_the_worst(steps: list[tuple[float, float, bool]], later: float) -> None:
    latency, now = after(steps)
    worst = max([0.0, *(max(seconds, FAILURE_SECONDS if failed else 0.0) for seconds, _, failed in steps)])
    assert 0.0 <= latency.seconds(now + later) <= worst * (1 + 1e-9)


@given(STEPS, SECONDS)
def test_a_peak_counts_at_once(steps: list[tuple[float, float, bool]], seconds: float) -> None:
    latency, now = after(steps)
    latency.observe(seconds, now)
    assert latency.seconds(now) >= seconds


@given(STEPS, SECONDS)
def test_a_failure_is_never_good_news(steps: list[tuple[float, float, bool]], seconds: float) -> None:
    latency, now = after(steps)
    latency.fail(seconds, now)
    assert latency.seconds(now) >= max(seconds, FAILURE_SECONDS)


@given(STEPS, st.floats(0.0, 1e4), st.floats(0.0, 1e4))
def test_it_only_falls_while_nothing_is_measured(
    steps: list[tuple[float, float, bool]], sooner: float, more: float
) -> None:
    latency, now = after(steps)
    assert latency.seconds(now + sooner + more) <= latency.seconds(now + sooner)


def test_it_loses_two_thirds_in_its_time() -> None:
    latency = PeakLatency()
    latency.observe(9.0, 100.0)
    assert isclose(latency.seconds(100.0 + DECAY_SECONDS), 9.0 / e)
    assert latency.seconds(100.0 + 40 * DECAY_SECONDS) < 1e-9


@given(st.floats(0.01, 10.0), st.integers(1, 60))
def test_good_answers_bring_it_down_to_what_they_took(seconds: float, pause: int) -> None:
    latency, now = PeakLatency(), 0.0
    latency.fail(0.0, now)
    while now < 15 * DECAY_SECONDS:
        now += pause
        latency.observe(seconds, now)
    assert isclose(latency.seconds(now), seconds, rel_tol=0.01)
