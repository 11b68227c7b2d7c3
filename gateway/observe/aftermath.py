"""What is noted of requests that have ended: in the metrics, in the sums of usage, in the log.

Nobody waits for that, so it is done for many requests at once: a few dozen functions, called for one request after the
other, take less time than when each request has to bring them into the processor's caches anew.

Invariants:
- Requests are noted in the order in which they ended, and DELAY seconds later at most.
- Whoever reads what is noted calls `catch_up` first (`before_reading` of the metrics and of the sums).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.observe.logs import Log
from gateway.observe.metrics import Metrics
from gateway.observe.record import RequestRecord

BATCH = 32
"""Requests noted at once: half a millisecond of the loop's time."""

DELAY = 0.05
"""Seconds that a request waits for others to be noted with it."""


class Aftermath:
    """`note_usage` is told of every request, `clock` gives unix seconds."""

    def __init__(
        self, metrics: Metrics, note_usage: Callable[[RequestRecord], None], log: Log, clock: Callable[[], float]
    ) -> None:
        self._metrics = metrics
        self._note_usage = note_usage
        self._log = log
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ended: list[tuple[RequestRecord, float]] = []
        self._logged: list[tuple[RequestRecord, float, float]] = []
        self._due = False  # a timer runs

    def add(self, record: RequestRecord, *, logged: bool) -> None:
        """A request has ended; nobody changes its record any more."""
        duration = self._loop.time() - record.started
        self._ended.append((record, duration))
        if logged:
            self._logged.append((record, duration, self._clock()))
        if len(self._ended) >= BATCH:
            self.catch_up()
        elif not self._due:
            self._due = True
            self._loop.call_later(DELAY, self._on_time)

    def catch_up(self) -> None:
        """Note all that have ended by now."""
        ended, self._ended = self._ended, []
        logged, self._logged = self._logged, []
        for record, duration in ended:
            self._metrics.request_done(record, duration)
        for record, _ in ended:
            self._note_usage(record)
        for record, duration, at in logged:
            self._log.request(record, duration, at)

    def _on_time(self) -> None:
        self._due = False
        self.catch_up()
