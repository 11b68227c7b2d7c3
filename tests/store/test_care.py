"""Keeping the file small: free pages go back to the disk, a whole vacuum converts an older file, the log is emptied."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.store import care, sqlite
from gateway.store.database import Database
from gateway.store.lane import Job
from gateway.store.sqlite import Writer
from tests.conftest import run
from tests.store.conftest import FILE, opened

ROWS = 4000
"""Of some kilobyte each: a file of thousand pages and more, so that giving them back takes several steps."""


async def fill(database: Database) -> None:
    await database.execute("CREATE TABLE notes (number BIGINT PRIMARY KEY, text TEXT NOT NULL)")
    await database.execute(
        """INSERT INTO notes WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
        SELECT i, printf('%01000d', i) FROM n""",
        ROWS,
    )


async def empty(database: Database, left: int = 10) -> None:
    await database.execute("DELETE FROM notes WHERE number > $1", left)


def older_file(folder: Path) -> None:
    """As the versions before this one made it: what is freed stays in the file."""
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE schema_version (version BIGINT PRIMARY KEY)")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_the_size_counts_what_is_free(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await fill(database)
            full = await database.size()
            assert full.used > ROWS * 1000
            await empty(database)
            size = await database.size()
            assert size.total == full.total
            assert size.used == size.total - size.free < full.used / 10

    run(scenario())


def test_free_pages_of_a_new_file_go_back_to_the_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await fill(database)
            await empty(database)
            size = await database.size()
            released = await database.release()
            after = await database.size()
            assert (after.free, after.total) == (0, size.total - released)
            assert size.free <= released < size.total
            assert database.statistics().bytes_on_disk == {"database": after.total, "log": 0}
            assert (tmp_path / FILE).stat().st_size == after.total
            assert await database.fetchval("SELECT COUNT(*) FROM notes") == 10
            assert await database.release() == 0

    run(scenario())


def test_a_step_gives_many_pages_back_but_not_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await fill(database)
            await empty(database)
            await database.checkpoint()
            with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
                free = care.measure(db).free // 4096
                assert care.release_some(db) == care.RELEASED_AT_ONCE
                assert care.measure(db).free // 4096 == free - care.RELEASED_AT_ONCE

    run(scenario())


def test_others_write_between_the_steps(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await fill(database)
            await empty(database)
            releasing = asyncio.create_task(database.release(), name="release")
            await asyncio.sleep(0)
            assert await database.execute("DELETE FROM notes WHERE number = 1") == 1
            assert not releasing.done()
            assert await releasing > care.RELEASED_AT_ONCE * 4096

    run(scenario())


def test_an_older_file_keeps_its_size_until_a_whole_vacuum(tmp_path: Path) -> None:
    async def scenario() -> None:
        older_file(tmp_path)
        async with opened(tmp_path) as database:
            await fill(database)
            await empty(database)
            size = await database.size()
            assert await database.release() == 0
            await database.vacuum()
            after = await database.size()
            assert after.total < size.total / 10
            assert (tmp_path / FILE).stat().st_size == after.total
            assert await database.fetchval("SELECT MAX(text) FROM notes") == f"{10:01000}"
        async with opened(tmp_path) as database:
            await database.execute("DROP TABLE notes")
            assert await database.release() > 0

    run(scenario())


def test_a_vacuum_takes_place_while_others_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await fill(database)
            _, rows = await asyncio.gather(database.vacuum(), database.fetch("SELECT number FROM notes"))
            assert len(rows) == ROWS

    run(scenario())


def test_a_vacuum_that_cannot_begin_says_why_and_is_no_silence(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            with locked(tmp_path):
                vacuum = asyncio.create_task(database.vacuum(), name="vacuum")
                await asyncio.sleep(0)
                await database.ping()
                with pytest.raises(StoreUnavailable, match="locked"):
                    await vacuum
            await database.vacuum()

    run(scenario())


class Left(Job[Any, Any]):
    """The job of a caller who leaves soon after it was begun."""

    looks = 0

    @property
    def wanted(self) -> bool:
        self.looks += 1
        return self.looks < 3


def test_a_vacuum_that_nobody_waits_for_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "CARE_STEPS", 100)  # this file is small

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await fill(database)
            await empty(database, left=ROWS // 2)
            size = await database.size()
            writer = Writer(tmp_path / FILE, patience=1)
            writer.open()
            try:
                job = Left(care.vacuum, asyncio.get_running_loop().create_future())
                writer.serve([job])
                assert isinstance(job.error, StoreUnavailable)
                assert await database.size() == size
                again: Job[Any, Any] = Job(care.vacuum, asyncio.get_running_loop().create_future())
                writer.serve([again])
                assert again.error is None
            finally:
                writer.close()
            assert (await database.size()).total < size.total

    run(scenario())


def test_a_checkpoint_empties_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await fill(database)
            assert database.statistics().bytes_on_disk["log"] > 0
            await database.checkpoint()
            assert database.statistics().bytes_on_disk["log"] == 0
            with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT COUNT(*) FROM notes").fetchone()
                await empty(database)
                await database.checkpoint()
                assert database.statistics().bytes_on_disk["log"] > 0
            await database.checkpoint()
            assert database.statistics().bytes_on_disk["log"] == 0

    run(scenario())


def test_the_database_says_where_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            assert database.place == str(tmp_path / FILE)

    run(scenario())
