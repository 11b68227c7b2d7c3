"""A shared store of answers that is never in the way: every command has a deadline, and one that fails again and again
is left alone for a while. What comes of that is a miss."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from gateway.conductor.answers import KeptAnswer, read_answer
from gateway.errors import StoreUnavailable
from gateway.observe.logs import Log
from gateway.policy.patience import Patience

T = TypeVar("T")

SECONDS = 0.25
"""For one command: a hundred times what a Redis in the same building takes for a long answer."""

WRITES_LIMIT = 100
"""Answers on their way to the store, each for SECONDS at most. Further ones are not kept."""


class SharedAnswers(Protocol):
    """A `store.redisanswers.RedisAnswers`, which says what these do. All raise StoreUnavailable."""

    async def find(self, key: bytes) -> tuple[bytes | None, bytes]: ...
    async def keep(self, key: bytes, value: bytes, ttl: float, era: bytes) -> None: ...
    async def clear(self) -> None: ...
    async def close(self) -> None: ...


class Sharing:
    """`cleared`: what the store has is of this configuration. False: it is cleared before anything is read of it."""

    def __init__(self, store: SharedAnswers, log: Log, *, cleared: bool) -> None:
        self.failures = 0
        self._store = store
        self._log = log
        self._cleared = cleared
        self._patience = Patience()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, key: bytes) -> tuple[KeptAnswer | None, bytes]:
        """The answer, if there is one that can be had now, and the era for `keep`."""
        try:
            if not self._cleared:
                await self.clear()
            value, era = await self._ask(self._store.find(key))
        except StoreUnavailable:
            return None, b""
        return None if value is None else read_answer(value), era

    def keep(self, key: bytes, answer: KeptAnswer, ttl: float, era: bytes) -> None:
        """Behind the request. Where `find` has heard of no era, it is not kept."""
        if era and len(self._tasks) < WRITES_LIMIT:
            self._undertake(self._store.keep(key, answer.to_bytes(), ttl, era))

    async def clear(self) -> None:
        """Raises StoreUnavailable; it is then done before the next answer is read."""
        self._cleared = False
        await self._ask(self._store.clear())
        self._cleared = True

    async def close(self) -> None:
        """What is on its way to the store is given up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(SECONDS):
                await self._store.close()
        except (StoreUnavailable, TimeoutError):
            pass

    def _undertake(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._carry_out(work), name="response cache")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await self._ask(work)
        except StoreUnavailable:
            pass  # it is counted

    async def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises StoreUnavailable, at once while the store is left alone."""
        patience = self._patience
        if not patience.allows(self._loop.time()):
            work.close()
            raise StoreUnavailable("Redis is left alone for a while", hint="it has failed five times in a row")
        was_open = patience.lost
        try:
            async with asyncio.timeout(SECONDS):
                result = await work
        except (StoreUnavailable, TimeoutError) as error:
            self.failures += 1
            patience.fail(self._loop.time())
            if patience.lost and not was_open:
                self._log.warning("cache_away", detail=str(error) or f"no answer within {SECONDS:g} s")
            if isinstance(error, StoreUnavailable):
                raise
            raise StoreUnavailable("Redis is too slow", detail=f"no answer within {SECONDS:g} s") from None
        patience.succeed()
        if was_open:
            self._log.info("cache_back")
        return result
