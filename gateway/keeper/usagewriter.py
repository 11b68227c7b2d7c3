"""Usage by the hour, gathered in memory and written behind: no request waits for a report.

At most LIMIT sums are in memory. Further models and keys are counted together as "other", until the next write. What
the database does not take stays, and is written with the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.errors import StoreError
from gateway.observe.logs import Log
from gateway.observe.metrics import OTHER
from gateway.observe.record import RequestRecord
from gateway.store.usage_hourly import HOUR, Place, Sums, UsageStore

EVERY = 10.0
"""Seconds between two writes: what a killed gateway loses of a report, never of the ledger."""

LIMIT = 10_000
"""Sums in memory, some megabytes: what a thousand users do with ten models in ten seconds."""

FROM_CACHE = "cache"
"""The key of what was answered from the cache: it has used none, nor tokens, but it may have cost."""


class UsageWriter:
    """`clock` gives unix seconds."""

    def __init__(self, store: UsageStore, log: Log, clock: Callable[[], float]) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self.before_reading: Callable[[], object] = int  # notes what has happened by now
        self._sums: dict[Place, list[int]] = {}
        self._failed = False

    def note(self, record: RequestRecord) -> None:
        """A request has ended. It counts if a provider was asked, or if it was answered from the cache."""
        hit = record.cache == "hit" and record.first_byte_at > 0
        if not record.attempts and not hit:
            return
        user = record.user if record.token_name else ""
        hour = int(self._clock()) // HOUR * HOUR
        key = FROM_CACHE if hit else record.key
        place = Place(hour, user, record.provider, record.upstream_model or record.model, key, record.token_name)
        sums = self._sums.get(place)
        if sums is None:
            if len(self._sums) >= LIMIT:
                place = Place(hour, OTHER, record.provider, OTHER, OTHER, OTHER)
            sums = self._sums.setdefault(place, [0] * len(Sums._fields))
        sums[0] += 1
        sums[1] += record.outcome == "error" or record.status >= 500
        if record.usage is not None:
            sums[2] += record.usage.input
            sums[3] += record.usage.cache_read or 0
            sums[4] += record.usage.output
        sums[5] += record.cost or 0

    async def run(self) -> None:
        """The background task."""
        while True:
            await asyncio.sleep(EVERY)
            await self.flush()

    async def flush(self) -> bool:
        """Write what has gathered. False when the database did not take it; then it is tried again later."""
        self.before_reading()
        if not self._sums:
            return True
        sums, self._sums = self._sums, {}
        try:
            await self._store.add([(place, Sums(*numbers)) for place, numbers in sums.items()])
        except StoreError as error:
            self._put_back(sums)
            if not self._failed:
                self._log.error("usage_not_saved", detail=str(error), hint="it is tried again")
            self._failed = True
            return False
        except asyncio.CancelledError:
            self._put_back(sums)
            raise
        self._failed = False
        return True

    def _put_back(self, sums: dict[Place, list[int]]) -> None:
        gathered, self._sums = self._sums, sums
        for place, numbers in gathered.items():
            known = sums.get(place)
            if known is None and len(sums) < LIMIT:
                sums[place] = numbers
            elif known is None:
                self._log.warning("usage_dropped", requests=numbers[0])
            else:
                known[:] = [one + other for one, other in zip(known, numbers, strict=True)]
