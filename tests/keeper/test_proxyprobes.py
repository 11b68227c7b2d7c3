"""Proxies are looked at without traffic: when, how many at once, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from gateway.config.model import ProxiesConfig
from gateway.config.provider import ProviderConfig, TimeoutsConfig
from gateway.config.proxyurl import ProxyUrl
from gateway.keeper.probes import Checked
from gateway.keeper.proxyprobes import TICK, ProxyProber
from gateway.net.client import Client
from gateway.observe.logs import Log
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.upstream.exchange import Exchange
from gateway.upstream.keypool import KeyPool
from gateway.upstream.provider import Provider
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool
from tests.conftest import run
from tests.fakes.provider import FakeProvider
from tests.fakes.proxy import FakeProxy
from tests.ports import free_port
from tests.upstream.pools import Clock

S = Status
BLOCKED = Verdict(Scope.PROXY, S.NO_ACCESS, "unsupported_region")


class Bench:
    """A prober of one pool, on a virtual clock. `main` is a provider that uses it."""

    def __init__(self, fake: FakeProvider, client: Client, settings: dict[str, Any]) -> None:
        self.fake = fake
        self.clock = Clock()
        self.lines: list[dict[str, Any]] = []
        self.pool = ProxyPool("main.txt", ProxiesConfig(**settings), clock=self.clock, rng=Random(1))
        self.pools = [self.pool]
        self._exchange = Exchange(client, self.clock)
        self._providers: dict[str, Provider] = {}
        self._log = Log(write=self._take, human=False, clock=self.clock)
        self.prober = ProxyProber(lambda: self.pools, self._log, self.clock, sleep=self.sleep)
        self.add_provider("main", fake.base_url)

    def add_provider(self, name: str, base_url: str, pool: ProxyPool | None = None) -> None:
        config = replace(
            ProviderConfig(name=name, type="openai", base_url=base_url), timeouts=TimeoutsConfig(connect=0.5)
        )
        keys = KeyPool(name, config.health, clock=self.clock, rng=Random(1))
        self._providers[name] = Provider(config, keys, (pool or self.pool).user(name))
        self.prober.arrange(self._providers, self._exchange)

    def add(self, *urls: ProxyUrl) -> list[Proxy]:
        proxies = [Proxy(url) for url in urls]
        self.pool.add(proxies)
        return proxies

    def _take(self, data: bytes) -> None:
        self.lines += [json.loads(line) for line in data.splitlines()]

    def events(self) -> list[str]:
        self._log.close()
        return [line["event"] for line in self.lines]

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """What is due is probed, every second."""
        for _ in range(int(seconds / TICK)):
            self.clock.advance(TICK)
            await self.prober.probe_due(self.pool)


@asynccontextmanager
async def bench(**settings: Any) -> AsyncIterator[Bench]:
    client = Client()
    async with FakeProvider() as fake:
        try:
            yield Bench(fake, client, settings)
        finally:
            await client.close()


def test_a_new_proxy_is_probed_at_once_and_shows_the_provider_no_request() -> None:
    async def scenario() -> None:
        async with bench() as b, FakeProxy(user="ann", password="secret") as one, FakeProxy("socks5") as two:
            proxies = b.add(one.url, two.url)
            await b.prober.probe_due(b.pool)
            assert [proxy.standing.status for proxy in proxies] == [S.VALID, S.VALID]
            assert (one.tunnels, two.tunnels) == (1, 1)
            assert b.fake.requests == []
            await b.prober.probe_due(b.pool)
            assert (one.tunnels, two.tunnels) == (1, 1)

    run(scenario())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: FakeProxy(user="ann", password="other"),
        lambda: FakeProxy(answer=b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        lambda: FakeProxy(answer=b"SSH-2.0-OpenSSH\r\n\r\n"),
        lambda: FakeProxy("socks5", user="ann", password="other"),
    ],
    ids=["password", "refusal", "no proxy", "socks password"],
)
def test_what_does_not_let_us_pass_rests(wrong: Callable[[], FakeProxy]) -> None:
    async def scenario() -> None:
        async with bench() as b, wrong() as fake:
            url = ProxyUrl(fake.kind, "127.0.0.1", fake.port)
            (proxy,) = b.add(url)
            await b.prober.probe_due(b.pool)
            assert proxy.standing.status is S.NETWORK_ERROR
            assert proxy.standing.until == b.clock.now + 60
            assert b.events() == ["proxy_benched"]

    run(scenario())


def test_a_silent_proxy_is_given_up_after_the_connect_timeout() -> None:
    async def scenario() -> None:
        async with bench() as b, FakeProxy() as alive, FakeProxy(silent=True) as silent:
            good, bad = b.add(alive.url, silent.url)
            await b.prober.probe_due(b.pool)
            assert bad.usable_for("main"), "the provider may be down"
            await b.pass_time(75)
            assert good.standing.status is S.VALID and alive.tunnels == 2
            assert not bad.usable_for("main"), "the second time, since the other one got through"

    run(scenario())


def test_a_dead_proxy_is_looked_at_more_and_more_seldom_and_comes_back_before_a_request_needs_it() -> None:
    async def scenario() -> None:
        async with bench(rest=60.0, max_rest=600.0) as b:
            async with FakeProxy() as fake:
                url = fake.url
            (proxy,) = b.add(url)
            rests: list[int] = []
            while len(rests) < 6:
                before = proxy.standing.until
                await b.pass_time(1)
                if proxy.standing.until != before:
                    assert proxy.standing.until is not None
                    rests.append(round(proxy.standing.until - b.clock.now))
                assert not proxy.usable_for("main"), "each probe comes before the rest is over"
            assert rests == [60, 120, 240, 480, 600, 600]
            async with fake:
                await b.pass_time(600)
                assert proxy.standing.status is S.VALID and proxy.standing.streak == 0
            assert b.events() == ["proxy_benched", "proxy_returned"]

    run(scenario())


def test_a_proxy_that_works_is_looked_at_again_unless_it_is_used() -> None:
    async def scenario() -> None:
        async with bench(check=100.0) as b, FakeProxy() as one, FakeProxy() as two:
            idle, used = b.add(one.url, two.url)
            for _ in range(13):
                await b.pass_time(20)
                b.pool.user("main").succeed(b.pool.lend(used))
            assert (one.tunnels, two.tunnels) == (3, 1)
            assert idle.standing.status is used.standing.status is S.VALID

    run(scenario())


def test_an_open_connection_does_not_lift_a_refusal_of_the_address() -> None:
    async def scenario() -> None:
        async with bench(check=30.0) as b, FakeProxy() as fake:
            (proxy,) = b.add(fake.url)
            await b.prober.probe_due(b.pool)
            user = b.pool.user("main")
            user.report(b.pool.lend(proxy), BLOCKED)
            await b.pass_time(59)
            assert fake.tunnels >= 2 and proxy.standing_for("main").status is S.NO_ACCESS
            await b.pass_time(2)
            assert proxy.usable_for("main") and proxy.standing_for("main").status is S.UNTESTED
            user.succeed(b.pool.lend(proxy))
            assert proxy.standing_for("main").status is S.VALID

    run(scenario())


def test_a_proxy_that_leads_to_one_provider_alone_is_out_for_the_other() -> None:
    async def scenario() -> None:
        async with bench() as b, FakeProxy() as one, FakeProxy() as two, FakeProvider() as other:
            b.add_provider("other", other.base_url)
            good, bad = b.add(one.url, two.url)
            await b.prober.probe_due(b.pool)
            two.lost = {other.base_url.split("/")[2]}
            for _ in range(2):
                await b.prober.check(b.pool, [good, bad], Checked(2))
            assert bad.usable_for("main") and not bad.usable_for("other")
            assert good.usable_for("other")

    run(scenario())


def test_a_dead_provider_costs_no_proxy() -> None:
    async def scenario() -> None:
        async with bench() as b, FakeProxy() as one, FakeProxy() as two:
            proxies = b.add(one.url, two.url)
            await b.fake.__aexit__()
            await b.pass_time(600)
            assert all(proxy.usable_for("main") for proxy in proxies)
            assert 4 <= len(one.asked) <= 15, "about once a minute"

    run(scenario())


def test_what_the_provider_says_for_itself_is_no_word_about_the_proxy() -> None:
    async def scenario() -> None:
        async with bench() as b, FakeProxy() as fake:
            b.add_provider("main", b.fake.base_url.replace("http://", "https://"))  # it speaks no TLS
            (proxy,) = b.add(fake.url)
            await b.pass_time(60)
            assert proxy.standing.status is S.UNTESTED and proxy.usable_for("main")
            assert 1 <= len(fake.asked) <= 3

    run(scenario())


def test_so_many_at_once_and_no_more() -> None:
    async def scenario() -> None:
        async with bench(concurrency=3) as b, AsyncExitStack() as stack:
            fakes = [await stack.enter_async_context(FakeProxy(silent=True)) for _ in range(7)]
            b.add(*(fake.url for fake in fakes))
            most = 0
            probing = asyncio.create_task(b.prober.probe_due(b.pool), name="probes")
            while not probing.done():
                most = max(most, sum(fake.open for fake in fakes))
                await asyncio.sleep(0)
            await probing
            assert most == 3
            assert all(len(fake.heads) == 1 for fake in fakes)

    run(scenario())


def test_a_pool_of_dead_proxies_keeps_no_other_waiting() -> None:
    async def scenario() -> None:
        async with bench() as b, FakeProxy(silent=True) as silent, FakeProxy() as fake:
            other = ProxyPool("other.txt", b.pool.config, clock=b.clock, rng=Random(1))
            b.pools.append(other)
            b.add_provider("other", b.fake.base_url, other)
            b.add(silent.url)
            life = asyncio.create_task(b.prober.run(), name="probes")
            while not silent.open:
                await asyncio.sleep(0)
            proxy = Proxy(fake.url)
            other.add([proxy])
            while proxy.standing.status is not S.VALID:
                await asyncio.sleep(0)
            assert silent.open == 1, "the first pool's probe still waits"
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    run(scenario())


def test_without_probes_only_the_operator_has_proxies_looked_at() -> None:
    async def scenario() -> None:
        async with bench(probe=False) as b, FakeProxy() as fake:
            dead = ProxyUrl("http", "127.0.0.1", free_port())
            proxies = b.add(fake.url, dead)
            life = asyncio.create_task(b.prober.run(), name="probes")
            for _ in range(20):
                await asyncio.sleep(0)
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            assert not fake.asked
            checked = Checked(2)
            await b.prober.check(b.pool, proxies, checked)
            assert checked.ended and checked.done == 2
            assert checked.outcomes == {"success": 1, "network_error": 1}

    run(scenario())


def test_a_proxy_that_is_gone_meanwhile_is_skipped() -> None:
    async def scenario() -> None:
        async with bench() as b, FakeProxy() as fake:
            (proxy,) = b.add(fake.url)
            b.pool.remove([proxy.digest])
            checked = Checked(1)
            await b.prober.check(b.pool, [proxy], checked)
            assert checked.outcomes == {"skipped": 1} and not fake.asked

    run(scenario())
