"""What clients may ask for: requests and tokens within a time, and requests at once, for all, each user, each token.

A request is subject to up to three sets of limits (`Subject`). It passes all of them, or none counts it. Its tokens
are reserved before they are known: an estimate that should be more than what it will use, so that requests at once
cannot overshoot together; what it did use is put right at its end (`Ticket.settle`). One that was refused for another
reason, before a provider was asked, is given back (`Ticket.give_back`), unless there are too many of them.

Invariants:
- In no interval of 60 seconds (or of an hour), wherever it begins, are more requests counted, or tokens reserved,
  than a limit allowed (`window.py`).
- Another limit changes nothing about what was counted, and nothing is forgotten of a kind of limit that the next
  request does not have: two tokens of a user may bring different limits. A kind that is new begins with nothing.
- The number of subjects in memory is bounded. One that is forgotten has nothing counted, up to SUBJECTS_LIMIT.

Pure: `now` comes as an argument, in seconds of any clock.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from gateway.config.accounts import NO_LIMITS, RateLimits
from gateway.policy.window import Window, add_to, tightest

Scope = Literal["global", "user", "token"]
Kind = Literal["requests_per_minute", "requests_per_hour", "tokens_per_minute", "concurrency"]

SLOTS = 60
"""Parts of a window: a minute is counted in seconds, an hour in minutes, so at most a sixtieth of a limit is lost."""

SECONDS: dict[Kind, float] = {"requests_per_minute": 60.0, "requests_per_hour": 3600.0, "tokens_per_minute": 60.0}
"""The length of each window."""

REQUEST_KINDS: tuple[Kind, ...] = ("requests_per_minute", "requests_per_hour")

SUBJECTS_KEPT = 20_000
"""Users and tokens that are kept though nothing of theirs is counted any more: 20 MB with all kinds of limits."""

SUBJECTS_LIMIT = 50_000
"""Users and tokens beyond which the one that asked the longest time ago is forgotten though something is counted. So
many within an hour are addresses of an attack, as a rule: the limits of all clients together still hold."""

FORGOTTEN_AT_ONCE = 2
"""Subjects looked at for each new one: more than come, so that those kept become fewer."""

RETURNS_PER_MINUTE = 60
"""Requests of one subject that are given back within a minute, or as many as it may make in one, if those are more.
Refusing takes work, too, so beyond that they count like others, and a flood of them is stopped by the limit."""

BUSY_SECONDS = 1.0
"""When a request may be expected to end, where too many run at once: nobody knows."""


class Subject(NamedTuple):
    """Whom limits apply to. `name` is "" for all clients together."""

    scope: Scope
    name: str
    limits: RateLimits


class Headroom(NamedTuple):
    """How far away a limit is. `reset`: seconds until nothing of what is counted counts any more."""

    limit: int
    remaining: int
    reset: float


class Reading(NamedTuple):
    """One limit of one subject, before or after a request. `wait`: seconds until the request fits; 0: it does, None:
    it never will. Concurrency has no `reset`."""

    scope: Scope
    kind: Kind
    limit: int
    used: int
    reset: float
    wait: float | None


class Refusal(NamedTuple):
    """The limit that keeps a request out for the longest time. `retry_after` is None if it never fits."""

    scope: Scope
    kind: Kind
    limit: int
    retry_after: float | None
    requests: Headroom | None
    tokens: Headroom | None


class Meter:
    """What one subject has used, and has in flight."""

    __slots__ = ("_apart", "_returns", "in_flight", "limits", "most", "requests", "tokens")

    def __init__(self, limits: RateLimits) -> None:
        self.in_flight = 0
        self.requests: tuple[Window, ...] = ()
        self.tokens: Window | None = None
        self.limits = NO_LIMITS
        self._apart: tuple[tuple[Kind, Window], ...] = ()  # of kinds that are no limit now, but were
        self._returns: Window | None = None  # requests that were given back; made for the first of them
        self.apply(limits)

    def apply(self, limits: RateLimits) -> None:
        """Limits of other numbers, or other kinds of them, for what is counted already."""
        kept = dict((*self._apart, *zip(_kinds(self.limits), self.requests, strict=True)))
        if self.tokens is not None:
            kept["tokens_per_minute"] = self.tokens
        self.requests = tuple(_window(kept.pop(kind, None), kind, limits) for kind in _kinds(limits))
        self.tokens = None
        if limits.tokens_per_minute:
            self.tokens = _window(kept.pop("tokens_per_minute", None), "tokens_per_minute", limits)
        self._apart = tuple(kept.items())
        self.most = limits.concurrency or math.inf  # at once
        self.limits = limits

    def is_idle(self, now: float) -> bool:
        """Whether nothing would be lost with it."""
        windows = [*self.requests, *(window for _, window in self._apart)]
        if self.tokens is not None:
            windows.append(self.tokens)
        if self._returns is not None:
            windows.append(self._returns)
        return not self.in_flight and all(window.empty_at(now) <= now for window in windows)

    def may_return(self, now: float) -> bool:
        """Whether another request may be given back; then it is counted among those that were."""
        returns = self._returns
        if returns is None:
            returns = self._returns = Window(0, 60.0, SLOTS)
        returns.limit = max(RETURNS_PER_MINUTE, self.limits.requests_per_minute or 0)
        if returns.room(now) <= 0:
            return False
        returns.add(now, 1)
        return True

    def readings(self, scope: Scope, now: float, tokens: int) -> Iterable[Reading]:
        """Where it stands, for a request with so many tokens."""
        for kind, window in zip(_kinds(self.limits), self.requests, strict=True):
            yield _read(scope, kind, window, now, 1)
        if self.tokens is not None:
            yield _read(scope, "tokens_per_minute", self.tokens, now, tokens)
        most = self.limits.concurrency
        if most:
            wait = BUSY_SECONDS if self.in_flight >= most else 0.0
            yield Reading(scope, "concurrency", most, self.in_flight, 0.0, wait)


class Ticket:
    """A request that was counted. `requests` and `tokens`: the tightest limits of each, after it."""

    __slots__ = ("_meters", "_of_requests", "_of_tokens", "_taken_at", "requests", "reserved", "tokens")

    def __init__(self, meters: Sequence[Meter], windows: Windows, reserved: int, now: float) -> None:
        self._meters = meters
        self._of_requests = windows.of_requests
        self._of_tokens = windows.of_tokens
        self._taken_at = now
        self.reserved = reserved
        for meter in meters:
            meter.in_flight += 1
        add_to(windows.of_requests, 1)
        add_to(windows.of_tokens, reserved)
        self.requests = _headroom(windows.tight_requests, now)
        self.tokens = _headroom(windows.tight_tokens, now)

    def settle(self, used: int, now: float) -> None:
        """The request has ended, and has used so many tokens, which are counted as if they had been known at its
        beginning; if that is no longer in the window, what was used beyond the estimate counts from now on."""
        more = used - self.reserved
        for meter in self._meters:
            meter.in_flight -= 1
        if more:
            for window in self._of_tokens:
                if not window.correct(self._taken_at, now, more) and more > 0:
                    window.add(now, more)

    def give_back(self, now: float) -> bool:
        """The request was refused before a provider was asked, so it was none. False: so many were that it stays
        counted. The last subject decides, the token or the user: nobody else's refusals are held against it."""
        if not self._of_requests or not self._meters[-1].may_return(now):
            return False
        for window in self._of_requests:
            window.correct(self._taken_at, now, -1)
        return True


