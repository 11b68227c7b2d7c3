"""After which failures another target is asked: each verdict and each refusal has its cause, or none on purpose."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gateway.conductor
from gateway.config.routes import CAUSES
from gateway.policy.fallback import OF_REASON, OF_REFUSAL, OF_STATUS, cause_of
from gateway.policy.verdict import COMMON_ROWS, Row, Scope, Status, Verdict

NO_FAILURE = {Status.UNTESTED, Status.VALID, Status.REMOVED}
"""Statuses of keys that no attempt ends with."""

THE_REQUESTS_OWN = {Status.BAD_REQUEST}

TOLD = {"context_length", "content_filter"}
"""Causes that no verdict has: see `conductor/fallback.py`."""

OWN_CODES = {
    "invalid_request_error", "permission_denied", "not_found", "model_not_found", "previous_response_not_found",
    "insufficient_quota", "unpriced_model", "store_unavailable", "content_filter", "upstream_error",
    "upstream_timeout", "upstream_credentials",
}  # fmt: skip
"""What a request is refused with while another target would not change it, or after one was asked."""

BEFORE = {"rate_limit_exceeded", "invalid_api_key", "overloaded"}
"""What it is refused with before a target is looked for."""


def test_every_status_has_a_cause_or_none_on_purpose() -> None:
    assert set(OF_STATUS) | NO_FAILURE | THE_REQUESTS_OWN == set(Status)
    assert not set(OF_STATUS) & (NO_FAILURE | THE_REQUESTS_OWN)


def test_every_cause_can_be_named_in_a_route() -> None:
    assert {*OF_STATUS.values(), *OF_REASON.values(), *OF_REFUSAL.values()} | TOLD == set(CAUSES)


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("scope", [Scope.KEY, Scope.KEY_MODEL, Scope.ACCOUNT, Scope.PROXY, Scope.PROVIDER])
def test_a_failure_of_keys_or_the_provider_goes_by_its_status(scope: Scope, status: Status) -> None:
    assert cause_of(Verdict(scope, status, "whatever")) == OF_STATUS.get(status, "")


@pytest.mark.parametrize("status", list(Status))
def test_of_what_is_the_clients_only_a_missing_model_goes_on(status: Status) -> None:
    expected = "exhausted_keys" if status is Status.NO_MODEL else ""
    assert cause_of(Verdict(Scope.CLIENT, status, "whatever")) == expected


@pytest.mark.parametrize("status", list(Status))
def test_what_is_the_gateways_own_goes_nowhere(status: Status) -> None:
    assert cause_of(Verdict(Scope.GATEWAY, status, "whatever")) == ""


def test_a_request_that_is_too_large_for_one_account_may_fit_into_another() -> None:
    verdict = Verdict(Scope.CLIENT, Status.BAD_REQUEST, "request_too_large_for_limit")
    assert cause_of(verdict) == "rate_limit"
    assert set(OF_REASON) <= {row.reason for row in COMMON_ROWS}


@pytest.mark.parametrize("row", COMMON_ROWS, ids=lambda row: f"{row.scope}-{row.reason}")
def test_whatever_a_provider_says_only_a_bad_request_is_told_at_once(row: Row) -> None:
    verdict = Verdict(row.scope, row.verdict, row.reason)
    assert bool(cause_of(verdict)) is (verdict.status is not Status.BAD_REQUEST or verdict.reason in OF_REASON)


def test_every_refusal_of_the_conductors_has_a_cause_or_none_on_purpose() -> None:
    folder = Path(gateway.conductor.__file__).parent
    text = "\n".join(path.read_text() for path in folder.glob("*.py"))
    found = set(re.findall(r'RequestError\(\s*(?:\d{3}|[a-z_. ]+\bif\b[^,]*),\s*(?:# [^\n]*\n\s*)?"(\w+)"', text))
    assert {"keys_cooling", "no_usable_key", "circuit_open", "unpriced_model", "upstream_error"} <= found
    assert found - set(OF_REFUSAL) - OWN_CODES - BEFORE == set()
