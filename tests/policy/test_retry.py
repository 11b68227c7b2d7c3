"""What follows a failed attempt."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.model import RetryConfig, RetryCount
from gateway.policy.retry import (
    BUDGET_FLOOR,
    Decision,
    GiveUp,
    Retry,
    RetryBudget,
    Rotate,
    Tally,
    decide,
    full_jitter,
)
from gateway.policy.verdict import Scope, Status, Verdict

KEY = Verdict(Scope.KEY, Status.RATE_LIMITED, "rate_limited")
MODEL = Verdict(Scope.KEY_MODEL, Status.NO_MODEL, "model_not_found")
ACCOUNT = Verdict(Scope.ACCOUNT, Status.NO_QUOTA, "insufficient_quota")
SERVER = Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "server_error")
CLIENT = Verdict(Scope.CLIENT, Status.BAD_REQUEST, "bad_request")
GATEWAY = Verdict(Scope.GATEWAY, Status.UNKNOWN, "draining")


def after(
    verdict: Verdict,
    tally: Tally,
    config: RetryConfig | None = None,
    *,
    budget: RetryBudget | None = None,
    unanswered: bool = False,
    streamed: bool = False,
) -> Decision:
    return decide(
        verdict,
        tally,
        config or RetryConfig(),
        budget or RetryBudget(0.2),
        Random(1),
        unanswered=unanswered,
        streamed=streamed,
    )


@pytest.mark.parametrize("verdict", [KEY, MODEL, ACCOUNT])
def test_a_keys_fault_rotates_as_often_as_configured(verdict: Verdict) -> None:
    assert after(verdict, Tally(key_errors=1)) == Rotate(0.0)
    assert after(verdict, Tally(key_errors=20)) == Rotate(0.0)
    assert after(verdict, Tally(key_errors=21)) == GiveUp("key_attempts")
    none = replace(RetryConfig(), on_key_error=RetryCount(0))
    assert after(verdict, Tally(key_errors=1), none) == GiveUp("key_attempts")


@pytest.mark.parametrize("verdict", [CLIENT, GATEWAY])
def test_a_clients_mistake_is_never_tried_again(verdict: Verdict) -> None:
    assert after(verdict, Tally()) == GiveUp("client_error")


def test_a_servers_fault_is_retried_with_growing_waits() -> None:
    first, second = after(SERVER, Tally(server_errors=1)), after(SERVER, Tally(server_errors=2))
    assert isinstance(first, Retry) and 0 <= first.delay <= 0.5
    assert isinstance(second, Retry) and 0 <= second.delay <= 1.0
    assert after(SERVER, Tally(server_errors=3)) == GiveUp("server_attempts")


@pytest.mark.parametrize(
    ("policy", "streamed", "again"),
    [("always", False, True), ("always", True, True), ("streams", True, True), ("streams", False, False),
     ("never", True, False), ("never", False, False)],
)  # fmt: skip
def test_an_unanswered_request_is_sent_again_as_the_policy_says(policy: str, streamed: bool, again: bool) -> None:
    config = replace(RetryConfig(), replay_unanswered=policy)
    decision = after(SERVER, Tally(server_errors=1), config, unanswered=True, streamed=streamed)
    assert isinstance(decision, Retry) is again
    assert isinstance(after(SERVER, Tally(server_errors=1), config), Retry)


def test_the_budget_bounds_retries_after_server_errors_only() -> None:
    budget = RetryBudget(0.2)
    granted = sum(isinstance(after(SERVER, Tally(server_errors=1), budget=budget), Retry) for _ in range(100))
    assert granted == BUDGET_FLOOR
    assert after(SERVER, Tally(server_errors=1), budget=budget) == GiveUp("retry_budget")
    assert after(KEY, Tally(key_errors=1), budget=budget) == Rotate(0.0)


@given(st.lists(st.booleans(), max_size=500))
def test_retries_never_exceed_their_share_of_requests(requests: list[bool]) -> None:
    budget = RetryBudget(0.2)
    retries = 0
    for fails in requests:
        budget.deposit()
        retries += fails and budget.withdraw()
    assert retries <= BUDGET_FLOOR + 0.2 * len(requests) + 1e-6


@given(st.integers(1, 8), st.floats(0, 10), st.floats(1, 4), st.integers())
def test_full_jitter_stays_below_the_exponential(nth: int, backoff: float, factor: float, seed: int) -> None:
    assert 0 <= full_jitter(RetryCount(9, backoff, factor), nth, Random(seed)) <= backoff * factor ** (nth - 1)
