"""Trying until it works: lease a key, call, report, and do what the policy says next.

Everything here happens before the commit point; the client has not seen a byte. A key that a verdict blamed is not
tried again in the same request; after a provider's fault any untried key goes first, then one that was tried. After a
proxy's fault the same key goes through another proxy. While the provider's circuit is open nothing is sent: no first
attempt, which is a RequestError `circuit_open`, and no further one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import field
from functools import partial
from random import Random
from typing import NamedTuple

from gateway.config.model import QueueConfig
from gateway.errors import RequestError
from gateway.observe.record import RequestRecord
from gateway.policy.fallback import cause_of
from gateway.policy.retry import Failure, GiveUp, Retries
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.quick import dataclass
from gateway.upstream.breakers import Refusal
from gateway.upstream.exchange import Call, Exchange, Outcome
from gateway.upstream.key import Key, Lease, Shortage
from gateway.upstream.provider import Provider
from gateway.upstream.proxy import Proxy
from gateway.upstream.waiters import Wish

NO_RECOVERY_KNOWN = 30.0
"""Seconds in Retry-After when nothing says when a key comes back: the operator has to add or enable one."""

BUSY = 1.0
"""Seconds in which a key that is at our own limits is expected back."""

NoteAttempt = Callable[[Provider, Key, Verdict | None, RequestRecord], None]
"""Told of every attempt's end; None is success. Counts it, and logs what happened to a key."""


class Chance(NamedTuple):
    """What a target is given. `deadline`: in loop time, for all targets together; None: the provider's own. `causes` of
    failures after which another one is asked. `patient`: requests wait for a key that is soon back. `alone`: there is
    no other. `blamed` collects the keys that are refused whatever the model: another target may be at the same
    provider."""

    deadline: float | None = None
    causes: frozenset[str] = frozenset()
    patient: bool = True
    alone: bool = False
    blamed: set[Key] | None = None


ALONE = Chance(alone=True)


@dataclass(slots=True)
class _Course:
    """How one request has fared so far. `patience`: seconds that it will still wait for keys."""

    provider: Provider
    call: Call
    record: RequestRecord
    pinned: Key | None
    deadline: float
    patience: float
    tried: set[Key] = field(default_factory=set)
    blamed: set[Key] = field(default_factory=set)
    avoided: set[Proxy] = field(default_factory=set)

    def lease(self) -> Lease | None:
        """A key for the next attempt, if there is one now."""
        pool, call = self.provider.pool, self.call
        if self.pinned is not None:
            return None if self.pinned in self.blamed else pool.lease_key(self.pinned, call.model, call.tokens)
        again = bool(self.tried)
        lease = pool.lease(call.model, self.tried, retry=again, tokens=call.tokens, affinity=call.affinity)
        if lease is None and len(self.tried) > len(self.blamed):
            lease = pool.lease(call.model, self.blamed, tokens=call.tokens, affinity=call.affinity)
        return lease

    def blame(self, *keys: Key) -> None:
        """They are not tried again."""
        self.tried.update(keys)
        self.blamed.update(keys)

    def wish(self) -> Wish:
        choosy = bool(self.tried or self.pinned)
        return Wish(self.lease, self.call.model, self.call.tokens, choosy, self.record.user)


