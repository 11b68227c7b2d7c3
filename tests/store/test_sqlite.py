"""The promises of `Database`, kept by SQLite: units, groups, deadlines, locks, cancellation."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import StoreCorrupt, StoreError, StoreUnavailable
from gateway.store.database import Database, Statement
from gateway.store.sqlite import QUEUE_LIMIT, SLICE
from tests.conftest import run
from tests.store.conftest import FILE, opened

INSERT = "INSERT INTO notes (number, text) VALUES ($1, $2)"


async def make_table(database: Database) -> None:
    await database.execute("CREATE TABLE notes (number BIGINT PRIMARY KEY, text TEXT NOT NULL)")


async def numbers(database: Database) -> list[object]:
    return [number for (number,) in await database.fetch("SELECT number FROM notes ORDER BY number")]


class Lock:
    """Another program that holds the database for itself."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / FILE, isolation_level=None)

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._db.execute("ROLLBACK")
        self._db.close()


def test_reads_see_what_was_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            assert await database.execute(INSERT, 1, "one") == 1
            assert await database.execute("UPDATE notes SET text = $2 WHERE number > $1", 5, "x") == 0
            assert await database.fetch("SELECT number, text FROM notes") == [(1, "one")]
            assert await database.fetchrow("SELECT text, number FROM notes WHERE number = $1", 1) == ("one", 1)
            assert await database.fetchrow("SELECT text FROM notes WHERE number = $1", 2) is None
            assert await database.fetchval("SELECT text FROM notes WHERE number = $1", 1) == "one"
            assert await database.fetchval("SELECT text FROM notes WHERE number = $1", 2) is None

    run(scenario())


@pytest.mark.parametrize("value", [None, 0, -(2**63), 2**63 - 1, 1.5, float("inf"), "", "ünïcödé \0 …", b"", b"\0\xff"])
def test_values_come_back_as_they_went(tmp_path: Path, value: object) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await database.execute("CREATE TABLE box (value)")
            await database.execute("INSERT INTO box VALUES ($1)", value)  # type: ignore[arg-type]
            found = await database.fetchval("SELECT value FROM box")
            assert (found, type(found)) == (value, type(value))

    run(scenario())


def test_a_parameter_may_be_used_twice_and_in_any_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            assert await database.fetchrow("SELECT $2, $1, $2, $10", *range(10)) == (1, 0, 1, 9)

    run(scenario())


