"""`GET /v1/models` and `/v1/models/ID`: the models of all providers, merged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.api.harness import Gateway, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import Answer, Delay, server_error
from tests.fakes.provider import FakeProvider

TOKENS = """
[tokens.ann]
token = "token-of-ann"
providers = ["second"]
[tokens.bob]
token = "token-of-bob"
models = ["a", "d"]
"""


@asynccontextmanager
async def two_providers(tmp_path: Path, *, priority: int = 0) -> AsyncIterator[tuple[FakeProvider, Gateway]]:
    """main has a and b by configuration, second tells b, c and d."""
    async with FakeProvider() as fake:
        listed = [{"id": "b", "created": 1}, {"id": "c", "created": 2}, {"id": "d"}, {"id": 7}, "e", None]
        fake.script("sk-second", Answer(body={"object": "list", "data": listed}))
        more = f'[providers.second]\ntype = "openai"\nbase_url = "{fake.base_url}"\npriority = {priority}\n{TOKENS}'
        config = configuration(fake.base_url, provider='models = ["a", "b=real"]', more=more)
        async with gateway(tmp_path, config, {"main": ["sk-main"], "second": ["sk-second"]}) as running:
            yield fake, running


async def listed_for(running: Gateway, token: str = "") -> dict[str, str]:
    got = await running.ask("GET", "/v1/models", b"", {"x-api-key": token} if token else {})
    assert (got.status, got.json["object"]) == (200, "list")
    assert {entry["object"] for entry in got.json["data"]} <= {"model"}
    return {entry["id"]: entry["owned_by"] for entry in got.json["data"]}


@pytest.mark.parametrize(("priority", "owner"), [(0, "main"), (1, "second")])
def test_the_models_of_all_providers_are_one_list(tmp_path: Path, priority: int, owner: str) -> None:
    async def scenario() -> None:
        async with two_providers(tmp_path, priority=priority) as (fake, running):
            merged = {"a": "main", "b": owner, "c": "second", "d": "second"}
            assert await listed_for(running) == merged
            assert await listed_for(running) == merged
            assert [seen.path for seen in fake.requests] == ["/v1/models"]

    run(scenario())


@pytest.mark.parametrize(
    ("token", "models"),
    [
        ("token-of-ann", {"b": "second", "c": "second", "d": "second"}),
        ("token-of-bob", {"a": "main", "d": "second"}),
        ("", {"a": "main", "b": "main", "c": "second", "d": "second"}),
    ],
)
def test_a_token_sees_what_it_may_use(tmp_path: Path, token: str, models: dict[str, str]) -> None:
    async def scenario() -> None:
        async with two_providers(tmp_path) as (_, running):
            assert await listed_for(running, token) == models
            for name in ("a", "b", "c", "d"):
                got = await running.ask("GET", f"/v1/models/{name}", b"", {"x-api-key": token} if token else {})
                assert got.status == (200 if name in models else 404)
                assert name not in models or got.json["owned_by"] == models[name]

    run(scenario())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("c", 200),
        ("second/c", 200),
        ("second%2Fc", 200),
        ("main/c", 404),
        ("real", 404),
        ("unheard-of", 404),
        ("", 404),
    ],
)
def test_one_model_is_shown_by_its_name(tmp_path: Path, path: str, status: int) -> None:
    async def scenario() -> None:
        async with two_providers(tmp_path) as (_, running):
            got = await running.ask("GET", f"/v1/models/{path}")
            assert got.status == status
            if status == 200:
                assert got.json == {
                    "id": "c",
                    "object": "model",
                    "created": 2,
                    "owned_by": "second",
                    "providers": ["second"],
                }
            else:
                assert (got.code, got.error["param"]) == ("model_not_found", "model")

    run(scenario())


def test_a_list_is_believed_for_its_time_and_the_last_one_stands_while_there_is_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two_providers(tmp_path) as (fake, running):
            assert "c" in await listed_for(running)
            fake.script("sk-second", server_error())
            running.clock.ahead += 299
            assert "c" in await listed_for(running)
            assert len(fake.requests) == 1
            running.clock.ahead += 2
            assert "c" in await listed_for(running)
            assert len(fake.requests) == 2
            fake.script("sk-second", Answer(body=[{"id": "bare"}]))
            assert "c" in await listed_for(running)  # not asked again so soon
            running.clock.ahead += 61
            assert await listed_for(running) == {"a": "main", "b": "main", "bare": "second"}

    run(scenario())


def test_one_question_at_a_time_and_a_client_that_leaves_does_not_end_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two_providers(tmp_path) as (fake, running):
            fake.script("sk-second", Delay(0.1, Answer(body=[{"id": "late"}])))
            async with running.talk() as talk:
                await talk.send("GET", "/v1/models")
                await until(lambda: len(fake.requests) == 1)
            lists = await asyncio.gather(*(listed_for(running) for _ in range(5)))
            assert all(listed == {"a": "main", "b": "main", "late": "second"} for listed in lists)
            assert (len(fake.requests), fake.aborted) == (1, 0)

    run(scenario())
