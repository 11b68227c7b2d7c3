"""What is known of each proxy: written behind by the Keeper, read at start.

A proxy is known by the SHA-256 digest of its URL, in hex; the URL itself, with its password, is only in the proxy file.
Which file that is does not matter: a proxy that moves to another one keeps its history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter

from gateway.quick import dataclass
from gateway.store.database import Database, Statement, Value

DIGESTS = 50
"""Proxies asked for in one read: a fixed number, so that the database prepares the statement once."""


@dataclass(frozen=True, slots=True)
class ProxyStatusRow:
    """What is known of a proxy for a provider, or for all of them (`policy.proxyhealth.ALL_PROVIDERS`). Times are
    unix seconds."""

    digest: str
    provider: str
    status: str
    until: float | None
    reason: str
    last_error: str
    failing_since: float | None
    streak: int
    checked_at: float | None
    saved_at: float


COLUMNS = tuple(field.name for field in fields(ProxyStatusRow))
"""In the order of the fields, which is the order of the table."""

SAVE_STATUS = """
    INSERT INTO proxy_status (digest, provider, status, until, reason, last_error, failing_since, streak, checked_at,
        saved_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (digest, provider) DO UPDATE
    SET status = excluded.status, until = excluded.until, reason = excluded.reason, last_error = excluded.last_error,
        failing_since = excluded.failing_since, streak = excluded.streak, checked_at = excluded.checked_at,
        saved_at = excluded.saved_at"""

FORGET_STATUS = "DELETE FROM proxy_status WHERE digest = $1 AND provider = $2"

FORGET_BEFORE = "DELETE FROM proxy_status WHERE saved_at < $1"

LOAD_STATUSES = f"""
    SELECT {", ".join(COLUMNS)} FROM proxy_status
    WHERE digest IN ({", ".join(f"${number}" for number in range(1, DIGESTS + 1))})
    ORDER BY digest, provider"""  # noqa: S608 - nothing in it comes from outside


class ProxyStore:
    """The table `proxy_status`. Raises what `Database` raises; every method may be repeated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save_statuses(self, rows: Sequence[ProxyStatusRow], forgotten: Sequence[tuple[str, str]]) -> None:
        """Insert or replace rows, and delete those of (digest, provider). All or nothing."""
        await self._database.transaction(
            [Statement(SAVE_STATUS, rows=[_values(row) for row in rows]), Statement(FORGET_STATUS, rows=forgotten)]
        )

    async def load_statuses(self, digests: Sequence[str]) -> list[ProxyStatusRow]:
        """Of these proxies, in the order of their digests."""
        rows: list[ProxyStatusRow] = []
        for start in range(0, len(digests), DIGESTS):
            asked = digests[start : start + DIGESTS]
            padding = [""] * (DIGESTS - len(asked))
            found = await self._database.fetch(LOAD_STATUSES, *asked, *padding)
            rows += [ProxyStatusRow(*values) for values in found]  # type: ignore[arg-type]
        return rows

    async def forget_before(self, saved_at: float) -> int:
        """Forget what nobody has had anything new to say about since. The number of rows."""
        return await self._database.execute(FORGET_BEFORE, saved_at)


_values: attrgetter[tuple[Value, ...]] = attrgetter(*COLUMNS)
