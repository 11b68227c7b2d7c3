"""SQLite as a `Database`: one thread writes and commits in groups, another reads. The only importer of sqlite3.

The writer takes what has gathered in its queue, runs each unit under a savepoint of its own in one transaction, and
commits once: a hundred callers cost one commit. While another process holds the database locked, it waits as long as
somebody waits for it. WAL mode lets the reader read meanwhile, `synchronous = NORMAL` keeps every commit through the
death of this process (a power cut may take the last moments, never consistency). A group with a unit that is power
safe is committed with `synchronous = FULL`, which has the disk write the whole log, earlier commits and all.

Before anything is written, a file that may be damaged is checked through a read-only connection, which does not even
copy the write-ahead log into the file on closing. SQLite deletes the log when the last connection closes cleanly, so a
log that is there means a crash, or a process that still runs.

Care that cannot be taken inside a transaction (care.py) goes through the same queue, between two groups.

The dialect differences, here and in care.py: PRAGMAs, VACUUM, BEGIN IMMEDIATE, and `$1` written as `?1`.

https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from gateway.store import care
from gateway.store.database import Row, Size, Statement, Statistics, Value
from gateway.store.failures import CORRUPT, corrupt, failure, foreign, kind_of
from gateway.store.lane import Job, Lane

OPEN_SECONDS = 300.0
"""For opening: `quick_check` reads the whole file, and a slow disk takes half a minute for each gigabyte."""

ALWAYS_CHECK_BYTES = 64 << 20
"""Smaller files are checked at every start; it takes about a tenth of a second for the largest of them."""

QUEUE_LIMIT = 1024
"""Units that may wait for the writer, or reads for the reader: seconds of work. More would only time out later."""

GROUP_LIMIT = 128
"""Units in one commit: the commit's cost has vanished among them, and the first does not wait long for the last."""

SLICE = 500
"""Rows between two pauses: 1 to 3 ms of work."""

PAUSE = 0.001
"""Seconds. Between single rows sqlite3 lets the interpreter lock go, but takes it again before the loop wakes."""

BUSY_MS = 500
"""SQLite's own patience with a lock; between two such waits the thread looks whether anybody still cares."""

PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 16777216",  # after a bulk sync the log shrinks again
)

VACUUM_SECONDS = 600.0
"""For writing the whole file anew: some gigabytes on a slow disk."""

CARE_STEPS = 10_000
"""Of SQLite's virtual machine, between two looks whether a vacuum is still wanted: some milliseconds."""

MAGIC = b"SQLite format 3\0"


class Unit(NamedTuple):
    """See `gateway.store.database`."""

    statements: Sequence[Statement]
    power_safe: bool = False


Work = Unit | Callable[[sqlite3.Connection], Any]
"""For the writer: a unit, or something that must not be inside a transaction."""


async def open_sqlite(path: Path, *, deadline: float) -> SqliteDatabase:
    """Open or create the file. Raises StoreCorrupt or StoreUnavailable; the schema is the caller's affair."""
    database = SqliteDatabase(path, deadline)
    await database.open()
    return database


class SqliteDatabase:
    """See `gateway.store.database.Database`."""

    def __init__(self, path: Path, deadline: float) -> None:
        self._path = path
        self._vacuuming = False
        self._writing = Writer(path, patience=deadline)
        self._reading = Reader(path, patience=deadline)
        self._writer = Lane(
            "store-writer", self._writing, deadline=deadline, queue_limit=QUEUE_LIMIT, group_limit=GROUP_LIMIT
        )
        self._reader = Lane("store-reader", self._reading, deadline=deadline, queue_limit=QUEUE_LIMIT, group_limit=1)

    async def open(self) -> None:
        await self._writer.open(OPEN_SECONDS)
        try:
            await self._reader.open(OPEN_SECONDS)
        except BaseException:
            await self._writer.close()
            raise

    @property
    def place(self) -> str:
        return str(self._path.absolute())

    async def execute(self, sql: str, *args: Value) -> int:
        return (await self.transaction((Statement(sql, args=args),)))[0]

    async def transaction(self, statements: Sequence[Statement], *, power_safe: bool = False) -> list[int]:
        affected: list[int] = await self._writer.ask(Unit(statements, power_safe))
        return affected

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        return await self._reader.ask((sql, args, None))

    async def fetchrow(self, sql: str, *args: Value) -> Row | None:
        rows = await self._reader.ask((sql, args, 1))
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *args: Value) -> Value:
        row = await self.fetchrow(sql, *args)
        return row[0] if row is not None else None

    async def ping(self) -> None:
        await self.fetchval("SELECT COUNT(*) FROM sqlite_master")  # SELECT 1 would not touch the file
        if not self._vacuuming:  # which is no reason to take the writer for dead
            await self._writer.ask(Unit(()))

    async def close(self) -> None:
        try:
            await self._reader.close()  # first: the writer's last checkpoint wants to be alone
        finally:
            await self._writer.close()

    async def size(self) -> Size:
        size: Size = await self._writer.ask(care.measure)
        return size

    async def release(self) -> int:
        before = await self.size()
        while await self._writer.ask(care.release_some):
            pass
        await self.checkpoint()  # the file shrinks when the log is moved into it
        return before.total - (await self.size()).total

    async def vacuum(self) -> None:
        self._vacuuming = True
        try:
            await self._writer.ask(care.vacuum, VACUUM_SECONDS)
        finally:
            self._vacuuming = False
        await self.checkpoint()

    async def checkpoint(self) -> None:
        await self._writer.ask(care.checkpoint)

    def statistics(self) -> Statistics:
        writing = self._writing
        on_disk = {"database": _bytes(self._path), "log": _bytes(_log_of(self._path))}
        return Statistics(self._writer.queued, writing.commits, writing.statements, writing.seconds, on_disk)


