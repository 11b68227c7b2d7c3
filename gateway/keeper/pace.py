"""Long work beside requests, which are not to notice it: in a thread, on the loop, and before the garbage collector.

A key file of a hundred thousand lines takes two seconds of computing, and there is one interpreter for that and for the
requests. Work of this kind is cut into steps of a few milliseconds. Between two of them it goes on at once where nobody
else has anything to do, and otherwise lets the others go first: the busier they are, the slower it is.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

LONGEST_PAUSE = 0.05
"""Seconds between two steps in a thread: even beside a machine that is overloaded the work ends some day."""

QUIET = 0.0005
"""Seconds that a turn of the loop takes at the most where nobody else has anything to do. One that serves a request
takes longer."""

TURNS = 20
"""Turns of the loop that go first at the most, for the same reason."""


class Pace:
    """A thread's: after each step it waits for as long as it was kept waiting for the processor and the interpreter."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        busy: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._busy = busy
        self._sleep = sleep
        self._idle = clock() - busy()

    def pause(self) -> None:
        """Between two steps."""
        waited = self._clock() - self._busy() - self._idle
        self._sleep(min(max(waited, 0.0), LONGEST_PAUSE))
        self._idle = self._clock() - self._busy()


def paced(items: Iterable[T], step: int) -> Iterator[T]:
    """The items, with a pause after each `step` of them. For a thread."""
    pace = Pace()
    for n, item in enumerate(items, 1):
        yield item
        if n % step == 0:
            pace.pause()


async def let_others_go_first(clock: Callable[[], float] = time.perf_counter) -> None:
    """The same on the loop: returns after the first turn in which there was little else to do."""
    for _ in range(TURNS):
        before = clock()
        await asyncio.sleep(0)
        if clock() - before < QUIET:
            return


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected while many keys are made, in a thread or not; a collection would find none, and hold the
    requests up for 20 ms each time. If it is due afterwards, there are so many that they are left alone for good: they
    live long, and walking a hundred thousand of them would take a tenth of a second."""
    collects = gc.isenabled()  # not in another thread that is here as well: that one switches it on again
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] >= gc.get_threshold()[0]:
            gc.freeze()
        if collects:
            gc.enable()
