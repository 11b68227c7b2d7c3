"""The keys of one provider: lease one, report what came of it.

Memory is the authority on the hot path; the Keeper writes changes behind and restores them at start. Choosing a
key, benching it and waking it cost the same for ten keys and a hundred thousand.

Rules of the file:

- A key is in the `ready` ring exactly while it may be chosen. Keys that have proven themselves are in `proven` as
  well, which is where retries look first: a request that has met a bad key does not go on meeting bad keys.
- A verdict about one model benches the key in that model's *view* only, a ring of its own that is made when the
  first such verdict is given.
- A key on trial (its rest is over, its fault is not disproved) leaves the rings while it is leased, so that one
  request at a time tries it.
- Reports are versioned by lease: a late failure never overwrites a newer success or an operator's word, and a late
  success never lifts a newer verdict.
- A heuristic rest never takes the last usable key. A provider's own time and confirmed verdicts always stand.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from random import Random

from gateway.config.model import HealthConfig
from gateway.policy.health import (
    ALL_MODELS,
    DISABLED,
    PROVIDER_FAULTS,
    UNTESTED,
    VALID,
    WAKE_OF,
    Standing,
    Wake,
    advance,
    count_failure,
    wake,
)
from gateway.policy.verdict import Provenance, Scope, Status, Verdict
from gateway.upstream.key import Change, Key, Lease, Rest, Shortage, rest_ends
from gateway.upstream.rests import Rests
from gateway.upstream.ring import Ring
from gateway.upstream.waiters import Waiters

VIEWS_LIMIT = 256
"""Models with a ring of their own. Each costs some bytes a key; more models than this on one provider are rare, and
the oldest view is given up for a new one (its keys are then tried again)."""

SERVED_LIMIT = 1024
"""Models remembered as answered by some key, which is what tells a model's 404 from a key's."""

WAKE_BATCH = 500
"""Keys woken in one turn of the loop, so that ten thousand rests ending together do not hold it up."""

CREDENTIAL_STATUSES = frozenset({Status.SUSPECT, Status.INVALID_KEY})


class View:
    """One model's own rotation: the ready keys without those that are benched for this model."""

    __slots__ = ("counts", "ring")

    def __init__(self) -> None:
        self.ring: Ring[Key] = Ring()
        self.counts: Counter[Status] = Counter()


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
        self._ready: Ring[Key] = Ring()
        self._proven: Ring[Key] = Ring()
        self._views: dict[str, View] = {}
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
        key = None
        view = self._views.get(model) if self._views else None
        if view is not None:
            key = view.ring.next(excluded)
        else:
            if retry:
                key = self._proven.next(excluded)
            if key is None:
                key = self._ready.next(excluded)
        return None if key is None else self._lend(key, model)

    def lease_key(self, key: Key, model: str) -> Lease | None:
        """This very key, if it may be chosen now: an answer's follow-up only works with the key that made it."""
        view = self._views.get(model)
        if key not in (view.ring if view is not None else self._ready):
            return None
        return self._lend(key, model)

    def succeed(self, lease: Lease) -> None:
        """The key answered."""
        key = self._close(lease)
        self._successes += 1
        if key.removed or lease.seq < key.failed_seq or key.standing.status is Status.DISABLED:
            self._end_trial(key)
            return
        if lease.seq > key.good_seq:
            key.good_seq = lease.seq
        key.checked_at = self._clock()
        if lease.model not in self._served:
            self._remember_served(lease.model)
        if key.standing is not VALID:
            self._set(key, None, VALID)
        if key.models is not None and lease.model in key.models:
            self._set(key, lease.model, None)

    def release(self, lease: Lease) -> None:
        """Nothing was learned: the client left, or the fault was the client's or ours."""
        self._end_trial(self._close(lease))

    def report(self, lease: Lease, verdict: Verdict) -> Verdict:
        """The attempt failed. Returns the verdict as the pool understands it.

        A model that other keys have answered for is missing for this key, not for the client.
        """
        if verdict.scope is Scope.CLIENT and verdict.status is Status.NO_MODEL and lease.model in self._served:
            verdict = Verdict(
                Scope.KEY_MODEL, Status.NO_MODEL, verdict.reason, verdict.until, verdict.provenance, verdict.evidence
            )
        fault = verdict.scope is Scope.PROVIDER and verdict.status in PROVIDER_FAULTS
        if not (verdict.blames_key or fault):
            self.release(lease)
            return verdict
        key = self._close(lease)
        self._end_trial(key)
        if key.removed or key.standing.status is Status.DISABLED or lease.seq < max(key.good_seq, key.failed_seq):
            return verdict
        model = self._scope_of(verdict, lease.model)
        standing = (key.models or {}).get(model, key.standing) if model else key.standing
        now = self._clock()
        if not self._benches(key, model, standing, verdict, fault):
            if fault:
                self._count_fault(key, model, standing, verdict, now)
            return verdict
        key.failed_seq = lease.seq
        self._set(key, model, advance(standing, verdict, now, self.health))
        return verdict

    # -- when nothing is usable --------------------------------------------------------------------------------

    def shortage(self, model: str, excluded: Collection[Key] = ()) -> Shortage:
        """Why `lease` gave nothing, and how long that lasts. A key that was tried in this request does not count."""

        def may_serve(rest: Rest) -> bool:
            return rest.key not in excluded and (rest.model is None or rest.model == model)

        until = self._rests.earliest_where(may_serve, len(excluded) + 32)
        wait = None if until is None else max(until - self._clock(), 0.0)
        counts = {str(status): n for status, n in sorted(self.counts.items()) if n}
        view = self._views.get(model)
        cooling = self.counts[Status.RATE_LIMITED] > 0 or (view is not None and view.counts[Status.RATE_LIMITED] > 0)
        return Shortage(wait, counts, cooling)

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
            self.counts[key.standing.status] += 1
            if key.standing.until is not None:
                self._rest(key, None, key.standing.until)
            for model, standing in (key.models or {}).items():
                self._view(model).counts[standing.status] += 1
                if standing.until is not None:
                    self._rest(key, model, standing.until)
            self._place(key)

    def remove(self, digests: Iterable[bytes]) -> None:
        """Keys that are gone from the files leave at once; attempts under way finish and report to nobody."""
        for digest in digests:
            key = self.keys.pop(digest, None)
            if key is None:
                continue
            key.removed = True
            self.counts[key.standing.status] -= 1
            for model, standing in (key.models or {}).items():
                self._views[model].counts[standing.status] -= 1
            self._place(key)
            for name in [ALL_MODELS, *(key.models or ())]:
                self._changes.pop((digest, name), None)

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
        return len(self._ready)

    def next_wake(self) -> float | None:
        """Unix time at which the next rest ends."""
        return self._rests.earliest()

    # -- inside ------------------------------------------------------------------------------------------------

    def _lend(self, key: Key, model: str) -> Lease:
        self._seq += 1
        key.in_flight += 1
        if not key.standing.usable or key.models is not None:
            self._begin_trial(key, model)
        return Lease(key, model, self._seq)

    def _close(self, lease: Lease) -> Key:
        if not lease.open:
            raise RuntimeError("a lease ends once")
        lease.open = False
        lease.key.in_flight -= 1
        return lease.key

    def _scope_of(self, verdict: Verdict, model: str) -> str | None:
        """The model a verdict is limited to, or None for the whole key."""
        if verdict.scope is Scope.KEY_MODEL:
            return model
        if self.shared_status or verdict.status in CREDENTIAL_STATUSES:
            return None
        return model

    def _benches(self, key: Key, model: str | None, standing: Standing, verdict: Verdict, fault: bool) -> bool:
        """Whether the verdict takes the key out. See the rules at the top."""
        if fault:
            in_a_row = standing.streak >= 1 and self._successes > key.fault_mark
            return in_a_row and not self._is_last(key, model)
        temporary = verdict.status is Status.RATE_LIMITED and verdict.provenance is Provenance.HEURISTIC
        return not (temporary and self._is_last(key, model))

    def _is_last(self, key: Key, model: str | None) -> bool:
        ring = self._views[model].ring if model in self._views else self._ready
        return len(ring) == 0 or (len(ring) == 1 and key in ring)

    def _count_fault(self, key: Key, model: str | None, standing: Standing, verdict: Verdict, now: float) -> None:
        if standing.streak == 0:
            key.fault_mark = self._successes
        counted = count_failure(standing, verdict, now)
        if model is not None and key.models is not None and model in key.models:
            key.models[model] = counted
        else:
            key.standing = counted
        self._note(key, None)

    def _begin_trial(self, key: Key, model: str) -> None:
        standing = (key.models or {}).get(model, key.standing)
        if not key.standing.usable or not standing.usable:
            key.on_trial = True
            self._place(key)

    def _end_trial(self, key: Key) -> None:
        if key.on_trial:
            key.on_trial = False
            self._place(key)

    def _set(self, key: Key, model: str | None, standing: Standing | None) -> None:
        """Give a key its new standing (None: the model is as the key) and put it where that belongs."""
        if model is None:
            assert standing is not None
            self.counts[key.standing.status] -= 1
            self.counts[standing.status] += 1
            key.standing = standing
        else:
            self._set_model(key, model, standing)
        key.on_trial = False
        self._note(key, model)
        self._place(key)
        if standing is not None and standing.until is not None:
            self._rest(key, model, standing.until)

    def _set_model(self, key: Key, model: str, standing: Standing | None) -> None:
        view = self._view(model)
        models = key.models or {}
        before = models.pop(model, None)
        if before is not None:
            view.counts[before.status] -= 1
        if standing is not None:
            models[model] = standing
            view.counts[standing.status] += 1
        key.models = models or None

    def _may_enter(self, standing: Standing) -> bool:
        return standing.usable or (standing.until is not None and standing.until <= self._clock())

    def _place(self, key: Key) -> None:
        """Into the rings where its standing allows it (a rest that is over allows a trial), out of all others."""
        standing = key.standing
        if key.removed or key.on_trial or standing.status is Status.DISABLED or not self._may_enter(standing):
            self._ready.discard(key)
            self._proven.discard(key)
            for view in self._views.values():
                view.ring.discard(key)
            return
        rings = (self._ready, self._proven) if standing.status is Status.VALID else (self._ready,)
        for ring in rings:
            ring.add(key)
        for model, view in self._views.items():
            own = key.models.get(model) if key.models else None
            if own is None or self._may_enter(own):
                view.ring.add(key)
            else:
                view.ring.discard(key)
        self.waiters.wake_one()

    def _view(self, model: str) -> View:
        """The model's ring. A new one has all ready keys; the one it is made for leaves when it is placed."""
        view = self._views.get(model)
        if view is None:
            if len(self._views) >= VIEWS_LIMIT:
                self._drop_view(next(iter(self._views)))
            view = self._views[model] = View()
            for key in self._ready:
                view.ring.add(key)
        return view

    def _drop_view(self, model: str) -> None:
        del self._views[model]
        for key in self.keys.values():
            if key.models and model in key.models:
                del key.models[model]
                key.models = key.models or None

    def _rest(self, key: Key, model: str | None, until: float) -> None:
        self._rests.push(until, Rest(key, model), len(self.keys) * (1 + len(self._views)))
        if self._timer is None or until < self._timer_at:
            self._arm()

    def _wake(self, rest: Rest) -> None:
        standing = rest.standing
        if standing is None:
            return
        if WAKE_OF.get(standing.status) is Wake.RETURN:
            self._set(rest.key, rest.model, wake(standing) if rest.model is None else None)
        else:
            self._place(rest.key)

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
            self._timer = loop.call_later(max(until - self._clock(), 0.0), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.wake_due()
        self._arm()

    def _operator_says(self, key: Key, standing: Standing) -> None:
        self._seq += 1
        key.good_seq = self._seq
        key.failed_seq = 0
        for model in list(key.models or ()):
            self._set(key, model, None)
        self._set(key, None, standing)

    def _note(self, key: Key, model: str | None) -> None:
        self._changes[(key.digest, model or ALL_MODELS)] = key

    def _remember_served(self, model: str) -> None:
        if len(self._served) >= SERVED_LIMIT:
            del self._served[next(iter(self._served))]
        self._served[model] = None
