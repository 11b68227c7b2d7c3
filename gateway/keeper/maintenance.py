"""Keeping the database small: what is old goes, the room it took is given back, the log is tidied up.

*Purge*: makers of Responses answers, statuses of proxies and hourly usage by age, keys that left the files long ago
with their statuses, keys of providers that are not configured any more like those; and above the size cap the oldest
answers. Never anything of a key that is in a file, and never a line of the ledger.

*Vacuum*: free pages are given back when they are a good part of the file, a little at a time, beside all other work. On
the operator's word the whole file is written anew.

*Checkpoint*: the write-ahead log is moved into the database and emptied.

All of it happens every few hours and on command, one task at a time; what each did is in the log and the metrics. No
step keeps the database's writer busy for more than some ten milliseconds, but for the whole vacuum, which only a
command starts. What the SQL is, is the store's affair.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from gateway.config.model import Config
from gateway.config.provider import HealthConfig
from gateway.errors import StoreError
from gateway.observe.logs import Log
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from gateway.store.proxies import ProxyStore
from gateway.store.responses import ResponseStore
from gateway.store.usage_hourly import UsageStore

FIRST_AFTER = 300.0
"""Seconds after the start, which has better things to do."""

DAY = 86400.0

RESPONSES_KEPT = 30 * DAY
"""Seconds that the maker of a Responses answer is remembered at most: OpenAI keeps stored answers for 30 days."""

FREE_SHARE = 0.2
FREE_LEAST = 4 << 20
"""Free pages are given back from this share of the file and so many bytes on. Fewer will soon be used again."""

MB = 1 << 20


class Note(Protocol):
    """Where each run is counted."""

    def __call__(self, task: str, outcome: str, seconds: float, purged: Mapping[str, int]) -> None: ...


class Maintenance:
    """`clock` gives unix seconds; `arrange` is called at start and at each reload."""

    def __init__(self, database: Database, log: Log, clock: Callable[[], float], note: Note) -> None:
        self._database = database
        self._keys = KeyStore(database)
        self._proxies = ProxyStore(database)
        self._responses = ResponseStore(database)
        self._usage = UsageStore(database)
        self._log = log
        self._clock = clock
        self._note = note
        self._config = Config()
        self._arranged = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.tasks: Mapping[str, Callable[[], Coroutine[Any, Any, dict[str, Any]]]] = {
            "purge": self.purge,
            "vacuum": self.vacuum,
            "checkpoint": self.checkpoint,
        }
        """What commands may ask for."""

    def arrange(self, config: Config) -> None:
        self._config = config
        self._arranged.set()

    async def run(self) -> None:
        """The background task."""
        await self._wait(FIRST_AFTER)
        while True:
            await self.do_round()
            await self._wait(math.inf)

    async def do_round(self) -> None:
        """All that is done without a command. A database that is away is tried again the next time."""
        for task in (self.purge, self.release, self.checkpoint):
            try:
                await task()
            except StoreError as error:
                self._log.error("maintenance_failed", task=task.__name__, detail=str(error))

    async def _wait(self, most: float) -> None:
        """The interval, or so many seconds if that is less. A reload may change the interval meanwhile."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while (left := since + min(most, self._config.store.maintenance_interval) - loop.time()) > 0:
            self._arranged.clear()
            try:
                async with asyncio.timeout(left):
                    await self._arranged.wait()
            except TimeoutError:
                return

    async def purge(self) -> dict[str, Any]:
        """{"purged": rows by kind}. Raises StoreError."""
        return await self._counted("purge", self._purge)

    async def release(self) -> dict[str, Any]:
        """Give free pages back if that pays: {"before", "after"} in bytes. Raises StoreError."""
        return await self._counted("release", self._release)

    async def vacuum(self) -> dict[str, Any]:
        """Write the whole database anew: {"before", "after"} in bytes. Raises StoreError."""
        return await self._counted("vacuum", self._vacuum)

    async def checkpoint(self) -> dict[str, Any]:
        """Empty the log, if its readers allow it: {"before", "after"}, bytes of the log. Raises StoreError."""
        return await self._counted("checkpoint", self._checkpoint)

    async def _counted(self, task: str, work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Run it alone, count it, and say what came of it."""
        async with self._one_at_a_time:
            started = time.monotonic()
            try:
                result = await work()
            except BaseException:
                self._note(task, "failed", time.monotonic() - started, {})
                raise
            seconds = time.monotonic() - started
        self._note(task, "done", seconds, result.get("purged", {}))
        if any(result.get("purged", {}).values()) or result.get("before") != result.get("after"):
            self._log.info("maintained", task=task, seconds=round(seconds, 3), **result)  # not that there was nothing
        return {**result, "seconds": round(seconds, 3), "database": self._database.place}

    async def _purge(self) -> dict[str, Any]:
        now, retention = self._clock(), self._config.store.retention_days * DAY
        purged = {
            "keys": await self._purge_keys(now),
            "responses": await self._responses.forget_before(now - min(RESPONSES_KEPT, retention)),
            "proxies": await self._proxies.forget_before(now - retention),
            "sums": await self._usage.forget_before(now - retention),
        }
        purged["responses"] += await self._make_room()
        return {"purged": purged}

    async def _purge_keys(self, now: float) -> int:
        purged = 0
        for name in await self._keys.providers():
            provider = self._config.providers.get(name)
            if provider is None:  # nobody reads its files any more; when it returns, so does what was known
                await self._keys.remove_all(name, now)
            health = HealthConfig() if provider is None else provider.health
            purged += await self._keys.purge_removed(name, now - health.purge_after)
        return purged

    async def _make_room(self) -> int:
        """While the database is above its cap, the oldest answers go: nothing else may."""
        cap, forgotten = self._config.store.max_mb * MB, 0
        while cap and (size := await self._database.size()).used > cap:
            some = await self._responses.forget_oldest()
            if not some:
                self._log.warning("store_over_cap", mb=round(size.used / MB), hint="store.max_mb is too small")
                break
            forgotten += some
        return forgotten

    async def _release(self) -> dict[str, Any]:
        size = await self._database.size()
        released = 0
        if size.free >= max(FREE_LEAST, FREE_SHARE * size.total):
            released = await self._database.release()
            if not released:
                self._log.info("vacuum_needed", mb=round(size.free / MB), hint="run 'llmgateway maintenance vacuum'")
        return {"before": size.total, "after": size.total - released}

    async def _vacuum(self) -> dict[str, Any]:
        before = await self._database.size()
        await self._database.vacuum()
        return {"before": before.total, "after": (await self._database.size()).total}

    async def _checkpoint(self) -> dict[str, Any]:
        before = self._log_bytes()
        await self._database.checkpoint()
        return {"before": before, "after": self._log_bytes()}

    def _log_bytes(self) -> int:
        return self._database.statistics().bytes_on_disk.get("log", 0)
