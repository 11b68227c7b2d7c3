"""The answer to one request, head and body.

A body's framing is settled by its head: Content-Length (bytes are counted), chunked (each write is one chunk), or, to
an HTTP/1.0 client, until close. Since all of that is decided here, h11 would only add time for the same bytes: 4 µs to
every streamed event, 20 to every head. What happens to a connection after the answer is `connection.py`'s affair.

Invariants:
- `started` is set when the head is handed to the transport, not before: what fails earlier can still become an error.
- Never more than WRITE_AHEAD bytes, and what one `write` adds, wait for a client that reads slowly.
- A length that was promised is kept, or the connection ends without the rest; nothing is ever written beyond it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from gateway.net.head import Header
from gateway.net.request import Request

WRITE_AHEAD: Final = 65536
"""Bytes that wait in a transport before a handler has to: a dozen long events, times 5,000 streams at worst."""

ONE_WRITE: Final = 32768
"""Bytes of body that are copied behind the head, which is cheaper than a second buffer for the kernel to gather."""

_BODILESS: Final = (204, 304)

_CLOSE: Final = (b"connection", b"close")

_REASONS: Final = {
    200: b"OK", 201: b"Created", 202: b"Accepted", 204: b"No Content", 304: b"Not Modified", 400: b"Bad Request",
    401: b"Unauthorized", 402: b"Payment Required", 403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed",
    408: b"Request Timeout", 409: b"Conflict", 413: b"Content Too Large", 422: b"Unprocessable Content",
    429: b"Too Many Requests", 431: b"Request Header Fields Too Large", 500: b"Internal Server Error",
    501: b"Not Implemented", 502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout",
    529: b"Overloaded",
}  # fmt: skip
"""RFC 9110, section 15, and 529 of Anthropic's. Other statuses go without words, which is legal."""


class Line(Protocol):
    """What an answer needs of its connection."""

    transport: asyncio.Transport

    @property
    def closing(self) -> bool:
        """Whether the connection ends after an answer that begins now."""

    async def wait_writable(self) -> None:
        """Until the client has read some of what waits. Raises ConnectionError when it is gone."""

    def forget_body(self) -> None:
        """The request's body is held no more."""


class Reply:
    """Either `send`, or `start`, any number of `write`, and `end`; `abort` where the end cannot come.

    Header names are lower-case, without content-length, transfer-encoding and connection, which are decided here;
    `extra_headers` are added to any answer. ValueError for a value that would end its line. All that writes raises
    ConnectionError when the client is gone (usually the handler has been cancelled before).
    """

    __slots__ = (
        "_chunked", "_left", "_line", "_mute", "_request", "aborted", "closes", "ended", "extra_headers",
        "status",
    )  # fmt: skip

    def __init__(self, line: Line, request: Request) -> None:
        self.status = 0  # 0: not started
        self.ended = False  # whole, by its own framing
        self.aborted = False
        self.closes = False  # the client has been told that the connection ends
        self.extra_headers: Sequence[Header] = ()
        self._line = line
        self._request = request
        self._mute = False  # the head is all there is, as for HEAD
        self._chunked = False
        self._left = -1  # bytes of a promised length to come; -1: none was promised

    @property
    def started(self) -> bool:
        """The commit point has passed: a status is on its way to the client."""
        return self.status != 0

    async def send(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """A whole answer, in one write. To HEAD the body's length goes without the body."""
        head = self._head(status, headers, None if status == 204 else (b"content-length", b"%d" % len(body)))
        self.ended = True
        transport = self._line.transport
        if self._mute:
            transport.write(head)
        elif len(body) <= ONE_WRITE:
            transport.write(head + body)
        else:  # not writelines(): asyncio's forgets to pause who writes, until 3.12.9 and 3.13.2 (CVE-2024-12254)
            transport.write(head)
            transport.write(body)
        if transport.get_write_buffer_size() > WRITE_AHEAD:
            await self._line.wait_writable()

    def forget_body(self) -> None:
        """Whoever answers has no more use for the request's body, and a stream may last for minutes."""
        self._request.body = b""
        self._line.forget_body()

    async def start(self, status: int, headers: Sequence[Header], length: int | None = None) -> None:
        """Begin an answer of `length` bytes. None: not known, so it will be chunked, or until close for HTTP/1.0."""
        framing: Header | None = None
        chunked = False
        if status not in _BODILESS:
            chunked = length is None and self._request.http_version >= b"1.1"
            if chunked:
                framing = (b"transfer-encoding", b"chunked")
            elif length is not None:
                framing = (b"content-length", b"%d" % length)
        self._line.transport.write(self._head(status, headers, framing))
        if not self._mute:
            self._chunked = chunked
            self._left = -1 if length is None else length

    async def write(self, data: bytes) -> None:
        """More of the body. Waits while the client reads slowly, as long as it reads at all."""
        self.write_nowait(data)
        if self._line.transport.get_write_buffer_size() > WRITE_AHEAD:
            await self._line.wait_writable()

    def write_nowait(self, data: bytes) -> None:
        """As `write`, from outside the handler's task; without a wait, so for a few bytes only."""
        assert self.status and not self.ended
        if not data or self._mute:
            return
        if 0 <= self._left < len(data):
            raise ValueError("more was written than the length that had been promised")
        transport = self._line.transport
        if transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if self._chunked:
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
            return
        transport.write(data)
        if self._left > 0:
            self._left -= len(data)

    async def end(self) -> None:
        """The end of the body. Less than the length that had been promised is as `abort`."""
        assert self.status
        if self.ended or self.aborted or self._left > 0:
            return
        transport = self._line.transport
        if transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self.ended = True
        if self._chunked:
            transport.write(b"0\r\n\r\n")

    def abort(self) -> None:
        """There will be no end. What was written still reaches the client, then the connection closes, without a
        last chunk: an HTTP/1.1 client knows that something is missing (RFC 9112, 8)."""
        self.aborted = True

    def _head(self, status: int, headers: Sequence[Header], framing: Header | None) -> bytes:
        assert not self.status
        line = self._line
        items = [*headers, *self.extra_headers]
        if framing is not None:
            items.append(framing)
        closes = line.closing
        if closes:
            items.append(_CLOSE)
        head = _head_of(status, items)
        lines = len(items) + 2
        if head.count(b"\n") != lines or head.count(b"\r") != lines or head.find(b"\0") >= 0:
            raise ValueError("a header value contains a line end")
        if line.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self.status = status
        self.closes = closes
        self._mute = self._request.method == "HEAD" or status in _BODILESS
        return head


def write_refusal(status: int, headers: Sequence[Header], body: bytes, *, head_only: bool) -> bytes:
    """The bytes of an answer after which the connection closes, whatever state it is in."""
    head = _head_of(status, [*headers, (b"content-length", b"%d" % len(body)), _CLOSE])
    return head if head_only else head + body


def _head_of(status: int, items: Sequence[Header]) -> bytes:
    """RFC 9112, 4. Names are lower-case tokens, values legal; neither is checked."""
    fields = b"".join([b"%b: %b\r\n" % item for item in items])
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, _REASONS.get(status, b""), fields)
