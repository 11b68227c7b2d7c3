"""`llmgateway routes` as people and scripts see it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.cli import routes
from tests.cli.place import run

NOW = 1_800_000_000.0


def target(provider: str, state: str = "ready", **more: Any) -> dict[str, Any]:
    return {
        "provider": provider, "model": "m", "weight": 1.0, "state": state, "until": None, "usable": 3, "in_flight": 0,
        "latency": None, **more,
    }  # fmt: skip


ROUTES = [
    {
        "route": "fast",
        "strategy": "least_latency",
        "sticky": "none",
        "fallback_on": ["timeout"],
        "targets": [
            target("a", "circuit_open", until=NOW + 45, usable=1),
            target("b", latency=0.125, in_flight=2, weight=2.5),
        ],
    },
    {"route": "x\x1by", "strategy": "priority", "sticky": "none", "fallback_on": [], "targets": [target("a")]},
]


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the daemon was asked for."""
    monkeypatch.setattr("time.time", lambda: NOW)
    calls: list[tuple[object, ...]] = []

    def call(args: object, *asked: object) -> dict[str, Any]:
        calls.append(asked)
        return {"routes": ROUTES}

    monkeypatch.setattr(routes, "call", call)
    return calls


def test_the_list_has_a_line_for_each_target(
    asked: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("routes", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "ROUTE STRATEGY PROVIDER MODEL WEIGHT STATE UNTIL USABLE IN FLIGHT LATENCY",
        "fast least_latency a m 1 circuit_open in 45 s 1 0",
        "fast least_latency b m 2.5 ready 3 2 0.125 s",
        "x y priority a m 1 ready 3 0",
    ]
    assert asked == [("GET", "/admin/routes")]


def test_scripts_get_what_the_daemon_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("routes", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ROUTES
