"""Replacing files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.files import write_atomically


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_file_gets_the_wanted_mode_or_what_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "private", "a", mode=0o600)
        write_atomically(tmp_path / "plain", b"\xff")
    finally:
        os.umask(before)
    assert mode(tmp_path / "private") == 0o600
    assert mode(tmp_path / "plain") == 0o640
    assert (tmp_path / "plain").read_bytes() == b"\xff"


def test_an_existing_file_keeps_its_mode_and_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("old")
    path.chmod(0o604)
    owner = (4321, 1234) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(path, *owner)
    write_atomically(path, "größer", mode=0o600)
    assert path.read_text() == "größer"
    assert mode(path) == 0o604
    assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_content_may_come_in_pieces(tmp_path: Path) -> None:
    write_atomically(tmp_path / "long", (b"%d\n" % n for n in range(3)))
    assert (tmp_path / "long").read_bytes() == b"0\n1\n2\n"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["keys.txt"]
