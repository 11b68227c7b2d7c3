"""`llmgateway maintenance` where no gateway runs: it uses the database itself, and only one that is there."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.cli import maintenance
from gateway.store import open_store
from gateway.store.responses import ResponseRow, ResponseStore
from tests.cli.place import CONFIG, empty_place, run

DAY = 86400.0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield empty_place(tmp_path, monkeypatch)


def make_database(folder: Path, *ages: float) -> Path:
    """A gateway's database with answers that are so many days old."""

    async def make() -> None:
        database = await open_store("sqlite:llmgateway.db", folder)
        now = time.time()
        rows = [ResponseRow(f"resp_{age}", "main", "digest", "model", "ann", now - age * DAY) for age in ages]
        await ResponseStore(database).remember(rows)
        await database.close()

    asyncio.run(make())
    return folder / "llmgateway.db"


def responses_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [name for (name,) in db.execute("SELECT id FROM responses ORDER BY made_at DESC")]


def test_a_purge_counts_what_went(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_database(folder / "state", 1, 31, 32)
    assert run("maintenance", "purge") == 0
    said = capsys.readouterr()
    assert f"{path}: purged 0 keys, 2 responses, 0 proxies, 0 sums, in " in said.out
    assert "using the database directly" in said.err
    assert responses_in(path) == ["resp_1"]


def test_a_purge_goes_by_the_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_database(folder / "state", 1, 3)
    (folder / "config.toml").write_text(f"{CONFIG}\n[store]\nretention_days = 2\n")
    assert run("maintenance", "purge", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["purged"] == {"keys": 0, "responses": 1, "proxies": 0, "sums": 0}
    assert answer["database"] == str(path)
    assert responses_in(path) == ["resp_1"]


@pytest.mark.parametrize("task", ["vacuum", "checkpoint"])
def test_the_sizes_before_and_after_are_told(folder: Path, capsys: pytest.CaptureFixture[str], task: str) -> None:
    path = make_database(folder / "state", 1)
    assert run("maintenance", task) == 0
    assert f"{path}: " in (said := capsys.readouterr().out)
    assert " MB before, " in said
    assert run("maintenance", task, "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"before", "after", "seconds", "database"}
    assert responses_in(path) == ["resp_1"]


def test_a_backup_is_a_database_of_its_owners_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_database(folder / "state", 1, 2)
    assert run("maintenance", "backup", "copy.db") == 0
    assert f"{path}: copied to copy.db, " in capsys.readouterr().out
    assert stat.S_IMODE((folder / "copy.db").stat().st_mode) == 0o600
    assert responses_in(folder / "copy.db") == ["resp_1", "resp_2"]


def test_a_backup_writes_nothing_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_database(folder / "state", 1)
    (folder / "copy.db").write_text("precious")
    assert run("maintenance", "backup", "copy.db") == 1
    assert "error: copy.db exists already" in capsys.readouterr().err
    assert (folder / "copy.db").read_text() == "precious"
    assert run("maintenance", "backup", "nowhere/copy.db") == 1
    assert capsys.readouterr().err.endswith("error: No such file or directory: nowhere/copy.db\n")


@pytest.mark.parametrize("words", [("purge",), ("vacuum",), ("checkpoint",), ("backup", "copy.db")])
def test_where_no_database_is_none_is_made(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run("maintenance", *words) == 1
    assert f"error: there is no database at {folder}/state/llmgateway.db" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml"]


@pytest.mark.parametrize("words", [("purge",), ("backup", "copy.db")])
def test_a_damaged_database_is_left_as_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    path = folder / "state" / "llmgateway.db"
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 1000)
    assert run("maintenance", *words) != 0
    assert "damaged" in capsys.readouterr().err
    assert path.read_bytes() == b"no database at all" * 1000
    assert not (folder / "copy.db").exists()


def test_the_state_folder_is_the_services_for_its_configuration_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, other = make_database(folder / "var", 1), make_database(folder / "other", 2)
    monkeypatch.setattr(maintenance, "SERVICE_CONFIG", folder / "etc")
    monkeypatch.setattr(maintenance, "SERVICE_STATE", folder / "var")
    (folder / "etc").mkdir()
    (folder / "etc" / "config.toml").write_text(CONFIG)
    assert run("maintenance", "purge", "--config", "etc/config.toml") == 0
    assert f"{service}: purged" in capsys.readouterr().out
    assert run("maintenance", "purge") == 1
    assert f"{folder}/state/" in capsys.readouterr().err
    monkeypatch.setenv("STATE_DIRECTORY", str(folder / "other"))
    assert run("maintenance", "purge", "--config", "etc/config.toml") == 0
    assert f"{other}: purged" in capsys.readouterr().out
