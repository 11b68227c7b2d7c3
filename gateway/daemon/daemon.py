"""One gateway process: builds everything in order and takes it down in reverse.

Start: admin socket and the claim on the database (a second daemon is found out before it touches anything), keys
(read, with what the database remembers of them), providers, listeners, background tasks, and only then READY. Stop: no
new requests, those in flight finish, statuses are written, everything is closed. Between the two, `reloads.py`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from gateway import __version__, systemd
from gateway.api.errors import Header, refuse, render
from gateway.api.health import LASTING
from gateway.config.model import Config, ServerConfig
from gateway.config.validate import auth_is_on
from gateway.daemon.assembly import Assembly, assemble
from gateway.daemon.control import Control
from gateway.daemon.firstadmin import ensure_admin
from gateway.daemon.holdings import Holdings
from gateway.daemon.reloads import Reloads
from gateway.daemon.watchdog import Watchdog
from gateway.errors import AddressTaken, GatewayError, RequestError, StartError
from gateway.keeper.supervisor import TRACE_CHARACTERS, Supervisor
from gateway.net.client import Client
from gateway.net.connection import Reply, Request
from gateway.net.server import Server
from gateway.observe.logs import Log
from gateway.store import file_of, open_store
from gateway.store.claim import claim_file

ADMIN_SOCKET_MODE = 0o600

GC_THRESHOLDS = (20_000, 20, 50)
"""Far above Python's (700, 10, 10): a request makes some hundred objects and nearly no cycles, so most collections
would find nothing."""

SWITCH_SECONDS = 0.001
"""How long a thread that reads a large key file may keep the interpreter from the requests; Python's own 5 ms add up
over the steps of a request."""


FLUSH_SECONDS = 10.0
"""For charges that the database has not taken yet, at the very end."""


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
        self._stopping = asyncio.Event()
        self._serving = asyncio.Event()
        self._client = Client()
        self._supervisor = Supervisor(log)
        self._watchdog = Watchdog(environ, log)
        self._loop = asyncio.get_running_loop()
        self._holdings: Holdings
        self._reloads: Reloads
        self._server: Server
        self._admin_server: Server

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop. A signal that comes while it starts ends it as well; a second
        one cuts what is still in flight."""
        gc.set_threshold(*GC_THRESHOLDS)
        sys.setswitchinterval(SWITCH_SECONDS)
        threading.excepthook = self._on_dead_thread
        main = asyncio.current_task()
        assert main is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_stop, main)
        self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            async with AsyncExitStack() as stack:
                await self._start(self._first_config, stack)
                try:
                    await self._serve()
                finally:
                    await self._stop()
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise

    async def reload(self) -> dict[str, Any]:
        """See `Reloads.reload`. One that is asked for early waits until there is something to reload."""
        await self._serving.wait()
        return await self._reloads.reload()

    # -- starting ----------------------------------------------------------------------------------------------

    async def _start(self, config: Config, stack: AsyncExitStack) -> None:
        """Everything up to the open listeners. `stack` closes what a start that fails half-way leaves open."""
        stack.push_async_callback(self._client.close)
        stack.push_async_callback(self._supervisor.close)
        self._admin_server = Server(self._handle_admin, refuse, ServerConfig(), on_error=self._on_error)
        stack.push_async_callback(self._admin_server.close)
        self._make_folder(self._admin_socket.parent)
        await self._listen_to_operators()
        stack.callback(os.close, claim_file(file_of(config.store.url, config.state_dir)))
        database = await open_store(config.store.url, config.state_dir)
        stack.push_async_callback(database.close)
        self._holdings = Holdings(self._client, database, self._log)
        stack.callback(self._holdings.aftermath.catch_up)  # where the end fails, too
        self._holdings.arrange(config)
        await self._tidy_books()
        await self._holdings.make_up(config.state_dir)
        await ensure_admin(config, self._holdings.accounts, self._log, self._holdings.clock())
        await self._holdings.keeper.sync_all(save=False)  # the first look of the watch does it while requests run
        self._holdings.charge_by(config, await self._holdings.load_prices(config))
        holdings = self._holdings
        control = Control(holdings.keeper, holdings.proxy_prober, holdings.maintenance, self._supervisor, self.reload)

        def assemble_anew(config: Config) -> Assembly:
            return assemble(config, self._holdings, control, self._stopping.is_set)

        first = assemble_anew(config)
        self._holdings.probe(first.providers)
        inherited = systemd.inherited_sockets(self._environ)
        if not auth_is_on(config):
            systemd.refuse_public(inherited)
        self._server = Server(
            self._handle,
            self._refuse,
            config.server,
            on_error=self._on_error,
            admit=self._admit,
            inherited=inherited,
            lasting=LASTING,
            room=self._holdings.room,
        )
        stack.push_async_callback(self._server.close)
        self._reloads = Reloads(
            first,
            assemble_anew,
            self._holdings,
            self._server,
            inherited,
            self._supervisor,
            self._environ,
            self._stopping,
        )
        for spec in config.server.listen:
            await self._server.listen(spec)
        holdings.warn_of_unpriced(config)

    async def _tidy_books(self) -> None:
        """Thanks to the claim, no reservation is anybody's."""
        books = self._holdings.books
        if ended := await books.end_orphans(None, self._holdings.clock()):
            self._log.warning("reservations_ended", count=ended, detail="of requests that a gateway has died with")
        if mended := await books.mend_reserved():
            self._log.warning("reserved_mended", users=mended, detail="it was not the sum of their reservations")

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

    # -- running -----------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._serving.set()
        keeper = self._holdings.keeper
        tasks = {
            "key files": keeper.watch,
            "statuses": keeper.write_behind,
            "maintenance": self._holdings.maintenance.run,
            "probes": keeper.probe,
            "proxy probes": self._holdings.proxy_prober.run,
            "inventory": keeper.inventory.run,
            "accounts": self._holdings.account_watch.run,
            "limits": self._holdings.admission.run,
            "ledger": self._holdings.ledger.run,
            "usage": self._holdings.usage_writer.run,
        }
        interval = systemd.watchdog_interval(self._environ)
        if interval:
            tasks["watchdog"] = lambda: self._watchdog.feed(self._holdings.database, interval / 3)
        for name, factory in tasks.items():
            self._supervisor.start(name, factory)
        gc.collect()
        gc.freeze()
        gc.enable()
        self._log.info("ready", version=__version__, listen=self._server.addresses(), admin=str(self._admin_socket))
        systemd.notify("READY=1", self._environ)
        if self._announce is not None:
            self._announce(self._server.addresses())
        await self._stopping.wait()

    def _handle(self, request: Request, reply: Reply) -> Coroutine[Any, Any, None]:
        return self._reloads.assembly.router(request, reply)

    async def _admit(self, request: Request) -> object:
        return await self._reloads.assembly.router.admit(request)

    def _refuse(
        self, request: Request | None, error: RequestError, peer: str, *, handled: bool
    ) -> tuple[int, list[Header], bytes]:
        return self._reloads.assembly.router.refuse(request, error, peer, handled=handled)

    async def _handle_admin(self, request: Request, reply: Reply) -> None:
        if self._serving.is_set():
            await self._reloads.assembly.admin_router(request, reply)
        else:
            error = RequestError(503, "starting", "The gateway is still starting.", retry_after=1)
            await reply.send(*render(error))

    def _on_error(self, error: BaseException) -> None:
        """A bug of ours: the only place where a traceback is worth its lines."""
        import traceback

        trace = "".join(traceback.format_exception(error))
        self._log.error("internal_error", error=f"{type(error).__name__}: {error}", traceback=trace[-TRACE_CHARACTERS:])

    def _on_dead_thread(self, args: threading.ExceptHookArgs) -> None:
        self._watchdog.thread_died(args)
        if args.exc_value is not None:
            self._on_error(args.exc_value)

    # -- signals -----------------------------------------------------------------------------------------------

    def _on_stop(self, main: asyncio.Task[None]) -> None:
        """The first signal ends the gateway, a further one its patience."""
        if self._serving.is_set():
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

    # -- stopping ----------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """In-flight requests finish, new ones get 503; then everything that is owed to the database is written."""
        systemd.notify("STOPPING=1", self._environ)
        config = self._reloads.assembly.config
        self._log.info("draining", in_flight=self._server.in_flight)
        cut = await self._server.drain(config.server.drain_timeout)
        await self._server.close()
        await self._admin_server.hush()  # but keep its address: a second gateway is to find out that this one lives
        await self._supervisor.close()
        await self._reloads.assembly.catalog.close()
        self._holdings.pools.close()
        await self._holdings.admission.close()
        if await self._holdings.ledger.flush(FLUSH_SECONDS):
            await self._holdings.keep_unwritten(config.state_dir)
        if self._holdings.cache is not None:
            await self._holdings.cache.close()
        saved = all(await asyncio.gather(self._holdings.keeper.flush(), self._holdings.usage_writer.flush()))
        await self._admin_server.close()
        self._holdings.aftermath.catch_up()
        self._log.info("stopped", cut=cut, saved=saved)