def test_a_transaction_gives_the_rows_affected_by_each_statement(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            rows = [(number, "x") for number in range(2 * SLICE + 1)]
            counts = await database.transaction(
                [
                    Statement(INSERT, rows=rows),
                    Statement(INSERT, rows=[]),
                    Statement("DELETE FROM notes WHERE number >= $1", args=(10,)),
                    Statement("CREATE INDEX texts ON notes (text)"),
                ]
            )
            assert counts == [2 * SLICE + 1, 0, 2 * SLICE - 9, 0]

    run(scenario())


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            with pytest.raises(StoreError, match="UNIQUE"):
                await database.transaction(
                    [Statement(INSERT, args=(1, "a")), Statement(INSERT, rows=[(2, "b"), (1, "again")])]
                )
            assert await numbers(database) == []

    run(scenario())


@pytest.mark.parametrize(
    ("sql", "args"),
    [
        ("INSERT INTO nowhere VALUES (1)", ()),
        ("not SQL", ()),
        (INSERT, (1,)),
        (INSERT, (2**70, "too large")),
        (INSERT, (1, "\ud800")),
        (INSERT, (1, None)),
        (INSERT, (1, object())),
    ],
)
def test_a_statement_that_makes_no_sense_fails_for_its_caller_alone(
    tmp_path: Path, sql: str, args: tuple[Any, ...]
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            outcomes = await asyncio.gather(
                database.execute(INSERT, 10, "before"),
                database.execute(sql, *args),
                database.execute(INSERT, 11, "after"),
                return_exceptions=True,
            )
            assert outcomes[0] == outcomes[2] == 1
            assert type(outcomes[1]) is StoreError
            assert await numbers(database) == [10, 11]

    run(scenario())


def test_reads_do_not_write(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            with pytest.raises(StoreError):
                await database.fetch("INSERT INTO notes VALUES (1, 'x') RETURNING number")
            assert await numbers(database) == []

    run(scenario())


def test_callers_at_the_same_time_share_commits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            before = database.statistics()
            with Lock(tmp_path):  # so that the others gather behind the first
                writes = [asyncio.ensure_future(database.execute(INSERT, number, "x")) for number in range(100)]
                await asyncio.sleep(0)
                assert database.statistics().queued == 100
            await asyncio.gather(*writes)
            after = database.statistics()
            assert after.statements - before.statements == 100
            assert after.commits - before.commits <= 2
            assert after.seconds > before.seconds
            assert after.queued == 0
            assert len(await numbers(database)) == 100

    run(scenario())


def test_more_callers_than_places_are_all_served(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            count = 2 * QUEUE_LIMIT + 7
            writes = [asyncio.ensure_future(database.execute(INSERT, number, "x")) for number in range(count)]
            await asyncio.sleep(0)
            assert database.statistics().queued <= QUEUE_LIMIT
            await asyncio.gather(*writes)
            assert len(await numbers(database)) == count

    run(scenario())


def test_a_lock_makes_writes_wait_until_it_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            with Lock(tmp_path):
                write = asyncio.ensure_future(database.execute(INSERT, 1, "patient"))
                assert await numbers(database) == []  # reads go on
            assert await write == 1

    run(scenario())


def test_a_lock_that_stays_is_unavailable_after_the_deadline_and_heals(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, deadline=1.0) as database:
            await make_table(database)
            with Lock(tmp_path):
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    await database.execute(INSERT, 1, "late")
                with pytest.raises(StoreUnavailable):
                    await database.ping()
                full = [database.execute(INSERT, number, "full") for number in range(QUEUE_LIMIT + 1)]
                outcomes = await asyncio.gather(*full, return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        async with opened(tmp_path) as database:
            await database.execute(INSERT, 2, "healed")
            await database.ping()
            assert await numbers(database) == [2]

    run(scenario())


def test_a_lock_that_goes_heals_the_same_database(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, deadline=1.0) as database:
            await make_table(database)
            with Lock(tmp_path), pytest.raises(StoreUnavailable):
                await database.execute(INSERT, 1, "late")
            assert await database.execute(INSERT, 2, "healed") == 1
            assert await numbers(database) == [2]

    run(scenario())


def test_a_locked_database_is_unavailable_when_it_is_opened_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path):
            pass
        with Lock(tmp_path), pytest.raises(StoreUnavailable):
            async with opened(tmp_path, deadline=1.0):
                pass

    run(scenario())


def test_closing_ends_even_while_the_database_is_locked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, deadline=1.0) as database:
            await make_table(database)
            with Lock(tmp_path):
                write = asyncio.ensure_future(database.execute(INSERT, 1, "late"))
                await asyncio.sleep(0)
                await database.close()
                with pytest.raises(StoreUnavailable):
                    await write

    run(scenario())


def test_a_unit_whose_caller_left_before_it_was_begun_is_not_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            with Lock(tmp_path):
                kept = asyncio.ensure_future(database.execute(INSERT, 1, "stays"))
                left = asyncio.ensure_future(database.execute(INSERT, 2, "leaves"))
                await asyncio.sleep(0)
                left.cancel()
                await asyncio.wait([left])
            assert left.cancelled()
            assert await kept == 1
            assert await numbers(database) == [1]
            assert database.statistics().queued == 0

    run(scenario())


def test_callers_that_leave_while_they_wait_for_a_place_take_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            with Lock(tmp_path):
                writes = [asyncio.ensure_future(database.execute(INSERT, n, "x")) for n in range(3 * QUEUE_LIMIT)]
                await asyncio.sleep(0)
                for write in writes:
                    write.cancel()
                await asyncio.wait(writes)
            await asyncio.gather(*(database.execute(INSERT, -n, "x") for n in range(1, QUEUE_LIMIT + 2)))
            assert len(await numbers(database)) == QUEUE_LIMIT + 1

    run(scenario())


def test_a_full_disk_is_unavailable_and_heals(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            await database.execute("PRAGMA max_page_count = 1")  # becomes the present size
            outcomes = await asyncio.gather(
                *(database.execute(INSERT, number, "x" * 100_000) for number in range(3)), return_exceptions=True
            )
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
            assert "free some space" in str(outcomes[0].hint)  # type: ignore[union-attr]
            await database.execute("PRAGMA max_page_count = 100000")
            assert await database.execute(INSERT, 9, "x" * 100_000) == 1
            assert await numbers(database) == [9]

    run(scenario())


def test_damage_found_while_running_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            await database.transaction([Statement(INSERT, rows=[(n, "x" * 500) for n in range(2000)])])
        async with opened(tmp_path) as database:
            path = tmp_path / FILE
            content = path.read_bytes()
            path.write_bytes(content[: 8 * 4096] + b"\xff" * (len(content) - 8 * 4096))
            with pytest.raises(StoreCorrupt):
                await database.fetch("SELECT number, text FROM notes")

    run(scenario())


def test_a_read_may_be_larger_than_a_slice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT i FROM n"
            for count in (SLICE - 1, SLICE, SLICE + 1, 3 * SLICE):
                assert await database.fetch(sql, count) == [(i,) for i in range(1, count + 1)]

    run(scenario())


def test_closing_commits_what_is_queued(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await make_table(database)
            writes = [asyncio.ensure_future(database.execute(INSERT, number, "x")) for number in range(300)]
            await asyncio.sleep(0)
            await database.close()
            assert await asyncio.gather(*writes) == [1] * 300

    run(scenario())
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("SELECT COUNT(*) FROM notes").fetchone() == (300,)


def test_a_closed_database_says_so_and_may_be_closed_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await database.ping()
            await database.close()
            for call in (database.ping(), database.execute("DELETE FROM keys"), database.fetch("SELECT 1")):
                with pytest.raises(StoreUnavailable, match="closed"):
                    await call

    run(scenario())
