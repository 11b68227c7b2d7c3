"""A chunked body (RFC 9112, 7.1), read strictly. Sans-I/O.

h11 reads one, too, but tells neither the size that a chunk announces, so that a gigantic one could only be refused
after it has come, nor what stands in an extension, where another reader may see the end of a line. It also takes a
bare LF for the end of the body. Here a chunk line is ASCII without control characters and ends in CRLF, extensions are
skipped, and trailers are refused: nothing here has a use for them.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import RequestError

MAX_LINE: Final = 256
"""Bytes of a chunk's size and extension. Clients send no extensions; the few that were ever defined are short."""

MAX_FRAMING: Final = 65536
"""Bytes of chunk lines and line ends, beyond as many as there are bytes of body: that is what chunks of five bytes
cost, and clients send thousands at a time."""

CHUNKS_AT_ONCE: Final = 1000
"""Read in one go, some two milliseconds of work; then others have their turn."""

_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~]*)?\r\n")

_LAST: Final = -1


class ChunkReader:
    """The body so far (`body`), and what has to come next. `more`: what was received has not been read to its end."""

    __slots__ = ("_framing", "_left", "body", "more")

    def __init__(self) -> None:
        self.body = bytearray()
        self.more = False
        self._framing = 0  # bytes that were not body
        self._left = 0  # bytes of a chunk's data and the CRLF behind it; 0: a chunk line is next; or _LAST

    def read(self, received: bytearray, limit: int) -> bool:
        """Take what there is of the body off `received`. True when that was all of it; the rest is not touched.

        Raises RequestError: 400, or 413 as soon as more than `limit` bytes are announced.
        """
        at, chunks, had = 0, 0, len(self.body)
        self.more = False
        while self._left != _LAST:
            if self._left:
                at = self._read_data(received, at)
                if self._left:
                    break
            end = received.find(b"\n", at, at + MAX_LINE) + 1
            if not end:
                if len(received) - at >= MAX_LINE:
                    raise _malformed("A chunk's size is too long.")
                break
            self._left = self._read_line(bytes(received[at:end]), limit)
            at = end
            chunks += 1
            if chunks == CHUNKS_AT_ONCE:
                self.more = True
                break
        del received[:at]
        self._framing += at - (len(self.body) - had)
        if self._framing > MAX_FRAMING + len(self.body):
            raise _malformed("The chunks are too small.")
        if self._left != _LAST:
            return False
        ended = _is_line_end(received[:2], "Trailers after a chunked body are not accepted.")
        if ended:
            del received[:2]
        return ended

    def _read_data(self, received: bytearray, at: int) -> int:
        """Data of a chunk, and its CRLF once that is whole. Returns where to go on."""
        if self._left > 2:
            data = received[at : at + self._left - 2]
            self.body += data
            self._left -= len(data)
            at += len(data)
        if self._left == 2 and _is_line_end(received[at : at + 2], "A chunk is longer than its size."):
            self._left = 0
            at += 2
        return at

    def _read_line(self, line: bytes, limit: int) -> int:
        """What `_left` becomes by a chunk line."""
        match = _LINE.fullmatch(line)
        if match is None:
            raise _malformed("A chunk's size is malformed.")
        size = int(match[1], 16)
        if not size:
            return _LAST
        if len(self.body) + size > limit:
            raise RequestError(413, "request_too_large", f"The body is larger than {limit} bytes.", close=True)
        return size + 2


def _is_line_end(data: bytearray, otherwise: str) -> bool:
    """Whether a CRLF is there; False if it may yet come, and RequestError if it will not."""
    if not b"\r\n".startswith(data):
        raise _malformed(otherwise)
    return len(data) == 2


def _malformed(words: str) -> RequestError:
    return RequestError(400, "invalid_request_error", words, close=True)
