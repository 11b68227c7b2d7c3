"""What the guard decides, carried out: verdicts are taken back from keys and given back to them, proxies accused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.policy.proxyhealth import egress_blocked
from gateway.policy.verdict import Verdict
from gateway.upstream.guard import Cause, Guard, Rejected
from gateway.upstream.key import Lease
from gateway.upstream.proxypool import Way
from gateway.upstream.standings import Standings
from gateway.upstream.waiters import Waiters


class Reprieves:
    """One provider's. `clock` gives unix seconds."""

    def __init__(self, guard: Guard, standings: Standings, waiters: Waiters, clock: Callable[[], float]) -> None:
        self._guard = guard
        self._standings = standings
        self._waiters = waiters
        self._clock = clock

    def note(self, rejected: Rejected, verdict: Verdict, active: int) -> Verdict:
        """A key that had proven good was rejected, so many others are in use. The verdict as it is, or on the proxy
        that it came through where that is to blame."""
        guard, way = self._guard, rejected.way
        cause = guard.note(rejected, active, self._standings.health)
        taken_back: Sequence[Rejected] = ()
        if cause is Cause.COMMON:
            taken_back = guard.trip(rejected.at)
        elif cause is Cause.PROXY:
            assert way is not None
            taken_back, verdict = guard.accuse(way), egress_blocked(verdict)
            way.proxies.accuse(way.proxy, verdict)
        for _, key, model, before, after, _ in taken_back:
            if not key.removed and key.standing_for(model) is after:
                self._standings.set(key, model, before if model is None or not before.usable else None)
        return verdict

    def relieve(self, way: Way | None) -> None:
        """A success that came this way: whatever was rejected, the provider takes our requests."""
        self._guard.forget(way, self._clock())
        if self._guard.tripped:
            self._give_back(self._guard.reset())
            self._waiters.wake()

    def decide(self, lease: Lease, verdict: Verdict | None) -> None:
        """What an attempt through a proxy that was accused says of it; None: it succeeded."""
        if lease.way in self._guard.accused:
            self._give_back(self._guard.decide(lease.way, lease.key, verdict))

    def _give_back(self, guilty: Sequence[Rejected]) -> None:
        """The verdicts that were taken back were right."""
        for _, key, model, before, after, _ in guilty:
            if not key.removed and key.standing_for(model) in (before, None) and key.standing.usable:
                key.benched_seq = self._standings.seq
                self._standings.set(key, model, after)
