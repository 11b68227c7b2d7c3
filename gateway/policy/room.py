"""Room for large bodies: bytes that all requests together may hold, so that a flood is turned away before memory grows.

Counted is what is held whole and may be large: bodies of requests, from the moment their length is known until nobody
needs them, further requests that a client sends meanwhile, answers that are read whole before anybody gets them, and
the beginning of an event that passes as a whole. In memory each takes up to three times its size: the bytes, the JSON
in them, and what is written anew for another dialect. JSON of many small values takes far more, `[],` 24 times its
bytes, so what is to be read counts by its `weight`. What is small is not counted, nor what passes piece by piece: that
is bounded for each connection.
"""

from __future__ import annotations

import sys
from typing import Final

from gateway.errors import RequestError

LARGE: Final = 65536
"""Bytes. What is smaller need not ask: most requests and answers are far smaller, and 10,000 connections hold 640 MB of
them at most."""

PER_MARK: Final = 40
"""Bytes that a mark counts for, which begins a value or a name: a third of what both may take (an object within an
object: 125), as other bytes count for a third of what they take."""

MARKS: Final = b"[{,:"
_OTHERS: Final = bytes(set(range(256)) - set(MARKS))
_OTHERS_UNQUOTED: Final = bytes(set(_OTHERS) - set(b'"'))

STEP: Final = 1 << 20
"""Marks and quotes that are taken apart at once: each string between them is an object of its own for a moment."""

RETRY_AFTER: Final = 1.0
"""Seconds: any answer that ends makes room."""


def weight(json: bytes) -> int:
    """What JSON that is about to be read counts for: its bytes, or more if it has more values than usual. What is no
    JSON counts for its bytes, or about as much. 0.6 ms a megabyte, and 5 where its strings have many marks, as
    code has."""
    size = len(json)
    if PER_MARK * len(json.translate(None, _OTHERS)) <= size:
        return size
    return max(size, PER_MARK * _marks_outside_strings(json))


def _marks_outside_strings(json: bytes) -> int:
    left = json.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _OTHERS_UNQUOTED)
    count = inside = 0
    for at in range(0, len(left), STEP):
        parts = left[at : at + STEP].split(b'"')
        count += sum(map(len, parts[inside::2]))
        inside ^= (len(parts) - 1) & 1
    return count


class Room:
    """`held` of `limit` bytes. `shed` counts what was turned away."""

    __slots__ = ("held", "limit", "shed")

    def __init__(self, limit: int = sys.maxsize) -> None:
        self.limit = limit
        self.held = 0
        self.shed = {"connections": 0, "requests": 0, "answers": 0}

    def overloaded(self, what: str, message: str) -> RequestError:
        """503 for one of `shed`, which is counted. The connection ends: what it would still send is not wanted."""
        self.shed[what] += 1
        return RequestError(503, "overloaded", message, retry_after=RETRY_AFTER, close=True)


class Share:
    """What one request, or one answer, holds of a room. Whoever has it ends with `hold(0)`."""

    __slots__ = ("room", "size")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.size = 0

    def hold(self, size: int) -> bool:
        """So many bytes from now on, in all. False, and no change, when there is no room for more."""
        more = size - self.size
        room = self.room
        if more > 0 and room.held + more > room.limit:
            return False
        room.held += more
        self.size = size
        return True

    def grow(self, size: int) -> bool:
        """`hold` for what comes bit by bit: as long as it is small it is not counted."""
        return size <= LARGE or self.hold(size)

    def grow_to_read(self, json: bytes) -> bool:
        """`grow` for what is whole, and about to be read."""
        return len(json) <= LARGE or self.hold(weight(json))
