"""Bytes that all requests together may hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.room import LARGE, Room, Share


def test_beyond_the_limit_nothing_more_is_held_and_nothing_changes() -> None:
    room = Room(100)
    one, other = Share(room), Share(room)
    assert one.hold(70)
    assert not other.hold(31)
    assert (room.held, one.size, other.size) == (70, 70, 0)
    assert other.hold(30)
    assert not one.hold(71)
    assert one.hold(10) and other.hold(90)
    assert room.held == 100


def test_what_is_small_is_not_counted_until_it_has_grown() -> None:
    room = Room(LARGE + 10)
    share = Share(room)
    assert share.grow(LARGE)
    assert room.held == 0
    assert share.grow(LARGE + 1)
    assert room.held == LARGE + 1
    assert not Share(room).grow(LARGE + 1)
    assert Share(room).grow(LARGE)


def test_less_is_held_even_where_the_limit_was_lowered() -> None:
    room = Room(100)
    share = Share(room)
    assert share.hold(90)
    room.limit = 50
    assert share.hold(80)
    assert not share.hold(81)


def test_what_is_turned_away_is_counted_by_what_it_was() -> None:
    room = Room(0)
    error = room.overloaded("answers", "Too much.")
    assert (error.status, error.code, error.retry_after, error.close) == (503, "overloaded", 1.0, True)
    assert room.shed == {"connections": 0, "requests": 0, "answers": 1}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120))), st.integers(0, 200))
def test_what_is_held_is_the_sum_of_all_shares_and_never_more_than_the_limit(
    steps: list[tuple[int, int]], limit: int
) -> None:
    room = Room(limit)
    shares = [Share(room) for _ in range(4)]
    for number, size in steps:
        before = [share.size for share in shares]
        held = shares[number].hold(size)
        before[number] = size if held else before[number]
        assert [share.size for share in shares] == before
        assert room.held == sum(before) <= limit
    for share in shares:
        assert share.hold(0)
    assert room.held == 0
