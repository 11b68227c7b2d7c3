"""What follows a failed attempt."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.provider import RetryConfig, RetryCount
from gateway.policy.retry import (
    CREDIT,
    RESERVE,
    Decision,
    Failure,
    GiveUp,
    Retries,
    Retry,
    RetryBudget,
    Rotate,
    full_jitter,
)
from gateway.policy.verdict import Scope, Status, Verdict

LIMITED = Verdict(Scope.KEY, Status.RATE_LIMITED, "")
FORBIDDEN = Verdict(Scope.KEY_MODEL, Status.NO_ACCESS, "")
NO_QUOTA = Verdict(Scope.ACCOUNT, Status.NO_QUOTA, "")
FAILED = Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "")
UNREACHED = Verdict(Scope.PROXY, Status.NETWORK_ERROR, "")
MISTAKEN = Verdict(Scope.CLIENT, Status.BAD_REQUEST, "")
OURS = Verdict(Scope.GATEWAY, Status.UNKNOWN, "")
LONG = 900.0
"""Seconds that are left, unless a test is about them."""


def after(*failures: Failure | Verdict, config: RetryConfig | None = None, streamed: bool = False) -> Retries:
    retries = Retries(config or RetryConfig(), streamed)
    for failure in failures:
        retries = retries.after(failure if isinstance(failure, Failure) else Failure(failure))
    return retries


def decided(retries: Retries, budget: RetryBudget | None = None, left: float = LONG) -> Decision:
    return retries.decide(left, budget or RetryBudget(0.2), Random(1))


def spent(share: float) -> RetryBudget:
    budget = RetryBudget(share)
    while budget.withdraw():
        pass
    return budget


@pytest.mark.parametrize("verdict", [LIMITED, FORBIDDEN, NO_QUOTA])
@pytest.mark.parametrize(("errors", "decision"), [(1, Rotate(0.0)), (20, Rotate(0.0)), (21, GiveUp("key_attempts"))])
def test_a_blamed_key_makes_room_for_another_so_many_times(verdict: Verdict, errors: int, decision: Decision) -> None:
    assert decided(after(*[verdict] * errors)) == decision


@pytest.mark.parametrize(("errors", "decision"), [(1, Rotate(0.0)), (20, Rotate(0.0)), (21, GiveUp("proxy_attempts"))])
def test_a_dead_proxy_makes_room_for_another_so_many_times(errors: int, decision: Decision) -> None:
    retries = after(*[Failure(UNREACHED, elsewhere=True)] * errors)
    assert decided(retries, RetryBudget(0)) == decision, "it costs the provider nothing"


@pytest.mark.parametrize("verdict", [FAILED, UNREACHED])
@pytest.mark.parametrize(("errors", "ceiling"), [(1, 0.5), (2, 1.0)])
def test_a_failing_provider_is_asked_again_after_a_while(verdict: Verdict, errors: int, ceiling: float) -> None:
    decision = decided(after(*[verdict] * errors))
    assert isinstance(decision, Retry)
    assert 0 <= decision.delay <= ceiling


def test_and_not_more_often_than_configured() -> None:
    assert decided(after(FAILED, FAILED, FAILED)) == GiveUp("server_attempts")
    none = RetryConfig(on_server_error=RetryCount(0), on_key_error=RetryCount(0))
    assert decided(after(FAILED, config=none)) == GiveUp("server_attempts")
    assert decided(after(LIMITED, config=none)) == GiveUp("key_attempts")


def test_errors_of_keys_proxies_and_servers_have_counts_of_their_own() -> None:
    once = RetryConfig(on_server_error=RetryCount(1), on_key_error=RetryCount(1))
    elsewhere = Failure(UNREACHED, elsewhere=True)
    retries = after(LIMITED, elsewhere, FAILED, config=once)
    assert decided(retries) == Retry(0.0)
    assert decided(retries.after(Failure(FORBIDDEN))) == GiveUp("key_attempts")
    assert decided(retries.after(elsewhere)) == GiveUp("proxy_attempts")
    assert decided(retries.after(Failure(UNREACHED))) == GiveUp("server_attempts")


@pytest.mark.parametrize("verdict", [MISTAKEN, OURS])
def test_a_clients_mistake_is_final(verdict: Verdict) -> None:
    assert decided(after(verdict)) == GiveUp("client_error")


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
    unanswered = decided(after(Failure(FAILED, unanswered=True), config=config, streamed=streamed))
    assert isinstance(unanswered, Retry) if again else unanswered == GiveUp("unanswered")
    assert isinstance(decided(after(FAILED, config=config, streamed=streamed)), Retry)


@pytest.mark.parametrize("wait", [0.0, 7.0, 600.0])
def test_nothing_is_tried_again_before_the_provider_wants_it(wait: float) -> None:
    decision = decided(after(replace(FAILED, wait=wait)))
    assert isinstance(decision, Retry)
    assert wait <= decision.delay <= wait + 0.5, "and not by all at once"


def test_a_wait_that_outlasts_the_deadline_is_not_begun_and_costs_nothing() -> None:
    retries, budget = after(replace(FAILED, wait=20.0)), RetryBudget(0.2)
    assert decided(retries, budget, left=20.0) == GiveUp("deadline")
    assert isinstance(decided(retries, left=20.5), Retry)
    assert sum(budget.withdraw() for _ in range(100)) == RESERVE
    slow = RetryConfig(on_key_error=RetryCount(3, 3600.0))
    assert decided(after(LIMITED, config=slow), left=5.0) == GiveUp("deadline")
    assert decided(after(LIMITED), left=0.0) == GiveUp("deadline")


def test_another_proxy_is_not_waited_for() -> None:
    """What the provider said was for the address that it came from."""
    asked_to_wait = replace(UNREACHED, wait=60.0)
    assert decided(after(Failure(asked_to_wait, elsewhere=True))) == Rotate(0.0)


def test_nobody_waits_for_a_provider_that_wants_to_be_left_alone_while_another_may_answer() -> None:
    def decision(wait: float | None) -> Decision:
        return after(replace(FAILED, wait=wait)).decide(LONG, RetryBudget(0.2), Random(1), others=True)

    assert decision(2.0) == GiveUp("others")
    assert isinstance(decision(None), Retry) and isinstance(decision(0.0), Retry)


def test_what_was_counted_once_stays_as_it_was() -> None:
    first = after(LIMITED)
    second = first.after(Failure(FAILED))
    assert (first.key_errors, first.server_errors, first.last) == (1, 0, Failure(LIMITED))
    assert (second.key_errors, second.server_errors, second.last) == (1, 1, Failure(FAILED))
    with pytest.raises(FrozenInstanceError):
        first.key_errors = 0  # type: ignore[misc]


@pytest.mark.parametrize("requests", [0, 1, 49, 50, 51, 1000])
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_in_an_outage_retries_are_a_share_of_the_requests(share: float, requests: int) -> None:
    budget, retries = RetryBudget(share), 0
    for _ in range(requests):
        budget.deposit()
        while budget.withdraw():
            retries += 1
    assert retries == (max(RESERVE, int(share * requests)) if requests else 0)


@given(st.lists(st.integers(0, 3), max_size=500))
def test_retries_never_exceed_their_share_of_requests(failures: list[int]) -> None:
    budget, retries = RetryBudget(0.2), 0
    for failed in failures:
        budget.deposit()
        retries += sum(budget.withdraw() for _ in range(failed))
    assert retries <= max(RESERVE, 0.2 * len(failures) + 1e-6)


def test_a_row_of_bad_keys_among_many_requests_is_got_over() -> None:
    budget = spent(0.2)
    for _ in range(round((RESERVE + 50) / 0.2) + 1):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(50)) == 50


def test_there_is_an_end_to_what_is_saved_up() -> None:
    budget = spent(0.2)
    for _ in range(10_000):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(1000)) == CREDIT


def test_a_fresh_budget_has_its_reserve() -> None:
    budget = RetryBudget(0.2)
    assert sum(budget.withdraw() for _ in range(100)) == RESERVE


def test_a_budget_of_nothing_allows_not_one_retry() -> None:
    budget = RetryBudget(0)
    for _ in range(100):
        budget.deposit()
        assert decided(after(FAILED), budget) == GiveUp("retry_budget")


@pytest.mark.parametrize("shares", [(0.2,), (0.5, 0.2), (0.5, 0.7)])
def test_a_change_of_the_share_brings_no_new_retries(shares: tuple[float, ...]) -> None:
    budget = spent(0.2)
    for share in shares:
        budget.change(share)
    assert not budget.withdraw()
    for _ in range(round((RESERVE + 1) / shares[-1]) + 1):
        budget.deposit()
    assert budget.withdraw()


def test_a_budget_that_is_taken_away_and_given_back_begins_anew() -> None:
    budget = RetryBudget(0.2)
    budget.change(0)
    assert not budget.withdraw()
    budget.change(0.2)
    assert budget.withdraw()


def test_an_exhausted_budget_gives_up_and_rotating_costs_nothing() -> None:
    budget = spent(0.1)
    budget.deposit()
    assert decided(after(FAILED), budget) == GiveUp("retry_budget")
    assert decided(after(LIMITED), budget) == Rotate(0.0)


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
