"""Copies: whole or not there, of what was committed, for their owner alone."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

import pytest

from gateway.errors import StoreCorrupt, StoreUnavailable
from gateway.store.backup import copy_database
from gateway.store.responses import ResponseRow, ResponseStore
from tests.conftest import run
from tests.store.conftest import FILE, opened

MANY = [ResponseRow(f"resp_{number:05}", "main", "digest", "model", "ann", float(number)) for number in range(5000)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def database_of(folder: Path) -> Path:
    """One that was closed cleanly."""

    async def scenario() -> None:
        async with opened(folder) as database:
            await ResponseStore(database).remember(MANY)

    run(scenario())
    return folder / FILE


def responses_in(file: Path) -> int:
    """In a copy, which is put in a database's place for that."""

    async def scenario() -> int:
        folder = file.parent / "restored"
        folder.mkdir()
        shutil.copy(file, folder / FILE)
        async with opened(folder) as database:
            count = await database.fetchval("SELECT COUNT(*) FROM responses")
            assert isinstance(count, int)
            return count

    return run(scenario())


def test_a_copy_has_what_was_committed_while_the_database_is_used(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    before = os.umask(0)
    try:

        async def scenario() -> None:
            async with opened(tmp_path / "state") as database:
                await ResponseStore(database).remember(MANY)
                copy_database(tmp_path / "state" / FILE, copies / "copy.db")
                await ResponseStore(database).forget_before(100.0)

        run(scenario())
    finally:
        os.umask(before)
    assert names(copies) == ["copy.db"]
    assert stat.S_IMODE((copies / "copy.db").stat().st_mode) == 0o600
    assert responses_in(copies / "copy.db") == len(MANY)


def test_a_database_that_nobody_uses_is_copied_without_a_trace(tmp_path: Path) -> None:
    path = database_of(tmp_path / "state")
    before = path.read_bytes()
    copy_database(path, tmp_path / "copy.db")
    assert names(path.parent) == [FILE]
    assert path.read_bytes() == before
    assert responses_in(tmp_path / "copy.db") == len(MANY)


def test_what_a_crash_left_in_the_log_is_copied_and_left_there(tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()

    async def scenario() -> None:
        async with opened(tmp_path / "state") as database:
            await database.checkpoint()
            await ResponseStore(database).remember(MANY)
            for name in (FILE, f"{FILE}-wal"):
                shutil.copy(tmp_path / "state" / name, crashed / name)

    run(scenario())
    before = {name: (crashed / name).read_bytes() for name in (FILE, f"{FILE}-wal")}
    copy_database(crashed / FILE, tmp_path / "copy.db")
    assert {name: (crashed / name).read_bytes() for name in before} == before
    assert responses_in(tmp_path / "copy.db") == len(MANY)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_is_written_over(tmp_path: Path, kind: str) -> None:
    path, target = database_of(tmp_path / "state"), tmp_path / "target"
    if kind == "file":
        target.write_text("precious")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        copy_database(path, target)
    assert names(tmp_path) == ["state", "target"]
    assert kind != "file" or target.read_text() == "precious"


def test_a_target_that_comes_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, target = database_of(tmp_path / "state"), tmp_path / "target"
    target.write_text("precious")
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(FileExistsError):
        copy_database(path, target)
    assert target.read_text() == "precious"
    assert names(tmp_path) == ["state", "target"]


def test_a_disk_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    path = database_of(tmp_path / "state")
    monkeypatch.setattr(os, "link", refuse)
    copy_database(path, tmp_path / "copy.db")
    assert names(tmp_path) == ["copy.db", "state"]
    assert responses_in(tmp_path / "copy.db") == len(MANY)


def test_where_no_database_is_no_copy_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        copy_database(tmp_path / FILE, tmp_path / "copy.db")
    assert names(tmp_path) == []


def test_of_a_damaged_database_no_copy_is_made(tmp_path: Path) -> None:
    path = database_of(tmp_path / "state")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        copy_database(path, tmp_path / "copy.db")
    assert names(tmp_path) == ["state"]
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = database_of(tmp_path / "state")
    with pytest.raises(FileNotFoundError):
        copy_database(path, tmp_path / "nowhere" / "copy.db")
