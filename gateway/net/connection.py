"""One client's connection: bytes in, requests out, answers in order.

The connection's own task runs the handler, one request at a time; what a client pipelines waits in `_buffer`. h11 gets
exactly one message at a time, its raw head having passed `head.py`, so that nothing is ever parsed that was not looked
at. One `Deadline` serves all waits; when it passes, the task is cancelled with a reason and says what is to be said.

Decisions:

- **A client that goes away** (end of file, reset) while its request is handled cancels the handler at once, in whatever
  it waits for. An end of file counts as going away even though TCP would let the client still listen: nginx sees it
  so too, and no SDK half-closes. Handlers that answer without waiting are not disturbed.
- **Refusals** of bytes that cannot be trusted end the connection. What the client still sends is read and dropped for
  a moment, because a reset would destroy the answer on its way (RFC 9112, 9.6).
- **After the commit point** a broken answer is told apart from a whole one by its missing end; see `Reply.abort`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import h11

from gateway.errors import RequestError
from gateway.net.deadline import Deadline
from gateway.net.head import check_beginning, check_head, malformed
from gateway.net.headers import Header, trusted_headers

if TYPE_CHECKING:
    from gateway.net.server import Server

Handler = Callable[["Request", "Reply"], Awaitable[None]]
Refusal = Callable[["Request | None", RequestError], tuple[int, list[Header], bytes]]

READ_AHEAD = 65536  # bytes that may wait unread; a client that sends more is paused
WRITE_AHEAD = 65536  # bytes that may wait unsent before a handler has to wait for its client
COUNTED_BODY = 65536  # bodies larger than this count towards max_buffered_bytes
LINGER_BYTES = 262144  # read and dropped after a refusal
LINGER_SECONDS = 2.0
END = h11.EndOfMessage()

REASONS = {
    200: b"OK", 204: b"No Content", 400: b"Bad Request", 401: b"Unauthorized", 402: b"Payment Required",
    403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed", 408: b"Request Timeout",
    413: b"Content Too Large", 429: b"Too Many Requests", 431: b"Request Header Fields Too Large",
    500: b"Internal Server Error", 501: b"Not Implemented", 502: b"Bad Gateway", 503: b"Service Unavailable",
    504: b"Gateway Timeout",
}  # fmt: skip


class Request:
    """A whole request. `path` and `query` are raw (not percent-decoded), `received_at` is in loop time."""

    __slots__ = (
        "body", "headers", "http_version", "method", "path", "peer", "query", "received_at", "secure", "target",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        target: bytes,
        headers: list[Header],
        http_version: bytes,
        peer: str,
        secure: bool,
        received_at: float,
    ) -> None:
        self.method = method
        self.target = target
        path, _, self.query = target.decode("latin-1").partition("?")
        if not path.startswith("/") and "://" in path:  # absolute form (RFC 9112, 3.2.2)
            path = "/" + path.partition("://")[2].partition("/")[2]
        self.path = path
        self.headers = headers  # names in lower case, in the order they came
        self.http_version = http_version
        self.peer = peer  # the client's address, or "unix"
        self.secure = secure
        self.received_at = received_at
        self.body = b""

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for known, value in self.headers:
            if known == name:
                return value
        return None


class Reply:
    """The answer to one request. `started`: the commit point has passed; `status` is what was sent, 0 before."""

    __slots__ = ("_connection", "_head", "_with_body", "ended", "extra_headers", "started", "status")

    def __init__(self, connection: Connection, method: str) -> None:
        self._connection = connection
        self._with_body = method != "HEAD"
        self._head = b""  # of a started answer, until there is a body to send it with
        self.extra_headers: Sequence[Header] = ()
        self.started = False
        self.ended = False
        self.status = 0

    async def send(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """A whole answer, in one write."""
        out = self._begin(status, [*headers, (b"content-length", b"%d" % len(body))] if status != 204 else headers)
        http = self._connection.http
        if body and self._with_body and status != 204:
            http.send(h11.Data(data=body))
            out += body
        http.send(END)
        self.ended = True
        await self._connection.write(out)

    async def start(self, status: int, headers: Sequence[Header], length: int | None = None) -> None:
        """The head of an answer that follows in pieces. Without a length it is chunked (HTTP/1.0: until the close)."""
        framing = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
        self._head = self._begin(status, [*headers, framing])

    async def write(self, data: bytes) -> None:
        """The next piece. Waits while the client is behind, at most `write_timeout` without progress."""
        if data and self._with_body:
            out = self._connection.http.send(h11.Data(data=data))
            if self._head:
                out, self._head = self._head + out, b""
            await self._connection.write(out)

    def write_nowait(self, data: bytes) -> None:
        """A piece that is sent only if the client is not behind."""
        if self._with_body and not self.ended and not self._connection.is_behind:
            out = self._head + self._connection.http.send(h11.Data(data=data))
            self._head = b""
            self._connection.writer.write(out)

    async def end(self) -> None:
        """The answer is whole."""
        out = self._head + (self._connection.http.send(END) or b"")
        self._head, self.ended = b"", True
        if out:
            await self._connection.write(out)

    def abort(self) -> None:
        """The answer will never be whole: what was written goes out, then the connection ends without its end."""
        self._connection.broken = True
        if self._head and not self._connection.writer.is_closing():
            self._connection.writer.write(self._head)
            self._head = b""

    def _begin(self, status: int, headers: Sequence[Header]) -> bytes:
        connection = self._connection
        items = [*headers, *self.extra_headers]
        if connection.closing:
            items.append((b"connection", b"close"))
        self.started, self.status = True, status
        response = h11.Response(status_code=status, headers=trusted_headers(items), reason=REASONS.get(status, b""))
        return connection.http.send(response) or b""


class ClientReader(asyncio.StreamReader):
    """Received bytes go straight into the connection's buffer, and its end is told at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(READ_AHEAD, loop)
        self.connection: Connection | None = None

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # transports give bytes
        if self.connection is not None:
            self.connection.on_data(data)

    def feed_eof(self) -> None:
        super().feed_eof()
        if self.connection is not None:
            self.connection.on_end()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        if self.connection is not None:
            self.connection.on_end()


