"""Room for large bodies: bytes that all requests together may hold, so that a flood is turned away before memory grows.

Counted is what is held whole and may be large: bodies of requests, from the moment their length is known until nobody
needs them, further requests that a client sends meanwhile, answers that are read whole before anybody gets them, and
the beginning of an event that passes as a whole. In memory each takes up to three times its size: the bytes, the JSON
in them, and what is written anew for another dialect. What is small is not counted, nor what passes piece by piece:
that is bounded for each connection.
"""

from __future__ import annotations

import sys
from typing import Final

from gateway.errors import RequestError

LARGE: Final = 65536
"""Bytes. What is smaller need not ask: most requests and answers are far smaller, and 10,000 connections hold 640 MB of
them at most."""

RETRY_AFTER: Final = 1.0
"""Seconds: any answer that ends makes room."""


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
