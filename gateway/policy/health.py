"""The life of a key: what a verdict, a success or the passing of time does to its standing.

    untested ──success──▶ valid ◀──success── (everything but disabled)
       │ 401                │ 401
       ▼                    ▼
    suspect ──rejected as often as it takes──▶ invalid_key, or no_access when the last word was a 403
    rate_limited, server_error, overloaded, timeout ──at `until`──▶ what it was before (valid or untested)
    suspect, no_quota, no_model, no_access, invalid_key ──at `until`──▶ one trial; its outcome decides

`Standing` is a value; `TRANSITIONS` is the machine; `advance()` and `rest_until()` apply them. Who keeps
standings, in which ring a key stands and whether a heuristic rest is overridden, is the pool's affair.

Invariants: every status but `disabled` has an `until`, so every automatic state is left again, until a key has failed
for so long (`health.stop_after`) that nobody looks any more; a provider's own time is never shortened; only a
provider's own, later time prolongs a rest that is running.
"""

from __future__ import annotations

from dataclasses import field, replace
from enum import Enum, StrEnum

from gateway.config.provider import HealthConfig
from gateway.policy.verdict import Provenance, Scope, Status, Verdict
from gateway.quick import dataclass

SHORTEST_REST = 1.0
"""Seconds. Providers say "0s" or "964ms" and mean "not now" (their clocks and ours differ)."""

ALL_MODELS = "__ALL_MODELS__"
"""The model name under which a status that holds for all models is kept."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the pool knows of a key (or of a key and one model).

    Times are unix seconds. `until`: not used before, None for a usable key. `due`: that time has come, and one trial
    decides. `proven`: it has succeeded since it was added or confirmed bad. `streak`: failures in a row, of the
    provider's kind or rejections. `failing_since`: the first failure after the last success, `failed_at` the last one.
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
    failed_at: float = field(default=0.0, compare=False)

    @property
    def usable(self) -> bool:
        return self.status is Status.VALID or self.status is Status.UNTESTED

    @property
    def eligible(self) -> bool:
        """Whether the key may be chosen: like any other, or for a trial."""
        return self.due or self.usable

    @property
    def stopped(self) -> bool:
        """Whether it has failed for so long that only the operator's word brings it back."""
        return self.until is None and not self.usable and self.status is not Status.DISABLED


UNTESTED = Standing()
VALID = Standing(Status.VALID, proven=True)
DISABLED = Standing(Status.DISABLED, provenance=Provenance.AUTHORITATIVE, reason="operator")


class Event(StrEnum):
    """What can happen to a key, as far as its status goes."""

    SUCCESS = "success"  # it answered
    LISTED = "listed"  # it may list models, which says nothing about quota or access
    REJECTED = "rejected"  # 401
    REJECTED_FOR_GOOD = "rejected_for_good"  # as often as it takes to believe it
    FORBIDDEN = "forbidden"  # 403
    FORBIDDEN_FOR_GOOD = "forbidden_for_good"
    LIMITED = "limited"
    OUT_OF_QUOTA = "out_of_quota"
    MODEL_MISSING = "model_missing"
    SERVER_FAULT = "server_fault"
    OVERLOAD = "overload"
    LATE = "late"
    DISABLED = "disabled"  # the operator's words
    ENABLED = "enabled"
    CLEARED = "cleared"


S = Status
_AUTOMATIC = (
    S.UNTESTED, S.VALID, S.SUSPECT, S.RATE_LIMITED, S.NO_QUOTA, S.OVERLOADED, S.SERVER_ERROR, S.TIMEOUT,
    S.NO_MODEL, S.NO_ACCESS, S.INVALID_KEY,
)  # fmt: skip
_ALWAYS: tuple[tuple[Event, Status], ...] = (
    (Event.SUCCESS, S.VALID),
    (Event.REJECTED, S.SUSPECT),
    (Event.REJECTED_FOR_GOOD, S.INVALID_KEY),
    (Event.FORBIDDEN, S.SUSPECT),
    (Event.FORBIDDEN_FOR_GOOD, S.NO_ACCESS),
    (Event.LIMITED, S.RATE_LIMITED),
    (Event.OUT_OF_QUOTA, S.NO_QUOTA),
    (Event.MODEL_MISSING, S.NO_MODEL),
    (Event.SERVER_FAULT, S.SERVER_ERROR),
    (Event.OVERLOAD, S.OVERLOADED),
    (Event.LATE, S.TIMEOUT),
    (Event.DISABLED, S.DISABLED),
    (Event.CLEARED, S.UNTESTED),
)

