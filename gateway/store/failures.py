"""What SQLite's failures mean to the rest of the program: damaged, away for now, or a mistake of ours.

https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.errors import StoreCorrupt, StoreError, StoreUnavailable

CORRUPT = frozenset({"CORRUPT", "NOTADB"})

UNAVAILABLE: Mapping[str, str] = {
    "BUSY": "another program holds the database locked",
    "LOCKED": "another program holds the database locked",
    "FULL": "free some space on the disk",
    "IOERR": "look into the system log for errors of the disk",
    "CANTOPEN": "check that the folder exists and that this user may write in it",
    "READONLY": "check that this user may write the file, its -wal and -shm, and the folder",
    "PERM": "check that this user may write the file",
    "NOMEM": "",
    "PROTOCOL": "",
    "INTERRUPT": "",
}
"""Failures that pass, by the name of their primary result code, with what to do about them."""


def kind_of(exc: BaseException) -> str:
    """The name of the primary result code: "BUSY" of SQLITE_BUSY_SNAPSHOT. Empty for what sqlite3 raises by itself."""
    name = getattr(exc, "sqlite_errorname", "")
    return name.split("_")[1] if isinstance(name, str) and name.startswith("SQLITE_") else ""


def failure(exc: Exception, path: Path) -> StoreError:
    """The error that callers see."""
    if isinstance(exc, StoreError):
        return exc
    kind = "CANTOPEN" if isinstance(exc, OSError) else kind_of(exc)
    if kind in CORRUPT:
        return corrupt(path, str(exc))
    if kind in UNAVAILABLE:
        detail = str(exc) if isinstance(exc, OSError) else f"{path}: {exc}"
        return StoreUnavailable("the database cannot be used for now", detail=detail, hint=UNAVAILABLE[kind])
    return StoreError("the database refused a statement", detail=f"{type(exc).__name__}: {exc}")


def corrupt(path: Path, found: str) -> StoreCorrupt:
    """For a damaged file, which must not be written to; `found` says what is wrong with it."""
    return StoreCorrupt(
        "the database is damaged, or no database",
        detail=f"{path}: {found}",
        hint="nothing was overwritten: restore a backup, or move the file (with its -wal and -shm) aside to begin anew",
    )


def foreign(path: Path, found: str) -> StoreCorrupt:
    """For a file of another program's, which must not be written to either."""
    return StoreCorrupt(
        "the database is not one of ours",
        detail=f"{path}: {found}",
        hint="nothing was written to it: name another file in store.url",
    )
