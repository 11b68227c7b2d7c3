"""The HTTP/1.1 server: listens, keeps its connections, and drains them.

What happens on a connection is in `connection.py`, how sockets are bound in `listen.py`.

Invariants:
- Every connection has one task, named after its client and held here until it ends.
- A listener is bound before it accepts; what comes meanwhile waits in the kernel. Connections know the door they came
  in by, and end soon after it was closed.
- The loop's own server objects are never waited for: since Python 3.12 `wait_closed` waits for connections, too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.config.listen import parse_listen
from gateway.config.model import ServerConfig
from gateway.errors import ConfigError, Problem, RequestError, StartError
from gateway.net.connection import Connection
from gateway.net.listen import address_of, open_sockets, refusal, remove_socket_file
from gateway.net.service import Admission, Door, Handler, Refusal, Service, admit_all
from gateway.policy.room import Room
from gateway.quick import dataclass

if TYPE_CHECKING:
    import ssl

BACKLOG: Final = 4096
"""Connections that the kernel keeps while the loop is busy; beyond it SYNs are dropped, and sent again after 1 s."""

HANDSHAKE_SECONDS: Final = 10.0
"""TLS handshakes take two round trips."""

SHUTDOWN_SECONDS: Final = 2.0
"""For a client's close_notify, which many never send."""

CUT_SECONDS: Final = 2.0
"""For handlers that were cancelled to clean up."""

FILE_STAYS: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""Since 3.13 a Unix socket's file would be removed with its listener, and that of an inherited one is not ours."""

NOTHING_INHERITED: Final[Mapping[str, socket.socket]] = {}


@dataclass(frozen=True, slots=True)
class _Open:
    """A socket that is listened on."""

    server: asyncio.Server
    address: str
    door: Door
    path: str = ""  # a Unix socket's file, and which one it is
    inode: int = 0

    def close(self) -> None:
        self.door.closed = True
        self.server.close()
        if self.path:
            remove_socket_file(self.path, self.inode)


