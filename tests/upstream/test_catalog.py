"""Which models there are: configured ones, and what providers say of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from gateway.net.client import Client
from gateway.policy.verdict import Status
from gateway.upstream.catalog import ASK_AGAIN, MODELS_LIMIT, Catalog, Model
from gateway.upstream.exchange import Exchange
from gateway.upstream.outage import OUTAGE_FAULTS
from gateway.upstream.provider import Provider
from tests.conftest import run
from tests.fakes.answers import CREATED, MODELS
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Delay,
    error,
    rate_limited,
    server_error,
    unauthorized,
)
from tests.fakes.provider import FakeProvider
from tests.upstream.pools import Clock
from tests.upstream.wire import SECRET, a_provider

FORBIDDEN = error(403, None, "Missing scope: api.model.read", "permission_error")


@asynccontextmanager
async def listing(
    clock: Clock, fake: FakeProvider, **providers: dict[str, Any]
) -> AsyncIterator[tuple[Catalog, dict[str, Provider]]]:
    """A catalog of providers that all live on the fake."""
    client = Client()
    common: dict[str, Any] = {"base_url": fake.base_url, "clock": clock}
    made = {name: a_provider(**{**common, "name": name, **settings}) for name, settings in providers.items()}
    catalog = Catalog(made, Exchange(client, clock), clock)
    try:
        yield catalog, made
    finally:
        await catalog.close()
        await client.close()


def test_a_configured_list_is_all_there_is_and_nobody_is_asked() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, listing(Clock(), fake, main={"models": ("a", "b=real")}) as (catalog, made):
            assert await catalog.learn() is False
            assert [model.id for model in await catalog.models()] == ["a", "b"]
            assert catalog.knows("main") and catalog.serving("b") == [made["main"]]
            assert catalog.serving("real") == []
            assert fake.requests == []

    run(scenario())


def test_a_providers_own_list_is_believed_for_a_while() -> None:
    async def scenario() -> None:
        clock = Clock()
        async with FakeProvider() as fake, listing(clock, fake, main={}) as (catalog, made):
            assert not catalog.knows("main") and catalog.serving(MODELS[0]) == []
            assert await catalog.models() == [Model(name, "main", CREATED) for name in MODELS]
            assert catalog.serving(MODELS[0]) == [made["main"]]
            clock.advance(299)
            assert await catalog.learn() is False
            clock.advance(1)
            assert await catalog.learn() is True
            assert [seen.path for seen in fake.requests] == ["/v1/models"] * 2

    run(scenario())


@pytest.mark.parametrize(
    "behaviour", [server_error(), FORBIDDEN, Answer(200, b"no JSON"), Answer(200, {"data": None}), Answer(302, b"")]
)
def test_while_a_list_cannot_be_had_the_last_one_stands(behaviour: Behaviour) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with FakeProvider() as fake, listing(clock, fake, main={}) as (catalog, made):
            fake.script(SECRET, Answer(), behaviour)
            await catalog.learn()
            clock.advance(300)
            await catalog.learn()
            assert [model.id for model in await catalog.models()] == list(MODELS)
            assert len(fake.requests) == 2, "it is not asked again at once"
            clock.advance(ASK_AGAIN)
            await catalog.learn()
            assert len(fake.requests) == 3
            assert made["main"].pool.usable == 1, "a list that is refused says nothing about the key"
            (key,) = made["main"].pool.standings.keys.values()
            assert key.in_flight == 0

    run(scenario())


@pytest.mark.parametrize(
    ("behaviour", "status"), [(unauthorized(), Status.SUSPECT), (rate_limited(20), Status.RATE_LIMITED)]
)
def test_a_verdict_on_the_key_counts(behaviour: Behaviour, status: Status) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, listing(Clock(), fake, main={}) as (catalog, made):
            fake.script(SECRET, behaviour)
            assert await catalog.models() == []
            (key,) = made["main"].pool.standings.keys.values()
            assert key.standing.status is status

    run(scenario())


@pytest.mark.parametrize(("behaviour", "told"), [(CloseBeforeAnswer(), True), (server_error(), False)])
def test_a_list_that_fails_tells_whether_we_get_there_and_nothing_of_requests(behaviour: Behaviour, told: bool) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with FakeProvider() as fake, listing(clock, fake, main={}) as (catalog, made):
            fake.script(SECRET, behaviour)
            for _ in range(OUTAGE_FAULTS):
                await catalog.models()
                clock.advance(ASK_AGAIN)
            pool = made["main"].pool
            assert (pool.outage() is not None) is told
            assert [key.standing.streak for key in pool.standings.keys.values()] == [0]

    run(scenario())


def test_a_list_proves_no_quota() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, listing(Clock(), fake, main={}) as (catalog, made):
            await catalog.models()
            assert made["main"].pool.standings.counts[Status.UNTESTED] == 1

    run(scenario())


def test_many_who_ask_share_one_question_and_one_who_leaves_does_not_end_it() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, listing(Clock(), fake, main={}) as (catalog, _):
            fake.script(SECRET, Delay(0.05))
            leaving = asyncio.create_task(catalog.models(), name="leaving")
            staying = [asyncio.create_task(catalog.models(), name=f"{n}") for n in range(5)]
            while not fake.requests:
                await asyncio.sleep(0)
            leaving.cancel()
            for models in await asyncio.gather(*staying):
                assert len(models) == len(MODELS)
            assert len(fake.requests) == 1
            with pytest.raises(asyncio.CancelledError):
                await leaving

    run(scenario())


def test_without_a_key_nobody_is_asked() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, listing(Clock(), fake, main={}) as (catalog, made):
            made["main"].pool.standings.remove(list(made["main"].pool.standings.keys))
            assert await catalog.models() == []
            assert fake.requests == []

    run(scenario())


def test_of_two_providers_the_one_of_higher_priority_owns_a_name() -> None:
    async def scenario() -> None:
        low = {"models": ("both", "low-only"), "priority": 1}
        high = {"models": ("both",), "priority": 2}
        async with FakeProvider() as fake, listing(Clock(), fake, low=low, high=high) as (catalog, made):
            assert catalog.serving("both") == [made["high"], made["low"]]
            owners = {model.id: model.provider for model in await catalog.models()}
            assert owners == {"both": "high", "low-only": "low"}

    run(scenario())


def test_closing_ends_a_question_that_is_under_way() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, listing(Clock(), fake, main={}) as (catalog, made):
            fake.script(SECRET, Delay(60))
            asking = asyncio.create_task(catalog.learn(), name="asking")
            while not fake.requests:
                await asyncio.sleep(0)
            await catalog.close()
            await asyncio.gather(asking, return_exceptions=True)
            await fake.wait_aborted()
            (key,) = made["main"].pool.standings.keys.values()
            assert key.in_flight == 0

    run(scenario())


def elsewhere(fake: FakeProvider, kind: str) -> AbstractAsyncContextManager[tuple[Catalog, dict[str, Provider]]]:
    """A catalog of one provider of that type, with the fake's origin as its address."""
    return listing(Clock(), fake, main={"type": kind, "base_url": fake.origin})


