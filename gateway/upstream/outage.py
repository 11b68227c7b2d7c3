"""Whether a provider is out for whoever asks, and why: attempts that failed in a row for no key's fault.

Server errors, overloads, timeouts, connections that cannot be had, refused addresses: they bench no key, so only a
record of them shows that nobody gets through. Here the cause is named to people, from the third on; `breakers.py` stops
sending after some more. Rejected keys are `guard.py`'s affair; with both at hand, `cause_of_rejections` says what is
behind these.

Rules of the file:

- A success ends the row. A limit, a client's mistake or a list of models shows that we get there, no more: that ends a
  row of attempts of which none did.
- The cause is what most of the row's faults speak of: of many proxies one may be dead while the provider is down.
- Everything costs the same however long it lasts.
"""

from __future__ import annotations

from enum import StrEnum

from gateway.policy.proxyhealth import EGRESS_REASONS, is_doubtful
from gateway.policy.verdict import REJECTIONS, Scope, Status, Verdict
from gateway.quick import dataclass
from gateway.upstream.guard import Guard
from gateway.upstream.key import Key, Lease
from gateway.upstream.proxy import Proxy
from gateway.upstream.rests import STEP_BACK

OUTAGE_FAULTS = 3
"""In a row, and it is an outage: so many attempts a request makes by default (`retry.on_server_error`), so that from
here on clients see errors. One or two are gone before anybody has looked."""

LONGEST_PAUSE = 1800.0
"""Seconds between two faults in a row, and after the last one, beyond which it says nothing of now. Twice what a
request may take by default (`timeouts.total`): where answers just do not come, faults are no closer to each other."""

KEYS_COUNTED = 1000
"""Different keys that are counted, and so held on to: with more of them nobody is surer of the cause."""


class OutageCause(StrEnum):
    """Why nobody gets through. What keys are rejected for has one of these, too."""

    PROVIDER_DOWN = "provider_down"
    EGRESS_BLOCKED = "egress_blocked"  # our address, or our way there, is refused


@dataclass(frozen=True, slots=True)
class Outage:
    """`since`: unix time of the first of `count` faults, with `keys` different keys (at most `KEYS_COUNTED`).
    `last_error`: what was said last, the key masked. `proxy`: the one that all of them went through, if any."""

    cause: OutageCause
    since: float
    count: int
    keys: int
    last_error: str
    proxy: Proxy | None


class Faults:
    """Of one provider, in a row."""

    __slots__ = ("_answered", "_keys", "_last", "_last_at", "_proxy", "_refused", "_since", "count")

    def __init__(self) -> None:
        self.count = 0
        self._refused = 0  # of these, how many speak of our address or way
        self._answered = 0  # ... and how many got there
        self._keys: set[Key] = set()
        self._since = self._last_at = 0.0
        self._last: Verdict | None = None
        self._proxy: Proxy | None = None

    def note(self, lease: Lease, verdict: Verdict, now: float) -> None:
        """How an attempt ended that did not succeed. `now` in unix seconds."""
        if verdict.blames_provider:
            self._add(lease, verdict, now)
        elif verdict.scope is Scope.CLIENT or (verdict.blames_key and verdict.status not in REJECTIONS):
            self.reached()

    def note_listing(self, lease: Lease, verdict: Verdict, now: float) -> None:
        """The same of a list of models, of which a failure that got there says nothing about requests."""
        if not (verdict.blames_provider and _got_there(verdict)):
            self.note(lease, verdict, now)

    def reached(self) -> None:
        """Somebody got there, though perhaps with something that is easier than a request."""
        if self.count and not self._answered:
            self.end()

    def end(self) -> None:
        """A request succeeded."""
        self.count = self._refused = self._answered = 0
        self._keys = set()
        self._last = self._proxy = None

    def outage(self, now: float) -> Outage | None:
        """What the row tells of now, if it is long enough for an outage."""
        last = self._last
        if last is None or self.count < OUTAGE_FAULTS or self._is_past(now):
            return None
        cause = OutageCause.EGRESS_BLOCKED if 2 * self._refused > self.count else OutageCause.PROVIDER_DOWN
        return Outage(cause, self._since, self.count, len(self._keys), last.evidence or last.reason, self._proxy)

    def _add(self, lease: Lease, verdict: Verdict, now: float) -> None:
        if self._is_past(now):
            self.end()
        proxy = None if lease.way is None else lease.way.proxy
        if not self.count:
            self._since, self._proxy = now, proxy
        elif proxy is not self._proxy:
            self._proxy = None
        self.count += 1
        self._refused += _refuses_us(verdict)
        self._answered += _got_there(verdict)
        self._last, self._last_at = verdict, now
        if len(self._keys) < KEYS_COUNTED:
            self._keys.add(lease.key)

    def _is_past(self, now: float) -> bool:
        """Whether the last fault is too long ago, or lies ahead because the clock was set back."""
        return not -STEP_BACK <= now - self._last_at <= LONGEST_PAUSE


def cause_of_rejections(guard: Guard, outage: Outage | None) -> OutageCause:
    """Why many keys are rejected alike: our address is refused, unless it cannot be that alone, since they came through
    different proxies, or since the provider fails otherwise as well."""
    down = outage is not None and outage.cause is OutageCause.PROVIDER_DOWN
    return OutageCause.PROVIDER_DOWN if down or guard.scattered else OutageCause.EGRESS_BLOCKED


def _refuses_us(verdict: Verdict) -> bool:
    """Whether a fault is about our address or way: a region, a firewall, a challenge, a proxy that cannot be passed.

    Who finds nothing behind a proxy, or gets no connection without one, knows only that the provider does not answer.
    """
    if verdict.status is Status.NO_ACCESS or verdict.reason in EGRESS_REASONS:
        return True
    return verdict.scope is Scope.PROXY and not is_doubtful(verdict)


def _got_there(verdict: Verdict) -> bool:
    return verdict.status is not Status.NETWORK_ERROR and not _refuses_us(verdict)
