"""What the admin API may ask of the daemon and the Keeper, as a Protocol: neither is known to `api`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gateway.upstream.key import Key
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool


class KeeperControl(Protocol):
    """Implemented by the daemon."""

    async def sync_now(self) -> dict[str, Any]:
        """Read all key files again. Returns {provider: {"keys": n, "added": n, "removed": n, "problems": […]}}."""
        ...

    async def reload(self) -> dict[str, Any]:
        """Load the configuration again. Returns {"changed": […]}. Raises ConfigError; the old one then stays."""
        ...

    def start_check(self, provider: str, keys: Sequence[Key]) -> str | None:
        """Probe these keys now. The name of the check; None when this provider's keys are not probed."""
        ...

    def start_proxy_check(self, pool: ProxyPool, proxies: Sequence[Proxy]) -> str:
        """Probe these proxies now. The name of the check."""
        ...

    def checked(self, check: str) -> dict[str, Any] | None:
        """How far a check is: {"total", "done", "outcomes": {outcome: n}, "benched": {status: n}, "ended"}, the latter
        for keys that are not used afterwards. None: no check has that name."""
        ...

    async def save(self) -> None:
        """Return when the database has everything that was said about keys and proxies. Raises StoreUnavailable; it is
        then tried again by itself."""
        ...

    async def maintain(self, task: str) -> dict[str, Any]:
        """Do "purge", "vacuum" or "checkpoint" now, even if whoever asked leaves. Returns {"database": its place,
        "seconds"} and "purged": rows by kind, or "before" and "after": bytes. Raises StoreError."""
        ...

    def inventory_problem(self) -> str:
        """Why the inventory's files are not as they should be; empty: they are, or there is no inventory."""
        ...

    def files(self) -> dict[str, list[dict[str, Any]]]:
        """What the key files of each provider gave at the last look."""
        ...

    def proxy_files(self) -> dict[str, list[dict[str, Any]]]:
        """What the proxy files gave at the last look, by the names of their pools."""
        ...
