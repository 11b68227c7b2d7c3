"""`/health…`, `/ready` and `/metrics`. None of them calls a provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gateway import __version__, jsonlib
from gateway.api.admin_breakers import health_of_breakers
from gateway.api.errors import JSON
from gateway.api.inbound import Inbound
from gateway.errors import StoreError
from gateway.net.connection import Reply
from gateway.observe.metrics import Metrics
from gateway.store.database import Database
from gateway.upstream.provider import Provider

LASTING = frozenset({"/health", "/ready", "/metrics"})
"""Answered in a drain, too: the process lives until it has ended, whoever balances loads reads `draining` in `/ready`,
and the last requests are counted as well."""

PING_SECONDS = 2.0
"""What a load balancer's check will wait for; the database's own deadline is far longer."""

PROMETHEUS = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


class HealthSurface:
    """`draining` tells whether the daemon is on its way out."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        database: Database,
        metrics: Metrics,
        draining: Callable[[], bool],
        read_balances: Callable[[], Awaitable[Mapping[str, int]]] | None = None,
    ) -> None:
        self._providers = providers
        self._database = database
        self._metrics = metrics
        self._draining = draining
        self._read_balances = read_balances

    async def health(self, inbound: Inbound, reply: Reply) -> None:
        """The process is alive and its loop turns, a drain included: to restart it then would cut its requests."""
        await reply.send(200, [JSON], jsonlib.dumps({"status": "ok", "version": __version__}))

    async def ready(self, inbound: Inbound, reply: Reply) -> None:
        """Whether a request would be taken, and find a key and the database: 200 or 503, with what is missing."""
        missing = []
        if self._draining():
            missing.append("draining")
        if not any(provider.pool.usable for provider in self._providers.values()):
            missing.append("no usable key")
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._database.ping()
        except TimeoutError:
            missing.append(f"database: no answer within {PING_SECONDS:g} s")
        except StoreError as error:
            missing.append(f"database: {error.message}")
        body = {"status": "unavailable" if missing else "ready", "missing": missing}
        await reply.send(503 if missing else 200, [JSON], jsonlib.dumps(body))

    async def circuit_breakers(self, inbound: Inbound, reply: Reply) -> None:
        """How many providers are shut off; which, why and until when to those who may read."""
        answer = health_of_breakers(self._providers, detailed=inbound.identity.may("read"))
        await reply.send(200, [JSON], jsonlib.dumps(answer))

    async def metrics(self, inbound: Inbound, reply: Reply) -> None:
        """Prometheus text. https://prometheus.io/docs/instrumenting/exposition_formats/"""
        if self._read_balances is not None:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    self._metrics.balances = await self._read_balances()
            except (StoreError, TimeoutError):
                self._metrics.balances = {}  # old ones would look like new ones
        await reply.send(200, [PROMETHEUS], self._metrics.render())
