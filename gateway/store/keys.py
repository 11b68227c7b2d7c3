"""Which keys there are, and what is known of each: written behind by the Keeper, read at start.

The key files are the truth; a key that has left them keeps its rows, marked as removed, so that its history returns
with it. A key is known by the SHA-256 digest of its secret, in hex.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import chain
from operator import attrgetter
from sys import intern
from typing import Any

from gateway.quick import dataclass
from gateway.store.database import Database, Statement, Value

BATCH = 1000
"""Statuses in one unit: others get their turn between, and the loop is held for a few milliseconds."""

Entry = tuple[str, str, str]
"""A key: digest (hex), fingerprint, labels (a JSON object)."""


@dataclass(frozen=True, slots=True)
class KeyStatusRow:
    """What is known of a key for a model, or for all of them (`policy.health.ALL_MODELS`). Times are unix seconds."""

    provider: str
    digest: str
    model: str
    status: str
    until: float | None
    provenance: str
    reason: str
    last_error: str
    failing_since: float | None
    next_check_at: float | None
    checked_at: float | None
    streak: int
    proven: bool


KEY_STATUS_COLUMNS = tuple(field.name for field in fields(KeyStatusRow))
"""In the order of the fields, which is the order of the table."""

UPSERT_KEY = """
    INSERT INTO keys (provider, digest, fingerprint, labels, added_at, removed_at) {source}
    ON CONFLICT (provider, digest) DO UPDATE
    SET fingerprint = excluded.fingerprint, labels = excluded.labels, removed_at = NULL
    WHERE keys.removed_at IS NOT NULL
        OR keys.labels <> excluded.labels OR keys.fingerprint <> excluded.fingerprint"""
"""A known key keeps its `added_at`; one that is as it was is not written."""

TOGETHER = 50
"""Keys that one statement adds or removes: half of the time of single ones, and the loop is not made to hand over the
interpreter for each."""

ADD_KEY = UPSERT_KEY.format(source="VALUES ($1, $3, $4, $5, $2, NULL)")

ADD_KEYS = UPSERT_KEY.format(
    source="VALUES " + ", ".join(f"($1, ${n}, ${n + 1}, ${n + 2}, $2, NULL)" for n in range(3, 3 + 3 * TOGETHER, 3))
)

CREATE_STAGED = "CREATE TEMPORARY TABLE staged_keys (digest TEXT NOT NULL, fingerprint TEXT, labels TEXT)"

STAGE_KEY = "INSERT INTO staged_keys (digest, fingerprint, labels) VALUES ($1, $2, $3)"

INDEX_STAGED = "CREATE INDEX staged_digests ON staged_keys (digest)"
"""Afterwards, at one go: half the time of a primary key that takes the rows one by one."""

# GROUP BY: duplicates count once, and in the order in which the table's own index grows fastest.
# WHERE TRUE: else SQLite takes ON CONFLICT for the ON of a join.
ADD_STAGED = UPSERT_KEY.format(
    source="""
    SELECT CAST($1 AS TEXT), digest, MIN(fingerprint), MIN(labels), CAST($2 AS DOUBLE PRECISION), NULL
    FROM staged_keys WHERE TRUE GROUP BY digest"""
)

REMOVE_UNSTAGED = """
    UPDATE keys SET removed_at = $2
    WHERE provider = $1 AND removed_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM staged_keys WHERE staged_keys.digest = keys.digest)"""

DROP_STAGED = "DROP TABLE staged_keys"

REMOVE_KEYS = f"""
    UPDATE keys SET removed_at = $2
    WHERE provider = $1 AND removed_at IS NULL
        AND digest IN ({", ".join(f"${number}" for number in range(3, TOGETHER + 3))})"""  # noqa: S608 - nothing foreign

PROVIDERS = "SELECT DISTINCT provider FROM keys"

REMOVE_ALL = "UPDATE keys SET removed_at = $2 WHERE provider = $1 AND removed_at IS NULL"

FIND_REMOVED = "SELECT digest FROM keys WHERE provider = $1 AND removed_at < $2 LIMIT $3"

PURGE_KEY = "DELETE FROM keys WHERE provider = $1 AND digest = $2 AND removed_at < $3"

FIND_ORPHANS = """
    SELECT digest FROM key_status WHERE provider = $1 AND NOT EXISTS (
        SELECT 1 FROM keys WHERE keys.provider = key_status.provider AND keys.digest = key_status.digest) LIMIT $2"""

PURGE_ORPHAN = """
    DELETE FROM key_status WHERE provider = $1 AND digest = $2 AND NOT EXISTS (
        SELECT 1 FROM keys WHERE provider = $1 AND digest = $2)"""

PURGED_AT_ONCE = 1000
"""Rows in one unit: some ten milliseconds."""

SAVE_STATUS = """
    INSERT INTO key_status (provider, digest, model, status, until, provenance, reason, last_error, failing_since,
        next_check_at, checked_at, streak, proven)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (provider, digest, model) DO UPDATE
    SET status = excluded.status, until = excluded.until, provenance = excluded.provenance, reason = excluded.reason,
        last_error = excluded.last_error, failing_since = excluded.failing_since,
        next_check_at = excluded.next_check_at, checked_at = excluded.checked_at, streak = excluded.streak,
        proven = excluded.proven"""

FORGET_STATUS = "DELETE FROM key_status WHERE provider = $1 AND digest = $2 AND model = $3"

DIGESTS = 500
"""Keys asked for in one read: a fixed number, so that the database prepares the statement once."""

LOAD_STATUSES = f"""
    SELECT {", ".join(KEY_STATUS_COLUMNS)} FROM key_status
    WHERE provider = $1 AND digest IN ({", ".join(f"${number}" for number in range(2, DIGESTS + 2))})
    ORDER BY digest, model"""  # noqa: S608 - nothing in it comes from outside


class KeyStore:
    """The tables `keys` and `key_status`. Raises what `Database` raises; every method may be repeated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sync_keys(self, provider: str, entries: Sequence[Entry], now: float) -> None:
        """Make `entries` the provider's keys: all or nothing. Duplicates count once, what is missing is removed."""
        await self._database.transaction(
            [
                Statement(CREATE_STAGED),
                Statement(STAGE_KEY, rows=entries),
                Statement(INDEX_STAGED),
                Statement(ADD_STAGED, args=(provider, now)),
                Statement(REMOVE_UNSTAGED, args=(provider, now)),
                Statement(DROP_STAGED),
            ]
        )

    async def add_and_remove(self, provider: str, added: Sequence[Entry], removed: Sequence[str], now: float) -> None:
        """The difference since the last sync: keys that appeared or changed, each once, digests of those that left."""
        single = len(added) - len(added) % TOGETHER  # the first of those that are too few for a statement of many
        await self._database.transaction(
            [
                Statement(
                    ADD_KEYS,
                    rows=[
                        (provider, now, *chain.from_iterable(added[start : start + TOGETHER]))
                        for start in range(0, single, TOGETHER)
                    ],
                ),
                Statement(ADD_KEY, rows=[(provider, now, *entry) for entry in added[single:]]),
                Statement(REMOVE_KEYS, rows=[(provider, now, *digests) for digests in _padded(removed, TOGETHER)]),
            ]
        )

    async def save_statuses(self, rows: Sequence[KeyStatusRow]) -> None:
        """Insert or replace, in batches: after an error some may be saved and others not."""
        for start in range(0, len(rows), BATCH):
            values = [_values(row) for row in rows[start : start + BATCH]]
            await self._database.transaction([Statement(SAVE_STATUS, rows=values)])

    async def forget_statuses(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Of (provider, digest, model): what was known of a key for one model is no longer so."""
        for start in range(0, len(rows), BATCH):
            await self._database.transaction([Statement(FORGET_STATUS, rows=rows[start : start + BATCH])])

    async def load_statuses(self, provider: str, digests: Sequence[str]) -> list[KeyStatusRow]:
        """Of these keys, whether they are in the files or not; in the order of the digests."""
        rows: list[KeyStatusRow] = []
        for asked in _padded(digests, DIGESTS):
            rows += map(_row, await self._database.fetch(LOAD_STATUSES, provider, *asked))
        return rows

    async def providers(self) -> list[str]:
        """Whose keys there are, whether these providers are still configured or not."""
        return [str(provider) for (provider,) in await self._database.fetch(PROVIDERS)]

    async def remove_all(self, provider: str, now: float) -> int:
        """Mark the keys of a provider as removed that are not yet. The number of keys."""
        return await self._database.execute(REMOVE_ALL, provider, now)

    async def purge_removed(self, provider: str, before: float) -> int:
        """Forget keys that left the files before then, and statuses whose key is unknown. The number of keys."""
        purged, found = 0, PURGED_AT_ONCE
        while found == PURGED_AT_ONCE:  # they are found by a read, which keeps nobody from writing
            removed = await self._database.fetch(FIND_REMOVED, provider, before, PURGED_AT_ONCE)
            gone = Statement(PURGE_KEY, rows=[(provider, digest, before) for (digest,) in removed])
            purged += sum(await self._database.transaction([gone]))
            found = len(removed)
        found = PURGED_AT_ONCE
        while found == PURGED_AT_ONCE:
            orphans = await self._database.fetch(FIND_ORPHANS, provider, PURGED_AT_ONCE)
            gone = Statement(PURGE_ORPHAN, rows=[(provider, digest) for (digest,) in orphans])
            await self._database.transaction([gone])
            found = len(orphans)
        return purged


def _padded(digests: Sequence[str], size: int) -> Iterator[list[str]]:
    """So many at a time, the last ones filled up with what is no digest."""
    for start in range(0, len(digests), size):
        taken = list(digests[start : start + size])
        yield taken + [""] * (size - len(taken))


_values: attrgetter[tuple[Value, ...]] = attrgetter(*KEY_STATUS_COLUMNS)


def _row(values: Sequence[Any]) -> KeyStatusRow:
    """One text for the same words of all rows: a hundred thousand take 30 MB instead of 60."""
    provider, digest, model, status, until, provenance, reason, *others, proven = values
    words = (intern(provider), digest, intern(model), intern(status), until, intern(provenance), intern(reason))
    return KeyStatusRow(*(*words, *others, bool(proven)))
