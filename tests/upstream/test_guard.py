"""Many keys rejected alike have one cause that is not theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.policy.verdict import Status, Verdict
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from tests.upstream.pools import (
    BAD_REQUEST,
    FORBIDDEN,
    NETWORK_ERROR,
    NO_QUOTA,
    REJECTED,
    SERVER_ERROR,
    Clock,
    a_pool,
    lease_of,
    limited,
)

FIVE = ("a", "b", "c", "d", "e")


def reject(pool: KeyPool, *keys: Key, verdict: Verdict = REJECTED) -> None:
    for key in keys:
        pool.report(lease_of(pool, key), verdict)


def a_tripped_pool() -> tuple[KeyPool, dict[str, Key], Clock]:
    """Three of five keys were rejected alike; `a` had proven itself."""
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    pool.succeed(lease_of(pool, keys["a"]))
    reject(pool, keys["b"], keys["c"], keys["d"])
    assert pool.guard.tripped
    return pool, keys, clock


@pytest.mark.parametrize("verdict", [REJECTED, FORBIDDEN])
def test_three_different_keys_rejected_alike_close_the_pool_and_take_their_verdicts_back(verdict: Verdict) -> None:
    pool, keys = a_pool(Clock(), *FIVE)
    reject(pool, keys["a"], keys["b"], verdict=verdict)
    assert not pool.guard.tripped
    reject(pool, keys["c"], verdict=verdict)
    assert pool.guard.tripped and pool.usable == 0
    assert {key.standing.status for key in keys.values()} == {Status.UNTESTED}
    assert not any(key.models for key in keys.values())


def test_what_was_taken_back_is_what_the_database_learns() -> None:
    pool, keys, _ = a_tripped_pool()
    told = {change.digest: change.standing.status for change in pool.standings.take_changes()}
    assert told[keys["b"].digest] is Status.UNTESTED


def test_a_fifth_of_a_large_pool_is_wanted() -> None:
    pool, keys = a_pool(Clock(), *(f"k{n}" for n in range(40)))
    reject(pool, *list(keys.values())[:7])
    assert not pool.guard.tripped
    reject(pool, keys["k7"])
    assert pool.guard.tripped


def test_a_success_in_between_shows_that_each_was_rejected_by_itself() -> None:
    pool, keys = a_pool(Clock(), *FIVE)
    reject(pool, keys["a"], keys["b"])
    pool.succeed(lease_of(pool, keys["e"]))
    reject(pool, keys["c"], keys["d"])
    assert not pool.guard.tripped
    assert [keys[name].standing.status for name in "abcd"] == [Status.SUSPECT] * 4


def test_rejections_further_apart_than_the_window_are_none_of_its_business() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    for name in "abc":
        reject(pool, keys[name])
        clock.advance(16)
    assert not pool.guard.tripped


@pytest.mark.parametrize("verdict", [limited(), NO_QUOTA, SERVER_ERROR, NETWORK_ERROR, BAD_REQUEST])
def test_only_rejections_count(verdict: Verdict) -> None:
    pool, keys = a_pool(Clock(), *FIVE)
    reject(pool, *(keys[name] for name in "abcd"), verdict=verdict)
    assert not pool.guard.tripped


def test_a_key_that_was_known_to_be_bad_proves_nothing() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    for name in "abcd":
        reject(pool, keys[name])
        clock.advance(31)
    clock.advance(65)
    pool.standings.wake_due()
    reject(pool, *(keys[name] for name in "abcd"))
    assert not pool.guard.tripped
    assert keys["a"].standing.status is Status.INVALID_KEY


def test_the_guard_can_be_turned_off() -> None:
    pool, keys = a_pool(Clock(), *FIVE)
    pool.standings.health = replace(pool.standings.health, guard_window=0.0)
    reject(pool, *keys.values())
    assert not pool.guard.tripped


def reject_canaries(pool: KeyPool, count: int) -> list[Key]:
    """So many canaries in a row are rejected; the keys they took."""
    taken = []
    for _ in range(count):
        canary = pool.lease("m")
        assert canary is not None
        taken.append(canary.key)
        pool.report(canary, REJECTED)
    return taken


def test_one_canary_at_a_time_looks_whether_it_is_over() -> None:
    pool, keys, clock = a_tripped_pool()
    canary = pool.lease("m")
    assert canary is not None and canary.key is keys["a"], "the one that has proven itself"
    assert pool.lease("m") is None and pool.shortage("m").retry_after == 1
    pool.report(canary, REJECTED)
    assert reject_canaries(pool, 1) == [keys["e"]], "then one that was not among the rejected"
    reject_canaries(pool, 1)
    assert pool.lease("m") is None and pool.shortage("m").retry_after == 5
    clock.advance(5)
    reject_canaries(pool, 1)
    assert pool.shortage("m").retry_after == 10
    assert pool.guard.tripped and pool.standings.counts[Status.SUSPECT] == 0


def test_canaries_become_as_rare_as_every_five_minutes() -> None:
    pool, _, clock = a_tripped_pool()
    reject_canaries(pool, 2)
    waits = []
    for _ in range(10):
        reject_canaries(pool, 1)
        waits.append(pool.shortage("m").retry_after)
        clock.advance(waits[-1] or 0)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]


def test_a_first_canary_that_goes_through_shows_that_the_rejected_ones_are_bad() -> None:
    pool, keys, clock = a_tripped_pool()
    canary = pool.lease("m")
    assert canary is not None
    pool.succeed(canary)
    assert not pool.guard.tripped
    assert [keys[name].standing.status for name in "bcd"] == [Status.SUSPECT] * 3
    assert pool.usable == 2 and pool.standings.next_wake() == clock.now + 65


def test_a_canary_that_was_rejected_in_the_first_round_is_as_bad_as_the_others() -> None:
    pool, keys, _ = a_tripped_pool()
    reject_canaries(pool, 1)
    canary = pool.lease("m")
    assert canary is not None and canary.key is keys["e"]
    pool.succeed(canary)
    assert not pool.guard.tripped
    assert [keys[name].standing.status for name in "abcd"] == [Status.SUSPECT] * 4


def test_a_later_canary_that_goes_through_leaves_the_keys_as_they_were() -> None:
    pool, keys, clock = a_tripped_pool()
    reject_canaries(pool, 3)
    clock.advance(5)
    second = pool.lease("m")
    assert second is not None
    pool.succeed(second)
    assert not pool.guard.tripped and pool.usable == 5
    assert Status.SUSPECT not in {key.standing.status for key in keys.values()}


@pytest.mark.parametrize("verdict", [limited(), NO_QUOTA, BAD_REQUEST])
def test_a_canary_that_is_limited_was_let_in(verdict: Verdict) -> None:
    pool, _, _ = a_tripped_pool()
    canary = pool.lease("m")
    assert canary is not None
    pool.report(canary, verdict)
    assert not pool.guard.tripped


@pytest.mark.parametrize("verdict", [SERVER_ERROR, NETWORK_ERROR])
def test_a_canary_without_an_answer_is_no_end(verdict: Verdict) -> None:
    pool, _, _ = a_tripped_pool()
    for _ in range(3):
        canary = pool.lease("m")
        assert canary is not None
        pool.report(canary, verdict)
    assert pool.guard.tripped and pool.shortage("m").retry_after == 5


def test_a_canary_whose_client_leaves_makes_room_for_the_next() -> None:
    pool, _, _ = a_tripped_pool()
    canary = pool.lease("m")
    assert canary is not None
    pool.release(canary)
    assert pool.lease("m") is not None


def test_attempts_under_way_when_it_closes_bench_nothing_and_may_open_it() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    late, good = lease_of(pool, keys["e"]), lease_of(pool, keys["a"])
    reject(pool, keys["b"], keys["c"], keys["d"])
    pool.report(late, REJECTED)
    assert keys["e"].standing.status is Status.UNTESTED
    pool.succeed(good)
    assert not pool.guard.tripped


def test_the_operators_word_opens_the_pool() -> None:
    pool, _, _ = a_tripped_pool()
    pool.reset_guard()
    assert pool.usable == 5


def test_a_key_that_was_cleared_meanwhile_is_not_accused_again() -> None:
    pool, keys, _ = a_tripped_pool()
    pool.standings.disable(keys["b"])
    pool.standings.remove([keys["c"].digest])
    canary = pool.lease("m")
    assert canary is not None
    pool.succeed(canary)
    assert keys["b"].standing.status is Status.DISABLED
    assert keys["d"].standing.status is Status.SUSPECT
    assert set(pool.standings.keys.values()) == {key for name, key in keys.items() if name != "c"}
