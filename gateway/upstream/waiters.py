"""Requests that wait for a key: in turn, bounded in number and in time.

Leases go from hand to hand. Who waits leaves a *wish*, which is asked in its turn whenever a key may be chosen again;
the lease that comes of it is the waiter's. So nobody waits twice for one key or loses a turn. A waiter that has no use
for the key that is there (it asks for another model, or has tried that key) holds up nobody behind it.

Users take turns, a lease each; one user's requests are served as they came. When all places are taken, the user who
has most of them gives up the last one to a newcomer whose user would still have fewer: a single user may fill the
queue, but only while nobody else wants to wait.

Invariants:
- Whoever asks the pool for a key lets those who wait be served first, see `serve`.
- Every user in `_queues` has a wish in it, and stands in the crowd of so many.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from gateway.observe.metrics import QUEUE_BOUNDS, Histogram
from gateway.upstream.key import Lease

Given = asyncio.Future[Lease | None]


class Wish(NamedTuple):
    """What a request waits for: `ask` leases it, if it can be had now. `choosy`: keys are excluded from it. `user` is
    whose request it is, by the name that limits have for him: where nobody has a token, the client's address."""

    ask: Callable[[], Lease | None]
    model: str = ""
    tokens: int = 0
    choosy: bool = False
    user: str = ""


class Stock(Protocol):
    """What is waited for."""

    def is_out(self, model: str) -> bool:
        """Whether nobody would get a key for the model now, however modest."""
        ...


class Waiters:
    """Wishes, queued by user. `turned_away` counts those for whom there was no place, or no longer one, `waits` how
    long the others and the latter waited. `stock`, once it is known, tells when there is no key for a model, whatever
    is wished of it."""

    __slots__ = (
        "_count",
        "_crowds",
        "_models",
        "_most",
        "_queues",
        "_serving",
        "limit",
        "stock",
        "turned_away",
        "waits",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.stock: Stock | None = None
        self.turned_away = 0
        self.waits = Histogram(QUEUE_BOUNDS)
        self._count = 0
        self._queues: dict[str, dict[Given, Wish]] = {}  # by user, in the order of their turns
        self._models: Counter[str] = Counter()  # that are waited for
        self._crowds: dict[int, dict[str, None]] = {}  # users, by how many of their requests wait
        self._most = 0  # requests of one user
        self._serving: asyncio.Handle | None = None

    def __len__(self) -> int:
        return self._count

    async def wait(self, wish: Wish, seconds: float, release: Callable[[Lease], None]) -> Lease | None:
        """The lease; None when the time is up, the pool is closed, or there is no place (any more). `release` takes
        back a lease that was given to somebody who had just left."""
        if self._count >= self.limit and not self._make_place(wish.user):
            self.turned_away += 1
            return None
        loop = asyncio.get_running_loop()
        given: Given = loop.create_future()
        started = loop.time()
        self._enter(given, wish)
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
            self._leave(given, wish)
            self.waits.observe(loop.time() - started)

    def wake(self) -> None:
        """A key may be chosen again: serve those who wait, in the loop's next turn, when all is in its place."""
        if self._queues and self._serving is None:
            self._serving = asyncio.get_running_loop().call_soon(self.serve)

    def serve(self) -> None:
        """Give those who wait what can be had now, one to each user in turn.

        No wish is asked twice, nor one once a more modest one for its model was in vain, or there is no key for it at
        all: for a pool without a free key that is one question for each model. O(users), O(waiters) where keys are not
        good for all wishes alike.
        """
        if self._serving is not None:
            self._serving.cancel()
            self._serving = None
        vain: dict[str, int] = {}  # models of which there is no key, and for how many tokens
        users, served = deque(self._queues), dict[str, Iterator[bool]]()
        while users and not self._all_is_vain(vain):
            user = users.popleft()
            if user not in served:
                served[user] = self._serve_user(user, vain)
            if next(served[user], False):
                users.append(user)

    def dismiss(self) -> None:
        """No key will come back: nobody needs to wait on."""
        for queue in list(self._queues.values()):
            for given, wish in list(queue.items()):
                self._leave(given, wish)
                if not given.done():
                    given.set_result(None)

    def _serve_user(self, user: str, vain: dict[str, int]) -> Iterator[bool]:
        """Each step serves one of this user's, who then is the last in turn, until there is nothing for any."""
        queue = self._queues[user]
        for given in list(queue):
            wish = queue[given]
            if given.done() or (wish.model in vain and wish.tokens >= vain[wish.model]):
                continue
            lease = wish.ask()
            if lease is not None:
                self._leave(given, wish)
                given.set_result(lease)
                if queue:
                    self._queues[user] = self._queues.pop(user)
                yield True
            elif not wish.choosy or (self.stock is not None and self.stock.is_out(wish.model)):
                vain[wish.model] = 0 if wish.choosy else wish.tokens
                if self._all_is_vain(vain):
                    return

    def _all_is_vain(self, vain: dict[str, int]) -> bool:
        """Whether not even the most modest wish for any model is worth asking."""
        return len(vain) >= len(self._models) and not any(vain.values())

    # -- places ------------------------------------------------------------------------------------------------

    def _make_place(self, user: str) -> bool:
        """Send the last one of the user who has most away, if this one would still have fewer with one more."""
        if len(self._queues.get(user, ())) + 1 >= self._most:
            return False
        queue = self._queues[next(reversed(self._crowds[self._most]))]
        given = next((given for given in reversed(queue) if not given.done()), None)
        if given is None:
            return False  # they all leave by themselves, in the loop's next turn
        self._leave(given, queue[given])
        given.set_result(None)
        self.turned_away += 1
        return True

    def _enter(self, given: Given, wish: Wish) -> None:
        queue = self._queues.setdefault(wish.user, {})
        queue[given] = wish
        self._count += 1
        self._models[wish.model] += 1
        self._move(wish.user, len(queue) - 1, len(queue))

    def _leave(self, given: Given, wish: Wish) -> None:
        """Does nothing for who has left already."""
        queue = self._queues.get(wish.user)
        if queue is None or queue.pop(given, None) is None:
            return
        self._count -= 1
        self._models[wish.model] -= 1
        if not self._models[wish.model]:
            del self._models[wish.model]
        if not queue:
            del self._queues[wish.user]
        self._move(wish.user, len(queue) + 1, len(queue))

    def _move(self, user: str, before: int, after: int) -> None:
        """From one crowd to the next, in O(1)."""
        if before:
            crowd = self._crowds[before]
            del crowd[user]
            if not crowd:
                del self._crowds[before]
        if after:
            self._crowds.setdefault(after, {})[user] = None
        if after > self._most or (before == self._most and before not in self._crowds):
            self._most = after


def _given(given: Given) -> Lease | None:
    return given.result() if given.done() and not given.cancelled() else None