class GoneError(Exception):
    """The client is away."""


class Connection:
    """See the module's text. Made by `Server` for each connection; `run` is its task."""

    __slots__ = (
        "_buffer", "_counted", "_deadline", "_ended", "_fresh", "_loop", "_paused", "_phase", "_reason", "_seen",
        "_server", "_task", "_waiter", "broken", "closing", "http", "in_request", "peer", "reader", "secure", "writer",
    )  # fmt: skip

    def __init__(self, server: Server, reader: ClientReader, writer: asyncio.StreamWriter, peer: str) -> None:
        self._server = server
        self._loop = server.loop
        self.reader = reader
        self.writer = writer
        self.peer = peer
        self.secure = writer.get_extra_info("sslcontext") is not None
        self.http = h11.Connection(h11.SERVER, server.config.max_header_bytes)
        self.closing = False  # no request after this one
        self.broken = False  # the answer ended before its end
        self.in_request = False
        self._buffer = bytearray()
        self._seen = 0  # bytes of the buffer in which no end of a head was found
        self._counted = 0  # bytes of this request's body that count towards max_buffered_bytes
        self._ended = False  # nothing more will come
        self._paused = False
        self._fresh = False  # h11 has read ahead into the next message and is replaced
        self._phase = "idle"
        self._reason = ""
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._deadline = Deadline(self._loop, self._expire)
        reader.connection = self

    # -- what the transport tells ------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        self._buffer += data
        if self._waiter is not None:
            self._wake()
        elif len(self._buffer) > READ_AHEAD and not self._paused:
            self._paused = True
            self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def on_end(self) -> None:
        self._ended = True
        if self._waiter is not None:
            self._wake()
        elif self.in_request:
            self.interrupt("gone")

    def interrupt(self, reason: str) -> None:
        """Cancel whatever the task waits for. The first reason counts."""
        if not self._reason and self._task is not None:
            self._reason = reason
            self._task.cancel()

    @property
    def is_idle(self) -> bool:
        return not self.in_request and not self._buffer

    @property
    def is_behind(self) -> bool:
        transport = self.writer.transport
        return transport.is_closing() or transport.get_write_buffer_size() > WRITE_AHEAD

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _expire(self) -> None:
        if self._phase == "write":
            self.writer.transport.abort()
        self.interrupt(self._phase)

    def _watch(self, phase: str, seconds: float) -> None:
        self._phase = phase
        self._deadline.move(self._loop.time() + seconds)

    # -- the task ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until somebody ends it. Never raises but for the cancellation of the server's own end."""
        self._task = asyncio.current_task()
        try:
            while await self._serve_one():
                pass
        except GoneError:
            pass
        except asyncio.CancelledError:
            if not self._reason:
                raise
            assert self._task is not None
            self._task.uncancel()
            await self._say_why()
        except Exception as error:
            self._server.on_error(error)
        finally:
            self._deadline.close()
            self._server.buffered -= self._counted
            self.reader.connection = None
            self.writer.close()

    async def turn_away(self, error: RequestError) -> None:
        """Instead of `run`: say why not, and end."""
        self._task = asyncio.current_task()
        try:
            await self._refuse(error, None)
        except (GoneError, OSError):
            pass
        except asyncio.CancelledError:
            if not self._reason:
                raise
            assert self._task is not None
            self._task.uncancel()
        finally:
            self._deadline.close()
            self.reader.connection = None
            self.writer.close()

    async def _say_why(self) -> None:
        """A deadline cancelled the task: tell the client, if it is in the middle of sending us something."""
        slow = {"head": "The request's head", "body": "The request's body"}.get(self._reason)
        if slow is not None:
            error = RequestError(408, "request_timeout", f"{slow} did not arrive in time.", close=True)
            try:
                await self._refuse(error, None)
            except (GoneError, OSError, asyncio.CancelledError):
                pass

    async def _serve_one(self) -> bool:
        """One request from its first byte to the end of its answer. False: the connection ends."""
        try:
            head = await self._read_head()
            request = self._parse_head(head)
        except RequestError as error:
            return await self._refuse(error, None)
        self.in_request = True
        try:
            try:
                await self._read_body(request)
            except RequestError as error:
                return await self._refuse(error, request)
            return await self._answer(request)
        finally:
            self.in_request = False
            self._server.request_done()
            if self._counted:
                self._server.buffered -= self._counted
                self._counted = 0

    async def _answer(self, request: Request) -> bool:
        reply = Reply(self, request.method)
        self._deadline.clear()
        self._phase = "handling"
        if self._server.draining:
            error = RequestError(503, "draining", "The gateway is shutting down.", retry_after=5.0, close=True)
            return await self._refuse(error, request)
        if self._ended:
            self._loop.call_soon(self.interrupt, "gone")
        try:
            await self._server.handler(request, reply)
        except RequestError as error:
            if not reply.started:
                return await self._refuse(error, request)
            self.broken = True
        except Exception as error:
            self._server.on_error(error)
            if not reply.started:
                return await self._refuse(RequestError(500, "internal_error", "The gateway failed."), request)
            self.broken = True
        if not reply.ended and not self.broken:
            self._server.on_error(RuntimeError(f"{request.method} {request.path}: the handler sent no whole answer"))
            if not reply.started:
                return await self._refuse(RequestError(500, "internal_error", "The gateway failed."), request)
            self.broken = True
        return await self._next_cycle()

    async def _next_cycle(self) -> bool:
        """Whether another request may follow on this connection."""
        http = self.http
        if self.broken or self._ended or http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            await self._flush()
            return False
        if self._fresh:
            self._fresh = False
            self.http = h11.Connection(h11.SERVER, self._server.config.max_header_bytes)
        else:
            http.start_next_cycle()
        return True

    # -- reading -----------------------------------------------------------------------------------------------

    async def _more(self) -> None:
        """Wait for bytes. Raises GoneError at the end of them."""
        if self._ended:
            raise GoneError
        if self._paused:
            self._paused = False
            self.writer.transport.resume_reading()  # type: ignore[attr-defined]
        self._waiter = self._loop.create_future()
        size = len(self._buffer)
        try:
            await self._waiter
        finally:
            self._waiter = None
        if len(self._buffer) == size:
            raise GoneError

    async def _read_head(self) -> bytes:
        """The raw head of the next request, checked. Raises GoneError, RequestError."""
        buffer = self._buffer
        limit = self._server.config.max_header_bytes
        self._seen = 0
        if buffer:
            self._watch("head", self._server.config.header_timeout)
        else:
            self._watch("idle", self._server.config.idle_timeout)
        while True:
            if buffer[:2] == b"\r\n" and not self._seen:
                del buffer[:2]  # a line too many after the last request (RFC 9112, 2.2)
            end = buffer.find(b"\r\n\r\n", max(0, self._seen - 3))
            if end > limit or (end < 0 and len(buffer) > limit):
                raise RequestError(
                    431, "request_too_large", f"The request's head is larger than {limit} bytes.", close=True
                )
            if end >= 0:
                break
            if buffer:
                if error := check_beginning(buffer):
                    raise error
                if self._phase == "idle":
                    self._watch("head", self._server.config.header_timeout)
            self._seen = len(buffer)
            await self._more()
        head = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        if error := check_head(head):
            raise error
        return head

    def _parse_head(self, head: bytes) -> Request:
        http = self.http
        http.receive_data(head)
        try:
            event = http.next_event()
        except h11.RemoteProtocolError as error:
            raise _explain(error) from None
        if type(event) is not h11.Request:
            raise malformed("The request is malformed.")
        return Request(
            event.method.decode("ascii"),
            event.target,
            list(event.headers),
            event.http_version,
            self.peer,
            self.secure,
            self._loop.time(),
        )

    async def _read_body(self, request: Request) -> None:
        """Complete the request. Raises GoneError, RequestError."""
        length = -1
        for name, value in request.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                await self._read_chunks(request)
                return
        limit = self._server.config.max_body_bytes
        if length > limit:
            raise _too_large(limit)
        if length > 0:
            self._count(length)
            if len(self._buffer) < length:
                await self._read_length(length)
            body = request.body = bytes(self._buffer[:length])
            del self._buffer[:length]
            self.http.receive_data(body)
            self.http.next_event()
        self.http.next_event()  # the end of the message

    async def _read_length(self, length: int) -> None:
        await self._invite()
        while len(self._buffer) < length:
            self._watch("body", self._server.config.body_timeout)
            await self._more()

    async def _read_chunks(self, request: Request) -> None:
        """A chunked body. h11 gets what there is, and gives back what belongs to the next request."""
        http = self.http
        limit = self._server.config.max_body_bytes
        parts: list[bytes] = []
        size = 0
        tail = b""
        while True:
            try:
                event = http.next_event()
            except h11.RemoteProtocolError as error:
                raise _explain(error, status=400) from None
            if event is h11.NEED_DATA:
                if not self._buffer:
                    await self._invite()
                    self._watch("body", self._server.config.body_timeout)
                    await self._more()
                data = bytes(self._buffer)
                self._buffer.clear()
                tail = (tail + data)[-READ_AHEAD:]
                http.receive_data(data)
            elif type(event) is h11.Data:
                parts.append(bytes(event.data))
                size += len(event.data)
                if size > limit:
                    raise _too_large(limit)
                self._count(size)
            else:
                break
        if type(event) is not h11.EndOfMessage or event.headers:
            raise malformed("Trailers after a chunked body are not accepted.")
        left = http.trailing_data[0]
        if not (tail[: len(tail) - len(left)]).endswith(b"0\r\n\r\n"):
            raise malformed("The chunked body does not end with CRLF.")
        if left:
            self._buffer[:0] = left
            self._fresh = True
        request.body = b"".join(parts)

    async def _invite(self) -> None:
        """`100 Continue`, if the client waits for it (RFC 9110, 10.1.1)."""
        if self.http.they_are_waiting_for_100_continue and not self._buffer:
            go = self.http.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            await self.write(go or b"")

    def _count(self, size: int) -> None:
        """Note a large body in the sum over all connections."""
        if size <= COUNTED_BODY:
            return
        server = self._server
        if server.buffered - self._counted + size > server.config.max_buffered_bytes:
            raise RequestError(
                503, "overloaded", "Too much is being sent at once; try again.", retry_after=1.0, close=True
            )
        server.buffered += size - self._counted
        self._counted = size

    # -- writing -----------------------------------------------------------------------------------------------

    async def write(self, out: bytes) -> None:
        """One write; waits only for a client that is behind."""
        transport = self.writer.transport
        transport.write(out)
        if transport.get_write_buffer_size() > WRITE_AHEAD:
            phase = self._phase
            self._watch("write", self._server.config.write_timeout)
            try:
                await self.writer.drain()
            except ConnectionError:
                raise asyncio.CancelledError from None
            self._phase = phase
            self._deadline.clear()

    async def _flush(self) -> None:
        """Let what was written reach the client before the close, within the write timeout."""
        if self.writer.transport.get_write_buffer_size():
            self._watch("write", self._server.config.write_timeout)
            try:
                self.writer.transport.set_write_buffer_limits(0)
                await self.writer.drain()
            except ConnectionError:
                pass

    async def _refuse(self, error: RequestError, request: Request | None) -> bool:
        """Our own word, where no handler is to speak. Returns whether the connection goes on."""
        self.closing = self.closing or error.close or self.http.their_state is not h11.DONE
        status, headers, body = self._server.refuse(request, error)
        if self.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return False
        await Reply(self, request.method if request is not None else "").send(status, headers, body)
        if not self.closing:
            return await self._next_cycle()
        await self._linger()
        return False

    async def _linger(self) -> None:
        """Close our half, and drop what still comes for a moment, so that the client can read what it was told."""
        self._watch("linger", LINGER_SECONDS)
        await self._flush()
        self._watch("linger", LINGER_SECONDS)
        if self._ended or not self.writer.can_write_eof():
            return
        try:
            self.writer.write_eof()
        except OSError:
            return
        dropped = 0
        while dropped < LINGER_BYTES:
            dropped += len(self._buffer)
            self._buffer.clear()
            await self._more()


def _too_large(limit: int) -> RequestError:
    return RequestError(413, "request_too_large", f"The request's body is larger than {limit} bytes.", close=True)


def _explain(error: h11.RemoteProtocolError, status: int = 0) -> RequestError:
    """h11's complaint in the gateway's words; its hints are 400, 431 and 501."""
    code = status or error.error_status_hint
    name = "request_too_large" if code == 431 else "invalid_request_error"
    return RequestError(code, name, f"The request is malformed: {error}."[:300], close=True)
