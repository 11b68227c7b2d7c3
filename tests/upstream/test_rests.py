"""The heap of rests, against a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.rests import SLACK, Rests

UNTIL = st.integers(0, 50).map(float)


@given(st.lists(st.tuples(st.integers(0, 12), st.one_of(st.none(), UNTIL)), max_size=60), UNTIL)
def test_what_is_due_comes_out_in_order_and_what_moved_on_does_not(
    steps: list[tuple[int, float | None]], now: float
) -> None:
    current: dict[int, float | None] = {}
    rests: Rests[int] = Rests(current.get)
    for item, until in steps:
        current[item] = until
        if until is not None:
            rests.push(until, item, live=20)
    live = {item: until for item, until in current.items() if until is not None}
    assert rests.earliest() == (min(live.values()) if live else None)
    out: list[float] = []
    while (due := rests.pop_due(now)) is not None:
        until = current[due]
        assert until is not None
        out.append(until)
        current[due] = None
    assert out == sorted(until for until in live.values() if until <= now)


def test_the_earliest_of_the_wanted_is_found_behind_unwanted_ones() -> None:
    current: dict[int, float | None] = {n: float(n) for n in range(20)}
    rests: Rests[int] = Rests(current.get)
    for n in range(20):
        rests.push(float(n), n, live=20)
    assert rests.earliest_where(lambda n: n >= 7, looks=40) == 7.0
    assert rests.earliest_where(lambda n: n >= 7, looks=3) is None
    assert rests.earliest_where(lambda n: False, looks=100) is None


def test_stale_entries_are_thrown_away_before_they_outnumber_the_live_ones() -> None:
    current: dict[str, float | None] = {}
    rests: Rests[str] = Rests(current.get)
    for n in range(10_000):
        current["key"] = float(n)
        rests.push(float(n), "key", live=1)
    assert len(rests._heap) <= 2 + SLACK + 1
    assert rests.earliest() == 9999.0
