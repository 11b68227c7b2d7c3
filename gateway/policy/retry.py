"""What happens after a failed attempt: rotate to another key, retry, or give up.

`Retries` is what one request has met at one provider, as a value: each failure gives the next one, which says what
follows. Whoever asked carries it out. What is decided by:

| the failure is | counts | waits | costs |
|---|---|---|---|
| a key's | `on_key_error` | full jitter | nothing: it adds no load where the trouble is |
| a proxy's, and another one is left | `on_key_error`, apart from keys | full jitter | nothing |
| the provider's, or its only way's | `on_server_error` | what the provider asked for, and full jitter | the budget |
| anybody else's | never tried again | | |

A wait that does not fit into the time that is left is not begun: the client hears at once what the provider said. What
was sent and not answered goes out again as `replay_unanswered` says.

The budget is the provider's: it keeps retries after *server* errors below a share of the requests, so that an outage
is not made worse.

Left to others: which keys are tried (none again that was blamed), and the deadline itself (`conductor/attempts.py`).
Pure: chance comes as `rng`.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from random import Random
from typing import NamedTuple

from gateway.config.provider import RetryConfig, RetryCount
from gateway.policy.verdict import Verdict
from gateway.quick import dataclass

RESERVE = 10
"""Retries that may come before the requests that they are a share of, so that a quiet gateway retries, too."""

CREDIT = 100.0
"""Retries of a provider's share that are kept for later: a row of keys that fail needs one for each of them, though it
is no storm; an outage gets no more at once."""

LAST_GROWTH = 64
"""Tries after which a wait grows no more: far beyond any deadline, and before the largest factor overflows."""


class Kind(Enum):
    """Whose failure it is, as far as retries go."""

    KEY = "key"
    PROXY = "proxy"
    SERVER = "server"
    FINAL = "final"


class Failure(NamedTuple):
    """How an attempt failed, before the commit point.

    `unanswered`: the request was written and no answer came, so it may have been carried out. `elsewhere`: a proxy is
    to blame, and another one is left to try; that costs the provider as little as another key does.
    """

    verdict: Verdict
    unanswered: bool = False
    elsewhere: bool = False

    @property
    def kind(self) -> Kind:
        if self.verdict.blames_key:
            return Kind.KEY
        if self.elsewhere:
            return Kind.PROXY
        return Kind.SERVER if self.verdict.blames_provider else Kind.FINAL


@dataclass(frozen=True, slots=True)
class Rotate:
    """Another key, or another proxy, after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Retry:
    """The same request once more, on any key that was not blamed, after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The last answer goes to the client."""

    reason: str


Decision = Rotate | Retry | GiveUp


class RetryBudget:
    """Retries are at most `share` of the requests, or RESERVE if that is more. So a first failure may be retried, and
    an outage from the first request on gets no more than its share all the same. Of the share that was not used up to
    CREDIT is kept: keys that fail one after the other are no storm. A share of 0 means no retries at all."""

    __slots__ = ("_balance", "_retries", "_share")

    def __init__(self, share: float) -> None:
        self._share = share
        self._balance = 0.0  # the share of the requests, less the retries
        self._retries = 0

    def change(self, share: float) -> None:
        """Another share. What was made ahead stays so, that who changes it again and again gains no retries."""
        if not self._share:
            self._balance, self._retries = 0.0, 0
        self._share = share

    def deposit(self) -> None:
        """A request."""
        self._balance = min(self._balance + self._share, CREDIT)

    def withdraw(self) -> bool:
        """Whether a retry may follow; then it is counted."""
        if not self._share or (self._retries >= RESERVE and self._balance < 1.0):
            return False
        self._balance -= 1.0
        self._retries += 1
        return True


@dataclass(frozen=True, slots=True)
class Retries:
    """What one request has met at one provider: so many errors of each kind, and the `last` failure."""

    config: RetryConfig
    streamed: bool
    key_errors: int = 0
    proxy_errors: int = 0
    server_errors: int = 0
    last: Failure | None = None

    def after(self, failure: Failure) -> Retries:
        """One more."""
        match failure.kind:
            case Kind.KEY:
                return replace(self, key_errors=self.key_errors + 1, last=failure)
            case Kind.PROXY:
                return replace(self, proxy_errors=self.proxy_errors + 1, last=failure)
            case Kind.SERVER:
                return replace(self, server_errors=self.server_errors + 1, last=failure)
        return replace(self, last=failure)

    def decide(self, left: float, budget: RetryBudget, rng: Random, *, others: bool = False) -> Decision:
        """What follows the last failure. `left`: seconds to the deadline. `others`: another provider would take the
        request, so nobody waits for one that wants to be left alone. A Retry has its place in the budget."""
        assert self.last is not None, "nothing has failed"
        verdict, unanswered, _ = self.last
        kind = self.last.kind
        if kind is Kind.FINAL:
            return GiveUp("client_error")
        server = kind is Kind.SERVER
        if server and unanswered and not may_replay(self.config, streamed=self.streamed):
            return GiveUp("unanswered")
        count = self.config.on_server_error if server else self.config.on_key_error
        nth = {Kind.KEY: self.key_errors, Kind.PROXY: self.proxy_errors, Kind.SERVER: self.server_errors}[kind]
        if nth > count.attempts:
            return GiveUp(f"{kind.value}_attempts")
        delay = full_jitter(count, nth, rng)
        if server and verdict.wait is not None:
            if others and verdict.wait > 0:
                return GiveUp("others")
            delay += verdict.wait  # the jitter on top: nobody is to come back with all the rest
        if delay >= left:
            return GiveUp("deadline")
        if not server:
            return Rotate(delay)
        return Retry(delay) if budget.withdraw() else GiveUp("retry_budget")


def may_replay(config: RetryConfig, *, streamed: bool) -> bool:
    """Whether a request that may have been carried out is sent again."""
    return config.replay_unanswered == "always" or (config.replay_unanswered == "streams" and streamed)


def full_jitter(count: RetryCount, nth: int, rng: Random) -> float:
    """Seconds before the nth (from 1) try: anything up to backoff x factor^(n-1).

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    ceiling = count.backoff * count.factor ** min(nth - 1, LAST_GROWTH)
    return rng.uniform(0.0, ceiling) if ceiling > 0 else 0.0
