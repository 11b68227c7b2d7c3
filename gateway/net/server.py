"""Listening: sockets in, connections out, and the orderly end of all of them.

The server owns every connection's task. It does not rely on `asyncio.Server.wait_closed()`, which waits for open
connections since Python 3.12, nor on `serve_forever()`, which uvloop ends differently.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from gateway.config.model import ServerConfig
from gateway.errors import RequestError
from gateway.net.connection import ClientReader, Connection, Handler, Refusal, Reply
from gateway.net.listen import CLIENTS_MODE, bind
from gateway.net.tls import load_certificate, server_context

if TYPE_CHECKING:
    import ssl

BACKLOG = 4096  # connections the kernel keeps for us; a restart of many clients comes as a burst
HANDSHAKE_SECONDS = 10.0
CLOSE_SECONDS = 5.0  # for tasks that were cancelled to clean up after themselves

__all__ = ["Handler", "Refusal", "Reply", "Server"]


class Server:
    """`handler` answers requests, `refuse` renders what is refused before it, `on_error` hears of our own bugs."""

    def __init__(
        self,
        handler: Handler,
        refuse: Refusal,
        config: ServerConfig,
        *,
        on_error: Callable[[BaseException], None],
        inherited: Mapping[str, socket.socket] | None = None,
    ) -> None:
        self.handler = handler
        self.refuse = refuse
        self.config = config
        self.on_error = on_error
        self.loop = asyncio.get_running_loop()
        self.draining = False
        self.buffered = 0  # bytes of large request bodies, all connections together
        self._inherited = inherited or {}
        self._listeners: dict[str, list[asyncio.Server]] = {}
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._tls: ssl.SSLContext | None = None
        self._quiet = asyncio.Event()

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Requests whose answer is not complete."""
        return sum(connection.in_request for connection in self._connections)

    async def listen(self, spec: str, *, mode: int = CLIENTS_MODE) -> None:
        """Accept on an address of `[server] listen`. `mode` is that of a Unix socket. Raises StartError."""
        sockets = bind(spec, self._inherited, mode)
        servers: list[asyncio.Server] = []
        try:
            for sock in sockets:
                if sock.family == socket.AF_UNIX:
                    servers.append(await self.loop.create_unix_server(self._protocol, sock=sock, backlog=BACKLOG))
                    continue
                if self._tls is None:
                    self._tls = server_context(self.config.tls)
                handshake = HANDSHAKE_SECONDS if self._tls is not None else None
                servers.append(
                    await self.loop.create_server(
                        self._protocol, sock=sock, backlog=BACKLOG, ssl=self._tls, ssl_handshake_timeout=handshake
                    )
                )
        except BaseException:
            for server in servers:
                server.close()
            for sock in sockets:
                sock.close()
            raise
        self._listeners[spec] = servers

    async def unlisten(self, spec: str) -> None:
        """Accept no more on an address; its open connections go on."""
        for server in self._listeners.pop(spec, []):
            server.close()

    def addresses(self) -> list[str]:
        """Where the server listens, with the ports it was given."""
        found = []
        for servers in self._listeners.values():
            for server in servers:
                found += [_address(sock) for sock in server.sockets]
        return found

    def reconfigure(self, config: ServerConfig) -> None:
        """New limits for what comes next, and the certificate as it is now. Raises StartError; nothing changed then."""
        if self._tls is not None and config.tls.cert:
            load_certificate(self._tls, config.tls)
        self.config = config

    async def drain(self, seconds: float) -> int:
        """Refuse new requests with 503 and wait for those in flight. Returns how many are left after `seconds`."""
        self.draining = True
        try:
            async with asyncio.timeout(seconds):
                while self.in_flight:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            pass
        return self.in_flight

    async def close(self) -> None:
        """Stop listening and end every connection."""
        self.draining = True
        for spec in list(self._listeners):
            await self.unlisten(spec)
        tasks = list(self._connections.values())
        for connection in list(self._connections):
            connection.interrupt("closing")
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
            for task in stuck:
                task.cancel()

    def request_done(self) -> None:
        """A connection finished a request: a drain may be waiting for that."""
        if self.draining:
            self._quiet.set()

    # -- accepting ---------------------------------------------------------------------------------------------

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(ClientReader(self.loop), self._accept, loop=self.loop)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, ClientReader)
        name = writer.get_extra_info("peername")
        peer = name[0] if isinstance(name, tuple) else "unix"
        connection = Connection(self, reader, writer, peer)
        if len(self._connections) >= self.config.max_connections:
            self._turn_away(connection)
            return
        task = self.loop.create_task(connection.run(), name=f"client {peer}")
        self._connections[connection] = task
        task.add_done_callback(lambda _: self._forget(connection))

    def _turn_away(self, connection: Connection) -> None:
        error = RequestError(503, "overloaded", "Too many connections are open.", retry_after=1.0, close=True)
        task = self.loop.create_task(connection.turn_away(error), name="turned away")
        self._connections[connection] = task
        task.add_done_callback(lambda _: self._forget(connection))

    def _forget(self, connection: Connection) -> None:
        del self._connections[connection]
        self._quiet.set()


def _address(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"
