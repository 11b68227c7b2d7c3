"""The HTTP/1.1 client: one exchange over one connection, taken from a pool or freshly dialed.

Follows RFC 9112 as far as a gateway needs it: no redirects, no cookies, no decompression, no proxies of the
environment; what the upstream says is returned as it is. Which connection is used is decided in `pool.py`,
how it is opened and fed in `dial.py`, where a body ends in `bodies.py`. Retries and verdicts are the caller's.

Invariants:
- A connection is in exactly one hand: the pool's, an `Answer`'s, or that of `exchange` under way. Whatever
  interrupts the hand (failure, cancellation, `Answer.close`) closes the connection; only a whole answer,
  read to its end with nothing left over, puts it back.
- A *reused* connection that was closed without one byte of an answer had probably been idle for too long; the request
  goes once more to a fresh one (RFC 9112 9.3.1, which servers rely on when they close idle connections), unless it may
  have been carried out and `resend` says no.
- All parsing is synchronous: what has arrived is handled without a further await, and a cancelled read
  loses nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence

from gateway.config.proxyurl import ProxyUrl
from gateway.errors import ConnectError, Disconnect, ProtocolError, ProxyError, UpstreamTimeout
from gateway.net.answerhead import AnswerHead
from gateway.net.bodies import body_of
from gateway.net.dial import Connection, Origin, dial
from gateway.net.outgoing import Outgoing, read_head, send, write_request
from gateway.net.pool import Place, Pool, PoolStatistics
from gateway.net.tunnel import dial_through
from gateway.quick import dataclass

__all__ = ["Answer", "Client", "Origin", "PoolStatistics", "Timeouts"]

Key = tuple[Origin, ProxyUrl | None]  # the origin, and the proxy on the way to it
_Place = Place[Key, Connection]


def _always() -> bool:
    return True


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. What each means is said in `config.provider.TimeoutsConfig`."""

    connect: float
    write: float
    first_byte: float
    idle: float


