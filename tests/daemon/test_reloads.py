"""Reloads: left by who asked, failing late, and while clients come and go."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MethodType

import pytest
import trustme

from gateway.errors import ConfigError
from gateway.policy.verdict import Status
from tests.api.harness import CHAT, Talk
from tests.conftest import run
from tests.daemon.running import MANY, Running, daemon
from tests.ports import free_port
from tests.upstream.pools import limited

TOKEN = "token-of-ann"
AUTH = f'[auth]\nrequired = true\n[tokens.ann]\ntoken = "{TOKEN}"\n'


@asynccontextmanager
async def talking(port: int) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Talk(reader, writer, f"127.0.0.1:{port}")
    finally:
        writer.close()


async def ask(talk: Talk) -> int:
    await talk.send("POST", "/v1/chat/completions", CHAT)
    return (await talk.answer()).status


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144])
def test_a_reload_whose_caller_leaves_is_finished_and_the_next_one_works(tmp_path: Path, turns: int) -> None:
    async def scenario() -> None:
        first, second, third = free_port(), free_port(), free_port()
        async with daemon(tmp_path, f"127.0.0.1:{first}") as running:
            running.change(f"127.0.0.1:{second}", "b")
            reloading = asyncio.create_task(running.daemon.reload(), name="reload")
            while not running.listens(second):
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            reloading.cancel()
            with suppress(asyncio.CancelledError):
                await reloading
            running.change(f"127.0.0.1:{third}", "b")
            assert (await running.daemon.reload())["changed"] == ["server"]  # all else was done by the first
            assert running.addresses == [f"127.0.0.1:{third}"]
            assert running.keys == len(MANY)

    run(scenario(), 60)


def test_what_a_reload_replaced_is_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    """What there is at the start is frozen, so that the collector never looks at it again."""

    async def scenario() -> None:
        port = free_port()
        async with daemon(tmp_path, f"127.0.0.1:{port}") as running:
            async with talking(port) as talk:
                assert await ask(talk) == 200
            handler = running.daemon._reloads.assembly.router._prefixes[-1][1].handler
            assert isinstance(handler, MethodType)
            first = weakref.ref(handler.__self__)
            del handler
            running.change(f"127.0.0.1:{port}", "a", AUTH)
            gc.disable()
            try:
                await running.daemon.reload()
                while first() is not None:
                    await asyncio.sleep(0)
            finally:
                gc.enable()

    run(scenario(), 20)


def test_a_new_address_serves_the_new_configuration_only(tmp_path: Path) -> None:
    """Open on loopback before, public with tokens after: nobody gets in there without one, not even meanwhile."""

    async def scenario() -> None:
        first, second = free_port(), free_port()
        async with daemon(tmp_path, f"127.0.0.1:{first}") as running:
            async with talking(first) as talk:
                assert await ask(talk) == 200
            running.change(f"0.0.0.0:{second}", "b", AUTH)
            reloading = asyncio.create_task(running.daemon.reload(), name="reload")
            statuses: list[int] = []
            while not (reloading.done() and statuses):
                with suppress(ConnectionRefusedError):
                    async with talking(second) as talk:
                        statuses.append(await ask(talk))
            await reloading
            assert set(statuses) == {401}

    run(scenario(), 60)


def test_a_connection_of_an_address_that_is_left_gets_nothing_from_the_new_configuration(tmp_path: Path) -> None:
    """Public with tokens before, open on loopback after."""

    async def scenario() -> None:
        first, second = free_port(), free_port()
        async with daemon(tmp_path, f"0.0.0.0:{first}", AUTH) as running, talking(first) as talk:
            assert await ask(talk) == 401
            running.change(f"127.0.0.1:{second}")
            await running.daemon.reload()
            await talk.send("GET", "/metrics")
            assert (await talk.answer()).code == "draining"
            assert await talk.closed()
            async with talking(second) as other:
                assert await ask(other) == 200

    run(scenario(), 60)


def switched_on(folder: Path) -> str:
    """TLS, with a good certificate: what a running server refuses, when all else is done."""
    both = folder / "both.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(both))
    both.chmod(0o600)
    return f'[server.tls]\ncert = "{both}"\nkey = "{both}"\n'


def test_a_reload_that_fails_late_leaves_the_old_configuration_and_no_trace(tmp_path: Path) -> None:
    async def scenario() -> None:
        first, second = free_port(), free_port()
        async with daemon(tmp_path, f"127.0.0.1:{first}") as running:
            tls = switched_on(tmp_path)
            running.change(f"127.0.0.1:{second}", "a", '[providers.other]\ntype = "echo"\n' + tls)
            with pytest.raises(ConfigError, match="switched"):
                await running.daemon.reload()
            assert running.addresses == [f"127.0.0.1:{first}"]
            assert running.keys == 1
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", second)
            async with talking(first) as talk:
                assert await ask(talk) == 200
            running.change(f"127.0.0.1:{second}")
            await running.daemon.reload()
            assert running.addresses == [f"127.0.0.1:{second}"]

    run(scenario(), 60)


OTHER = '[providers.other]\ntype = "echo"\nkeys = "b.txt"\nprobe.kind = "none"\n'


async def statuses(running: Running) -> list[tuple[object, ...]]:
    await running.daemon._holdings.keeper.flush()
    return list(await running.daemon._holdings.database.fetch("SELECT provider, status FROM key_status"))


def test_a_verdict_on_a_key_whose_provider_has_been_removed_is_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        address = f"127.0.0.1:{free_port()}"
        async with daemon(tmp_path, address, OTHER) as running:
            pools = running.daemon._holdings.pools
            pool = pools.of["other"]
            lease = pool.lease("gpt-4o-mini")
            assert lease is not None
            running.change(address)
            await running.daemon.reload()
            assert pools.retired == [pool]
            pool.report(lease, limited(3600, time.time()))
            assert await statuses(running) == [("other", "rate_limited")]
            running.change(address, more=OTHER)
            await running.daemon.reload()
            assert lease.key.standing.status is Status.RATE_LIMITED
            assert pools.of["other"].standings.keys[lease.key.digest] is lease.key

    run(scenario(), 60)


def test_a_verdict_that_comes_after_the_provider_has_returned_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        address = f"127.0.0.1:{free_port()}"
        async with daemon(tmp_path, address, OTHER) as running:
            lease = running.daemon._holdings.pools.of["other"].lease("gpt-4o-mini")
            assert lease is not None
            for more in ("", OTHER):
                running.change(address, more=more)
                await running.daemon.reload()
            pool = running.daemon._holdings.pools.of["other"]
            pool.report(lease, limited(3600, time.time()))
            assert pool.standings.counts[Status.RATE_LIMITED] == 1
            assert await statuses(running) == [("other", "rate_limited")]

    run(scenario(), 60)


def test_a_reload_that_fails_late_leaves_the_keys_of_a_provider_that_was_to_have_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        address = f"127.0.0.1:{free_port()}"
        async with daemon(tmp_path, address, OTHER) as running:
            pool = running.daemon._holdings.pools.of["other"]
            tls = switched_on(tmp_path)
            running.change(address, more='[providers.other]\ntype = "echo"\n')
            running.path.write_text(running.path.read_text() + tls)
            with pytest.raises(ConfigError, match="switched"):
                await running.daemon.reload()
            assert running.daemon._holdings.pools.of["other"] is pool
            assert len(pool.standings.keys) == len(MANY)

    run(scenario(), 60)


def test_a_reload_that_fails_late_leaves_probes_and_proxies_as_they_were(tmp_path: Path) -> None:
    async def scenario() -> None:
        address = f"127.0.0.1:{free_port()}"
        proxies = tmp_path / "proxies.txt"
        proxies.write_text(f"http://127.0.0.1:{free_port()}\n")
        proxies.chmod(0o600)
        provider = '[providers.{}]\ntype = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nkeys = "a.txt"\n'
        through = provider + 'proxy = {{mode = "{}", file = "proxies.txt"}}\n'
        async with daemon(tmp_path, address, through.format("other", "pool")) as running:
            holdings = running.daemon._holdings
            prober = holdings.keeper.prober("other")
            (pool,) = holdings.proxy_pools
            tls = switched_on(tmp_path)
            running.change(address, more=through.format("other", "sticky") + through.format("new", "pool") + tls)
            with pytest.raises(ConfigError, match="switched"):
                await running.daemon.reload()
            providers = running.daemon._reloads.assembly.providers
            assert prober is not None and prober.provider is providers["other"]
            assert holdings.keeper.prober("other") is prober and holdings.keeper.prober("new") is None
            assert holdings.proxy_prober._providers is providers
            assert {name: user.sticky for name, user in pool.users.items()} == {"other": False}

    run(scenario(), 60)
