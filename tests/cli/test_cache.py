"""`llmgateway cache` as people see it."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from gateway.cli import cache
from tests.cli.place import run

SHOWN = {"enabled": True, "storage": "memory", "shared": False, "answers": 1, "bytes": 1 << 20, "limit": 64 << 20}


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the daemon was asked; the test adds what it answers."""
    asked: list[tuple[str, str]] = []

    def call(args: argparse.Namespace, method: str, path: str) -> Any:
        asked.append((method, path))
        return ANSWERS[path]

    monkeypatch.setattr(cache, "call", call)
    return asked


ANSWERS: dict[str, dict[str, Any]] = {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"enabled": False}, "the response cache is off (cache.enabled)\n"),
        (SHOWN, "in memory, for each user: 1 answer, 1.0 MB of 64 MB\n"),
        ({**SHOWN, "shared": True, "answers": 2}, "in memory, for all users: 2 answers, 1.0 MB of 64 MB\n"),
        ({**SHOWN, "storage": "redis", "failures": 3}, "in Redis, for each user: 3 failures\n"),
    ],
)
def test_what_the_cache_holds(
    answered: list[tuple[str, str]], capsys: pytest.CaptureFixture[str], answer: dict[str, Any], said: str
) -> None:
    ANSWERS["/admin/cache"] = answer
    assert run("cache", "show") == 0
    assert capsys.readouterr().out == said
    assert answered == [("GET", "/admin/cache")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"storage": "memory", "answers": 2, "bytes": 3 << 20}, "cleared: 2 answers, 3.0 MB\n"),
        ({"storage": "redis", "answers": 0, "bytes": 0}, "cleared, for all gateways that share it\n"),
    ],
)
def test_clearing_it(
    answered: list[tuple[str, str]], capsys: pytest.CaptureFixture[str], answer: dict[str, Any], said: str
) -> None:
    ANSWERS["/admin/cache/clear"] = answer
    assert run("cache", "clear") == 0
    assert capsys.readouterr().out == said
    assert answered == [("POST", "/admin/cache/clear")]


@pytest.mark.parametrize("action", ["show", "clear"])
def test_for_scripts(answered: list[tuple[str, str]], capsys: pytest.CaptureFixture[str], action: str) -> None:
    ANSWERS["/admin/cache"] = ANSWERS["/admin/cache/clear"] = {"x": 1}
    assert run("cache", action, "--json") == 0
    assert capsys.readouterr().out.split() == ["{", '"x":', "1", "}"]
