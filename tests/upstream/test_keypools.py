"""Which key pools there are, and how one that no configuration names comes to its end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from gateway.config.model import Config
from gateway.config.provider import ProviderConfig
from gateway.upstream.key import BUILT_IN_KEY
from gateway.upstream.keypool import KeyPool
from gateway.upstream.keypools import SLICE, KeyPools
from gateway.upstream.waiters import Wish
from tests.conftest import run
from tests.upstream.pools import a_key, lease_of

WITH_KEYS = ("/keys/a.txt",)


def config_of(**keys: tuple[str, ...]) -> Config:
    return Config(providers={name: ProviderConfig(name=name, type="echo", keys=files) for name, files in keys.items()})


@dataclass
class Kept:
    """The pools, and how many of their keys were left at each time that they were written."""

    pools: KeyPools = field(default_factory=lambda: KeyPools(lambda: 0.0, Random(1)))
    saved: list[int] = field(default_factory=list)

    def arrange(self, **keys: tuple[str, ...]) -> KeyPool | None:
        """The pool of the provider `a`."""
        self.pools.arrange(config_of(**keys))
        return self.pools.of.get("a")

    async def save(self) -> None:
        self.saved.append(sum(len(pool.standings.keys) for pool in self.pools))

    def let_go(self) -> None:
        run(self.pools.let_go(self.save))


def with_keys(count: int = 1) -> tuple[Kept, KeyPool]:
    """A provider whose pool has keys."""
    kept = Kept()
    pool = kept.arrange(a=WITH_KEYS)
    assert pool is not None
    pool.standings.add([a_key(f"{n}") for n in range(count)])
    return kept, pool


def test_a_pool_stays_for_as_long_as_its_provider_is_named() -> None:
    kept, pool = with_keys()
    assert kept.arrange(a=WITH_KEYS, b=()) is pool
    kept.let_go()
    assert kept.arrange(a=WITH_KEYS) is pool
    assert len(pool.standings.keys) == 1


def test_a_reload_gives_no_new_retries() -> None:
    kept, pool = with_keys()
    while pool.budget.withdraw():
        pass
    kept.arrange(a=WITH_KEYS)
    assert not pool.budget.withdraw()


def test_a_pool_that_nobody_uses_is_written_and_let_go_of() -> None:
    kept, pool = with_keys()
    assert kept.arrange(b=()) is None
    assert pool in kept.pools
    kept.let_go()
    assert pool not in kept.pools
    assert kept.saved == [2]  # with the built-in key of b
    assert kept.arrange(a=WITH_KEYS) is not pool


def test_a_pool_is_kept_until_the_last_request_has_ended() -> None:
    kept, pool = with_keys()
    (key,) = pool.standings.keys.values()
    lease = lease_of(pool, key)
    kept.arrange()
    kept.let_go()
    assert kept.pools.retired == [pool]
    pool.succeed(lease, answering=True)
    kept.let_go()
    assert kept.pools.retired == [pool]
    pool.finish(lease)
    kept.let_go()
    assert kept.pools.retired == []


def test_a_pool_is_kept_while_a_request_waits_for_a_key_of_it() -> None:
    async def scenario() -> None:
        kept, pool = with_keys()
        waiting = asyncio.create_task(pool.wait(Wish(lambda: None), 60), name="waiting")
        while not pool.waiters:
            await asyncio.sleep(0)
        kept.arrange()
        await kept.pools.let_go(kept.save)
        assert not waiting.done()
        pool.waiters.dismiss()
        assert await waiting is None
        await kept.pools.let_go(kept.save)
        assert kept.pools.retired == []

    run(scenario())


def test_a_provider_that_returns_finds_its_pool_as_it_was() -> None:
    kept, pool = with_keys()
    kept.arrange()
    assert kept.arrange(a=WITH_KEYS) is pool
    assert kept.pools.retired == []
    assert list(kept.pools) == [pool]


def test_one_that_returns_while_its_pool_is_written_keeps_it() -> None:
    kept, pool = with_keys()
    kept.arrange()

    async def save() -> None:
        kept.arrange(a=WITH_KEYS)

    run(kept.pools.let_go(save))
    assert kept.pools.of["a"] is pool
    assert len(pool.standings.keys) == 1


def test_a_provider_that_needs_keys_no_more_gets_a_pool_of_its_own_and_the_other_is_left_alone() -> None:
    kept, pool = with_keys(3 * SLICE)
    without = kept.arrange(a=())
    assert without is not None and without is not pool
    assert list(without.standings.keys) == [BUILT_IN_KEY.digest]
    assert [key.fingerprint for key in without.standings.keys.values()] == ["built-in"]
    assert len(pool.standings.keys) == 3 * SLICE
    assert kept.arrange(a=WITH_KEYS) is pool  # as after a reload that failed


def test_a_pool_that_was_let_go_of_needs_no_garbage_collector() -> None:
    """Which passes over everything that was there when it was told to (`gc.freeze`)."""
    kept, pool = with_keys()
    gone = weakref.ref(pool)
    kept.arrange()
    gc.disable()
    try:
        kept.let_go()
        del pool
        assert gone() is None
    finally:
        gc.enable()


def test_the_keys_of_a_pool_leave_in_slices() -> None:
    async def scenario() -> None:
        kept, pool = with_keys(3 * SLICE)
        kept.arrange(a=())
        letting_go = asyncio.create_task(kept.pools.let_go(kept.save), name="let go")
        left = [len(pool.standings.keys)]
        while not letting_go.done():
            await asyncio.sleep(0)
            left.append(len(pool.standings.keys))
        assert left[-1] == 0
        assert max(before - after for before, after in pairwise(left)) <= SLICE

    run(scenario())
