"""What the admin API may ask for (`upstream/control.py`), carried out by the Keeper and the daemon's reloads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.keeper.keeper import Keeper
from gateway.keeper.maintenance import Maintenance
from gateway.keeper.probes import Checked
from gateway.keeper.supervisor import Supervisor
from gateway.upstream.key import Key

CHECKS_KEPT = 16
"""Of the operator's latest checks the outcomes are kept."""


class Control:
    """A `KeeperControl`. `reload` is the daemon's."""

    def __init__(
        self,
        keeper: Keeper,
        maintenance: Maintenance,
        supervisor: Supervisor,
        reload: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._keeper = keeper
        self._maintenance = maintenance
        self._supervisor = supervisor
        self._reload = reload
        self._checked = 0
        self._checks: dict[str, Checked] = {}

    async def reload(self) -> dict[str, Any]:
        return await self._reload()

    async def sync_now(self) -> dict[str, Any]:
        results = await self._keeper.sync_all(force=True)
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

    def start_check(self, provider: str, keys: Sequence[Key]) -> str | None:
        prober = self._keeper.prober(provider)
        if prober is None:
            return None
        while len(self._checks) >= CHECKS_KEPT:
            del self._checks[next(iter(self._checks))]
        self._checked += 1
        name, checked = f"check {self._checked}", Checked(len(keys))
        self._checks[name] = checked
        self._supervisor.start_once(name, lambda: prober.check(keys, checked))
        return name

    def checked(self, check: str) -> dict[str, Any] | None:
        found = self._checks.get(check)
        if found is None:
            return None
        outcomes = dict(sorted(found.outcomes.items()))
        return {"total": found.total, "done": found.done, "outcomes": outcomes, "ended": found.ended}

    async def maintain(self, task: str) -> dict[str, Any]:
        work = self._maintenance.tasks[task]()
        return await asyncio.shield(self._supervisor.undertake(f"maintenance: {task}", work))

    def files(self) -> dict[str, list[dict[str, Any]]]:
        return self._keeper.files()