class Windows:
    """All windows of a request, and of those of requests and of tokens the one with the least room now."""

    __slots__ = ("of_requests", "of_tokens", "tight_requests", "tight_tokens")

    def __init__(self, meters: Sequence[Meter], now: float) -> None:
        self.of_requests: list[Window] = []
        self.of_tokens: list[Window] = []
        for meter in meters:
            self.of_requests += meter.requests
            if meter.tokens is not None:
                self.of_tokens.append(meter.tokens)
        self.tight_requests = tightest(self.of_requests, now)
        self.tight_tokens = tightest(self.of_tokens, now)

    def fit(self, tokens: int) -> bool:
        """Whether they have room for a request with so many tokens."""
        requests, of_tokens = self.tight_requests, self.tight_tokens
        if requests is not None and requests.used >= requests.limit:
            return False
        return of_tokens is None or of_tokens.used + tokens <= of_tokens.limit


class Limits:
    """The subjects in memory."""

    def __init__(self, kept: int = SUBJECTS_KEPT, limit: int = SUBJECTS_LIMIT) -> None:
        self._kept = kept
        self._limit = limit
        self._meters: OrderedDict[tuple[Scope, str], Meter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._meters)

    def take(self, subjects: Sequence[Subject], tokens: int, now: float) -> Ticket | Refusal:
        """Count a request with so many tokens, if all of its limits allow it."""
        meters = self._metered(subjects, now)
        windows = Windows(meters, now)
        if windows.fit(tokens) and not _is_busy(meters):
            return Ticket(meters, windows, tokens, now)
        readings: list[Reading] = []
        for subject, meter in zip(subjects, meters, strict=True):
            readings += meter.readings(subject.scope, now, tokens)
        return refusal(readings)

    def note(self, subjects: Sequence[Subject], tokens: int, now: float) -> Ticket:
        """Count a request that somebody else has let pass."""
        meters = self._metered(subjects, now)
        return Ticket(meters, Windows(meters, now), tokens, now)

    def _metered(self, subjects: Sequence[Subject], now: float) -> list[Meter]:
        """What each of them has used."""
        known, meters = self._meters, []
        for scope, name, limits in subjects:
            key = (scope, name)
            meter = known.get(key)
            if meter is None:
                self._forget(now)
                meter = known[key] = Meter(limits)
            else:
                known.move_to_end(key)
                if meter.limits is not limits:
                    meter.apply(limits)
            meters.append(meter)
        return meters

    def _forget(self, now: float) -> None:
        """Make room for a new subject."""
        for _ in range(FORGOTTEN_AT_ONCE):
            if len(self._meters) < self._kept:
                return
            oldest = next(iter(self._meters))
            if len(self._meters) < self._limit and not self._meters[oldest].is_idle(now):
                return
            del self._meters[oldest]


