"""Trying until it works: lease a key, call, report, and do what the policy says next.

Everything here happens before the commit point; the client has not seen a byte. A key that a verdict blamed is not
tried again in the same request; after a provider's fault any untried key goes first, then one that was tried. After a
proxy's fault the same key goes through another proxy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from gateway.config.model import QueueConfig
from gateway.errors import RequestError
from gateway.observe.record import RequestRecord
from gateway.policy.retry import GiveUp, Tally, decide
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.upstream.exchange import Call, Exchange, Outcome
from gateway.upstream.key import Key, Lease, Shortage
from gateway.upstream.keypool import KeyPool
from gateway.upstream.provider import Provider
from gateway.upstream.proxy import Proxy

NO_RECOVERY_KNOWN = 30.0
"""Seconds in Retry-After when nothing says when a key comes back: the operator has to add or enable one."""

TIMER_SLACK = 0.01
"""Seconds that a timer may be early by the clock on the wall."""

NoteAttempt = Callable[[Provider, Key, Verdict | None], None]
"""Told of every attempt's end; None is success. Counts it, and logs what happened to a key."""


class Attempts:
    """The loop over attempts, for every request."""

    def __init__(self, exchange: Exchange, queue: QueueConfig, rng: Random, note: NoteAttempt) -> None:
        self._exchange = exchange
        self._queue = queue
        self._rng = rng
        self._note = note
        self._loop = asyncio.get_running_loop()

    async def run(
        self, provider: Provider, call: Call, record: RequestRecord, pinned: Key | None = None
    ) -> tuple[Outcome, Lease]:
        """The first success, or the last failure, and the lease it came with, which the caller finishes.

        `pinned`: only this key will do. Raises RequestError when no key can be had at all.
        """
        deadline = self._loop.time() + provider.config.timeouts.total
        provider.budget.deposit()
        tally = Tally()
        tried: set[Key] = set()
        blamed: set[Key] = set()
        avoided: set[Proxy] = set()
        again: Key | None = None  # it goes through another proxy next
        last: tuple[Outcome, Lease] | None = None
        while True:
            lease = None if again is None else provider.pool.lease_key(again, call.model, call.tokens)
            if lease is None:
                lease = self._lease(provider.pool, call, tried, blamed, pinned)
            if lease is None:
                shortage = self._shortage(provider.pool, call.model, blamed, pinned)
                if await self._wait(provider.pool, shortage, record, deadline, pinned):
                    continue
                if last is not None:
                    return last
                raise shortage_error(provider, shortage)
            if record.phase == "queued" and provider.pool.usable:
                provider.pool.waiters.wake_one()  # the key that came back serves more than one
            outcome = await self._attempt(provider, lease, call, record, deadline, avoided)
            key = lease.key
            if outcome.verdict is None:
                return outcome, lease
            last = outcome, lease
            elsewhere = _has_other_proxy(provider, outcome, avoided)
            again = key if elsewhere else None
            if not elsewhere:
                tried.add(key)
            if outcome.verdict.blames_key:
                blamed.add(key)
            tally = tally.after(outcome.verdict, elsewhere=elsewhere)
            decision = decide(
                outcome.verdict,
                tally,
                provider.config.retry,
                provider.budget,
                self._rng,
                unanswered=outcome.unanswered,
                streamed=call.stream,
                elsewhere=elsewhere,
            )
            if isinstance(decision, GiveUp) or self._loop.time() + decision.delay >= deadline:
                return last
            if decision.delay:
                await self._sleep(decision.delay, record)

    def _lease(self, pool: KeyPool, call: Call, tried: set[Key], blamed: set[Key], pinned: Key | None) -> Lease | None:
        if pinned is not None:
            return None if pinned in blamed else pool.lease_key(pinned, call.model, call.tokens)
        again = bool(tried)
        lease = pool.lease(call.model, tried, retry=again, tokens=call.tokens, affinity=call.affinity)
        if lease is None and len(tried) > len(blamed):
            lease = pool.lease(call.model, blamed, tokens=call.tokens, affinity=call.affinity)
        return lease

    async def _attempt(
        self,
        provider: Provider,
        lease: Lease,
        call: Call,
        record: RequestRecord,
        deadline: float,
        avoided: set[Proxy],
    ) -> Outcome:
        pool = provider.pool
        record.attempts += 1
        record.phase = "waiting"
        record.key = lease.key.fingerprint
        started = self._loop.time()
        outcome = None
        try:
            outcome = await self._exchange.call(provider, lease.key, call, deadline, avoided)
        finally:
            record.upstream_seconds += self._loop.time() - started
            if outcome is None:
                pool.release(lease)  # the client left: nobody is to blame
        lease.way = outcome.way
        if outcome.verdict is None:
            pool.succeed(lease, answering=True)
        else:
            outcome.verdict = pool.report(lease, outcome.verdict)
        record.proxy = "" if outcome.proxy is None else outcome.proxy.url.fingerprint
        self._note(provider, lease.key, outcome.verdict)
        return outcome

    def _shortage(self, pool: KeyPool, model: str, blamed: set[Key], pinned: Key | None) -> Shortage:
        """Why there is no key: of all of them, or of the one that alone will do."""
        if pinned is None:
            return pool.shortage(model, blamed)
        standing = pinned.standing
        if standing.usable and pinned.models:
            standing = pinned.models.get(model, standing)
        wait = None
        if standing.until is not None and pinned not in blamed:
            wait = max(standing.until - self._exchange.clock(), 0.0)
        return Shortage(wait, {str(standing.status): 1}, standing.status is Status.RATE_LIMITED)

    async def _wait(
        self, pool: KeyPool, shortage: Shortage, record: RequestRecord, deadline: float, pinned: Key | None
    ) -> bool:
        """Wait for a key that is worth waiting for: one that was not blamed and comes back within the queue's time."""
        again = record.phase == "queued"
        record.phase = "queued"
        wait = shortage.retry_after
        started = self._loop.time()
        limit = min(self._queue.timeout, deadline - started)
        if wait is None or wait > limit or (again and pinned is not None):
            return False
        try:
            if pinned is None:
                return await pool.wait_usable(limit)
            await asyncio.sleep(wait + TIMER_SLACK)
            pool.standings.wake_due()
            return True
        finally:
            record.upstream_seconds += self._loop.time() - started

    async def _sleep(self, seconds: float, record: RequestRecord) -> None:
        """Before the next try."""
        started = self._loop.time()
        try:
            await asyncio.sleep(seconds)
        finally:
            record.upstream_seconds += self._loop.time() - started


