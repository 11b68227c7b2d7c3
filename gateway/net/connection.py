"""One client connection: reads requests, has them handled one after the other, and ends.

The connection is the reading half of its stream (as in `dial.py`), so that bytes go straight to the `RequestReader`
and the end of the stream is noticed at once, whatever the connection's task is waiting for. The handler runs in that
same task. What bytes mean is in `request.py`, how an answer is framed in `reply.py`, listening in `server.py`.

Decisions:
- *A client that stops sending is gone.* An EOF while a handler runs cancels it, as nginx does by default: a client that
  waits for an expensive answer does not half-close, and one that was killed does nothing else. A handler that never
  waits still answers.
- *A refused client gets time to hear it.* Closing a socket with unread bytes resets it, and the reset may overtake the
  answer (RFC 9112, 9.6). So only the sending half is closed at first, and what still comes is read and dropped.
- *While a handler runs, only writing has a deadline.* How long an answer may take is the handler's to say.
- *Who may not come in need not carry his luggage to the door.* What speaks against a request by its head alone is said
  before its body is read, and before `100 Continue`. That there is no room for it is among that: a body's room is taken
  when its length is known, so that none is turned away half-way.
- *Nobody is let in by a closed door.* Once its listener was closed, a connection finishes the request under way and
  hears a refusal for any other, a health check's too: what was public may be without auth elsewhere by now.

Invariants:
- One `Deadline`; what its expiry means follows from the phase.
- While a handler runs, reading goes on, so that a client's leaving is seen. Further requests beyond READ_AHEAD bytes
  count as held, beyond PIPELINE_LIMIT they end the connection.
- Requests that came together have a turn of the loop between them.
- The task ends only when the transport is closed; nothing outlives it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.errors import RequestError
from gateway.net.deadline import Deadline
from gateway.net.reply import WRITE_AHEAD, Reply, write_refusal
from gateway.net.request import Request, RequestReader
from gateway.net.service import Door, Service, leaving
from gateway.policy.room import LARGE, Share, weight

__all__ = ["Connection", "Reply", "Request"]

READ_AHEAD: Final = 65536
"""Bytes of pipelined requests that count for nothing: hardly anybody sends any."""

PIPELINE_LIMIT: Final = 1024 * 1024
"""Bytes of pipelined requests that are taken in while one is handled: thousands of small ones."""

LINGER_SECONDS: Final = 5.0
"""For a refused client to stop sending and read its answer; nginx's `lingering_timeout`."""

LINGER_BYTES: Final = 128 * 1024 * 1024
"""What a refused client may still send: an upload twice as long as the default limit hears why it was refused."""

BODY_STEP: Final = 65536
"""Bytes for which a body gets another `body_timeout`: 2 KB a second is slower than any line that is worth waiting for,
and one byte a minute is an attack."""

BODY_STEPS: Final = 20
"""Of `body_timeout`, ten minutes, are what a body may take at most, however long it is: all that time it holds the room
that its head has announced. 64 MB take nine minutes at a megabit a second."""

DRAIN_GRACE: Final = 0.2
"""Seconds that a connection must have been idle before a drain closes it. A request that is on its way while we
close gets no answer; where one follows the other, the next is here within milliseconds and gets its 503. As long, a
refused client gets to hear it in a drain."""

DRAIN_HEAD: Final = 1.0
"""Seconds for the rest of a head that had begun to come when the drain began."""

IDLE, HEAD, BODY, HANDLING, LINGERING, CLOSING, CLOSED = range(7)
"""Phases: waiting for a further request; reading its head (or waiting for the first one); reading its body; a handler
runs; the last answer is written and what comes is dropped; the transport flushes and closes; it is closed."""


