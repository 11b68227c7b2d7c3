"""A circuit breaker: who fails again and again is left alone for a while, then looked at by a few, then trusted again.

    closed ──too many failures──▶ open ──after a time──▶ half-open ──enough trials succeed──▶ closed
                                    ◀────a trial fails────┘

Theory of operation:

- *Too many* are `failure_threshold` in a row, or half of at least `VOLUME` attempts within the window, if these are not
  fewer than the threshold.
- The time that it is open doubles with each opening, up to `max_open_for`, and is jittered, so that many gateways do
  not come back together. When it has then been closed, with successes, for as long as it was open last, the next time
  is the first again. In mode `manual_reset` it ends by the operator's word alone.
- Half-open, `half_open_probes` attempts are let in at once: the *trials*. One failure opens it again; as many successes
  as that close it. A trial that ends without a verdict (the client left, the key was refused) gives its place back.
- An answer that has begun is a success, so that nobody waits for the end of a long one. One that breaks off is *taken
  back*: the attempt counts as a failure instead, from that time on.
- Attempts are *versioned*: each begins with the newest version, every change of state makes another one. What began
  before the present state says nothing about it. Breakers that share their `Versions` may share their attempts' too.

Pure: `now` comes as an argument, in seconds of any clock, chance as `rng`. A clock that is set back before the opening
ends the open time. What counts as a failure, and whose, is not known here (`upstream/breakers.py`).
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from random import Random
from typing import Final, NamedTuple

from gateway.config.provider import CircuitBreakerConfig
from gateway.policy.window import Window

VOLUME = 20
"""Attempts within the window before their share of failures says anything: of fewer, half is chance."""

SHARE = 0.5
"""Of them, the failures that are too many."""

SLOTS = 12
"""Parts of the window, which bound its memory: a minute is counted in steps of five seconds."""

JITTER = 0.2
"""Share by which an open time may be shorter."""

GROWTH_LIMIT = 30
"""Doublings after which an open time grows no more: beyond any bound that can be configured."""

BUSY_SECONDS = 1.0
"""When a trial may be expected to end, where there is no place for another one: nobody knows."""


class State(StrEnum):
    """Of a breaker. Closed lets everything through, as an electric circuit does."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Event(Enum):
    """What may change the state."""

    TOO_MANY = auto()  # failures
    TIME_OVER = auto()
    TRIAL_FAILED = auto()
    TRIALS_PASSED = auto()  # as many as it takes
    RESET = auto()  # the operator's word


TRANSITIONS: Final = {
    (State.CLOSED, Event.TOO_MANY): State.OPEN,
    (State.CLOSED, Event.TIME_OVER): State.CLOSED,
    (State.CLOSED, Event.TRIAL_FAILED): State.CLOSED,
    (State.CLOSED, Event.TRIALS_PASSED): State.CLOSED,
    (State.CLOSED, Event.RESET): State.CLOSED,
    (State.OPEN, Event.TOO_MANY): State.OPEN,
    (State.OPEN, Event.TIME_OVER): State.HALF_OPEN,
    (State.OPEN, Event.TRIAL_FAILED): State.OPEN,
    (State.OPEN, Event.TRIALS_PASSED): State.OPEN,
    (State.OPEN, Event.RESET): State.CLOSED,
    (State.HALF_OPEN, Event.TOO_MANY): State.HALF_OPEN,
    (State.HALF_OPEN, Event.TIME_OVER): State.HALF_OPEN,
    (State.HALF_OPEN, Event.TRIAL_FAILED): State.OPEN,
    (State.HALF_OPEN, Event.TRIALS_PASSED): State.CLOSED,
    (State.HALF_OPEN, Event.RESET): State.CLOSED,
}
"""The whole machine."""


class Versions:
    """A count that never goes back. `latest` is what an attempt begins with."""

    __slots__ = ("latest",)

    def __init__(self) -> None:
        self.latest = 0

    def next(self) -> int:
        self.latest += 1
        return self.latest


class Success(NamedTuple):
    """One that may be taken back: `row` of failures before it, its `number` among all successes."""

    row: int
    number: int


