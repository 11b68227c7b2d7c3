"""What one key may do, counted so that the provider's own limit is never reached.

A provider counts a minute as it likes: fixed, sliding, as a leaking bucket. So ours is the strictest of all: in no
interval of a window's length, wherever it begins, is more used than the limit (`window.py`). That costs up to one
slot's share of the limit's throughput.

Pure: `now` comes as an argument, in seconds of any clock. When that goes back, what was counted goes back with it.
"""

from __future__ import annotations

from gateway.config.provider import KeyLimitsConfig
from gateway.policy.window import Window

SLOTS = 12
"""Parts of a window: a minute is counted in 5 s, a day in 2 h."""

MINUTE, DAY = 60.0, 86400.0


class KeyMeter:
    """What one key has used. One that is not limited in something does not count it."""

    __slots__ = ("_requests", "_tokens")

    def __init__(self, limits: KeyLimitsConfig) -> None:
        counted = ((limits.rpm, MINUTE), (limits.rpd, DAY))
        self._requests = [Window(limit, seconds, SLOTS) for limit, seconds in counted if limit]
        self._tokens = Window(limits.tpm, MINUTE, SLOTS) if limits.tpm else None

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
            self._tokens.correct(taken_at, now, tokens - estimate)

    def free_at(self, now: float, tokens: int) -> float:
        """When a request of so many tokens fits; `now`, if it does already."""
        at = max((window.free_at(now, 1) for window in self._requests), default=now)
        return max(at, self._tokens.free_at(now, tokens)) if self._tokens is not None else at