class Connection(asyncio.StreamReader):
    """A client's connection. `serve` is its life; the stream's protocol reports what arrives."""

    __slots__ = (
        "_body_began", "_deadline", "_door", "_dropped", "_ended", "_failure", "_gone", "_held", "_idle_since", "_last",
        "_phase", "_reader", "_received", "_service", "_share", "_unwritten", "_waiting", "loop", "task", "transport",
        "writer",
    )  # fmt: skip

    transport: asyncio.Transport
    writer: asyncio.StreamWriter  # set by the server before the task starts, as is `task`
    task: asyncio.Task[None]

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop, door: Door) -> None:
        super().__init__(READ_AHEAD, loop)
        self.loop = loop
        self._service = service
        self._door = door
        self._phase = HEAD
        self._deadline = Deadline(loop, self._expire)
        self._waiting: asyncio.Future[None] | None = None
        self._failure: RequestError | None = None
        self._last = False  # the request being handled is the last one
        self._ended = False  # nothing more will come from the client
        self._gone = False  # ... and its handler was cancelled for that
        self._held = False  # reading is paused
        self._dropped = 0  # bytes that came after the last answer
        self._share = Share(service.room)
        self._unwritten = 0  # bytes that waited in the transport when the deadline for writing was set
        self._idle_since = 0.0
        self._body_began = 0.0

    @property
    def closing(self) -> bool:
        return self._last or self._leaving

    @property
    def door(self) -> Door:
        """By which listener it came in."""
        return self._door

    @property
    def _leaving(self) -> bool:
        return self._service.draining or self._door.closed

    async def serve(self, refusal: RequestError | None) -> None:
        """Until the connection is closed; all it hears is `refusal`, if there is one.

        Raises nothing but a cancellation that is not its own.
        """
        try:
            try:
                if refusal is not None:
                    raise refusal
                await self._converse()
            except RequestError as error:
                await self._refuse(error)
            await self._close()
        except asyncio.CancelledError:
            if not self._gone:
                raise
            self.task.uncancel()
        except ConnectionError:
            pass  # there is nobody to tell
        except Exception as exc:
            self._service.on_error(exc)
        finally:
            self._phase = CLOSED
            self._charge(0)
            self._deadline.close()
            self.transport.abort()
            del self._deadline, self.writer  # cycles, which would wait for the garbage collector
            self._failure = refusal = None  # as are raised errors with the frames that know them

    def drain(self) -> None:
        """The server stops, or its listener was closed: end after the request under way, or soon if there is none."""
        if self._phase == BODY:
            self._fail(leaving())  # it would be refused when it is whole
        elif self._phase == LINGERING:
            self._deadline.move(self.loop.time() + DRAIN_GRACE)
        elif self._phase in (IDLE, HEAD):
            now = self.loop.time()
            self._deadline.move(max(now, self._idle_since + DRAIN_GRACE) if self._reader.idle else now + DRAIN_HEAD)

    def cut(self) -> bool:
        """End now. Whether that cut a request short."""
        if self._phase == CLOSED:
            return False
        cut = self._phase == HANDLING or (self._phase < HANDLING and not self._reader.idle)
        self._gone = True
        self.task.cancel()
        self.transport.abort()
        return cut

    async def wait_writable(self) -> None:
        """Until the client has read most of what waits. Raises ConnectionError when it is gone."""
        self._unwritten = self.transport.get_write_buffer_size()
        self._deadline.move(self.loop.time() + self._service.limits.write_timeout)
        await self.writer.drain()
        self._deadline.clear()

    def forget_body(self) -> None:
        """The body of the request that is handled is needed no more."""
        self._charge(self._ahead)

    # -- requests ----------------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        """Requests and answers, until the connection is to end. Raises RequestError for what is not handled."""
        service, loop, reader, received = self._service, self.loop, self._reader, self._received
        self._wait_idle(service.limits.header_timeout)
        while True:
            request = reader.next_request(service.limits, loop.time()) if received else None
            if request is not None:
                if not await self._handle(request):
                    return
                if received:
                    await asyncio.sleep(0)
            elif reader.request is not None and self._phase != BODY:
                await self._begin_body(reader.request)
            elif reader.request is not None and reader.unfinished:
                self._progress()
                await asyncio.sleep(0)
                if self._failure is not None:
                    raise self._failure
            elif self._ended or not await self._wait_for_more():
                return

    async def _wait_for_more(self) -> bool:
        """Until more has come. False: the request will never be whole. Raises RequestError when it takes too long."""
        reader, limits = self._reader, self._service.limits
        if reader.request is not None:
            self._progress()
        elif self._phase == IDLE and not reader.idle:
            self._phase = HEAD
            self._deadline.move(self.loop.time() + (DRAIN_HEAD if self._leaving else limits.header_timeout))
        await self._wait()
        if self._failure is not None:
            raise self._failure
        return not self._ended or bool(self._received)

    async def _begin_body(self, request: Request) -> None:
        """The head is there, the body is not. Raises RequestError for what is refused by its head.

        How long that takes is the service's to say; meanwhile some of the body may come, or a drain begin.
        """
        if self._leaving:
            raise leaving()
        self._phase = HEAD
        self._deadline.clear()
        request.context = await self._service.admit(request)
        if self._leaving:
            raise leaving()
        self._phase = BODY
        self._body_began = self.loop.time()
        self._progress()
        interim = self._reader.take_continue()
        if interim:
            self.transport.write(interim)

    def _progress(self) -> None:
        """Some of a body has come, or some time been given for it."""
        timeout = self._service.limits.body_timeout
        step = max(BODY_STEP, self._reader.held // BODY_STEPS)
        latest = self._body_began + timeout * (1 + self._reader.body_received // step)
        self._deadline.move(min(self.loop.time() + timeout, latest))
        self._charge(self._reader.held)

    def _charge(self, size: int) -> None:
        """Have `size` bytes count as ours. Raises RequestError when all requests together hold too much."""
        if size != self._share.size and not self._share.hold(size):
            raise self._service.room.overloaded("requests", "The gateway holds too many large requests.")

    async def _handle(self, request: Request) -> bool:
        """One request, one answer. Whether another one may follow."""
        service = self._service
        if self._leaving or self._share.size or len(request.body) > LARGE or self._ahead:
            self._admit(request)
        self._phase = HANDLING
        self._deadline.clear()
        self._read_on()
        self._last = not request.keep_alive
        giving_up = self.loop.call_soon(self._give_up) if self._ended else None
        reply = Reply(self, request)
        service.in_flight += 1
        try:
            await service.handler(request, reply)
            if not reply.ended and not reply.aborted:
                raise RuntimeError(f"the handler of {request!r} did not end its answer")
        except RequestError as error:
            await self._answer_error(request, reply, error)
        except Exception as exc:
            if not (self.transport.is_closing() and isinstance(exc, ConnectionError)):
                self._answer_bug(request, reply, exc)
        finally:
            service.in_flight -= 1
            if giving_up is not None:
                giving_up.cancel()
        if reply.closes or not reply.ended:
            return False
        self._charge(self._ahead)
        self._phase = IDLE
        self._wait_idle(service.limits.idle_timeout)
        return True

    def _admit(self, request: Request) -> None:
        """What speaks against a request when it is whole. Raises RequestError."""
        self._reader.request = request  # for whom a refusal is rendered
        if self._door.closed or (self._service.draining and request.path not in self._service.lasting):
            raise leaving()
        size = weight(request.body) if len(request.body) > LARGE else 0
        if size > self._service.room.limit:
            raise RequestError(413, "request_too_large", "The body's JSON has too many values.", close=True)
        self._charge(self._ahead + size)
        self._reader.request = None

    @property
    def _ahead(self) -> int:
        """Bytes of further requests that count as held."""
        return len(self._received) if len(self._received) > READ_AHEAD else 0

    def _wait_idle(self, seconds: float) -> None:
        self._idle_since = now = self.loop.time()
        self._deadline.move(now + (DRAIN_GRACE if self._leaving else seconds))

    async def _answer_error(self, request: Request, reply: Reply, error: RequestError) -> None:
        """An error that the handler left to us."""
        if reply.started:
            reply.abort()
            return
        self._last = self._last or error.close
        await reply.send(*self._service.refuse(request, error, request.peer, handled=True))

    def _answer_bug(self, request: Request, reply: Reply, exc: Exception) -> None:
        """An error that is nobody's intention: all that the client learns is that it is ours."""
        self._service.on_error(exc)
        if not reply.started:
            error = RequestError(500, "internal_error", "The gateway made a mistake; its log says more.", close=True)
            self._write_refusal(request, error, handled=True)
        reply.abort()

    # -- the end -----------------------------------------------------------------------------------------------

    async def _refuse(self, error: RequestError) -> None:
        """The last answer, to a request that is not handled; and time to read it."""
        self._phase = LINGERING
        self._deadline.move(self.loop.time() + (DRAIN_GRACE if self._leaving else LINGER_SECONDS))
        self._write_refusal(self._reader.request, error)
        self._received.clear()
        self._charge(0)
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        if not self._ended:
            await self._wait()

    def _write_refusal(self, request: Request | None, error: RequestError, *, handled: bool = False) -> None:
        answer = self._service.refuse(request, error, self._reader.peer, handled=handled)
        if not self.transport.is_closing():
            head_only = request is not None and request.method == "HEAD"
            self.transport.write(write_refusal(*answer, head_only=head_only))

    async def _close(self) -> None:
        """Close when everything is written, or the client stops reading it."""
        self._phase = CLOSING
        self._unwritten = self.transport.get_write_buffer_size()
        self._deadline.move(self.loop.time() + self._service.limits.write_timeout)
        self.transport.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass

    # -- what the loop reports ---------------------------------------------------------------------------------

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(WRITE_AHEAD)
        peer = transport.get_extra_info("peername")
        address = peer[0].removeprefix("::ffff:") if isinstance(peer, tuple) else "unix"
        self._reader = RequestReader(address, transport.get_extra_info("sslcontext") is not None)
        self._received = self._reader.received

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        if self._phase >= LINGERING:
            self._dropped += len(data)
            if self._dropped > LINGER_BYTES:
                self.transport.abort()
            return
        received = self._received
        received += data
        if self._phase == HANDLING:
            if len(received) > READ_AHEAD:
                self._take_ahead(len(data))
            return
        if self._waiting is None or self._waiting.done():
            if len(received) > READ_AHEAD and not self._held:
                self._held = True
                self.transport.pause_reading()
            return
        if self._phase == BODY:
            try:
                self._progress()
            except RequestError as error:
                self._fail(error)
        if len(received) >= self._reader.wanted:
            self._wake()

    def _take_ahead(self, size: int) -> None:
        """Further requests of `size` bytes, while one is handled."""
        try:
            self._charge(self._share.size + size)
        except RequestError:
            self.transport.abort()
        if len(self._received) > PIPELINE_LIMIT:
            self.transport.abort()

    def feed_eof(self) -> None:
        self._ended = True
        if self._phase == HANDLING:
            self._give_up()
        else:
            self._wake()

    def set_exception(self, exc: BaseException) -> None:
        self._exception = exc  # what `writer.drain` raises
        self.feed_eof()

    def _give_up(self) -> None:
        """The client is gone: so is whatever is done for it."""
        if not self._gone:
            self._gone = True
            self.task.cancel()

    async def _wait(self) -> None:
        """Until `_wake`."""
        self._read_on()
        self._waiting = self.loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _read_on(self) -> None:
        if self._held:
            self._held = False
            self.transport.resume_reading()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _fail(self, error: RequestError) -> None:
        self._failure = error
        self._wake()

    def _expire(self) -> None:
        if self._leaving and self._phase == HEAD and not self._reader.idle:
            self._fail(leaving())
        elif self._phase == BODY or (self._phase == HEAD and not self._reader.idle):
            self._fail(RequestError(408, "request_timeout", "The request did not arrive in time.", close=True))
        elif self._phase in (IDLE, HEAD):
            self.feed_eof()
        elif self._phase in (HANDLING, CLOSING) and self.transport.get_write_buffer_size() < self._unwritten:
            self._unwritten = self.transport.get_write_buffer_size()
            self._deadline.move(self.loop.time() + self._service.limits.write_timeout)
        else:
            self.transport.abort()
