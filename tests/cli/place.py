"""Where the tests of commands run: an empty folder, with nothing of the machine's own configuration or daemons."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.cli import main

CONFIG = """
[providers.main]
type = "openai"
keys = "keys/main.txt"

[providers.folder]
type = "openai"
keys = "keys/folder"

[providers.json]
type = "openai"
keys = "keys/json.ndjson"

[providers.local]
type = "echo"
"""

VARIABLES = ("LLMGATEWAY_CONFIG", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY", "LLMGATEWAY_SOCKET")


def empty_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with `CONFIG` in it and no gateway anywhere."""
    monkeypatch.chdir(folder)
    for name in [*VARIABLES, *(name for name in os.environ if name.startswith("LLMGATEWAY__"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLMGATEWAY_SOCKET", str(folder / "no.sock"))
    (folder / "config.toml").write_text(CONFIG)
    return folder


def run(*words: str) -> int:
    """The exit code of a command, a wrong usage's too."""
    try:
        return main(words)
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
