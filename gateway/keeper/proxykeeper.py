"""The Keeper's side of proxies: their files are watched, and what is known of them is restored."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.config.model import Config
from gateway.keeper.proxyfiles import ProxySync
from gateway.keeper.proxystatuses import ProxyStatuses
from gateway.observe.logs import Log
from gateway.upstream.proxypool import ProxyPool


class ProxyKeeper:
    """Owned by the Keeper, arranged by the daemon at start and at each reload."""

    def __init__(self, statuses: ProxyStatuses, log: Log) -> None:
        self.statuses = statuses
        self._log = log
        self._syncs: dict[str, ProxySync] = {}

    def arrange(self, config: Config, pools: Mapping[str, ProxyPool]) -> None:
        """Watch these files, by path; what is known of unchanged ones is kept."""
        syncs = {}
        for path, pool in pools.items():
            present = self._syncs.get(path)
            if present is None or present.pool is not pool:
                present = ProxySync(pool, Path(path), self.statuses, self._log, shrink_guard=config.sync.shrink_guard)
            present.shrink_guard = config.sync.shrink_guard
            syncs[path] = present
        self._syncs = syncs

    def looks(self, *, force: bool, wait: bool) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """A look at each file, for `take_turns`. Without `wait` only at those that nobody looks at."""
        for path in list(self._syncs):
            sync = self._syncs.get(path)
            if sync is not None and (wait or not sync.turn.locked()):
                yield path, sync.sync(force=force)

    def files(self) -> dict[str, list[dict[str, Any]]]:
        """What each pool's file gave at the last look."""
        return {path: sync.files for path, sync in self._syncs.items()}
