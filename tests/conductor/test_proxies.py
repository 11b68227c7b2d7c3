"""Requests through proxies: which one they take, what happens when it is dead, and who is blamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.proxyurl import ProxyUrl
from gateway.upstream.outage import OutageCause
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool
from tests.api.harness import KEYS, Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import Answer, rate_limited, server_error
from tests.fakes.provider import FakeProvider
from tests.fakes.proxy import FakeProxy
from tests.ports import free_port

CHALLENGE = Answer(403, b"<!DOCTYPE html><title>Just a moment...</title>", {"content-type": "text/html"})


class World:
    """A provider, proxies, and a gateway between them."""

    def __init__(self, running: Gateway, fake: FakeProvider, proxies: list[FakeProxy]) -> None:
        self.running = running
        self.fake = fake
        self.proxies = proxies

    @property
    def pool(self) -> ProxyPool:
        (pool,) = self.running.proxy_pools
        return pool

    def add(self, *urls: ProxyUrl) -> None:
        self.pool.add([Proxy(url) for url in urls])

    def add_dead(self, count: int) -> list[ProxyUrl]:
        urls = [ProxyUrl("http", "127.0.0.1", free_port(), f"dead-{n}") for n in range(count)]
        self.add(*urls)
        return urls

    def status(self, url: ProxyUrl) -> str:
        return self.pool.proxies[url.digest].standing_for("main").status.value

    def key_counts(self) -> dict[str, int]:
        return {status.value: n for status, n in self.running.pool.standings.counts.items() if n}


@asynccontextmanager
async def world(
    folder: Path, mode: str, count: int = 2, *, keys: Sequence[str] = KEYS, tls: bool = False
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeProvider())
        proxies = [await stack.enter_async_context(FakeProxy(user="ann", password="secret")) for _ in range(count)]
        url = f'url = "http://ann:secret@127.0.0.1:{proxies[0].port}"' if mode == "static" else ""
        more = f'[providers.main.proxy]\nmode = "{mode}"\n{url}\n[queue]\ntimeout = 0.01'
        running = await stack.enter_async_context(gateway(folder, configuration(fake.base_url, more=more), keys))
        made = World(running, fake, proxies)
        if mode != "static":
            made.add(*(proxy.url for proxy in proxies))
        yield made


def test_requests_take_the_proxies_in_turn(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path, "pool") as w:
            for _ in range(6):
                assert (await w.running.chat()).status == 200
            assert w.fake.connections == 2
            assert [len(proxy.asked) for proxy in w.proxies] == [1, 1]
            assert w.pool.counts() == {"valid": 2}
            line = await w.running.logged()
            assert line["proxy"] in {proxy.url.fingerprint for proxy in w.proxies}
            assert "secret" not in str(w.running.lines)

    run(scenario())


def test_every_request_takes_the_one_proxy_there_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path, "static") as w:
            for stream in (False, True):
                assert (await w.running.chat(stream=stream)).status == 200
            assert w.proxies[0].tunnels == w.fake.connections
            assert not w.proxies[1].asked

    run(scenario())


def test_a_key_keeps_its_proxy(tmp_path: Path) -> None:
    keys = [f"sk-sticky-{n:011}" for n in range(8)]

    async def scenario() -> None:
        async with world(tmp_path, "sticky", 3, keys=keys) as w:
            used: dict[str, set[str]] = {}
            for n in range(24):
                await w.running.chat()
                line = await w.running.logged(count=n + 1)
                used.setdefault(line["key"], set()).add(line["proxy"])
            assert len(used) == len(keys)
            assert all(len(proxies) == 1 for proxies in used.values())
            assert len(set.union(*used.values())) > 1

    run(scenario())


@pytest.mark.parametrize("mode", ["pool", "sticky"])
def test_dead_proxies_are_passed_over_and_no_key_is_blamed(tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        async with world(tmp_path, mode, 1) as w:
            dead = w.add_dead(6)
            for _ in range(9):
                assert (await w.running.chat()).status == 200
            assert set(w.key_counts()) == {"valid"}
            assert w.status(w.proxies[0].url) == "valid"
            assert "network_error" in {w.status(url) for url in dead}
            tried = w.running.metric('llm_attempts_total{provider="main",outcome="network_error"}')
            assert 1 <= tried <= 6
            assert len(w.fake.requests) == 9

    run(scenario())


def test_a_key_whose_proxy_died_goes_through_its_next_one_and_returns(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path, "sticky", 3, keys=KEYS[:1]) as w:
            await w.running.chat()
            own = next(proxy for proxy in w.proxies if proxy.asked)
            await own.__aexit__()
            got = await w.running.chat()
            while got.header("x-llmgateway-attempts") == "1":  # the connection that was left has to be noticed first
                got = await w.running.chat()
            assert (got.status, got.header("x-llmgateway-attempts")) == (200, "2")
            assert [seen.key for seen in w.fake.requests][-1] == KEYS[0]
            assert w.status(own.url) == "network_error"
            assert w.key_counts() == {"valid": 1}
            async with own:
                tunnels = own.tunnels
                w.running.pass_time(60.0)
                assert (await w.running.chat()).status == 200
                assert own.tunnels == tunnels + 1

    run(scenario())


@pytest.mark.parametrize("dead", [0, 3])
def test_without_a_living_proxy_nothing_is_sent_around_them(tmp_path: Path, dead: int) -> None:
    async def scenario() -> None:
        async with world(tmp_path, "pool", 0) as w:
            w.add_dead(dead)
            got = await w.running.chat()
            assert (got.status, got.code) == (502, "upstream_error")
            assert "proxy" in got.error["message"] or "127.0.0.1" in got.error["message"]
            assert w.fake.connections == 0
            assert w.key_counts() == {"untested": 3}
            for _ in range(2):
                await w.running.chat()
            outage = w.running.pool.outage()
            assert outage is not None and outage.cause is OutageCause.EGRESS_BLOCKED

    run(scenario())


def test_a_dead_provider_costs_no_proxy_and_no_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path, "pool", 3) as w:
            await w.running.chat()
            await w.fake.__aexit__()
            answers = [(await w.running.chat()).code for _ in range(4)]
            assert set(answers) == {"upstream_error", "circuit_open"} and answers[-1] == "circuit_open"
            assert set(w.pool.counts()) <= {"valid", "untested"}
            assert "untested" in w.key_counts()
            outage = w.running.pool.outage()
            assert outage is not None and outage.cause is OutageCause.PROVIDER_DOWN

    run(scenario())


def test_a_challenge_benches_the_proxy_that_met_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path, "pool", 2) as w:
            w.fake.script(KEYS[0], CHALLENGE, Answer())
            got = await w.running.chat()
            assert (got.status, got.header("x-llmgateway-attempts")) == (200, "2")
            assert [seen.key for seen in w.fake.requests] == [KEYS[0], KEYS[0]]  # the same key, from elsewhere
            assert sorted(w.status(proxy.url) for proxy in w.proxies) == ["no_access", "valid"]
            assert w.key_counts() == {"valid": 1, "untested": 2}

    run(scenario())


@pytest.mark.parametrize("mode", ["pool", "sticky"])
def test_an_address_that_every_key_is_rejected_from_costs_no_key(tmp_path: Path, mode: str) -> None:
    keys = [f"sk-banned-{n:011}" for n in range(24)]  # so many that a proxy has at least three

    async def scenario() -> None:
        async with world(tmp_path, mode, 2, keys=keys) as w, FakeProvider() as border:
            for key in keys:
                assert (await w.running.chat()).status == 200
                border.script(key, Answer(403, b'{"error": {"message": "Access denied."}}'))
            banned, other = w.proxies
            await banned.cut()
            banned.detour = int(border.base_url.split(":")[2].split("/")[0])
            while w.status(banned.url) != "no_access":
                assert (await w.running.chat()).status == 200
            assert w.pool.proxies[banned.url.digest].standing_for("main").reason == "egress_blocked"
            assert w.key_counts() == {"valid": 24}
            assert (w.status(other.url), w.running.pool.guard.tripped) == ("valid", False)
            for _ in range(24):
                assert (await w.running.chat()).status == 200
            assert len(border.requests) == 3 + 1, "and a canary"
            banned.detour = None
            await banned.cut()
            w.running.pass_time(120)
            while w.status(banned.url) != "valid":
                assert (await w.running.chat()).status == 200
            assert w.key_counts() == {"valid": 24}

    run(scenario())


def test_the_status_names_the_only_proxy_through_which_every_key_is_rejected(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path, "static", 1) as w:
            for _ in KEYS:
                assert (await w.running.chat()).status == 200
            for key in KEYS:
                w.fake.script(key, Answer(403, b'{"error": {"message": "Access denied."}}'))
            for _ in KEYS:  # the second one's attempts are canaries
                got = await w.running.chat()
            assert got.code == "circuit_open"
            (provider,) = (await w.running.administrate("GET", "/admin/status")).json["providers"]
            assert provider["guard"]["proxy"] == w.proxies[0].url.fingerprint
            assert provider["guard"]["cause"] == "egress_blocked"
            assert w.key_counts() == {"valid": 3}

    run(scenario())


@pytest.mark.parametrize("behaviour", [rate_limited(30), server_error()])
def test_what_a_provider_says_for_itself_proves_the_proxy(tmp_path: Path, behaviour: Answer) -> None:
    async def scenario() -> None:
        async with world(tmp_path, "pool", 1) as w:
            for key in KEYS:
                w.fake.script(key, behaviour)
            assert (await w.running.chat()).status == behaviour.status
            assert w.status(w.proxies[0].url) == "valid"

    run(scenario())


def test_the_list_of_models_comes_through_a_proxy(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, FakeProxy() as proxy:
            more = f'[providers.main.proxy]\nmode = "static"\nurl = "{proxy.url}"'
            config = configuration(fake.base_url, provider="models_ttl = 60", more=more)
            async with gateway(tmp_path, config) as running:
                assert (await running.ask("GET", "/v1/models")).json["data"]
                assert proxy.tunnels == fake.connections == 1

    run(scenario())
