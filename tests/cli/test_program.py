"""What people are told to type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.cli.program import program


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("there/llmgateway", ".venv/bin/llmgateway"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("called", "path", "typed"),
    [
        (".venv/bin/llmgateway", "/nowhere", ".venv/bin/llmgateway"),
        (".venv/bin/llmgateway", "there", ".venv/bin/llmgateway"),
        ("there/llmgateway", "there", "llmgateway"),
        ("a b/llmgateway", "/nowhere", "'a b/llmgateway'"),
        ("llmgateway.py", "there", f"{sys.executable} llmgateway.py"),
        ("/usr/lib/python3/gateway/__main__.py", "there", f"{sys.executable} -m gateway"),
    ],
)
def test_the_program_is_named_as_it_was_called_unless_the_shell_finds_it_by_itself(
    called: str, path: str, typed: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [called])
    monkeypatch.setenv("PATH", path)
    assert program() == typed
