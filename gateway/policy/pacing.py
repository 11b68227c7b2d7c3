"""How many probes at once, and how soon the next ones: a batch's outcome decides about the next.

Starts small, because nobody knows what a provider bears; a rate limit halves the batch and doubles the pause, many
transient failures halve the batch, a clean batch lets it grow again. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.quick import dataclass

LARGEST_BATCH = 1000
"""Probes: with the pause between batches some hundred thousand keys are through within a day."""

LONGEST_PAUSE = 3600.0
"""Seconds."""

TRANSIENT_SHARE = 0.3
"""Of a batch; above it the provider or the way there has trouble, and probes make it worse."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`size` probes, then `pause` seconds. `first_pause` is what was configured; it is never undercut."""

    size: int
    pause: float
    first_pause: float

    @classmethod
    def begin(cls, size: int, pause: float) -> Pace:
        return cls(size, pause, pause)

    def after(self, probes: int, limited: int, transient: int) -> Pace:
        """The next pace, given a batch's probes and how many of them were rate limited, or failed for now."""
        if limited:
            return replace(self, size=max(self.size // 2, 1), pause=min(self.pause * 2, LONGEST_PAUSE))
        if transient > TRANSIENT_SHARE * probes:
            return replace(self, size=max(self.size // 2, 1))
        if probes < self.size:
            return self
        return replace(self, size=min(self.size * 2, LARGEST_BATCH), pause=max(self.pause / 2, self.first_pause))
