"""`llmgateway keys add|remove`: the files before and after, without a gateway that runs."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import checks, keys
from gateway.cli.keyfile import locked
from tests.cli.place import empty_place, run
from tests.cli.test_main import ROOT


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_place(tmp_path, monkeypatch)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


ONE, TWO, THREE = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-three-00000000000003"

ADDED = [
    ("main", "keys/main.txt", b"", [ONE], f"{ONE}\n"),
    ("main", "keys/main.txt", f"# mine\n{ONE}".encode(), [TWO], f"# mine\n{ONE}\n{TWO}\n"),
    ("main", "keys/main.txt", f"{ONE}\r\n".encode(), [TWO], f"{ONE}\r\n{TWO}\r\n"),
    ("main", "keys/main.txt", f"\ufeff{ONE}\n".encode(), [ONE, TWO], f"\ufeff{ONE}\n{TWO}\n"),
    ("main", "keys/main.txt", b"", [f"{ONE} account=a"], f"{ONE} account=a\n"),
    ("json", "keys/json.ndjson", b"", [ONE], f'{{"value":"{ONE}"}}\n'),
    ("json", "keys/json.ndjson", b"# empty\n", [f"{ONE} account=a"], f'# empty\n{{"value":"{ONE}","account":"a"}}\n'),
    ("main", "keys/main.txt", b"", [f'{{"value": "{ONE}"}}'], f"{ONE}\n"),
]


@pytest.mark.parametrize(("provider", "file", "before", "keys", "after"), ADDED)
def test_keys_are_added_in_the_files_own_way(
    provider: str, file: str, before: bytes, keys: list[str], after: str, folder: Path
) -> None:
    write(folder / file, before)
    assert run("keys", "add", provider, *keys) == 0
    assert (folder / file).read_bytes() == after.encode()


def test_a_line_that_the_gateway_could_not_read_is_not_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(folder / "keys/main.txt", b"")
    assert run("keys", "add", "main", ONE, f'{{"value": "{TWO}", "note": "say \\"hi\\" now"}}') == 1
    said = capsys.readouterr()
    assert "key 2 of 2 given could not be read again" in said.err
    assert "added to" not in said.out
    assert path.read_bytes() == b""


def test_a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode(folder: Path) -> None:
    assert run("keys", "add", "main", ONE) == 0
    path = folder / "keys/main.txt"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    assert run("keys", "add", "main", TWO) == 0
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_folder_gets_a_file_for_what_is_added(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "keys/folder/a.txt", b"")
    assert run("keys", "add", "folder", ONE) == 0
    assert (folder / "keys/folder/added.txt").read_text() == f"{ONE}\n"
    said = capsys.readouterr()
    assert "added to" in said.out
    assert "the keys count from the gateway's next start" in said.err


def test_keys_that_are_there_are_not_added_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(folder / "keys/main.txt", f"{ONE}\n".encode())
    before = path.stat()
    assert run("keys", "add", "main", ONE) == 0
    assert capsys.readouterr().out == "nothing to add: all of them are there\n"
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_keys_come_from_stdin_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, f"\ufeff# mine\r\n\r\n{ONE}\r\n {TWO} account=a\n".encode())
    assert run("keys", "add", "main") == 0
    assert (folder / "keys/main.txt").read_text() == f"{ONE}\n{TWO} account=a\n"
    given(monkeypatch, f"{ONE}\n".encode())
    assert run("keys", "remove", "main") == 0
    assert (folder / "keys/main.txt").read_text() == f"{TWO} account=a\n"


@pytest.mark.parametrize(
    ("data", "text"), [(b"", "no keys were given"), (b"# no\n", "no keys were given"), (b"\xff", "is not UTF-8")]
)
def test_stdin_without_keys_is_an_error(
    data: bytes, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, data)
    assert run("keys", "add", "main") == 1
    assert text in capsys.readouterr().err


def test_keys_are_removed_from_every_file_of_a_folder(folder: Path) -> None:
    text = write(folder / "keys/folder/a.txt", f"# mine\n{ONE}\n{TWO}\n".encode())
    objects = write(folder / "keys/folder/b.ndjson", f'{{"value": "{ONE}"}}\n{{"value": "{THREE}"}}\n'.encode())
    backup = write(folder / "keys/folder/a.txt~", f"{ONE}\n".encode())
    assert run("keys", "remove", "folder", ONE, "sk-…0003") == 0
    assert text.read_text() == f"# mine\n{TWO}\n"
    assert objects.read_text() == ""
    assert backup.read_text() == f"{ONE}\n"


def test_line_ends_stay_when_a_key_is_removed(folder: Path) -> None:
    path = write(folder / "keys/main.txt", f"# a\r\n{ONE}\r\n{TWO}\r\n".encode())
    assert run("keys", "remove", "main", ONE) == 0
    assert path.read_bytes() == f"# a\r\n{TWO}\r\n".encode()


def test_keys_that_are_nowhere_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "keys/main.txt", f"{ONE}\n".encode())
    assert run("keys", "remove", "main", TWO) == 1
    assert "none of these keys is in the provider's files" in capsys.readouterr().err
    assert run("keys", "remove", "main", ONE, TWO) == 0
    assert "note: 1 of those given are in none of the files" in capsys.readouterr().err


def test_a_fingerprint_of_keys_in_two_files_is_ambiguous_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(folder / "keys/folder/a.txt", b"sk-first-0000000000000001\n")
    second = write(folder / "keys/folder/b.txt", b"sk-second-000000000000001\n")
    assert run("keys", "remove", "folder", "sk-...0001") == 1
    assert "2 keys look like sk-…0001" in capsys.readouterr().err
    assert first.read_text() and second.read_text()


@pytest.mark.parametrize("data", [b"\xff\xfes\x00k\x00", b"sk-1\x00\n", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("action", ["add", "remove"])
def test_a_file_that_is_no_text_is_left_alone(
    action: str, data: bytes, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(folder / "keys/main.txt", data)
    assert run("keys", action, "main", ONE) == 1
    assert "is no UTF-8 text" in capsys.readouterr().err
    assert path.read_bytes() == data


def test_a_file_that_cannot_be_written_is_an_error_with_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "keys").touch()
    assert run("keys", "add", "main", ONE) == 1
    assert capsys.readouterr().err == f"error: File exists: {folder}/keys\n"


def test_commands_at_once_do_not_undo_each_other(folder: Path) -> None:
    keys = [f"sk-{n:020}" for n in range(8)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "gateway", "keys", "add", "main", key, "--config", str(folder / "config.toml")],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for key in keys
    ]
    assert [each.wait(30) for each in running] == [0] * len(keys)
    assert sorted((folder / "keys/main.txt").read_text().split()) == keys


def is_locked(folder: Path) -> bool:
    """Whether somebody holds its lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_every_folder_of_a_providers_files_is_locked_while_they_are_edited(folder: Path) -> None:
    (folder / "linked").symlink_to(write(folder / "far/e.txt", b""))
    places = [folder / "a", folder / "b", folder / "d", folder / "far"]
    paths = [write(folder / "b/two.txt", b""), write(folder / "a/one.txt", b""), folder / "linked", folder / "d"]
    (folder / "d").mkdir()
    with locked([*paths, folder / "missing/c.txt"]):
        assert [is_locked(place) for place in places] == [True] * 4
        assert not is_locked(folder)
    assert not any(is_locked(place) for place in places)


def test_to_remove_from_a_folder_that_is_missing_is_told_in_words(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("keys", "remove", "main", ONE) == 1
    assert f"none of these keys is in the provider's files: {folder}/keys/main.txt" in capsys.readouterr().err


def test_a_check_says_what_stays_benched_and_why_keys_were_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = {"checks": [{"check": "check 1", "provider": "main", "total": 3}], "unprobed": []}
    outcomes, benched = {"skipped": 1, "success": 2}, {"disabled": 1, "no_quota": 2}
    ended = {"total": 3, "done": 3, "outcomes": outcomes, "benched": benched, "ended": True}
    monkeypatch.setattr(keys, "call", lambda *_: begun)
    monkeypatch.setattr(checks, "call", lambda *_: ended)
    assert run("keys", "check") == 0
    assert capsys.readouterr().out.splitlines()[3:] == [
        "main: 3 of them stay benched: 1 disabled, 2 no_quota",
        "main: skipped were keys that are disabled, or have left the files",
    ]
