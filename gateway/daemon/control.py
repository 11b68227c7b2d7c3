"""What the admin API may ask for (`upstream/control.py`), carried out by the Keeper and the daemon's reloads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from gateway.errors import StoreUnavailable
from gateway.keeper.keeper import Keeper
from gateway.keeper.maintenance import Maintenance
from gateway.keeper.probes import Checked
from gateway.keeper.proxyprobes import ProxyProber
from gateway.keeper.supervisor import Supervisor
from gateway.upstream.key import Key
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool

CHECKS_KEPT = 16
"""Of the operator's latest checks the outcomes are kept."""


class Control:
    """A `KeeperControl`. `reload` is the daemon's."""

    def __init__(
        self,
        keeper: Keeper,
        proxy_prober: ProxyProber,
        maintenance: Maintenance,
        supervisor: Supervisor,
        reload: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._keeper = keeper
        self._proxy_prober = proxy_prober
        self._maintenance = maintenance
        self._supervisor = supervisor
        self._reload = reload
        self._checked = 0
        self._checks: dict[str, Checked] = {}

    async def reload(self) -> dict[str, Any]:
        return await self._reload()

    async def sync_now(self) -> dict[str, Any]:
        """Goes on when who asked for it has left."""
        results = await asyncio.shield(self._supervisor.undertake("sync", self._keeper.sync_all(force=True)))
        return {
            name: {
                "keys": result.keys,
                "added": result.added,
                "removed": result.removed,
                "held": result.held,
                "problems": list(result.problems),
            }
            for name, result in results.items()
        }

    async def save(self) -> None:
        if not await self._keeper.flush():
            raise StoreUnavailable(
                "the change counts, but could not be saved",
                detail="a restart would forget it",
                hint="it is tried again twice a second; 'store_back' in the log says that it is saved",
            )

    def start_check(self, provider: str, keys: Sequence[Key]) -> str | None:
        prober = self._keeper.prober(provider)
        return None if prober is None else self._check(len(keys), partial(prober.check, keys))

    def start_proxy_check(self, pool: ProxyPool, proxies: Sequence[Proxy]) -> str:
        return self._check(len(proxies), partial(self._proxy_prober.check, pool, proxies))

    def _check(self, total: int, life: Callable[[Checked], Coroutine[Any, Any, None]]) -> str:
        """Begin a check of so many; `life` fills in what it finds. Returns its name."""
        while len(self._checks) >= CHECKS_KEPT:
            del self._checks[next(iter(self._checks))]
        self._checked += 1
        name, checked = f"check {self._checked}", Checked(total)
        self._checks[name] = checked
        self._supervisor.start_once(name, lambda: life(checked))
        return name

    def checked(self, check: str) -> dict[str, Any] | None:
        found = self._checks.get(check)
        if found is None:
            return None
        return {
            "total": found.total,
            "done": found.done,
            "outcomes": dict(sorted(found.outcomes.items())),
            "benched": dict(sorted(found.benched.items())),
            "ended": found.ended,
        }

    async def maintain(self, task: str) -> dict[str, Any]:
        work = self._maintenance.tasks[task]()
        return await asyncio.shield(self._supervisor.undertake(f"maintenance: {task}", work))

    def inventory_problem(self) -> str:
        return self._keeper.inventory.failure

    def files(self) -> dict[str, list[dict[str, Any]]]:
        return self._keeper.files()

    def proxy_files(self) -> dict[str, list[dict[str, Any]]]:
        return {} if self._keeper.proxies is None else self._keeper.proxies.files()