class Attempts:
    """The loop over attempts, for every request."""

    def __init__(self, exchange: Exchange, queue: QueueConfig, rng: Random, note: NoteAttempt) -> None:
        self._exchange = exchange
        self._queue = queue
        self._rng = rng
        self._note = note
        self._loop = asyncio.get_running_loop()

    async def run(
        self,
        provider: Provider,
        call: Call,
        record: RequestRecord,
        pinned: Key | None = None,
        chance: Chance = ALONE,
    ) -> tuple[Outcome, Lease]:
        """The first success, or the last failure, and the lease it came with, which the caller finishes.

        `pinned`: only this key will do. Raises RequestError when no key can be had at all.
        """
        deadline = self._loop.time() + provider.config.timeouts.total
        if chance.deadline is not None:
            deadline = min(deadline, chance.deadline)
        patience = self._queue.timeout if chance.patient else 0.0
        course = _Course(provider, call, record, pinned, deadline, patience)
        if chance.blamed:
            own = provider.pool.standings.keys
            course.blame(*(key for key in chance.blamed if own.get(key.digest) is key))
        retries: Retries | None = None
        again: Key | None = None  # it goes through another proxy next
        last: tuple[Outcome, Lease] | None = None
        while True:
            lease = await self._lease(course, again)
            if lease is None:
                if last is not None:
                    return last
                refusal = provider.pool.breakers.refusal()
                if refusal is not None:
                    raise circuit_error(provider, refusal)
                raise shortage_error(provider, self._shortage(course))
            if last is None:
                provider.budget.deposit()
            outcome = await self._attempt(course, lease)
            key = lease.key
            if outcome.verdict is None:
                return outcome, lease
            last = outcome, lease
            elsewhere = _has_other_proxy(provider, outcome, course.avoided)
            again = key if elsewhere else None
            if not elsewhere:
                course.tried.add(key)
            if outcome.verdict.blames_key:
                course.blame(key)
                if chance.blamed is not None and outcome.verdict.scope is not Scope.KEY_MODEL:
                    chance.blamed.add(key)
            if provider.pool.breakers.refusal() is not None:
                return last
            retries = retries or Retries(provider.config.retry, call.stream)
            retries = retries.after(Failure(outcome.verdict, outcome.unanswered, elsewhere))
            others = bool(chance.causes) and cause_of(outcome.verdict) in chance.causes
            decision = retries.decide(deadline - self._loop.time(), provider.budget, self._rng, others=others)
            if isinstance(decision, GiveUp):
                return last
            if decision.delay:
                await self._sleep(decision.delay, record)

    async def _lease(self, course: _Course, again: Key | None) -> Lease | None:
        """A key for the next attempt, now or after a wait; `again`: this one, if it can be had. None while the circuit
        is open, which it may have become during the wait."""
        pool, call = course.provider.pool, course.call
        if pool.breakers.refusal() is not None:
            return None
        if pool.waiters:
            pool.waiters.serve()  # nobody passes those who came before
        lease = None if again is None else pool.lease_key(again, call.model, call.tokens)
        if lease is None:
            lease = course.lease()
        if lease is not None:
            return lease
        lease = await self._wait(course)
        if lease is not None and pool.breakers.refusal() is not None:
            pool.release(lease)
            return None
        return lease

    async def _attempt(self, course: _Course, lease: Lease) -> Outcome:
        provider, record = course.provider, course.record
        pool = provider.pool
        record.attempts += 1
        record.phase, record.sent = "waiting", False
        record.key = lease.key.fingerprint
        started = self._loop.time()
        outcome = None
        entry = pool.breakers.enter()
        avoided = course.avoided.union(entry.avoided) if entry.avoided else course.avoided
        try:
            outcome = await self._exchange.call(provider, lease.key, course.call, course.deadline, avoided)
        finally:
            record.upstream_seconds += self._loop.time() - started
            if outcome is None:
                pool.release(lease)  # the client left: nobody is to blame
                pool.breakers.leave(entry)
        lease.way = outcome.way
        if outcome.verdict is None:
            pool.succeed(lease, answering=True)
        else:
            outcome.verdict = pool.report(lease, outcome.verdict)
            record.sent = False
        if outcome.verdict is None and outcome.answer is not None:
            outcome.broke = partial(pool.breakers.broke, pool.breakers.begin(entry, outcome.way))
        else:
            pool.breakers.end(entry, outcome.verdict, outcome.way)
        record.proxy = "" if outcome.proxy is None else outcome.proxy.url.fingerprint
        self._note(provider, lease.key, outcome.verdict, record)
        return outcome

    def _shortage(self, course: _Course) -> Shortage:
        """Why there is no key: of all of them, or of the one that alone will do."""
        pinned, model = course.pinned, course.call.model
        if pinned is None:
            return course.provider.pool.shortage(model, course.blamed)
        standing = pinned.standing
        if standing.usable and pinned.models:
            standing = pinned.models.get(model, standing)
        wait, busy = None, standing.usable and pinned not in course.blamed
        if busy:
            wait = BUSY  # at our own limits
        elif standing.until is not None and pinned not in course.blamed:
            wait = max(standing.until - self._exchange.clock(), 0.0)
        return Shortage(wait, {str(standing.status): 1}, busy or standing.status is Status.RATE_LIMITED)

    async def _wait(self, course: _Course) -> Lease | None:
        """A key that was worth waiting for: one that was not blamed and comes back within the queue's time, of which
        a request has one share for all its waiting."""
        record = course.record
        record.phase = "queued"
        started = self._loop.time()
        limit = min(course.patience, course.deadline - started)
        wait = self._shortage(course).retry_after
        if wait is None or wait > limit:
            return None
        try:
            return await course.provider.pool.wait(course.wish(), limit)
        finally:
            waited = self._loop.time() - started
            course.patience -= waited
            record.upstream_seconds += waited
            record.queued_seconds += waited

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


def circuit_error(provider: Provider, refusal: Refusal) -> RequestError:
    """503 `circuit_open`, with the time at which somebody may look whether it is over. What the provider said last is
    not told: it may repeat what somebody else wrote."""
    wait = refusal.retry_after
    if wait is None:
        message = "it has failed too often, and nothing is sent to it until the gateway's operator says so"
    else:
        message = "it has failed too often, and is left alone for a while"
    return RequestError(
        503,
        "circuit_open",
        f"The circuit of the provider {provider.name!r} is open: {message}.",
        retry_after=NO_RECOVERY_KNOWN if wait is None else max(wait, 1.0),
    )


def shortage_error(provider: Provider, shortage: Shortage) -> RequestError:
    """429 `keys_cooling` or 503 `no_usable_key`, with the earliest known recovery and the keys by status."""
    keys = ", ".join(f"{n} {status}" for status, n in shortage.counts.items()) or "no keys at all"
    retry_after = NO_RECOVERY_KNOWN if shortage.retry_after is None else max(shortage.retry_after, 1.0)
    extra: dict[str, object] = {"keys": dict(shortage.counts)}
    if shortage.cause:
        return RequestError(
            503,
            "circuit_open",
            f"The provider {provider.name!r} rejects different keys alike ({shortage.cause}): either it turns the "
            f"gateway away, or all of these keys are bad. One request at a time looks whether it is over ({keys}).",
            retry_after=retry_after,
            extra=extra,
        )
    if shortage.cooling:
        what = "at its key_limits, and no place in the queue was free in time" if shortage.busy else "cooling down"
        return RequestError(
            429,
            "keys_cooling",
            f"Every usable key of the provider {provider.name!r} is {what} ({keys}).",
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
