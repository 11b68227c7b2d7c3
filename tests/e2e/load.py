"""A bare HTTP/1.1 client for load in tests: keep-alive, one request at a time per connection."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}


@dataclass(slots=True)
class Answered:
    """A whole answer: the message was complete by its own framing."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Incomplete(Exception):
    """The connection ended inside an answer. `received`: bytes of it that had come."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"{len(received)} bytes of an answer")
        self.received = received


@dataclass(slots=True)
class Caller:
    """One connection to `address` ("http://HOST:PORT", or "unix:/PATH"), opened when needed; with `tls` over TLS."""

    address: str
    token: str = "anything"
    tls: ssl.SSLContext | None = None
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: object, **headers: str) -> Answered:
        return await self.request("POST", path, json.dumps(body).encode(), **headers)

    async def chat(self, **more: object) -> Answered:
        return await self.post("/v1/chat/completions", {**CHAT, **more})

    async def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answered:
        """Raises OSError when nothing was answered, Incomplete when an answer was cut."""
        writer = self._writer or await self._open()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"host: {urlsplit(self.address).netloc or 'localhost'}",
            f"authorization: Bearer {self.token}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        try:
            return await self._read()
        except BaseException:
            self.close()
            raise

    async def _open(self) -> asyncio.StreamWriter:
        if self.address.startswith("unix:"):
            self._reader, writer = await asyncio.open_unix_connection(self.address.removeprefix("unix:"))
        else:
            url = urlsplit(self.address)
            self._reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=self.tls)
        self._writer = writer
        return writer

    async def _read(self) -> Answered:
        assert self._reader is not None
        head = b""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Incomplete(error.partial) from None
            raise ConnectionResetError("closed without an answer") from None
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        try:
            body = await self._read_body(headers)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Incomplete(head + getattr(error, "partial", b"")) from None
        if headers.get("connection") == "close":
            self.close()
        return Answered(int(first.split()[1]), headers, body)

    async def _read_body(self, headers: dict[str, str]) -> bytes:
        assert self._reader is not None
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        parts = []
        while True:
            size = int((await self._reader.readuntil(b"\r\n")).strip(), 16)
            parts.append((await self._reader.readexactly(size + 2))[:-2])
            if not size:
                return b"".join(parts)

    async def rest(self) -> bytes:
        """What comes without having been asked for, until the other side closes."""
        assert self._reader is not None
        return await self._reader.read()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


@dataclass(slots=True)
class Tally:
    """What many requests came to."""

    answers: list[Answered] = field(default_factory=list)
    refused: int = 0
    cut: list[bytes] = field(default_factory=list)

    def statuses(self) -> set[int]:
        return {answer.status for answer in self.answers}


async def load(address: str, total: int, connections: int, stop: Callable[[], bool] = lambda: False) -> Tally:
    """`total` chat requests over `connections` connections; ends early when `stop` says so."""
    tally = Tally()
    left = iter(range(total))

    async def work(number: int) -> None:
        caller = Caller(address)
        for n in left:
            if stop():
                break
            try:
                tally.answers.append(await caller.chat(stream=n % 3 == 0, user=f"request-{n}"))
            except Incomplete as error:
                tally.cut.append(error.received)
            except OSError:
                tally.refused += 1
        caller.close()

    await asyncio.gather(*(work(number) for number in range(connections)))
    return tally
