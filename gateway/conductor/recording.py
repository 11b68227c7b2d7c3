"""What goes to a client, kept on its way: the body as it is, without keepalives.

A recording takes the place of a reply only where the cache is on and the request is for it; others never come through
here. It is bounded twice, by the largest answer that is kept and by what all recordings may take together, and lets go
of what it has when it meets either bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.conductor.ask import Header
from gateway.conductor.endings import StreamEnd, ended_well
from gateway.conductor.outlet import Outlet

KEPT_HEADERS = frozenset({b"content-type", b"x-llmgateway-provider", b"x-llmgateway-model", b"x-llmgateway-dropped"})
"""What is true of an answer whoever gets it. Others, such as who made the call and what it cost, are of one request."""

STREAM = b"text/event-stream"


class Recording:
    """An answer that is a stream of events where none was asked for, or none where one was (`streamed`), is not kept:
    headers that do not tell requests apart may have made it so. `limit` is in bytes. `claim` asks for room for so many
    bytes more, and is answered with False when there is none; `release` gives back what was claimed."""

    __slots__ = (
        "_claim", "_claimed", "_end", "_ended", "_limit", "_parts", "_release", "_reply", "_shape", "headers",
        "streamed",
    )  # fmt: skip

    def __init__(
        self,
        reply: Outlet,
        shape: str,
        streamed: bool,
        limit: int,
        claim: Callable[[int], bool],
        release: Callable[[int], None],
    ) -> None:
        self.headers: tuple[Header, ...] = ()
        self.streamed = streamed
        self._reply = reply
        self._shape = shape
        self._limit = limit
        self._claim = claim
        self._release = release
        self._claimed = 0
        self._parts: list[bytes] | None = []  # None: not to be kept
        self._end: StreamEnd | None = None
        self._ended = False

    async def send(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        self._begin(status, headers)
        self._take(body)
        await self._reply.send(status, headers, body)
        self._ended = True

    async def start(self, status: int, headers: Sequence[Header], length: int | None = None) -> None:
        self._begin(status, headers)
        await self._reply.start(status, headers, length)

    async def write(self, data: bytes) -> None:
        self._take(data)
        await self._reply.write(data)

    def forget_body(self) -> None:
        self._reply.forget_body()

    def write_nowait(self, data: bytes) -> None:
        """A keepalive, which is no part of the answer."""
        self._reply.write_nowait(data)

    async def end(self) -> None:
        await self._reply.end()
        self._ended = True

    def abort(self) -> None:
        self.forget()
        self._reply.abort()

    def body(self) -> bytes | None:
        """The whole answer, or None: it is not to be kept."""
        parts = self._parts
        if parts is None or not self._ended:
            return None
        body = b"".join(parts)
        return body if (self._end.is_good if self._end is not None else ended_well(self._shape, body)) else None

    def forget(self) -> None:
        """Whatever was kept; what comes is no longer."""
        self._parts = None
        self._release(self._claimed)
        self._claimed = 0

    def _begin(self, status: int, headers: Sequence[Header]) -> None:
        fields = dict(headers)
        streamed = fields.get(b"content-type", b"").startswith(STREAM)
        if status != 200 or b"content-encoding" in fields or streamed != self.streamed:
            self.forget()
        self.headers = tuple(header for header in headers if header[0] in KEPT_HEADERS)
        if self.streamed:
            self._end = StreamEnd(self._shape)

    def _take(self, data: bytes) -> None:
        parts = self._parts
        if parts is None:
            return
        size = len(data)
        if self._claimed + size > self._limit or not self._claim(size):
            self.forget()
            return
        self._claimed += size
        parts.append(data)
        if self._end is not None:
            self._end.feed(data)
