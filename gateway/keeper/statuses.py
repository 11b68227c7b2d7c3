"""Write-behind: what the pools learned goes to the database twice a second.

Memory is the authority; the database is for the next start. After a crash the last second of statuses may be
missing, never more. While the database is away the changes wait, one per key at the most, and that is logged once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice

from gateway.errors import StoreError
from gateway.keeper.proxystatuses import ProxyStatuses
from gateway.observe.logs import Log
from gateway.policy.health import ALL_MODELS
from gateway.policy.verdict import Status
from gateway.store.keys import KeyStatusRow, KeyStore
from gateway.store.responses import ResponseRow, ResponseStore
from gateway.upstream.key import Change
from gateway.upstream.keypool import KeyPool
from gateway.upstream.owners import ResponseOwners

FLUSH_SECONDS = 0.5

BATCH = 500
"""Rows made in one turn of the loop and written in one transaction: two milliseconds here, some more in the writer
thread."""


class StatusWriter:
    """Owns the unsaved rows. `pools` is asked anew each time, because a reload may change it."""

    def __init__(
        self,
        pools: Callable[[], Iterable[KeyPool]],
        owners: ResponseOwners,
        keys: KeyStore,
        responses: ResponseStore,
        log: Log,
        clock: Callable[[], float],
        proxies: ProxyStatuses | None = None,
    ) -> None:
        self._pools = pools
        self.proxies = proxies
        self._owners = owners
        self._keys = keys
        self._responses = responses
        self._log = log
        self._clock = clock
        self._unsaved: dict[tuple[str, str, str], KeyStatusRow] = {}
        self._failing = False
        self._flushing = asyncio.Lock()

    async def run(self) -> None:
        """The background task."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> bool:
        """Write what there is. False when the database could not take it: it is kept."""
        async with self._flushing:
            try:
                await self._flush_statuses()
                if self.proxies is not None:
                    await self.proxies.flush()
                await self._flush_owners()
            except StoreError as error:
                if not self._failing:
                    self._log.error("store_unavailable", detail=str(error), unsaved=len(self._unsaved))
                self._failing = True
                return False
        if self._failing:
            self._log.info("store_back")
            self._failing = False
        return True

    async def _flush_statuses(self) -> None:
        for pool in list(self._pools()):
            await self._take(pool)
        while self._unsaved:
            batch = dict(islice(self._unsaved.items(), BATCH))
            gone = {place for place, row in batch.items() if row.model != ALL_MODELS and row.status == Status.VALID}
            await self._keys.forget_statuses(list(gone))
            await self._keys.save_statuses([row for place, row in batch.items() if place not in gone])
            for row in batch:
                del self._unsaved[row]

    async def _take(self, pool: KeyPool) -> None:
        """All changes of a pool, since it may be gone at the next flush."""
        while changes := pool.standings.take_changes(BATCH):
            for change in changes:
                row = status_row(pool.provider, change)
                self._unsaved[(row.provider, row.digest, row.model)] = row
            if len(changes) < BATCH:
                return
            await asyncio.sleep(0)

    async def _flush_owners(self) -> None:
        pending = self._owners.take_pending()
        if not pending:
            return
        now = self._clock()
        try:
            for start in range(0, len(pending), BATCH):
                rows = [
                    ResponseRow(name, owner.provider, owner.digest, owner.model, owner.user, now)
                    for name, owner in pending[start : start + BATCH]
                ]
                await self._responses.remember(rows)
        except BaseException:  # cancelled, too: what was not written is not forgotten
            self._owners.give_back(pending)
            raise


def status_row(provider: str, change: Change) -> KeyStatusRow:
    """A change as the database keeps it."""
    standing = change.standing
    return KeyStatusRow(
        provider=provider,
        digest=change.digest.hex(),
        model=change.model,
        status=standing.status.value,
        until=standing.until,
        provenance=standing.provenance.value,
        reason=standing.reason,
        last_error=standing.evidence,
        failing_since=standing.failing_since,
        next_check_at=standing.until,
        checked_at=change.checked_at or None,
        streak=standing.streak,
        proven=standing.proven,
    )
