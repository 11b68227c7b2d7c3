"""`/admin/routes`: where requests for a route would go now.

A target's state is what the next request would meet: `ready`, or the code of the error if there were no other target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.api.inbound import Inbound
from gateway.conductor.attempts import shortage_error
from gateway.conductor.routes import Route, Target


class RouteAdmin:
    """`now` gives unix seconds."""

    def __init__(self, routes: Mapping[str, Route], now: Callable[[], float]) -> None:
        self._routes = routes
        self._now = now

    async def list(self, inbound: Inbound) -> dict[str, Any]:
        """{"routes": [{"route", "strategy", "sticky", "fallback_on", "targets": [row]}]}, all in the file's order."""
        return {
            "routes": [
                {
                    "route": name,
                    "strategy": route.config.strategy,
                    "sticky": route.config.sticky,
                    "fallback_on": route.config.fallback_on,
                    "targets": [self._row(route, target) for target in route.targets],
                }
                for name, route in self._routes.items()
            ]
        }

    def _row(self, route: Route, target: Target) -> dict[str, Any]:
        """`usable`: keys that may be chosen for the model. `until` (unix seconds) the target is away, `latency`
        (seconds) as the strategy goes by it: null where that is not known, or does not count."""
        state, wait = _state(target)
        weight, in_flight, latency = route.seen(target)
        return {
            "provider": target.provider.name,
            "model": target.model,
            "weight": weight,
            "state": state,
            "until": None if wait is None else self._now() + wait,
            "usable": target.provider.pool.usable_for(target.model),
            "in_flight": in_flight,
            "latency": round(latency, 6) if latency and route.config.strategy == "least_latency" else None,
        }


def _state(target: Target) -> tuple[str, float | None]:
    """In a word, and seconds until it may be another one."""
    provider = target.provider
    refusal = provider.pool.breakers.refusal()
    if refusal is not None:
        return "circuit_open", refusal.retry_after
    if provider.pool.may_serve(target.model):
        return "ready", None
    shortage = provider.pool.shortage(target.model)
    return shortage_error(provider, shortage).code, shortage.retry_after
