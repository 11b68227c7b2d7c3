"""Reloads (SIGHUP or `llmgateway reload`): another configuration while requests run.

The configuration is loaded and validated, new addresses are bound, key files are read, an `Assembly` is built beside
the running one, swapped in, and the old one is left to the requests that still use it. Whatever fails on the way leaves
the old one in place.

Invariants:
- A reload is a task of the daemon's own: whoever asked for it may leave. There is one at a time.
- A listener serves no configuration but those that name it. Addresses are bound early and accept late, after the swap;
  those that are gone are closed in the same turn of the loop as the swap, and their connections with them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway import systemd
from gateway.config.changes import list_changes, list_switched, refuse_what_cannot_change
from gateway.config.load import load_config
from gateway.config.model import Config, ServerConfig
from gateway.config.validate import auth_is_on
from gateway.daemon.assembly import Assembly
from gateway.daemon.firstadmin import ensure_admin
from gateway.daemon.holdings import Holdings
from gateway.errors import ConfigError, GatewayError, StartError, StoreError
from gateway.keeper.supervisor import Supervisor
from gateway.net.server import Server
from gateway.providers import PROVIDER_FACTS

LOAD_SECONDS = 30.0
"""How long reading the configuration may take."""

LET_GO_EVERY = 20.0
"""Seconds between two looks at retired pools: longer than a request rests between two attempts."""

LOGGED_PROBLEMS = 20
"""Problems of a configuration that are logged, a line each; `llmgateway config check` prints all."""


class Reloads:
    """`assembly` is the one in force, `assemble` makes another, `inherited` are the sockets of a socket unit."""

    def __init__(
        self,
        assembly: Assembly,
        assemble: Callable[[Config], Assembly],
        holdings: Holdings,
        server: Server,
        inherited: Mapping[str, socket.socket],
        supervisor: Supervisor,
        environ: Mapping[str, str],
        stopping: asyncio.Event,
    ) -> None:
        self.assembly = assembly
        self._assemble = assemble
        self._holdings = holdings
        self._server = server
        self._inherited = inherited
        self._supervisor = supervisor
        self._environ = environ
        self._stopping = stopping
        self._log = holdings.log
        self._turn = asyncio.Lock()
        self._retired = 0

    async def reload(self) -> dict[str, Any]:
        """See the module's text. Raises ConfigError or StartError; the old configuration then stays."""
        return await asyncio.shield(self._supervisor.undertake("reload", self._reload_in_turn()))

    async def _reload_in_turn(self) -> dict[str, Any]:
        async with self._turn:
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
        old, holdings = self.assembly, self._holdings
        prices = holdings.prices
        config = await self._load(old.config.path)
        refuse_what_cannot_change(old.config, config)
        if not auth_is_on(config):
            systemd.refuse_public(self._inherited)
        await self._bind_too(config.server)
        try:
            holdings.arrange(config)
            await holdings.keeper.sync_all(force=True)
            with suppress(StoreError):  # a database that is away stops no reload; the next one makes the token
                await ensure_admin(config, holdings.accounts, self._log, holdings.clock())
            holdings.charge_by(config, await holdings.load_prices(config))
            assembly = self._assemble(config)
            self._server.reconfigure(config.server)
        except BaseException:
            holdings.arrange(old.config)
            holdings.charge_by(old.config, prices)
            self._retire_pools()
            holdings.proxy_pools.retire(old.config)
            await self._listen_only(old.config.server)
            raise
        self.assembly = assembly
        holdings.probe(assembly.providers)
        await self._listen_only(config.server)  # which leaves addresses before its first await
        await self._server.accept()
        self._retire_pools()
        holdings.proxy_pools.retire(config)
        self._log.level = config.logging.level
        self._retired += 1
        self._supervisor.start_once(f"retired catalog {self._retired}", old.catalog.retire)
        changed, switched = list_changes(old.config, config), list_switched(old.config, config)
        self._log.info("reloaded", changed=changed, **switched)
        holdings.warn_of_unpriced(config)
        return {"changed": changed, "switched": switched}

    def _retire_pools(self) -> None:
        self._supervisor.start_once("retired pools", self._let_go)

    async def _let_go(self) -> None:
        """Forget retired pools as their last requests end; in turn, because a reload that fails needs them back."""
        while self._holdings.pools.retired:
            await asyncio.sleep(LET_GO_EVERY)
            async with self._turn:
                await self._holdings.pools.let_go(self._holdings.keeper.flush)

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