class Writer:
    """The connection that writes. Lives on the writer's thread; the counters may be read from elsewhere."""

    def __init__(self, path: Path, *, patience: float) -> None:
        self._path = path
        self._patience = patience  # seconds for locks while opening
        self._synchronous = ""
        self._db: sqlite3.Connection | None = None
        self.commits = 0
        self.statements = 0
        self.seconds = 0.0

    def open(self) -> None:
        try:
            _create(self._path)
            _check(self._path)
            self._db = _connect(self._path, self._patience)
        except (sqlite3.Error, OSError) as exc:
            raise failure(exc, self._path) from exc

    def serve(self, jobs: Sequence[Job[Work, Any]]) -> None:
        """The units in one transaction, then the others one by one."""
        db = self._db
        assert db is not None
        units = [job for job in jobs if type(job.work) is Unit]
        if units:
            self._serve_units(db, units)
        for job in jobs:
            if type(job.work) is not Unit and job.wanted:
                self._serve_care(db, job)

    def _serve_care(self, db: sqlite3.Connection, job: Job[Work, Any]) -> None:
        """Something that takes its time: given up as soon as nobody wants it any more."""
        assert callable(job.work)
        db.set_progress_handler(lambda: not job.wanted, CARE_STEPS)
        try:
            job.result = job.work(db)
        except Exception as exc:  # as in _serve_units
            job.error = failure(exc, self._path)
        finally:
            db.set_progress_handler(None, 0)

    def _serve_units(self, db: sqlite3.Connection, jobs: Sequence[Job[Work, Any]]) -> None:
        """One transaction: begin, each job under its savepoint, commit. What fails as a whole fails for all. A job that
        is alone needs no savepoint, for which SQLite copies every page that it changes: a third of its time."""
        started = time.monotonic()
        try:
            self._wait_for_disk(db, any(job.work.power_safe for job in jobs if type(job.work) is Unit))
            _patiently(db, "BEGIN IMMEDIATE", lambda: any(job.wanted for job in jobs))
            serve = self._run_unit if len(jobs) == 1 else self._serve_unit
            for job in jobs:
                if job.wanted:
                    serve(db, job)
            db.execute("COMMIT")
        except Exception as exc:  # the thread must live on, and each caller learns of it
            _roll_back(db)
            for job in jobs:
                if job.error is None:
                    job.error = failure(exc, self._path)  # one each: a raised exception grows a traceback
        else:
            self.commits += 1
        self.seconds += time.monotonic() - started

    def _wait_for_disk(self, db: sqlite3.Connection, wanted: bool) -> None:
        """Whether the next commit does."""
        synchronous = "FULL" if wanted else "NORMAL"
        if synchronous != self._synchronous:
            db.executescript(f"PRAGMA synchronous = {synchronous}")  # a prepared one would do nothing the second time
            self._synchronous = synchronous

    def _serve_unit(self, db: sqlite3.Connection, job: Job[Work, Any]) -> None:
        db.execute("SAVEPOINT unit")
        try:
            self._run_unit(db, job)
        except Exception as exc:
            if not db.in_transaction:  # a full disk and the like end the transaction, earlier units and all
                raise
            db.execute("ROLLBACK TO unit")
            job.error = failure(exc, self._path)
        db.execute("RELEASE unit")

    def _run_unit(self, db: sqlite3.Connection, job: Job[Work, Any]) -> None:
        assert type(job.work) is Unit
        statements = job.work.statements
        job.result = [_run(db, statement) for statement in statements]
        self.statements += len(statements)

    def close(self) -> None:
        if self._db is not None:
            try:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error:
                pass  # everything is in the log, and the next start finds it there
            self._db.close()


