"""The pool under any sequence of events, against what its rules promise. Time is virtual, chance is seeded."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.keeper.statuses import status_row
from gateway.keeper.sync import restore_standing
from gateway.policy.health import ALL_MODELS, DISABLED, Standing
from gateway.policy.verdict import Provenance, Scope, Status, Verdict
from gateway.upstream.key import Change, Key, Lease
from tests.upstream.pools import Clock, a_key, a_pool

NAMES = ("a", "b", "c", "d")
MODELS = ("big", "small", "")
FOREVER = 2678400.0  # `health.max_cooldown`

KINDS = (
    (Scope.KEY, Status.RATE_LIMITED),
    (Scope.KEY_MODEL, Status.RATE_LIMITED),
    (Scope.ACCOUNT, Status.NO_QUOTA),
    (Scope.KEY, Status.SUSPECT),
    (Scope.KEY_MODEL, Status.NO_ACCESS),
    (Scope.CLIENT, Status.NO_MODEL),
    (Scope.CLIENT, Status.BAD_REQUEST),
    (Scope.PROVIDER, Status.SERVER_ERROR),
    (Scope.PROVIDER, Status.OVERLOADED),
    (Scope.PROVIDER, Status.TIMEOUT),
    (Scope.PROVIDER, Status.NETWORK_ERROR),
    (Scope.PROVIDER, Status.UNKNOWN),
)
FAULTS = {Status.SERVER_ERROR, Status.OVERLOADED, Status.TIMEOUT}
BLAMING = {Scope.KEY, Scope.KEY_MODEL, Scope.ACCOUNT}

AT_ONCE = 6

keys_named = st.sampled_from(NAMES)
models = st.sampled_from(MODELS)
hints = st.sampled_from([None, None, 0.0, 30.0, 7200.0, 1e9])
outcomes = st.sampled_from(["succeed", "release"]) | st.tuples(st.sampled_from(KINDS), hints)
Outcome = str | tuple[tuple[Scope, Status], float | None]


class Pool(RuleBasedStateMachine):
    """The pool, what the database would have of it, and which attempts are under way."""

    @initialize(shared=st.booleans(), seed=st.integers(0, 99), names=st.sets(keys_named, min_size=1))
    def begin(self, shared: bool, seed: int, names: set[str]) -> None:
        self.clock = Clock()
        self.pool, self.keys = a_pool(self.clock, *sorted(names), shared_status=shared, seed=seed)
        self.pool.standings.health = replace(self.pool.standings.health, guard_window=0.0)  # has tests of its own
        self.shared = shared
        self.open: list[Lease] = []
        self.stale: set[Lease] = set()  # began before a newer success or the operator's word
        self.trials: dict[Lease, tuple[str | None, Standing]] = {}
        self.saved: dict[tuple[bytes, str], Change] = {}

    # What happens.

    @rule(name=keys_named)
    def add(self, name: str) -> None:
        if name in self.keys:
            return
        key = self.keys[name] = a_key(name)
        for (digest, _), change in self.saved.items():
            if digest == key.digest:
                restore_standing(key, status_row("main", change))
        self.pool.standings.add([key])
        self.pool.standings.add([key])  # twice is once
        self.pool.standings.wake_due()

    @rule(name=keys_named)
    def remove(self, name: str) -> None:
        key = self.keys.pop(name, None)
        if key is not None:
            self.pool.standings.remove([key.digest])

    @precondition(lambda self: len(self.open) < AT_ONCE)
    @rule(model=models, excluded=st.sets(keys_named, max_size=2), retry=st.booleans())
    def begin_attempt(self, model: str, excluded: set[str], retry: bool) -> None:
        self.lease(model, excluded, retry)

    @precondition(lambda self: bool(self.open))
    @rule(which=st.integers(0, AT_ONCE), outcome=outcomes)
    def end_attempt(self, which: int, outcome: Outcome) -> None:
        self.end(self.open[which % len(self.open)], outcome)

    @rule(model=models, outcome=outcomes)
    def attempt(self, model: str, outcome: Outcome) -> None:
        lease = self.lease(model, set(), False)
        if lease is not None:
            self.end(lease, outcome)

    def lease(self, model: str, excluded: set[str], retry: bool) -> Lease | None:
        but = {key for name, key in self.keys.items() if name in excluded}
        expected = [key for key in self.choosable(model) if key not in but]
        lease = self.pool.lease(model, but, retry=retry)
        assert (lease is not None) == bool(expected)
        if lease is None:
            return None
        assert lease.key in expected
        proven = [key for key in expected if key.standing.status is Status.VALID]
        if retry and proven and model not in self.pool._rotation.views:
            assert lease.key in proven
        own = (lease.key.models or {}).get(model)
        if not lease.key.standing.usable:
            self.trials[lease] = (None, lease.key.standing)
        elif own is not None:
            self.trials[lease] = (model, own)
        self.open.append(lease)
        return lease

    def end(self, lease: Lease, outcome: Outcome) -> None:
        if outcome == "succeed":
            self.succeed(lease)
        elif outcome == "release":
            self.release(lease)
        else:
            assert isinstance(outcome, tuple)
            self.report(lease, *outcome)

    def succeed(self, lease: Lease) -> None:
        before = lease.key.standing
        self.pool.succeed(lease)
        self.ended(lease)
        if lease in self.stale or lease.key.removed:
            assert lease.key.standing.status is before.status
        elif lease.key.standing.status is Status.VALID and lease.model not in (lease.key.models or {}):
            self.make_stale(lease.key, lease.seq)

    def release(self, lease: Lease) -> None:
        before = lease.key.standing, dict(lease.key.models or {})
        self.pool.release(lease)
        self.ended(lease)
        assert (lease.key.standing, dict(lease.key.models or {})) == before

    def report(self, lease: Lease, kind: tuple[Scope, Status], seconds: float | None) -> None:
        scope, status = kind
        hinted = seconds is not None and status in (Status.RATE_LIMITED, Status.NO_QUOTA)
        verdict = Verdict(
            scope,
            status,
            "told",
            self.clock.now + seconds if hinted and seconds is not None else None,
            Provenance.AUTHORITATIVE if hinted else Provenance.HEURISTIC,
        )
        key = lease.key
        before, models_before = key.standing, dict(key.models or {})
        own = models_before.get(lease.model, before)
        in_order = before.usable and own.usable
        on_trial = lease in self.trials
        alive = bool(self.choosable(lease.model)) or on_trial
        judged = self.pool.report(lease, verdict)
        self.ended(lease)
        now_usable = key.standing.usable and (key.models or {}).get(lease.model, key.standing).usable
        if lease in self.stale or key.removed or before is DISABLED:
            assert (key.standing, dict(key.models or {})) == (before, models_before)
            return
        others = {model: standing for model, standing in (key.models or {}).items() if model != lease.model}
        assert others == {model: standing for model, standing in models_before.items() if model != lease.model}
        if judged.scope not in BLAMING and status not in FAULTS:
            assert (key.standing, dict(key.models or {})) == (before, models_before)
        elif status in FAULTS or (status is Status.RATE_LIMITED and not hinted):
            assert self.choosable(lease.model) or not alive, "a guess took the last key"
        elif in_order and (lease.model or judged.scope is not Scope.KEY_MODEL):
            assert not now_usable
        if key.standing.status is Status.INVALID_KEY and before.status is not Status.INVALID_KEY:
            assert on_trial, "only a trial confirms"
        if judged.scope is Scope.KEY_MODEL or (not self.shared and status is not Status.SUSPECT):
            assert key.standing.status is before.status, "a verdict about a model is no verdict on the key"

    @rule(seconds=st.sampled_from([0.5, 1.0, 30.0, 65.0, 1800.0, 21600.0, 864000.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.pool.standings.wake_due()

    @rule(name=keys_named, word=st.sampled_from(["disable", "enable", "clear"]))
    def operator(self, name: str, word: str) -> None:
        key = self.keys.get(name)
        if key is None:
            return
        was_disabled = key.standing.status is Status.DISABLED
        getattr(self.pool.standings, word)(key)
        if word == "enable" and not was_disabled:
            return
        assert key.standing.status is (Status.DISABLED if word == "disable" else Status.UNTESTED)
        assert key.models is None
        self.make_stale(key, self.pool.standings.seq)

    @rule(limit=st.sampled_from([1, 5000]))
    def write_behind(self, limit: int) -> None:
        while changes := self.pool.standings.take_changes(limit):
            assert len(changes) <= limit
            for change in changes:
                self.saved[(change.digest, change.model)] = change
        for key in self.keys.values():
            saved = self.saved.get((key.digest, ALL_MODELS))
            assert (saved.standing.status if saved else Status.UNTESTED) is key.standing.status
            assert saved is None or saved.standing.until == key.standing.until
            for model in MODELS:
                saved, own = self.saved.get((key.digest, model)), (key.models or {}).get(model)
                assert (saved.standing.until if saved and not saved.standing.usable else None) == (own and own.until)

    # What always holds.

    @invariant()
    def counts_are_the_statuses(self) -> None:
        assert +self.pool.standings.counts == Counter(key.standing.status for key in self.keys.values())
        assert set(self.pool.standings.keys.values()) == set(self.keys.values())
        for model, view in self.pool._rotation.views.items():
            own = Counter(key.models[model].status for key in self.keys.values() if key.models and model in key.models)
            assert +view.counts == own

    @invariant()
    def a_model_has_the_keys_that_serve_it(self) -> None:
        rotation = self.pool._rotation
        for model, view in rotation.views.items():
            own = {key: key.models[model] for key in self.keys.values() if key.models and model in key.models}
            away = {key for key, standing in own.items() if not standing.eligible or key in view.trials}
            assert set(view.ring) == set(rotation.ready) - away
            assert set(view.proven) == set(rotation.proven) - away
            assert set(view.due) == {key for key in set(view.ring) & set(own) if own[key].due}

    @invariant()
    def who_rests_has_a_time_and_comes_back(self) -> None:
        for key in self.keys.values():
            for standing in (key.standing, *(key.models or {}).values()):
                assert (standing.until is None) == (standing.usable or standing.status is Status.DISABLED)
                assert standing.until is None or standing.until <= self.clock.now + FOREVER
                if standing.until is not None and standing.until > self.clock.now:
                    assert not standing.due
        untils = [
            standing.until
            for key in self.keys.values()
            for standing in (key.standing, *(key.models or {}).values())
            if standing.until is not None and not standing.due
        ]
        assert self.pool.standings.next_wake() == min(untils, default=None)

    @invariant()
    def a_trial_is_lent_once(self) -> None:
        trials = [(lease.key, scope, id(standing)) for lease, (scope, standing) in self.trials.items()]
        assert len(trials) == len(set(trials))

    @invariant()
    def a_key_in_flight_is_counted(self) -> None:
        for key in self.keys.values():
            assert key.in_flight == sum(lease.key is key for lease in self.open)

    def teardown(self) -> None:
        """After enough time, with nothing under way, every key that is not disabled is lent again, for every model."""
        if not hasattr(self, "pool"):
            return
        for lease in self.open[:]:
            self.release(lease)
        self.clock.advance(FOREVER)
        while self.pool.standings.wake_due():
            pass
        enabled = {key for key in self.keys.values() if key.standing.status is not Status.DISABLED}
        assert self.pool.usable == len(enabled)
        for model in MODELS:
            leases = [lent for _ in enabled if (lent := self.pool.lease(model)) is not None]
            assert {lease.key for lease in leases} == enabled
            for lease in leases:
                self.pool.release(lease)
            assert bool(leases) or self.pool.lease(model) is None

    # The test's own book-keeping.

    def choosable(self, model: str) -> list[Key]:
        """By the rules, from the standings alone."""
        on_trial = {(lease.key, scope, id(standing)) for lease, (scope, standing) in self.trials.items()}
        found = []
        for key in self.keys.values():
            own = (key.models or {}).get(model)
            for scope, standing in ((None, key.standing), (model, own)):
                if standing is not None and not standing.usable:
                    rests = standing.until is None or standing.until > self.clock.now
                    if rests or (key, scope, id(standing)) in on_trial:
                        break
            else:
                found.append(key)
        return found

    def ended(self, lease: Lease) -> None:
        self.open.remove(lease)
        self.trials.pop(lease, None)

    def make_stale(self, key: Key, seq: int) -> None:
        self.stale |= {lease for lease in self.open if lease.key is key and lease.seq <= seq}


Pool.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestPool = Pool.TestCase
