"""How a key is chosen among those that may be: a ring for each `selection`.

All choose in the same time among ten keys and among a hundred thousand, plus one look per excluded key: `weighted` in
O(log n), the others in O(1). Removing a key, or adding one, moves nobody else's turn.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable
from hashlib import blake2b
from random import Random

from gateway.upstream.key import Key
from gateway.upstream.ring import Ring

LOOKS = 32
"""Keys that `least_in_flight` compares, those who wait longest first: exact for small pools, and as good for large
ones, where those who wait longest nearly always have nothing to do."""

TRIES = 32
"""Draws of `random` that may hit an excluded key before the ring is simply gone through."""

BUCKETS = 256
"""Parts of the circle of digests: 100,000 keys are 400 in each, ten keys are found after 25 empty ones."""

SLACK = 64
"""Stale entries that are tolerated in a heap before a rebuild is worth its while."""


Entry = tuple[float, int, Key]
"""Of the heap of `WeightedRing`: a key's pass, a number that tells entries apart, the key."""


class LeastRing(Ring[Key]):
    """`least_in_flight`: the key with the fewest requests under way; among equals the one that waits longest."""

    __slots__ = ()

    def next(self, excluded: Collection[Key] = (), affinity: str = "") -> Key | None:
        best: Key | None = None
        looks = LOOKS
        for key in self._items:
            if key in excluded:
                continue
            if best is None or key.in_flight < best.in_flight:
                best = key
            looks -= 1
            if best.in_flight == 0 or looks == 0:
                break
        if best is not None:
            self._items.move_to_end(best)
        return best


class RandomRing(Ring[Key]):
    """`random`: any key, each as likely as the others."""

    __slots__ = ("_at", "_dense", "_rng")

    def __init__(self, items: Iterable[Key], rng: Random) -> None:
        super().__init__(items)
        self._rng = rng
        self._dense = list(self._items)
        self._at = {key: n for n, key in enumerate(self._dense)}

    def next(self, excluded: Collection[Key] = (), affinity: str = "") -> Key | None:
        dense = self._dense
        if not dense:
            return None
        for _ in range(TRIES):
            key = dense[int(self._rng.random() * len(dense))]
            if key not in excluded:
                return key
        return super().next(excluded)

    def add(self, item: Key) -> None:
        if item not in self._items:
            super().add(item)
            self._at[item] = len(self._dense)
            self._dense.append(item)

    def discard(self, item: Key) -> None:
        if item not in self._items:
            return
        super().discard(item)
        at, last = self._at.pop(item), self._dense.pop()
        if last is not item:
            self._dense[at] = last
            self._at[last] = at


class WeightedRing(Ring[Key]):
    """`weighted`: turns in proportion to the keys' weights, evenly spread (stride scheduling, Waldspurger 1995).

    Each key has a pass; the lowest is chosen and grows by 1/weight. Who joins starts at the pass that was chosen last,
    so that nobody saves up turns while away, or at its own if that is later, so that nobody gets out of paying for one.
    """

    __slots__ = ("_entry", "_heap", "_n", "_pass")

    def __init__(self, items: Iterable[Key] = ()) -> None:
        super().__init__()
        self._heap: list[Entry] = []
        self._entry: dict[Key, Entry] = {}  # each key's last one, kept while it is away for the pass in it
        self._n = 0
        self._pass = 0.0
        for item in items:
            self.add(item)

    def next(self, excluded: Collection[Key] = (), affinity: str = "") -> Key | None:
        heap, aside, chosen = self._heap, [], None
        while heap and chosen is None:
            entry = heapq.heappop(heap)
            if not self._counts(entry):
                continue
            if entry[2] in excluded:
                aside.append(entry)
                continue
            self._pass, chosen = entry[0], entry[2]
            self._push(self._pass + 1.0 / chosen.weight, chosen)
        for entry in aside:
            heapq.heappush(heap, entry)
        return chosen

    def add(self, item: Key) -> None:
        if item not in self._items:
            super().add(item)
            before = self._entry.get(item)
            self._push(self._pass if before is None else max(self._pass, before[0]), item)

    def discard(self, item: Key) -> None:
        if item.removed:
            self._entry.pop(item, None)
        if item in self._items:
            super().discard(item)
            if len(self._heap) > 2 * len(self._items) + SLACK:
                self._heap = [entry for entry in self._heap if self._counts(entry)]
                heapq.heapify(self._heap)

    def _counts(self, entry: Entry) -> bool:
        """Whether this is the one entry of a key that is here."""
        return entry[2] in self._items and self._entry.get(entry[2]) is entry

    def _push(self, at: float, key: Key) -> None:
        self._n += 1
        entry = self._entry[key] = (at, self._n, key)
        heapq.heappush(self._heap, entry)


class StickyRing(Ring[Key]):
    """`sticky`: the same key for the same conversation, which keeps the provider's prompt cache warm.

    Keys stand on a circle by digest; a conversation goes to the first one after its own hash (consistent hashing). A
    key that is benched hands its conversations to its neighbour and gets them back; nobody else's move. Requests
    without a conversation go in turn.
    """

    __slots__ = ("_circle",)

    def __init__(self, items: Iterable[Key] = ()) -> None:
        super().__init__()
        self._circle: list[list[tuple[bytes, Key]]] = [[] for _ in range(BUCKETS)]
        for item in items:
            self.add(item)

    def next(self, excluded: Collection[Key] = (), affinity: str = "") -> Key | None:
        if not affinity or not self._items:
            return super().next(excluded)
        spot = blake2b(affinity.encode("utf-8", "surrogatepass"), digest_size=32).digest()
        circle = self._circle
        start = bisect_left(circle[spot[0]], spot, key=_digest)
        for n in range(BUCKETS + 1):
            bucket = circle[(spot[0] + n) % BUCKETS]
            for _, key in bucket[start:] if n == 0 else bucket:
                if key not in excluded:
                    return key
        return None

    def add(self, item: Key) -> None:
        if item not in self._items:
            super().add(item)
            insort(self._circle[item.digest[0]], (item.digest, item), key=_digest)

    def discard(self, item: Key) -> None:
        if item in self._items:
            super().discard(item)
            bucket = self._circle[item.digest[0]]
            del bucket[bisect_left(bucket, item.digest, key=_digest)]


def _digest(entry: tuple[bytes, Key]) -> bytes:
    return entry[0]


def ring_maker(selection: str, rng: Random) -> Callable[[Iterable[Key]], Ring[Key]]:
    """What makes the rings of a pool. `selection` is one of `config.provider.ProviderConfig`'s words."""
    makers: dict[str, Callable[[Iterable[Key]], Ring[Key]]] = {
        "round_robin": Ring,
        "least_in_flight": LeastRing,
        "weighted": WeightedRing,
        "random": lambda items: RandomRing(items, rng),
        "sticky": StickyRing,
    }
    return makers[selection]
