"""The correlated-failure guard: many keys rejected alike, and nothing else, have one cause that is not theirs.

A ban of our address or an outage of the provider's login answers every key with 401 or 403. Without the guard a
whole pool is benched for days. With it, when several *different* keys that were in use are rejected within
`guard_window` and no request succeeds in between, their verdicts are taken back and the pool is closed: requests
get 503 `circuit_open` but for one *canary* at a time, which looks whether it is over.

- Canaries take keys that were not among the rejected ones, and that have proven themselves, as long as there are such.
- Of the first `FIRST_ROUND`, which go at once, one that succeeds shows that there was no common cause, but many bad
  keys: what was taken back is given back, the pool opens.
- If all of them are rejected, too, further ones follow at growing intervals. The first that is not rejected ends it,
  and the keys keep what they were before.

Limits, quotas and the provider's own faults never come here: the first two are the key's whatever the others do, and
faults do not bench keys while nobody succeeds. Who is asked what, and when, is `keypool.py`'s.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from gateway.config.model import HealthConfig
from gateway.policy.health import Standing
from gateway.policy.verdict import Status
from gateway.upstream.key import Key, Lease

REJECTIONS = frozenset({Status.SUSPECT, Status.INVALID_KEY, Status.NO_ACCESS})

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


class Guard:
    """One provider's. Times are unix seconds."""

    __slots__ = ("_delay", "_recent", "canary", "canary_at", "evidence", "since", "taken_back", "tries", "tripped")

    def __init__(self) -> None:
        self._recent: deque[Rejected] = deque(maxlen=REMEMBERED)
        self.tripped = False
        self.since = 0.0
        self.evidence = ""
        self.canary: Lease | None = None
        self.canary_at = 0.0
        self.tries = 0
        self.taken_back: list[Rejected] = []
        self._delay = CANARY_DELAY

    @property
    def watching(self) -> bool:
        """Whether a success would change anything."""
        return self.tripped or bool(self._recent)

    def note(self, rejected: Rejected, usable: int, health: HealthConfig) -> bool:
        """A key in good standing was rejected, `usable` are left. Whether that is one too many; then `trip` it."""
        if not health.guard_window:
            return False
        recent = self._recent
        recent.append(rejected)
        while recent[0].at < rejected.at - health.guard_window:
            recent.popleft()
        wanted = max(health.guard_keys, health.guard_share * (usable + len(recent)))
        return len(recent) >= wanted and len({entry.key for entry in recent}) >= wanted

    def forget(self) -> None:
        """A success: what was rejected before was rejected by itself."""
        self._recent.clear()

    def trip(self, now: float) -> list[Rejected]:
        """The pool closes. The verdicts that are to be taken back, newest first."""
        self.tripped, self.since, self.tries = True, now, 0
        self.evidence = self._recent[-1].after.evidence
        self.taken_back = list(reversed(self._recent))
        self._recent.clear()
        self._delay = CANARY_DELAY
        self.canary_at = now
        return self.taken_back

    def suspects(self) -> set[Key]:
        """Keys that a canary had better not take."""
        return {entry.key for entry in self.taken_back}

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
