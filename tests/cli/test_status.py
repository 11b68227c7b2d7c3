"""`llmgateway status` as people see it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli import status
from tests.cli.place import run


def provider(name: str, to_probe: int, problems: list[str]) -> dict[str, Any]:
    file = {"path": f"{name}.txt", "world_readable": False, "problems": problems}
    return {
        "name": name, "type": "openai", "keys": 1, "usable": 1, "waiting": 0, "counts": {}, "next_recovery": None,
        "guard": None, "due": 0, "to_probe": to_probe, "probing": "models", "groups": [], "files": [file],
    }  # fmt: skip


def test_problems_of_files_stand_together_and_one_key_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {
        "version": "1", "pid": 1, "uptime_seconds": 1, "config": "c", "proxies": [], "inventory_problem": "",
        "providers": [provider("a", 1, ["one", "two"]), provider("b", 2, ["three"])],
    }  # fmt: skip
    monkeypatch.setattr(status, "call", lambda *_: answer)
    assert run("status") == 0
    out = capsys.readouterr().out
    assert out.endswith("\n\na: a.txt: one\na: a.txt: two\nb: b.txt: three\n")
    assert "a: 1 key is waiting for a probe" in out and "b: 2 keys are waiting" in out
