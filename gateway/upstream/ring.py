"""A rotation in which choosing, adding and removing cost the same for ten keys and for a hundred thousand.

A dense list with a cursor and an index of positions. Everything before the cursor has had its turn in this round,
everything after it is still to come; removal keeps that true by moving at most two items, so no key loses a turn
because another one was benched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Ring(Generic[T]):
    """Items in rotation. Every operation is O(1), but for `next`, which is O(excluded)."""

    __slots__ = ("_at", "_cursor", "_items")

    def __init__(self) -> None:
        self._items: list[T] = []
        self._at: dict[T, int] = {}
        self._cursor = 0

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._at

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def next(self, excluded: Collection[T] = ()) -> T | None:
        """The next item in turn that is not excluded, or None."""
        items = self._items
        size = len(items)
        for _ in range(min(size, len(excluded) + 1)):
            at = self._cursor if self._cursor < size else 0
            self._cursor = at + 1
            item = items[at]
            if item not in excluded:
                return item
        return None

    def add(self, item: T) -> None:
        """Put an item at the end of the round. Adding it twice changes nothing."""
        if item not in self._at:
            self._at[item] = len(self._items)
            self._items.append(item)

    def add_anywhere(self, item: T, rng: Random) -> None:
        """Put an item at a random place, so that a file's order (bad keys in a row) is not the rotation's."""
        if item in self._at:
            return
        self.add(item)
        last = len(self._items) - 1
        place = int(rng.random() * (last + 1))
        if place != last:
            self._put(self._items[place], last)
            self._put(item, place)

    def discard(self, item: T) -> None:
        """Take an item out; nothing happens if it is not in."""
        at = self._at.pop(item, None)
        if at is None:
            return
        items = self._items
        if at < self._cursor <= len(items):
            # A hole among those that had their turn is filled by the last of them, and only the hole that
            # this leaves at the border is filled from the far end.
            self._cursor -= 1
            if at != self._cursor:
                self._put(items[self._cursor], at)
            at = self._cursor
        last = items.pop()
        if at < len(items):
            self._put(last, at)

    def start_anywhere(self, rng: Random) -> None:
        """Begin the rotation at a random item, so that restarts do not always burden the same keys."""
        if self._items:
            self._cursor = int(rng.random() * len(self._items))

    def _put(self, item: T, at: int) -> None:
        self._items[at] = item
        self._at[item] = at
