"""Bytes that all requests together may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.room import LARGE, PER_MARK, STEP, Room, Share, weight


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


@pytest.mark.parametrize(
    "text",
    ["word " * 1000, '{"a": [1, 2]}, ' * 1000, '\\"[,{:\\\\' * 1000, "é€😀," * 1000],
    ids=["words", "JSON in a text", "quotes and backslashes", "not ASCII"],
)
def test_text_weighs_as_much_as_it_has_bytes_whatever_it_says(text: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()
    assert weight(body) == len(body)


@pytest.mark.parametrize("value", [[], {}, [[]], {"a": {}}, "a", 1])
def test_many_small_values_weigh_as_much_as_they_take_in_memory_or_a_third(value: Any) -> None:
    body = json.dumps([value] * 1000, separators=(",", ":")).encode()
    marks = sum(map(body.count, (b"[", b"{", b",", b":")))
    assert weight(body) == PER_MARK * marks > 10 * len(body) / 1.5


def test_what_is_no_json_weighs_about_as_much_as_it_has_bytes() -> None:
    anything = bytes(range(256)) * 300
    assert weight(anything) == len(anything)
    assert weight(b"") == 0


def test_marks_are_told_from_text_where_the_bytes_are_taken_apart() -> None:
    body = b'["%b",[],"%b"]' % (b"," * (STEP - 3), b"," * STEP)
    assert weight(body) == len(body)
    values = b",[]" * STEP
    assert weight(b'["%b"%b]' % (b"," * (STEP - 3), values)) == PER_MARK * (1 + 2 * STEP)


@given(
    st.recursive(
        st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text('",[]{}:\\ne\u00e9'),
        lambda inner: st.lists(inner) | st.dictionaries(st.text('",:\\a'), inner),
    ).map(lambda value: [value] + [[]] * 500)
)
def test_a_weight_counts_every_value_and_name_and_nothing_else(value: Any) -> None:
    body = json.dumps(value).encode()
    assert weight(body) == max(len(body), PER_MARK * marks_of(value))


def marks_of(value: Any) -> int:
    """What JSON has of `[`, `{`, `,` and `:` for a value."""
    if isinstance(value, dict):
        return 1 + len(value) + max(0, len(value) - 1) + sum(map(marks_of, value.values()))
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(marks_of, value))
    return 0


def test_what_is_to_be_read_holds_its_weight_unless_it_is_small() -> None:
    room = Room(41 * LARGE)
    share = Share(room)
    assert share.grow_to_read(b"[%b[]]" % (b"[]," * 1000))
    assert room.held == 0
    lists = b"[%b[]]" % (b"[]," * (LARGE // 2))
    assert share.grow_to_read(lists)
    assert room.held == weight(lists) > 39 * LARGE
    assert not Share(room).grow_to_read(lists)


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
