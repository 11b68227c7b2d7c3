"""Requests that wait for a key: first come, first served, bounded in number and in time.

Leases go from hand to hand. Who waits leaves a *wish*, which is asked in its turn whenever a key may be chosen again;
the lease that comes of it is the waiter's. So nobody waits twice for one key or loses a turn. A waiter that has no use
for the key that is there (it asks for another model, or has tried that key) holds up nobody behind it.

Invariant: whoever asks the pool for a key lets those who wait be served first, see `serve`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from gateway.upstream.key import Lease


class Wish(NamedTuple):
    """What a request waits for: `ask` leases it, if it can be had now. `choosy`: keys are excluded from it."""

    ask: Callable[[], Lease | None]
    model: str = ""
    tokens: int = 0
    choosy: bool = False


class Waiters:
    """A queue of wishes."""

    __slots__ = ("_queue", "_serving", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._queue: dict[asyncio.Future[Lease | None], Wish] = {}
        self._serving: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._queue)

    async def wait(self, wish: Wish, seconds: float, release: Callable[[Lease], None]) -> Lease | None:
        """The lease; None when the time is up, the queue is full, or the pool is closed. `release` takes back a lease
        that was given to somebody who had just left."""
        if len(self._queue) >= self.limit:
            return None
        given: asyncio.Future[Lease | None] = asyncio.get_running_loop().create_future()
        self._queue[given] = wish
        try:
            async with asyncio.timeout(seconds):
                return await given
        except TimeoutError:
            return _given(given)  # it may have come in the same moment
        except asyncio.CancelledError:
            lease = _given(given)
            if lease is not None:
                release(lease)
            raise
        finally:
            given.cancel()
            self._queue.pop(given, None)

    def wake(self) -> None:
        """A key may be chosen again: serve those who wait, in the loop's next turn, when all is in its place."""
        if self._queue and self._serving is None:
            self._serving = asyncio.get_running_loop().call_soon(self.serve)

    def serve(self) -> None:
        """Give those who wait what can be had now, in the order in which they came.

        O(waiters), though a wish is not asked once a more modest one for its model was in vain.
        """
        if self._serving is not None:
            self._serving.cancel()
            self._serving = None
        vain: dict[str, int] = {}  # models of which there is no key, and for how many tokens
        for given, wish in list(self._queue.items()):
            if given.done() or (wish.model in vain and wish.tokens >= vain[wish.model]):
                continue
            lease = wish.ask()
            if lease is not None:
                del self._queue[given]
                given.set_result(lease)
            elif not wish.choosy:
                vain[wish.model] = wish.tokens

    def dismiss(self) -> None:
        """No key will come back: nobody needs to wait on."""
        while self._queue:
            given, _ = self._queue.popitem()
            if not given.done():
                given.set_result(None)


def _given(given: asyncio.Future[Lease | None]) -> Lease | None:
    return given.result() if given.done() and not given.cancelled() else None
