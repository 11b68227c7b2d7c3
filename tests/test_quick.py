"""Quick dataclasses are what the standard library's are: held beside each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from typing import Any

import pytest

from gateway import quick

BOTH = pytest.mark.parametrize("decorator", [dataclasses.dataclass, quick.dataclass], ids=["standard", "quick"])


def frozen(decorator: Callable[..., Any]) -> Any:
    class Point:
        """A point."""

        x: int
        y: int = 2
        seen: list[int] = field(default_factory=list, hash=False)
        note: str = field(default="", compare=False, repr=False)
        total: int = field(init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "total", self.x + self.y)

    return decorator(frozen=True, slots=True)(Point)


def open_one(decorator: Callable[..., Any], **options: bool) -> Any:
    class Counter:
        """A counter."""

        n: int = 0

        @property
        def double(self) -> int:
            return self.n * 2

    return decorator(slots=True, **options)(Counter)


@BOTH
def test_fields_are_set_by_place_by_name_and_by_default(decorator: Callable[..., Any]) -> None:
    point = frozen(decorator)
    made = point(1, note="n")
    assert (made.x, made.y, made.seen, made.note, made.total) == (1, 2, [], "n", 3)
    assert point(1).seen is not made.seen
    assert point(x=1, y=3, seen=[4]).seen == [4]
    with pytest.raises(TypeError, match="x"):
        point()
    with pytest.raises(TypeError, match="z"):
        point(1, z=1)


@BOTH
def test_frozen_ones_do_not_change(decorator: Callable[..., Any]) -> None:
    made = frozen(decorator)(1)
    with pytest.raises(FrozenInstanceError):
        made.x = 2
    with pytest.raises(FrozenInstanceError):
        del made.x
    assert not hasattr(made, "__dict__")


@BOTH
def test_equal_fields_make_equal_values_of_one_hash(decorator: Callable[..., Any]) -> None:
    point = frozen(decorator)
    assert point(1, note="a") == point(1, note="b")
    assert point(1) != point(2)
    assert point(1) != frozen(decorator)(1)
    assert hash(point(1, seen=[1])) == hash(point(1, seen=[2]))
    assert len({point(1), point(1), point(2)}) == 2


@BOTH
def test_they_are_shown_replaced_matched_and_known(decorator: Callable[..., Any]) -> None:
    point = frozen(decorator)
    assert repr(point(1)).endswith("Point(x=1, y=2, seen=[], total=3)")
    assert [each.name for each in dataclasses.fields(point)] == ["x", "y", "seen", "note", "total"]
    assert dataclasses.replace(point(1), y=5).total == 6
    match point(7, 8):
        case point(x, y):
            assert (x, y) == (7, 8)
    assert dataclasses.is_dataclass(point)


@BOTH
def test_others_change_and_have_no_hash_unless_they_are_compared_by_identity(decorator: Callable[..., Any]) -> None:
    counter = open_one(decorator)
    made = counter()
    made.n += 1
    assert (made.n, made.double, made == counter(1)) == (1, 2, True)
    with pytest.raises(TypeError, match="unhashable"):
        hash(made)
    with pytest.raises(AttributeError):
        made.other = 1
    single = open_one(decorator, eq=False)
    assert single() != single()
    assert hash(single())


def test_a_class_without_slots_is_refused() -> None:
    with pytest.raises(AssertionError, match="slots"):
        quick.dataclass(slots=False)