class Server:
    """Listeners, and the connections that came in by them.

    `handler` answers requests, `admit` looks at those whose body is still to come, `refuse` renders errors, `on_error`
    hears of exceptions that should not have happened.
    `inherited` are the sockets that "fd:NAME" means, `lasting` the paths that are answered in a drain, too. `room` for
    large bodies may be shared with others; its limit is the configuration's.
    Raises ConfigError for a certificate that cannot be used.
    """

    def __init__(
        self,
        handler: Handler,
        refuse: Refusal,
        config: ServerConfig,
        *,
        on_error: Callable[[BaseException], None],
        admit: Admission = admit_all,
        inherited: Mapping[str, socket.socket] = NOTHING_INHERITED,
        lasting: frozenset[str] = frozenset(),
        room: Room | None = None,
    ) -> None:
        room = Room() if room is None else room
        room.limit = config.max_buffered_bytes
        self._service = Service(handler, admit, refuse, config, on_error, room, lasting)
        self._inherited = inherited
        self._loop = asyncio.get_running_loop()
        self._open: dict[str, list[_Open]] = {}
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._patience: asyncio.Timeout | None = None  # of a drain
        self._hurried = False
        self._tls: ssl.SSLContext | None = None
        if config.tls.cert:
            from gateway.net.tls import server_context

            self._tls = server_context(config.tls)

    @property
    def connections(self) -> int:
        """Open connections, idle ones too."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Requests whose handler runs."""
        return self._service.in_flight

    @property
    def buffered(self) -> int:
        """Bytes of large bodies held, those that are still arriving too."""
        return self._service.room.held

    @property
    def draining(self) -> bool:
        """New requests get 503, and connections end after the one under way."""
        return self._service.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._service.draining = draining

    @property
    def listening(self) -> frozenset[str]:
        """The specs of its listeners, those that do not accept yet too."""
        return frozenset(self._open)

    def addresses(self) -> list[str]:
        """Where clients can connect, with real ports, in the order of `listen`."""
        return [each.address for opened in self._open.values() for each in opened]

    async def listen(self, spec: str, mode: int = 0o666) -> None:
        """`bind` and `accept`."""
        await self.bind(spec, mode)
        await self.accept()

    async def bind(self, spec: str, mode: int = 0o666) -> None:
        """Take "host:port", "[::1]:port", "unix:/path" (with that `mode`) or "fd:NAME".

        Who connects there waits for `accept`.
        Raises StartError: the address is taken, not ours, or no address.
        """
        try:
            listener = parse_listen(spec)
        except ValueError as exc:
            raise StartError(f"cannot listen on {spec!r}", detail=f"it {exc}") from exc
        if spec in self._open:
            raise StartError(f"cannot listen on {spec!r}", detail="this process does already")
        sockets = await open_sockets(listener, mode, self._inherited)
        opened: list[_Open] = []
        try:
            for bound in sockets:
                opened.append(await self._bind_to(bound, listener.path if listener.kind == "unix" else ""))
        except OSError as exc:
            for each in opened:
                each.close()
            for bound in sockets:
                bound.close()
            raise refusal(spec, exc) from exc
        self._open[spec] = opened

    async def accept(self) -> None:
        """Accept connections on everything that is bound."""
        for opened in list(self._open.values()):
            for each in opened:
                await each.server.start_serving()

    async def unlisten(self, *specs: str) -> None:
        """Accept no more connections there, and end those that are open after the request under way.

        All of it is done before the first await: what the handler is from then on, nobody reaches it by these.
        """
        closed = [each for spec in specs for each in self._open.pop(spec, ())]
        for each in closed:
            each.close()
        for connection in self._connections.values():
            if connection.door.closed:
                connection.drain()
        await asyncio.sleep(0)  # uvloop closes the socket in its next round

    def reconfigure(self, config: ServerConfig) -> None:
        """Other limits from the next request on, and the certificate as it is now.

        Raises ConfigError, having changed nothing. Addresses are the business of `listen` and `unlisten`.
        """
        if bool(config.tls.cert) != (self._tls is not None):
            problem = Problem(config.tls.cert, "server.tls", "cannot be switched while running", "restart instead")
            raise ConfigError([problem])
        if self._tls is not None:
            from gateway.net.tls import load_certificate, server_context

            server_context(config.tls)  # a certificate without its key must not get into the living context
            load_certificate(self._tls, config.tls)
        self._service.limits = config
        self._service.room.limit = config.max_buffered_bytes

    async def drain(self, seconds: float) -> int:
        """Let requests in flight finish; until they have, new ones get 503, on new connections too. Then stop.

        After `seconds`, or when told to `hurry`, what is left is cut. Returns how many requests that were.
        """
        self.draining = True
        for connection in self._connections.values():
            connection.drain()
        try:
            async with asyncio.timeout(0 if self._hurried else seconds) as self._patience:
                await self._wait_ended(set(self._connections))
        except TimeoutError:
            pass
        finally:
            self._patience = None
        self._close_listeners()
        return await self._cut()

    def hurry(self) -> None:
        """End a drain now, or one that is to come at once."""
        self._hurried = True
        if self._patience is not None:
            self._patience.reschedule(self._loop.time())

    async def hush(self) -> None:
        """Cut what is in flight, and answer what comes with 503 until `close`; the addresses stay taken."""
        self.draining = True
        await self._cut()

    async def close(self) -> None:
        """Stop at once."""
        self.draining = True
        self._close_listeners()
        await self._cut()

    async def _bind_to(self, bound: socket.socket, path: str) -> _Open:
        """Listens in the kernel already: two may bind one address, the second to listen hears that it is taken."""
        bound.listen(BACKLOG)
        door = Door()
        make = partial(self._make_protocol, door)
        if bound.family == socket.AF_UNIX:
            server = await self._loop.create_unix_server(
                make, sock=bound, backlog=BACKLOG, start_serving=False, **FILE_STAYS
            )
            return _Open(server, address_of(bound), door, path, os.lstat(path).st_ino if path else 0)
        tls = self._tls
        server = await self._loop.create_server(
            make,
            sock=bound,
            backlog=BACKLOG,
            start_serving=False,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS if tls else None,
        )
        return _Open(server, address_of(bound), door)

    def _make_protocol(self, door: Door) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(Connection(self._service, self._loop, door), self._welcome, self._loop)

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, Connection)
        limit = self._service.limits.max_connections
        if len(self._connections) >= 2 * limit:  # even those that hear a refusal must have an end
            self._service.room.shed["connections"] += 1
            writer.transport.abort()
            return
        refusal = None
        if len(self._connections) >= limit:
            refusal = self._service.room.overloaded("connections", "The gateway has too many connections.")
        self._start(reader, writer, refusal)

    def _start(self, connection: Connection, writer: asyncio.StreamWriter, refusal: RequestError | None) -> None:
        peer = writer.get_extra_info("peername")
        name = f"client {peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "client unix"
        connection.writer = writer
        connection.task = task = self._loop.create_task(connection.serve(refusal), name=name)
        self._connections[task] = connection
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]

    def _close_listeners(self) -> None:
        for opened in self._open.values():
            for each in opened:
                each.close()
        self._open.clear()

    async def _cut(self) -> int:
        cut = sum([connection.cut() for connection in self._connections.values()])
        await self._wait_ended(set(self._connections), CUT_SECONDS)
        return cut

    async def _wait_ended(self, tasks: set[asyncio.Task[None]], seconds: float | None = None) -> None:
        """Until these connections are closed, or it took too long. Those that come later are not waited for."""
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