TRANSITIONS: dict[tuple[Status, Event], Status] = {
    **{(status, event): after for status in _AUTOMATIC for event, after in _ALWAYS},
    # One word confirms what was confirmed before.
    (S.INVALID_KEY, Event.REJECTED): S.INVALID_KEY,
    (S.NO_ACCESS, Event.REJECTED): S.INVALID_KEY,
    (S.INVALID_KEY, Event.FORBIDDEN): S.NO_ACCESS,
    (S.NO_ACCESS, Event.FORBIDDEN): S.NO_ACCESS,
    # A list of models proves the credential, not the quota, the model or the access.
    (S.UNTESTED, Event.LISTED): S.VALID,
    (S.SUSPECT, Event.LISTED): S.VALID,
    (S.INVALID_KEY, Event.LISTED): S.VALID,
    # Only the operator's word ends the operator's word.
    (S.DISABLED, Event.ENABLED): S.UNTESTED,
    (S.DISABLED, Event.CLEARED): S.UNTESTED,
}
"""The machine. What is not in it changes nothing."""

_EVENT_OF: dict[Status, Event] = {
    S.SUSPECT: Event.REJECTED,
    S.INVALID_KEY: Event.REJECTED_FOR_GOOD,
    S.NO_ACCESS: Event.FORBIDDEN,
    S.RATE_LIMITED: Event.LIMITED,
    S.NO_QUOTA: Event.OUT_OF_QUOTA,
    S.NO_MODEL: Event.MODEL_MISSING,
    S.SERVER_ERROR: Event.SERVER_FAULT,
    S.OVERLOADED: Event.OVERLOAD,
    S.TIMEOUT: Event.LATE,
}
_FOR_GOOD = {Event.REJECTED: Event.REJECTED_FOR_GOOD, Event.FORBIDDEN: Event.FORBIDDEN_FOR_GOOD}


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

LIFTED_BY_PROBE: dict[str, frozenset[Status]] = {
    "none": frozenset(),
    "models": frozenset(status for status, event in TRANSITIONS if event is Event.LISTED),
    "request": frozenset({S.UNTESTED, *(status for status, kind in WAKE_OF.items() if kind is Wake.TRIAL)}),
}
"""By the kind of a provider's probes: the statuses that a probe decides about, so that no live request has to."""

LIFTED_FOR_MODEL: dict[str, frozenset[Status]] = {**LIFTED_BY_PROBE, "models": frozenset()}
"""The same for a key's status for one model, which no list of models tells anything about."""

PROVIDER_FAULTS = frozenset({Status.SERVER_ERROR, Status.OVERLOADED, Status.TIMEOUT})
"""The provider is blamed; the key is benched only by two in a row while other keys succeed."""

CREDENTIAL_STATUSES = frozenset({Status.SUSPECT, Status.INVALID_KEY})
"""About the credential itself, which is the same for all models."""

LONGEST_DOUBT = 3600.0
"""Seconds between two looks at a key that is rejected over and over while nothing shows that others are not."""

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


def event_of(standing: Standing, verdict: Status, confirmations: int, *, witnessed: bool = True) -> Event:
    """The event that a verdict about the key is. `confirmations`: rejections after the first that make it certain,
    provided it is `witnessed` that the cause is not common to all."""
    event = _EVENT_OF[verdict]
    if event in _FOR_GOOD and standing.status is Status.SUSPECT and standing.streak >= confirmations and witnessed:
        return _FOR_GOOD[event]
    return event


