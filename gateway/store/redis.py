"""Limits that several gateways keep together, in Redis or Valkey: `policy/limits.py`, as one script for each decision.

What the policy counts in memory is here a hash of slots for each window, and for requests at once a sorted set of
leases: each request's name and the time until which it counts. While it runs its gateway renews it, so that those of a
gateway that died vanish by themselves. The time is Redis' own, so that all gateways agree.

Invariants:
- A decision is one script, so that nobody comes between its looking and its counting. Every key has `{llmgateway}` in
  its name, so that a cluster keeps them together.
- Every key has an end, if nobody uses it.
- Nothing waits here but for one answer of Redis, and nobody waits for a correction. What cannot be sent is dropped:
  then tokens that were reserved count for their minute, and a lease ends by itself.

Deadlines, and what is done when Redis is away, are for whoever calls.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.errors import StoreUnavailable
from gateway.policy.limits import (
    BUSY_SECONDS,
    REQUEST_KINDS,
    SECONDS,
    SLOTS,
    Headroom,
    Kind,
    Reading,
    Refusal,
    Scope,
    Subject,
    refusal,
    tightest_readings,
)
from gateway.secret import Secret
from gateway.store.limit_scripts import SETTLE, TAKE

MICRO = 1_000_000

FAILURES = (redis.RedisError, OSError, EOFError)

CONNECTIONS = 32
"""To one Redis. Each is taken for one script, less than a millisecond; more would not make Redis faster."""

LEASE_SECONDS = 60.0
"""How long a request in flight counts without being renewed: so long a dead gateway's requests stay."""

CORRECTIONS_LIMIT = 20_000
"""Corrections that wait to be sent: two for each of 10,000 requests that end at once. The oldest are given up."""

BATCH = 250
"""Corrections in one script: Redis does nothing else meanwhile, about a millisecond."""


def connect(url: Secret) -> redis.asyncio.Redis:
    """A client that connects when it is first needed, and whose calls raise FAILURES. For answers as well."""
    # A connection that Redis has closed meanwhile is no failure: another one is made, at once and once.
    retry: Any = Retry(NoBackoff(), 1, (redis.asyncio.ConnectionError,))
    # Without a timeout of its own for what is sent: before Python 3.12 it would swallow a caller's (wait_for).
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url.reveal(), max_connections=CONNECTIONS, timeout=None, socket_timeout=None, retry=retry, protocol=2
    )
    return redis.asyncio.Redis.from_pool(pool)


