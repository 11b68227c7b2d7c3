"""The composition root: builds everything in order, reloads it, and takes it down in reverse.

Start: log, database, keys (read, with what the database remembers of them), providers, listeners, background tasks, and
only then READY. Stop: no new requests, those in flight finish, statuses are written, everything is closed.

Reload (SIGHUP or `llmgateway reload`): the configuration is loaded and validated, new listeners are opened, an
`Assembly` is built beside the running one, swapped in, and the old one is left to the requests that still use it.
Whatever fails on the way leaves the old one in place. Key pools outlive reloads, and with them every cooldown.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gateway import __version__, systemd
from gateway.api.admin import AdminSurface
from gateway.api.errors import refuse
from gateway.api.guard import Guard
from gateway.api.health import HealthSurface
from gateway.api.openai import OpenAISurface
from gateway.api.passthrough import PassthroughSurface
from gateway.api.router import Router
from gateway.conductor.attempts import Attempts
from gateway.conductor.auth import Authenticator
from gateway.conductor.conductor import Conductor
from gateway.conductor.models import ModelResolver
from gateway.config.listen import is_loopback_host
from gateway.config.load import load_config
from gateway.config.model import Config, ServerConfig
from gateway.config.validate import auth_is_on
from gateway.errors import ConfigError, GatewayError, Problem, StartError, StoreError
from gateway.keeper.keeper import Keeper
from gateway.keeper.statuses import StatusWriter
from gateway.keeper.supervisor import Supervisor
from gateway.net.client import Client
from gateway.net.connection import Reply, Request
from gateway.net.server import Server
from gateway.observe.logs import Log
from gateway.observe.metrics import Metrics
from gateway.policy.verdict import Verdict
from gateway.providers import PROVIDER_FACTS
from gateway.secret import Secret
from gateway.store import open_store
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from gateway.store.responses import ResponseStore
from gateway.upstream.catalog import Catalog
from gateway.upstream.exchange import Exchange
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.owners import Owner, ResponseOwners
from gateway.upstream.provider import Provider

ADMIN_SOCKET_MODE = 0o600

BUILT_IN_KEY = Secret("built-in-key")
"""What a provider that needs no keys is called with, so that every request leases one all the same."""

GC_THRESHOLDS = (20_000, 20, 50)
"""Far above Python's (700, 10, 10): a request makes some hundred objects and nearly no cycles, so most collections
would find nothing."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that a configuration decides. Immutable; a reload makes another."""

    config: Config
    providers: Mapping[str, Provider]
    catalog: Catalog
    router: Router
    admin_router: Router


