"""What keeps a SQLite file small and whole. Each function is given a connection on the thread that owns it, outside a
transaction. They are slow; `sqlite.py` calls them when it opens a file, or through its writer's queue.

A file whose rows were deleted keeps its size: SQLite puts the pages on a list of free ones. With `auto_vacuum =
INCREMENTAL`, which new files have, some of them at a time can be given back to the disk while others write in between.
An older file gets that by a whole `VACUUM`, which writes everything anew.

https://www.sqlite.org/pragma.html#pragma_auto_vacuum, https://www.sqlite.org/lang_vacuum.html
"""

from __future__ import annotations

from typing import Any, Protocol

from gateway.store.database import Size
from gateway.store.migrations import VERSION_TABLE, misfit

INCREMENTAL = 2
"""What `PRAGMA auto_vacuum` answers for a file whose free pages can be given back."""

NEW_FILE = f"PRAGMA auto_vacuum = {INCREMENTAL}"
"""For a file without pages, before it gets its first ones. Elsewhere it counts from the next whole `VACUUM` on."""

RELEASED_AT_ONCE = 256
"""Pages, of 4 KiB each: some ten milliseconds, then others have their turn."""

READ_VERSIONS = f"SELECT * FROM {VERSION_TABLE} LIMIT 1000"  # noqa: S608 - a constant
"""Some rows of a table that need not be ours."""


class Connection(Protocol):
    """As much of `sqlite3.Connection` as is needed."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...

    def executescript(self, sql: str, /) -> Any: ...


def check(db: Connection) -> str:
    """What is damaged, or "ok". Reads the whole file."""
    return str(db.execute("PRAGMA quick_check(1)").fetchone()[0])


def recognise(db: Connection) -> str:
    """Why the file is none of ours; empty if it may be one. Another process may be making it meanwhile."""
    db.execute("BEGIN")  # tables and versions of one moment
    try:
        found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        tables = {name for (name,) in found if not name.startswith("sqlite_")}
        rows = db.execute(READ_VERSIONS).fetchall() if VERSION_TABLE in tables else []
        return misfit(tables, [value for row in rows for value in row])
    finally:
        db.execute("ROLLBACK")


def measure(db: Connection) -> Size:
    page, pages, free = (_number(db, name) for name in ("page_size", "page_count", "freelist_count"))
    return Size(pages * page, free * page)


def release_some(db: Connection) -> int:
    """Give free pages back to the disk. The number of them; 0: there are none, or the file is an old one."""
    if _number(db, "auto_vacuum") != INCREMENTAL:
        return 0
    before = _number(db, "freelist_count")
    # It yields a row without columns for each page. `execute` takes the first for the last and leaves the others.
    db.executescript(f"PRAGMA incremental_vacuum({RELEASED_AT_ONCE})")
    return before - _number(db, "freelist_count")


def vacuum(db: Connection) -> None:
    """Write the file anew, without gaps, in the form that new files have."""
    db.execute(NEW_FILE)
    db.execute("VACUUM")


def checkpoint(db: Connection) -> None:
    """Move the write-ahead log into the file and empty it; as far as readers allow, who are waited for briefly."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def copy(db: Connection, target: str) -> str:
    """A consistent copy in the empty file `target`; others may write meanwhile. What is wrong with it, or "ok"."""
    db.execute("VACUUM INTO ?", (target,))
    db.execute("ATTACH ? AS copied", (target,))
    try:
        return str(db.execute("PRAGMA copied.quick_check(1)").fetchone()[0])
    finally:
        db.execute("DETACH copied")


def _number(db: Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])
