"""A scripted provider: real HTTP/1.1 on loopback in OpenAI's shapes, misbehaving on demand.

    async with FakeProvider() as fake:
        fake.script("sk-one", rate_limited(retry_after=20), Answer())
        ...                       # calls with the key sk-one: first a 429, then answers
        fake.requests[0].headers  # what arrived, in order

A key without a script is answered well. The last behaviour of a script repeats. Whoever hangs up before an
answer is complete is counted in `aborted`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

import trustme

from tests.fakes.answers import Call, encode, event, plain, streamed
from tests.fakes.api import Asked, FakeApi
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Content,
    Cut,
    Delay,
    Garbage,
    Hang,
    HangAfter,
    Held,
    Reset,
    SlowBytes,
    Stream,
)
from tests.ports import free_port

FOREVER = 3600.0
KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
"""Where Anthropic, Azure and Google have the key."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived. `headers` by lower-case name, `at` in loop time."""

    key: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def credentials(self) -> dict[str, str]:
        """The headers that carry a key."""
        return {name: self.headers[name] for name in ("authorization", *KEY_HEADERS) if name in self.headers}


class Gone(Exception):
    """The client hung up before its answer was complete."""


class Close(Exception):
    """The connection ends here, as scripted."""


class FakeProvider:
    """An asynchronous context manager; see the module.

    `tls`: True speaks TLS with a certificate of `ca` for 127.0.0.1 and localhost; "wrong_host" has one for
    somebody else; "broken" answers a handshake with nonsense. Entered again, it comes back on the same port.
    `api`: whose API it is, instead of OpenAI's with fixed words; see `api.py`.
    """

    def __init__(self, *, tls: bool | Literal["wrong_host", "broken"] = False, api: FakeApi | None = None) -> None:
        self.api = api
        self.requests: list[Seen] = []
        self.calls_by_key: Counter[str] = Counter()
        self.response_owner: dict[str, str] = {}
        self.connections = 0
        self.aborted = 0
        self.resets_connections = False  # as they come, before any request
        self.ca: trustme.CA | None = trustme.CA() if tls else None
        self.origin = ""
        self.base_url = ""
        self.port = 0
        self.held: list[asyncio.Timeout] = []  # the pauses of calls that wait for `let_go`
        self._tls = tls
        self._aborted_more = asyncio.Event()
        self._planned: dict[int, Callable[[], object]] = {}
        self._scripts: dict[str, list[Behaviour]] = {}
        self._choose: Callable[[Seen], Behaviour] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> FakeProvider:
        await self.listen()
        self.origin = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        self.base_url = f"{self.origin}/v1"
        return self

    async def listen(self) -> None:
        """Accept connections, those of an earlier time on the same port, which nobody has taken meanwhile."""
        self.port = self.port or free_port()
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, ssl=self._context(), backlog=1024
        )

    def refuse(self) -> None:
        """Refuse connections until `listen`; those that there are stay."""
        assert self._server is not None
        self._server.close()

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failures:
            raise AssertionError("the fake provider failed") from self._failures[0]

    def script(self, key: str, *behaviours: Behaviour) -> None:
        """What calls with this key meet from now on, in this order; the last one repeats. None: answers."""
        self._scripts[key] = list(behaviours)

    def script_all(self, choose: Callable[[Seen], Behaviour]) -> None:
        """What any call meets from now on, whatever its key's script says."""
        self._choose = choose

    def plan(self, count: int, act: Callable[[], object]) -> None:
        """Call `act` when so many more requests have arrived, before the last of them is answered."""
        self._planned[len(self.requests) + count] = act

    def let_go(self) -> None:
        """Go on with the calls that are `Held` now."""
        while self.held:
            self.held.pop().reschedule(0.0)

    async def wait_aborted(self, count: int = 1) -> None:
        """Wait until this many clients have hung up before their answer was complete."""
        while self.aborted < count:
            self._aborted_more.clear()
            await self._aborted_more.wait()

    def _context(self) -> ssl.SSLContext | None:
        if self.ca is None or self._tls == "broken":
            return None
        names = ["other.example"] if self._tls == "wrong_host" else ["127.0.0.1", "localhost"]
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names).configure_cert(context)
        return context

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="fake provider")
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failures.append(failure)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(Close, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            try:
                if self.resets_connections:
                    reset(writer)
                    raise Close
                if self._tls == "broken":
                    await reader.read(1)
                    writer.write(b"HTTP/1.1 400 this is not TLS\r\n\r\n")
                    raise Close
                while True:
                    seen = await self._read(reader)
                    try:
                        await Exchange(self, seen, reader, writer).play(self._next(seen))
                    except (Gone, ConnectionError) as exc:
                        self.aborted += 1
                        self._aborted_more.set()
                        raise Close from exc
                    if seen.headers.get("connection", "").lower() == "close":
                        raise Close
            except asyncio.CancelledError:
                writer.transport.abort()
                raise
            finally:
                writer.close()

    def _next(self, seen: Seen) -> Behaviour:
        if self._choose is not None:
            return self._choose(seen)
        script = self._scripts.get(seen.key)
        if not script:
            return Answer()
        return script.pop(0) if len(script) > 1 else script[0]

    async def _read(self, reader: asyncio.StreamReader) -> Seen:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head[:-4].split("\r\n")
        method, path, _ = request_line.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await _read_body(reader, headers)
        key = headers.get("authorization", "").removeprefix("Bearer ")
        key = key or next((headers[name] for name in KEY_HEADERS if name in headers), "")
        seen = Seen(key, method, path, headers, body, asyncio.get_running_loop().time())
        self.requests.append(seen)
        self.calls_by_key[key] += 1
        self._planned.pop(len(self.requests), lambda: None)()
        return seen


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer ready to be written: its head, the pieces of its body, seconds between them, and how it is framed."""

    head: bytes
    pieces: list[bytes]
    gap: float
    chunked: bool


class Exchange:
    """One request and what it meets."""

    def __init__(
        self, fake: FakeProvider, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._seen = seen
        self._reader = reader
        self._writer = writer
        self._fake = fake
        path = seen.path.partition("?")[0].removeprefix("/v1").strip("/")
        self._call = Call(seen.method, path, _json_object(seen.body), len(fake.requests))

    async def play(self, behaviour: Behaviour) -> None:
        """Do what the script says. Raises Gone when the client leaves, Close when the connection is to end."""
        match behaviour:
            case Answer() | Stream():
                await self._send(self._render(behaviour))
            case Hang():
                await self._pause(FOREVER)
            case HangAfter(n_bytes, of):
                await self._send(self._render(of), stop_after=n_bytes)
                await self._pause(FOREVER)
            case Cut(after_bytes, of):
                await self._send(self._render(of), stop_after=after_bytes)
                raise Close
            case SlowBytes(n, gap, of):
                whole = self._render(of)
                body = b"".join(whole.pieces)
                pieces = [body[i : i + n] for i in range(0, len(body), n)]
                await self._send(Rendered(whole.head, pieces, gap, whole.chunked))
            case Delay(seconds, then):
                await self._pause(seconds)
                await self.play(then)
            case Held(then):
                await self._pause(FOREVER, held=True)
                await self.play(then)
            case Garbage(data):
                self._writer.write(data)
                raise Close
            case Reset():
                reset(self._writer)
                raise Close
            case CloseBeforeAnswer():
                raise Close

    def _render(self, content: Content) -> Rendered:
        if self._fake.api is not None and content in (Answer(), Stream()):
            return self._speak(self._fake.api)
        if isinstance(content, Stream):
            return self._render_stream(content)
        if content.body is None:
            if content.status == 200 and self._call.body.get("stream") is True:
                return self._render_stream(Stream(headers=content.headers))
            status, content_type, body = self._default(content.status)
        else:
            status, content_type = content.status, "application/json"
            body = content.body if isinstance(content.body, bytes) else encode(content.body)
        headers = {"content-type": content_type, "content-length": str(len(body)), **content.headers}
        return Rendered(_head(status, headers), [body] if body else [], 0.0, chunked=False)

    def _speak(self, api: FakeApi) -> Rendered:
        path, _, query = self._seen.path.partition("?")
        asked = Asked(
            self._seen.method,
            unquote(path),
            dict(parse_qsl(query)),
            self._seen.headers,
            self._call.body,
            len(self._fake.requests),
        )
        spoken = api.answer(asked)
        chunked = len(spoken.pieces) > 1
        size = ("transfer-encoding", "chunked") if chunked else ("content-length", str(len(spoken.pieces[0])))
        headers = {"content-type": spoken.content_type, size[0]: size[1], **spoken.headers}
        return Rendered(_head(spoken.status, headers), list(spoken.pieces), 0.0, chunked)

    def _default(self, status: int) -> tuple[int, str, bytes]:
        previous = self._call.body.get("previous_response_id")
        if previous is not None and self._fake.response_owner.get(previous) != self._seen.key:
            message = f"Previous response with id '{previous}' not found."
            error = {"message": message, "type": "invalid_request_error", "param": "previous_response_id",
                     "code": "previous_response_not_found"}  # fmt: skip
            return 400, "application/json", encode({"error": error})
        if self._call.path == "responses":
            self._fake.response_owner[self._call.response_id] = self._seen.key
        default, content_type, body = plain(self._call)
        return (default if status == 200 else status), content_type, body

    def _render_stream(self, stream: Stream) -> Rendered:
        if stream.events is None:
            if self._call.path == "responses":
                status, _, body = self._default(200)
                if status != 200:
                    return self._render(Answer(status, body))
            events = streamed(self._call, stream.usage)
        else:
            events = [event(payload) for payload in stream.events]
        headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked", **stream.headers}
        return Rendered(_head(200, headers), events, stream.gap, chunked=True)

    async def _send(self, answer: Rendered, stop_after: int | None = None) -> None:
        """The answer, or only so many bytes of its body."""
        self._writer.write(answer.head)
        pieces = answer.pieces if stop_after is None else list(_first_bytes(answer.pieces, stop_after))
        for number, piece in enumerate(pieces):
            if answer.gap and number:
                await self._pause(answer.gap)
            if self._writer.transport.is_closing():
                raise Gone
            self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
            if answer.gap:
                await self._writer.drain()
        if answer.chunked and stop_after is None:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def _pause(self, seconds: float, *, held: bool = False) -> None:
        """Time passes, unless the client hangs up. A client that sends ahead of its answer is not provided for."""
        try:
            async with asyncio.timeout(seconds) as pause:
                if held:
                    self._fake.held.append(pause)
                ahead = await self._reader.read(1)
        except TimeoutError:
            return
        finally:
            if held and pause in self._fake.held:
                self._fake.held.remove(pause)
        if ahead:
            raise AssertionError("the client sent more before its answer was complete")
        raise Gone


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    # A twin of the socket, because uvloop's stand-in takes no options.
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _first_bytes(pieces: list[bytes], count: int) -> Iterator[bytes]:
    for piece in pieces:
        if count <= 0:
            return
        yield piece[:count]
        count -= len(piece)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "x-request-id: req_fake", "", ""]).encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
