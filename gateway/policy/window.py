"""How much of something there was within a time: a sliding window, counted in slots.

Invariants:
- In no interval of the window's length, wherever it begins, is more counted than `used` said at its end: a slot counts
  until the whole of it is a window ago. That is up to one slot more than the window, never less.
- Adding, giving back and forgetting are O(1) amortised (a step through `slots` numbers at worst); an empty window
  takes 300 bytes, each slot in use 50 more.

Pure: `now` comes as an argument, in seconds of any clock. When that goes back, what was counted goes back with it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable


class Window:
    """What was counted within `seconds`, in so many slots; at most `limit` is meant to be.

    A slot is a whole number of seconds, so that its ends are exact.
    """

    __slots__ = ("_amounts", "_begin", "_end", "_latest", "_numbers", "_slots", "_step", "limit", "used")

    def __init__(self, limit: int, seconds: float, slots: int) -> None:
        self.limit = limit
        self.used = 0
        self._slots = slots
        self._step = seconds / slots
        self._begin = self._end = 0.0  # the present slot, in seconds
        self._latest = 0  # counted in it
        self._numbers: list[float] = []  # of earlier slots in which anything was counted, oldest first
        self._amounts: list[int] = []  # counted in each of them

    def room(self, now: float) -> int:
        """How much more fits now; below 0 where the limit was another one, or more was used than reserved."""
        if not self._begin <= now < self._end:
            self._move(now)
        return self.limit - self.used

    def add(self, now: float, n: int) -> None:
        """Count `n` more."""
        if not self._begin <= now < self._end:
            self._move(now)
        self.used += n
        self._latest += n

    def correct(self, counted_at: float, now: float, n: int) -> bool:
        """`n` more, or less, were used of what was counted then. False, and nothing is done, if the window has left
        that time behind."""
        if not self._begin <= now < self._end:
            self._move(now)
        if self._begin <= counted_at < self._end:
            if n < -self._latest:  # when the clock went back, the slot may be another one
                n = -self._latest
            self._latest += n
        else:
            slot = counted_at // self._step
            index = bisect_left(self._numbers, slot)
            if index == len(self._numbers) or self._numbers[index] != slot:
                return False
            n = max(n, -self._amounts[index])
            self._amounts[index] += n
        self.used += n
        return True

    def free_at(self, now: float, n: int) -> float:
        """When `n` more fit; `now`, if they do already. More than the limit fit into an empty window."""
        excess = min(n, self.limit) - self.room(now)
        at = now
        present = self._begin // self._step
        for number, amount in zip((*self._numbers, present), (*self._amounts, self._latest), strict=True):
            if excess <= 0:
                break
            excess -= amount
            at = (number + 1 + self._slots) * self._step
        return at

    def empty_at(self, now: float) -> float:
        """When nothing of what was counted so far counts any more; `now`, if nothing does."""
        self.room(now)
        if self._latest:
            return self._end + self._slots * self._step
        for number, amount in zip(reversed(self._numbers), reversed(self._amounts), strict=True):
            if amount:
                return (number + 1 + self._slots) * self._step
        return now

    def _move(self, now: float) -> None:
        """To another slot, and forget those that have left the window."""
        numbers, amounts = self._numbers, self._amounts
        slot = now // self._step
        if self._latest:
            numbers.append(self._begin // self._step)
            amounts.append(self._latest)
            self._latest = 0
        self._begin, self._end = slot * self._step, (slot + 1) * self._step
        if numbers and numbers[-1] >= slot:  # the clock went back
            ahead = numbers[-1] - slot + 1
            numbers[:] = [number - ahead for number in numbers]
        oldest, gone = slot - self._slots, 0
        for number in numbers:
            if number >= oldest:
                break
            self.used -= amounts[gone]
            gone += 1
        if gone:
            del numbers[:gone], amounts[:gone]


def tightest(windows: Iterable[Window], now: float) -> Window | None:
    """The one with the least room. A loop of its own, for what is asked of every request."""
    tight, least = None, 0
    for window in windows:
        if not window._begin <= now < window._end:
            window._move(now)
        room = window.limit - window.used
        if tight is None or room < least:
            tight, least = window, room
    return tight


def add_to(windows: Iterable[Window], n: int) -> None:
    """Count `n` more in windows that `tightest` has just looked at."""
    for window in windows:
        window.used += n
        window._latest += n
