"""What a database is to the rest of the program: SQL in, rows out, each call with a deadline.

A *unit* is one `execute` or one `transaction`: it is done wholly or not at all, and once it was awaited without an
error it survives the death of this process. One that is `power_safe` has waited for the disk, and survives a power cut,
with all that was done before it; of others a power cut may take the last moments. Units of several callers may share
one commit; one that fails does not hurt the others. Units are done one after the other, those of other processes on the
same database too: what one has read nobody changes before its end. The ledger takes that for granted.

SQL takes its arguments as `$1`, `$2`, …, the same text for every kind of database.

Every method may raise StoreUnavailable (locked, full, away, overdue: heals by itself), StoreCorrupt, and StoreError
for SQL that makes no sense or breaks a constraint. A unit whose caller was cancelled, or whose deadline passed,
before it was begun is not done; if it was begun, it may have been: write statements that can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple, Protocol

from gateway.quick import dataclass

DEADLINE = 30.0
"""Seconds until a call fails: longer than a checkpoint on a slow disk, shorter than a client's patience."""

Value = str | int | float | bytes | None
Row = tuple[Value, ...]


class Statement(NamedTuple):
    """SQL run once with `args`, or once per row with each of `rows`."""

    sql: str
    rows: Sequence[Sequence[Value]] | None = None
    args: Sequence[Value] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """Since the database was opened, but for `queued`: units that wait for the writer or are with it.

    `seconds` is the time spent in transactions, from begin to the end of the commit. `bytes_on_disk` is by part:
    "database" and "log".
    """

    queued: int
    commits: int
    statements: int
    seconds: float
    bytes_on_disk: Mapping[str, int] = field(default_factory=dict)


class Size(NamedTuple):
    """Bytes of the whole database, and how many of those are free to be used again or given back."""

    total: int
    free: int

    @property
    def used(self) -> int:
        return self.total - self.free


class Database(Protocol):
    @property
    def place(self) -> str:
        """Where it is, for operators: a file."""

    async def execute(self, sql: str, *args: Value) -> int:
        """Write; the number of rows affected."""

    async def transaction(self, statements: Sequence[Statement], *, power_safe: bool = False) -> list[int]:
        """Write all or nothing; the number of rows that each statement affected."""

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        """Read what has been committed."""

    async def fetchrow(self, sql: str, *args: Value) -> Row | None:
        """The first row."""

    async def fetchval(self, sql: str, *args: Value) -> Value:
        """The first column of the first row, or None."""

    async def ping(self) -> None:
        """Returns when a read and the writer have both answered, else raises StoreUnavailable."""

    async def close(self) -> None:
        """Commit what is queued and let go of everything. Later calls raise StoreUnavailable."""

    async def size(self) -> Size: ...

    async def release(self) -> int:
        """Give free space back to the disk, a little at a time. The bytes that were given back."""

    async def vacuum(self) -> None:
        """Write the whole database anew, without gaps. Takes a second for 100 MB, and other writers wait."""

    async def checkpoint(self) -> None:
        """Tidy up the log, as far as that can be done now."""

    def statistics(self) -> Statistics: ...
