"""Real proxies on loopback: HTTP CONNECT, in the clear or over TLS, and SOCKS5, with or without credentials.

    async with FakeProxy("http", user="ann", password="secret") as proxy:
        proxy.url                  # a ProxyUrl that leads here, with the credentials
        proxy.asked                # the origins asked for, in order, as "host:port"

`answer` replaces what the proxy says to a CONNECT or to a SOCKS request; `silent` lets it say nothing. `hosts` are
names that only the proxy knows, `lost` origins that it does not reach, `detour` is a port to which it leads instead.
Entered again, it comes back on the same port.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import ssl
import struct
from collections.abc import Mapping

from gateway.config.proxyurl import ProxyUrl
from gateway.secret import Secret
from tests.ports import free_port

NOWHERE: Mapping[str, str] = {}
LARGE = 65536


class Refused(Exception):
    """The tunnel is not built; the bytes are what the client is told."""

    def __init__(self, told: bytes) -> None:
        self.told = told


class FakeProxy:
    """An asynchronous context manager; see the module. `kind` is "http" or "socks5", `tls` for "https://"."""

    def __init__(
        self,
        kind: str = "http",
        *,
        user: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
        answer: bytes | None = None,
        silent: bool = False,
        hosts: Mapping[str, str] = NOWHERE,
    ) -> None:
        self.kind = kind
        self.user = user
        self.password = password
        self.answer = answer
        self.silent = silent
        self.hosts = hosts
        self.lost: set[str] = set()
        self.detour: int | None = None
        self.asked: list[str] = []
        self.heads: list[bytes] = []
        self.tunnels = 0
        self.open = 0
        self.port = 0
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> FakeProxy:
        self.port = self.port or free_port()  # where nobody else listens when this one is gone
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    @property
    def url(self) -> ProxyUrl:
        scheme = "https" if self._tls else self.kind
        host = "localhost" if self._tls else "127.0.0.1"
        return ProxyUrl(scheme, host, self.port, self.user, Secret(self.password))

    async def cut(self) -> None:
        """End every tunnel."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(8):  # the loop closes sockets a few turns later
            await asyncio.sleep(0)

    async def wait_gone(self) -> None:
        """Until the client has closed every connection."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="fake proxy")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await (self._socks if self.kind.startswith("socks") else self._connect)(reader, writer)
        except Refused as refused:
            writer.write(refused.told)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.drain()
                while await reader.read(LARGE):
                    pass
        finally:
            self.open -= 1
            writer.transport.abort() if self.silent else writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        if method != b"CONNECT":
            raise Refused(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
        if self.user or self.password:
            credentials = base64.b64encode(f"{self.user}:{self.password}".encode())
            if b"\r\nproxy-authorization: Basic " + credentials + b"\r\n" not in head:
                raise Refused(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        self.asked.append(target.decode())
        await self._say_instead(reader)
        host, _, port = target.decode().rpartition(":")
        try:
            far = await self._open(host.strip("[]"), int(port))
        except OSError:
            raise Refused(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n") from None
        writer.write(b"HTTP/1.0 200 Connection established\r\nvia: fake\r\n\r\n")
        await self._relay(reader, writer, *far)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """RFC 1928, and RFC 1929 for the credentials."""
        _, n = await reader.readexactly(2)
        offered = await reader.readexactly(n)
        wanted = 2 if self.user else 0
        if wanted not in offered:
            raise Refused(b"\x05\xff")
        writer.write(bytes([5, wanted]))
        if wanted:
            _, n = await reader.readexactly(2)
            user = await reader.readexactly(n)
            (n,) = await reader.readexactly(1)
            password = await reader.readexactly(n)
            if (user, password) != (self.user.encode(), self.password.encode()):
                raise Refused(b"\x01\x01")
            writer.write(b"\x01\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            (n,) = await reader.readexactly(1)
            host = (await reader.readexactly(n)).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        self.asked.append(f"{host}:{port}")
        await self._say_instead(reader)
        try:
            far = await self._open(host, port)
        except OSError:
            raise Refused(b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00") from None
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        await self._relay(reader, writer, *far)

    async def _say_instead(self, reader: asyncio.StreamReader) -> None:
        if self.silent:
            while await reader.read(LARGE):
                pass
            raise ConnectionResetError
        if self.answer is not None:
            raise Refused(self.answer)

    async def _open(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if f"{host}:{port}" in self.lost:
            raise ConnectionRefusedError
        return await asyncio.open_connection(self.hosts.get(host, host), self.detour or port)

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        """Bytes both ways, until either side ends."""
        self.tunnels += 1
        ways = [
            asyncio.create_task(_pump(reader, far_writer), name="out"),
            asyncio.create_task(_pump(far_reader, writer), name="back"),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(LARGE):
        writer.write(data)
        await writer.drain()
