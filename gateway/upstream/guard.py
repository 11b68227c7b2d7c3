"""The correlated-failure guard: many keys rejected alike, and nothing else, have one cause that is not theirs.

A ban of our address or an outage of the provider's login answers every key with 401 or 403. Without the guard a whole
pool is benched for days. With it, when several *different* keys that had proven good are rejected within `guard_window`
and no request succeeds in between, three of them or a fifth of those in use (`Activity`), their verdicts are taken back
and the pool is closed: requests get 503 `circuit_open` but for one *canary* at a time, which looks whether it is over.

Where there are several proxies, the cause may be the address of one of them. When all rejections came through the same
one, or others got through meanwhile, it is *accused*: the verdicts are taken back and the proxy rests for this
provider, but the pool stays open. So a success tells of all keys that were rejected that they have no common cause, but
only of those that were rejected through the same proxy that it is not the proxy. A canary through the proxy decides as
above: if it gets through the verdicts are given back, if a proven key is rejected, too, they are not.

- Canaries take keys that were not among the rejected ones, and that have proven themselves, as long as there are such.
- Of the first `FIRST_ROUND`, which go at once, one that succeeds shows that there was no common cause, but many bad
  keys: what was taken back is given back, the pool opens.
- If all of them are rejected, too, further ones follow at growing intervals. The first that is not rejected ends it,
  and the keys keep what they were before.

Limits, quotas and the provider's own faults never come here: the first two are the key's whatever the others do, and
faults do not bench keys while nobody succeeds (`breakers.py` shuts the provider off for them, `outage.py` names the
cause of both). Who is asked
what, and when, is `keypool.py`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from itertools import islice
from typing import NamedTuple

from gateway.config.provider import HealthConfig
from gateway.policy.health import Standing
from gateway.policy.proxyhealth import EGRESS_BLOCKED
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.upstream.key import Key, Lease
from gateway.upstream.proxypool import Way

FIRST_ROUND = 3
"""Canaries that go at once, one after the other: where half of the keys are bad, one of them gets through as a rule."""

CANARY_DELAY = 5.0
LONGEST_CANARY_DELAY = 300.0
"""Seconds between later canaries: 5, doubling up to five minutes."""

REMEMBERED = 10_000
"""Rejections kept within a window: more keys than that in 30 s are as good a proof."""


class Rejected(NamedTuple):
    """One verdict that may have to be taken back."""

    at: float
    key: Key
    model: str | None
    before: Standing
    after: Standing
    way: Way | None = None


class Cause(Enum):
    """What rejections point at beyond the keys."""

    NONE = auto()
    PROXY = auto()
    COMMON = auto()


class Guard:
    """One provider's. Times are unix seconds."""

    __slots__ = (
        "_delay",
        "_recent",
        "_row",
        "_window",
        "accused",
        "canary",
        "canary_at",
        "evidence",
        "scattered",
        "since",
        "taken_back",
        "tries",
        "tripped",
        "way",
    )

    def __init__(self) -> None:
        self._recent: deque[Rejected] = deque(maxlen=REMEMBERED)  # each since a success through the same proxy
        self._row = 0  # how many of the newest of them no success came after at all
        self._window = 0.0
        self.accused: dict[Way, list[Rejected]] = {}  # until a canary decides, with the verdicts taken back
        self.tripped = False
        self.since = 0.0
        self.evidence = ""
        self.way: Way | None = None  # through which all that was taken back had come
        self.scattered = False  # it had come through different ones
        self.canary: Lease | None = None
        self.canary_at = 0.0
        self.tries = 0
        self.taken_back: list[Rejected] = []
        self._delay = CANARY_DELAY

    @property
    def watching(self) -> bool:
        """Whether a success would change anything."""
        return self.tripped or bool(self._recent) or bool(self.accused)

    @property
    def about_models(self) -> bool:
        """Whether keys were refused a model, not their credential: a list of models tells nothing about that."""
        return any(each.model is not None for each in (self.taken_back if self.tripped else self._recent))

    def note(self, rejected: Rejected, active: int, health: HealthConfig) -> Cause:
        """A key that had proven good was rejected, so many others are in use. What that points at; then `accuse` or
        `trip`."""
        if not health.guard_window:
            return Cause.NONE
        recent, self._window = self._recent, health.guard_window
        recent.append(rejected)
        while recent[0].at < rejected.at - self._window:
            recent.popleft()
        self._row = min(self._row + 1, len(recent))
        if rejected.way is not None and self._points_at(rejected.way, active, health):
            return Cause.PROXY
        too_many = self._row >= _wanted(self._row, active, health) and _differ(self._in_row(), active, health)
        return Cause.COMMON if too_many else Cause.NONE

    def forget(self, way: Way | None, now: float) -> None:
        """A success that came this way: see the top."""
        self._row = 0
        since = now - self._window
        self._recent = deque((each for each in self._recent if each.way != way and each.at >= since), REMEMBERED)

    def accuse(self, way: Way) -> list[Rejected]:
        """The proxy is to blame. The verdicts that are to be taken back, newest first."""
        taken_back = [each for each in reversed(self._recent) if each.way == way]
        self.accused = {each: rejected for each, rejected in self.accused.items() if not each.proxy.removed}
        self.accused[way] = taken_back
        self._row = sum(each.way != way for each in self._in_row())
        self._recent = deque((each for each in self._recent if each.way != way), REMEMBERED)
        return taken_back

    def decide(self, way: Way, key: Key, verdict: Verdict | None) -> list[Rejected]:
        """An attempt through an accused proxy ended (None: with success). The verdicts that were right after all."""
        if verdict is None or verdict.blames_key or verdict.scope is Scope.CLIENT:
            return self.accused.pop(way)
        if verdict.reason == EGRESS_BLOCKED and key.standing.status is Status.VALID:
            del self.accused[way]
        return []

    def trip(self, now: float) -> list[Rejected]:
        """The pool closes. The verdicts that are to be taken back, newest first."""
        self.tripped, self.since, self.tries = True, now, 0
        self.evidence = self._recent[-1].after.evidence
        self.taken_back = self._in_row()[::-1]
        ways = {each.way for each in self.taken_back}
        self.scattered = len(ways) > 1
        self.way = None if self.scattered else ways.pop()
        self._recent.clear()
        self._row = 0
        self._delay = CANARY_DELAY
        self.canary_at = now
        return self.taken_back

    def suspects(self) -> set[Key]:
        """Keys that were rejected: a canary had better not take them."""
        return {entry.key for entry in self.taken_back}

    @property
    def forsaken(self) -> bool:
        """Whether it is closed because of keys that are all gone: there is nothing to wait for any more."""
        return self.tripped and all(entry.key.removed for entry in self.taken_back)

    def begin_canary(self, lease: Lease) -> None:
        self.canary = lease

    def canary_failed(self, rejected: Rejected | None, now: float) -> None:
        """It was rejected, or nobody answered (None)."""
        self.canary = None
        self.tries += 1
        if rejected is not None and len(self.taken_back) < REMEMBERED:
            self.taken_back.append(rejected)
        if self.tries < FIRST_ROUND:
            return
        self.canary_at = now + self._delay
        self._delay = min(self._delay * 2, LONGEST_CANARY_DELAY)

    def canary_left(self) -> None:
        """Nothing was learned; the next may go at once."""
        self.canary = None

    def reset(self) -> list[Rejected]:
        """The pool opens again. The verdicts that were right after all, if any: see the top."""
        guilty = self.taken_back if self.tries < FIRST_ROUND else []
        self.tripped, self.canary, self.taken_back = False, None, []
        return guilty

    def _in_row(self) -> list[Rejected]:
        """Those that no success came after."""
        return list(islice(self._recent, len(self._recent) - self._row, None))

    def _points_at(self, way: Way, active: int, health: HealthConfig) -> bool:
        """Whether a proxy is to blame: too many came through it, and either nothing else did, or others got through.
        Of the keys in use it has its share."""
        proxies, proxy = way
        if not proxies.has_other({proxy}):
            return False
        through = [each for each in self._recent if each.way == way]
        if not _differ(through, active / len(proxies.choice.usable), health):
            return False
        in_row = sum(each.way == way for each in self._in_row())
        return in_row == self._row or in_row < len(through)


class Activity:
    """How many successes there were lately, which is at least how many keys are in use."""

    __slots__ = ("_before", "_begun", "_count")

    def __init__(self) -> None:
        self._begun = 0.0
        self._count = 0  # since then
        self._before = 0  # in as long a time before

    def note(self, now: float, window: float) -> None:
        if not 0 <= now - self._begun < window:
            self._move_on(now, window)
        self._count += 1

    def count(self, now: float, window: float) -> int:
        """Of the last `window` seconds, and up to as many before."""
        if not 0 <= now - self._begun < window:
            self._move_on(now, window)
        return self._before + self._count

    def _move_on(self, now: float, window: float) -> None:
        self._before = self._count if 0 <= now - self._begun < 2 * window else 0
        self._begun, self._count = now, 0


def _wanted(count: int, active: float, health: HealthConfig) -> float:
    """How many rejections are too many, of which there are `count` while so many other keys are in use."""
    return max(health.guard_keys, health.guard_share * (active + count))


def _differ(rejected: Sequence[Rejected], active: float, health: HealthConfig) -> bool:
    """Whether they are of too many different keys to be chance."""
    return len({each.key for each in rejected}) >= _wanted(len(rejected), active, health)
