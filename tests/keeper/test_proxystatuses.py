"""What the proxy pools learn reaches the database, and comes back from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from gateway.config.model import ProxiesConfig
from gateway.config.proxyurl import ProxyUrl
from gateway.errors import StoreError
from gateway.keeper.proxystatuses import ProxyStatuses, restore_standing, status_row
from gateway.policy.proxyhealth import ALL_PROVIDERS, PROXY_FAILED, UNTESTED, VALID
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.store.database import Database
from gateway.store.proxies import ProxyStore
from gateway.upstream.proxy import Proxy, ProxyChange
from gateway.upstream.proxypool import ProxyPool
from tests.conftest import run
from tests.keeper.rig import NOW, locked, rig

DOWN = Verdict(Scope.PROXY, Status.NETWORK_ERROR, PROXY_FAILED, evidence="http://proxy.test:1 refuses connections")
BLOCKED = Verdict(Scope.PROXY, Status.NO_ACCESS, "unsupported_region")
URLS = [ProxyUrl("http", "proxy.test", n + 1) for n in range(3)]


def pool_of(proxies: list[Proxy]) -> ProxyPool:
    pool = ProxyPool("proxies.txt", ProxiesConfig(), clock=lambda: NOW, rng=Random(1))
    pool.add(proxies)
    return pool


async def restored(database: Database) -> list[Proxy]:
    proxies = [Proxy(url) for url in URLS]
    await ProxyStatuses(list, ProxyStore(database), lambda: NOW).restore(proxies)
    return proxies


def test_standings_survive_a_restart_with_their_deadlines(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            pool = pool_of([Proxy(url) for url in URLS])
            main = pool.user("main")
            dead, blocked, good = pool.proxies.values()
            main.report(pool.lend(dead), DOWN)
            main.report(pool.lend(blocked), BLOCKED)
            main.succeed(pool.lend(good))
            statuses = ProxyStatuses(lambda: [pool], ProxyStore(r.database), lambda: NOW)
            await statuses.flush()
            assert not len(statuses)
            back = {proxy.digest: proxy for proxy in await restored(r.database)}
            assert back[dead.digest].standing == dead.standing
            assert back[dead.digest].standing.until == NOW + 60.0
            assert back[blocked.digest].blocks == blocked.blocks
            assert back[good.digest].standing is VALID
            assert back[good.digest].checked_at == NOW

            main.succeed(pool.lend(blocked))
            await statuses.flush()
            assert not {proxy.digest: proxy for proxy in await restored(r.database)}[blocked.digest].blocks

    run(scenario())


def test_while_the_database_is_away_nothing_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            pool = pool_of([Proxy(url) for url in URLS])
            statuses = ProxyStatuses(lambda: [pool], ProxyStore(r.database), lambda: NOW)
            with locked(r.database):
                pool.user("main").report(pool.lend(next(iter(pool.proxies.values()))), DOWN)
                with pytest.raises(StoreError):
                    await statuses.flush()
                assert len(statuses) == 1
            await statuses.flush()
            assert await r.database.fetchval("SELECT COUNT(*) FROM proxy_status") == 1

    run(scenario())


def test_a_status_of_another_version_counts_as_none() -> None:
    row = status_row(ProxyChange(b"d" * 32, ALL_PROVIDERS, VALID, NOW), NOW)
    assert row is not None
    proxy = Proxy(URLS[0])
    restore_standing(proxy, replace(row, status="quarantined"))
    assert proxy.standing is UNTESTED