def rest_until(
    status: Status, verdict: Verdict, failing_since: float, now: float, health: HealthConfig, streak: int = 0
) -> float | None:
    """When the rest ends: the provider's word or the policy's, at least a second, at most `max_cooldown`.

    A suspect whose `streak` is longer than it takes, for want of a witness, is looked at less and less often.

    Where the provider named no time, a key that only a trial brings back is looked at less often the longer it has
    failed: from `quarantine_after` on every `quarantine_interval`, from `stop_after` on never again (None).
    """
    wanted = verdict.until
    if wanted is None:
        rest = default_rest(status, health)
        if status is Status.SUSPECT and streak > health.verification_attempts:
            rest = min(rest * 2.0 ** min(streak - health.verification_attempts, 20), max(rest, LONGEST_DOUBT))
        if WAKE_OF[status] is Wake.TRIAL:
            failing = now - failing_since
            if failing >= health.stop_after:
                return None
            if failing >= health.quarantine_after:
                rest = max(rest, health.quarantine_interval)
        wanted = now + rest
    return min(max(wanted, now + SHORTEST_REST), now + health.max_cooldown)


def advance(
    standing: Standing,
    verdict: Verdict,
    now: float,
    health: HealthConfig,
    confirmations: int = 1,
    *,
    witnessed: bool = True,
) -> Standing:
    """The standing after a verdict that benches the key. `confirmations` and `witnessed` as in `event_of`.

    For a provider's fault the pool decides whether to bench at all; `count_failure` is the other outcome.
    """
    event = event_of(standing, verdict.status, confirmations, witnessed=witnessed)
    status = TRANSITIONS[standing.status, event]
    failing_since = standing.failing_since or now
    confirmed_bad = status in (Status.INVALID_KEY, Status.NO_ACCESS)
    again = verdict.status in PROVIDER_FAULTS or (status is Status.SUSPECT and standing.status is Status.SUSPECT)
    streak = standing.streak + 1 if again else int(status is Status.SUSPECT)
    return Standing(
        status=status,
        until=rest_until(status, verdict, failing_since, now, health, streak),
        provenance=verdict.provenance,
        reason=verdict.reason,
        evidence=verdict.evidence,
        failing_since=failing_since,
        streak=streak,
        proven=standing.proven and not confirmed_bad,
        failed_at=now,
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
        failed_at=now,
    )


def postpone(standing: Standing, verdict: Verdict, now: float, health: HealthConfig) -> Standing:
    """The standing of a key whose trial met the provider's faults: it is what it was, and tried later."""
    rest = min(default_rest(standing.status, health), health.server_error)
    return replace(count_failure(standing, verdict, now), until=now + rest, due=False, streak=0)


def shifted(standing: Standing, seconds: float) -> Standing:
    """The standing after the clock was set back by so many seconds: what was left of the rest is left."""
    return standing if standing.until is None else replace(standing, until=standing.until - seconds)


def faults_in_row(standing: Standing, now: float, health: HealthConfig) -> int:
    """Faults in a row before this one: those of which the last is not longer ago than `fault_window`."""
    return standing.streak if now - standing.failed_at <= health.fault_window else 0


def forgive_downtime(standing: Standing, now: float, health: HealthConfig) -> Standing:
    """The standing of a key that nobody could look at when its time had come, because the gateway was off.

    From `amnesty_after` on that time does not count as failing. Deadlines stay as they are.
    """
    if standing.failing_since is None or standing.until is None or now - standing.until <= health.amnesty_after:
        return standing
    return replace(standing, failing_since=min(standing.failing_since + (now - standing.until), now))


def amnesty(standing: Standing, now: float) -> Standing:
    """The standing of a key that the operator gives another chance: due now, and failing only from now on."""
    return replace(standing, until=now, due=False, failing_since=now)


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
        failed_at=standing.failed_at,
    )
