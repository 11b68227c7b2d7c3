"""Requests that wait for a key: first come, first served, bounded in number and in time."""

from __future__ import annotations

import asyncio
from collections import deque


class Waiters:
    """A queue of futures. Each key that becomes usable wakes one of them."""

    __slots__ = ("_queue", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._queue: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    async def wait(self, seconds: float) -> bool:
        """True when woken; False when the time is up or the queue is full."""
        if len(self._queue) >= self.limit:
            return False
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return waiter.done() and not waiter.cancelled()  # woken and out of time in the same moment: take the turn
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.wake_one()  # it was our turn, and we cannot take it
            raise
        finally:
            waiter.cancel()
            if waiter in self._queue:
                self._queue.remove(waiter)
        return True

    def wake_one(self) -> None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        while self._queue:
            self.wake_one()
