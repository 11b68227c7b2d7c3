"""The composition root: builds everything in order, reloads it, and takes it down in reverse.

Start: admin socket (a second daemon on the same state folder is found out before it touches anything), database, keys
(read, with what the database remembers of them), providers, listeners, background tasks, and only then READY. Stop: no
new requests, those in flight finish, statuses are written, everything is closed.

Reload (SIGHUP or `llmgateway reload`): the configuration is loaded and validated, new addresses are bound, key files
are read, an `Assembly` is built beside the running one, swapped in, and the old one is left to the requests that still
use it. Whatever fails on the way leaves the old one in place. Key pools outlive reloads, and with them every cooldown.

Invariants of a reload:
- It is a task of the daemon's own: whoever asked for it may leave.
- A listener serves no configuration but those that name it. Addresses are bound early and accept late, after the swap;
  those that are gone are closed in the same turn of the loop as the swap, and their connections with them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gateway import __version__, systemd
from gateway.api.admin import AdminSurface
from gateway.api.errors import refuse
from gateway.api.guard import Guard
from gateway.api.health import LASTING, HealthSurface
from gateway.api.openai import OpenAISurface
from gateway.api.passthrough import PassthroughSurface
from gateway.api.router import Router
from gateway.conductor.attempts import Attempts
from gateway.conductor.auth import Authenticator
from gateway.conductor.conductor import Conductor
from gateway.conductor.models import ModelResolver
from gateway.config.changes import list_changes, refuse_what_cannot_change
from gateway.config.listen import is_loopback_host
from gateway.config.load import load_config
from gateway.config.model import Config, ServerConfig
from gateway.config.validate import auth_is_on
from gateway.errors import AddressTaken, ConfigError, GatewayError, RequestError, StartError, StoreError
from gateway.keeper.keeper import Keeper
from gateway.keeper.probes import Checked
from gateway.keeper.proxykeeper import ProxyKeeper
from gateway.keeper.proxystatuses import ProxyStatuses
from gateway.keeper.statuses import StatusWriter
from gateway.keeper.supervisor import TRACE_CHARACTERS, Supervisor
from gateway.net.client import Client
from gateway.net.connection import Reply, Request
from gateway.net.server import Server
from gateway.observe.logs import Log
from gateway.observe.metrics import Metrics
from gateway.policy.verdict import Verdict
from gateway.providers import PROVIDER_FACTS, probe_kind
from gateway.secret import Secret
from gateway.store import open_store
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from gateway.store.proxies import ProxyStore
from gateway.store.responses import ResponseStore
from gateway.upstream.catalog import ASK_SECONDS, Catalog
from gateway.upstream.exchange import Exchange
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.owners import Owner, ResponseOwners
from gateway.upstream.provider import Provider
from gateway.upstream.proxypools import ProxyPools

ADMIN_SOCKET_MODE = 0o600

BUILT_IN_KEY = Secret("built-in-key")
"""What a provider that needs no keys is called with, so that every request leases one all the same."""

GC_THRESHOLDS = (20_000, 20, 50)
"""Far above Python's (700, 10, 10): a request makes some hundred objects and nearly no cycles, so most collections
would find nothing."""

SWITCH_SECONDS = 0.001
"""How long a thread that reads a large key file may keep the interpreter from the requests; Python's own 5 ms add up
over the steps of a request."""

LOAD_SECONDS = 30.0
"""How long reading the configuration may take in a reload."""

LOGGED_PROBLEMS = 20
"""Problems of a configuration that are logged, a line each; `llmgateway config check` prints all."""

CHECKS_KEPT = 16
"""Of the operator's latest checks the outcomes are kept."""

RETIRE_SECONDS = 2 * ASK_SECONDS
"""After a reload, until nobody can be asking for the old list of models any more."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that a configuration decides. Immutable; a reload makes another."""

    config: Config
    providers: Mapping[str, Provider]
    catalog: Catalog
    router: Router
    admin_router: Router


