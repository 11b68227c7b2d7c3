"""Which upstream connection a request gets: one place per (origin, proxy).

Every decision here is synchronous and does no I/O, so nothing can change between looking and deciding.
Dialing, sending and the timer that calls `sweep` are left to `client.py`.

Rules:
- A *place* counts connections that are open or being dialed (`place.open`), never more than its limit.
- Whoever holds a connection, or the permission to dial one, gives it back by exactly one call of
  `release` (still good) or `free` (gone, or the dial failed).
- The connection used last is the first to be used again: the rest grow old together and are swept.
- Waiters are served first in, first out. What is handed to a waiter is leased from that moment: it is in
  no idle list, so no sweep can close it before the waiter wakes. A waiter that is cancelled at that very
  moment passes it on (`withdraw`).
- Connections that ended while idle are noticed when they are next looked at; a dead one is never leased.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, Protocol, TypeVar

from gateway.quick import dataclass


class Poolable(Protocol):
    """What the pool needs to know of a connection."""

    closed: bool

    def abort(self) -> None: ...


C = TypeVar("C", bound=Poolable)
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """`open` counts connections in use, idle and being dialed; `idle` is a part of it."""

    open: int
    idle: int
    waiting: int


class Place(Generic[K, C]):
    """The connections to one origin through one proxy."""

    __slots__ = ("idle", "key", "limit", "open", "waiters")

    def __init__(self, key: K) -> None:
        self.key = key
        self.open = 0
        self.limit = 0
        self.idle: deque[tuple[C, float]] = deque()  # with the time it became idle; the freshest on the right
        self.waiters: deque[asyncio.Future[C | None]] = deque()  # bounded by the requests the server admits


class Pool(Generic[K, C]):
    """All places. Times are those of `loop.time()`, in seconds."""

    def __init__(self, *, idle_timeout: float, max_idle: int) -> None:
        self._idle_timeout = idle_timeout
        self._max_idle = max_idle
        self._places: dict[K, Place[K, C]] = {}

    def place(self, key: K) -> Place[K, C]:
        """The place for `key`. Use it at once: a place with nothing in it does not stay."""
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(key)
        return place

    def take(self, place: Place[K, C]) -> C | None:
        """The freshest idle connection that is still open."""
        idle = place.idle
        while idle:
            connection, _ = idle.pop()
            if not connection.closed:
                return connection
            place.open -= 1
        return None

    def reserve(self, place: Place[K, C], limit: int) -> bool:
        """Permission to dial: one more is counted. False when `limit` connections are open or promised."""
        if limit != place.limit:
            place.limit = limit
            self._admit(place)
        if place.open >= limit:
            return False
        place.open += 1
        return True

    def queue(self, place: Place[K, C]) -> asyncio.Future[C | None]:
        """A place in the line. It resolves to a leased connection, or to None: permission to dial."""
        waiter: asyncio.Future[C | None] = asyncio.get_running_loop().create_future()
        place.waiters.append(waiter)
        return waiter

    def withdraw(self, place: Place[K, C], waiter: asyncio.Future[C | None], now: float) -> None:
        """The waiter gave up; what it had been handed in the meantime goes to the next one."""
        if not waiter.done():
            waiter.cancel()
        if waiter.cancelled():
            try:
                place.waiters.remove(waiter)
            except ValueError:
                pass
            self._drop_if_empty(place)
        elif waiter.exception() is None:
            connection = waiter.result()
            if connection is None or connection.closed:
                self.free(place)
            else:
                self.release(place, connection, now)

    def release(self, place: Place[K, C], connection: C, now: float) -> None:
        """A leased connection is ready for another request."""
        waiters = place.waiters
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        idle = place.idle
        idle.append((connection, now))
        if len(idle) > self._max_idle:
            oldest, _ = idle.popleft()
            oldest.abort()
            place.open -= 1

    def free(self, place: Place[K, C]) -> None:
        """A leased connection is gone, or a dial failed."""
        place.open -= 1
        self._admit(place)
        self._drop_if_empty(place)

    def sweep(self, now: float) -> float | None:
        """Close what was idle for too long; returns when to sweep next, None when nothing is idle."""
        oldest = None
        for place in list(self._places.values()):
            keep: deque[tuple[C, float]] = deque()
            for connection, since in place.idle:
                if not connection.closed and since + self._idle_timeout > now:
                    keep.append((connection, since))
                    continue
                connection.abort()
                place.open -= 1
            place.idle = keep
            if keep and (oldest is None or keep[0][1] < oldest):
                oldest = keep[0][1]
            self._drop_if_empty(place)
        if oldest is None:
            return None
        # Not a sweep for each of a thousand connections that became idle a moment apart.
        return max(oldest + self._idle_timeout, now + self._idle_timeout / 50)

    def close(self, failure: Exception) -> None:
        """Close what is idle and fail whoever waits. Leased connections stay with their holders."""
        for place in list(self._places.values()):
            while place.idle:
                place.idle.pop()[0].abort()
                place.open -= 1
            while place.waiters:
                waiter = place.waiters.popleft()
                if not waiter.done():
                    waiter.set_exception(failure)
            self._drop_if_empty(place)

    def statistics(self) -> PoolStatistics:
        places = self._places.values()
        dead = sum(connection.closed for place in places for connection, _ in place.idle)
        return PoolStatistics(
            open=sum(place.open for place in places) - dead,
            idle=sum(len(place.idle) for place in places) - dead,
            waiting=sum(not waiter.done() for place in places for waiter in place.waiters),
        )

    def _admit(self, place: Place[K, C]) -> None:
        while place.waiters and place.open < place.limit:
            waiter = place.waiters.popleft()
            if not waiter.done():
                place.open += 1
                waiter.set_result(None)

    def _drop_if_empty(self, place: Place[K, C]) -> None:
        # Proxies come and go by the thousand; what nobody uses must not pile up.
        if not place.open and not place.waiters:
            self._places.pop(place.key, None)
