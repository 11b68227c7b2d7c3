"""What happens after a failed attempt: rotate to another key, retry, or give up.

A decision is a value; whoever asked carries it out. Counts are per request, the budget is per provider: it
keeps retries after *server* errors below a share of the traffic, so that an outage is not made worse. Rotating
away from bad keys is bounded by its own count only, because it does not add load where the trouble is.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from gateway.config.provider import RetryConfig, RetryCount
from gateway.policy.verdict import Verdict
from gateway.quick import dataclass

BUDGET_FLOOR = 10.0
"""Retries that a provider begins with and can save up, so that a quiet gateway may retry its first failures."""

LAST_GROWTH = 64
"""Tries after which a wait grows no more: far beyond any deadline, and before the largest factor overflows."""


@dataclass(frozen=True, slots=True)
class Rotate:
    """Another key, or another proxy, after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Retry:
    """The same request once more, on any key, after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The last answer goes to the client."""

    reason: str


Decision = Rotate | Retry | GiveUp


@dataclass(frozen=True, slots=True)
class Tally:
    """Failures of one request so far."""

    key_errors: int = 0
    server_errors: int = 0
    proxy_errors: int = 0

    def after(self, verdict: Verdict, *, elsewhere: bool = False) -> Tally:
        """One more. `elsewhere`: a proxy is to blame, and another one is left to try."""
        if verdict.blames_key:
            return replace(self, key_errors=self.key_errors + 1)
        if elsewhere:
            return replace(self, proxy_errors=self.proxy_errors + 1)
        return replace(self, server_errors=self.server_errors + 1)


class RetryBudget:
    """A token bucket: each request puts `share` of a token in, each retry takes one out. It begins with `BUDGET_FLOOR`
    and holds no more. A share of 0 means no retries at all."""

    __slots__ = ("_share", "_tokens")

    def __init__(self, share: float) -> None:
        self._share = 0.0
        self._tokens = 0.0
        self.change(share)

    def change(self, share: float) -> None:
        """Another share. What is in hand stays, so that who changes it again and again gains no retries."""
        if not share:
            self._tokens = 0.0
        elif not self._share:
            self._tokens = BUDGET_FLOOR
        self._share = share

    def deposit(self) -> None:
        if self._tokens < BUDGET_FLOOR:
            self._tokens += self._share

    def withdraw(self) -> bool:
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def full_jitter(count: RetryCount, nth: int, rng: Random) -> float:
    """Seconds before the nth (from 1) try: anything up to backoff x factor^(n-1).

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    ceiling = count.backoff * count.factor ** min(nth - 1, LAST_GROWTH)
    return rng.uniform(0.0, ceiling) if ceiling > 0 else 0.0


def decide(
    verdict: Verdict,
    tally: Tally,
    config: RetryConfig,
    budget: RetryBudget,
    rng: Random,
    *,
    unanswered: bool,
    streamed: bool,
    elsewhere: bool = False,
) -> Decision:
    """What follows a failed attempt, before the commit point.

    `tally` counts this failure already. `unanswered`: the request was written and no answer came, so it may have
    been carried out. `elsewhere`: a proxy is to blame, and another one is left to try; that costs the provider as
    little as another key does, so as many are tried.
    """
    if verdict.blames_key:
        count = config.on_key_error
        if tally.key_errors > count.attempts:
            return GiveUp("key_attempts")
        return Rotate(full_jitter(count, tally.key_errors, rng))
    if elsewhere:
        count = config.on_key_error
        if tally.proxy_errors > count.attempts:
            return GiveUp("proxy_attempts")
        return Rotate(full_jitter(count, tally.proxy_errors, rng))
    if not verdict.blames_provider:
        return GiveUp("client_error")
    if unanswered and not _may_replay(config.replay_unanswered, streamed):
        return GiveUp("unanswered")
    count = config.on_server_error
    if tally.server_errors > count.attempts:
        return GiveUp("server_attempts")
    if not budget.withdraw():
        return GiveUp("retry_budget")
    return Retry(full_jitter(count, tally.server_errors, rng))


def _may_replay(policy: str, streamed: bool) -> bool:
    return policy == "always" or (policy == "streams" and streamed)
