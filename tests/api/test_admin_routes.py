"""Where requests for a route would go, as operators see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.policy.verdict import Scope, Status, Verdict
from tests.api.routed import FIRST, ROUTE, Routed, routed
from tests.conftest import run
from tests.fakes.behaviours import Answer, rate_limited, server_error, unauthorized

FAULT = Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "server_error", evidence="500 on fire")
READY = {"weight": 1.0, "state": "ready", "until": None, "usable": 1, "in_flight": 0, "latency": None}


async def listed(world: Routed) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = (await world.running.administrate("GET", "/admin/routes")).json["routes"]
    return routes


def test_each_route_has_its_targets_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = '[routes.two]\nstrategy = "weighted"\nsticky = "user"\nfallback_on = []\n'
        more += 'targets = [{ provider = "spare", weight = 2.5 }]\n'
        async with routed(tmp_path, more=more) as world:
            assert await listed(world) == [
                {
                    "route": "fast",
                    "strategy": "priority",
                    "sticky": "none",
                    "fallback_on": ["exhausted_keys", "rate_limit", "server_error", "timeout"],
                    "targets": [
                        {"provider": "main", "model": "big", **READY},
                        {"provider": "spare", "model": "small", **READY},
                    ],
                },
                {
                    "route": "two",
                    "strategy": "weighted",
                    "sticky": "user",
                    "fallback_on": [],
                    "targets": [{"provider": "spare", "model": "two", **READY, "weight": 2.5}],
                },
            ]

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "state", "seconds"),
    [(rate_limited(retry_after=30), "keys_cooling", 30), (unauthorized(), "no_usable_key", None)],
)
def test_a_target_without_a_key_says_what_is_the_matter_and_until_when(
    tmp_path: Path, answer: Answer, state: str, seconds: float | None
) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            world.main.script(FIRST, answer)
            assert (await world.ask()).header("x-llmgateway-provider") == "spare"
            main, spare = (await listed(world))[0]["targets"]
            assert (main["state"], main["usable"], spare["state"]) == (state, 0, "ready")
            if seconds is not None:
                assert abs(main["until"] - world.running.clock() - seconds) < 5

    run(scenario())


def test_a_target_with_an_open_circuit_says_when_it_is_looked_at_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            breakers = world.running.pools["main"].breakers
            for _ in range(5):
                breakers.end(breakers.enter(), FAULT, None)
            main, spare = (await listed(world))[0]["targets"]
            assert (main["state"], main["usable"], spare["state"]) == ("circuit_open", 1, "ready")
            assert 0 < main["until"] - world.running.clock() <= 60

    run(scenario())


def test_keys_that_are_rejected_alike_keep_a_target_away(tmp_path: Path) -> None:
    keys = tuple(f"sk-first-{number:08d}" for number in range(6))

    async def scenario() -> None:
        async with routed(tmp_path, keys=(keys, ("sk-second-0000002",))) as world:
            for key in keys:
                assert (await world.ask()).status == 200
                world.main.script(key, Answer(), unauthorized())
            while not world.running.pools["main"].guard.tripped:
                await world.ask()
            main, _ = (await listed(world))[0]["targets"]
            assert (main["state"], main["usable"]) == ("circuit_open", 0)

    run(scenario())


def test_the_latency_is_shown_where_the_strategy_goes_by_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, f'{ROUTE}\nstrategy = "least_latency"') as world:
            world.main.script(FIRST, server_error(500))
            assert (await world.ask()).header("x-llmgateway-provider") == "spare"
            main, spare = (await listed(world))[0]["targets"]
            assert main["latency"] > 1.0  # 60 s as it fails, and less with every moment
            assert 0 < spare["latency"] < main["latency"]

    run(scenario())