CLAUDES = [
    Answer(200, {"data": [{"id": "opus", "created_at": "2025-02-19T00:00:00Z"}], "has_more": True, "last_id": "opus"}),
    Answer(200, {"data": [{"id": "haiku", "created_at": "2025-02-19T00:00:01Z"}], "has_more": False}),
]
GEMINIS = [
    Answer(200, {"models": [{"name": "models/pro"}], "nextPageToken": "two"}),
    Answer(200, {"models": [{"name": "models/flash"}]}),
]


@pytest.mark.parametrize(
    ("kind", "pages", "paths", "models"),
    [
        (
            "anthropic", CLAUDES, ["/v1/models?limit=1000", "/v1/models?limit=1000&after_id=opus"],
            [Model("opus", "main", 1739923200), Model("haiku", "main", 1739923201)],
        ),
        (
            "gemini", GEMINIS, ["/v1beta/models?pageSize=1000", "/v1beta/models?pageSize=1000&pageToken=two"],
            [Model("pro", "main"), Model("flash", "main")],
        ),
    ],
)  # fmt: skip
def test_a_list_in_pages_is_read_to_its_end(
    kind: str, pages: list[Behaviour], paths: list[str], models: list[Model]
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, elsewhere(fake, kind) as (catalog, made):
            fake.script(SECRET, *pages)
            assert await catalog.models() == models
            assert [seen.path for seen in fake.requests] == paths
            (key,) = made["main"].pool.standings.keys.values()
            assert key.in_flight == 0

    run(scenario())


def test_a_list_that_breaks_off_is_none_and_its_verdict_counts() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, elsewhere(fake, "anthropic") as (catalog, made):
            fake.script(SECRET, CLAUDES[0], unauthorized())
            assert await catalog.models() == []
            (key,) = made["main"].pool.standings.keys.values()
            assert (key.standing.status, key.in_flight) == (Status.SUSPECT, 0)

    run(scenario())


def test_a_list_without_end_is_cut_off() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, elsewhere(fake, "gemini") as (catalog, _):
            entries = [{"name": f"models/{number}"} for number in range(MODELS_LIMIT // 2 + 1)]
            fake.script(
                SECRET,
                Answer(200, {"models": entries, "nextPageToken": "more"}),
                Answer(
                    200, {"models": [{"name": f"tuned{each['name']}"} for each in entries], "nextPageToken": "more"}
                ),
            )
            assert len(await catalog.models()) == MODELS_LIMIT
            assert len(fake.requests) == 2

    run(scenario())


def test_azures_list_is_not_asked_for_since_requests_name_deployments() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, elsewhere(fake, "azure") as (catalog, _):
            assert await catalog.learn() is False
            assert not catalog.knows("main") and fake.requests == []

    run(scenario())
