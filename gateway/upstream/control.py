"""What the admin API may ask of the daemon and the Keeper, as a Protocol: neither is known to `api`."""

from __future__ import annotations

from typing import Any, Protocol


class KeeperControl(Protocol):
    """Implemented by the daemon."""

    async def sync_now(self) -> dict[str, Any]:
        """Read all key files again. Returns {provider: {"keys": n, "added": n, "removed": n, "problems": […]}}."""
        ...

    async def reload(self) -> dict[str, Any]:
        """Load the configuration again. Returns {"changed": […]}. Raises ConfigError; the old one then stays."""
        ...

    def files(self) -> dict[str, list[dict[str, Any]]]:
        """What the key files of each provider gave at the last look."""
        ...
