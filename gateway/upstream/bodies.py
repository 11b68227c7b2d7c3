"""What an answer's body is, whatever its header says: unpacked where it came compressed, and JSON or events by its
first bytes.

The gateway asks for neither compression nor anything but JSON and events. Some send it all the same: a CDN that packs
everything, a relay that calls its JSON `text/plain`, a portal that answers with its login page. SDKs go by the type,
and take a page for the model's text. So a client gets the type that the body has, and what is neither is no answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Sequence

from gateway import jsonlib
from gateway.errors import Disconnect, ProtocolError
from gateway.upstream.answer import Header, UpstreamAnswer

PIECE = 1 << 20
"""Bytes that one piece is unpacked to at most: of packed zeros, 64 KB are 64 MB."""

ANY_HEADER = 32 + zlib.MAX_WBITS
"""gzip or zlib, as the data say (RFC 1952, RFC 1950)."""

HEAD = 2
"""Bytes by which zlib knows its own."""

PACKED = frozenset({b"gzip", b"x-gzip", b"deflate"})
"""https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1"""

JSON, EVENTS = b"application/json", b"text/event-stream; charset=utf-8"

READ = frozenset({"chat", "completions", "responses", "messages", "generate"})
"""Shapes whose answers are JSON or events, and nothing else."""

FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""What a line of a stream of events begins with."""

BOM = b"\xef\xbb\xbf"

TELLING = len(BOM) + max(map(len, FIELDS))
"""Bytes by which a type is known, if it is one of the two."""

LONGEST_BLANK = 4096
"""White space that may come before them, as some send it to keep a connection open while their model thinks."""


class Around:
    """An answer with other headers, and bytes that `read` gives; b"" is their end."""

    __slots__ = ("_answer", "_read", "headers", "status")

    def __init__(self, answer: UpstreamAnswer, headers: Sequence[Header], read: Callable[[], Awaitable[bytes]]) -> None:
        self.status = answer.status
        self.headers = headers
        self._answer = answer
        self._read = read

    async def read(self) -> bytes:
        return await self._read()

    async def read_all(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := await self._read():
            size += len(piece)
            if size > limit:
                self.close()
                raise ProtocolError("the upstream's answer is too long", detail=f"more than {limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self._answer.close()


class Unpacking:
    """The bytes of a packed body, as they were before. Never more than PIECE at once."""

    __slots__ = ("_answer", "_full", "_head", "_rest", "_zip")

    def __init__(self, answer: UpstreamAnswer) -> None:
        self._answer = answer
        self._zip = zlib.decompressobj(ANY_HEADER)
        self._rest = b""  # packed bytes that have come, and were too much for one piece
        self._full = False  # the last piece was: more may come of bytes that zlib has taken in already
        self._head = b""  # its first two bytes at least, once they are there

    async def read(self) -> bytes:
        """More of them; b"" at the end. Raises ProtocolError for what is not packed as it says, Disconnect for what
        is cut off."""
        while not self._zip.eof:
            packed = self._rest if self._rest or self._full else await self._answer.read()
            if not packed and not self._full:
                if not self._head:
                    return b""  # an empty body, which needs no packing
                raise Disconnect("the upstream closed the connection in the middle of its answer")
            piece = self._unpack(packed)
            self._rest, self._full = self._zip.unconsumed_tail, len(piece) == PIECE
            if piece:
                return piece
        while await self._answer.read():
            pass  # what stands behind the end is nobody's
        return b""

    def _unpack(self, packed: bytes) -> bytes:
        begun = len(self._head) >= HEAD
        if not begun:
            packed = self._head = self._head + packed
            if len(packed) < HEAD:
                return b""
        try:
            return self._zip.decompress(packed, PIECE)
        except zlib.error as error:
            if not begun:  # some send deflate without its header (RFC 9110, 8.4.1.2)
                self._zip = zlib.decompressobj(-zlib.MAX_WBITS)
                try:
                    return self._zip.decompress(packed, PIECE)
                except zlib.error:
                    pass
            raise ProtocolError("the upstream's answer is not compressed as it says", detail=str(error)) from None


class PutBack:
    """Bytes that were read already come once more."""

    __slots__ = ("_answer", "_first")

    def __init__(self, answer: UpstreamAnswer, first: bytes) -> None:
        self._answer = answer
        self._first = first

    async def read(self) -> bytes:
        first, self._first = self._first, b""
        return first or await self._answer.read()


def unpacked(answer: UpstreamAnswer) -> UpstreamAnswer:
    """The answer without the compression that nobody has asked for. Raises ProtocolError for one that nobody here can
    undo."""
    coding = next((value for name, value in answer.headers if name == b"content-encoding"), b"identity").lower()
    if coding in (b"identity", b""):
        return answer
    if coding not in PACKED:
        raise ProtocolError("the upstream's answer is compressed, which nobody asked for", detail=repr(coding[:40]))
    headers = [header for header in answer.headers if header[0] not in (b"content-encoding", b"content-length")]
    return Around(answer, headers, Unpacking(answer).read)


async def typed(answer: UpstreamAnswer, *, stream: bool) -> UpstreamAnswer:
    """An answer of a shape in READ, with the type that its body has. It is looked at where its header names another
    type than was asked for. Raises ValueError for what is neither JSON nor events, and what `read` does."""
    named = next((value for name, value in answer.headers if name == b"content-type"), b"").lower()
    if named.find(b"event-stream" if stream else b"json") >= 0:
        return answer
    first = await answer.read()
    found = type_of(first)
    while found is None and len(first.strip()) < TELLING and len(first) < LONGEST_BLANK:
        more = await answer.read()  # however the body is cut
        if not more:
            break
        first += more
        found = type_of(first)
    if found is None and first:
        what = "a page" if first.lstrip()[:1] == b"<" else "neither JSON nor a stream of events"
        raise ValueError(f"it is {what} ({named[:100].decode('latin-1') or 'without a type'})")
    headers = [header for header in answer.headers if header[0] != b"content-type"]
    return Around(answer, [(b"content-type", found or named or JSON), *headers], PutBack(answer, first).read)


def type_of(first: bytes) -> bytes | None:
    """The type of a body that begins so; None: neither of the two."""
    begin = first[:LONGEST_BLANK].removeprefix(BOM).lstrip()
    if begin[:1] in (b"{", b"["):
        return JSON
    return EVENTS if begin.startswith(FIELDS) else None


def is_json(data: str) -> bool:
    """Whether an event's data are."""
    try:
        jsonlib.loads(data)
    except ValueError:
        return False
    return True
