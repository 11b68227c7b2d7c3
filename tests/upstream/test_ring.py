"""The rotation of keys, against a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.ring import Ring

STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "discard", "next", "next", "next_but"]), st.integers(0, 9)), max_size=80
)


@given(STEPS)
def test_it_behaves_like_a_list_whose_first_goes_to_its_end(steps: list[tuple[str, int]]) -> None:
    ring: Ring[int] = Ring()
    model: list[int] = []
    for step, item in steps:
        if step == "add":
            ring.add(item)
            if item not in model:
                model.append(item)
        elif step == "discard":
            ring.discard(item)
            if item in model:
                model.remove(item)
        else:
            excluded = {item} if step == "next_but" else set()
            expected = next((known for known in model if known not in excluded), None)
            assert ring.next(excluded) == expected
            if expected is not None:
                model.remove(expected)
                model.append(expected)
        assert list(ring) == model
        assert len(ring) == len(model)
        assert all(known in ring for known in model)


@given(st.sets(st.integers(), min_size=1, max_size=30), st.integers(1, 5))
def test_nobody_is_served_twice_before_everybody_was_served(items: set[int], rounds: int) -> None:
    ring: Ring[int] = Ring()
    for item in items:
        ring.add(item)
    for _ in range(rounds):
        assert {ring.next() for _ in items} == items


def test_an_excluded_item_keeps_its_turn() -> None:
    ring: Ring[str] = Ring()
    for name in "abc":
        ring.add(name)
    assert ring.next({"a"}) == "b"
    assert ring.next() == "a"
    assert ring.next() == "c"


def test_with_everything_excluded_there_is_none() -> None:
    ring: Ring[str] = Ring()
    ring.add("a")
    assert ring.next({"a"}) is None
    assert Ring[str]().next() is None
