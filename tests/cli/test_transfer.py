"""`llmgateway keys import`: the files before and after, without a gateway that runs. Exports need one."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from gateway.cli import transfer
from tests.cli.place import empty_place, run

ONE, TWO, THREE = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-three-00000000000003"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_place(tmp_path, monkeypatch)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("provider", "file", "before", "given", "after"),
    [
        ("main", "keys/main.txt", "", f"{ONE}\n{TWO}\n", f"{ONE}\n{TWO}\n"),
        ("main", "keys/main.txt", f"# mine\n{ONE}", f'["{ONE}", "{TWO}"]', f"# mine\n{ONE}\n{TWO}\n"),
        ("main", "keys/main.txt", "", f"OPENAI_API_KEY_1={ONE}\nOPENAI_API_KEY_2={TWO}\n", f"{ONE}\n{TWO}\n"),
        ("json", "keys/json.ndjson", "", f"{ONE} account=a\n", f'{{"value":"{ONE}","account":"a"}}\n'),
        ("folder", "keys/folder/added.txt", "", f"{ONE}\n", f"{ONE}\n"),
    ],
)
def test_keys_are_appended_in_the_files_own_way(
    provider: str, file: str, before: str, given: str, after: str, folder: Path
) -> None:
    write(folder / "keys/folder/a.txt", "")
    write(folder / file, before)
    source = write(folder / "given", given)
    assert run("keys", "import", str(source), "--provider", provider) == 0
    assert (folder / file).read_text() == after
    assert source.read_text() == given


def test_keys_that_any_file_of_the_provider_has_are_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "keys/folder/a.txt", f"{ONE}\n")
    write(folder / "keys/folder/b.ndjson", f'{{"value": "{TWO}"}}\n')
    source = write(folder / "given", f"{ONE}\n{TWO}\n{THREE}\n{THREE}\n")
    assert run("keys", "import", str(source), "--provider", "folder") == 0
    path = folder / "keys/folder/added.txt"
    assert path.read_text() == f"{THREE}\n"
    assert capsys.readouterr().out == f"1 added to {path}; 2 there already, 1 twice in {source}\n"
    before = path.stat()
    assert run("keys", "import", str(source), "--provider", "folder") == 0
    assert path.stat() == before
    assert capsys.readouterr().out == f"0 added to {path}; 3 there already, 1 twice in {source}\n"


def test_a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode(folder: Path) -> None:
    assert run("keys", "import", str(write(folder / "given", ONE)), "--provider", "main") == 0
    path = folder / "keys/main.txt"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    assert run("keys", "import", str(write(folder / "given", TWO)), "--provider", "main") == 0
    assert path.stat().st_mode & 0o777 == 0o640


def test_keys_come_from_stdin_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{ONE}\n".encode())))
    assert run("keys", "import", "-", "--provider", "main") == 0
    assert (folder / "keys/main.txt").read_text() == f"{ONE}\n"


def test_a_dry_run_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(folder / "keys/main.txt", f"{ONE}\n")
    source = write(folder / "given", f"{ONE}\n{TWO}\n")
    assert run("keys", "import", str(source), "--provider", "main", "--dry-run") == 0
    assert path.read_text() == f"{ONE}\n"
    assert capsys.readouterr().out == f"1 would be added to {path}; 1 there already, 0 twice in {source}\n"


def test_the_only_provider_with_keys_needs_no_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(folder / "given", f"{ONE}\n")
    assert run("keys", "import", str(source)) == 1
    assert "name it with --provider: main, folder, json" in capsys.readouterr().err
    (folder / "config.toml").write_text('[providers.a]\ntype = "echo"\n[providers.b]\ntype = "openai"\n')
    assert run("keys", "import", str(source)) == 0
    assert (folder / "keys/b.txt").read_text() == f"{ONE}\n"


def test_what_is_no_key_is_told_and_the_others_are_added(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(folder / "given", f"https://a.example\n{ONE}\nDEBUG=1\n")
    assert run("keys", "import", str(source), "--provider", "main") == 0
    assert (folder / "keys/main.txt").read_text() == f"{ONE}\n"
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == [f"warning: {source}: line 1: is a URL", "note: left out: DEBUG"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "has no key"),
        (b"https://a.example\n", "has no key"),
        (b"\xff", "given: this is no UTF-8 text"),
        ("sk-…0001\nsk-…0002\n".encode(), "lines 1, 2: each is a key that was shortened or masked to be shown"),
        (b"A_KEY=a1\nB_KEY=b1\n", "hint: say which ones hold the keys: --name"),
    ],
)
def test_a_source_without_keys_is_an_error(
    data: bytes, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "given").write_bytes(data)
    assert run("keys", "import", str(folder / "given"), "--provider", "main") == 1
    assert text in capsys.readouterr().err
    assert not (folder / "keys/main.txt").exists()


def test_a_source_that_is_missing_or_too_large_is_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("keys", "import", "nowhere", "--provider", "main") == 1
    assert capsys.readouterr().err == "error: No such file or directory: nowhere\n"
    monkeypatch.setattr(transfer, "IMPORT_LIMIT", 10)
    assert run("keys", "import", str(write(folder / "given", ONE)), "--provider", "main") == 1
    assert "is larger than" in capsys.readouterr().err


def test_a_file_of_the_provider_that_cannot_be_read_stops_the_import(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "keys/folder/a.txt", "sk-1\0")
    assert run("keys", "import", str(write(folder / "given", ONE)), "--provider", "folder") == 1
    assert "a.txt cannot be read: has NUL bytes" in capsys.readouterr().err
    assert not (folder / "keys/folder/added.txt").exists()


def test_an_export_writes_lines_that_an_import_reads(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"value": ONE, "key": "sk-…0001", "labels": {"account": "a", "note": "two words"}},
        {"value": TWO, "key": "sk-…0002", "labels": {}},
    ]
    monkeypatch.setattr(transfer, "call_for_lines", lambda args, path, asked: rows)
    monkeypatch.setattr(transfer, "call", lambda *_: {"own_files": []})
    target = write(folder / "out.txt", "mine")
    target.chmod(0o644)
    assert run("keys", "export", "--full", "--output", str(target)) == 1
    assert f"error: {target} exists already\nhint: name another file, or write over it with" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert run("keys", "export", "--full", "--output", str(target), "--force") == 0
    assert target.read_text() == f'{ONE} account=a note="two words"\n{TWO}\n'
    assert target.stat().st_mode & 0o777 == 0o600
    assert run("keys", "import", str(target), "--provider", "main") == 0
    assert (folder / "keys/main.txt").read_text() == target.read_text()
    capsys.readouterr()
    assert run("keys", "export", "--json", "--full") == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert run("keys", "export") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("sk-…0001\nsk-…0002\n", "2 keys\n")


@pytest.mark.parametrize(
    "name", ["keys/main.txt", "link", "hard", "keys/folder/a.txt", "keys/folder/new.txt", "config.toml"]
)
def test_an_export_is_never_written_over_a_file_of_the_gateways_own(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = write(folder / "keys/main.txt", f"{ONE}\n")
    write(folder / "keys/folder/a.txt", f"{ONE}\n")
    (folder / "link").symlink_to(keys)
    (folder / "hard").hardlink_to(keys)
    own = [str(folder / each) for each in ("config.toml", "keys/main.txt", "keys/folder")]
    monkeypatch.setattr(transfer, "call", lambda *_: {"own_files": own})
    monkeypatch.setattr(transfer, "call_for_lines", lambda *_: [])
    path = folder / name
    before = path.read_text() if path.exists() else None
    assert run("keys", "export", "--output", name, "--force") == 1
    assert f"error: {name} belongs to the gateway's own files" in capsys.readouterr().err
    assert (path.read_text() if path.exists() else None) == before


def test_an_export_that_cannot_be_written_names_the_file_that_was_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transfer, "call", lambda *_: {"own_files": []})
    monkeypatch.setattr(transfer, "call_for_lines", lambda *_: [])
    assert run("keys", "export", "--output", "nowhere/out.txt") == 1
    assert capsys.readouterr().err == "error: No such file or directory: nowhere/out.txt\n"
