"""The sliding window against a plain list of what was counted when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.window import Window

STEPS = st.lists(st.tuples(st.floats(0.0, 40.0), st.integers(1, 5)), max_size=80)
CORRECTED = st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 9), st.floats(0.0, 90.0), st.integers(0, 20)))


@given(st.integers(1, 12), STEPS)
def test_no_minute_holds_more_than_the_limit_and_no_room_is_wasted(limit: int, asked: list[tuple[float, int]]) -> None:
    window, now = Window(limit, 60.0, 60), 1000.0
    taken: list[tuple[float, int]] = []
    for pause, n in asked:
        now += pause
        n = min(n, limit)
        if window.room(now) >= n:
            window.add(now, n)
            taken.append((now, n))
        else:  # a slot more than the minute is too much already
            assert sum(amount for at, amount in taken if at > now - 61.0 - 1e-6) + n > limit
    for start, _ in taken:
        assert sum(n for at, n in taken if start <= at <= start + 60.0) <= limit


@given(CORRECTED)
def test_what_is_corrected_counts_as_if_it_had_been_known(asked: list[tuple[float, int, float, int]]) -> None:
    """A reservation that turns out otherwise some time later, in the slot of its own while that counts."""
    window, now = Window(100, 60.0, 60), 1000.0
    slots: dict[int, int] = {}
    for pause, n, later, used in asked:
        now += pause
        window.add(now, n)
        slots[int(now)] = slots.get(int(now), 0) + n
        taken_at, now = now, now + later
        lasts = int(taken_at) >= int(now) - 60 and slots[int(taken_at)] > 0
        assert window.correct(taken_at, now, used - n) is (lasts or int(taken_at) == int(now))
        if lasts or int(taken_at) == int(now):
            slots[int(taken_at)] += used - n
        assert window.room(now) == 100 - sum(n for slot, n in slots.items() if slot >= int(now) - 60)


@given(st.integers(1, 12), STEPS)
def test_at_the_time_that_was_named_there_is_room(limit: int, asked: list[tuple[float, int]]) -> None:
    window, now = Window(limit, 60.0, 60), 1000.0
    for pause, n in asked:
        now += pause
        at = window.free_at(now, n)
        assert now <= at <= now + 61.0
        assert window.room(at) >= min(n, limit)
        window.add(at, min(n, limit))
        now = at


def test_it_is_empty_when_its_last_slot_has_left() -> None:
    window = Window(10, 60.0, 60)
    assert window.empty_at(5.5) == 5.5
    window.add(5.5, 3)
    window.add(7.5, 3)
    assert window.empty_at(30.0) == 68.0
    assert (window.room(67.9), window.room(68.0)) == (7, 10)


def test_when_the_clock_goes_back_what_was_counted_goes_back_with_it() -> None:
    window = Window(10, 60.0, 60)
    window.add(1000.0, 4)
    assert window.room(100.0) == 6
    assert window.room(161.0) == 10


def test_a_slot_is_never_corrected_below_nothing() -> None:
    window = Window(10, 60.0, 60)
    window.add(5.0, 4)
    assert window.correct(5.0, 6.0, -9)
    assert window.room(6.0) == 10
