"""When rests end: the heaps of deadlines of one pool, and the timer that wakes its keys.

Deadlines are unix seconds, because they are kept over restarts and the provider names them. The clock on the wall may
be set: forward, and rests end early, as they would have by that clock; back, and they keep what was left of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.upstream.key import Rest, rest_ends
from gateway.upstream.rests import STEP_BACK, Rests

LONGEST_NAP = 30.0
"""Seconds after which the clock on the wall is looked at again: it may have been set, and timers stand still while a
computer sleeps."""

WHOLE = ""
"""The heap of rests that are not about one model."""


class Wakeups:
    """`wake` is called by the timer; `also` gives another time at which it is to be, or None."""

    __slots__ = ("_also", "_clock", "_closed", "_heaps", "_seen", "_timer", "_timer_at", "_wake")

    def __init__(
        self, clock: Callable[[], float], wake: Callable[[], object], also: Callable[[], float | None]
    ) -> None:
        self._clock = clock
        self._wake = wake
        self._also = also
        self._heaps: dict[str, Rests[Rest]] = {WHOLE: Rests(rest_ends)}
        self._seen = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._timer_at = 0.0

    def push(self, until: float, rest: Rest, live: int) -> None:
        """Note a rest; `live` is the number of keys, each of which may rest once for a model and twice for all."""
        model = rest.model_name
        heap = self._heaps.get(model)
        if heap is None:
            heap = self._heaps[model] = Rests(rest_ends)
        heap.push(until, rest, live if model else 2 * live)
        if self._timer is None or until < self._timer_at:
            self.arm()

    def earliest(self) -> float | None:
        """When the next rest ends."""
        return min((at for heap in self._heaps.values() if (at := heap.earliest()) is not None), default=None)

    def earliest_for(self, model: str, wanted: Callable[[Rest], bool], looks: int) -> float | None:
        """When the next rest ends that keeps a wanted key from serving a model."""
        heaps = [self._heaps[name] for name in {WHOLE, model} if name in self._heaps]
        found = [heap.earliest_where(wanted, looks) for heap in heaps]
        return min((at for at in found if at is not None), default=None)

    def pop_due(self, now: float) -> Rest | None:
        """A rest that is over, or None."""
        for heap in self._heaps.values():
            rest = heap.pop_due(now)
            if rest is not None:
                return rest
        return None

    def forget_model(self, model: str) -> None:
        self._heaps.pop(model, None)

    def clock_set_back(self, now: float) -> float:
        """By how many seconds the clock was set back since the last look, 0 if it was not."""
        step = self._seen - now if self._seen else 0.0
        self._seen = now
        return step if step > STEP_BACK else 0.0

    def arm(self) -> None:
        """Set the timer to the next end of a rest. Without a running loop (tests, tools) nobody waits for it."""
        if self._closed:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        until, also = self.earliest(), self._also()
        if also is not None:
            until = also if until is None else min(until, also)
        self._stop()
        if until is not None:
            self._timer_at = until
            nap = min(max(until - self._clock(), 0.0), LONGEST_NAP)
            self._timer = loop.call_later(nap, self._on_timer)

    def close(self) -> None:
        """Nobody is woken any more, whatever is still to rest; nothing is held on to."""
        self._closed = True
        self._wake = self._also = _nothing
        self._heaps = {WHOLE: Rests(rest_ends)}
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._wake()
        self.arm()


def _nothing() -> None:
    """What a closed pool does."""
