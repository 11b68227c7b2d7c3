"""In no interval of a window's length is more used than the limit, wherever it begins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.provider import KeyLimitsConfig
from gateway.policy.key_limits import SLOTS, KeyMeter
from gateway.policy.window import Window

steps = st.lists(st.tuples(st.floats(0.0, 40.0), st.integers(1, 5)), max_size=80)


@given(st.integers(1, 12), steps)
def test_a_sliding_window_never_holds_more_than_the_limit(limit: int, asked: list[tuple[float, int]]) -> None:
    window, now = Window(limit, 60.0, SLOTS), 1000.0
    taken: list[tuple[float, int]] = []
    for pause, n in asked:
        now += pause
        n = min(n, limit)
        at = window.free_at(now, n)
        assert at == now or now < at <= now + 65.0 + 1e-6
        if at == now:
            window.add(now, n)
            taken.append((now, n))
    for start, _ in taken:
        assert sum(n for at, n in taken if start <= at < start + 60.0) <= limit


@given(st.integers(1, 12), steps)
def test_at_the_time_that_was_named_there_is_room(limit: int, asked: list[tuple[float, int]]) -> None:
    window, now = Window(limit, 60.0, SLOTS), 1000.0
    for pause, n in asked:
        now += pause
        at = window.free_at(now, n)
        assert window.free_at(at, n) == at
        window.add(max(at, now), min(n, limit))
        now = max(at, now)


def test_more_than_the_limit_waits_for_an_empty_window_and_then_goes() -> None:
    window = Window(10, 60.0, SLOTS)
    assert window.free_at(0.0, 99) == 0.0
    window.add(0.0, 1)
    assert window.free_at(1.0, 99) > 1.0


def test_what_is_given_back_counts_no_more_and_what_expired_is_left_alone() -> None:
    meter = KeyMeter(KeyLimitsConfig(tpm=100))
    meter.take(0.0, 90)
    assert meter.free_at(1.0, 50) > 1.0
    meter.settle(0.0, 1.0, 90, 10)
    assert meter.free_at(1.0, 90) == 1.0
    meter.take(1.0, 90)
    meter.settle(-500.0, 1.0, 90, 0)
    assert meter.free_at(1.0, 1) > 1.0


def test_what_was_used_beyond_the_estimate_counts() -> None:
    meter = KeyMeter(KeyLimitsConfig(tpm=100))
    meter.take(0.0, 10)
    meter.settle(0.0, 2.0, 10, 100)
    assert meter.free_at(2.0, 1) > 2.0


def test_the_day_counts_beside_the_minute() -> None:
    meter, now = KeyMeter(KeyLimitsConfig(rpm=2, rpd=3)), 0.0
    for _ in range(3):
        now = meter.free_at(now, 0)
        meter.take(now, 0)
    assert 86400 <= meter.free_at(now, 0) <= 86400 * 14 / 12
