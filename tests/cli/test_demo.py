"""What the demo tells people to type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.cli import demo


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
    assert demo._program() == typed


@pytest.mark.parametrize(
    ("address", "curl"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("unix:/run/a b", "--unix-socket '/run/a b' http://localhost"),
    ],
)
def test_every_kind_of_address_has_words_for_curl(address: str, curl: str) -> None:
    assert demo._url(address) == curl
