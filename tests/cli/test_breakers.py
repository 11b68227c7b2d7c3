"""`llmgateway breakers` as people and scripts see it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.cli import breakers
from tests.cli.place import run

NOW = 1_800_000_000.0
PROXY = "http://****@proxy.test:1"


def row(state: str = "closed", **more: Any) -> dict[str, Any]:
    return {
        "provider": "main", "of": "provider", "proxy": None, "state": state, "mode": "auto_recovery", "since": NOW - 30,
        "until": None, "failures": 0, "trials": 0, "openings": 0, "last_error": "", **more,
    }  # fmt: skip


OPEN = row("open", until=NOW + 45, openings=2, last_error="500 on\x1bfire")
HALF_OPEN = row("half_open", of="proxy", proxy=PROXY, trials=1, openings=1, last_error="timeout")
BY_HAND = row("open", mode="manual_reset", openings=1, last_error="502")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the daemon was asked for; it answers with three rows, or that it reset main."""
    monkeypatch.setattr("time.time", lambda: NOW)
    calls: list[tuple[object, ...]] = []

    def call(args: object, *asked: object) -> dict[str, Any]:
        calls.append(asked)
        return {"breakers": [row(), OPEN, HALF_OPEN, BY_HAND], "reset": ["main"]}

    monkeypatch.setattr(breakers, "call", call)
    return calls


def test_the_list_says_what_is_shut_why_and_until_when(
    asked: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("breakers", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "PROVIDER OF PROXY STATE NEXT LOOK OPENED MODE LAST ERROR",
        "main provider closed auto_recovery",
        "main provider open in 45 s 2 auto_recovery 500 on fire",
        f"main proxy {PROXY} half_open now, 1 under way 1 auto_recovery timeout",
        "main provider open when it is reset 1 manual_reset 502",
    ]
    assert asked == [("GET", "/admin/breakers")]


def test_one_provider_may_be_named(asked: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("breakers", "list", "a b", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 4
    assert run("breakers", "reset", "main") == 0
    assert capsys.readouterr().out == "reset: main\n"
    assert run("breakers", "reset", "--json") == 0
    assert json.loads(capsys.readouterr().out)["reset"] == ["main"]
    assert asked == [
        ("GET", "/admin/breakers?provider=a+b"),
        ("POST", "/admin/breakers/reset", {"provider": "main"}),
        ("POST", "/admin/breakers/reset", {}),
    ]


def test_a_reset_of_nothing_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(breakers, "call", lambda *_: {"reset": []})
    assert run("breakers", "reset") == 0
    assert capsys.readouterr().out == "nothing was shut\n"


@pytest.mark.parametrize(
    ("shut", "said"),
    [
        (
            OPEN,
            "circuit open for 30 s: A few requests look whether it is over (in 45 s); 'llmgateway breakers reset main' "
            "closes it now. Last error: 500 on fire",
        ),
        (
            HALF_OPEN,
            f"circuit through {PROXY} half-open for 30 s: A few requests look whether it is over (now, 1 under way); "
            "'llmgateway breakers reset main' closes it now. Last error: timeout",
        ),
        (
            BY_HAND,
            "circuit open for 30 s: Nothing is sent until 'llmgateway breakers reset main'. Last error: 502",
        ),
    ],
)
def test_the_status_names_a_circuit_that_is_not_closed(
    asked: list[tuple[object, ...]], shut: dict[str, Any], said: str
) -> None:
    assert breakers.describe_shut(shut, NOW) == said