class Daemon:
    """One gateway process. `run()` is its life; it raises GatewayError when it could not begin.

    `announce`, if given, is told the addresses once it serves.
    """

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        admin_socket: Path,
        *,
        log: Log,
        announce: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._environ = environ
        self._admin_socket = admin_socket
        self._log = log
        self._announce = announce
        self._first_config = config
        self._clock = time.time
        self._rng = Random()  # noqa: S311 - rotation and jitter, no secrets
        self._started = time.time()
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._pools: dict[str, KeyPool] = {}
        self._proxy_pools = ProxyPools(self._clock, self._rng)
        self._metrics = Metrics()
        self._client = Client()
        self._supervisor = Supervisor(log)
        self._loop = asyncio.get_running_loop()
        self._ready = False
        self._retired = 0
        self._checked = 0
        self._checks: dict[str, Checked] = {}
        self._inherited: Mapping[str, socket.socket] = {}
        self._assembly: Assembly
        self._database: Database
        self._keeper: Keeper
        self._proxy_keeper: ProxyKeeper
        self._owners: ResponseOwners
        self._server: Server
        self._admin_server: Server

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop. A signal that comes while it starts ends it as well; a second
        one cuts what is still in flight."""
        gc.set_threshold(*GC_THRESHOLDS)
        sys.setswitchinterval(SWITCH_SECONDS)
        main = asyncio.current_task()
        assert main is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_stop, main)
        self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            async with AsyncExitStack() as stack:
                async with self._reloading:  # a SIGHUP that comes early waits until there is something to reload
                    await self._start(self._first_config, stack)
                try:
                    await self._serve()
                finally:
                    await self._stop()
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise

    # -- starting ----------------------------------------------------------------------------------------------

    async def _start(self, config: Config, stack: AsyncExitStack) -> None:
        """Everything up to the open listeners. `stack` closes what a start that fails half-way leaves open."""
        stack.push_async_callback(self._client.close)
        stack.push_async_callback(self._supervisor.close)
        self._admin_server = Server(self._handle_admin, refuse, ServerConfig(), on_error=self._on_error)
        stack.push_async_callback(self._admin_server.close)
        self._make_folder(self._admin_socket.parent)
        await self._listen_to_operators()
        self._database = await open_store(config.store.url, config.state_dir)
        stack.push_async_callback(self._database.close)
        await self._build(config)
        self._inherited = systemd.inherited_sockets(self._environ)
        if not auth_is_on(config):
            refuse_public(self._inherited)
        self._server = Server(
            self._handle, refuse, config.server, on_error=self._on_error, inherited=self._inherited, lasting=LASTING
        )
        stack.push_async_callback(self._server.close)
        for spec in config.server.listen:
            await self._server.listen(spec)

    async def _listen_to_operators(self) -> None:
        try:
            await self._admin_server.listen(f"unix:{self._admin_socket}", mode=ADMIN_SOCKET_MODE)
        except AddressTaken as error:
            raise AddressTaken(
                "a gateway runs here already",
                detail=f"another process answers at {self._admin_socket}",
                hint="'llmgateway status' shows it; for a second one set STATE_DIRECTORY to a folder of its own",
            ) from error

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StartError(
                "the folder of the admin socket cannot be made",
                detail=f"{folder}: {error.strerror or error}",
                hint="make it, owned by this user; STATE_DIRECTORY or LLMGATEWAY_SOCKET name another",
            ) from error

    async def _build(self, config: Config) -> None:
        keys, responses = KeyStore(self._database), ResponseStore(self._database)

        async def look_up(response_id: str) -> Owner | None:
            found = await responses.owner(response_id)
            return None if found is None else Owner(*found)

        self._owners = ResponseOwners(look_up)
        proxies = ProxyStatuses(lambda: self._proxy_pools, ProxyStore(self._database), self._clock)
        statuses = StatusWriter(lambda: self._pools, self._owners, keys, responses, self._log, self._clock, proxies)
        self._proxy_keeper = ProxyKeeper(proxies, self._log)
        self._keeper = Keeper(keys, responses, statuses, self._log, self._clock, self._rng, self._proxy_keeper)
        self._arrange_pools(config)
        await self._keeper.sync_all(save=False)  # the first look of the watch does it while requests run
        self._assembly = self._assemble(config)
        self._metrics.collect_keys(self._count_keys)
        self._metrics.collect_store(self._database.statistics)
        self._metrics.collect_dropped(lambda: {"log": self._log.dropped})

    def _arrange_pools(self, config: Config) -> None:
        """A pool for every enabled provider, and the Keeper told; one that is there already keeps what it knows."""
        for name, provider in config.providers.items():
            if not provider.enabled:
                continue
            pool = self._pools.get(name)
            if pool is None:
                pool = self._pools[name] = KeyPool(name, provider.health, clock=self._clock, rng=self._rng)
            if not provider.keys and BUILT_IN_KEY.digest not in pool.standings.keys:
                # A local provider: what it is given as a key is all the same to it.
                pool.standings.remove(list(pool.standings.keys))
                pool.standings.add([Key(BUILT_IN_KEY, BUILT_IN_KEY.digest)])
            pool.configure(provider, probe_kind(provider.probe.kind, provider.type), config.queue.max)
        self._proxy_pools.arrange(config)
        self._keeper.arrange(config, self._pools)
        self._proxy_keeper.arrange(config, self._proxy_pools.of_files(config))

    def _assemble(self, config: Config) -> Assembly:
        providers = {
            name: Provider(provider, self._pools[name], self._proxy_pools.of(provider))
            for name, provider in config.providers.items()
            if provider.enabled
        }
        exchange = Exchange(self._client, self._clock)
        self._keeper.arrange_probes(providers.values(), exchange, self._note_probe)
        catalog = Catalog(providers, exchange, self._clock)
        resolver = ModelResolver(providers, catalog, config.server.default_provider)
        attempts = Attempts(exchange, config.queue, self._rng, self._note_attempt)
        conductor = Conductor(resolver, attempts, self._owners)
        openai = OpenAISurface(conductor, catalog)
        passthrough = PassthroughSurface(conductor)
        health = HealthSurface(providers, self._database, self._metrics, self._stopping.is_set)
        admin = AdminSurface(config, providers, self, self._clock, self._started)
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

    # -- running -----------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._ready = True
        tasks = {
            "key files": self._keeper.watch,
            "statuses": self._keeper.write_behind,
            "forgetting": self._keeper.forget,
            "probes": self._keeper.probe,
            "inventory": self._keeper.inventory.run,
        }
        interval = systemd.watchdog_interval(self._environ)
        if interval:
            tasks["watchdog"] = lambda: self._feed_watchdog(interval / 3)
        for name, factory in tasks.items():
            self._supervisor.start(name, factory)
        gc.collect()
        gc.freeze()
        self._log.info("ready", version=__version__, listen=self._server.addresses(), admin=str(self._admin_socket))
        systemd.notify("READY=1", self._environ)
        if self._announce is not None:
            self._announce(self._server.addresses())
        await self._stopping.wait()

    async def _handle(self, request: Request, reply: Reply) -> None:
        await self._assembly.router(request, reply)

    async def _handle_admin(self, request: Request, reply: Reply) -> None:
        if self._ready:
            await self._assembly.admin_router(request, reply)
        else:
            error = RequestError(503, "starting", "The gateway is still starting.", retry_after=1)
            await reply.send(*refuse(request, error))

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

    def _note_probe(self, provider: Provider, outcome: str) -> None:
        self._metrics.probe(provider.name, outcome)

    def _on_error(self, error: BaseException) -> None:
        """A bug of ours: the only place where a traceback is worth its lines."""
        import traceback

        trace = "".join(traceback.format_exception(error))
        self._log.error("internal_error", error=f"{type(error).__name__}: {error}", traceback=trace[-TRACE_CHARACTERS:])

    def _count_keys(self) -> dict[tuple[str, str], int]:
        return {
            (name, status.value): n
            for name, pool in self._pools.items()
            for status, n in list(pool.standings.counts.items())
        }

    # -- reloading, and what else the admin API asks for --------------------------------------------------------

    def _on_stop(self, main: asyncio.Task[None]) -> None:
        """The first signal ends the gateway, a further one its patience."""
        if self._ready:
            if self._stopping.is_set():
                self._server.hurry()
        elif not self._stopping.is_set():
            main.cancel()
        self._stopping.set()

    def _on_hangup(self) -> None:
        self._supervisor.start_once("reload at SIGHUP", self._reload_at_signal)

    async def _reload_at_signal(self) -> None:
        try:
            await self.reload()
        except GatewayError:
            pass  # it is in the log

    async def reload(self) -> dict[str, Any]:
        """See the module's text. Raises ConfigError or StartError; the old configuration then stays."""
        return await asyncio.shield(self._supervisor.undertake("reload", self._reload_in_turn()))

    async def _reload_in_turn(self) -> dict[str, Any]:
        async with self._reloading:
            if self._stopping.is_set():
                raise StartError("the gateway is stopping")
            systemd.notify(systemd.reloading_state(), self._environ)
            try:
                return await self._reload()
            except GatewayError as error:
                problems = error.problems[:LOGGED_PROBLEMS] if isinstance(error, ConfigError) else (error,)
                for problem in problems:
                    self._log.error("reload_failed", detail=str(problem), hint="the old configuration stays")
                raise
            finally:
                if not self._stopping.is_set():
                    systemd.notify("READY=1", self._environ)  # RELOADING without READY would hang every later reload

    async def _reload(self) -> dict[str, Any]:
        old = self._assembly
        config = await self._load(old.config.path)
        refuse_what_cannot_change(old.config, config)
        if not auth_is_on(config):
            refuse_public(self._inherited)
        await self._bind_too(config.server)
        try:
            self._arrange_pools(config)
            await self._keeper.sync_all(force=True)
            assembly = self._assemble(config)
            self._server.reconfigure(config.server)
        except BaseException:
            self._arrange_pools(old.config)
            for name in self._pools.keys() - old.providers.keys():
                self._pools.pop(name).close()
            await self._listen_only(old.config.server)
            raise
        self._assembly = assembly
        await self._listen_only(config.server)  # which leaves addresses before its first await
        await self._server.accept()
        for name in list(self._pools):
            if name not in self._assembly.providers:
                await self._keeper.flush()
                self._pools.pop(name).close()
        self._proxy_pools.retire(config)
        self._log.level = config.logging.level
        self._retired += 1
        self._supervisor.start_once(f"retired catalog {self._retired}", lambda: retire(old.catalog))
        changed = list_changes(old.config, config)
        self._log.info("reloaded", changed=changed)
        return {"changed": changed}

    async def _load(self, path: Path) -> Config:
        """In a thread: the file may be large, or on a slow disk."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await asyncio.to_thread(load_config, path, self._environ, provider_types=PROVIDER_FACTS)
        except TimeoutError:
            raise StartError("the configuration could not be read", detail=f"within {LOAD_SECONDS:g} s") from None

    async def _bind_too(self, config: ServerConfig) -> None:
        """Take the addresses that are new, all of them or none."""
        before = self._server.listening
        try:
            for spec in config.listen:
                if spec not in self._server.listening:
                    await self._server.bind(spec)
        except BaseException:
            await self._server.unlisten(*self._server.listening - before)
            raise

    async def _listen_only(self, config: ServerConfig) -> None:
        """Leave every address that is not in `config`."""
        await self._server.unlisten(*self._server.listening.difference(config.listen))

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


async def retire(catalog: Catalog) -> None:
    """Requests that began before a reload may still be waiting for the models of the old configuration."""
    await asyncio.sleep(RETIRE_SECONDS)
    await catalog.close()


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