class Daemon:
    """One gateway process. `run()` is its life; it raises GatewayError when it could not begin."""

    def __init__(self, config: Config, environ: Mapping[str, str], admin_socket: Path, *, log: Log) -> None:
        self._environ = environ
        self._admin_socket = admin_socket
        self._log = log
        self._first_config = config
        self._clock = time.time
        self._rng = Random()  # noqa: S311 - rotation and jitter, no secrets
        self._started = time.time()
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._pools: dict[str, KeyPool] = {}
        self._metrics = Metrics()
        self._client = Client()
        self._supervisor = Supervisor(log)
        self._loop = asyncio.get_running_loop()
        self._assembly: Assembly
        self._database: Database
        self._keeper: Keeper
        self._owners: ResponseOwners
        self._server: Server
        self._admin_server: Server

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop."""
        config = self._first_config
        self._database = await open_store(config.store.url, config.state_dir)
        try:
            await self._build(config)
            await self._listen(config)
            try:
                await self._serve()
            finally:
                await self._stop()
        finally:
            await self._client.close()
            await self._database.close()

    # -- starting ----------------------------------------------------------------------------------------------

    async def _build(self, config: Config) -> None:
        keys, responses = KeyStore(self._database), ResponseStore(self._database)

        async def look_up(response_id: str) -> Owner | None:
            found = await responses.owner(response_id)
            return None if found is None else Owner(*found)

        self._owners = ResponseOwners(look_up)
        statuses = StatusWriter(lambda: self._pools, self._owners, keys, responses, self._log, self._clock)
        self._keeper = Keeper(keys, responses, statuses, self._log, self._clock, self._rng)
        self._arrange_pools(config)
        self._keeper.arrange(config, self._pools)
        await self._keeper.sync_all()
        self._assembly = self._assemble(config)
        self._metrics.collect_keys(self._count_keys)
        self._metrics.collect_store(self._database.statistics)
        self._metrics.collect_dropped(lambda: {"log": self._log.dropped})

    def _arrange_pools(self, config: Config) -> None:
        """A pool for every enabled provider; one that is there already keeps what it knows."""
        for name, provider in config.providers.items():
            if not provider.enabled:
                continue
            pool = self._pools.get(name)
            if pool is None:
                pool = KeyPool(name, provider.health, clock=self._clock, rng=self._rng)
                self._pools[name] = pool
                if not provider.keys:  # a local provider: what it is given as a key is all the same to it
                    pool.add([Key(BUILT_IN_KEY, BUILT_IN_KEY.digest)])
            pool.health = provider.health
            pool.shared_status = provider.shared_key_status
            pool.waiters.limit = config.queue.max

    def _assemble(self, config: Config) -> Assembly:
        providers = {
            name: Provider(provider, self._pools[name])
            for name, provider in config.providers.items()
            if provider.enabled
        }
        exchange = Exchange(self._client, self._clock)
        catalog = Catalog(providers, exchange, self._clock)
        resolver = ModelResolver(providers, catalog, config.server.default_provider)
        attempts = Attempts(exchange, config.queue, self._rng, self._note_attempt)
        conductor = Conductor(resolver, attempts, self._owners)
        openai = OpenAISurface(conductor, catalog)
        passthrough = PassthroughSurface(conductor)
        health = HealthSurface(providers, self._database, self._metrics, self._stopping.is_set)
        admin = AdminSurface(providers, self, self._clock, self._started)
        auth_on = auth_is_on(config)

        def router(guard: Guard, authenticator: Authenticator) -> Router:
            return Router(
                openai,
                passthrough,
                health,
                admin,
                guard,
                authenticator,
                self._log,
                self._metrics,
                log_requests=config.logging.requests,
                public_metrics=config.metrics.public,
            )

        return Assembly(
            config,
            providers,
            catalog,
            router(Guard(config.server, auth_on=auth_on), Authenticator(config, auth_on)),
            router(Guard(ServerConfig(), auth_on=True), Authenticator.of_operator()),
        )

    async def _listen(self, config: Config) -> None:
        """The admin socket first: a second daemon on the same state folder is found out before it takes a port."""
        inherited = systemd.inherited_sockets(self._environ)
        if not auth_is_on(config):
            refuse_public(inherited)
        self._admin_server = Server(self._handle_admin, refuse, ServerConfig(), on_error=self._on_error)
        self._server = Server(self._handle, refuse, config.server, on_error=self._on_error, inherited=inherited)
        self._admin_socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            await self._admin_server.listen(f"unix:{self._admin_socket}", mode=ADMIN_SOCKET_MODE)
            for spec in config.server.listen:
                await self._server.listen(spec)
        except BaseException:
            await self._server.close()
            await self._admin_server.close()
            raise

    # -- running -----------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopping.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        tasks = {
            "key files": self._keeper.watch,
            "statuses": self._keeper.write_behind,
            "forgetting": self._keeper.forget,
        }
        interval = systemd.watchdog_interval(self._environ)
        if interval:
            tasks["watchdog"] = lambda: self._feed_watchdog(interval / 3)
        for name, factory in tasks.items():
            self._supervisor.start(name, factory)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._log.info("ready", version=__version__, listen=self._server.addresses(), admin=str(self._admin_socket))
        systemd.notify("READY=1", self._environ)
        await self._stopping.wait()

    async def _handle(self, request: Request, reply: Reply) -> None:
        await self._assembly.router(request, reply)

    async def _handle_admin(self, request: Request, reply: Reply) -> None:
        await self._assembly.admin_router(request, reply)

    async def _feed_watchdog(self, interval: float) -> None:
        """Tell systemd that we live, but only after the database answered."""
        while True:
            try:
                await self._database.ping()
            except StoreError as error:
                self._log.error("watchdog_not_fed", detail=str(error))
            else:
                systemd.notify("WATCHDOG=1", self._environ)
            await asyncio.sleep(interval)

    def _note_attempt(self, provider: Provider, key: Key, verdict: Verdict | None) -> None:
        if verdict is None:
            self._metrics.attempt(provider.name, "success")
            return
        self._metrics.attempt(provider.name, verdict.status.value)
        if not verdict.blames_key and not verdict.blames_provider:
            return
        standing = key.standing
        self._log.info(
            "attempt_failed",
            provider=provider.name,
            key=key.fingerprint,
            scope=verdict.scope.value,
            verdict=verdict.status.value,
            reason=verdict.reason,
            key_status=standing.status.value,
            until=standing.until,
            evidence=verdict.evidence,
        )

    def _on_error(self, error: BaseException) -> None:
        """A bug of ours: the only place where a traceback is worth its lines."""
        import traceback

        trace = "".join(traceback.format_exception(error))
        self._log.error("internal_error", error=f"{type(error).__name__}: {error}", traceback=trace[-4000:])

    def _count_keys(self) -> dict[tuple[str, str], int]:
        return {
            (name, status.value): n for name, pool in self._pools.items() for status, n in list(pool.counts.items())
        }

    # -- reloading, and what else the admin API asks for --------------------------------------------------------

    def _on_hangup(self) -> None:
        self._supervisor.start_once("reload", self._reload_and_log)

    async def _reload_and_log(self) -> None:
        try:
            await self.reload()
        except GatewayError as error:
            self._log.error("reload_failed", detail=str(error), hint="the old configuration stays")

    async def reload(self) -> dict[str, Any]:
        """See the module's text. Raises ConfigError or StartError; the old configuration then stays."""
        async with self._reloading:
            systemd.notify(systemd.reloading_state(), self._environ)
            try:
                return await self._reload()
            finally:
                systemd.notify("READY=1", self._environ)  # RELOADING without READY would hang every later reload

    async def _reload(self) -> dict[str, Any]:
        old = self._assembly
        config = await asyncio.to_thread(load_config, old.config.path, self._environ, provider_types=PROVIDER_FACTS)
        refuse_what_cannot_change(old.config, config)
        added = [spec for spec in config.server.listen if spec not in old.config.server.listen]
        for n, spec in enumerate(added):
            try:
                await self._server.listen(spec)
            except GatewayError:
                for opened in added[:n]:
                    await self._server.unlisten(opened)
                raise
        self._server.reconfigure(config.server)
        self._arrange_pools(config)
        self._keeper.arrange(config, self._pools)
        await self._keeper.sync_all(force=True)
        self._assembly = self._assemble(config)
        for spec in old.config.server.listen:
            if spec not in config.server.listen:
                await self._server.unlisten(spec)
        for name in list(self._pools):
            if name not in self._assembly.providers:
                await self._keeper.flush()
                self._pools.pop(name).close()
        self._log.level = config.logging.level
        await old.catalog.close()
        changed = list_changes(old.config, config)
        self._log.info("reloaded", changed=changed)
        return {"changed": changed}

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

    def files(self) -> dict[str, list[dict[str, Any]]]:
        return self._keeper.files()

    # -- stopping ----------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """In-flight requests finish, new ones get 503; then everything that is owed to the database is written."""
        systemd.notify("STOPPING=1", self._environ)
        config = self._assembly.config
        self._log.info("draining", in_flight=self._server.in_flight)
        cut = await self._server.drain(config.server.drain_timeout)
        await self._server.close()
        await self._admin_server.close()
        self._admin_socket.unlink(missing_ok=True)
        await self._supervisor.close()
        await self._assembly.catalog.close()
        for pool in self._pools.values():
            pool.close()
        saved = await self._keeper.flush()
        self._log.info("stopped", cut=cut, saved=saved)


