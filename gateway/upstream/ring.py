"""A rotation in which choosing, adding and removing cost the same for ten keys and for a hundred thousand.

Strictly first come, first served: whoever was served goes to the end. A removal disturbs nobody else's turn, and a key
that was just served is never served again before all others were. (A dense list with swap-removal, which is smaller,
breaks both: it moves the item that was served last to the front.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ring(Generic[T]):
    """Items in rotation. Every operation is O(1), but for `next`, which is O(excluded)."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items: OrderedDict[T, None] = OrderedDict.fromkeys(items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[T]:
        """Those who wait longest first."""
        return iter(self._items)

    def next(self, excluded: Collection[T] = (), affinity: str = "") -> T | None:
        """The next item in turn that is not excluded, or None. Excluded ones keep their turn.

        `affinity` names a conversation; only rings that know what to do with one look at it.
        """
        items = self._items
        for item in items:
            if item not in excluded:
                items.move_to_end(item)
                return item
        return None

    def add(self, item: T) -> None:
        """Put an item at the end. Adding it twice changes nothing."""
        self._items.setdefault(item)

    def discard(self, item: T) -> None:
        """Take an item out; nothing happens if it is not in."""
        self._items.pop(item, None)
