"""What follows a failed attempt."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.provider import RetryConfig, RetryCount
from gateway.policy.retry import BUDGET_FLOOR, Decision, GiveUp, Retry, RetryBudget, Rotate, Tally, decide, full_jitter
from gateway.policy.verdict import Scope, Status, Verdict

LIMITED = Verdict(Scope.KEY, Status.RATE_LIMITED, "")
FORBIDDEN = Verdict(Scope.KEY_MODEL, Status.NO_ACCESS, "")
NO_QUOTA = Verdict(Scope.ACCOUNT, Status.NO_QUOTA, "")
FAILED = Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "")
UNREACHED = Verdict(Scope.PROXY, Status.NETWORK_ERROR, "")
MISTAKEN = Verdict(Scope.CLIENT, Status.BAD_REQUEST, "")
OURS = Verdict(Scope.GATEWAY, Status.UNKNOWN, "")


def decided(
    verdict: Verdict,
    tally: Tally,
    config: RetryConfig | None = None,
    budget: RetryBudget | None = None,
    *,
    unanswered: bool = False,
    streamed: bool = False,
    elsewhere: bool = False,
) -> Decision:
    return decide(
        verdict,
        tally,
        config or RetryConfig(),
        budget or RetryBudget(0.2),
        Random(1),
        unanswered=unanswered,
        streamed=streamed,
        elsewhere=elsewhere,
    )


@pytest.mark.parametrize("verdict", [LIMITED, FORBIDDEN, NO_QUOTA])
@pytest.mark.parametrize(("errors", "decision"), [(1, Rotate(0.0)), (20, Rotate(0.0)), (21, GiveUp("key_attempts"))])
def test_a_blamed_key_makes_room_for_another_so_many_times(verdict: Verdict, errors: int, decision: Decision) -> None:
    assert decided(verdict, Tally(key_errors=errors)) == decision


@pytest.mark.parametrize(("errors", "decision"), [(1, Rotate(0.0)), (20, Rotate(0.0)), (21, GiveUp("proxy_attempts"))])
def test_a_dead_proxy_makes_room_for_another_so_many_times(errors: int, decision: Decision) -> None:
    budget = RetryBudget(0)  # it costs the provider nothing
    assert decided(UNREACHED, Tally(proxy_errors=errors), budget=budget, elsewhere=True) == decision


@pytest.mark.parametrize("verdict", [FAILED, UNREACHED])
@pytest.mark.parametrize(("errors", "ceiling"), [(1, 0.5), (2, 1.0)])
def test_a_failing_provider_is_asked_again_after_a_while(verdict: Verdict, errors: int, ceiling: float) -> None:
    decision = decided(verdict, Tally(server_errors=errors))
    assert isinstance(decision, Retry)
    assert 0 <= decision.delay <= ceiling


def test_and_not_more_often_than_configured() -> None:
    assert decided(FAILED, Tally(server_errors=3)) == GiveUp("server_attempts")
    none = RetryConfig(on_server_error=RetryCount(0), on_key_error=RetryCount(0))
    assert decided(FAILED, Tally(server_errors=1), none) == GiveUp("server_attempts")
    assert decided(LIMITED, Tally(key_errors=1), none) == GiveUp("key_attempts")


@pytest.mark.parametrize("verdict", [MISTAKEN, OURS])
def test_a_clients_mistake_is_final(verdict: Verdict) -> None:
    assert decided(verdict, Tally(server_errors=1)) == GiveUp("client_error")


@pytest.mark.parametrize(
    ("policy", "streamed", "again"),
    [
        ("always", False, True),
        ("always", True, True),
        ("streams", True, True),
        ("streams", False, False),
        ("never", True, False),
        ("never", False, False),
    ],
)
def test_what_may_have_been_carried_out_is_sent_again_as_configured(policy: str, streamed: bool, again: bool) -> None:
    config = RetryConfig(replay_unanswered=policy)
    unanswered = decided(FAILED, Tally(server_errors=1), config, unanswered=True, streamed=streamed)
    assert isinstance(unanswered, Retry) if again else unanswered == GiveUp("unanswered")
    assert isinstance(decided(FAILED, Tally(server_errors=1), config, streamed=streamed), Retry)


def test_failures_are_counted_by_whose_they_are() -> None:
    tally = Tally()
    for verdict in (LIMITED, FAILED, NO_QUOTA, UNREACHED, FORBIDDEN):
        tally = tally.after(verdict)
    assert tally == Tally(key_errors=3, server_errors=2)
    assert tally.after(UNREACHED, elsewhere=True) == Tally(key_errors=3, server_errors=2, proxy_errors=1)


def test_in_an_outage_retries_are_a_share_of_the_requests() -> None:
    budget, retries = RetryBudget(0.25), 0
    for _ in range(1000):
        budget.deposit()
        retries += isinstance(decided(FAILED, Tally(server_errors=1), budget=budget), Retry)
    assert 250 <= retries <= 250 + BUDGET_FLOOR


@given(st.lists(st.booleans(), max_size=500))
def test_retries_never_exceed_their_share_of_requests(failures: list[bool]) -> None:
    budget, retries = RetryBudget(0.2), 0
    for failed in failures:
        budget.deposit()
        retries += failed and budget.withdraw()
    assert retries <= BUDGET_FLOOR + 0.2 * len(failures) + 1e-6


def test_a_fresh_budget_has_its_floor() -> None:
    budget = RetryBudget(0.2)
    assert sum(budget.withdraw() for _ in range(100)) == BUDGET_FLOOR


def test_a_budget_of_nothing_allows_not_one_retry() -> None:
    budget = RetryBudget(0)
    for _ in range(100):
        budget.deposit()
        assert decided(FAILED, Tally(server_errors=1), budget=budget) == GiveUp("retry_budget")


@pytest.mark.parametrize("shares", [(0.2,), (0.5, 0.2), (0.5, 0.7)])
def test_a_change_of_the_share_brings_no_new_retries(shares: tuple[float, ...]) -> None:
    budget = RetryBudget(0.2)
    while budget.withdraw():
        pass
    for share in shares:
        budget.change(share)
    assert not budget.withdraw()
    for _ in range(round(1 / shares[-1]) + 1):
        budget.deposit()
    assert budget.withdraw()


def test_a_budget_that_is_taken_away_and_given_back_begins_anew() -> None:
    budget = RetryBudget(0.2)
    budget.change(0)
    assert not budget.withdraw()
    budget.change(0.2)
    assert budget.withdraw()


def test_an_exhausted_budget_gives_up_and_rotating_costs_nothing() -> None:
    budget = RetryBudget(0.1)
    while budget.withdraw():
        pass
    budget.deposit()
    assert decided(FAILED, Tally(server_errors=1), budget=budget) == GiveUp("retry_budget")
    assert decided(LIMITED, Tally(key_errors=1), budget=budget) == Rotate(0.0)


@given(
    st.floats(0, 3600),
    st.floats(1, 100),
    st.integers(1, 1001),
    st.randoms(use_true_random=False),
)
def test_any_configured_wait_can_be_worked_out(backoff: float, factor: float, nth: int, rng: Random) -> None:
    assert full_jitter(RetryCount(1000, backoff, factor), nth, rng) >= 0


@given(st.floats(0.001, 3600), st.floats(1, 10), st.integers(1, 10), st.integers())
def test_a_wait_is_anything_up_to_its_ceiling(backoff: float, factor: float, nth: int, seed: int) -> None:
    count = RetryCount(20, backoff, factor)
    assert full_jitter(count, nth, Random(seed)) <= backoff * factor ** (nth - 1)
