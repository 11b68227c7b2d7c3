"""The watchdog: the service manager hears that we live, as long as a restart would mend nothing.

It would mend a loop that stands still, which is why the loop does the telling, and a thread that has died, the
store's above all: what it was to save waits in vain. It would not mend a database that is locked, full or away:
requests are served from memory meanwhile, and a restart would cut them and then wait for the same database.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

from gateway import systemd
from gateway.errors import StoreError
from gateway.observe.logs import Log
from gateway.store.database import Database


class Watchdog:
    """`thread_died` is to be called by `threading.excepthook`."""

    def __init__(self, environ: Mapping[str, str], log: Log) -> None:
        self._environ = environ
        self._log = log
        self._dead = ""

    def thread_died(self, args: threading.ExceptHookArgs) -> None:
        """Called on a thread that ends because of an exception."""
        self._dead = args.thread.name if args.thread else "unknown"

    async def feed(self, database: Database, interval: float) -> None:
        """The background task: a report each `interval` to two `interval` seconds, as long as one is due."""
        while True:
            await self._ask(database, interval)
            if self._dead:
                self._log.error("watchdog_not_fed", detail=f"the thread {self._dead!r} has died")
            else:
                systemd.notify("WATCHDOG=1", self._environ)
            await asyncio.sleep(interval)

    async def _ask(self, database: Database, seconds: float) -> None:
        """For the log only: the operator is to know, whether there was something to write or not."""
        try:
            async with asyncio.timeout(seconds):
                await database.ping()
        except (StoreError, TimeoutError) as error:
            detail = str(error) or f"no answer within {seconds:g} s"
            self._log.warning("store_silent", detail=detail)