class Breaker:
    """One breaker. Each attempt that was let in by `enter` ends once, with `succeed`, `fail` or `leave`."""

    __slots__ = (
        "_attempts",
        "_config",
        "_failures",
        "_good_at",
        "_last_open",
        "_passed",
        "_until",
        "_versions",
        "failures_in_row",
        "openings",
        "since",
        "state",
        "successes",
        "trials",
        "version",
    )

    def __init__(self, config: CircuitBreakerConfig, versions: Versions, version: int = 0) -> None:
        self.state = State.CLOSED
        self.since = 0.0  # the present state
        self.openings = 0  # since it was closed for long
        self.failures_in_row = 0
        self.successes = 0  # ever
        self.trials = 0  # under way
        self._passed = 0  # trials that succeeded
        self._good_at = 0.0  # last success while it was closed
        self._until = 0.0  # end of the last open time
        self._last_open = 0.0  # seconds that it was open last
        self._versions = versions
        self.version = version  # attempts that began earlier say nothing about the present state
        self._config = config
        self.forget()

    def configure(self, config: CircuitBreakerConfig, now: float) -> None:
        """Other settings, which hold from now on; an open time that is running stays what it was."""
        before, self._config = self._config, config
        if config.window != before.window:
            self.forget()
        if not config.enabled:
            self.reset(now)

    @property
    def until(self) -> float | None:
        """When the open time is over. None: it is not open, or until the operator says so."""
        return self._until if self.state is State.OPEN and self._config.mode == "auto_recovery" else None

    # -- who is let in ---------------------------------------------------------------------------------------------

    def look(self, now: float) -> State:
        """The state, when it is that time."""
        until = self.until
        if until is not None and not self.since <= now < until:
            self._change(Event.TIME_OVER, now)
        return self.state

    def admits(self, now: float) -> bool:
        """Whether an attempt may begin."""
        state = self.look(now)
        return state is State.CLOSED or (state is State.HALF_OPEN and self.trials < self._config.half_open_probes)

    def enter(self, now: float) -> int | None:
        """The version of an attempt that begins; None: it may not."""
        if not self.admits(now):
            return None
        if self.state is State.HALF_OPEN:
            self.trials += 1
        return self._versions.latest

    def retry_after(self, now: float) -> float | None:
        """Seconds until an attempt may be let in; None: when the operator says so."""
        if self.admits(now):
            return 0.0
        if self.state is State.HALF_OPEN:
            return BUSY_SECONDS
        return None if self.until is None else self.until - now

    def is_untroubled(self, now: float) -> bool:
        """Whether one that is made anew would be the same."""
        if self.state is not State.CLOSED or self.failures_in_row:
            return False
        self._failures.room(now)
        return not self._failures.used and (not self.openings or self._is_lasting())

    # -- what became of them ---------------------------------------------------------------------------------------

    def succeed(self, version: int, now: float) -> None:
        if version < self.version:
            return
        self.successes += 1
        if self.state is State.CLOSED:
            self.failures_in_row = 0
            self._good_at = now
            self._attempts.add(now, 1)
        elif self.state is State.HALF_OPEN:
            self.trials -= 1
            self._passed += 1
            if self._passed >= self._config.half_open_probes:
                self._change(Event.TRIALS_PASSED, now)

    def fail(self, version: int, now: float, rng: Random, *, may_open: bool = True, counted: bool = False) -> None:
        """`may_open`: False for a failure that is counted, but decides nothing yet. `counted`: as an attempt it was."""
        if version < self.version or not self._config.enabled:
            return
        if self.state is State.CLOSED:
            self.failures_in_row += 1
            if not counted:
                self._attempts.add(now, 1)
            self._failures.add(now, 1)
            if may_open and self._too_many():
                if self._is_lasting():
                    self.openings = 0
                self._open(Event.TOO_MANY, now, rng)
        elif self.state is State.HALF_OPEN:
            self._open(Event.TRIAL_FAILED, now, rng)

    def take_back(self, version: int, success: Success) -> None:
        """It was none: it ends no row of failures, unless others have succeeded since. `fail` follows."""
        if version >= self.version and self._config.enabled and success.number == self.successes:
            self.failures_in_row += success.row

    def leave(self, version: int) -> None:
        """It ended without a verdict on who is guarded here."""
        if version >= self.version and self.state is State.HALF_OPEN:
            self.trials -= 1

    def reset(self, now: float) -> None:
        """The operator's word: all is well, and what older attempts still report is of no interest."""
        self.openings = 0
        self._change(Event.RESET, now)

    def forget(self) -> None:
        """Count anew."""
        self.failures_in_row = 0
        self._attempts = Window(0, self._config.window, SLOTS)
        self._failures = Window(0, self._config.window, SLOTS)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _too_many(self) -> bool:
        threshold = self._config.failure_threshold
        if self.failures_in_row >= threshold:
            return True
        attempts = self._attempts.used
        return attempts >= VOLUME and self._failures.used >= max(threshold, SHARE * attempts)

    def _is_lasting(self) -> bool:
        """Whether it has been good, while closed, for as long as it was open before."""
        return self._good_at - self.since >= self._last_open

    def _open(self, event: Event, now: float, rng: Random) -> None:
        config = self._config
        seconds = min(config.open_for * 2.0 ** min(self.openings, GROWTH_LIMIT), config.max_open_for)
        self.openings += 1
        self._last_open = seconds * rng.uniform(1.0 - JITTER, 1.0)
        self._until = now + self._last_open
        self._change(event, now)

    def _change(self, event: Event, now: float) -> None:
        self.state = TRANSITIONS[self.state, event]
        self.since = self._good_at = now
        self.trials = self._passed = 0
        self.version = self._versions.next()
        self.forget()
