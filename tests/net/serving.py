"""A server to send raw bytes to, and handlers for it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.config.model import ServerConfig
from gateway.errors import RequestError
from gateway.net.connection import Reply, Request
from gateway.net.server import Server
from gateway.net.service import Admission, admit_all
from tests.net.raw import Answer, SocketClient, connecting

TEXT = [(b"content-type", b"text/plain")]
EVENTS = [(b"content-type", b"text/event-stream")]
BIG = 16_000_000  # more than the kernel's buffers on both sides take
SHORT = 0.05  # seconds; for limits that are to pass
NO_SOCKETS: Mapping[str, socket.socket] = {}


def refuse(
    request: Request | None, error: RequestError, peer: str, *, handled: bool
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Errors as JSON, with the request's path where its head could be read."""
    headers = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    told = {"code": error.code, "message": str(error), "path": request.path if request is not None else None}
    return error.status, headers, json.dumps({"error": told}).encode()


async def echo(request: Request, reply: Reply) -> None:
    """What was asked, as JSON."""
    told = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "body": request.body.decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers],
    }
    await reply.send(200, [(b"content-type", b"application/json")], json.dumps(told).encode())


async def mirror(request: Request, reply: Reply) -> None:
    """The body, as it came."""
    await reply.send(200, TEXT, request.body)


async def target(request: Request, reply: Reply) -> None:
    await reply.send(200, TEXT, request.target)


class Handling:
    """A handler that waits: before it answers, between two pieces, or for a client to read on."""

    def __init__(self, where: str = "before") -> None:
        self.where = where
        self.waits = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.may_go = asyncio.Event()

    async def __call__(self, request: Request, reply: Reply) -> None:
        try:
            if self.where == "between":
                await reply.start(200, EVENTS)
                await reply.write(b"data: 1\n\n")
            self.waits.set()
            if self.where == "writing":
                await reply.start(200, EVENTS)
                while True:
                    await reply.write(bytes(1_000_000))
            await self.may_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if not reply.started:
            await reply.start(200, EVENTS)
        await reply.write(b"data: 2\n\n")
        await reply.end()


@dataclass(slots=True)
class Served:
    """A server that runs, the mistakes it owned up to, and where clients find it."""

    server: Server
    errors: list[BaseException] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.server.addresses()[0]

    def connecting(self, *, receive_buffer: int = 0) -> AbstractAsyncContextManager[SocketClient]:
        return connecting(self.address, receive_buffer=receive_buffer)

    async def exchange(self, request: bytes) -> Answer:
        """One request on a connection of its own."""
        async with self.connecting() as client:
            await client.send(request)
            return await client.read_answer()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """A test that waits in vain is ended by its deadline."""
        while not condition():
            await asyncio.sleep(0)

    async def wait_quiet(self) -> None:
        """Until no connection is left, and nothing of them."""
        await self.wait_until(lambda: not self.server.connections)
        assert self.server.in_flight == 0
        assert self.server.buffered == 0


@asynccontextmanager
async def serving(
    handler: Callable[[Request, Reply], Awaitable[None]] = echo,
    *,
    listen: str = "127.0.0.1:0",
    inherited: Mapping[str, socket.socket] = NO_SOCKETS,
    lasting: frozenset[str] = frozenset(),
    admit: Admission = admit_all,
    expect_errors: bool = False,
    **limits: Any,
) -> AsyncIterator[Served]:
    """A server with such limits. At the end nothing may be left of it, nor may it have made a mistake."""
    errors: list[BaseException] = []
    server = Server(
        handler,
        refuse,
        ServerConfig(**limits),
        on_error=errors.append,
        admit=admit,
        inherited=inherited,
        lasting=lasting,
    )
    await server.listen(listen)
    served = Served(server, errors)
    try:
        yield served
    finally:
        await server.close()
    assert server.connections == server.in_flight == server.buffered == 0
    assert expect_errors or not errors, errors
