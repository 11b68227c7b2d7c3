"""A deadline that costs nothing to move.

`asyncio.timeout()` makes a timer for every wait. Here each connection owns one `Deadline`; moving it later
only stores a number, and the one timer that is already running re-arms itself when it fires too early.
What happens on expiry is the owner's affair: it fails its stream, which wakes whoever waits on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """One timer, moved lazily. Times are those of `loop.time()`, in seconds."""

    __slots__ = ("_at", "_fires", "_handle", "_loop", "_on_expiry")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expiry: Callable[[], None]) -> None:
        self._loop = loop
        self._on_expiry = on_expiry
        self._at = 0.0  # 0: none
        self._fires = 0.0  # when the running timer does; uvloop's handle of one that is due already does not tell
        self._handle: asyncio.TimerHandle | None = None

    def move(self, at: float) -> None:
        """Expire at `at` instead of whenever it was."""
        self._at = at
        handle = self._handle
        if handle is None:
            self._start(at)
        elif at < self._fires:
            handle.cancel()
            self._start(at)

    def clear(self) -> None:
        """No deadline for now; the running timer is left to find that out by itself."""
        self._at = 0.0

    def close(self) -> None:
        """No deadline ever again, and nothing that keeps the owner alive: no timer, and no cycle with its method."""
        self._at = 0.0
        self._on_expiry = _nothing
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _start(self, at: float) -> None:
        self._fires = at
        self._handle = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._handle = None
        at = self._at
        if not at:
            return
        if at > self._loop.time():
            self._start(at)
            return
        self._at = 0.0
        self._on_expiry()


def _nothing() -> None:
    """For what is closed."""