def _has_other_proxy(provider: Provider, outcome: Outcome, avoided: set[Proxy]) -> bool:
    """Whether a proxy is to blame and another one is left to try; the one it was is `avoided` from now on."""
    if provider.proxies is None or outcome.verdict is None or outcome.verdict.scope is not Scope.PROXY:
        return False
    if outcome.proxy is not None:
        avoided.add(outcome.proxy)
    return provider.proxies.has_other(avoided)


def shortage_error(provider: Provider, shortage: Shortage) -> RequestError:
    """429 `keys_cooling` or 503 `no_usable_key`, with the earliest known recovery and the keys by status."""
    keys = ", ".join(f"{n} {status}" for status, n in shortage.counts.items()) or "no keys at all"
    retry_after = NO_RECOVERY_KNOWN if shortage.retry_after is None else max(shortage.retry_after, 1.0)
    extra: dict[str, object] = {"keys": dict(shortage.counts)}
    if shortage.cause:
        return RequestError(
            503,
            "circuit_open",
            f"The provider {provider.name!r} rejects different keys alike ({shortage.cause}): none is tried until that "
            f"is over ({keys}).",
            retry_after=retry_after,
            extra=extra,
        )
    if shortage.cooling:
        return RequestError(
            429,
            "keys_cooling",
            f"Every usable key of the provider {provider.name!r} is cooling down ({keys}).",
            retry_after=retry_after,
            extra=extra,
        )
    return RequestError(
        503,
        "no_usable_key",
        f"The provider {provider.name!r} has no usable key ({keys}).",
        retry_after=retry_after,
        extra=extra,
    )
