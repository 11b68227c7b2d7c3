"""The schema's history: applied once, in order, each migration wholly or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import StoreCorrupt, StoreTooNew
from gateway.store import migrations
from gateway.store.migrations import LATEST, MIGRATIONS, migrate
from gateway.store.responses import ResponseStore
from gateway.store.usage_hourly import Place, Sums, UsageStore
from tests.conftest import run
from tests.store.conftest import opened


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    assert [number for number, _ in MIGRATIONS] == list(range(1, LATEST + 1))


def test_a_new_database_has_the_latest_schema(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            assert await database.fetch("SELECT version FROM schema_version ORDER BY version") == [
                (number,) for number, _ in MIGRATIONS
            ]
            tables = await database.fetch("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            assert {name for (name,) in tables} == {
                *("schema_version", "keys", "key_status", "responses", "proxy_status"),
                *("users", "api_tokens", "accounts_version"),
                *("ledger", "reservations", "ledger_units", "usage_hourly", "usage_by_token"),
            }

    run(scenario())


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await database.execute("INSERT INTO responses VALUES ('r', 'p', 'd', 'm', 1.0, 'u')")
            await migrate(database)
        async with opened(tmp_path) as database:
            assert await database.fetchval("SELECT COUNT(*) FROM responses") == 1
            assert await database.fetchval("SELECT COUNT(*) FROM schema_version") == len(MIGRATIONS)

    run(scenario())


def test_responses_from_before_they_had_users_are_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(migrations, "MIGRATIONS", MIGRATIONS[:2])
        monkeypatch.setattr(migrations, "LATEST", 2)
        async with opened(tmp_path) as database:
            await database.execute("INSERT INTO responses VALUES ('r', 'p', 'd', 'm', 1.0)")
        monkeypatch.undo()
        async with opened(tmp_path) as database:
            assert await ResponseStore(database).owner("r") == ("p", "d", "m", "")

    run(scenario())


def test_usage_from_before_it_was_kept_by_token_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(migrations, "MIGRATIONS", MIGRATIONS[:6])
        monkeypatch.setattr(migrations, "LATEST", 6)
        async with opened(tmp_path) as database:
            await database.execute("INSERT INTO usage_hourly VALUES (0, 'ann', 'p', 'm', 'k', 1, 0, 2, 0, 3, 4)")
        monkeypatch.undo()
        async with opened(tmp_path) as database:
            store, sums = UsageStore(database), Sums(1, 0, 2, 0, 3, 4)
            await store.add([(Place(0, "ann", "p", "m", "k", "ci"), sums)])
            assert await store.report("user", 0, 10) == [("ann", Sums(2, 0, 4, 0, 6, 8))]
            assert await store.report_by_token(0, 10) == [("ann", "ci", sums)]

    run(scenario())


def test_a_migration_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            broken = (LATEST + 1, ("CREATE TABLE half (x TEXT)", "CREATE TABLE keys (x TEXT)"))
            monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, broken))
            monkeypatch.setattr(migrations, "LATEST", LATEST + 1)
            with pytest.raises(StoreCorrupt, match="already exists"):  # trying again would not help
                await migrate(database)
            assert await database.fetchval("SELECT MAX(version) FROM schema_version") == LATEST
            assert await database.fetchval("SELECT COUNT(*) FROM sqlite_master WHERE name = 'half'") == 0

            mended = (LATEST + 1, ("CREATE TABLE half (x TEXT)",))
            monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, mended))
            await migrate(database)
            assert await database.fetchval("SELECT MAX(version) FROM schema_version") == LATEST + 1

    run(scenario())
    with pytest.raises(StoreTooNew):
        monkeypatch.undo()
        run(reopen(tmp_path))


async def reopen(folder: Path) -> None:
    async with opened(folder):
        pass
