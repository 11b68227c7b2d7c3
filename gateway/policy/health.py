"""The life of a key: what a verdict, a success or the passing of time does to its standing.

    untested ──success──▶ valid ◀──success── (everything but disabled)
       │ 401                │ 401
       ▼                    ▼
    suspect ──second rejection──▶ invalid_key       suspect ──second 403──▶ no_access
    rate_limited, server_error, overloaded, timeout ──at `until`──▶ what it was before (valid or untested)
    suspect, no_quota, no_model, no_access, invalid_key ──at `until`──▶ one trial; its outcome decides

`Standing` is a value; `TRANSITIONS` is the machine; `advance()` and `rest_until()` apply them. Who keeps
standings, in which ring a key stands and whether a heuristic rest is overridden, is the pool's affair.

Invariants: every status but `disabled` has an `until`, so every automatic state is left again; a provider's
own time is never shortened; only a provider's own, later time prolongs a rest that is running.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from gateway.config.model import HealthConfig
from gateway.policy.verdict import Provenance, Scope, Status, Verdict

SHORTEST_REST = 1.0
"""Seconds. Providers say "0s" or "964ms" and mean "not now" (their clocks and ours differ)."""

ALL_MODELS = "__ALL_MODELS__"
"""The model name under which a status that holds for all models is kept."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the pool knows of a key (or of a key and one model).

    Times are unix seconds. `until`: not used before, None for a usable key. `due`: that time has come, and one trial
    decides. `proven`: it has succeeded since it was added or confirmed bad. `streak`: provider failures in a row.
    `failing_since`: the first failure after the last success.
    """

    status: Status = Status.UNTESTED
    until: float | None = None
    provenance: Provenance = Provenance.HEURISTIC
    reason: str = ""
    evidence: str = ""
    failing_since: float | None = None
    streak: int = 0
    proven: bool = False
    due: bool = False

    @property
    def usable(self) -> bool:
        return self.status is Status.VALID or self.status is Status.UNTESTED

    @property
    def eligible(self) -> bool:
        """Whether the key may be chosen: like any other, or for a trial."""
        return self.due or self.usable


UNTESTED = Standing()
VALID = Standing(Status.VALID, proven=True)
DISABLED = Standing(Status.DISABLED, provenance=Provenance.AUTHORITATIVE, reason="operator")


class Wake(Enum):
    """What happens to a key whose rest is over."""

    RETURN = "return"  # as it was before
    TRIAL = "trial"  # one try; the outcome decides


WAKE_OF: dict[Status, Wake] = {
    Status.RATE_LIMITED: Wake.RETURN,
    Status.SERVER_ERROR: Wake.RETURN,
    Status.OVERLOADED: Wake.RETURN,
    Status.TIMEOUT: Wake.RETURN,
    Status.SUSPECT: Wake.TRIAL,
    Status.NO_QUOTA: Wake.TRIAL,
    Status.NO_MODEL: Wake.TRIAL,
    Status.NO_ACCESS: Wake.TRIAL,
    Status.INVALID_KEY: Wake.TRIAL,
}

CONFIRMING: dict[tuple[Status, Status], Status] = {
    (Status.SUSPECT, Status.SUSPECT): Status.INVALID_KEY,
    (Status.INVALID_KEY, Status.SUSPECT): Status.INVALID_KEY,
    (Status.NO_ACCESS, Status.SUSPECT): Status.INVALID_KEY,
    (Status.SUSPECT, Status.NO_ACCESS): Status.NO_ACCESS,
    (Status.INVALID_KEY, Status.NO_ACCESS): Status.NO_ACCESS,
    (Status.NO_ACCESS, Status.NO_ACCESS): Status.NO_ACCESS,
}
"""(standing, verdict) pairs in which a rejection confirms an earlier one. Any other rejection makes a suspect."""

PROVIDER_FAULTS = frozenset({Status.SERVER_ERROR, Status.OVERLOADED, Status.TIMEOUT})
"""The provider is blamed; the key is benched only by two in a row while other keys succeed."""

CREDENTIAL_STATUSES = frozenset({Status.SUSPECT, Status.INVALID_KEY})
"""About the credential itself, which is the same for all models."""

LIMITS = frozenset({Status.RATE_LIMITED, Status.NO_QUOTA})
"""The statuses of which a provider may name the end."""


def is_fault(verdict: Verdict) -> bool:
    """Whether a verdict counts towards two in a row: the provider answered badly, or too late."""
    return verdict.scope is Scope.PROVIDER and verdict.status in PROVIDER_FAULTS


def default_rest(status: Status, health: HealthConfig) -> float:
    """Seconds a key rests after `status` when the provider names no time."""
    return {
        Status.RATE_LIMITED: health.rate_limit,
        Status.NO_QUOTA: health.no_quota,
        Status.NO_MODEL: health.no_model,
        Status.SUSPECT: health.verification_delay,
        Status.INVALID_KEY: health.invalid,
        Status.NO_ACCESS: health.invalid,
    }.get(status, health.server_error)


def next_status(current: Status, verdict: Status) -> Status:
    """The status that a verdict about the key leads to from `current`."""
    if verdict in (Status.SUSPECT, Status.NO_ACCESS):
        return CONFIRMING.get((current, verdict), Status.SUSPECT)
    return verdict


def rest_until(status: Status, verdict: Verdict, now: float, health: HealthConfig) -> float:
    """When the rest ends: the provider's word or the policy's, at least a second, at most `max_cooldown`."""
    wanted = verdict.until if verdict.until is not None else now + default_rest(status, health)
    return min(max(wanted, now + SHORTEST_REST), now + health.max_cooldown)


def advance(standing: Standing, verdict: Verdict, now: float, health: HealthConfig) -> Standing:
    """The standing after a verdict that benches the key.

    For a provider's fault the pool decides whether to bench at all; `count_failure` is the other outcome.
    """
    status = next_status(standing.status, verdict.status)
    confirmed_bad = status in (Status.INVALID_KEY, Status.NO_ACCESS)
    return Standing(
        status=status,
        until=rest_until(status, verdict, now, health),
        provenance=verdict.provenance,
        reason=verdict.reason,
        evidence=verdict.evidence,
        failing_since=standing.failing_since or now,
        streak=standing.streak + 1 if verdict.status in PROVIDER_FAULTS else 0,
        proven=standing.proven and not confirmed_bad,
    )


def outlasts(standing: Standing, verdict: Verdict) -> bool:
    """Whether a verdict that was given beside the standing's own prolongs its rest: a later time of the provider's."""
    return (
        standing.status in LIMITS
        and verdict.status in LIMITS
        and verdict.provenance is Provenance.AUTHORITATIVE
        and (verdict.until or 0.0) > (standing.until or 0.0)
    )


def count_failure(standing: Standing, verdict: Verdict, now: float) -> Standing:
    """The standing after a failure that does not bench: as it was, one more in the streak."""
    return replace(
        standing,
        reason=verdict.reason,
        evidence=verdict.evidence,
        failing_since=standing.failing_since or now,
        streak=standing.streak + 1,
    )


def due(standing: Standing) -> Standing:
    """The standing of a key whose rest is over and that a trial decides about."""
    return replace(standing, due=True)


def wake(standing: Standing) -> Standing:
    """The standing of a key whose rest is over and that returns as it was."""
    return Standing(
        status=Status.VALID if standing.proven else Status.UNTESTED,
        reason=standing.reason,
        evidence=standing.evidence,
        failing_since=standing.failing_since,
        streak=standing.streak,
        proven=standing.proven,
    )