class Answer:
    """A response whose head has arrived. Whoever gets one calls `close`, however things went."""

    __slots__ = ("_body", "_client", "_connection", "_idle", "_lasting", "_place", "complete", "headers", "status")

    def __init__(
        self, client: Client, place: _Place, connection: Connection, method: bytes, head: AnswerHead, idle: float
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self._body = body_of(method, head.status, head.headers)
        self._lasting = head.lasting
        self.complete = False  # the end of the message has been seen
        self._client = client
        self._place = place
        self._connection: Connection | None = connection
        self._idle = idle

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    async def read(self) -> bytes:
        """All of the body that is there, at least a byte of it; b"" at the end of the message.

        Raises UpstreamTimeout ("idle" or "total"), Disconnect or ProtocolError; the connection is then closed.
        A cancelled read may be followed by another one.
        """
        while not self.complete:
            connection = self._connection
            if connection is None:
                raise Disconnect("the answer was closed before its end")
            try:
                if not connection.unread and not self._body.ended:
                    connection.watch("idle", self._idle)
                    await connection.wait()
                data = self._parse(connection)
            except (Disconnect, UpstreamTimeout, ProtocolError):
                self._abandon()
                raise
            if data:
                return data
        return b""

    async def read_all(self, limit: int) -> bytes:
        """The rest of the body. Raises what `read` does, and ProtocolError beyond `limit` bytes."""
        pieces = []
        size = 0
        while not self.complete:
            piece = await self.read()
            size += len(piece)
            if size > limit:
                self.close()
                raise ProtocolError("the upstream's answer is too long", detail=f"more than {limit} bytes")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Done with the answer, read or not. A connection whose answer is not wholly here is closed."""
        connection = self._connection
        if connection is None:
            return
        if connection.unread or self._body.ended:
            try:
                self._parse(connection)
            except (Disconnect, ProtocolError):
                pass
        self._abandon()

    def _parse(self, connection: Connection) -> bytes:
        """What has come of the body; at the end of the message the connection is handed back."""
        body, data = self._body, connection.take()
        if data:
            data = body.read(data)
        elif not body.ended:
            body.close()
        if body.ended:
            self.complete = True
            self._connection = None
            self._client._hand_back(self._place, connection, lasting=self._lasting and not body.beyond)
        return data

    def _abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._client._discard(self._place, connection)


class Client:
    """Exchanges with any number of origins over a pool of connections. Lives in one event loop.

    `idle_timeout` (seconds) is below the 60 s after which common load balancers close idle connections.
    `max_idle_per_origin` lets a burst of that many requests find its connections again; more would only
    hold the memory of a bygone peak. `tls` replaces the verifying context of `tls.py`.
    """

    def __init__(
        self,
        *,
        idle_timeout: float = 55.0,
        max_idle_per_origin: int = 1024,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._pool: Pool[Key, Connection] = Pool(idle_timeout=idle_timeout, max_idle=max_idle_per_origin)
        self._idle_timeout = idle_timeout
        self._tls = tls
        self._connections: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(
        self,
        origin: Origin,
        method: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        timeouts: Timeouts,
        deadline: float,
        *,
        max_connections: int = 10000,
        proxy: ProxyUrl | None = None,
        written: Callable[[], object] | None = None,
        resend: Callable[[], bool] = _always,
    ) -> Answer:
        """Send a request; returns when the head of the answer (any status from 200) has arrived.

        `headers` have lower-case names and legal values; Host and Content-Length are added where they are
        missing. `deadline`, a `loop.time()`, is for everything including the body. Waiting for one of
        `max_connections` to this origin (through this proxy) counts as connecting, as does the way through a proxy.
        `written` is called once the whole request is on its way, before anything is waited for. `resend` is asked
        before the request goes out once more because a reused connection was closed.

        Raises ConnectError (ProxyError where the proxy is in the way), UpstreamTimeout, Disconnect, ProtocolError;
        ValueError for a request that is not HTTP, before anything is sent.
        """
        request = write_request(origin, method, target, headers, body)
        if self._closed:
            raise ConnectError("the client is closed")
        place = self._pool.place((origin, proxy))
        connection = self._pool.take(place)
        if connection is None and not self._pool.reserve(place, max_connections):
            connection = await self._wait_for_place(place, timeouts, deadline)
        if connection is not None:
            answer = await self._attempt(place, connection, request, timeouts, deadline, written, resend)
            if answer is not None:
                return answer
        connection = await self._dial(place, timeouts, deadline)
        answer = await self._attempt(place, connection, request, timeouts, deadline, written, _never)
        assert answer is not None
        return answer

    async def reach(self, origin: Origin, timeouts: Timeouts, *, proxy: ProxyUrl | None = None) -> None:
        """Open a connection as `exchange` does, TLS included, and close it: is there a way? It is one more than
        `max_connections`, and nobody else gets it. Raises ConnectError (ProxyError) and UpstreamTimeout.
        """
        if self._closed:
            raise ConnectError("the client is closed")
        (await self._open(origin, proxy, timeouts.connect)).abort()

    async def close(self) -> None:
        """Close every connection, in use or not; later exchanges raise ConnectError."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._pool.close(ConnectError("the client is closed"))
        writers = [connection.writer for connection in self._connections]
        for connection in self._connections:
            connection.fail(Disconnect("the client is closed"))
        self._connections.clear()
        for writer in writers:
            try:
                async with asyncio.timeout(1.0):  # after an abort it is a matter of one turn of the loop
                    await writer.wait_closed()
            except (OSError, TimeoutError):
                pass

    def statistics(self) -> PoolStatistics:
        return self._pool.statistics()

    async def _attempt(
        self,
        place: _Place,
        connection: Connection,
        request: Outgoing,
        timeouts: Timeouts,
        deadline: float,
        written: Callable[[], object] | None,
        resend: Callable[[], bool],
    ) -> Answer | None:
        """The answer; or None, with the place kept, when a reused connection turns out to have been closed."""
        try:
            if not connection.closed:
                await send(connection, request, timeouts.write, deadline)
                if written is not None:
                    written()
                head = await read_head(connection, request.method, timeouts.first_byte)
                return Answer(self, place, connection, request.method, head, timeouts.idle)
        except Disconnect:
            if connection.heard or not resend():
                self._discard(place, connection)
                raise
        except BaseException:
            self._discard(place, connection)
            raise
        self._connections.discard(connection)
        connection.abort()
        return None

    async def _wait_for_place(self, place: _Place, timeouts: Timeouts, deadline: float) -> Connection | None:
        """A leased connection, or None: permission to dial."""
        loop = asyncio.get_running_loop()
        phase, seconds = _connect_budget(timeouts, deadline, loop.time())
        waiter = self._pool.queue(place)
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await waiter
                except BaseException:
                    self._pool.withdraw(place, waiter, loop.time())
                    raise
        except TimeoutError:
            raise _unsent(UpstreamTimeout(phase, seconds)) from None

    async def _dial(self, place: _Place, timeouts: Timeouts, deadline: float) -> Connection:
        phase, seconds = _connect_budget(timeouts, deadline, asyncio.get_running_loop().time())
        try:
            connection = await self._open(*place.key, seconds)
        except UpstreamTimeout:
            self._pool.free(place)
            raise _unsent(UpstreamTimeout(phase, seconds)) from None
        except ProxyError as exc:
            self._pool.free(place)
            if phase == "total" and isinstance(exc.__cause__, TimeoutError):
                raise _unsent(UpstreamTimeout(phase, seconds)) from exc  # no proxy could have been fast enough
            raise
        except BaseException:
            self._pool.free(place)
            raise
        if self._closed:
            connection.abort()
            self._pool.free(place)
            raise ConnectError("the client is closed")
        self._connections.add(connection)
        return connection

    async def _open(self, origin: Origin, proxy: ProxyUrl | None, seconds: float) -> Connection:
        context = self._context(origin.scheme)
        if proxy is None:
            return await dial(origin, context, seconds)
        return await dial_through(proxy, self._context(proxy.scheme), origin, context, seconds)

    def _context(self, scheme: str) -> ssl.SSLContext | None:
        if scheme != "https":
            return None
        if self._tls is None:
            from gateway.net.tls import client_context

            self._tls = client_context()
        return self._tls

    def _hand_back(self, place: _Place, connection: Connection, *, lasting: bool) -> None:
        if not lasting or not connection.rest():
            self._discard(place, connection)
            return
        now = connection.loop.time()
        self._pool.release(place, connection, now)
        if self._sweeper is None:
            self._sweeper = connection.loop.call_at(now + self._idle_timeout, self._sweep, connection.loop)

    def _discard(self, place: _Place, connection: Connection) -> None:
        self._connections.discard(connection)
        connection.abort()
        self._pool.free(place)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        at = self._pool.sweep(loop.time())
        self._sweeper = None if at is None else loop.call_at(at, self._sweep, loop)
        self._connections = {connection for connection in self._connections if not connection.closed}


def _connect_budget(timeouts: Timeouts, deadline: float, now: float) -> tuple[str, float]:
    """Which phase ends first, and in how many seconds."""
    left = max(deadline - now, 0.0)
    return ("connect", timeouts.connect) if timeouts.connect < left else ("total", left)


def _unsent(failure: UpstreamTimeout) -> UpstreamTimeout:
    failure.sent = False
    return failure
