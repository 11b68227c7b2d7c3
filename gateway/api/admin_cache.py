"""`/admin/cache`: what the response cache holds, and that it is to forget it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.api.inbound import Inbound
from gateway.errors import RequestError

if TYPE_CHECKING:
    from gateway.conductor.cache import ResponseCache


class CacheAdmin:
    """None: no configuration of this process has wanted a cache so far."""

    def __init__(self, cache: ResponseCache | None) -> None:
        self._cache = cache

    async def show(self, inbound: Inbound) -> dict[str, Any]:
        """{"enabled", "storage", "shared", "answers", "bytes", "limit", "failures"}"""
        return {"enabled": False} if self._cache is None else self._cache.statistics()

    async def clear(self, inbound: Inbound) -> dict[str, Any]:
        """{"storage", "answers", "bytes"}: what was in memory. StoreUnavailable where the cache's Redis is away."""
        if self._cache is None:
            raise RequestError(409, "no_cache", "The response cache is off: set cache.enabled = true.")
        return await self._cache.clear()
