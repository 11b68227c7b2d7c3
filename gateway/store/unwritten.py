"""Charges that the database did not take before the gateway ended: a file that keeps them until its next start.

One JSON object a line, an entry with its user. The file is whole or not there, and only the gateway's user can read it.
An entry is known by its charge id: whoever writes one into the ledger that is there already changes nothing. So the
file may go after its entries are durable, and not before.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateway import jsonlib
from gateway.config.files import sync_folder, write_atomically
from gateway.errors import StoreCorrupt
from gateway.store.entries import Entry

FILE = "unwritten-charges.jsonl"
"""In the state folder."""


def keep(path: Path, charges: Iterable[tuple[str, Entry]]) -> None:
    """Write users and their entries, on disk when it returns. Raises OSError."""
    lines = (jsonlib.dumps({"user": user, **entry._asdict()}) + b"\n" for user, entry in charges)
    write_atomically(path, lines, mode=0o600)


def read(path: Path) -> list[tuple[str, Entry]]:
    """What was kept, nothing if there is no file. Raises StoreCorrupt for one that is not as it was written."""
    charges = []
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            charges.append(_charge(line, f"{path}, line {number}"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(f"{path}: {error.strerror or error}") from error
    return charges


def forget(path: Path) -> None:
    """They are in the ledger. Raises OSError."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def _charge(line: bytes, where: str) -> tuple[str, Entry]:
    try:
        fields = jsonlib.loads(line)
        user = fields.pop("user")
        entry = Entry(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(f"{where}: {type(error).__name__}") from error
    if not isinstance(user, str) or type(entry.amount) is not int:
        raise _unreadable(f"{where}: no user, or no amount")
    return user, entry


def _unreadable(detail: str) -> StoreCorrupt:
    return StoreCorrupt(
        "charges of the last run cannot be read",
        detail=detail,
        hint="mend the line, or move the file aside to go on without what it charges",
    )
