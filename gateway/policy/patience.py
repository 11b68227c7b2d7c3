"""When to stop asking a service that does not answer, and when to try again.

After FAILURES in a row nobody asks it for PAUSE seconds; then one does, and the others go on when that one was
answered. Pure: `now` comes as an argument, in seconds of any clock.
"""

from __future__ import annotations

FAILURES = 5
"""In a row: one or two are a hiccup, and each costs somebody the whole deadline."""

PAUSE = 5.0
"""Seconds between two tries: a restart takes a few."""


class Patience:
    """`lost`: the service is not asked, but for one try at a time."""

    __slots__ = ("_failures", "_try_at", "lost")

    def __init__(self) -> None:
        self.lost = False
        self._failures = 0
        self._try_at = 0.0

    def allows(self, now: float) -> bool:
        """Whether to ask now. Who is told so tells how it went, or nobody else tries for PAUSE seconds."""
        if not self.lost:
            return True
        if now < self._try_at:
            return False
        self._try_at = now + PAUSE
        return True

    def succeed(self) -> None:
        """It answered."""
        self.lost = False
        self._failures = 0

    def fail(self, now: float) -> None:
        """It did not."""
        self._failures += 1
        if self._failures >= FAILURES:
            self.lost = True
            self._try_at = now + PAUSE
