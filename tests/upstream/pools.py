"""Pools on a virtual clock, and the verdicts that tests give."""

from __future__ import annotations

from random import Random

from gateway.config.provider import HealthConfig
from gateway.policy.verdict import Provenance, Scope, Status, Verdict
from gateway.secret import Secret
from gateway.upstream.key import Key, Lease
from gateway.upstream.keypool import KeyPool
from gateway.upstream.waiters import Wish


class Clock:
    """Unix time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def a_key(name: str) -> Key:
    secret = Secret(f"sk-{name}-0000000000000000")
    return Key(secret, secret.digest)


def a_pool(clock: Clock, *names: str, shared_status: bool = True, seed: int = 1) -> tuple[KeyPool, dict[str, Key]]:
    pool = KeyPool("main", HealthConfig(), clock=clock, rng=Random(seed), shared_status=shared_status)
    keys = {name: a_key(name) for name in names}
    pool.standings.add(list(keys.values()))
    return pool, keys


def lease_of(pool: KeyPool, key: Key, model: str = "m") -> Lease:
    """A lease of this very key."""
    lease = pool.lease(model, set(pool.standings.keys.values()) - {key})
    assert lease is not None and lease.key is key
    return lease


def status_of(key: Key) -> Status:
    """Asked anew: of a field the type checker goes on believing what was asserted before."""
    return key.standing.status


def is_shut(pool: KeyPool) -> bool:
    """By its guard; asked anew, too."""
    return pool.guard.tripped


async def wait_for_key(pool: KeyPool, seconds: float, model: str = "m") -> Lease | None:
    """What a request does that found no key."""
    return await pool.wait(Wish(lambda: pool.lease(model), model), seconds)


def limited(seconds: float | None = None, now: float = 0.0, scope: Scope = Scope.KEY) -> Verdict:
    """A 429; with `seconds`, the provider named the time."""
    if seconds is None:
        return Verdict(scope, Status.RATE_LIMITED, "rate_limited")
    return Verdict(scope, Status.RATE_LIMITED, "rate_limited", now + seconds, Provenance.AUTHORITATIVE)


REJECTED = Verdict(Scope.KEY, Status.SUSPECT, "credential_rejected")
FORBIDDEN = Verdict(Scope.KEY_MODEL, Status.NO_ACCESS, "forbidden")
NO_QUOTA = Verdict(Scope.ACCOUNT, Status.NO_QUOTA, "insufficient_quota")
NO_MODEL = Verdict(Scope.CLIENT, Status.NO_MODEL, "model_not_found")
SERVER_ERROR = Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "server_error")
NETWORK_ERROR = Verdict(Scope.PROVIDER, Status.NETWORK_ERROR, "connecterror")
BAD_REQUEST = Verdict(Scope.CLIENT, Status.BAD_REQUEST, "bad_request")
