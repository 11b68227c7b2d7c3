"""The life of a proxy: what a failure, a success or the passing of time does to its standing.

    untested, valid ──failure──▶ network_error or no_access ──at `until`──▶ untested
    anything ──success──▶ valid

A proxy that is only suspected (`EGRESS_BLOCKED`) stays out at `until`: then a key that has proven itself tries it.

A proxy has one standing for all providers, and one more for each provider that blocks it or cannot be reached through
it. Who keeps them and what else is usable is the pool's affair (`upstream/proxypool.py`).

Invariants: every failure has an end; the rest doubles with every failure since the last success, up to a limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from gateway.config.model import ProxiesConfig
from gateway.policy.verdict import REJECTIONS, Scope, Status, Verdict
from gateway.quick import dataclass

ALL_PROVIDERS: Final = "__ALL_PROVIDERS__"
"""The provider's name under which the standing that holds for all of them is kept."""

PROXY_FAILED: Final = "proxy_failed"
BEYOND_PROXY: Final = "beyond_proxy"
"""The reasons of verdicts on proxies: it could not be reached or passed, or nothing came back from behind it."""

EGRESS_BLOCKED: Final = "egress_blocked"
"""The reason of a verdict on a proxy through which several keys were rejected alike."""

EGRESS_REASONS: Final = frozenset({"unsupported_region", "challenge_page", "address_not_allowed", EGRESS_BLOCKED})
"""Reasons of verdicts that are about the address a request came from. A key may have a list of addresses of its own:
then the verdict is about the key."""


@dataclass(frozen=True, slots=True)
class ProxyStanding:
    """What is known of a proxy. Times are unix seconds.

    `until`: not chosen before. `streak`: failures since the last success. `failing_since`: the
    first of them.
    """

    status: Status = Status.UNTESTED
    until: float | None = None
    reason: str = ""
    evidence: str = ""
    failing_since: float | None = None
    streak: int = 0

    @property
    def usable(self) -> bool:
        return self.until is None and self.status is not Status.NO_ACCESS

    @property
    def canary_at(self) -> float | None:
        """When a request may try the suspected proxy: at once, and after each rest. None: it is not suspected."""
        if self.reason != EGRESS_BLOCKED:
            return None
        return 0.0 if self.until is None or self.streak == 1 else self.until


UNTESTED: Final = ProxyStanding()
VALID: Final = ProxyStanding(Status.VALID)


def blame_proxy(verdict: Verdict, standing: ProxyStanding) -> Verdict:
    """The verdict on an answer that came through a proxy: what is about the address is the proxy's, and so is a
    rejected key as long as the address is under suspicion."""
    if verdict.reason in EGRESS_REASONS and not verdict.blames_key:
        return replace(verdict, scope=Scope.PROXY)
    suspected = standing.reason == EGRESS_BLOCKED and verdict.blames_key and verdict.status in REJECTIONS
    return egress_blocked(verdict) if suspected else verdict


def egress_blocked(verdict: Verdict) -> Verdict:
    """What the rejection of a key says about the proxy that it came through."""
    return Verdict(Scope.PROXY, Status.NO_ACCESS, EGRESS_BLOCKED, evidence=verdict.evidence)


def concerns_all(verdict: Verdict) -> bool:
    """Whether a verdict on a proxy holds for every provider: nobody gets through it."""
    return verdict.reason == PROXY_FAILED


def is_doubtful(verdict: Verdict) -> bool:
    """Whether the provider may be at fault as well: benches only by two in a row while other proxies succeed."""
    return verdict.reason == BEYOND_PROXY


def bench(standing: ProxyStanding, verdict: Verdict, now: float, config: ProxiesConfig) -> ProxyStanding:
    """The standing after a failure that takes the proxy out."""
    counted = count_failure(standing, verdict, now)
    rest = min(config.rest * 2.0 ** min(standing.streak, 30), config.max_rest)
    status = Status.NETWORK_ERROR if verdict.status is Status.NETWORK_ERROR else Status.NO_ACCESS
    return replace(counted, status=status, until=now + rest)


def count_failure(standing: ProxyStanding, verdict: Verdict, now: float) -> ProxyStanding:
    """The standing after a failure that leaves the proxy in: as it was, one more in the streak."""
    return replace(
        standing,
        reason=verdict.reason,
        evidence=verdict.evidence,
        failing_since=standing.failing_since or now,
        streak=standing.streak + 1,
    )


def is_doubted(standing: ProxyStanding) -> bool:
    """Whether a failure was counted that may have been the provider's."""
    return standing.usable and standing.streak > 0 and standing.reason == BEYOND_PROXY


def is_about_address(standing: ProxyStanding) -> bool:
    """Whether a provider refused the proxy's address, of which an open connection says nothing."""
    return standing.reason in EGRESS_REASONS


def due_at(standings: Iterable[ProxyStanding], checked_at: float, jitter: float, config: ProxiesConfig) -> float:
    """When a proxy with these standings, heard of last at `checked_at`, is to be probed.

    At once where nothing is known, in the last quarter of a rest, from time to time where it works, after a rest's time
    where that is doubtful; what is about its address no probe can tell. `jitter`, from -0.2 to 0.2, is its own.
    """
    if not checked_at:
        return 0.0
    times = [
        _next_look(standing, checked_at, jitter, config) for standing in standings if not is_about_address(standing)
    ]
    return min(times, default=checked_at + config.check)


def _next_look(standing: ProxyStanding, checked_at: float, jitter: float, config: ProxiesConfig) -> float:
    if standing.until is not None:
        return standing.until - (0.15 + jitter / 2) * (standing.until - checked_at)
    return checked_at + (1 + jitter) * (config.check if standing == VALID else config.rest)


def wake(standing: ProxyStanding) -> ProxyStanding:
    """The standing of a proxy whose rest is over: to be tried again, its failures not forgotten."""
    status = standing.status if standing.reason == EGRESS_BLOCKED else Status.UNTESTED
    return replace(standing, status=status, until=None)
