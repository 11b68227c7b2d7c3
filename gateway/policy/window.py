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


class Window:
    """What was counted within `seconds`, in so many slots; at most `limit` is meant to be."""

    __slots__ = ("_amounts", "_latest", "_numbers", "_slot", "_slots", "_step", "limit", "used")

    def __init__(self, limit: int, seconds: float, slots: int) -> None:
        self.limit = limit
        self.used = 0
        self._slots = slots
        self._step = seconds / slots
        self._slot = 0.0  # the number of the present slot, whole
        self._latest = 0  # counted in it
        self._numbers: list[float] = []  # of earlier slots in which anything was counted, oldest first
        self._amounts: list[int] = []  # counted in each of them

    def room(self, now: float) -> int:
        """How much more fits now; below 0 where the limit was another one, or more was used than reserved."""
        slot = now // self._step
        if slot != self._slot:
            self._move(slot)
        return self.limit - self.used

    def add(self, now: float, n: int) -> None:
        """Count `n` more."""
        slot = now // self._step
        if slot != self._slot:
            self._move(slot)
        self.used += n
        self._latest += n

    def correct(self, counted_at: float, now: float, n: int) -> bool:
        """`n` more, or less, were used of what was counted then. False, and nothing is done, if the window has left
        that time behind."""
        self.room(now)
        slot = counted_at // self._step
        if slot == self._slot:
            n = max(n, -self._latest)
            self._latest += n
        else:
            index = bisect_left(self._numbers, slot)
            if index == len(self._numbers) or self._numbers[index] != slot:
                return False
            n = max(n, -self._amounts[index])  # when the clock went back, the slot may be another one
            self._amounts[index] += n
        self.used += n
        return True

    def free_at(self, now: float, n: int) -> float:
        """When `n` more fit; `now`, if they do already. More than the limit fit into an empty window."""
        excess = min(n, self.limit) - self.room(now)
        at = now
        for number, amount in zip((*self._numbers, self._slot), (*self._amounts, self._latest), strict=True):
            if excess <= 0:
                break
            excess -= amount
            at = (number + 1 + self._slots) * self._step
        return at

    def empty_at(self, now: float) -> float:
        """When nothing of what was counted so far counts any more; `now`, if nothing does."""
        self.room(now)
        if self._latest:
            return (self._slot + 1 + self._slots) * self._step
        for number, amount in zip(reversed(self._numbers), reversed(self._amounts), strict=True):
            if amount:
                return (number + 1 + self._slots) * self._step
        return now

    def _move(self, slot: float) -> None:
        """To another slot, and forget those that have left the window."""
        numbers, amounts = self._numbers, self._amounts
        if self._latest:
            numbers.append(self._slot)
            amounts.append(self._latest)
            self._latest = 0
        self._slot = slot
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
