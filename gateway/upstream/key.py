"""What a pool hands around: keys, leases, and what it says about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gateway.policy.health import UNTESTED, Standing
from gateway.secret import Secret

NO_LABELS: Mapping[str, str] = {}


class Key:
    """A provider key and what is known of it. Compared by identity."""

    __slots__ = (
        "benched_seq",
        "checked_at",
        "digest",
        "fault_mark",
        "good_seq",
        "in_flight",
        "labels",
        "models",
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
        self.in_flight = 0
        self.trial: Lease | None = None  # the one attempt that tries a key whose rest is over
        self.removed = False

    @property
    def fingerprint(self) -> str:
        return self.secret.fingerprint

    def __repr__(self) -> str:
        return f"<Key {self.fingerprint} {self.standing.status}>"


class Rest(NamedTuple):
    """What rests: a key, or a key for one model."""

    key: Key
    model: str | None

    @property
    def standing(self) -> Standing | None:
        if self.model is None:
            return self.key.standing
        return self.key.models.get(self.model) if self.key.models else None


def rest_ends(rest: Rest) -> float | None:
    standing = rest.standing
    return standing.until if standing is not None and not rest.key.removed else None


class Lease:
    """A key on loan to one attempt. Ends with `report`, `succeed` or `release`, exactly once."""

    __slots__ = ("key", "model", "open", "seq")

    def __init__(self, key: Key, model: str, seq: int) -> None:
        self.key = key
        self.model = model
        self.seq = seq
        self.open = True


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