def _is_busy(meters: Sequence[Meter]) -> bool:
    for meter in meters:  # noqa: SIM110 - any() would take three times as long
        if meter.in_flight >= meter.most:
            return True
    return False


def refusal(readings: Sequence[Reading]) -> Refusal:
    """The answer to a request that does not fit, by all of its limits."""
    worst = max(readings, key=lambda reading: math.inf if reading.wait is None else reading.wait)
    return Refusal(worst.scope, worst.kind, worst.limit, worst.wait, *tightest_readings(readings))


def tightest_readings(readings: Iterable[Reading]) -> tuple[Headroom | None, Headroom | None]:
    """Of the limits of requests, and of those of tokens, the one with the least left; of equals, the last to end."""
    best: dict[bool, Headroom] = {}
    for reading in readings:
        if reading.kind == "concurrency":
            continue
        of_tokens = reading.kind == "tokens_per_minute"
        headroom = Headroom(reading.limit, max(reading.limit - reading.used, 0), reading.reset)
        known = best.get(of_tokens)
        if known is None or (headroom.remaining, -headroom.reset) < (known.remaining, -known.reset):
            best[of_tokens] = headroom
    return best.get(False), best.get(True)


def _kinds(limits: RateLimits) -> tuple[Kind, ...]:
    """The kinds of limits of requests that there are."""
    if limits.requests_per_minute:
        return REQUEST_KINDS if limits.requests_per_hour else REQUEST_KINDS[:1]
    return REQUEST_KINDS[1:] if limits.requests_per_hour else ()


def _window(known: Window | None, kind: Kind, limits: RateLimits) -> Window:
    limit = getattr(limits, kind)
    if known is None:
        return Window(limit, SECONDS[kind], SLOTS)
    known.limit = limit
    return known


def _headroom(window: Window | None, now: float) -> Headroom | None:
    """Of a window that was just looked at."""
    if window is None:
        return None
    room = window.limit - window.used
    return Headroom(window.limit, room if room > 0 else 0, window.empty_at(now) - now)


def _read(scope: Scope, kind: Kind, window: Window, now: float, n: int) -> Reading:
    used = window.limit - window.room(now)
    wait = None if n > window.limit else window.free_at(now, n) - now
    return Reading(scope, kind, window.limit, used, window.empty_at(now) - now, wait)
