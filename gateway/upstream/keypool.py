"""The keys of one provider: lease one, report what came of it.

Memory is the authority on the hot path; the Keeper writes changes behind and restores them at start. Choosing a
key, benching it and waking it cost the same for ten keys and a hundred thousand. The rings that keys stand in are
`rotation.py`'s, the order of turns `selection.py`'s, the meaning of a verdict `policy/health.py`'s; when a common cause
is behind many rejections `guard.py` says.

Rules of the file:

- Reports are versioned by lease. A late failure never overwrites a newer success or an operator's word. An attempt
  that began before a key was benched neither lifts that nor confirms it; a provider's own, later time prolongs it.
- A heuristic rest never takes the last usable key. A provider's own time and confirmed verdicts always stand.
- A verdict about a model, in a call of which nobody knows the model, benches nothing.
- Keys with the same label `account=` share their quota: one that is used up cools the others, its return wakes them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random

from gateway.config.model import HealthConfig, KeyLimitsConfig, ProviderConfig
from gateway.policy.health import (
    CREDENTIAL_STATUSES,
    DISABLED,
    LIFTED_BY_PROBE,
    TRANSITIONS,
    UNTESTED,
    VALID,
    WAKE_OF,
    Event,
    Standing,
    Wake,
    advance,
    amnesty,
    count_failure,
    due,
    faults_in_row,
    forgive_downtime,
    is_fault,
    outlasts,
    postpone,
    shifted,
    wake,
)
from gateway.policy.key_limits import KeyMeter
from gateway.policy.verdict import Provenance, Scope, Status, Verdict
from gateway.upstream.accounts import Accounts
from gateway.upstream.changes import Changes
from gateway.upstream.guard import REJECTIONS, Guard, Rejected
from gateway.upstream.key import PAUSED, Change, Key, Lease, Rest, Shortage
from gateway.upstream.rotation import Rotation
from gateway.upstream.selection import ring_maker
from gateway.upstream.waiters import Waiters
from gateway.upstream.wakeups import Wakeups

SERVED_LIMIT = 1024
"""Models remembered as answered by some key, which is what tells a model's 404 from a key's."""

WAKE_BATCH = 500
"""Keys woken in one turn of the loop, so that ten thousand rests ending together do not hold it up."""

CHECKED_GRAIN = 3600.0
"""Seconds of use after which the database is told that a key still works: a restart then probes only idle ones."""

FITTING = 16
"""Keys looked at for one whose token limit has room for a large request."""

NAME_LIMIT = 200
"""Characters of a model's name that may have a standing of its own: clients choose them, and each is a row."""

STRANGERS_UP_TO = 10_000
"""Keys of a pool in which a model that nobody lists or has served may have a view, which takes O(keys) to make."""

