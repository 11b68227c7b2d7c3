"""The life of a key as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.model import HealthConfig
from gateway.policy.health import (
    UNTESTED,
    VALID,
    WAKE_OF,
    Standing,
    advance,
    count_failure,
    default_rest,
    next_status,
    wake,
)
from gateway.policy.verdict import Provenance, Scope, Status, Verdict

NOW = 1_800_000_000.0
HEALTH = HealthConfig()

BENCHING = [
    Status.SUSPECT, Status.RATE_LIMITED, Status.NO_QUOTA, Status.OVERLOADED, Status.SERVER_ERROR, Status.TIMEOUT,
    Status.NO_MODEL, Status.NO_ACCESS,
]  # fmt: skip


@pytest.mark.parametrize(
    ("current", "verdict", "status"),
    [
        (Status.UNTESTED, Status.SUSPECT, Status.SUSPECT),
        (Status.VALID, Status.SUSPECT, Status.SUSPECT),
        (Status.NO_QUOTA, Status.SUSPECT, Status.SUSPECT),
        (Status.SUSPECT, Status.SUSPECT, Status.INVALID_KEY),
        (Status.INVALID_KEY, Status.SUSPECT, Status.INVALID_KEY),
        (Status.VALID, Status.NO_ACCESS, Status.SUSPECT),
        (Status.SUSPECT, Status.NO_ACCESS, Status.NO_ACCESS),
        (Status.NO_ACCESS, Status.NO_ACCESS, Status.NO_ACCESS),
        (Status.SUSPECT, Status.RATE_LIMITED, Status.RATE_LIMITED),
        (Status.INVALID_KEY, Status.NO_QUOTA, Status.NO_QUOTA),
    ],
)
def test_a_rejection_is_believed_only_when_it_is_confirmed(current: Status, verdict: Status, status: Status) -> None:
    assert next_status(current, verdict) is status


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        (Status.RATE_LIMITED, 60), (Status.NO_QUOTA, 21600), (Status.SUSPECT, 65), (Status.INVALID_KEY, 864000),
        (Status.NO_ACCESS, 864000), (Status.SERVER_ERROR, 1800), (Status.OVERLOADED, 1800), (Status.TIMEOUT, 1800),
        (Status.NO_MODEL, 3600),
    ],
)  # fmt: skip
def test_rests_have_their_defaults(status: Status, seconds: float) -> None:
    assert default_rest(status, HEALTH) == seconds


@given(
    st.sampled_from(list(Status)),
    st.sampled_from(BENCHING),
    st.one_of(st.none(), st.floats(-1e9, 1e10)),
    st.booleans(),
)
def test_every_bench_ends_within_bounds_and_the_first_failure_is_remembered(
    current: Status, verdict: Status, seconds: float | None, proven: bool
) -> None:
    standing = Standing(current, failing_since=NOW - 5, proven=proven)
    until = None if seconds is None else NOW + seconds
    after = advance(standing, Verdict(Scope.KEY, verdict, "reason", until, Provenance.AUTHORITATIVE), NOW, HEALTH)
    assert after.until is not None
    assert NOW + 1 <= after.until <= NOW + HEALTH.max_cooldown
    assert after.failing_since == NOW - 5
    assert after.status in WAKE_OF
    if seconds is not None and 1 <= seconds <= HEALTH.max_cooldown:
        assert after.until == until, "the provider's word is neither shortened nor extended"


def test_a_key_returns_as_what_it_was() -> None:
    verdict = Verdict(Scope.KEY, Status.RATE_LIMITED, "rate_limited")
    assert wake(advance(VALID, verdict, NOW, HEALTH)).status is Status.VALID
    assert wake(advance(UNTESTED, verdict, NOW, HEALTH)).status is Status.UNTESTED


def test_a_confirmed_rejection_takes_the_proof_away() -> None:
    suspect = advance(VALID, Verdict(Scope.KEY, Status.SUSPECT, "credential_rejected"), NOW, HEALTH)
    assert suspect.proven
    assert not advance(suspect, Verdict(Scope.KEY, Status.SUSPECT, "credential_rejected"), NOW, HEALTH).proven


def test_a_counted_failure_leaves_the_key_usable() -> None:
    counted = count_failure(VALID, Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "server_error"), NOW)
    assert counted.usable and counted.streak == 1 and counted.failing_since == NOW
