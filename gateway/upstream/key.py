"""What a pool hands around: keys, leases, and what it says about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.policy.health import UNTESTED, Standing
from gateway.policy.key_limits import KeyMeter
from gateway.quick import dataclass
from gateway.secret import Secret
from gateway.upstream.proxypool import Way

BUILT_IN_KEY = Secret("built-in-key")
"""What a provider that needs no keys is called with, so that every request leases one all the same. It is no secret."""

NO_LABELS: Mapping[str, str] = {}


class Key:
    """A provider key and what is known of it. Compared by identity."""

    __slots__ = (
        "benched_seq",
        "checked_at",
        "digest",
        "doubt_mark",
        "fault_mark",
        "good_seq",
        "in_flight",
        "labels",
        "live_only",
        "meter",
        "models",
        "paused_until",
        "removed",
        "secret",
        "standing",
        "trial",
    )

    def __init__(self, secret: Secret, digest: bytes, labels: Mapping[str, str] = NO_LABELS) -> None:
        self.secret = secret
        self.digest = digest
        self.labels = labels
        self.standing: Standing = UNTESTED
        self.models: dict[str, Standing] | None = None  # standings that differ for one model
        self.checked_at = 0.0  # unix time of the last answer that proved the key good
        self.good_seq = 0  # newest lease that succeeded, or the operator's last word
        self.benched_seq = 0  # newest lease there was when the key was last benched, or the operator's last word
        self.fault_mark = 0  # the pool's count of successes when the current streak began
        self.doubt_mark = 0  # ... and when it was rejected first
        self.live_only = False  # it may not list models, so that no such probe tells anything about it
        self.in_flight = 0  # requests, until the last byte of the answer
        self.meter: KeyMeter | None = None  # what it has used, where the provider's keys are limited
        self.paused_until: float | None = None  # no room in our own limits before
        self.trial: Lease | None = None  # the one attempt that tries a key whose rest is over
        self.removed = False

    @property
    def weight(self) -> float:
        """The label `weight=`, which file reading has checked; 1 without."""
        return float(self.labels.get("weight", 1.0))

    @property
    def account(self) -> str:
        """The label `account=`: keys that share a quota."""
        return self.labels.get("account", "")

    @property
    def fingerprint(self) -> str:
        return "built-in" if self.secret is BUILT_IN_KEY else self.secret.fingerprint

    def standing_for(self, model: str | None) -> Standing | None:
        """The standing that it has for a model alone, if any; None: for all."""
        return self.standing if model is None else (self.models or {}).get(model)

    def __repr__(self) -> str:
        return f"<Key {self.fingerprint} {self.standing.status}>"


class Rest(NamedTuple):
    """What rests: a key, a key for one model, or a key that has used what our own limits allow (`PAUSED`)."""

    key: Key
    model: str | None

    @property
    def model_name(self) -> str:
        """Of the model that the rest is about, empty where it is about all."""
        return self.model if self.model is not None and self.model is not PAUSED else ""

    @property
    def standing(self) -> Standing | None:
        return self.key.standing_for(self.model)


PAUSED = "\0paused"
"""In the place of a model, which has no NUL in its name."""


def rest_ends(rest: Rest) -> float | None:
    if rest.key.removed:
        return None
    if rest.model is PAUSED:
        return rest.key.paused_until
    standing = rest.standing
    return standing.until if standing is not None else None


class Lease:
    """A key on loan to one attempt. Its verdict is given with `report`, `succeed` or `release`, exactly once; the key
    counts as in flight until then, or until `finish` where the answer's body is still to come."""

    __slots__ = ("busy", "key", "meter", "model", "open", "seq", "taken_at", "tokens", "way")

    def __init__(self, key: Key, model: str, seq: int, tokens: int = 0) -> None:
        self.key = key
        self.model = model
        self.seq = seq
        self.open = True  # its verdict is still to come
        self.busy = True  # it counts as in flight
        self.tokens = tokens  # estimated, and counted in the meter
        self.taken_at = 0.0
        self.meter: KeyMeter | None = None  # of the key when the attempt began; it may have another one since
        self.way: Way | None = None  # that its attempt took, told before its verdict


class Change(NamedTuple):
    """A standing that the database should know."""

    digest: bytes
    fingerprint: str
    model: str
    standing: Standing
    checked_at: float


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why no key can be had: seconds to the earliest known recovery (None: none is known), keys by status."""

    retry_after: float | None
    counts: Mapping[str, int]
    cooling: bool  # at least one key is merely rate limited
    cause: str = ""  # why no key is tried at all: the guard's word, see `guard.py`
    busy: bool = False  # all that are good are at our own limits
