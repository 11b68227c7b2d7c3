"""Proxy files: what counts as a line, and what becomes of the pool."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from gateway.config.model import Config, ProxiesConfig, SyncConfig
from gateway.config.proxyurl import ProxyUrl
from gateway.keeper.look import take_turns
from gateway.keeper.proxyfiles import LOST, ProxySync
from gateway.keeper.proxykeeper import ProxyKeeper
from gateway.keeper.proxystatuses import ProxyStatuses
from gateway.policy.proxyhealth import PROXY_FAILED
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.store.proxies import ProxyStore
from gateway.upstream.proxypool import ProxyPool
from tests.conftest import run
from tests.keeper.rig import NOW, Rig, replace_file, rig

DOWN = Verdict(Scope.PROXY, Status.NETWORK_ERROR, PROXY_FAILED)


class Watched:
    """A proxy file, its pool, and what looks after them."""

    def __init__(self, r: Rig, folder: Path) -> None:
        self.rig = r
        self.path = folder / "exits.txt"
        self.pool = ProxyPool(str(self.path), ProxiesConfig(), clock=r.clock, rng=Random(1))
        self.statuses = ProxyStatuses(lambda: [self.pool], ProxyStore(r.database), r.clock)
        self.sync = ProxySync(self.pool, self.path, self.statuses, r.log, shrink_guard=True)

    async def read(self, text: str | bytes, mode: int = 0o600) -> set[str]:
        """The proxies after this text was found in the file."""
        replace_file(self.path, text if isinstance(text, bytes) else text.encode(), mode)
        await self.sync.sync()
        return self.urls()

    def urls(self) -> set[str]:
        return {proxy.url.fingerprint for proxy in self.pool.proxies.values()}

    def fail(self, url: str) -> None:
        proxy = self.pool.proxies[ProxyUrl.parse(url).digest]
        self.pool.user("main").report(self.pool.lend(proxy), DOWN)


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    async with rig(folder) as r:
        yield Watched(r, folder)


def test_a_file_has_one_url_a_line_by_the_rules_of_key_files(tmp_path: Path) -> None:
    text = (
        "\ufeff# exits\n\nhttp://ann:secret@a.test:1\nsocks5h://b.test:2   note=spare  # bought in May\n"
        "http://ann:s%65cret@A.test:1/\nhttp://c.test\nnonsense\n"
    )

    async def scenario() -> None:
        async with watched(tmp_path) as w:
            assert await w.read(text) == {"http://ann:****@a.test:1", "socks5h://b.test:2"}
            (file,) = w.sync.files
            assert (file["path"], file["proxies"], file["broken"]) == (str(w.path), 3, False)
            assert file["problems"] == [
                "line 6: the proxy's URL must end in host:port",
                "line 7: the proxy's URL must begin with http://, https://, socks5:// or socks5h://",
            ]
            assert len(w.rig.logged("proxy_file")) == 2

    run(scenario())


def test_proxies_appear_and_disappear_with_their_lines(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as w:
            await w.read("http://a.test:1\nhttp://b.test:1\n")
            kept = w.pool.proxies[ProxyUrl.parse("http://b.test:1").digest]
            assert await w.read("http://b.test:1\nhttp://c.test:1\n") == {"http://b.test:1", "http://c.test:1"}
            assert w.pool.proxies[kept.digest] is kept
            (_, changed) = w.rig.logged("proxies_synced")
            assert (changed["added"], changed["removed"]) == (1, 1)

    run(scenario())


def test_a_file_that_is_as_it_was_is_not_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as w:
            await w.read("http://a.test:1\n")
            w.pool.remove(list(w.pool.proxies))
            await w.sync.sync()
            assert not w.urls()
            await w.sync.sync(force=True)
            assert w.urls() == {"http://a.test:1"}

    run(scenario())


def test_a_broken_or_missing_file_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as w:
            await w.sync.sync()
            assert w.rig.logged("proxy_file")[0]["problem"].endswith("does not exist")
        async with watched(tmp_path) as w:
            await w.read("http://a.test:1\n")
            assert await w.read(b"\xff\xfeh\0t\0") == {"http://a.test:1"}
            assert w.sync.files[0]["problems"][0].endswith("the 1 proxies it had are kept")

    run(scenario())


def test_a_sudden_loss_has_to_be_confirmed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as w:
            many = "".join(f"http://a.test:{n}\n" for n in range(1, 6))
            await w.read(many)
            assert len(await w.read("")) == 5
            assert LOST in w.sync.files[0]["problems"]
            await w.sync.sync()
            assert not w.urls()
            w.sync.shrink_guard = False
            await w.read(many)
            assert not await w.read("")

    run(scenario())


def test_a_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as w:
            await w.read("http://a.test:1\n", mode=0o644)
            assert w.sync.files[0]["world_readable"]
            assert "chmod o=" in w.rig.logged("proxy_file")[0]["problem"]

    run(scenario())


def test_what_was_known_comes_back_with_the_proxy(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as w:
            await w.read("http://a.test:1\n")
            w.fail("http://a.test:1")
            await w.statuses.flush()
        async with watched(tmp_path) as w:
            await w.read("http://a.test:1\n")
            (proxy,) = w.pool.proxies.values()
            assert (proxy.standing.status, proxy.standing.until) == (Status.NETWORK_ERROR, NOW + 60.0)

    run(scenario())


def test_while_the_database_is_away_proxies_come_without_their_history(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as w:
            await w.rig.database.close()
            assert await w.read("http://a.test:1\n") == {"http://a.test:1"}
            assert w.rig.logged("proxy_statuses_not_restored")

    run(scenario())


def test_a_socks_proxy_without_its_library_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)

    async def scenario() -> None:
        async with watched(tmp_path) as w:
            assert await w.read("socks5://a.test:1\nhttp://b.test:1\n") == {"http://b.test:1"}
            assert "pip install 'llmgateway[socks]'" in w.sync.files[0]["problems"][0]

    run(scenario())


async def look_at(keeper: ProxyKeeper) -> None:
    async with asyncio.TaskGroup() as group:
        await take_turns(group, keeper.looks(force=False, wait=True))


def test_the_keeper_keeps_what_it_knows_of_unchanged_files(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as w:
            keeper = ProxyKeeper(w.statuses, w.rig.log)
            guarded = Config(sync=SyncConfig(shrink_guard=True))
            w.path.write_text("http://a.test:1\n")
            keeper.arrange(guarded, {str(w.path): w.pool})
            await look_at(keeper)
            assert keeper.files()[str(w.path)][0]["proxies"] == 1
            keeper.arrange(Config(sync=SyncConfig(shrink_guard=False)), {str(w.path): w.pool})
            assert keeper.files()[str(w.path)]
            w.path.write_text("")
            await look_at(keeper)
            assert not w.urls()
            keeper.arrange(guarded, {})
            assert not keeper.files()

    run(scenario())
