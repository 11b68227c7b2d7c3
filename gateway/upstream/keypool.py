"""The keys of one provider: lease one, report what came of it.

Choosing a key and judging it cost the same for ten keys and a hundred thousand. How the keys stand, and how that
changes by time, is `standings.py`'s, the order of turns `selection.py`'s, the meaning of a verdict for a key
`judging.py`'s; when a common cause is behind many rejections `guard.py` says, and behind other failures `outage.py`.
The provider's breakers live here, too, but whoever makes an attempt asks and tells them.

Rules of the file:

- Reports are versioned by lease. A late failure never overwrites a newer success or an operator's word.
- A lease ends once, with `succeed`, `listed`, `report` or `release`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from random import Random

from gateway.config.provider import HealthConfig, KeyLimitsConfig, ProviderConfig, RetryConfig
from gateway.policy.health import TRANSITIONS, VALID, Event, count_failure, is_fault
from gateway.policy.retry import RetryBudget
from gateway.policy.verdict import REJECTIONS, Scope, Status, Verdict
from gateway.upstream.breakers import Breakers, Note, tell_nobody
from gateway.upstream.guard import Activity, Guard, Rejected
from gateway.upstream.judging import Judge
from gateway.upstream.key import Key, Lease, Rest, Shortage
from gateway.upstream.metering import Metering, counted
from gateway.upstream.outage import Faults, Outage
from gateway.upstream.reprieves import Reprieves
from gateway.upstream.standings import Standings
from gateway.upstream.waiters import Waiters, Wish

CHECKED_GRAIN = 3600.0
"""Seconds of use after which the database is told that a key still works: a restart then probes only idle ones."""


class KeyPool:
    """See the module's text. `clock` gives unix seconds. `standings` is the Keeper's and the operator's side of it."""

    def __init__(
        self,
        provider: str,
        health: HealthConfig,
        *,
        clock: Callable[[], float],
        rng: Random,
        shared_status: bool = True,
        max_waiting: int = 1000,
        note_circuit: Note = tell_nobody,
    ) -> None:
        self.provider = provider
        self.waiters = Waiters(max_waiting)
        self.in_flight = 0  # requests that a key of this pool is lent to
        self.guard = Guard()
        self.budget = RetryBudget(RetryConfig().budget)  # here because it is to outlive reloads, as the keys do
        self.breakers = Breakers(provider, clock, rng, note_circuit)  # ... and these, too
        self.standings = Standings(health, clock=clock, rng=rng, waiters=self.waiters, guard=self.guard)
        self._reprieves = Reprieves(self.guard, self.standings, self.waiters, clock)
        self._clock = clock
        self._rotation = self.waiters.stock = self.standings.rotation
        self._probing = self.standings.probing
        self._limits = KeyLimitsConfig()
        self._metering: Metering | None = None  # there are no limits
        self._judge = Judge(self.standings, shared_status=shared_status)
        self._activity = Activity()
        self._faults = Faults()
        self._way: tuple[object, ...] = ()  # where requests go and how, of which the faults speak

    def configure(self, config: ProviderConfig, probing: str, max_waiting: int) -> None:
        """Take over what a reload may have changed. `probing`: the kind of probes, see `LIFTED_BY_PROBE`."""
        self._judge.shared_status = config.shared_key_status
        self.budget.change(config.retry.budget)
        self.breakers.configure(config.circuit_breaker)
        self.waiters.limit = max_waiting
        self._limit(config.key_limits)
        before, self._way = self._way, (config.type, config.base_url, config.proxy)
        if self._way != before:
            self._faults.end()
            self.breakers.reset()
        self._judge.served.list_models(config.models)
        self.standings.configure(config, probing)

    @property
    def usable(self) -> int:
        """Keys that may be chosen now, whatever the model."""
        return 0 if self.guard.tripped else len(self._rotation.ready)

    def usable_for(self, model: str) -> int:
        """Keys that may be chosen now for a model."""
        return 0 if self.guard.tripped else len(self._rotation.ring(model))

    def may_serve(self, model: str) -> bool:
        """Whether a request for the model would get a key at once, as far as can be told without taking one."""
        return self.usable_for(model) > 0 and self.breakers.refusal() is None

    def served(self) -> list[str]:
        """Models that some key has answered for lately."""
        return self._judge.served.models()

    def outage(self) -> Outage | None:
        """What keeps all requests from succeeding, for no key's fault; None while one of the last few did."""
        return self._faults.outage(self._clock())

    def forget_outage(self) -> None:
        """The operator's word as well; it changes what is told of the provider, and nothing else."""
        self._faults.end()

    def reset_guard(self) -> None:
        """The operator's word: it is over."""
        if self.guard.tripped:
            self.guard.reset()
            self.waiters.wake()

    def close(self) -> None:
        """Stop the timer for good, and let those who wait find out."""
        self.standings.close()
        self.waiters.dismiss()

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
        if self._probing.kind != "none":
            # Good keys are known: untested ones come last, and trials are made on purpose.
            key = None if retry else self._rotation.next_due(model, excluded)
            retry = True
        if key is None:
            key = self._rotation.next(model, excluded, retry=retry, affinity=affinity)
        if key is not None and self._metering is not None:
            key = self._metering.fitting(key, model, excluded, retry, tokens)
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
        lease = self._lease(key, model)
        if self._metering is not None:
            self._metering.take(lease)
        if key.standing.status is not Status.VALID and not self._rotation.would_empty(key, model):
            key.trial = lease
            self._rotation.place(key)
        proven = self._rotation.proven
        if (key in proven or not proven) and self._probe_may_be_canary():
            self.guard.begin_canary(lease)
        return lease

    def next_canary(self) -> Key | None:
        """While the guard keeps the pool closed: the key that a probe is to take now, to see whether that is over."""
        if not self._probe_may_be_canary():
            return None
        key = self._rotation.next("", self.guard.suspects(), retry=True)
        return key if key is not None else self._rotation.next("", (), retry=True)

    def lacks_witness(self, rests: Iterable[Rest]) -> bool:
        """Whether one of these is a suspect, and nobody got through since it was rejected."""
        return self._judge.lacks_witness(rests)

    def proven_key(self) -> Key | None:
        """One that may be chosen, the next in turn."""
        return self._rotation.proven.next(())

    def succeed(self, lease: Lease, *, answering: bool = False) -> None:
        """The key answered. `answering`: the body is still to come, and `finish` will be called."""
        key = lease.key
        trial = self._close(lease)
        if not answering:
            self.finish(lease)
        self._judge.successes += 1
        now = self._clock()
        self._activity.note(now, self.standings.health.guard_window)
        if self.guard.watching:
            self._reprieves.decide(lease, None)
            self._reprieves.relieve(lease.way)
        if self._faults.count:
            self._faults.end()
        if key.removed or (lease.seq <= key.benched_seq and self._judge.is_stale(lease)):
            if trial:
                self.standings.place(key)
            return
        key.good_seq = max(key.good_seq, lease.seq)
        if now - key.checked_at > CHECKED_GRAIN:
            self.standings.changes.note(key, None)
        key.checked_at = now
        self._judge.served.note(lease.model, key)
        was = key.standing
        if was is not VALID:
            self.standings.set(key, None, VALID)
            if was.status is Status.NO_QUOTA:
                self.standings.wake_siblings(key)
        if key.models is not None and lease.model in key.models:
            self.standings.set(key, lease.model, None)

    def listed(self, lease: Lease) -> None:
        """A probe listed the models: the credential is good, which says nothing about quota, model or access."""
        key = lease.key
        trial = self._close(lease)
        self.finish(lease)
        self._judge.listings += 1
        self._faults.reached()
        key.live_only = False
        if self.guard.watching and not self.guard.about_models:
            self._reprieves.decide(lease, None)
            self._reprieves.relieve(lease.way)
        if not key.removed and lease.seq > key.benched_seq:
            key.good_seq = max(key.good_seq, lease.seq)
            key.checked_at = self._clock()
            self.standings.changes.note(key, None)
            if TRANSITIONS.get((key.standing.status, Event.LISTED)) is Status.VALID:
                self.standings.set(key, None, VALID)
        if trial:
            self.standings.place(key)

    def unlisted(self, lease: Lease, verdict: Verdict) -> None:
        """The models could not be listed, for a reason that says nothing about the key."""
        if lease is self.guard.canary:
            self.report(lease, verdict)
            return
        self._faults.note_listing(lease, verdict, self._clock())
        self.release(lease)

    def release(self, lease: Lease) -> None:
        """Nothing was learned: the client left, or the fault was the client's or ours."""
        trial = self._close(lease)
        self.finish(lease, 0)
        if lease is self.guard.canary:
            self.guard.canary_left()
            self.waiters.wake()
        if trial:
            self.standings.place(lease.key)

    def report(self, lease: Lease, verdict: Verdict) -> Verdict:
        """The attempt failed. Returns the verdict as the pool understands it."""
        verdict = self._judge.understand(lease, verdict)
        self._faults.note(lease, verdict, self._clock())
        self._reprieves.decide(lease, verdict)
        if self.guard.tripped and self._guarded(lease, verdict):
            return verdict
        key = lease.key
        model = self._judge.scope_of(verdict, lease.model)
        standing = key.standing if model is None else (key.models or {}).get(model, key.standing)
        if not self._judge.counts(lease, verdict, standing):
            self.release(lease)
            return verdict
        trial = self._close(lease)
        self.finish(lease, 0)
        now = self._clock()
        if self._judge.benches(lease, standing, verdict, now):
            key.benched_seq = self.standings.seq
            after = self._judge.after(key, model, standing, verdict, now)
            self.standings.set(key, model, after)
            if verdict.scope is Scope.ACCOUNT:
                self.standings.bench_siblings(key, model, after)
            if verdict.status in REJECTIONS and standing.status is Status.VALID:
                rejected = Rejected(now, key, model, standing, after, lease.way)
                lately = self._activity.count(now, self.standings.health.guard_window)
                return self._reprieves.note(rejected, verdict, min(lately, self.standings.counts[Status.VALID]))
            return verdict
        if is_fault(verdict):
            self.standings.put(key, model, count_failure(self._judge.begins_row(key, standing, now), verdict, now))
        if trial:
            self.standings.place(key)
        return verdict

    def finish(self, lease: Lease, tokens: int | None = None) -> None:
        """The answer's last byte is through, or there is none. `tokens`: what was used, None if nobody knows."""
        if not lease.busy:
            return
        lease.busy = False
        key = lease.key
        self.in_flight -= 1
        key.in_flight -= 1
        if lease.meter is not None and tokens is not None:
            lease.meter.settle(lease.taken_at, self._clock(), lease.tokens, tokens)
        if self._rotation.concurrency and key.in_flight == self._rotation.concurrency - 1:
            self.standings.place(key)

    # -- when nothing is usable --------------------------------------------------------------------------------

    def shortage(self, model: str, excluded: Collection[Key] = ()) -> Shortage:
        """Why `lease` gave nothing, and how long that lasts. A key that was tried in this request does not count."""
        counts = self._rotation.count(model, self.standings.counts)
        if self.guard.tripped and (self._rotation.ready or self.guard.canary is not None):
            canary = max(self.guard.canary_at - self._clock(), 0.0) if self.guard.canary is None else 1.0
            return Shortage(canary, _words(counts), False, self.guard.evidence)
        until = self.standings.next_wake_for(model, lambda key: key not in excluded, len(excluded) + 32)
        wait = None if until is None else max(until - self._clock(), 0.0)
        busy = self._metering is not None and bool(counts[Status.VALID] + counts[Status.UNTESTED])
        if wait is None and busy:
            wait = 1.0  # all at their limit of requests at once
        return Shortage(wait, _words(counts), busy or Status.RATE_LIMITED in counts, busy=busy)

    async def wait(self, wish: Wish, seconds: float) -> Lease | None:
        """The lease that somebody wishes for, in turn with others. None: time is up, or too many wait."""
        return await self.waiters.wait(wish, seconds, self.release)

    # -- inside: leases ----------------------------------------------------------------------------------------

    def _limit(self, limits: KeyLimitsConfig) -> None:
        if counted(limits) != counted(self._limits):
            self.standings.forget_use()
        self._limits = limits
        self._metering = Metering(limits, self.standings, self._clock) if limits != KeyLimitsConfig() else None

    def _lend(self, key: Key, model: str, tokens: int = 0) -> Lease:
        lease = self._lease(key, model, tokens)
        if key.models is not None or not key.standing.usable:
            self._rotation.begin_trial(lease)
        if self._metering is not None:
            self._metering.take(lease)
        return lease

    def _lease(self, key: Key, model: str, tokens: int = 0) -> Lease:
        self.standings.seq += 1
        self.in_flight += 1
        key.in_flight += 1
        return Lease(key, model, self.standings.seq, tokens)

    def _close(self, lease: Lease) -> bool:
        """The verdict is in. True if it was a trial, after which the key has to be placed."""
        if not lease.open:
            raise RuntimeError("a lease ends once")
        lease.open = False
        return self._rotation.end_trial(lease)

    # -- inside: the guard -------------------------------------------------------------------------------------

    def _probe_may_be_canary(self) -> bool:
        guard = self.guard
        if not guard.tripped or guard.canary is not None or self._clock() < guard.canary_at:
            return False
        return not (guard.about_models and self._probing.kind == "models")

    def _guarded(self, lease: Lease, verdict: Verdict) -> bool:
        """Whether the guard keeps a verdict from the key. A limit or a quota says that we were let in."""
        if verdict.blames_key and verdict.status not in REJECTIONS:
            self._reprieves.relieve(lease.way)
            return False
        canary = lease is self.guard.canary
        if verdict.scope is Scope.CLIENT:
            self._reprieves.relieve(lease.way)
            return False
        self._close(lease)
        self.finish(lease, 0)
        self.standings.place(lease.key)
        if canary:
            now, rejected = self._clock(), None
            if verdict.blames_key:
                model = self._judge.scope_of(verdict, lease.model)
                before = lease.key.standing_for(model) or lease.key.standing
                after = self._judge.after(lease.key, model, before, verdict, now)
                rejected = Rejected(now, lease.key, model, before, after)
            self.guard.canary_failed(rejected, now)
            self.standings.arm()
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


def _words(counts: Counter[Status]) -> dict[str, int]:
    return {str(status): n for status, n in sorted(counts.items())}
