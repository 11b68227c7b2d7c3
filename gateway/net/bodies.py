"""The body of an upstream's answer, read off the bytes behind its head (RFC 9112, 6.3 and 7.1). Sans-I/O.

The head has been read by `answerhead.py`, and lengths that contradict each other were refused, as were codings other
than `chunked`. What follows is a matter of counting; for each event of a stream h11 would take more time than all the
rest of the gateway does. (Bodies of requests have limits of their own, and are read by `chunks.py`.)

Invariant: nothing behind the body's end is ever taken for a part of it, or thrown away in silence: `beyond` says that
there is something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from gateway.errors import Disconnect, ProtocolError

MAX_LINES: Final = 8192
"""Bytes of a chunk line, or of the trailers, that may be incomplete: they are looked at anew with each piece. Providers
send no extensions, and no trailers."""

BODILESS: Final = (204, 304)

_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*+(?:;[^\r\n]*+)?\r\n")

_TRAILERS: Final = re.compile(rb"(?:(?!\r?\n)[^\n]++\n)*+\r?\n")
"""Up to an empty line. What they say is nobody's business, as long as it is known where they end."""


class Body(Protocol):
    """`ended`: all of it has come. `beyond`: bytes came behind its end, which answer nothing that was asked."""

    ended: bool
    beyond: bool

    def read(self, data: bytes) -> bytes:
        """What the next bytes have of the body. Raises ProtocolError."""

    def close(self) -> None:
        """No more will come. Raises Disconnect, unless that is how the body ends."""


class Sized:
    """As long as the head has said."""

    __slots__ = ("_left", "beyond", "ended")

    def __init__(self, length: int) -> None:
        self.ended = not length
        self.beyond = False
        self._left = length

    def read(self, data: bytes) -> bytes:
        left = self._left
        self._left = left - len(data)
        if self._left > 0:
            return data
        self.ended, self.beyond = True, self._left < 0
        return data[:left]

    def close(self) -> None:
        raise _cut_short()


class UntilClose:
    """As in HTTP/1.0. Whether that was all of it nobody knows."""

    __slots__ = ("beyond", "ended")

    def __init__(self) -> None:
        self.ended = False
        self.beyond = False

    def read(self, data: bytes) -> bytes:
        return data

    def close(self) -> None:
        self.ended = True


class Chunked:
    """In chunks, each with its length; extensions and trailers are skipped."""

    __slots__ = ("_carry", "_last", "_left", "beyond", "ended")

    def __init__(self) -> None:
        self.ended = False
        self.beyond = False
        self._carry = b""  # of a line, or of the end of a chunk's, that has not come wholly
        self._left = 0  # bytes of a chunk's data and the CRLF behind it; 0: a chunk line is next
        self._last = False  # the last chunk has come, its trailers have not

    def read(self, data: bytes) -> bytes:
        if self._carry:
            data, self._carry = self._carry + data, b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.ended:
            if self._last:
                at = self._read_trailers(data, at)
            elif not self._left:
                at = self._read_line(data, at)
            elif size - at >= self._left:
                end = at + self._left
                if data[end - 2 : end] != b"\r\n":
                    raise _malformed("a chunk is longer than its size")
                pieces.append(data[at : end - 2])
                at, self._left = end, 0
            else:
                piece = data[at : at + self._left - 2]
                pieces.append(piece)
                self._left -= len(piece)
                self._carry = data[at + len(piece) :]
                break
            if self._carry:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        raise _cut_short()

    def _read_line(self, data: bytes, at: int) -> int:
        """Where to go on; what is incomplete is kept."""
        match = _LINE.match(data, at)
        if match is not None:
            length = int(match[1], 16)
            self._last = not length
            self._left = length + 2 if length else 0
            return match.end()
        if data.find(b"\n", at) >= 0:
            raise _malformed("a chunk's size is malformed")
        return self._keep(data, at)

    def _read_trailers(self, data: bytes, at: int) -> int:
        match = _TRAILERS.match(data, at)
        if match is None:
            return self._keep(data, at)
        self.ended, self.beyond = True, match.end() < len(data)
        return match.end()

    def _keep(self, data: bytes, at: int) -> int:
        if len(data) - at > MAX_LINES:
            raise _malformed("the lines between its chunks are too long")
        self._carry = data[at:]
        return at


def body_of(method: bytes, status: int, headers: Sequence[tuple[bytes, bytes]]) -> Body:
    """The body that follows a head. `headers` are those of an `AnswerHead`."""
    if method == b"HEAD" or status in BODILESS:
        return Sized(0)
    length = None
    for name, value in headers:
        if name == b"transfer-encoding":  # `chunked`: others were refused. It overrides a length
            return Chunked()
        if name == b"content-length":
            length = int(value)
    return UntilClose() if length is None else Sized(length)


def _malformed(words: str) -> ProtocolError:
    return ProtocolError("the upstream's answer is not HTTP", detail=words)


def _cut_short() -> Disconnect:
    return Disconnect("the upstream closed the connection in the middle of its answer")
