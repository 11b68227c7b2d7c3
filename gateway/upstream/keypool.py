"""The keys of one provider: lease one, report what came of it.

Memory is the authority on the hot path; the Keeper writes changes behind and restores them at start. Choosing a
key, benching it and waking it cost the same for ten keys and a hundred thousand. The rings that keys stand in are
`rotation.py`'s, the meaning of a verdict is `policy/health.py`'s.

Rules of the file:

- Reports are versioned by lease. A late failure never overwrites a newer success or an operator's word. An attempt
  that began before a key was benched neither lifts that nor confirms it; a provider's own, later time prolongs it.
- A heuristic rest never takes the last usable key. A provider's own time and confirmed verdicts always stand.
- A verdict about a model, in a call of which nobody knows the model, benches nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from random import Random

from gateway.config.model import HealthConfig
from gateway.policy.health import (
    ALL_MODELS,
    CREDENTIAL_STATUSES,
    DISABLED,
    UNTESTED,
    VALID,
    WAKE_OF,
    Standing,
    Wake,
    advance,
    count_failure,
    due,
    is_fault,
    outlasts,
    wake,
)
from gateway.policy.verdict import Provenance, Scope, Status, Verdict
from gateway.upstream.key import Change, Key, Lease, Rest, Shortage, rest_ends
from gateway.upstream.rests import Rests
from gateway.upstream.rotation import Rotation
from gateway.upstream.waiters import Waiters

SERVED_LIMIT = 1024
"""Models remembered as answered by some key, which is what tells a model's 404 from a key's."""

WAKE_BATCH = 500
"""Keys woken in one turn of the loop, so that ten thousand rests ending together do not hold it up."""

LONGEST_NAP = 30.0
"""Seconds after which the clock on the wall is looked at again: it may have been set, and timers stand still while a
computer sleeps."""


class KeyPool:
    """See the module's text. `clock` gives unix seconds."""

    def __init__(
        self,
        provider: str,
        health: HealthConfig,
        *,
        clock: Callable[[], float],
        rng: Random,
        shared_status: bool = True,
        max_waiting: int = 1000,
    ) -> None:
        self.provider = provider
        self.health = health
        self.shared_status = shared_status
        self.waiters = Waiters(max_waiting)
        self.keys: dict[bytes, Key] = {}
        self.counts: Counter[Status] = Counter()
        self._clock = clock
        self._rng = rng
        self._rotation = Rotation()
        self._rests: Rests[Rest] = Rests(rest_ends)
        self._served: dict[str, None] = {}
        self._changes: dict[tuple[bytes, str], Key] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._seq = 0
        self._successes = 0

    # -- the hot path ------------------------------------------------------------------------------------------

    def lease(self, model: str, excluded: Collection[Key] = (), *, retry: bool = False) -> Lease | None:
        """A usable key in turn, or None. `retry` prefers keys that have already proven themselves."""
        key = self._rotation.next(model, excluded, retry=retry)
        return None if key is None else self._lend(key, model)

    def lease_key(self, key: Key, model: str) -> Lease | None:
        """This very key, if it may be chosen now: an answer's follow-up only works with the key that made it."""
        return self._lend(key, model) if key in self._rotation.ring(model) else None

    def succeed(self, lease: Lease) -> None:
        """The key answered."""
        key = lease.key
        trial = self._close(lease)
        self._successes += 1
        if key.removed or (lease.seq <= key.benched_seq and self._stale(lease)):
            if trial:
                self._place(key)
            return
        key.good_seq = max(key.good_seq, lease.seq)
        key.checked_at = self._clock()
        if lease.model not in self._served:
            self._remember_served(lease.model)
        if key.standing is not VALID:
            self._set(key, None, VALID)
        if key.models is not None and lease.model in key.models:
            self._set(key, lease.model, None)

    def release(self, lease: Lease) -> None:
        """Nothing was learned: the client left, or the fault was the client's or ours."""
        if self._close(lease):
            self._place(lease.key)

    def report(self, lease: Lease, verdict: Verdict) -> Verdict:
        """The attempt failed. Returns the verdict as the pool understands it."""
        verdict = self._understand(lease, verdict)
        key = lease.key
        model = self._scope_of(verdict, lease.model)
        standing = key.standing if model is None else (key.models or {}).get(model, key.standing)
        if not self._counts(lease, verdict, standing):
            self.release(lease)
            return verdict
        trial = self._close(lease)
        now = self._clock()
        if self._benches(lease, standing, verdict):
            key.benched_seq = self._seq
            self._set(key, model, advance(standing, verdict, now, self.health))
            return verdict
        if is_fault(verdict):
            self._count_fault(key, model, standing, verdict, now)
        if trial:
            self._place(key)
        return verdict

    # -- when nothing is usable --------------------------------------------------------------------------------

    def shortage(self, model: str, excluded: Collection[Key] = ()) -> Shortage:
        """Why `lease` gave nothing, and how long that lasts. A key that was tried in this request does not count."""

        def may_serve(rest: Rest) -> bool:
            return rest.key not in excluded and (rest.model is None or rest.model == model)

        until = self._rests.earliest_where(may_serve, len(excluded) + 32)
        wait = None if until is None else max(until - self._clock(), 0.0)
        counts = self._rotation.count(model, self.counts)
        return Shortage(wait, {str(status): n for status, n in sorted(counts.items())}, Status.RATE_LIMITED in counts)

    async def wait_usable(self, seconds: float) -> bool:
        """Wait, first come first served, until some key may be chosen again. False: time is up, or too many wait."""
        return await self.waiters.wait(seconds)

    # -- time --------------------------------------------------------------------------------------------------

    def wake_due(self) -> int:
        """End the rests that are over, at most `WAKE_BATCH` of them. Returns how many."""
        now = self._clock()
        for n in range(WAKE_BATCH):
            rest = self._rests.pop_due(now)
            if rest is None:
                return n
            self._wake(rest)
        return WAKE_BATCH

    def close(self) -> None:
        """Stop the timer and let those who wait find out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.waiters.wake_all()

    # -- the Keeper's and the operator's side ------------------------------------------------------------------

    def add(self, keys: Sequence[Key]) -> None:
        """New keys, each with the standing it was restored with or `untested`.

        They enter the rotation in random order: a file's bad keys often stand in a row, and restarts should not
        always burden the same ones.
        """
        for key in self._rng.sample(keys, len(keys)):
            if key.digest in self.keys:
                continue
            self.keys[key.digest] = key
            self._take_over(key)
            self.counts[key.standing.status] += 1
            if key.standing.until is not None:
                self._rest(key, None, key.standing.until)
            self._restore_models(key)
            self._place(key)

    def remove(self, digests: Iterable[bytes]) -> None:
        """Keys that are gone from the files leave at once; attempts under way finish and report to nobody."""
        for digest in digests:
            key = self.keys.pop(digest, None)
            if key is None:
                continue
            key.removed = True
            self.counts[key.standing.status] -= 1
            self._rotation.count_models(key, -1)
            self._place(key)

    def disable(self, key: Key) -> None:
        """The operator's word; only `enable` or `clear` ends it."""
        self._operator_says(key, DISABLED)

    def enable(self, key: Key) -> None:
        if key.standing.status is Status.DISABLED:
            self._operator_says(key, UNTESTED)

    def clear(self, key: Key) -> None:
        """Forget every verdict on the key; what older attempts still report is ignored."""
        self._operator_says(key, UNTESTED)

    def take_changes(self, limit: int = 5000) -> list[Change]:
        """Standings that changed since they were last taken, oldest first, at most `limit`."""
        taken: list[Change] = []
        while self._changes and len(taken) < limit:
            (digest, name), key = next(iter(self._changes.items()))
            del self._changes[(digest, name)]
            standing = key.standing if name == ALL_MODELS else (key.models or {}).get(name, VALID)
            taken.append(Change(digest, key.fingerprint, name, standing, key.checked_at))
        return taken

    @property
    def usable(self) -> int:
        """Keys that may be chosen now, whatever the model."""
        return len(self._rotation.ready)

    def next_wake(self) -> float | None:
        """Unix time at which the next rest ends."""
        return self._rests.earliest()

    # -- inside ------------------------------------------------------------------------------------------------

    def _lend(self, key: Key, model: str) -> Lease:
        self._seq += 1
        key.in_flight += 1
        lease = Lease(key, model, self._seq)
        if key.models is not None or not key.standing.usable:
            self._rotation.begin_trial(lease)
        return lease

    def _close(self, lease: Lease) -> bool:
        """End a lease. True if it was a trial, after which the key has to be placed."""
        if not lease.open:
            raise RuntimeError("a lease ends once")
        lease.open = False
        lease.key.in_flight -= 1
        return self._rotation.end_trial(lease)

    def _understand(self, lease: Lease, verdict: Verdict) -> Verdict:
        """A model that other keys have answered for is missing for this key, not for the client."""
        if verdict.scope is not Scope.CLIENT or verdict.status is not Status.NO_MODEL:
            return verdict
        if not lease.model or lease.model not in self._served:
            return verdict
        return replace(verdict, scope=Scope.KEY_MODEL)

    def _scope_of(self, verdict: Verdict, model: str) -> str | None:
        """The model a verdict is limited to, or None for the whole key."""
        if verdict.scope is Scope.KEY_MODEL:
            return model
        if self.shared_status or verdict.status in CREDENTIAL_STATUSES:
            return None
        return model

    def _counts(self, lease: Lease, verdict: Verdict, standing: Standing) -> bool:
        """Whether a verdict says anything new about the key."""
        key = lease.key
        if verdict.scope is Scope.KEY_MODEL and not lease.model:
            return False
        if not verdict.blames_key and not is_fault(verdict):
            return False
        if key.removed or lease.seq < key.good_seq or key.standing.status is Status.DISABLED:
            return False
        return standing.usable or lease.seq > key.benched_seq or outlasts(standing, verdict)

    def _stale(self, lease: Lease) -> bool:
        """Whether a success that began before the newest bench says nothing: that was about this model, or all."""
        key = lease.key
        return lease.seq <= key.good_seq or not key.standing.usable or lease.model in (key.models or ())

    def _benches(self, lease: Lease, standing: Standing, verdict: Verdict) -> bool:
        """Whether the verdict takes the key out. See the rules at the top."""
        if is_fault(verdict) and (standing.streak == 0 or self._successes == lease.key.fault_mark):
            return False  # the first one, or nobody has answered since: the provider is down
        guess = is_fault(verdict) or (
            verdict.status is Status.RATE_LIMITED and verdict.provenance is Provenance.HEURISTIC
        )
        return not (guess and self._rotation.would_empty(lease.key, lease.model))

    def _count_fault(self, key: Key, model: str | None, standing: Standing, verdict: Verdict, now: float) -> None:
        if standing.streak == 0:
            key.fault_mark = self._successes
        counted = count_failure(standing, verdict, now)
        if model is not None and key.models is not None and model in key.models:
            key.models[model] = counted
        else:
            model, key.standing = None, counted
        self._note(key, model)

    def _set(self, key: Key, model: str | None, standing: Standing | None) -> None:
        """Give a key its new standing (None: the model is as the key) and put it where that belongs."""
        self._rotation.cancel_trial(key, model)
        if model is None:
            assert standing is not None
            self.counts[key.standing.status] -= 1
            self.counts[standing.status] += 1
            key.standing = standing
        else:
            self._rotation.set_model(key, model, standing, self.keys.values())
        self._note(key, model)
        self._place(key)
        if standing is not None and standing.until is not None:
            self._rest(key, model, standing.until)

    def _place(self, key: Key) -> None:
        if self._rotation.place(key):
            self.waiters.wake_one()

    def _take_over(self, key: Key) -> None:
        """What a key that left and came back has not yet had written is newer than what it was restored with."""
        for name in (ALL_MODELS, *self._rotation.views):
            before = self._changes.get((key.digest, name))
            if before is None:
                continue
            self._changes[(key.digest, name)] = key
            if name == ALL_MODELS:
                key.standing, key.checked_at = before.standing, before.checked_at
                continue
            models = dict(key.models or {})
            models.pop(name, None)
            if before.models is not None and name in before.models:
                models[name] = before.models[name]
            key.models = models or None

    def _restore_models(self, key: Key) -> None:
        """The standings for models that a key was restored with, as far as there is room for their views."""
        for model, standing in (key.models or {}).items():
            if model in self._rotation.views or self._rotation.has_room(len(self.keys)):
                self._rotation.add_view(model, self.keys.values())
                if standing.until is not None:
                    self._rest(key, model, standing.until)
        if key.models is not None:
            views = self._rotation.views
            key.models = {model: standing for model, standing in key.models.items() if model in views} or None
            self._rotation.count_models(key, 1)

    def _rest(self, key: Key, model: str | None, until: float) -> None:
        self._rests.push(until, Rest(key, model), len(self.keys) * (1 + len(self._rotation.views)))
        if self._timer is None or until < self._timer_at:
            self._arm()

    def _wake(self, rest: Rest) -> None:
        """The rest is over: the key is as it was before, or due for a trial."""
        key, model = rest
        standing = rest.standing
        if standing is None:
            return
        if WAKE_OF.get(standing.status) is Wake.RETURN:
            self._set(key, model, wake(standing) if model is None else None)
            return
        if model is None:
            key.standing = due(standing)
        elif key.models is not None:
            key.models[model] = due(standing)
        self._place(key)

    def _arm(self) -> None:
        """Set the timer to the next end of a rest. Without a running loop (tests, tools) nobody waits for it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        until = self._rests.earliest()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if until is not None:
            self._timer_at = until
            nap = min(max(until - self._clock(), 0.0), LONGEST_NAP)
            self._timer = loop.call_later(nap, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.wake_due()
        self._arm()

    def _operator_says(self, key: Key, standing: Standing) -> None:
        self._seq += 1
        key.good_seq = key.benched_seq = self._seq
        for model in list(key.models or ()):
            self._set(key, model, None)
        self._set(key, None, standing)

    def _note(self, key: Key, model: str | None) -> None:
        self._changes[(key.digest, ALL_MODELS if model is None else model)] = key

    def _remember_served(self, model: str) -> None:
        if len(self._served) >= SERVED_LIMIT:
            del self._served[next(iter(self._served))]
        self._served[model] = None
