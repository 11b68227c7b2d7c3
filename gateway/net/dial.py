"""One connection to an upstream: where it leads, how it is opened, what arrives on it.

`Connection` is the reading half of a stream that keeps the pieces as they came; that saves two copies and a coroutine
for each streamed event. What the bytes mean is left to `answerhead.py` and `bodies.py`, who gets which connection to
`pool.py`, certificates to `tls.py`, the way through a proxy to `tunnel.py`.

Invariants:
- `closed` is true from the moment nothing more can arrive: end of file, reset, expired deadline, `abort`.
- Bytes that arrive while no request is under way answer nothing that we asked; the connection is given up,
  or they would be taken for the answer to the next request (response splitting).
- The upstream's sending is paused while more than READ_AHEAD bytes are unread.
- One `Deadline` for a connection's life. It fails the connection, and with it whoever waits on it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import NoReturn
from urllib.parse import urlsplit

from gateway.errors import ConnectError, Disconnect, UpstreamError, UpstreamTimeout
from gateway.net.deadline import Deadline
from gateway.quick import dataclass

READ_AHEAD = 65536  # bytes; what a slow client lets pile up for each of thousands of streams
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads (RFC 6454). `host` is lower-case ASCII, an IPv6 address without brackets."""

    scheme: str  # "http" or "https"
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> tuple[Origin, str]:
        """The origin of a base URL, and its path without a slash at the end ("" or "/v1").

        Raises ValueError, with words for the operator, for a URL that cannot be a base URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS:
            raise ValueError("the URL must begin with http:// or https://")
        if not parts.hostname:
            raise ValueError("the URL has no host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the URL must not contain a user name or password")
        if parts.query or parts.fragment:
            raise ValueError("the URL must not contain a query or fragment")
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        port = parts.port if parts.port is not None else DEFAULT_PORTS[parts.scheme]
        return cls(parts.scheme, host, port), parts.path.rstrip("/")

    @property
    def authority(self) -> bytes:
        """The value of a Host header (RFC 9112 3.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}").encode()

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority.decode()}"


