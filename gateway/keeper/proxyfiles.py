"""From a proxy file to its pool.

A proxy file is read by the rules of key files (`keyfiles.py`, `keylines.py`): comments, BOM, labels, NDJSON, folders, a
broken file keeps its last good set, a sudden loss has to be confirmed. Only what a line holds differs: a proxy's URL.
The file is the truth; it is never written here.

Invariant: only a sync changes which proxies the pool has, one look at a time (`turn`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.config.proxyurl import SOCKS_HINT, ProxyUrl, socks_installed
from gateway.errors import StoreError
from gateway.keeper.keyfiles import FileReport, KeySource, Losses, ShrinkGuard, SourceReading
from gateway.keeper.keylines import BadLineError
from gateway.keeper.look import Look
from gateway.keeper.proxystatuses import ProxyStatuses
from gateway.observe.logs import Log
from gateway.quick import dataclass
from gateway.secret import Secret
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool

LOST = "lost more than half of its proxies at once; those it had are kept until the next look confirms it"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the file brought. `stamp` is None when it must be looked at again."""

    stamp: object
    reading: SourceReading
    urls: dict[bytes, ProxyUrl]
    losses: Losses


class ProxySync:
    """One proxy file. `shrink_guard` may be changed between looks."""

    def __init__(self, pool: ProxyPool, path: Path, statuses: ProxyStatuses, log: Log, *, shrink_guard: bool) -> None:
        self.pool = pool
        self.turn = asyncio.Lock()
        self.shrink_guard = shrink_guard
        self.files: list[dict[str, Any]] = []
        self._source = KeySource((path,), noun="proxies", check=check_proxy)
        self._statuses = statuses
        self._log = log
        self._guard = ShrinkGuard()
        self._look: Look[Seen | None] = Look()
        self._stamp: object = None
        self._held = False
        self._lines: frozenset[Secret] = frozenset()  # of the reading that was believed last
        self._told: frozenset[str] = frozenset()

    async def sync(self, *, force: bool = False) -> None:
        """Look at the file; read and apply it if anything changed, or when forced. One look waits for another.

        Raises nothing: what is wrong with the file or the database is in `files` and in the log.
        """
        async with self.turn:
            await self._sync(force)

    async def _sync(self, force: bool) -> None:
        try:
            seen = await self._look.take(lambda: self._read(force))
        except TimeoutError as exc:
            self._tell((f"{self.pool.name}: {exc}",))
            return
        if seen is not None:
            self._stamp = None  # until all of it was applied: a look that is cancelled on the way is begun again
            await self._apply(seen)
            self._stamp = seen.stamp

    def _read(self, force: bool) -> Seen | None:
        """In the thread. None: nothing has changed since the last look."""
        stamp = self._source.stamp()
        if not force and stamp == self._stamp and not self._held:
            return None
        reading = self._source.read()
        urls = [ProxyUrl.parse(entry.secret.reveal()) for entry in reading.entries]
        losses = self._guard.losses(self._lines - {entry.secret for entry in reading.entries})
        return Seen(None if reading.unstable else stamp, reading, {url.digest: url for url in urls}, losses)

    async def _apply(self, seen: Seen) -> None:
        pool, reading, urls = self.pool, seen.reading, seen.urls
        doubted = self._guard.doubt(seen.losses) if self.shrink_guard else ()
        self.files = [_describe(report, doubted) for report in reading.files]
        self._tell(reading.problems)
        self._held = bool(doubted)
        if self._held:
            self._log.warning(
                "proxies_shrink_held", file=pool.name, proxies=len(pool.proxies), reading=len(urls),
                hint="the next look at the file decides",
            )  # fmt: skip
            return
        self._guard.believe(reading.by_file)
        self._lines = frozenset(entry.secret for entry in reading.entries)
        removed = [digest for digest in pool.proxies if digest not in urls]
        pool.remove(removed)
        added = [Proxy(url) for digest, url in urls.items() if digest not in pool.proxies]
        if added:
            await self._restore(added)
            pool.add(added)
        if added or removed:
            self._log.info("proxies_synced", file=pool.name, proxies=len(urls), added=len(added), removed=len(removed))

    async def _restore(self, proxies: list[Proxy]) -> None:
        try:
            await self._statuses.restore(proxies)
        except StoreError as error:
            self._log.error("proxy_statuses_not_restored", file=self.pool.name, detail=str(error))

    def _tell(self, problems: tuple[str, ...]) -> None:
        """Each problem once, as long as it lasts."""
        for problem in problems:
            if problem not in self._told:
                self._log.warning("proxy_file", problem=problem)
        self._told = frozenset(problems)


def check_proxy(text: str) -> None:
    """Raises BadLineError for what is no proxy's URL, or one that cannot be used here."""
    try:
        url = ProxyUrl.parse(text)
    except ValueError as exc:
        raise BadLineError(str(exc)) from None
    if url.socks and not socks_installed():
        raise BadLineError(f"SOCKS proxies need python-socks; run: {SOCKS_HINT}")


def _describe(report: FileReport, doubted: Sequence[Path]) -> dict[str, Any]:
    """A file for `llmgateway status`."""
    return {
        "path": str(report.path),
        "proxies": report.keys,
        "broken": report.broken,
        "world_readable": report.world_readable,
        "problems": [*report.problems, *([LOST] if report.path in doubted else ())],
    }
