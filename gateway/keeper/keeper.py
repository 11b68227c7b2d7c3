"""The Keeper as a whole: one sync per provider and proxy file, watched, the probes, and the write-behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from gateway.config.model import Config
from gateway.config.provider import ProviderConfig
from gateway.keeper.inventory import Inventory
from gateway.keeper.keyfiles import KeySource
from gateway.keeper.look import take_turns
from gateway.keeper.probes import Note, Prober
from gateway.keeper.proxykeeper import ProxyKeeper
from gateway.keeper.statuses import StatusWriter
from gateway.keeper.sync import KeySync, SyncResult
from gateway.observe.logs import Log
from gateway.store.keys import KeyStore
from gateway.upstream.exchange import Exchange
from gateway.upstream.keypool import KeyPool
from gateway.upstream.provider import Provider


class Keeper:
    """Built by the daemon; `arrange` is called at start and at each reload."""

    def __init__(
        self,
        store: KeyStore,
        statuses: StatusWriter,
        log: Log,
        clock: Callable[[], float],
        rng: Random,
        proxies: ProxyKeeper | None = None,
    ) -> None:
        self.proxies = proxies
        self._store = store
        self._statuses = statuses
        self._log = log
        self._clock = clock
        self._rng = rng
        self._syncs: dict[str, tuple[tuple[str, ...], KeySync]] = {}
        self._interval = 1.0
        self._probers: dict[str, Prober] = {}
        self._rearranged = asyncio.Event()
        self.inventory = Inventory(log)

    def arrange(self, config: Config, pools: Mapping[str, KeyPool]) -> None:
        """Watch the files of these providers; what is known of unchanged ones is kept."""
        self._interval = config.sync.interval
        self._syncs = {
            provider.name: (provider.keys, self._arranged(config, provider, pools[provider.name]))
            for provider in config.providers.values()
            if provider.enabled and provider.keys
        }
        self.inventory.arrange(config.inventory, {name: pools[name] for name in self._syncs})

    def arrange_probes(self, providers: Iterable[Provider], exchange: Exchange, note: Note) -> None:
        """Probe the keys of these providers from now on, as far as they are to be probed."""
        self._probers = {
            provider.name: Prober(provider, exchange, self._log, self._clock, note)
            for provider in providers
            if provider.pool.standings.probing.kind != "none"
        }
        self._rearranged.set()

    async def probe(self) -> None:
        """The background task that probes keys; begins anew when the providers were arranged anew."""
        while True:
            self._rearranged.clear()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(life(), name=f"{name} of {prober.provider.name}")
                    for prober in self._probers.values()
                    for name, life in (("probes", prober.run), ("sweep", prober.sweep))
                ]
                await self._rearranged.wait()
                for task in tasks:
                    task.cancel()

    def prober(self, provider: str) -> Prober | None:
        """Who probes the keys of a provider; None: nobody does."""
        return self._probers.get(provider)

    def _arranged(self, config: Config, provider: ProviderConfig, pool: KeyPool) -> KeySync:
        keys, present = self._syncs.get(provider.name, ((), None))
        if present is None or keys != provider.keys or present.pool is not pool:
            present = KeySync(
                pool,
                KeySource(tuple(map(Path, provider.keys))),
                self._store,
                self._log,
                self._clock,
                rng=self._rng,
                shrink_guard=config.sync.shrink_guard,
                turn=present.turn if present is not None and present.pool is pool else None,
            )
        present.shrink_guard = config.sync.shrink_guard
        return present

    async def sync_all(self, *, force: bool = False, save: bool = True) -> dict[str, SyncResult]:
        """Look at every provider's files now, and wait for all of it. `save` as in `KeySync.sync`. A look that is
        cancelled is finished by the next one."""
        async with asyncio.TaskGroup() as group:
            looks = await self._look(group, force=force, save=save, wait=True)
        return {name: look.result() for name, look in looks.items()}

    async def watch(self) -> None:
        """The background task that looks at the files. A look that lasts holds up no other provider's."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._look(group, force=False, save=True, wait=False)
                await asyncio.sleep(self._interval)

    async def _look(
        self, group: asyncio.TaskGroup, *, force: bool, save: bool, wait: bool
    ) -> dict[str, asyncio.Task[SyncResult]]:
        """Begin a look at everything; without `wait` only at what nobody looks at. Proxies come first: keys are probed
        through them."""
        if self.proxies is not None:
            await take_turns(group, self.proxies.looks(force=force, wait=wait))
        return await take_turns(group, self._looks(force=force, save=save, wait=wait))

    def _looks(self, *, force: bool, save: bool, wait: bool) -> Iterator[tuple[str, Coroutine[Any, Any, SyncResult]]]:
        """For `take_turns`; a reload may come between two of them."""
        for name in list(self._syncs):
            _, sync = self._syncs.get(name, ((), None))
            if sync is not None and (wait or not sync.turn.locked()):
                yield name, sync.sync(force=force, save=save)

    async def write_behind(self) -> None:
        """The background task that saves what the pools learned."""
        await self._statuses.run()

    async def flush(self) -> bool:
        return await self._statuses.flush()

    def files(self) -> dict[str, list[dict[str, Any]]]:
        """What each provider's files gave at the last look."""
        return {name: sync.files for name, (_, sync) in self._syncs.items()}
