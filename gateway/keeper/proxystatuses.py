"""From the proxy pools to the database, and back at start.

When it is flushed, and what happens while the database is away, is `statuses.py`'s affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from gateway.policy.proxyhealth import ALL_PROVIDERS, UNTESTED, VALID, ProxyStanding
from gateway.policy.verdict import Status
from gateway.store.proxies import ProxyStatusRow, ProxyStore
from gateway.upstream.proxy import Proxy, ProxyChange
from gateway.upstream.proxypool import ProxyPool

BATCH = 500
"""Rows made in one turn of the loop and written in one transaction."""


class ProxyStatuses:
    """Owns the rows that are not yet written. `pools` is asked anew each time, because a reload may change it."""

    def __init__(self, pools: Callable[[], Iterable[ProxyPool]], store: ProxyStore, clock: Callable[[], float]) -> None:
        self._pools = pools
        self._store = store
        self._clock = clock
        self._unsaved: dict[tuple[str, str], ProxyStatusRow | None] = {}

    def __len__(self) -> int:
        return len(self._unsaved)

    async def flush(self) -> None:
        """Write what there is. Raises StoreError; what was not written is kept."""
        now = self._clock()
        for pool in list(self._pools()):
            while changes := pool.take_changes(BATCH):
                for change in changes:
                    self._unsaved[(change.digest.hex(), change.provider)] = status_row(change, now)
        while self._unsaved:
            batch = dict(islice(self._unsaved.items(), BATCH))
            rows = [row for row in batch.values() if row is not None]
            await self._store.save_statuses(rows, [name for name, row in batch.items() if row is None])
            for name in batch:
                del self._unsaved[name]

    async def restore(self, proxies: Sequence[Proxy]) -> None:
        """Give proxies the standings that the database remembers, deadlines verbatim. Raises StoreError."""
        by_digest = {proxy.digest.hex(): proxy for proxy in proxies}
        for row in await self._store.load_statuses(list(by_digest)):
            restore_standing(by_digest[row.digest], row)


def status_row(change: ProxyChange, now: float) -> ProxyStatusRow | None:
    """A change as the database keeps it; None: not at all."""
    standing = change.standing
    if standing is None:
        return None
    return ProxyStatusRow(
        digest=change.digest.hex(),
        provider=change.provider,
        status=standing.status.value,
        until=standing.until,
        reason=standing.reason,
        last_error=standing.evidence,
        failing_since=standing.failing_since,
        streak=standing.streak,
        checked_at=change.checked_at or None,
        saved_at=now,
    )


def restore_standing(proxy: Proxy, row: ProxyStatusRow) -> None:
    """Put a row of the database back into a proxy's memory. One in words that are not known here counts as none."""
    try:
        status = Status(row.status)
    except ValueError:
        return
    standing = ProxyStanding(status, row.until, row.reason, row.last_error, row.failing_since, row.streak)
    standing = next((known for known in (VALID, UNTESTED) if known == standing), standing)
    if row.provider == ALL_PROVIDERS:
        proxy.standing = standing
        proxy.checked_at = row.checked_at or 0.0
    else:
        proxy.blocks[row.provider] = standing
