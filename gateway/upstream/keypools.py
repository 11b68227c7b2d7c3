"""The key pool of every provider: those of the configuration, and those that it names no more but requests still use.

A pool outlives reloads, and with it every verdict. One that a reload has no use for is *retired*: it goes on as it was
for the requests that began before, what they report is written like any other's, and if the configuration names its
provider again it is taken up again. When nobody uses it any more, it is let go of.

A provider without key files has one built-in key in a pool of its own: that it was given files or lost them is no
reason to exchange the keys of a pool in which others may be at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from random import Random

from gateway.config.model import Config
from gateway.config.provider import ProviderConfig
from gateway.providers import probe_kind
from gateway.upstream.breakers import Note, tell_nobody
from gateway.upstream.key import BUILT_IN_KEY, Key
from gateway.upstream.keypool import KeyPool

SLICE = 250
"""Keys removed in one turn of the loop: half a millisecond."""


class KeyPools:
    """`of` has the pools of the arranged configuration by provider. Iterating gives all, the retired ones first."""

    def __init__(self, clock: Callable[[], float], rng: Random, note_circuit: Note = tell_nobody) -> None:
        self.of: Mapping[str, KeyPool] = {}
        self._clock = clock
        self._rng = rng
        self._note_circuit = note_circuit
        self._pools: dict[tuple[str, bool], KeyPool] = {}  # by provider, and whether it has key files

    def __iter__(self) -> Iterator[KeyPool]:
        return iter([*self.retired, *self.of.values()])

    @property
    def retired(self) -> list[KeyPool]:
        return [pool for pool in self._pools.values() if self._is_retired(pool)]

    def arrange(self, config: Config) -> None:
        """A pool for every enabled provider; one that is there already, be it retired, keeps what it knows."""
        self.of = {
            provider.name: self._arranged(provider, config)
            for provider in config.providers.values()
            if provider.enabled
        }

    async def let_go(self, save: Callable[[], Awaitable[object]]) -> None:
        """Forget the retired pools that no request uses, after `save` has written what they learned."""
        for place, pool in list(self._pools.items()):
            if self._is_idle(pool):
                await save()
                if self._is_idle(pool):  # nobody came back to it meanwhile
                    del self._pools[place]
                    await _dismantle(pool)

    def close(self) -> None:
        """No timer goes off any more, nobody waits on."""
        for pool in self:
            pool.close()

    def _arranged(self, provider: ProviderConfig, config: Config) -> KeyPool:
        place = (provider.name, bool(provider.keys))
        pool = self._pools.get(place)
        if pool is None:
            pool = self._pools[place] = KeyPool(
                provider.name, provider.health, clock=self._clock, rng=self._rng, note_circuit=self._note_circuit
            )
            if not provider.keys:
                pool.standings.add([Key(BUILT_IN_KEY, BUILT_IN_KEY.digest)])
        pool.configure(provider, probe_kind(provider.probe.kind, provider.type), config.queue.max)
        return pool

    def _is_retired(self, pool: KeyPool) -> bool:
        return self.of.get(pool.provider) is not pool

    def _is_idle(self, pool: KeyPool) -> bool:
        return self._is_retired(pool) and not pool.in_flight and not pool.waiters


async def _dismantle(pool: KeyPool) -> None:
    """Key by key, because the garbage collector was told to leave them alone (`gc.freeze`)."""
    pool.close()
    digests = list(pool.standings.keys)
    for start in range(0, len(digests), SLICE):
        pool.standings.remove(digests[start : start + SLICE])
        await asyncio.sleep(0)