class Reader:
    """The connection that reads, on the reader's thread. Work is SQL, its arguments, and how many rows at most."""

    def __init__(self, path: Path, *, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        try:
            self._db = _connect(self._path, self._patience)
            self._db.execute("PRAGMA query_only = ON")
        except sqlite3.Error as exc:
            raise failure(exc, self._path) from exc

    def serve(self, jobs: Sequence[Job[tuple[str, Sequence[Value], int | None], list[Row]]]) -> None:
        for job in jobs:
            try:
                job.result = self._read(job)
            except Exception as exc:  # as in Writer.serve
                job.error = failure(exc, self._path)

    def _read(self, job: Job[tuple[str, Sequence[Value], int | None], list[Row]]) -> list[Row]:
        assert self._db is not None
        sql, args, limit = job.work
        rows: list[Row] = []
        if not job.wanted:
            return rows
        cursor = _patiently(self._db, _numbered(sql), lambda: job.wanted, args)
        try:
            while batch := cursor.fetchmany(SLICE if limit is None else limit):
                rows += batch
                if limit is not None or not job.wanted:
                    break
                if len(batch) == SLICE:
                    time.sleep(PAUSE)
        finally:
            cursor.close()
        return rows

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


def copy_sqlite(path: Path, target: Path) -> None:
    """Write a consistent copy into an empty file, whether or not the original is in use. Not to be called on the loop.

    Raises StoreCorrupt or StoreUnavailable; the target is then anything.
    """
    mode = "ro" if _log_of(path).exists() else "rw"  # read-only leaves a log as it is, but makes one where none is
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
        try:
            db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            found = care.copy(db, str(target))
        finally:
            db.close()
    except sqlite3.Error as exc:
        raise failure(exc, path) from exc
    if found != "ok":
        raise corrupt(path, found)


def _create(path: Path) -> None:
    """The folder and the file, if they are missing, for this user alone. SQLite gives its logs the file's mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _log_of(path: Path) -> Path:
    """The write-ahead log. SQLite resolves symbolic links before it names it."""
    return Path(f"{path.resolve()}-wal")


def _check(path: Path) -> None:
    """Raise StoreCorrupt for a damaged file, or another program's; it is only read."""
    size = path.stat().st_size
    crashed = _log_of(path).exists()
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if size and head != MAGIC:
        raise corrupt(path, "it does not begin as a database does")  # SQLite would take one byte for an empty file
    if not size:
        return
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        found = care.check(db) if crashed or size < ALWAYS_CHECK_BYTES else "ok"
        misfit = care.recognise(db) if found == "ok" else ""
    except sqlite3.Error as exc:
        if kind_of(exc) in CORRUPT:
            raise
        return  # what a read-only connection cannot open (a rollback journal is left), the writer will try
    finally:
        db.close()
    if found != "ok":
        raise corrupt(path, found)
    if misfit:
        raise foreign(path, misfit)


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    # Four of the ledger's statements are others for each power of two of orders in a unit: some thirty under load.
    db = sqlite3.connect(path, isolation_level=None, cached_statements=128)
    give_up = time.monotonic() + patience
    try:
        (pages,) = _patiently(db, "PRAGMA page_count", lambda: time.monotonic() < give_up).fetchone()
        for pragma in PRAGMAS if pages else (care.NEW_FILE, *PRAGMAS):
            _patiently(db, pragma, lambda: time.monotonic() < give_up)
        db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _patiently(
    db: sqlite3.Connection, sql: str, wanted: Callable[[], bool], args: Sequence[Value] = ()
) -> sqlite3.Cursor:
    """Execute; while another process holds the lock, again and again as long as `wanted`."""
    while True:
        try:
            return db.execute(sql, args)
        except sqlite3.OperationalError as exc:
            if kind_of(exc) != "BUSY" or not wanted():
                raise
        time.sleep(0.01)  # changing to WAL mode does not wait for the lock by itself


def _run(db: sqlite3.Connection, statement: Statement) -> int:
    """The number of rows affected."""
    sql, rows, args = _numbered(statement.sql), statement.rows, statement.args
    if rows is None:
        return max(0, db.execute(sql, args).rowcount)  # -1 after DDL
    affected = 0
    for start in range(0, len(rows), SLICE):
        if start:
            time.sleep(PAUSE)
        affected += max(0, db.executemany(sql, rows[start : start + SLICE]).rowcount)
    return affected


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@lru_cache(maxsize=256)
def _numbered(sql: str) -> str:
    """SQLite takes `$1` for a name, to be looked up for each row: half of the time that a small one takes."""
    return sql.replace("$", "?")


def _roll_back(db: sqlite3.Connection) -> None:
    try:
        if db.in_transaction:
            db.execute("ROLLBACK")
    except sqlite3.Error:
        pass  # SQLite has ended the transaction by itself
