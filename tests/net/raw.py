"""A client that sends exactly the bytes it is told to, for tests of the server.

Answers are read strictly: framing that is not to the letter fails the test.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.net.scripted import turns

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def post(body: bytes, path: bytes = b"/", *headers: bytes) -> bytes:
    """A request with a body and its Content-Length."""
    lines = [b"POST %s HTTP/1.1" % path, b"Host: a", *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def chunked(*chunks: bytes, path: bytes = b"/") -> bytes:
    """A request whose body comes in chunks."""
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are lower-case."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name!r} is there {len(values)} times"
        return values[0] if values else None

    @property
    def error(self) -> str:
        """The code of an error of ours."""
        assert self.header(b"content-type") == b"application/json"
        return str(json.loads(self.body)["error"]["code"])

    @property
    def closes(self) -> bool:
        return self.header(b"connection") == b"close"


class RawClient:
    """One connection. `received` is what was read of it and not yet taken by `read_answer`."""

    def __init__(
        self, send: Callable[[bytes], Coroutine[Any, Any, None]], receive: Callable[[], Awaitable[bytes]]
    ) -> None:
        self.send = send
        self._receive = receive
        self.received = b""

    async def read_answer(self, method: str = "GET") -> Answer:
        """The next answer, interim ones (1xx) too. Raises EOFError if the connection ends before it is whole."""
        head = await self._take_until(b"\r\n\r\n")
        status_line, *lines = head[:-4].split(b"\r\n")
        version, status, _ = status_line.split(b" ", 2)
        assert version == b"HTTP/1.1"
        headers = [(name.lower(), value) for name, value in (line.split(b": ", 1) for line in lines)]
        fields = dict(headers)
        if method == "HEAD" or int(status) in (100, 204, 304):
            body = b""
        elif b"content-length" in fields:
            assert b"transfer-encoding" not in fields
            body = await self._take(int(fields[b"content-length"]))
        elif b"transfer-encoding" in fields:
            assert fields[b"transfer-encoding"] == b"chunked"
            body = b"".join([chunk async for chunk in self.read_chunks()])
        else:
            assert fields[b"connection"] == b"close", "an answer without framing must end with the connection"
            body = await self.read_to_end()
        return Answer(int(status), headers, body)

    async def read_chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a body, until the last one. Raises EOFError if that does not come."""
        while size := int(await self._take_until(b"\r\n"), 16):
            yield await self._take(size)
            assert await self._take(2) == b"\r\n"
        assert await self._take(2) == b"\r\n"

    async def read_head(self) -> bytes:
        return await self._take_until(b"\r\n\r\n")

    async def read_to_end(self) -> bytes:
        """All until the server closes its side. Raises ConnectionResetError when that is no orderly end."""
        while data := await self._receive():
            self.received += data
        rest, self.received = self.received, b""
        return rest

    async def send_by_bytes(self, data: bytes) -> None:
        """Each byte for itself, and time for the server to read it. Stops when the server has closed."""
        try:
            for n in range(len(data)):
                await self.send(data[n : n + 1])
                await turns(2)
        except ConnectionError:
            pass

    async def _take(self, size: int) -> bytes:
        while len(self.received) < size:
            await self._more()
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    async def _take_until(self, end: bytes) -> bytes:
        while (at := self.received.find(end)) < 0:
            await self._more()
        return await self._take(at + len(end))

    async def _more(self) -> None:
        data = await self._receive()
        if not data:
            raise EOFError(f"the connection ended after {self.received[-100:]!r}")
        self.received += data


class SocketClient(RawClient):
    """A client on a plain socket, which it can close in every way there is."""

    def __init__(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(lambda data: loop.sock_sendall(sock, data), lambda: loop.sock_recv(sock, 65536))
        self.sock = sock

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


@asynccontextmanager
async def connecting(address: str, *, receive_buffer: int = 0) -> AsyncIterator[SocketClient]:
    """A client of an address as `Server.addresses` writes it. `receive_buffer` makes it a slow reader."""
    kind, _, path = address.partition(":")
    if kind == "unix":
        family, where = socket.AF_UNIX, path
    else:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        where = (host.strip("[]"), int(port))  # type: ignore[assignment]
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, where)
        yield SocketClient(sock)


@asynccontextmanager
async def connecting_tls(address: str, context: ssl.SSLContext) -> AsyncIterator[tuple[RawClient, bytes]]:
    """A client that speaks TLS, and the certificate that it was shown (DER)."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost")

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    try:
        yield RawClient(send, lambda: reader.read(65536)), writer.get_extra_info("ssl_object").getpeercert(True)
    finally:
        writer.transport.abort()
