"""Routes beside conversations: vectors, counts, lists of models; and providers that list the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.routed import FIRST, ROUTE, SECOND, TO_FAST, Routed, routed
from tests.conftest import run
from tests.fakes.behaviours import Answer, bad_request, rate_limited, server_error

VECTOR = {"model": "fast", "input": "hello"}
CONTENT = {"content": {"parts": [{"text": "hello"}]}}
MESSAGES: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": "Say hello."}]}
CONTENTS: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
ANTHROPIC = {"anthropic_version": "2023-06-01"}

TOKENS = """
[tokens.main]
token = "token-of-main"
providers = ["main"]
[tokens.route]
token = "token-of-route"
models = ["fast"]
[tokens.small]
token = "token-of-small"
models = ["small"]
"""


# -- vectors and counts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [("openai", "gemini"), ("gemini", "openai")])
@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1beta/models/fast:embedContent"])
def test_vectors_come_from_a_route_whoever_makes_them(tmp_path: Path, kinds: tuple[str, str], path: str) -> None:
    body = VECTOR if path == "/v1/embeddings" else CONTENT

    async def scenario() -> None:
        async with routed(tmp_path, kinds=kinds) as world:
            world.main.script(FIRST, Answer(), server_error(500))
            for provider in ("main", "spare"):
                got = await world.ask(body, path)
                assert (got.status, got.header("x-llmgateway-provider")) == (200, provider)
                vector = got.json["data"][0]["embedding"] if "data" in got.json else got.json["embedding"]["values"]
                assert len(vector) == 3

    run(scenario())


def test_a_target_that_makes_no_vectors_is_passed_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, kinds=("anthropic", "openai")) as world:
            got = await world.ask(VECTOR, "/v1/embeddings")
            assert (got.status, got.header("x-llmgateway-provider")) == (200, "spare")
            assert (world.asked, world.fallbacks) == ((0, 1), [("main", "passed_over", "spare")])

    run(scenario())


@pytest.mark.parametrize(
    ("kinds", "first", "second"),
    [
        (("anthropic", "gemini"), False, False),
        (("gemini", "anthropic"), False, False),
        (("openai", "anthropic"), True, None),
    ],
)
@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1beta/models/fast:countTokens"])
def test_tokens_are_counted_by_the_first_target_or_estimated_for_it(
    tmp_path: Path, kinds: tuple[str, str], first: bool, second: bool | None, path: str
) -> None:
    body, name = (MESSAGES, "input_tokens") if "messages" in path else (CONTENTS, "totalTokens")

    async def scenario() -> None:
        async with routed(tmp_path, kinds=kinds) as world:
            world.main.script(FIRST, Answer(), server_error(500))
            for estimated in (first, second):
                got = await world.ask(body, path)
                assert (got.status, got.json[name] > 0) == (200, True)
                assert (got.header("x-llmgateway-estimated") == "true") is bool(
                    first if estimated is None else estimated
                )
            assert world.asked == ((0, 0) if first else (2, 1))

    run(scenario())


@pytest.mark.parametrize("several", ["a route", "a model"])
def test_a_count_takes_nobodys_turn(tmp_path: Path, several: str) -> None:
    async def scenario() -> None:
        route = f'{ROUTE}\nstrategy = "round_robin"' if several == "a route" else ""
        model, models = ("fast", "") if route else ("shared", BOTH)
        async with routed(tmp_path, route, kinds=("anthropic", "anthropic"), models=models) as world:
            found = ""
            for _ in range(4):
                assert (await world.ask({**MESSAGES, "model": model}, "/v1/messages/count_tokens")).status == 200
                found += await served(world, 1, model)
            assert found == "msms"

    run(scenario())


def test_a_count_makes_nobody_stay(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, f'{ROUTE}\nsticky = "user"', kinds=("anthropic", "anthropic")) as world:
            world.main.script(FIRST, rate_limited(30), Answer())
            got = await world.ask(MESSAGES, "/v1/messages/count_tokens")
            assert got.header("x-llmgateway-provider") == "spare"
            world.running.pass_time(31)
            assert await served(world, 1, "fast") == "m"

    run(scenario())


def test_a_count_says_nothing_of_how_soon_a_target_answers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, f'{ROUTE}\nstrategy = "least_latency"', kinds=("anthropic", "anthropic")) as world:
            for _ in range(3):
                got = await world.ask(MESSAGES, "/v1/messages/count_tokens")
                assert got.header("x-llmgateway-provider") == "main"

    run(scenario())


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "names"),
    [
        ("/v1/models", {}, ["fast", "big", "small"]),
        ("/v1/models", ANTHROPIC, ["fast", "big", "small"]),
        ("/v1beta/models", {}, ["models/fast", "models/big", "models/small"]),
    ],
)
def test_routes_are_listed_before_models_in_every_shape(
    tmp_path: Path, path: str, headers: dict[str, str], names: list[str]
) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            got = await world.running.ask("GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})
            entries = got.json.get("data") or got.json["models"]
            assert [entry.get("id") or entry["name"] for entry in entries] == names
            one = await world.running.ask("GET", f"{path}/fast", headers={"anthropic-version": "1"} if headers else {})
            assert (one.status, one.json) == (200, entries[0])

    run(scenario())


async def listed(world: Routed, token: str = "") -> dict[str, tuple[str, list[str]]]:
    """Owner and providers by name."""
    headers = {"authorization": f"Bearer token-of-{token}"} if token else {}
    got = await world.running.ask("GET", "/v1/models", headers=headers)
    return {entry["id"]: (entry["owned_by"], entry["providers"]) for entry in got.json["data"]}


@pytest.mark.parametrize(
    ("token", "models"),
    [
        ("", {"fast": ("llmgateway", ["main", "spare"]), "big": ("main", ["main"]), "small": ("spare", ["spare"])}),
        ("main", {"fast": ("llmgateway", ["main"]), "big": ("main", ["main"])}),
        ("route", {"fast": ("llmgateway", ["main", "spare"])}),
        ("small", {"small": ("spare", ["spare"])}),
    ],
)
def test_a_list_says_who_would_serve_whoever_asks(
    tmp_path: Path, token: str, models: dict[str, tuple[str, list[str]]]
) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more=TOKENS) as world:
            assert await listed(world, token) == models

    run(scenario())


def test_a_route_stands_before_a_model_of_the_same_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        route = 'targets = [{ provider = "spare", model = "small" }]\n[routes."main/big"]\n' + ROUTE
        more = '[routes.big]\ntargets = [{ provider = "spare", model = "small" }]\n'
        async with routed(tmp_path, route, more=more) as world:
            models = await listed(world)
            assert (models["big"], "small" in models) == (("llmgateway", ["spare"]), True)
            assert (await world.ask({**TO_FAST, "model": "big"})).header("x-llmgateway-provider") == "spare"
            assert (await world.ask({**TO_FAST, "model": "main/big"})).json["model"] == "main/big"
            assert world.main.requests[-1].json["model"] == "big"

    run(scenario())


def test_a_route_is_suggested_to_who_misspells_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more=TOKENS) as world:
            got = await world.ask({**TO_FAST, "model": "fasd"})
            assert (got.status, "'fast'" in got.error["message"]) == (404, True)

    run(scenario())


def test_a_disabled_provider_is_no_target(tmp_path: Path) -> None:
    off = '[providers.off]\ntype = "echo"\nenabled = false\n'
    route = ROUTE.replace("[{", '[{ provider = "off" }, {', 1)

    async def scenario() -> None:
        async with routed(tmp_path, route, more=off) as world:
            assert (await listed(world))["fast"] == ("llmgateway", ["main", "spare"])
            assert ((await world.ask()).header("x-llmgateway-provider"), world.fallbacks) == ("main", [])

    run(scenario())


# -- providers of one model ------------------------------------------------------------------------------------------

SHARED: dict[str, Any] = {**TO_FAST, "model": "shared"}
BOTH = '"shared", "twin"'


async def served(world: Routed, count: int, *models: str) -> str:
    """Who serves requests for these models in turn: m for main, s for spare."""
    found = ""
    for number in range(count):
        got = await world.ask({**TO_FAST, "model": (models or ("shared",))[number % max(len(models), 1)]})
        assert got.status == 200
        found += (got.header("x-llmgateway-provider") or "")[0]
    return found


def test_equals_serve_a_model_in_turn(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, "", models=BOTH) as world:
            assert await served(world, 4) == "msms"
            assert (await listed(world))["shared"] == ("main", ["main", "spare"])

    run(scenario())


def test_two_models_that_are_asked_for_alternately_have_turns_of_their_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, "", models=BOTH) as world:
            assert await served(world, 8, "shared", "twin") == "mmssmmss"

    run(scenario())


@pytest.mark.parametrize("failure", [server_error(500), rate_limited(30)])
def test_a_provider_of_lower_priority_is_asked_after_a_failure_alone(tmp_path: Path, failure: Answer) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, "", models=BOTH, priorities=(0, 1)) as world:
            assert await served(world, 3) == "sss"
            world.spare.script(SECOND, failure)
            assert await served(world, 2) == "mm"
            assert world.fallbacks[0] == ("spare", "server_error" if failure.status == 500 else "rate_limit", "main")

    run(scenario())


def test_a_mistake_of_the_clients_is_told_by_the_first_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, "", models=BOTH) as world:
            world.main.script(FIRST, bad_request())
            assert ((await world.ask(SHARED)).status, world.asked) == (400, (1, 0))

    run(scenario())


def test_a_model_with_a_providers_name_before_it_is_that_providers_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, "", models=BOTH) as world:
            world.main.script(FIRST, server_error(500))
            got = await world.ask({**TO_FAST, "model": "main/shared"})
            assert (got.status, world.asked) == (500, (1, 0))

    run(scenario())


def test_a_model_of_several_providers_stays_with_nobody_and_says_what_it_is_called(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, "", models='"shared=real"') as world:
            got = await world.ask(SHARED)
            assert (got.json["model"], world.main.requests[0].json["model"]) == ("shared", "real")
            got = await world.ask(SHARED, x_session_id="talk")
            assert got.header("x-llmgateway-provider") == "spare"

    run(scenario())
