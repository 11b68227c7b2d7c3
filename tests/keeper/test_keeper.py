"""Which files are watched, across reloads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from gateway.config.model import Config, SyncConfig
from gateway.config.provider import HealthConfig, ProviderConfig
from gateway.keeper import look
from gateway.keeper.keeper import Keeper
from gateway.keeper.keyfiles import KeySource
from gateway.upstream.keypool import KeyPool
from tests.conftest import run
from tests.keeper.rig import Rig, rig

ONE, TWO, THREE = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-three-00000000000003"


@asynccontextmanager
async def keeper(folder: Path) -> AsyncIterator[tuple[Keeper, Rig]]:
    async with rig(folder) as r:
        yield Keeper(r.store, r.writer, r.log, r.clock, Random(1)), r


def config_of(r: Rig, *, enabled: bool = True, guard: bool = True, path: Path | None = None) -> Config:
    provider = ProviderConfig(name="main", enabled=enabled, keys=(str(path or r.path),))
    return Config(
        path=r.path, state_dir=r.path.parent, providers={"main": provider}, sync=SyncConfig(shrink_guard=guard)
    )


def another_pool(r: Rig) -> KeyPool:
    return KeyPool("main", r.pool.standings.health, clock=r.clock, rng=Random(2))


def test_a_reload_keeps_what_is_known_of_unchanged_files(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeper(tmp_path) as (kept, r):
            r.write(ONE)
            kept.arrange(config_of(r), {"main": r.pool})
            assert (await kept.sync_all())["main"].added == 1
            key = r.key(ONE)
            kept.arrange(config_of(r), {"main": r.pool})
            assert (await kept.sync_all(force=True))["main"].keys == 1
            assert r.key(ONE) is key
            assert [file["path"] for file in kept.files()["main"]] == [str(r.path)]

    run(scenario())


def test_other_files_of_the_same_provider_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeper(tmp_path) as (kept, r):
            r.write(ONE, TWO)
            other = tmp_path / "other.txt"
            other.write_text(f"{TWO}\n{THREE}\n")
            other.chmod(0o600)
            kept.arrange(config_of(r), {"main": r.pool})
            await kept.sync_all()
            two = r.key(TWO)
            kept.arrange(config_of(r, path=other), {"main": r.pool})
            await kept.sync_all(force=True)
            assert r.secrets() == sorted([TWO, THREE])
            assert r.key(TWO) is two

    run(scenario())


def test_a_provider_that_is_switched_off_and_on_again_gets_its_keys_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeper(tmp_path) as (kept, r):
            r.write(ONE)
            kept.arrange(config_of(r), {"main": r.pool})
            await kept.sync_all()
            kept.arrange(config_of(r, enabled=False), {"main": r.pool})
            assert kept.files() == {}
            fresh = another_pool(r)
            kept.arrange(config_of(r), {"main": fresh})
            await kept.sync_all()
            assert len(fresh.standings.keys) == 1

    run(scenario())


def test_a_new_pool_under_an_old_name_is_filled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeper(tmp_path) as (kept, r):
            r.write(ONE)
            for pool in (r.pool, another_pool(r)):
                kept.arrange(config_of(r), {"main": pool})
                await kept.sync_all()
                assert len(pool.standings.keys) == 1

    run(scenario())


def test_the_shrink_guard_can_be_switched_by_a_reload(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeper(tmp_path) as (kept, r):
            r.write(ONE, TWO, THREE)
            kept.arrange(config_of(r), {"main": r.pool})
            await kept.sync_all()
            kept.arrange(config_of(r, guard=False), {"main": r.pool})
            r.write()
            assert (await kept.sync_all())["main"].removed == 3

    run(scenario())


def test_two_looks_never_overlap(tmp_path: Path) -> None:
    """A reload in the middle of a look: the look's old files must not have the last word."""

    async def scenario() -> None:
        async with keeper(tmp_path) as (kept, r):
            r.write(*(f"sk-old-{n:014}" for n in range(2000)))
            other = tmp_path / "other.txt"
            other.write_text(f"{ONE}\n")
            other.chmod(0o600)
            kept.arrange(config_of(r), {"main": r.pool})
            looking = asyncio.create_task(kept.sync_all(), name="look")
            while not r.pool.standings.keys:
                await asyncio.sleep(0)
            kept.arrange(config_of(r, path=other), {"main": r.pool})
            await kept.sync_all(force=True)
            await looking
            assert r.secrets() == [ONE]

    run(scenario())


def test_the_watch_sees_a_changed_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeper(tmp_path) as (kept, r):
            r.write(ONE)
            config = replace(config_of(r), sync=SyncConfig(interval=0.01))
            kept.arrange(config, {"main": r.pool})
            watching = asyncio.create_task(kept.watch(), name="watch")
            while not r.pool.standings.keys:
                await asyncio.sleep(0)
            r.write(ONE, TWO)
            while len(r.pool.standings.keys) < 2:
                await asyncio.sleep(0)
            watching.cancel()

    run(scenario())


@asynccontextmanager
async def one_hangs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Keeper, Mapping[str, KeyPool], Callable[[str, str], None]]]:
    """Two providers, each with a key; then the first one's disk hangs. The function adds a key to a provider's file."""
    stamp, hung = KeySource.stamp, threading.Event()

    def hanging(source: KeySource) -> object:
        if any("hung" in str(path) for path in source._paths):
            hung.wait()
        return stamp(source)

    def add(name: str, key: str) -> None:
        path = folder / f"{name}.txt"
        with path.open("a") as file:
            file.write(f"{key}\n")
        path.chmod(0o600)

    async with keeper(folder) as (kept, r):
        names = ("hung", "well")
        pools = {name: KeyPool(name, HealthConfig(), clock=r.clock, rng=Random(1)) for name in names}
        providers = {name: ProviderConfig(name=name, keys=(str(folder / f"{name}.txt"),)) for name in names}
        kept.arrange(Config(state_dir=folder, providers=providers, sync=SyncConfig(interval=0.01)), pools)
        for name in names:
            add(name, ONE)
        assert {name: result.added for name, result in (await kept.sync_all()).items()} == {"hung": 1, "well": 1}
        monkeypatch.setattr(KeySource, "stamp", hanging)
        try:
            yield kept, pools, add
        finally:
            hung.set()
            for pool in pools.values():
                pool.close()


def test_a_disk_that_hangs_delays_no_other_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with one_hangs(tmp_path, monkeypatch) as (kept, pools, add):
            watching = asyncio.create_task(kept.watch(), name="watch")
            for n, key in enumerate((TWO, THREE), 2):
                add("well", key)
                while len(pools["well"].standings.keys) < n:
                    await asyncio.sleep(0)
            watching.cancel()

    run(scenario())


def test_a_disk_that_hangs_is_reported_and_not_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "READ_SECONDS", 0.01)

    async def scenario() -> None:
        async with one_hangs(tmp_path, monkeypatch) as (kept, _, add):
            for key in (TWO, THREE):
                add("well", key)
                results = await kept.sync_all(force=True)
                assert results["hung"].problems
                assert (results["hung"].keys, results["well"].added) == (1, 1)
                monkeypatch.setattr(look, "READ_SECONDS", 3600.0)

    run(scenario())