class Connection(asyncio.StreamReader):
    """An open connection: its `transport`, what has arrived, and the wait for more.

    `unread` counts the bytes that arrived since somebody last took them, `heard` tells whether anything arrived since
    the request.
    """

    __slots__ = (
        "_arrived", "_deadline", "_failure", "_held", "_phase", "_seconds", "_started", "_total",
        "_unwritten", "_waiting", "closed", "expecting", "heard", "loop", "transport", "unread", "writer",
    )  # fmt: skip

    transport: asyncio.Transport  # set by `dial`, as is `writer`, before anybody else sees the connection
    writer: asyncio.StreamWriter

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(READ_AHEAD, loop)
        self.loop = loop
        self.closed = False
        self.expecting = False
        self.heard = False
        self.unread = 0
        self._arrived: list[bytes] = []  # since somebody last took it
        self._deadline = Deadline(loop, self._expire)
        self._failure: UpstreamError | None = None
        self._held = False
        self._waiting: asyncio.Future[None] | None = None

    def begin(self, total: float) -> None:
        """A request is about to be written, and all of its answer must have been read by `total`."""
        self.expecting = True
        self.heard = False
        self._total = total
        self._started = self.loop.time()

    def watch(self, phase: str, seconds: float) -> None:
        """From now on the connection fails when `phase` takes longer than `seconds`."""
        if self.closed:
            return
        at = self.loop.time() + seconds
        if at > self._total:
            phase, at, seconds = "total", self._total, round(self._total - self._started, 2)
        self._phase = phase
        self._seconds = seconds
        self._deadline.move(at)

    async def write(self, head: bytes, body: bytes, seconds: float) -> None:
        """Write a request too long for one piece, until the last byte is with the kernel, or until the upstream says
        something: it may refuse what it has seen, and never read the rest.

        A failure is not raised here but by the next `wait`: the upstream may have answered before it closed.
        """
        self._unwritten = len(head) + len(body)
        self.transport.set_write_buffer_limits(0)
        self.writer.write(head)
        self.writer.write(body)
        self.watch("write", seconds)
        self._waiting = self.loop.create_future()
        written = self.loop.create_task(self._drain(), name="upstream-write")
        try:
            await asyncio.wait((written, self._waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting = None
            written.cancel()

    async def wait(self) -> None:
        """Until more has arrived, or the end of file: then there is nothing `unread`.

        Raises what failed the connection: UpstreamTimeout, Disconnect. A cancelled wait loses nothing.
        """
        if not self.closed:
            self._waiting = self.loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if self.unread:
            return
        if self._failure is not None:
            self._raise_failure()

    def take(self) -> bytes:
        """What has arrived. b"", after `wait`: nothing more will."""
        arrived, self._arrived = self._arrived, []
        self.unread = 0
        if self._held:
            self._held = False
            self.transport.resume_reading()
        return arrived[0] if len(arrived) == 1 else b"".join(arrived)

    def put_back(self, data: bytes) -> None:
        """The end of what was just taken has not been read."""
        if data:
            self._arrived = [data]
            self.unread = len(data)
            if self.unread > READ_AHEAD:
                self._hold_back()

    def rest(self) -> bool:
        """Be ready for another request, if nothing is left over in either direction."""
        if self.closed or self.unread or self.transport.get_write_buffer_size():
            return False
        self.expecting = False
        self._deadline.clear()
        return True

    def fail(self, failure: UpstreamError) -> None:
        """Close at once; whoever waits gets `failure`."""
        if not self.closed:
            self.closed = True
            self._failure = failure
            self._wake()
        self.abort()

    def abort(self) -> None:
        """Close at once, with nobody waiting."""
        self.closed = True
        self._deadline.close()
        self.transport.abort()

    # What the stream's protocol reports.

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        if not self.expecting:
            self._give_up()
            return
        self._arrived.append(data)
        self.heard = True
        self.unread += len(data)
        self._wake()
        if self.unread > READ_AHEAD:
            self._hold_back()

    def feed_eof(self) -> None:
        if not self.expecting:
            self._give_up()
            return
        self.closed = True
        self._wake()

    def set_exception(self, exc: BaseException) -> None:
        if not self.closed:
            self.closed = True
            self._failure = Disconnect("the upstream reset the connection", detail=str(exc))
            self._wake()

    async def _drain(self) -> None:
        try:
            await self.writer.drain()
        except ConnectionError:
            pass

    def _give_up(self) -> None:
        self.closed = True
        if hasattr(self, "transport"):  # otherwise `dial` is about to find out
            self.abort()

    def _hold_back(self) -> None:
        if not self._held:
            self._held = True
            self.transport.pause_reading()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _expire(self) -> None:
        if self._phase == "write":
            unwritten = self.transport.get_write_buffer_size()
            if unwritten < self._unwritten:
                self._unwritten = unwritten
                self.watch("write", self._seconds)
                return
        elif (self._waiting is None or self._waiting.done()) and self.loop.time() < self._total:
            # Silence that nobody listens to is not the upstream's: our client reads slowly.
            self._phase, self._seconds = "total", round(self._total - self._started, 2)
            self._deadline.move(self._total)
            return
        self.fail(UpstreamTimeout(self._phase, self._seconds))

    def _raise_failure(self) -> NoReturn:
        assert self._failure is not None
        try:
            raise self._failure
        finally:
            self._failure = None  # or the traceback would keep its frames alive in a cycle


async def dial(origin: Origin, context: ssl.SSLContext | None, seconds: float) -> Connection:
    """A fresh connection to `origin`, TLS included when there is a `context`.

    Raises ConnectError, or UpstreamTimeout ("connect") after `seconds`.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(loop)
    protocol = asyncio.StreamReaderProtocol(connection, loop=loop)
    name = origin.host if context else None
    try:
        async with asyncio.timeout(seconds):
            transport, _ = await loop.create_connection(
                lambda: protocol, origin.host, origin.port, ssl=context, server_hostname=name
            )
    except TimeoutError as exc:
        raise UpstreamTimeout("connect", seconds) from exc
    except (OSError, UnicodeError) as exc:
        raise explain(origin, exc) from exc
    return finish(connection, transport, protocol, origin)


def finish(
    connection: Connection, transport: asyncio.Transport, protocol: asyncio.StreamReaderProtocol, origin: Origin
) -> Connection:
    """Give a connection what it writes with. Raises ConnectError when it has ended already."""
    connection.transport = transport
    connection.writer = asyncio.StreamWriter(transport, protocol, None, connection.loop)  # no cycle
    if connection.closed:
        connection.abort()
        raise ConnectError(f"{origin} closed the connection before the request")
    return connection


REFUSED = "{} refuses connections"

MEANINGS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "the TLS certificate of {} is not trusted"),
    (ssl.SSLError, "no TLS connection to {}"),
    (socket.gaierror, "the host name of {} cannot be resolved"),
    (UnicodeError, "the host name of {} is not valid"),
    (ConnectionRefusedError, REFUSED),
    (OSError, "no connection to {}"),
)
"""What went wrong while dialing, the more particular first."""


def explain(where: object, exc: Exception, kind: type[ConnectError] = ConnectError) -> ConnectError:
    """The error for a connection to `where` that could not be opened."""
    message = next(words for known, words in MEANINGS if isinstance(exc, known))
    detail = exc.verify_message if isinstance(exc, ssl.SSLCertVerificationError) else str(exc)
    if message == REFUSED:
        detail = ""  # the system says the same in other words
    return kind(message.format(where), detail=detail)
