"""Limits that several gateways keep together, as long as Redis answers; each for itself while it does not.

`store/redis.py` decides. Here is the patience with it: DECISION_SECONDS for a decision, a pause (`policy/patience.py`)
after failures in a row. What is not decided in time is for the caller to decide by what its own gateway has counted.
That is logged once, counted, and told by `state`.

Whoever makes it runs `run`, which sends what nobody waits for, and renews what is in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config.accounts import LimitsConfig
from gateway.errors import StoreError, StoreUnavailable
from gateway.observe.logs import Log
from gateway.policy.limits import Refusal, Subject
from gateway.policy.patience import Patience

if TYPE_CHECKING:
    from gateway.store.redis import Grant, RedisLimits

DECISION_SECONDS = 0.25
"""What a request may wait for a decision: a hundred times what a Redis nearby takes."""

SEND_SECONDS = 2.0
"""For a batch of corrections, and for leaving: nobody waits for them."""

RENEW_SECONDS = 20.0
"""Between two renewals of what is in flight: a third of a lease, so that one may fail."""

COUNTED_ERRORS = (StoreUnavailable, TimeoutError)


class Shared(NamedTuple):
    """A request that was counted, and where."""

    grant: Grant
    where: RedisLimits


class SharedLimits:
    """`clock` gives seconds for the pauses, `now` unix seconds for people."""

    def __init__(self, clock: Callable[[], float], now: Callable[[], float], log: Log) -> None:
        self._clock = clock
        self._now = now
        self._log = log
        self._url: object = None
        self._redis: RedisLimits | None = None
        self._retired: list[RedisLimits] = []
        self._patience = Patience()
        self._since: float | None = None  # unix seconds: since when every gateway counts for itself
        self._last_error = ""
        self._work = asyncio.Event()
        self.fallbacks = 0  # decisions that Redis was to make, and did not

    def arrange(self, config: LimitsConfig) -> None:
        """Where limits are kept from now on. What was counted elsewhere stays there. Raises StoreError without
        redis-py."""
        url = config.url if config.storage == "redis" else None
        if url == self._url:
            return
        made = None if url is None else _open(config)
        if self._redis is not None:
            self._retired.append(self._redis)
            self._work.set()
        self._url, self._redis = url, made
        self._patience, self._since, self._last_error = Patience(), None, ""

    def state(self) -> dict[str, Any]:
        """For operators. `alone_since`: unix seconds since when Redis has not answered; None while all is well."""
        return {
            "storage": "memory" if self._redis is None else "redis",
            "alone_since": self._since,
            "last_error": self._last_error,
        }

    @property
    def used(self) -> bool:
        """Whether limits are meant to be shared."""
        return self._redis is not None

    async def take(self, subjects: Sequence[Subject], tokens: int) -> Shared | Refusal | None:
        """As `Limits.take`, by all gateways together. None: they do not decide now."""
        where, patience = self._redis, self._patience
        if where is None:
            return None
        if not patience.allows(self._clock()):
            self.fallbacks += 1
            return None
        try:
            async with asyncio.timeout(DECISION_SECONDS):
                decision = await where.take(subjects, tokens)
        except COUNTED_ERRORS as error:
            self.fallbacks += 1
            patience.fail(self._clock())
            self._note_failure(patience, error)
            return None
        patience.succeed()
        self._note_success()
        return decision if isinstance(decision, Refusal) else Shared(decision, where)

    def settle(self, shared: Shared, used: int, *, given_back: bool) -> None:
        """The request has ended, and has used so many tokens; `given_back`: it was none."""
        shared.where.settle(shared.grant, used, given_back=given_back)
        self._work.set()

    async def run(self) -> None:
        """Send what is to be sent, for ever."""
        loop = asyncio.get_running_loop()
        renewal = loop.time() + RENEW_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(renewal):
                    await self._work.wait()
            except TimeoutError:
                pass
            self._work.clear()
            if loop.time() >= renewal:
                renewal = loop.time() + RENEW_SECONDS
                if self._redis is not None:
                    self._redis.renew()
            await self._send()
            while self._retired:
                await _leave(self._retired.pop())

    async def close(self) -> None:
        """Give back what this gateway still holds. `run` has ended."""
        await self._send()
        for each in (*self._retired, *filter(None, (self._redis,))):
            await _leave(each)

    async def _send(self) -> None:
        """All corrections there are, unless Redis is away: then they are dropped one batch at a time."""
        where = self._redis
        try:
            while where is not None and where.waiting:
                async with asyncio.timeout(SEND_SECONDS):
                    await where.send()
        except COUNTED_ERRORS:
            pass  # decisions find out, and tell

    def _note_failure(self, patience: Patience, error: BaseException) -> None:
        if patience is not self._patience or not patience.lost:
            return
        self._last_error = str(error) or f"no answer for {DECISION_SECONDS:g} s"
        if self._since is None:
            self._since = self._now()
            self._log.warning(
                "limits_not_shared", error=self._last_error, hint="until Redis answers, this gateway counts for itself"
            )

    def _note_success(self) -> None:
        if self._since is not None:
            self._log.info("limits_shared_again", seconds=round(self._now() - self._since, 1))
            self._since, self._last_error = None, ""


def _open(config: LimitsConfig) -> RedisLimits:
    try:
        from gateway.store.redis import RedisLimits  # an extra
    except ImportError as error:
        raise StoreError("limits.storage needs redis-py", hint="pip install 'llmgateway[redis]'") from error
    return RedisLimits(config.url)


async def _leave(where: RedisLimits) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            while where.waiting:
                await where.send()
            await where.close()
    except COUNTED_ERRORS:
        pass  # what it held ends by itself
