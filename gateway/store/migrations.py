"""The schema's history. Append to `MIGRATIONS`; what has been released is never edited.

Each migration is one transaction together with the row in `schema_version` that says so. That row goes in first:
when two processes start at once, the slower one fails on it, has done nothing, and finds the work done.
"""

from __future__ import annotations

from gateway.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from gateway.store.database import Database, Statement

MIGRATIONS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (
        1,
        (
            # digest: SHA-256 of the key, hex. labels: JSON object. removed_at: gone from the key files since.
            """CREATE TABLE keys (
                provider TEXT NOT NULL,
                digest TEXT NOT NULL,
                fingerprint TEXT NOT NULL,
                labels TEXT NOT NULL,
                added_at DOUBLE PRECISION NOT NULL,
                removed_at DOUBLE PRECISION,
                PRIMARY KEY (provider, digest)
            )""",
            # No foreign key: a status may be written while its key is being added or purged. proven: 0 or 1.
            """CREATE TABLE key_status (
                provider TEXT NOT NULL,
                digest TEXT NOT NULL,
                model TEXT NOT NULL,
                status TEXT NOT NULL,
                until DOUBLE PRECISION,
                provenance TEXT NOT NULL,
                reason TEXT NOT NULL,
                last_error TEXT NOT NULL,
                failing_since DOUBLE PRECISION,
                next_check_at DOUBLE PRECISION,
                checked_at DOUBLE PRECISION,
                streak BIGINT NOT NULL,
                proven BIGINT NOT NULL,
                PRIMARY KEY (provider, digest, model)
            )""",
            """CREATE TABLE responses (
                id TEXT PRIMARY KEY,
                provider TEXT NOT NULL,
                digest TEXT NOT NULL,
                model TEXT NOT NULL,
                made_at DOUBLE PRECISION NOT NULL
            )""",
            "CREATE INDEX responses_made_at ON responses (made_at)",
        ),
    ),
    (
        2,
        (
            # digest: SHA-256 of the proxy's URL, hex. provider: whom it concerns, or all of them.
            """CREATE TABLE proxy_status (
                digest TEXT NOT NULL,
                provider TEXT NOT NULL,
                status TEXT NOT NULL,
                until DOUBLE PRECISION,
                reason TEXT NOT NULL,
                last_error TEXT NOT NULL,
                failing_since DOUBLE PRECISION,
                streak BIGINT NOT NULL,
                checked_at DOUBLE PRECISION,
                saved_at DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (digest, provider)
            )""",
        ),
    ),
    (
        3,
        (
            # Whose token asked for it; empty: nobody's, as everything was before.
            "ALTER TABLE responses ADD COLUMN user_name TEXT NOT NULL DEFAULT ''",
        ),
    ),
)

LATEST = MIGRATIONS[-1][0]

CREATE_VERSION = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)"
READ_VERSION = "SELECT COALESCE(MAX(version), 0) FROM schema_version"
WRITE_VERSION = "INSERT INTO schema_version (version) VALUES ($1)"


async def migrate(database: Database) -> None:
    """Bring the schema up to `LATEST`. Raises StoreTooNew when it is beyond that."""
    await database.execute(CREATE_VERSION)
    version = await _version(database)
    if version > LATEST:
        raise StoreTooNew(
            "the database was written by a newer version",
            detail=f"its schema is version {version}, this program knows up to {LATEST}",
            hint="run the newer program, or restore a backup from before the upgrade",
        )
    for number, sqls in MIGRATIONS:
        if number > version:
            await _apply(database, number, sqls)


async def _apply(database: Database, number: int, sqls: tuple[str, ...]) -> None:
    try:
        await database.transaction([Statement(WRITE_VERSION, args=(number,)), *map(Statement, sqls)])
    except (StoreUnavailable, StoreCorrupt):
        raise
    except StoreError:
        if await _version(database) < number:  # else another process was faster
            raise


async def _version(database: Database) -> int:
    version = await database.fetchval(READ_VERSION)
    assert isinstance(version, int)
    return version
