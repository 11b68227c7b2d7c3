"""Which rest ends next: a heap of deadlines with lazy deletion.

An entry whose key has moved on since is skipped when it comes up. The heap is rebuilt when stale entries
outnumber the live ones, so it never holds more than a small multiple of the resting keys.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

SLACK = 64
"""Stale entries that are tolerated before a rebuild is worth its while."""

STEP_BACK = 5.0
"""Seconds by which the clock must be behind the last look to have been set; less is the noise of its correction."""


class Rests(Generic[T]):
    """Deadlines in unix seconds. `current(item)` gives the item's deadline as it is now, or None."""

    __slots__ = ("_current", "_heap", "_n")

    def __init__(self, current: Callable[[T], float | None]) -> None:
        self._current = current
        self._heap: list[tuple[float, int, T]] = []
        self._n = 0

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, until: float, item: T, live: int) -> None:
        """Note a rest; `live` is the number of items that may rest at once at the most."""
        self._n += 1
        heapq.heappush(self._heap, (until, self._n, item))
        if len(self._heap) > 2 * live + SLACK:
            self._heap = [entry for entry in self._heap if self._current(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def earliest(self) -> float | None:
        """When the next rest ends."""
        heap = self._heap
        while heap and self._current(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def earliest_where(self, wanted: Callable[[T], bool], looks: int) -> float | None:
        """The earliest rest of an item that is wanted, among the `looks` earliest ones. Costs O(looks log looks)."""
        heap = self._heap
        frontier = [(heap[0][0], 0)] if self.earliest() is not None else []
        while frontier and looks > 0:
            until, at = heapq.heappop(frontier)
            item = heap[at][2]
            if self._current(item) == until and wanted(item):
                return until
            looks -= 1
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(heap):
                    heapq.heappush(frontier, (heap[child][0], child))
        return None

    def pop_due(self, now: float) -> T | None:
        """An item whose rest is over, or None."""
        until = self.earliest()
        if until is None or until > now:
            return None
        return heapq.heappop(self._heap)[2]
