"""What survives a restart: keys and proxies with their statuses, who made which answer, users and their money.

`open_store` gives a `Database` (database.py); the nouns over it have a file each (keys.py, proxies.py, entries.py, …),
with all SQL that concerns them. Secrets are never here: a SHA-256 digest identifies a key, a fingerprint shows it.

Invariants: SQL is portable (`$1` parameters, TEXT, BIGINT, DOUBLE PRECISION, ON CONFLICT), so that another
database can run the same text; times are unix seconds; the driver is imported when a database is opened, not before.
"""

from __future__ import annotations

from pathlib import Path

from gateway.errors import StoreError
from gateway.store.database import DEADLINE, Database


async def open_store(url: str, state_dir: Path, *, deadline: float = DEADLINE) -> Database:
    """The database at `url` ("sqlite:FILE", FILE relative to `state_dir`), created or migrated as needed.

    `deadline` bounds every later call, in seconds. Raises StoreCorrupt, StoreTooNew, or StoreUnavailable when it cannot
    be opened for now.
    """
    path = file_of(url, state_dir)
    from gateway.store.migrations import migrate
    from gateway.store.sqlite import open_sqlite  # not at the top: see the invariants

    database = await open_sqlite(path, deadline=deadline)
    try:
        await migrate(database)
    except BaseException:
        await database.close()
        raise
    return database


def file_of(url: str, state_dir: Path) -> Path:
    """The file of a database at `url`. Raises StoreError for one of another kind."""
    scheme, _, file = url.partition(":")
    if scheme != "sqlite" or not file:
        raise StoreError("store.url is not a database of a known kind", detail=scheme, hint='write "sqlite:FILE"')
    return state_dir / file
