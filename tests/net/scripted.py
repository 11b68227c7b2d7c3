"""A TCP server that plays a script on each connection, for tests of the client: bytes in, bytes out.

A script is a coroutine function of a `Wire`, the server's side of one connection; when it returns, the
connection is closed.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from gateway.net.dial import Origin


def both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """An async test, played over asyncio and over uvloop; one that hangs fails after 20 s."""

    @functools.wraps(test)
    def play(loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20):
                await test(**arguments)

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(bounded())

    signature = inspect.signature(test)
    loop = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    play.__signature__ = signature.replace(parameters=[loop, *signature.parameters.values()])  # type: ignore[attr-defined]
    factories = [asyncio.new_event_loop, uvloop.new_event_loop]
    played: Callable[..., None] = pytest.mark.parametrize("loop", factories, ids=["asyncio", "uvloop"])(play)
    return played


async def turns(count: int = 8) -> None:
    """Let the loop go round, so that what was written on loopback is read on the other side."""
    for _ in range(count):
        await asyncio.sleep(0)


class Upstream:
    """What the server saw: how many connections, and the requests in order."""

    def __init__(self) -> None:
        self.origin = Origin("http", "127.0.0.1", 0)
        self.accepted = 0
        self.requests: list[bytes] = []
        self.playing: set[asyncio.Task[None]] = set()

    async def wait_gone(self) -> None:
        """Until the client has closed every connection (and the scripts have noticed)."""
        while self.playing:
            await asyncio.wait(self.playing)


class Wire:
    """The server's side of one connection."""

    def __init__(self, upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.upstream = upstream
        self.reader = reader
        self.writer = writer
        self.write = writer.write

    async def read_request(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        request = head + (await self.reader.readexactly(int(length[1])) if length else b"")
        self.upstream.requests.append(request)
        return request

    async def wait_gone(self) -> None:
        """Until the client closes the connection; what it still sends is thrown away."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """Close so that the client gets a reset instead of an end of file."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


Script = Callable[[Wire], Awaitable[None]]


@asynccontextmanager
async def scripted(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """A server whose nth connection plays the nth script, later ones the last."""
    upstream = Upstream()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        upstream.playing.add(task)
        script = scripts[min(upstream.accepted, len(scripts) - 1)]
        upstream.accepted += 1
        try:
            await script(Wire(upstream, reader, writer))
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            upstream.playing.discard(task)

    server = await asyncio.start_server(play, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    upstream.origin = Origin("https" if tls else "http", "localhost" if tls else "127.0.0.1", port)
    try:
        yield upstream
    finally:
        server.close()
        for task in list(upstream.playing):
            task.cancel()
        if upstream.playing:
            await asyncio.wait(upstream.playing)
        await turns()


def answering(*responses: bytes, close: bool = False) -> Script:
    """One response for each request; then close, or stay until the client goes."""

    async def script(wire: Wire) -> None:
        for response in responses:
            await wire.read_request()
            wire.write(response)
        if not close:
            await wire.wait_gone()

    return script