ACCOUNT_REASON = "account_"
"""Begins the reason of a key that rests because of another one of its account."""


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
        self.limits: KeyLimitsConfig | None = None
        self.waiters = Waiters(max_waiting)
        self.keys: dict[bytes, Key] = {}
        self.counts: Counter[Status] = Counter()
        self.guard = Guard()
        self.to_probe: dict[Rest, None] = {}  # what wants a probe now, in the order it came up
        self.probe_wanted = asyncio.Event()
        self._clock = clock
        self._rng = rng
        self._rotation = Rotation()
        self._selection = "round_robin"
        self._probing = "none"
        self._confirmations = 1
        self._place_of_keys = ("", "")  # the provider's type and address, of which the standings speak
        self._listed: frozenset[str] = frozenset()
        self._wakeups = Wakeups(clock, self.wake_due, self._next_canary)
        self._served: dict[str, tuple[Key, Key]] = {}
        self._accounts = Accounts()
        self._changes = Changes()
        self._seq = 0
        self._successes = 0

    def configure(self, config: ProviderConfig, probing: str, max_waiting: int) -> None:
        """Take over what a reload may have changed. `probing`: the kind of probes, see `LIFTED_BY_PROBE`."""
        self.health = config.health
        self.shared_status = config.shared_key_status
        self.waiters.limit = max_waiting
        self.limits = config.key_limits if config.key_limits != KeyLimitsConfig() else None
        if config.selection != self._selection:
            self._selection = config.selection
            self._rotation.remake(ring_maker(config.selection, self._rng))
        self._listed = frozenset(entry.partition("=")[2] or entry for entry in config.models)
        before, self._place_of_keys = self._place_of_keys, (config.type, config.base_url)
        if before not in (("", ""), self._place_of_keys):
            for key in self.keys.values():
                if key.standing.status is not Status.DISABLED and (key.models or not key.standing.usable):
                    self.clear(key)  # another provider's verdicts
        concurrency = config.key_limits.concurrency
        if probing != self._probing or concurrency != self._rotation.concurrency:
            self._probing = probing
            self._confirmations = 1 if probing == "none" else config.health.verification_attempts
            self._rotation.probed = LIFTED_BY_PROBE[probing]
            self._rotation.concurrency = concurrency
            for key in self.keys.values():
                self._place(key)
                self._ask_for_probe(Rest(key, None), key.standing)
        elif probing != "none":
            self._confirmations = config.health.verification_attempts

    @property
    def probing(self) -> str:
        return self._probing

    # -- the hot path ------------------------------------------------------------------------------------------

    def lease(
        self,
        model: str,
        excluded: Collection[Key] = (),
        *,
        retry: bool = False,
        tokens: int = 0,
        affinity: str = "",
    ) -> Lease | None:
        """A usable key in turn, or None. `retry` prefers keys that have already proven themselves.

        `tokens`: an estimate of what the request will use, for `key_limits.tpm`. `affinity` names the conversation.
        """
        if self.guard.tripped:
            return self._lease_canary(model, excluded, tokens)
        key = None
        if self._probing != "none":  # good keys are known: untested ones come last, and trials are made on purpose
            key = None if retry else self._rotation.next_due(model, excluded)
            retry = True
        if key is None:
            key = self._rotation.next(model, excluded, retry=retry, affinity=affinity)
        if key is not None and self.limits is not None and self.limits.tpm:
            key = self._fitting(key, model, excluded, retry, tokens)
        return None if key is None else self._lend(key, model, tokens)

    def lease_key(self, key: Key, model: str, tokens: int = 0) -> Lease | None:
        """This very key, if it may be chosen now: an answer's follow-up only works with the key that made it."""
        return self._lend(key, model, tokens) if key in self._rotation.ring(model) else None

    def lease_for_probe(self, key: Key, model: str) -> Lease | None:
        """This very key, benched or not, for the Keeper; but none that the operator took out.

        As long as nobody knows whether it is good, no request gets it meanwhile, unless it is the only one.
        """
        if key.removed or key.standing.status is Status.DISABLED:
            return None
        self._seq += 1
        key.in_flight += 1
        lease = Lease(key, model, self._seq)
        if key.standing.status is not Status.VALID and not self._rotation.would_empty(key, model):
            key.trial = lease
            self._rotation.place(key)
        if self.guard.tripped and self.guard.canary is None and self._clock() >= self.guard.canary_at:
            self.guard.canary = lease
        return lease

    def succeed(self, lease: Lease, *, answering: bool = False) -> None:
        """The key answered. `answering`: the body is still to come, and `finish` will be called."""
        key = lease.key
        trial = self._close(lease)
        if not answering:
            self.finish(lease)
        self._successes += 1
        if self.guard.watching:
            self._relieve()
        if key.removed or (lease.seq <= key.benched_seq and self._stale(lease)):
            if trial:
                self._place(key)
            return
        key.good_seq = max(key.good_seq, lease.seq)
        now = self._clock()
        if now - key.checked_at > CHECKED_GRAIN:
            self._changes.note(key, None)
        key.checked_at = now
        served = self._served.get(lease.model)
        if served is None or served[0] is not key:
            self._remember_served(lease.model, key, served)
        was = key.standing
        if was is not VALID:
            self._set(key, None, VALID)
            if was.status is Status.NO_QUOTA and key.account:
                self._wake_siblings(key)
        if key.models is not None and lease.model in key.models:
            self._set(key, lease.model, None)

    def listed(self, lease: Lease) -> None:
        """A probe listed the models: the credential is good, which says nothing about quota, model or access."""
        key = lease.key
        trial = self._close(lease)
        self.finish(lease)
        if self.guard.watching:
            self._relieve()
        if not key.removed and lease.seq > key.benched_seq:
            key.good_seq = max(key.good_seq, lease.seq)
            key.checked_at = self._clock()
            self._changes.note(key, None)
            if TRANSITIONS.get((key.standing.status, Event.LISTED)) is Status.VALID:
                self._set(key, None, VALID)
        if trial:
            self._place(key)

    def release(self, lease: Lease) -> None:
        """Nothing was learned: the client left, or the fault was the client's or ours."""
        trial = self._close(lease)
        self.finish(lease, 0)
        if lease is self.guard.canary:
            self.guard.canary_left()
            self.waiters.wake_one()
        if trial:
            self._place(lease.key)

    def report(self, lease: Lease, verdict: Verdict) -> Verdict:
        """The attempt failed. Returns the verdict as the pool understands it."""
        verdict = self._understand(lease, verdict)
        if self.guard.tripped and self._guarded(lease, verdict):
            return verdict
        key = lease.key
        model = self._scope_of(verdict, lease.model)
        standing = key.standing if model is None else (key.models or {}).get(model, key.standing)
        if not self._counts(lease, verdict, standing):
            self.release(lease)
            return verdict
        trial = self._close(lease)
        self.finish(lease, 0)
        now = self._clock()
        if self._benches(lease, standing, verdict, now):
            key.benched_seq = self._seq
            if is_fault(verdict) and not standing.usable:
                after = postpone(standing, verdict, now, self.health)
            else:
                after = advance(standing, verdict, now, self.health, self._confirmations)
            self._set(key, model, after)
            if verdict.scope is Scope.ACCOUNT and key.account:
                self._bench_siblings(key, model, after)
            if verdict.status in REJECTIONS and standing.usable:
                self._note_rejection(Rejected(now, key, model, standing, after))
            return verdict
        if is_fault(verdict):
            self._count_fault(key, model, standing, verdict, now)
        if trial:
            self._place(key)
        return verdict

    def finish(self, lease: Lease, tokens: int | None = None) -> None:
        """The answer's last byte is through, or there is none. `tokens`: what was used, None if nobody knows."""
        if not lease.busy:
            return
        lease.busy = False
        key = lease.key
        key.in_flight -= 1
        if key.meter is not None and tokens is not None and lease.taken_at:
            key.meter.settle(lease.taken_at, self._clock(), lease.tokens, tokens)
        if self._rotation.concurrency and key.in_flight == self._rotation.concurrency - 1:
            self._place(key)

    # -- when nothing is usable --------------------------------------------------------------------------------

    def shortage(self, model: str, excluded: Collection[Key] = ()) -> Shortage:
        """Why `lease` gave nothing, and how long that lasts. A key that was tried in this request does not count."""
        if self.guard.tripped:
            canary = max(self.guard.canary_at - self._clock(), 0.0) if self.guard.canary is None else 1.0
            return Shortage(canary, _words(self._rotation.count(model, self.counts)), False, self.guard.evidence)

        until = self._wakeups.earliest_for(model, lambda rest: rest.key not in excluded, len(excluded) + 32)
        wait = None if until is None else max(until - self._clock(), 0.0)
        counts = self._rotation.count(model, self.counts)
        busy = self.limits is not None and bool(counts[Status.VALID] + counts[Status.UNTESTED])
        if wait is None and busy:
            wait = 1.0  # all at their limit of requests at once
        return Shortage(wait, _words(counts), busy or Status.RATE_LIMITED in counts)

    async def wait_usable(self, seconds: float) -> bool:
        """Wait, first come first served, until some key may be chosen again. False: time is up, or too many wait."""
        return await self.waiters.wait(seconds)

    # -- time --------------------------------------------------------------------------------------------------

    def wake_due(self) -> int:
        """End the rests that are over, at most `WAKE_BATCH` of them. Returns how many."""
        now = self._clock()
        step = self._wakeups.clock_set_back(now)
        if step:
            self._shift_rests(step)
        woken = 0
        while woken < WAKE_BATCH and (rest := self._wakeups.pop_due(now)) is not None:
            self._wake(rest)
            woken += 1
        guard = self.guard
        if guard.tripped and guard.canary is None and now >= guard.canary_at:
            self.waiters.wake_one()  # or the next request is the canary
        return woken

    def close(self) -> None:
        """Stop the timer and let those who wait find out."""
        self._wakeups.stop()
        self.waiters.wake_all()

    # -- the Keeper's and the operator's side ------------------------------------------------------------------

    def add(self, keys: Sequence[Key]) -> None:
        """New keys, each with the standing it was restored with or `untested`.

        They enter the rotation in random order: a file's bad keys often stand in a row, and restarts should not
        always burden the same ones.
        """
        now = self._clock()
        for key in self._rng.sample(keys, len(keys)):
            if key.digest in self.keys:
                continue
            self.keys[key.digest] = key
            self._changes.take_over(key, self._rotation.views)
            key.standing = self._restored(key.standing, now)
            self.counts[key.standing.status] += 1
            self._accounts.join(key)
            if key.standing.until is not None:
                self._rest(key, None, key.standing.until)
            self._restore_models(key)
            self._place(key)
            self._ask_for_probe(Rest(key, None), key.standing)

    def remove(self, digests: Iterable[bytes]) -> None:
        """Keys that are gone from the files leave at once; attempts under way finish and report to nobody."""
        for digest in digests:
            key = self.keys.pop(digest, None)
            if key is None:
                continue
            key.removed = True
            self.counts[key.standing.status] -= 1
            self._rotation.count_models(key, -1)
            self._accounts.leave(key)
            self._place(key)

    def relabel(self, key: Key, labels: Mapping[str, str]) -> None:
        """The file says something else about a key that stays."""
        self._accounts.leave(key)
        key.labels = labels
        self._accounts.join(key)

    def disable(self, key: Key) -> None:
        """The operator's word; only `enable` or `clear` ends it."""
        self._operator_says(key, DISABLED)

    def enable(self, key: Key) -> None:
        if key.standing.status is Status.DISABLED:
            self._operator_says(key, UNTESTED)

    def clear(self, key: Key) -> None:
        """Forget every verdict on the key; what older attempts still report is ignored."""
        self._operator_says(key, UNTESTED)

    def ask_for_probe(self, key: Key, checked_before: float) -> None:
        """Let the Keeper look at a key, if a probe is to decide about it, or it was proven good before that time."""
        if key.standing.status is Status.VALID:
            if key.checked_at <= checked_before and self._probing != "none":
                self.to_probe[Rest(key, None)] = None
                self.probe_wanted.set()
            return
        self._ask_for_probe(Rest(key, None), key.standing)
        for model, standing in (key.models or {}).items():
            self._ask_for_probe(Rest(key, model), standing)

    def wants_probe(self, rest: Rest) -> bool:
        """Whether a probe would still tell anything. A key that is being used tells by itself."""
        standing, key = rest.standing, rest.key
        if standing is None or key.removed or key.in_flight:
            return False
        if standing.status is Status.VALID:
            return self._clock() - key.checked_at >= self.health.success / 2
        return standing.status in self._rotation.probed and (standing.due or standing.status is Status.UNTESTED)

    def amnesty(self, key: Key) -> bool:
        """Give a benched key one more look now, and count its failing from now on. False: it was in order."""
        rests = [model for model, standing in (key.models or {}).items() if not standing.usable]
        if not key.standing.usable and key.standing.status is not Status.DISABLED:
            self._set(key, None, amnesty(key.standing, self._clock()))
            rests.append("")
        for model in rests:
            if model:
                assert key.models is not None
                self._set(key, model, amnesty(key.models[model], self._clock()))
        return bool(rests)

    def reset_guard(self) -> None:
        """The operator's word: it is over."""
        if self.guard.tripped:
            self.guard.reset()
            self.waiters.wake_all()

    def take_changes(self, limit: int = 5000) -> list[Change]:
        """Standings that changed since they were last taken, oldest first, at most `limit`."""
        return self._changes.take(limit)

    @property
    def usable(self) -> int:
        """Keys that may be chosen now, whatever the model."""
        return 0 if self.guard.tripped else len(self._rotation.ready)

    def next_wake(self) -> float | None:
        """Unix time at which the next rest ends."""
        return self._wakeups.earliest()

    def served(self) -> list[str]:
        """Models that some key has answered for lately."""
        return [model for model in self._served if model]

    # -- inside: leases ----------------------------------------------------------------------------------------

    def _lend(self, key: Key, model: str, tokens: int = 0) -> Lease:
        self._seq += 1
        key.in_flight += 1
        lease = Lease(key, model, self._seq, tokens)
        if key.models is not None or not key.standing.usable:
            self._rotation.begin_trial(lease)
        if self.limits is not None:
            self._meter(lease, self.limits)
        return lease

    def _meter(self, lease: Lease, limits: KeyLimitsConfig) -> None:
        """Count the request, and take the key out until another one fits."""
        key, now = lease.key, self._clock()
        if limits.rpm or limits.tpm or limits.rpd:
            if key.meter is None:
                key.meter = KeyMeter(limits)
            key.meter.take(now, lease.tokens)
            lease.taken_at = now
            free_at = key.meter.free_at(now, 1)
            if free_at > now:
                key.paused_until = free_at
                self._rest(key, PAUSED, free_at)
        if key.paused_until is not None or limits.concurrency == key.in_flight:
            self._rotation.place(key)

    def _fitting(self, key: Key, model: str, excluded: Collection[Key], retry: bool, tokens: int) -> Key | None:
        """A key with room for so many tokens, from `key` on in turn."""
        now, passed = self._clock(), set(excluded)
        for _ in range(FITTING):
            if key.meter is None or key.meter.free_at(now, tokens) <= now:
                return key
            passed.add(key)
            following = self._rotation.next(model, passed, retry=retry)
            if following is None:
                return None
            key = following
        return None

    def _close(self, lease: Lease) -> bool:
        """The verdict is in. True if it was a trial, after which the key has to be placed."""
        if not lease.open:
            raise RuntimeError("a lease ends once")
        lease.open = False
        return self._rotation.end_trial(lease)

    # -- inside: verdicts --------------------------------------------------------------------------------------

    def _understand(self, lease: Lease, verdict: Verdict) -> Verdict:
        """A model that another key, still in order, has answered for is missing for this key, not for the client."""
        if verdict.scope is not Scope.CLIENT or verdict.status is not Status.NO_MODEL:
            return verdict
        ring = self._rotation.ring(lease.model)
        if not any(key is not lease.key and key in ring for key in self._served.get(lease.model, ())):
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
        if self._scope_of(verdict, lease.model) is not None and not self._may_have_view(lease.model):
            return False
        if not verdict.blames_key and not is_fault(verdict):
            return False
        if key.removed or lease.seq < key.good_seq or key.standing.status is Status.DISABLED:
            return False
        return standing.usable or lease.seq > key.benched_seq or outlasts(standing, verdict)

    def _may_have_view(self, model: str) -> bool:
        """Whether a model may have standings of its own, given that clients name models as they like."""
        if not model or model in self._rotation.views or model in self._served or model in self._listed:
            return True
        return len(model) <= NAME_LIMIT and len(self.keys) <= STRANGERS_UP_TO

    def _stale(self, lease: Lease) -> bool:
        """Whether a success that began before the newest bench says nothing: that was about this model, or all."""
        key = lease.key
        return lease.seq <= key.good_seq or not key.standing.usable or lease.model in (key.models or ())

    def _benches(self, lease: Lease, standing: Standing, verdict: Verdict, now: float) -> bool:
        """Whether the verdict takes the key out. See the rules at the top."""
        if is_fault(verdict):
            enough = faults_in_row(standing, now, self.health) + 1 >= self.health.fault_threshold
            if not enough or self._successes == lease.key.fault_mark:
                return False  # too few yet, or nobody has answered since the first: the provider is down
        guess = is_fault(verdict) or (
            verdict.status is Status.RATE_LIMITED and verdict.provenance is Provenance.HEURISTIC
        )
        return not (guess and self._rotation.would_empty(lease.key, lease.model))

    def _count_fault(self, key: Key, model: str | None, standing: Standing, verdict: Verdict, now: float) -> None:
        if faults_in_row(standing, now, self.health) == 0:
            key.fault_mark = self._successes
            standing = replace(standing, streak=0)
        counted = count_failure(standing, verdict, now)
        if model is not None and key.models is not None and model in key.models:
            key.models[model] = counted
        else:
            model, key.standing = None, counted
        self._changes.note(key, model)

    def _set(self, key: Key, model: str | None, standing: Standing | None) -> None:
        """Give a key its new standing (None: the model is as the key) and put it where that belongs."""
        self._rotation.cancel_trial(key, model)
        if model is None:
            assert standing is not None
            self.counts[key.standing.status] -= 1
            self.counts[standing.status] += 1
            key.standing = standing
        else:
            if standing is not None and model not in self._rotation.views:
                self._make_room()
            self._rotation.set_model(key, model, standing)
        self._changes.note(key, model)
        self._place(key)
        if standing is not None and standing.until is not None:
            self._rest(key, model, standing.until)

    def _make_room(self) -> None:
        """For another model's view; the database forgets what is forgotten here."""
        for model, keys in self._rotation.make_room(self.keys.values()).items():
            self._wakeups.forget_model(model)
            for key in keys:
                self._changes.note(key, model)

    def _place(self, key: Key) -> None:
        if self._rotation.place(key):
            self.waiters.wake_one()

    # -- inside: accounts --------------------------------------------------------------------------------------

    def _bench_siblings(self, key: Key, model: str | None, after: Standing) -> None:
        """The account's quota is used up: its other keys need not find that out one by one."""
        for other in self._accounts.siblings(key):
            own = other.standing if model is None else (other.models or {}).get(model, other.standing)
            if own.usable and other.standing.usable:
                other.benched_seq = self._seq
                reason = ACCOUNT_REASON + after.reason
                since = own.failing_since or after.failing_since
                self._set(other, model, replace(after, reason=reason, failing_since=since, proven=own.proven))

    def _wake_siblings(self, key: Key) -> None:
        """The account has quota again."""
        for other in self._accounts.siblings(key):
            if other.standing.status is Status.NO_QUOTA and other.standing.reason.startswith(ACCOUNT_REASON):
                self._set(other, None, wake(other.standing))

    # -- inside: the guard -------------------------------------------------------------------------------------

    def _note_rejection(self, rejected: Rejected) -> None:
        if not self.guard.note(rejected, len(self._rotation.ready), self.health):
            return
        for _, key, model, before, after in self.guard.trip(rejected.at):
            if not key.removed and _standing(key, model) is after:
                self._set(key, model, before if model is None or not before.usable else None)

    def _relieve(self) -> None:
        """A success: whatever was rejected, the provider takes our requests."""
        self.guard.forget()
        if not self.guard.tripped:
            return
        for _, key, model, before, after in self.guard.reset():
            if not key.removed and _standing(key, model) in (before, None) and key.standing.usable:
                key.benched_seq = self._seq
                self._set(key, model, after)
        self.waiters.wake_all()

    def _guarded(self, lease: Lease, verdict: Verdict) -> bool:
        """Whether the guard keeps a verdict from the key. A limit or a quota says that we were let in."""
        if verdict.blames_key and verdict.status not in REJECTIONS:
            self._relieve()
            return False
        canary = lease is self.guard.canary
        if verdict.scope is Scope.CLIENT:
            self._relieve()
            return False
        self._close(lease)
        self.finish(lease, 0)
        self._place(lease.key)
        if canary:
            now, rejected = self._clock(), None
            if verdict.status in REJECTIONS:
                model = self._scope_of(verdict, lease.model)
                before = _standing(lease.key, model) or lease.key.standing
                after = advance(before, verdict, now, self.health, self._confirmations)
                rejected = Rejected(now, lease.key, model, before, after)
            self.guard.canary_failed(rejected, now)
            self._wakeups.arm()
        return True

    def _lease_canary(self, model: str, excluded: Collection[Key], tokens: int) -> Lease | None:
        guard = self.guard
        if guard.canary is not None or self._clock() < guard.canary_at:
            return None
        key = self._rotation.next(model, {*excluded, *guard.suspects()}, retry=True)
        if key is None:
            key = self._rotation.next(model, excluded, retry=True)
        if key is None:
            return None
        lease = self._lend(key, model, tokens)
        guard.begin_canary(lease)
        return lease

    # -- inside: time ------------------------------------------------------------------------------------------

    def _restore_models(self, key: Key) -> None:
        """The standings for models that a key was restored with, as far as there is room for their views."""
        for model, standing in (key.models or {}).items():
            if model in self._rotation.views or self._rotation.has_room(len(self.keys)):
                self._rotation.add_view(model)
                if standing.until is not None:
                    self._rest(key, model, standing.until)
        if key.models is not None:
            views = self._rotation.views
            key.models = {model: standing for model, standing in key.models.items() if model in views} or None
            self._rotation.count_models(key, 1)

    def _rest(self, key: Key, model: str | None, until: float) -> None:
        self._wakeups.push(until, Rest(key, model), len(self.keys))

    def _restored(self, standing: Standing, now: float) -> Standing:
        """A standing from the database, which a clock may have made that was ahead."""
        latest = now + self.health.max_cooldown
        if standing.until is not None and standing.until > latest:
            standing = replace(standing, until=latest)
        return forgive_downtime(standing, now, self.health)

    def _shift_rests(self, seconds: float) -> None:
        """The clock was set back: nobody rests longer for that. O(keys), and rare."""
        for key in self.keys.values():
            if key.paused_until is not None:
                key.paused_until -= seconds
                self._rest(key, PAUSED, key.paused_until)
            for model in (None, *(key.models or ())):
                standing = Rest(key, model).standing
                if standing is not None and standing.until is not None and not standing.due:
                    later = shifted(standing, seconds)
                    if model is None:
                        key.standing = later
                    elif key.models is not None:
                        key.models[model] = later
                    self._changes.note(key, model)
                    self._rest(key, model, later.until or 0.0)
        if self.guard.tripped:
            self.guard.canary_at -= seconds

    def _wake(self, rest: Rest) -> None:
        """The rest is over: the key is as it was before, or due for a trial or a probe."""
        key, model = rest
        if model is PAUSED:
            key.paused_until = None
            self._place(key)
            return
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
        self._ask_for_probe(rest, due(standing))

    def _ask_for_probe(self, rest: Rest, standing: Standing) -> None:
        """Let the Keeper look at what only a probe decides about."""
        untested = standing.status is Status.UNTESTED
        if standing.status in self._rotation.probed and (standing.due or untested):
            self.to_probe[rest] = None
            self.probe_wanted.set()

    def _next_canary(self) -> float | None:
        """When the timer is to wake somebody who waits, to look whether the common cause is gone."""
        guard = self.guard
        return guard.canary_at if guard.tripped and guard.canary is None and guard.canary_at > self._clock() else None

    def _operator_says(self, key: Key, standing: Standing) -> None:
        self._seq += 1
        key.good_seq = key.benched_seq = self._seq
        for model in list(key.models or ()):
            self._set(key, model, None)
        self._set(key, None, standing)
        self._ask_for_probe(Rest(key, None), standing)

    def _remember_served(self, model: str, key: Key, served: tuple[Key, Key] | None) -> None:
        """The last two keys that answered for a model: one of them may be the one that is asked about."""
        if served is None and len(self._served) >= SERVED_LIMIT:
            del self._served[next(iter(self._served))]
        self._served[model] = (key, served[0] if served is not None else key)


def _standing(key: Key, model: str | None) -> Standing | None:
    return key.standing if model is None else (key.models or {}).get(model)


def _words(counts: Counter[Status]) -> dict[str, int]:
    return {str(status): n for status, n in sorted(counts.items())}
