"""How soon a target answers: a moving average that believes bad news at once and good news slowly. Pure.

A peak is taken over as it is; afterwards the average falls towards what is measured, or towards zero while nothing is,
so that a target that was slow is tried again some day. After Twitter's Finagle, `p2c.PeakEwma`
(https://github.com/twitter/finagle, finagle-core/.../loadbalancer/PeakEwma.scala).
"""

from __future__ import annotations

from math import exp

DECAY_SECONDS = 15.0
"""In which what was measured loses two thirds of its weight: several answers of a model that thinks."""

FAILURE_SECONDS = 60.0
"""What a failure counts as at least, however soon it came: a target that refuses at once is not the fastest one. Beside
one that takes 0.3 s it is tried again after some 80 s."""


class PeakLatency:
    """Seconds; 0 while nothing is known, so that an unknown target is tried first. `now` is any clock's."""

    __slots__ = ("_at", "_seconds")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._at = 0.0

    def seconds(self, now: float) -> float:
        return self._seconds * self._kept(now)

    def observe(self, seconds: float, now: float) -> None:
        kept = self._kept(now)
        self._seconds = max(seconds, self._seconds * kept + seconds * (1.0 - kept))
        self._at = now

    def fail(self, seconds: float, now: float) -> None:
        self.observe(max(seconds, FAILURE_SECONDS), now)

    def _kept(self, now: float) -> float:
        return exp(min(self._at - now, 0.0) / DECAY_SECONDS)