def refuse_public(inherited: Mapping[str, socket.socket]) -> None:
    """A socket unit may listen anywhere; without auth only loopback will do. The configuration cannot tell."""
    for name, sock in inherited.items():
        if sock.family != socket.AF_UNIX and not is_loopback_host(sock.getsockname()[0]):
            raise StartError(
                f"the inherited socket {name!r} is public while auth is off",
                hint="set auth.required = true and add a [tokens.NAME] table, or bind the socket unit to 127.0.0.1",
            )


def refuse_what_cannot_change(old: Config, new: Config) -> None:
    """A database cannot be exchanged under a running process."""
    if old.store != new.store or old.state_dir != new.state_dir:
        raise ConfigError([Problem(str(new.path), "store.url", "cannot change while running", "restart instead")])


def list_changes(old: Config, new: Config) -> list[str]:
    """The tables that differ, for the operator: `server`, `providers.main`."""
    changed = []
    for table in ("server", "auth", "queue", "sync", "metrics", "logging"):
        if getattr(old, table) != getattr(new, table):
            changed.append(table)
    for table in ("providers", "tokens"):
        before, after = getattr(old, table), getattr(new, table)
        names = sorted({*before, *after})
        changed += [f"{table}.{name}" for name in names if before.get(name) != after.get(name)]
    return changed


def admin_socket_path(environ: Mapping[str, str], state_dir: Path) -> Path:
    """Where the daemon puts its admin socket. Raises StartError when the path is longer than the kernel allows."""
    if environ.get("LLMGATEWAY_SOCKET"):
        path = Path(environ["LLMGATEWAY_SOCKET"])
    elif environ.get("RUNTIME_DIRECTORY"):
        path = Path(environ["RUNTIME_DIRECTORY"].split(":")[0]) / "admin.sock"
    else:
        path = state_dir / "admin.sock"
    if len(os.fsencode(path)) > 107:  # sun_path in unix(7), less its final NUL
        raise StartError(
            "the path of the admin socket is too long", detail=str(path), hint="set LLMGATEWAY_SOCKET to a shorter one"
        )
    return path
