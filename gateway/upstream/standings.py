"""The keys of one provider and how each of them stands: who comes, who goes, what changes by time and by a word.

Memory is the authority on the hot path; the Keeper writes changes behind and restores them at start. What attempts
teach comes from `keypool.py`; the meaning of a verdict is `policy/health.py`'s, the rings that keys stand in are
`rotation.py`'s, the deadlines `wakeups.py`'s, what probes are for `probing.py`'s.

Rules of the file:

- Every change of a standing goes through `set`, or through `put` where the key's place stays: it is noted for the
  database, counted, and its end is waited for.
- Changing one key costs the same for ten keys and a hundred thousand.
- Keys with the same label `account=` share their quota: one that is used up cools the others, its return wakes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random

from gateway.config.provider import HealthConfig, ProviderConfig
from gateway.policy.health import (
    DISABLED,
    UNTESTED,
    WAKE_OF,
    Standing,
    Wake,
    amnesty,
    due,
    forgive_downtime,
    shifted,
    wake,
)
from gateway.policy.verdict import Status
from gateway.upstream.accounts import Accounts
from gateway.upstream.changes import Changes
from gateway.upstream.guard import Guard
from gateway.upstream.key import PAUSED, Change, Key, Rest
from gateway.upstream.probing import Probing
from gateway.upstream.rotation import Rotation
from gateway.upstream.selection import ring_maker
from gateway.upstream.waiters import Waiters
from gateway.upstream.wakeups import Wakeups

WAKE_BATCH = 500
"""Keys woken in one turn of the loop, so that ten thousand rests ending together do not hold it up: ten milliseconds,
and fewer where models have views of their own, `VIEWS_AS_LONG` of which take as long as all else."""

VIEWS_AS_LONG = 10

ACCOUNT_REASON = "account_"
"""Begins the reason of a key that rests because of another one of its account."""


class Standings:
    """See the module's text. `clock` gives unix seconds; `waiters` are woken when a key may be chosen again."""

    def __init__(
        self, health: HealthConfig, *, clock: Callable[[], float], rng: Random, waiters: Waiters, guard: Guard
    ) -> None:
        self.health = health
        self.keys: dict[bytes, Key] = {}
        self.counts: Counter[Status] = Counter()
        self.rotation = Rotation()
        self.changes = Changes()
        self.seq = 0  # of the last lease, or of the operator's last word
        self.probing = Probing(health, self.rotation, clock)
        self._clock = clock
        self._rng = rng
        self._waiters = waiters
        self._guard = guard
        self._accounts = Accounts()
        self._wakeups = Wakeups(clock, self.wake_due, self._next_canary)
        self._selection = "round_robin"
        self._address = ("", "")  # the provider's type and URL, of which the standings speak

    def configure(self, config: ProviderConfig, probing: str) -> None:
        """Take over what a reload may have changed. `probing`: the kind of probes, see `LIFTED_BY_PROBE`. O(keys)
        where something has that concerns each of them."""
        self.health = config.health
        if config.selection != self._selection:
            self._selection = config.selection
            self.rotation.remake(ring_maker(config.selection, self._rng))
        before, self._address = self._address, (config.type, config.base_url)
        if before not in (("", ""), self._address):
            for key in self.keys.values():
                if key.standing.status is not Status.DISABLED and (key.models or not key.standing.usable):
                    self.clear(key)  # another provider's verdicts
        concurrency = config.key_limits.concurrency
        changed = (probing, concurrency) != (self.probing.kind, self.rotation.concurrency)
        self.probing.configure(probing, config.health)
        if changed:
            self.rotation.concurrency = concurrency
            for key in self.keys.values():
                key.live_only = False
                self.place(key)
                self.probing.note(Rest(key, None), key.standing)

    # -- who belongs to the pool -------------------------------------------------------------------------------

    def add(self, keys: Sequence[Key]) -> None:
        """New keys, each with the standing it was restored with or `untested`.

        They enter the rotation in random order: a file's bad keys often stand in a row, and restarts should not
        always burden the same ones.
        """
        now = self._clock()
        new = {key.digest: key for key in keys if key.digest not in self.keys}
        self.keys.update(new)
        for key in sorted(new.values(), key=lambda _: self._rng.random()):
            self._enter(key, now)

    def _enter(self, key: Key, now: float) -> None:
        """Nearly always a key of which nothing is known, or that is in order: the rest is not even called for it."""
        if self.changes:
            self.changes.take_over(key, self.rotation.views)
        if key.standing.until is not None:
            key.standing = self._restored(key.standing, now)
            if key.standing.until is not None:
                self.rest(key, None, key.standing.until)
        self.counts[key.standing.status] += 1
        if key.labels:
            self._accounts.join(key)
        if key.models is not None:
            self._restore_models(key, now)
        self.place(key)
        if key.standing.status in self.rotation.probed:
            self.probing.note(Rest(key, None), key.standing)

    def remove(self, digests: Iterable[bytes]) -> None:
        """Keys that are gone from the files leave at once; attempts under way finish and report to nobody."""
        for digest in digests:
            key = self.keys.pop(digest, None)
            if key is None:
                continue
            key.removed = True
            self.counts[key.standing.status] -= 1
            self.rotation.count_models(key, -1)
            self._accounts.leave(key)
            self.place(key)
        if self._guard.forsaken:
            self._guard.reset()
            self._waiters.wake()

    def relabel(self, key: Key, labels: Mapping[str, str]) -> None:
        """The file says something else about a key that stays."""
        self._accounts.leave(key)
        key.labels = labels
        self._accounts.join(key)

    def forget_use(self) -> None:
        """The limits of use are others now: what was counted for them is forgotten. O(keys)."""
        for key in self.keys.values():
            self._forget_use(key)
            self.place(key)

    def take_changes(self, limit: int = 5000) -> list[Change]:
        """Standings that changed since they were last taken, oldest first, at most `limit`."""
        return self.changes.take(limit)

    # -- the operator's word -----------------------------------------------------------------------------------

    def disable(self, key: Key) -> bool:
        """Only `enable` or `clear` ends it. True, since the key is changed, as each of these says."""
        return self._operator_says(key, DISABLED)

    def enable(self, key: Key) -> bool:
        """As a new key: what was known of it went when it was disabled. False: it was not."""
        return key.standing.status is Status.DISABLED and self._operator_says(key, UNTESTED)

    def clear(self, key: Key) -> bool:
        """Forget every verdict on the key; what older attempts still report is ignored."""
        return self._operator_says(key, UNTESTED)

    def amnesty(self, key: Key) -> bool:
        """Give a benched key one more look now, and count its failing from now on. False: it was in order."""
        now = self._clock()
        benched: list[str | None] = [name for name, standing in (key.models or {}).items() if not standing.usable]
        if not key.standing.usable and key.standing.status is not Status.DISABLED:
            benched.append(None)
        for model in benched:
            standing = key.standing_for(model)
            if standing is not None:
                self.set(key, model, amnesty(standing, now))
        return bool(benched)

    def _forget_use(self, key: Key) -> None:
        key.meter = key.paused_until = None

    def _operator_says(self, key: Key, standing: Standing) -> bool:
        self.seq += 1
        self._forget_use(key)
        key.good_seq = key.benched_seq = self.seq
        for model in list(key.models or ()):
            self.set(key, model, None)
        self.set(key, None, standing)
        self.probing.note(Rest(key, None), standing)
        return True

    # -- a key's standing changes ------------------------------------------------------------------------------

    def set(self, key: Key, model: str | None, standing: Standing | None) -> None:
        """Give a key its new standing (None: the model is as the key) and put it where that belongs."""
        self._heed_clock(self._clock())
        self.rotation.cancel_trial(key, model)
        if model is None:
            assert standing is not None
            self.counts[key.standing.status] -= 1
            self.counts[standing.status] += 1
            key.standing = standing
        else:
            if standing is not None and model not in self.rotation.views:
                self._make_room()
            self.rotation.set_model(key, model, standing)
        self.changes.note(key, model)
        self.place(key)
        if standing is not None and standing.until is not None:
            self.rest(key, model, standing.until)

    def put(self, key: Key, model: str | None, standing: Standing) -> None:
        """A standing of the same status with other counters or times: the key stays where it is."""
        if model is not None and key.models is not None and model in key.models:
            key.models[model] = standing
        else:
            model, key.standing = None, standing
        self.changes.note(key, model)

    def place(self, key: Key) -> None:
        if self.rotation.place(key):
            self._waiters.wake()

    def leave_to_requests(self, key: Key) -> None:
        """Probes cannot tell anything about the key, so nobody waits for them."""
        if not key.live_only:
            key.live_only = True
            self.place(key)

    def bench_siblings(self, key: Key, model: str | None, after: Standing) -> None:
        """The account's quota is used up: its other keys need not find that out one by one."""
        for other in self._accounts.siblings(key) if key.account else ():
            own = other.standing if model is None else (other.models or {}).get(model, other.standing)
            if own.usable and other.standing.usable:
                other.benched_seq = self.seq
                reason = ACCOUNT_REASON + after.reason
                since = own.failing_since or after.failing_since
                self.set(other, model, replace(after, reason=reason, failing_since=since, proven=own.proven))

    def wake_siblings(self, key: Key) -> None:
        """The account has quota again."""
        for other in self._accounts.siblings(key) if key.account else ():
            if other.standing.status is Status.NO_QUOTA and other.standing.reason.startswith(ACCOUNT_REASON):
                self.set(other, None, wake(other.standing))

    def _make_room(self) -> None:
        """For another model's view; the database forgets what is forgotten here."""
        for model, keys in self.rotation.make_room(self.keys.values()).items():
            self._wakeups.forget_model(model)
            for key in keys:
                self.changes.note(key, model)

    # -- time --------------------------------------------------------------------------------------------------

    def rest(self, key: Key, model: str | None, until: float) -> None:
        """Look at it again at that time."""
        self._heed_clock(self._clock())
        self._wakeups.push(until, Rest(key, model), len(self.keys))

    def pause(self, key: Key, until: float) -> None:
        """It has used what our own limits allow."""
        self._heed_clock(self._clock())  # or what is told by the new time were shifted with the old
        key.paused_until = until
        self.rest(key, PAUSED, until)

    def next_wake(self) -> float | None:
        """Unix time at which the next rest ends."""
        return self._wakeups.earliest()

    def next_wake_for(self, model: str, wanted: Callable[[Key], bool], looks: int) -> float | None:
        """Unix time at which the next rest ends that keeps a wanted key from serving a model."""
        return self._wakeups.earliest_for(model, lambda rest: wanted(rest.key), looks)

    def wake_due(self) -> int:
        """End the rests that are over, at most `WAKE_BATCH` of them or fewer, see there. Returns how many."""
        now = self._clock()
        self._heed_clock(now)
        woken, most = 0, WAKE_BATCH // (1 + len(self.rotation.views) // VIEWS_AS_LONG)
        while woken < most and (rest := self._wakeups.pop_due(now)) is not None:
            self._wake(rest)
            woken += 1
        guard = self._guard
        if guard.tripped and guard.canary is None and now >= guard.canary_at:
            self._waiters.wake()  # or the next request is the canary
        return woken

    def arm(self) -> None:
        """The guard's next canary has another time."""
        self._wakeups.arm()

    def close(self) -> None:
        """Nothing changes by time any more."""
        self._wakeups.close()
        self.probing.wanted.clear()

    def _wake(self, rest: Rest) -> None:
        """The rest is over: the key is as it was before, or due for a trial or a probe."""
        key, model = rest
        if model is PAUSED:
            key.paused_until = None
            self.place(key)
            self.probing.ask(key, 0.0)  # nobody looked meanwhile
            return
        standing = rest.standing
        if standing is None:
            return
        if WAKE_OF.get(standing.status) is Wake.RETURN:
            self.set(key, model, wake(standing) if model is None else None)
            return
        if model is None:
            key.standing = due(standing)
        elif key.models is not None:
            key.models[model] = due(standing)
        self.place(key)
        self.probing.note(rest, due(standing))

    def _heed_clock(self, now: float) -> None:
        """Before anything else rests by a clock that was set back, those that rest already do so by the same."""
        step = self._wakeups.clock_set_back(now)
        if step:
            self._shift_rests(step)

    def _shift_rests(self, seconds: float) -> None:
        """The clock was set back: nobody rests longer for that. O(keys), and rare."""
        for key in self.keys.values():
            if key.paused_until is not None:
                key.paused_until -= seconds
                self.rest(key, PAUSED, key.paused_until)
            for model in (None, *(key.models or ())):
                standing = key.standing_for(model)
                if standing is not None and standing.until is not None and not standing.due:
                    later = shifted(standing, seconds)
                    self.put(key, model, later)
                    self.rest(key, model, later.until or 0.0)
        if self._guard.tripped:
            self._guard.canary_at -= seconds

    def _next_canary(self) -> float | None:
        """When the timer is to wake somebody who waits, to look whether the common cause is gone."""
        guard = self._guard
        return guard.canary_at if guard.tripped and guard.canary is None and guard.canary_at > self._clock() else None

    # -- inside: restoring -------------------------------------------------------------------------------------

    def _restored(self, standing: Standing, now: float) -> Standing:
        """A standing from the database, which a clock may have made that was ahead."""
        latest = now + self.health.max_cooldown
        if standing.until is not None and standing.until > latest:
            standing = replace(standing, until=latest)
        return forgive_downtime(standing, now, self.health)

    def _restore_models(self, key: Key, now: float) -> None:
        """The standings for models that a key was restored with, as far as there is room for their views."""
        restored: dict[str, Standing] = {}
        for model, standing in (key.models or {}).items():
            if model in self.rotation.views or self.rotation.has_room(len(self.keys)):
                self.rotation.add_view(model)
                restored[model] = self._restored(standing, now)
        key.models = restored or None
        self.rotation.count_models(key, 1)
        for model, standing in restored.items():
            if standing.until is not None:
                self.rest(key, model, standing.until)
