"""The response cache: the same answer again to the same request.

What is the same is `cachekeys.py`'s, what is worth keeping `endings.py`'s, how it is taken down `recording.py`'s, how
it lies in memory `answers.py`'s, and how several gateways share it `sharing.py`'s. Here it is decided when to look and
when to keep.

Decisions:
- *Only exactly the same request.* Similar ones are not the same, and who wants another answer to the same question
  says `Cache-Control: no-cache`.
- *Whole answers and streams are apart.* To make one of the other would be an answer that nobody has given.
- *Equal requests at the same time all go to the provider.* To let them wait for the first would make one client's
  luck that of all others; the answer that comes last is kept.
- *The cache is never in the way.* A shared store that is slow or gone is a miss; keeping goes on behind requests.

Invariants: nothing is written to disk. What was asked for before `clear`, or before a reload that changes what answers
depend on, is not kept after it (`_epoch`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from gateway.conductor.answers import Answers, KeptAnswer
from gateway.conductor.ask import Ask
from gateway.conductor.cachekeys import Wishes, is_cacheable, key_of, read_wishes
from gateway.conductor.outlet import Outlet
from gateway.conductor.recording import Recording
from gateway.conductor.routes import Plan
from gateway.conductor.sharing import SharedAnswers, Sharing
from gateway.config.accounts import CacheConfig
from gateway.config.model import Config
from gateway.net.connection import Reply
from gateway.observe.logs import Log
from gateway.observe.record import RequestRecord, decimal
from gateway.secret import Secret

MB = 1 << 20

PIECE = 64 * 1024
"""Bytes of a stream that are written at once: what a connection takes before it has to wait."""

MISS = (b"x-llmgateway-cache", b"miss")
HIT = (b"x-llmgateway-cache", b"hit")


class ResponseCache:
    """Outlives reloads. `clock` gives unix seconds, `connect` opens a shared store."""

    def __init__(self, clock: Callable[[], float], log: Log, connect: Callable[[Secret], SharedAnswers]) -> None:
        self._clock = clock
        self._log = log
        self._connect = connect
        self._config = CacheConfig()
        self._depends: tuple[object, ...] = ()
        self._answers = Answers(0, 0.0)
        self._sharing: Sharing | None = None
        self._retired: list[Sharing] = []  # of earlier configurations, until there is somebody who may wait
        self._epoch = 0

    def arrange(self, config: Config) -> None:
        """Another configuration. What was kept under the old one is gone, if answers may be others now."""
        depends = (
            config.cache,
            config.providers,
            config.routes,
            config.translation,
            config.limits.url,
            config.billing.currency,
        )
        if depends == self._depends:
            return
        first, self._depends, self._config = not self._depends, depends, config.cache
        self._epoch += 1
        self._answers = Answers(config.cache.max_mb * MB, config.cache.ttl)
        if self._sharing is not None:
            self._retired.append(self._sharing)
            self._sharing = None
        if config.cache.enabled and config.cache.storage == "redis":
            store = self._connect(config.cache.url or config.limits.url)
            self._sharing = Sharing(store, self._log, cleared=first)

    def visit(self, ask: Ask, plan: Plan) -> Visit | None:
        """None: the cache is off, or not for this request."""
        if not self._config.enabled or not is_cacheable(ask):
            return None
        wishes = read_wishes(ask.cache_control) if ask.cache_control else Wishes()
        if not wishes.store:
            return None
        key = key_of(ask, *plan.place(), shared=self._config.shared)
        return Visit(self, key, ask, wishes, self._epoch)

    async def clear(self) -> dict[str, Any]:
        """Forget all answers: how many they were in memory, and their bytes. Raises StoreUnavailable."""
        answers = self._answers
        cleared = {"storage": self._config.storage, "answers": len(answers), "bytes": answers.used}
        self._epoch += 1
        answers.clear()
        if self._sharing is not None:
            await self._sharing.clear()
        return cleared

    async def close(self) -> None:
        """Leave the shared stores."""
        for sharing in (*self._retired, self._sharing):
            if sharing is not None:
                await sharing.close()
        self._retired.clear()

    def statistics(self) -> dict[str, Any]:
        """For metrics and the operator."""
        answers, config = self._answers, self._config
        return {
            "enabled": config.enabled,
            "storage": config.storage,
            "shared": config.shared,
            "answers": len(answers),
            "bytes": answers.used + answers.claimed,
            "limit": answers.limit,
            "failures": self._sharing.failures if self._sharing is not None else 0,
        }

    async def find(self, key: bytes) -> tuple[KeptAnswer | None, bytes]:
        """The answer, if there is one, and the era of the shared store."""
        while self._retired:
            await self._retired.pop().close()
        if self._sharing is None:
            return self._answers.find(key, self._clock()), b""
        return await self._sharing.find(key)

    def age(self, answer: KeptAnswer) -> float:
        """Seconds; the clocks of two gateways may differ."""
        return max(0.0, answer.age(self._clock()))

    def cost(self, answer: KeptAnswer) -> int:
        return int((answer.cost * self._config.price).quantize(Decimal(1), ROUND_HALF_UP))

    def record(self, reply: Outlet, shape: str, streamed: bool) -> Recording:
        answers = self._answers
        return Recording(reply, shape, streamed, self._config.max_entry_mb * MB, answers.claim, answers.release)

    def keep(self, key: bytes, recording: Recording, record: RequestRecord, epoch: int, era: bytes) -> None:
        """What a recording has, if it is a whole and good answer of this epoch."""
        body = recording.body() if record.outcome == "ok" and epoch == self._epoch else None
        recording.forget()
        if body is None:
            return
        now = self._clock()
        answer = KeptAnswer(
            now, recording.headers, body, recording.streamed, record.provider, record.upstream_model, record.cost or 0
        )
        if self._sharing is None:
            self._answers.keep(key, answer, now)
        else:
            self._sharing.keep(key, answer, self._config.ttl, era)


class Visit:
    """One request's look into the cache, and what comes of it."""

    __slots__ = ("_cache", "_epoch", "_era", "_key", "_shape", "_streamed", "_wishes")

    def __init__(self, cache: ResponseCache, key: bytes, ask: Ask, wishes: Wishes, epoch: int) -> None:
        self._cache = cache
        self._key = key
        self._shape = ask.shape
        self._streamed = ask.stream and not ask.array
        self._wishes = wishes
        self._epoch = epoch
        self._era = b""

    async def find(self, record: RequestRecord) -> KeptAnswer | None:
        """An answer that is fresh enough for this client."""
        record.cache = "miss"
        kept, self._era = await self._cache.find(self._key)
        wishes = self._wishes
        if kept is None or not wishes.read or (wishes.max_age is not None and self._cache.age(kept) > wishes.max_age):
            return None
        record.cache, record.provider, record.upstream_model = "hit", kept.provider, kept.model
        return kept

    def cost(self, kept: KeptAnswer) -> int:
        """What a hit costs, in nano-units: a part of what the answer cost at first, rounded once, half up."""
        return self._cache.cost(kept)

    async def replay(self, kept: KeptAnswer, reply: Reply, record: RequestRecord) -> None:
        """The answer as it went to the client who asked first, with this request's id. No tokens were used for it."""
        headers = [*kept.headers, HIT, (b"age", b"%d" % self._cache.age(kept))]
        if record.cost is not None:
            headers.append((b"x-llmgateway-cost", decimal(record.cost).encode()))
        headers.append((b"x-request-id", record.request_id.encode()))
        record.first_byte_at, record.bytes_out = asyncio.get_running_loop().time(), len(kept.body)
        if not kept.streamed:
            await reply.send(200, headers, kept.body)
            return
        record.phase = "streaming"
        await reply.start(200, headers)
        for at in range(0, len(kept.body), PIECE):
            await reply.write(kept.body[at : at + PIECE])
        await reply.end()

    def record(self, reply: Reply) -> Recording:
        """A miss: what goes to the client from now on is taken down. `keep` or `Recording.forget` ends it."""
        reply.extra_headers = (*reply.extra_headers, MISS)
        return self._cache.record(reply, self._shape, self._streamed)

    def keep(self, recording: Recording, record: RequestRecord) -> None:
        """The answer has gone out."""
        self._cache.keep(self._key, recording, record, self._epoch, self._era)