def unavailable(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable("Redis does not answer", detail=f"{type(error).__name__}: {error}")


class Grant(NamedTuple):
    """A request that was counted. `requests` and `tokens`: the tightest limits of each, after it. `taken_at` is in
    microseconds of Redis' time, as are the slots of `request_keys`."""

    requests: Headroom | None
    tokens: Headroom | None
    taken_at: int
    reserved: int
    lease: str
    request_keys: tuple[tuple[str, int], ...]
    token_keys: tuple[str, ...]
    lease_keys: tuple[str, ...]


class Correction(NamedTuple):
    """One key, and the four arguments of SETTLE."""

    key: str
    arguments: tuple[str | int, ...]


class RedisLimits:
    """One gateway's share in what is counted at `url`. Nothing is connected before it is needed."""

    def __init__(self, url: Secret) -> None:
        self._client = connect(url)
        self._take = self._client.register_script(TAKE)
        self._settle = self._client.register_script(SETTLE)
        self._node = os.urandom(8).hex()
        self._count = 0
        self._leases: dict[str, tuple[str, ...]] = {}  # of requests in flight, and where they are counted
        self._corrections: deque[Correction] = deque(maxlen=CORRECTIONS_LIMIT)

    @property
    def waiting(self) -> int:
        """Corrections that have not been sent."""
        return len(self._corrections)

    async def take(self, subjects: Sequence[Subject], tokens: int, now: int | None = None) -> Grant | Refusal:
        """Count a request with so many tokens, if all of its limits allow it. Raises StoreUnavailable.

        `now`, in microseconds, is for tests. Whoever waits may leave: the lease is given back, should it be counted.
        """
        rules = [rule for subject in subjects for rule in _rules(subject, tokens)]
        self._count += 1
        lease = f"{self._node}:{self._count}"
        lease_keys = tuple(rule.key for rule in rules if rule.kind == "concurrency")
        arguments: list[str | int] = ["" if now is None else now, lease, int(LEASE_SECONDS * MICRO), SLOTS]
        for rule in rules:
            arguments += (rule.limit, rule.adds, _step(rule.kind))
        try:
            answer = await self._take(keys=[rule.key for rule in rules], args=arguments)
        except BaseException as error:
            self._corrections.extend(Correction(key, ("end", lease, 0, 0)) for key in lease_keys)
            if isinstance(error, FAILURES):
                raise unavailable(error) from error
            raise
        allowed, taken_at = answer[:2]
        readings = [
            _read(rule, allowed, taken_at, *islice(answer, at, at + 3))
            for rule, at in zip(rules, range(2, len(answer), 3), strict=True)
        ]
        if not allowed:
            return refusal(readings)
        if lease_keys:
            self._leases[lease] = lease_keys
        token_keys = tuple(rule.key for rule in rules if rule.kind == "tokens_per_minute")
        request_keys = tuple((rule.key, _step(rule.kind)) for rule in rules if rule.kind in REQUEST_KINDS)
        return Grant(*tightest_readings(readings), taken_at, tokens, lease, request_keys, token_keys, lease_keys)

    def settle(self, grant: Grant, used: int, *, given_back: bool = False) -> None:
        """A request has ended, and has used so many tokens; `given_back`: it was none. It is sent by `send`."""
        if given_back:
            self._corrections.extend(
                Correction(key, ("add", step, grant.taken_at, -1)) for key, step in grant.request_keys
            )
        self._leases.pop(grant.lease, None)
        more, step = used - grant.reserved, _step("tokens_per_minute")
        if more:
            self._corrections.extend(Correction(key, ("add", step, grant.taken_at, more)) for key in grant.token_keys)
        self._corrections.extend(Correction(key, ("end", grant.lease, 0, 0)) for key in grant.lease_keys)

    def renew(self) -> None:
        """Every request in flight counts for another LEASE_SECONDS. It is sent by `send`."""
        length = int(LEASE_SECONDS * MICRO)
        self._corrections.extend(
            Correction(key, ("renew", lease, length, 0)) for lease, keys in self._leases.items() for key in keys
        )

    async def send(self, now: int | None = None) -> None:
        """Send a batch of corrections. Those are dropped of which it is not known whether they arrived. Raises
        StoreUnavailable."""
        batch = [self._corrections.popleft() for _ in range(min(len(self._corrections), BATCH))]
        arguments: list[str | int] = ["" if now is None else now, SLOTS]
        for correction in batch:
            arguments += correction.arguments
        try:
            await self._settle(keys=[correction.key for correction in batch], args=arguments)
        except FAILURES as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Leave Redis. Raises StoreUnavailable."""
        try:
            await self._client.aclose()
        except FAILURES as error:
            raise unavailable(error) from error


class _Rule(NamedTuple):
    scope: Scope
    kind: Kind
    key: str
    limit: int
    adds: int


def _rules(subject: Subject, tokens: int) -> Iterator[_Rule]:
    """The limits of a subject."""
    scope, name, limits = subject
    for kind, adds in _adds(tokens):
        limit = getattr(limits, kind)
        if limit:
            yield _Rule(scope, kind, f"{{llmgateway}}:limits:{scope}:{kind}:{name}", limit, adds)


def _adds(tokens: int) -> Iterable[tuple[Kind, int]]:
    return (*((kind, 1) for kind in REQUEST_KINDS), ("tokens_per_minute", tokens), ("concurrency", 1))


def _step(kind: Kind) -> int:
    """Microseconds of a slot; 0 for what has no window."""
    return int(SECONDS[kind] * MICRO) // SLOTS if kind in SECONDS else 0


def _read(rule: _Rule, allowed: int, now: int, used: int, latest: int, fits: int) -> Reading:
    """What Redis says of one limit."""
    step = _step(rule.kind)
    if not step:
        wait = BUSY_SECONDS if not allowed and used + rule.adds > rule.limit else 0.0
        return Reading(rule.scope, rule.kind, rule.limit, used, 0.0, wait)
    reset = ((latest + 1 + SLOTS) * step - now) / MICRO if latest else 0.0
    wait_or_never = None if rule.adds > rule.limit else (fits * step - now) / MICRO if fits else 0.0
    return Reading(rule.scope, rule.kind, rule.limit, used, reset, wait_or_never)
