"""Opening a database: what is created, what is refused, and that nothing refused was touched."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from gateway.store import open_store, sqlite
from gateway.store.migrations import LATEST
from tests.conftest import run
from tests.store.conftest import FILE, opened


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fill(folder: Path, rows: int = 2000) -> Path:
    """A database of some pages, closed cleanly."""

    async def scenario() -> None:
        async with opened(folder) as database:
            for number in range(0, rows, 500):
                await database.execute(
                    """INSERT INTO responses (id, provider, digest, model, made_at)
                    WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1 + 500)
                    SELECT 'resp_' || i, 'main', 'digest', 'model', i FROM n""",
                    number,
                )

    run(scenario())
    return folder / FILE


def overwrite_a_page(path: Path) -> bytes:
    """With noise, in the middle of the table; what the file now has."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    return bytes(content)


async def reopen(folder: Path) -> None:
    async with opened(folder) as database:
        await database.ping()


def refusal(folder: Path) -> StoreError:
    async def scenario() -> StoreError:
        with pytest.raises(StoreError) as caught:
            await open_store(f"sqlite:{FILE}", folder)
        return caught.value

    return run(scenario())


def test_the_driver_is_not_imported_before_a_database_is_opened() -> None:
    code = "import sys, gateway.store, gateway.store.keys, gateway.store.responses; print('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


def test_files_and_folder_are_created_for_their_owner_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "state") as database:
            await database.execute("DELETE FROM keys")
            assert mode(tmp_path / "state") == 0o700
            assert {path.name: mode(path) for path in (tmp_path / "state").iterdir()} == {
                FILE: 0o600,
                f"{FILE}-wal": 0o600,
                f"{FILE}-shm": 0o600,
            }

    run(scenario())


def test_closing_leaves_one_file(tmp_path: Path) -> None:
    fill(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        database = await open_store(f"sqlite:{tmp_path}/elsewhere.db", Path("/nonexistent"))
        await database.close()

    run(scenario())
    assert (tmp_path / "elsewhere.db").exists()


def test_a_file_of_zero_length_is_a_new_database(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    fill(tmp_path, rows=500)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("SELECT COUNT(*) FROM responses").fetchone() == (500,)


def test_an_unknown_kind_of_database_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(StoreError, match="not a database of a known kind"):
            await open_store("mysql://localhost", tmp_path)

    run(scenario())


@pytest.mark.parametrize("size", [1, 50, 4096, 100_000])
def test_a_file_of_random_bytes_is_refused_and_kept(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / FILE).write_bytes(content)
    error = refusal(tmp_path)
    assert isinstance(error, StoreCorrupt)
    assert error.exit_code == 3
    assert "move the file" in error.hint
    assert "restore a backup" in error.hint
    assert str(tmp_path / FILE) in error.detail
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_database_is_refused_and_kept(tmp_path: Path, kept: float) -> None:
    path = fill(tmp_path)
    os.truncate(path, int(path.stat().st_size * kept))
    content = path.read_bytes()
    assert isinstance(refusal(tmp_path), StoreCorrupt)
    assert path.read_bytes() == content


def test_a_page_overwritten_with_noise_is_noticed(tmp_path: Path) -> None:
    path = fill(tmp_path)
    content = overwrite_a_page(path)
    assert isinstance(refusal(tmp_path), StoreCorrupt)
    assert path.read_bytes() == content


def test_a_damaged_file_keeps_the_log_that_a_crash_left_beside_it(tmp_path: Path) -> None:
    path, log = tmp_path / FILE, tmp_path / f"{FILE}-wal"
    fill(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM responses WHERE id = 'resp_7'")
        lines = log.read_bytes()
    log.write_bytes(lines)
    os.truncate(path, path.stat().st_size // 2)
    content = path.read_bytes()
    assert isinstance(refusal(tmp_path), StoreCorrupt)
    assert (path.read_bytes(), log.read_bytes()) == (content, lines)


@pytest.mark.parametrize("crashed", [False, True])
def test_a_large_database_is_checked_only_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crashed: bool
) -> None:
    monkeypatch.setattr(sqlite, "ALWAYS_CHECK_BYTES", 0)
    overwrite_a_page(fill(tmp_path))
    if crashed:
        (tmp_path / f"{FILE}-wal").touch()
        assert isinstance(refusal(tmp_path), StoreCorrupt)
    else:
        run(reopen(tmp_path))


OURS = "CREATE TABLE schema_version (version BIGINT PRIMARY KEY);"


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("CREATE TABLE keys (x);", "it has tables of another program: keys"),
        ("CREATE TABLE notes (x); CREATE TABLE authors (x);", "it has tables of another program: authors, notes"),
        ("CREATE TABLE keys (x);" + OURS, "it has tables of another program: keys"),
        (
            "CREATE TABLE keys (x); CREATE TABLE schema_version (v TEXT); INSERT INTO schema_version VALUES ('r2');",
            "the version of its schema is no number",
        ),
        (OURS + "INSERT INTO schema_version VALUES (1.5);", "the version of its schema is no number"),
        (
            OURS + "INSERT INTO schema_version VALUES (1);",
            "its schema is said to be version 1, but it has no table 'key_status'",
        ),
        (
            OURS + f"INSERT INTO schema_version VALUES ({LATEST}); CREATE TABLE accounts_version (x);",
            f"its schema is said to be version {LATEST}, but it has no table 'api_tokens'",
        ),
    ],
)
def test_another_programs_database_is_refused_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: str, large: bool, journal: str
) -> None:
    if large:
        monkeypatch.setattr(sqlite, "ALWAYS_CHECK_BYTES", 0)
    path = tmp_path / FILE
    with closing(sqlite3.connect(path)) as db:
        db.executescript(f"PRAGMA journal_mode = {journal}; {script}")
    content = path.read_bytes()
    error = refusal(tmp_path)
    assert isinstance(error, StoreCorrupt)
    assert error.detail == f"{path}: {found}"
    assert "store.url" in error.hint
    assert path.read_bytes() == content
    if journal == "delete":
        assert list(tmp_path.iterdir()) == [path]


def test_a_database_whose_making_was_interrupted_is_made_to_its_end(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.executescript(OURS)
    fill(tmp_path, rows=500)


def test_a_newer_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = fill(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("INSERT INTO schema_version VALUES (4711)")
    error = refusal(tmp_path)
    assert isinstance(error, StoreTooNew)
    assert error.exit_code == 3
    assert "4711" in error.detail
    assert str(LATEST) in error.detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path, there: bool) -> None:
    if there:
        fill(tmp_path)
    tmp_path.chmod(0o500)
    try:
        error = refusal(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert isinstance(error, StoreUnavailable)
    assert "may write" in error.hint


def test_a_path_through_a_file_is_unavailable_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refusal(tmp_path / "file")
    assert isinstance(error, StoreUnavailable)
    assert error.exit_code == 4
    assert "folder" in error.hint


def test_a_folder_in_the_place_of_the_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert isinstance(refusal(tmp_path), StoreUnavailable)
