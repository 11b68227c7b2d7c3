"""What one key may do, counted so that the provider's own limit is never reached.

A provider counts a minute as it likes: fixed, sliding, as a leaking bucket. So ours is the strictest of all: in no
interval of a window's length, wherever it begins, is more used than the limit. It is counted in slots; a slot counts
until the whole of it is a window ago, which costs up to one slot's share of the limit's throughput.

Pure: `now` comes as an argument, in seconds of any clock. When that goes back, what was counted goes back with it.
"""

from __future__ import annotations

from collections import deque

from gateway.config.provider import KeyLimitsConfig

SLOTS = 12
"""Parts of a window: a minute is counted in 5 s, a day in 2 h."""

MINUTE, DAY = 60.0, 86400.0


class Window:
    """A sliding count. Memory and time are O(SLOTS)."""

    __slots__ = ("_slots", "_step", "limit", "used")

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.used = 0
        self._step = seconds / SLOTS
        self._slots: deque[list[float]] = deque()  # [number of the slot, used in it], oldest first

    def add(self, now: float, n: int) -> None:
        self._forget(now)
        slot = now // self._step
        if not self._slots or self._slots[-1][0] < slot:
            self._slots.append([slot, 0])
        self._slots[-1][1] += n
        self.used += n

    def give_back(self, counted_at: float, n: int) -> None:
        """Of what was counted then, `n` were not used. What has left the window meanwhile stays as it is."""
        slot = counted_at // self._step
        for entry in self._slots:
            if entry[0] == slot:
                entry[1] -= n
                self.used -= n

    def free_at(self, now: float, n: int) -> float:
        """When `n` more fit; `now`, if they do already. More than the limit fit into an empty window."""
        self._forget(now)
        excess = self.used + min(n, self.limit) - self.limit
        at = now
        for slot, used in self._slots:
            if excess <= 0:
                break
            excess -= int(used)
            at = (slot + 1 + SLOTS) * self._step
        return at

    def _forget(self, now: float) -> None:
        slot = now // self._step
        if self._slots and self._slots[-1][0] > slot:
            ahead = self._slots[-1][0] - slot
            for entry in self._slots:
                entry[0] -= ahead
        oldest = slot - SLOTS
        while self._slots and self._slots[0][0] < oldest:
            self.used -= int(self._slots.popleft()[1])


class KeyMeter:
    """What one key has used. One that is not limited in something does not count it."""

    __slots__ = ("_requests", "_tokens")

    def __init__(self, limits: KeyLimitsConfig) -> None:
        counted = ((limits.rpm, MINUTE), (limits.rpd, DAY))
        self._requests = [Window(limit, seconds) for limit, seconds in counted if limit]
        self._tokens = Window(limits.tpm, MINUTE) if limits.tpm else None

    def take(self, now: float, tokens: int) -> None:
        """A request begins, with an estimate of its tokens."""
        for window in self._requests:
            window.add(now, 1)
        if self._tokens is not None:
            self._tokens.add(now, tokens)

    def settle(self, taken_at: float, now: float, estimate: int, tokens: int) -> None:
        """The request of `taken_at` has used so many tokens, where an estimate was counted."""
        if self._tokens is None:
            return
        if tokens > estimate:
            self._tokens.add(now, tokens - estimate)
        else:
            self._tokens.give_back(taken_at, estimate - tokens)

    def free_at(self, now: float, tokens: int) -> float:
        """When a request of so many tokens fits; `now`, if it does already."""
        at = max((window.free_at(now, 1) for window in self._requests), default=now)
        return max(at, self._tokens.free_at(now, tokens)) if self._tokens is not None else at
