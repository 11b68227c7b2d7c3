"""What a verdict means for the key it came with, given what the provider's other keys have met.

A verdict says what an answer means by itself (`policy/verdict.py`), `policy/health.py` what becomes of a key. Here is
decided whether it is believed: whether it is about the key at all, whether it is news, whether it takes the key out.
Nothing is changed but what is remembered of a key's first fault and first rejection; that is `keypool.py`'s.

Rules of the file:

- An attempt that began before a key was benched neither lifts that nor confirms it; a provider's own, later time
  prolongs it.
- A heuristic rest never takes the last usable key. A provider's own time and confirmed verdicts always stand.
- A verdict about a model, in a call of which nobody knows the model, benches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.policy.health import CREDENTIAL_STATUSES, Standing, advance, faults_in_row, is_fault, outlasts, postpone
from gateway.policy.verdict import Provenance, Scope, Status, Verdict
from gateway.upstream.key import Key, Lease, Rest
from gateway.upstream.served import Served
from gateway.upstream.standings import Standings


class Judge:
    """One provider's. `shared_status`: what a verdict says of a key holds for all models, unless it names its own."""

    __slots__ = ("_rotation", "_standings", "listings", "served", "shared_status", "successes")

    def __init__(self, standings: Standings, *, shared_status: bool) -> None:
        self.shared_status = shared_status
        self.served = Served()
        self.successes = 0  # of requests
        self.listings = 0  # of models, by probes
        self._standings = standings
        self._rotation = standings.rotation

    def understand(self, lease: Lease, verdict: Verdict) -> Verdict:
        """A model that another key, still in order, has answered for is missing for this key, not for the client."""
        if verdict.scope is not Scope.CLIENT or verdict.status is not Status.NO_MODEL:
            return verdict
        ring = self._rotation.ring(lease.model)
        if not self.served.by_another(lease.model, lease.key, ring):
            return verdict
        return replace(verdict, scope=Scope.KEY_MODEL)

    def scope_of(self, verdict: Verdict, model: str) -> str | None:
        """The model a verdict is limited to, or None for the whole key."""
        if verdict.scope is Scope.KEY_MODEL:
            return model
        if self.shared_status or verdict.status in CREDENTIAL_STATUSES:
            return None
        return model

    def counts(self, lease: Lease, verdict: Verdict, standing: Standing) -> bool:
        """Whether a verdict says anything new about the key."""
        key = lease.key
        if verdict.scope is Scope.KEY_MODEL and not lease.model:
            return False
        if self.scope_of(verdict, lease.model) is not None and not self._may_have_view(lease.model):
            return False
        if not verdict.blames_key and not is_fault(verdict):
            return False
        if key.removed or lease.seq < key.good_seq or key.standing.status is Status.DISABLED:
            return False
        return standing.usable or lease.seq > key.benched_seq or outlasts(standing, verdict)

    def is_stale(self, lease: Lease) -> bool:
        """Whether a success that began before the newest bench says nothing: that was about this model, or all."""
        key = lease.key
        return lease.seq <= key.good_seq or not key.standing.usable or lease.model in (key.models or ())

    def benches(self, lease: Lease, standing: Standing, verdict: Verdict, now: float) -> bool:
        """Whether the verdict takes the key out. See the rules at the top."""
        if is_fault(verdict):
            enough = faults_in_row(standing, now, self._standings.health) + 1 >= self._standings.health.fault_threshold
            if not enough or self.successes == lease.key.fault_mark:
                return False  # too few yet, or nobody has answered since the first: the provider is down
        guess = is_fault(verdict) or (
            verdict.status is Status.RATE_LIMITED and verdict.provenance is Provenance.HEURISTIC
        )
        return not (guess and self._rotation.would_empty(lease.key, lease.model))

    def after(self, key: Key, model: str | None, standing: Standing, verdict: Verdict, now: float) -> Standing:
        """The standing of a key that is taken out. It is believed to be bad only if others got through since it was
        rejected first, as long as anybody ever did: until then the cause may be common to all."""
        if is_fault(verdict) and not standing.usable:
            return postpone(standing, verdict, now, self._standings.health)
        others = self._others(model)
        if standing.usable:
            key.doubt_mark = others
        confirmations = self._standings.probing.confirmations(key, model)
        some_are_good = standing.proven or others > 0 or self._standings.counts[Status.VALID] > 0
        witnessed = others > key.doubt_mark or not some_are_good
        return advance(standing, verdict, now, self._standings.health, confirmations, witnessed=witnessed)

    def lacks_witness(self, rests: Iterable[Rest]) -> bool:
        """Whether one of these is a suspect, and nobody got through since it was rejected."""
        return any(
            (standing := rest.standing) is not None
            and standing.status is Status.SUSPECT
            and self._others(rest.model) <= rest.key.doubt_mark
            for rest in rests
        )

    def begins_row(self, key: Key, standing: Standing, now: float) -> Standing:
        """The standing that a fault is counted on, which benches nobody yet: the first of a row forgets older ones."""
        if faults_in_row(standing, now, self._standings.health) > 0:
            return standing
        key.fault_mark = self.successes
        return replace(standing, streak=0)

    def _others(self, model: str | None) -> int:
        """How often anybody got through: a list of models shows that the credential was taken, and nothing else."""
        return self.successes + (self.listings if model is None else 0)

    def _may_have_view(self, model: str) -> bool:
        """Whether a model may have standings of its own."""
        return model in self._rotation.views or self.served.may_have_view(model, len(self._standings.keys))
