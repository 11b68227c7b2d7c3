"""Trials, single models, and attempts that overlap: who may be chosen while others are under way."""

from __future__ import annotations

import asyncio
import selectors

import pytest

from gateway.policy.verdict import Scope, Status, Verdict
from gateway.upstream.key import Key, Lease
from gateway.upstream.keypool import KeyPool
from gateway.upstream.rotation import VIEWS_LIMIT, Rotation
from gateway.upstream.wakeups import LONGEST_NAP
from tests.upstream.pools import (
    FORBIDDEN,
    NO_MODEL,
    NO_QUOTA,
    REJECTED,
    SERVER_ERROR,
    Clock,
    a_key,
    a_pool,
    lease_of,
    limited,
    wait_for_key,
)


def lent(pool: KeyPool, model: str) -> set[Key]:
    """The keys that may be chosen for a model. Nothing is learned of them."""
    leases: list[Lease] = []
    while (lease := pool.lease(model, {lease.key for lease in leases})) is not None:
        leases.append(lease)
    for lease in leases:
        pool.release(lease)
    return {lease.key for lease in leases}


def rest_is_over(pool: KeyPool, clock: Clock, seconds: float = 65) -> None:
    clock.advance(seconds)
    pool.standings.wake_due()


# Trials.


def test_the_end_of_an_older_attempt_does_not_begin_a_second_trial() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a")
    older, failing = lease_of(pool, keys["a"]), lease_of(pool, keys["a"])
    pool.report(failing, REJECTED)
    rest_is_over(pool, clock)
    trial = lease_of(pool, keys["a"])
    pool.release(older)
    assert pool.lease("m") is None
    pool.release(trial)
    assert lent(pool, "m") == {keys["a"]}


def test_a_trial_of_one_model_leaves_the_key_to_the_others() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a")
    pool.report(lease_of(pool, keys["a"], "big"), FORBIDDEN)
    rest_is_over(pool, clock)
    trial = lease_of(pool, keys["a"], "big")
    assert lent(pool, "big") == set()
    assert lent(pool, "small") == {keys["a"]}
    pool.succeed(trial)
    assert lent(pool, "big") == {keys["a"]}


def test_a_key_that_the_operator_clears_is_on_trial_no_longer() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a")
    pool.report(lease_of(pool, keys["a"]), NO_QUOTA)
    rest_is_over(pool, clock, 21600)
    trial = lease_of(pool, keys["a"])
    pool.standings.clear(keys["a"])
    assert lent(pool, "m") == {keys["a"]}
    pool.report(trial, NO_QUOTA)
    assert lent(pool, "m") == {keys["a"]}


# Attempts that overlap.


def test_two_rejections_at_once_make_a_suspect_and_no_invalid_key() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    first, second = lease_of(pool, keys["a"]), lease_of(pool, keys["a"])
    pool.report(first, REJECTED)
    clock.advance(1)
    pool.report(second, REJECTED)
    assert keys["a"].standing.status is Status.SUSPECT
    assert keys["a"].standing.until == clock.now - 1 + 65


def test_an_answer_that_was_under_way_does_not_cut_the_providers_time_short() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    limiting, answering = lease_of(pool, keys["a"]), lease_of(pool, keys["a"])
    pool.report(limiting, limited(60, clock.now))
    pool.succeed(answering)
    assert keys["a"].standing.status is Status.RATE_LIMITED
    assert lent(pool, "m") == {keys["b"]}


@pytest.mark.parametrize(("first", "second", "rest"), [(60, 300, 300), (300, 60, 300), (60, None, 60)])
def test_of_two_limits_at_once_the_providers_later_time_stands(first: int, second: int | None, rest: int) -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    leases = lease_of(pool, keys["a"]), lease_of(pool, keys["a"])
    pool.report(leases[0], limited(first, clock.now))
    pool.report(leases[1], limited(second, clock.now))
    assert keys["a"].standing.until == clock.now + rest


def test_a_failure_that_began_after_a_success_counts() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    older, newer = lease_of(pool, keys["a"]), lease_of(pool, keys["a"])
    pool.succeed(older)
    pool.report(newer, limited(60, clock.now))
    assert keys["a"].standing.status is Status.RATE_LIMITED


def test_a_key_that_comes_back_does_not_hear_what_older_attempts_report() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a")
    under_way = lease_of(pool, keys["a"])
    pool.standings.remove([keys["a"].digest])
    back = a_key("a")
    pool.standings.add([back])
    pool.report(under_way, REJECTED)
    assert back.standing.status is Status.UNTESTED
    assert lent(pool, "m") == {back}


# Single models.


@pytest.mark.parametrize("verdict", [FORBIDDEN, NO_MODEL])
def test_in_a_call_whose_model_nobody_knows_a_verdict_about_the_model_benches_nothing(verdict: Verdict) -> None:
    pool, keys = a_pool(Clock(), "a", "b")
    pool.succeed(lease_of(pool, keys["b"], ""))
    pool.report(lease_of(pool, keys["a"], ""), verdict)
    assert lent(pool, "") == set(keys.values())


def test_the_last_key_of_a_model_is_spared_a_guess_though_other_models_have_more() -> None:
    pool, keys = a_pool(Clock(), "a", "b")
    pool.report(lease_of(pool, keys["b"], "big"), FORBIDDEN)
    pool.report(lease_of(pool, keys["a"], "big"), limited())
    assert lent(pool, "big") == {keys["a"]}
    pool.report(lease_of(pool, keys["a"], "small"), limited())
    assert lent(pool, "small") == {keys["b"]}


def test_a_shortage_of_one_model_counts_what_the_keys_are_for_it() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b", "c")
    pool.succeed(lease_of(pool, keys["c"], "small"))
    for name in "ab":
        pool.report(lease_of(pool, keys[name], "big"), FORBIDDEN)
    assert pool.shortage("big", {keys["c"]}).counts == {"suspect": 2, "untested": 1}
    assert pool.shortage("small").counts == {"untested": 2, "valid": 1}
    assert pool.shortage("big").retry_after == 65
    assert pool.shortage("small").retry_after is None


def test_only_so_many_models_have_a_rotation_of_their_own_and_the_oldest_gives_way() -> None:
    pool, keys = a_pool(Clock(), "a", "b")
    for number in range(VIEWS_LIMIT + 1):
        pool.report(lease_of(pool, keys["a"], f"model-{number}"), FORBIDDEN)
    assert keys["a"].models is not None and len(keys["a"].models) == VIEWS_LIMIT
    assert lent(pool, "model-0") == set(keys.values()), "forgotten, so tried again"
    assert lent(pool, "model-1") == {keys["b"]}


@pytest.mark.parametrize(("keys", "views"), [(1, 256), (2000, 125), (100_000, 2), (10_000_000, 1)])
def test_the_rotations_of_all_models_together_are_bounded(keys: int, views: int) -> None:
    rotation = Rotation()
    while rotation.has_room(keys):
        rotation.add_view(f"model-{len(rotation.views)}")
    assert len(rotation.views) == views


class Counted(Key):
    """A key that counts how often anything is looked up for it."""

    lookups = 0

    def __hash__(self) -> int:
        Counted.lookups += 1
        return int.from_bytes(self.digest[:8])


def test_a_verdict_on_one_model_costs_the_same_however_many_models_have_a_rotation() -> None:
    costs = []
    for views in (1, 200):
        pool, keys = a_pool(Clock(), "a", "b")
        for number in range(views):
            pool.report(lease_of(pool, keys["a"], f"model-{number}"), FORBIDDEN)
        key = Counted(a_key("c").secret, a_key("c").digest)
        pool.standings.add([key])
        pool.report(lease_of(pool, key, "model-0"), FORBIDDEN)
        Counted.lookups = 0
        pool.standings.amnesty(key)
        costs.append(Counted.lookups)
    assert costs[0] == costs[1] > 0


def test_with_a_status_per_model_a_servers_fault_is_counted_and_benched_per_model() -> None:
    pool, keys = a_pool(Clock(), "a", "b", shared_status=False)
    for _ in range(2):
        pool.report(lease_of(pool, keys["a"], "big"), SERVER_ERROR)
        pool.succeed(lease_of(pool, keys["b"], "big"))
    assert lent(pool, "big") == {keys["b"]}
    assert lent(pool, "small") == set(keys.values())


def test_a_cleared_key_has_proven_nothing_yet() -> None:
    pool, keys = a_pool(Clock(), "a", "b", "c")
    for name in "ab":
        pool.succeed(lease_of(pool, keys[name]))
    pool.standings.clear(keys["a"])
    for _ in range(3):
        lease = pool.lease("m", retry=True)
        assert lease is not None and lease.key is keys["b"]


# Time.


class VirtualTime(selectors.SelectSelector):
    """A selector that does not wait: it tells the loop's clock to go on."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.passed += timeout
        return ready


def test_a_clock_that_is_set_ends_the_rests_that_are_over_by_it() -> None:
    selector = VirtualTime()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.passed  # type: ignore[method-assign]
    clock = Clock()

    async def scenario() -> None:
        pool, keys = a_pool(clock, "a")
        pool.report(lease_of(pool, keys["a"]), limited(21600, clock.now))
        waiting = asyncio.create_task(wait_for_key(pool, 7200), name="waiting")
        await asyncio.sleep(1)
        clock.advance(21600)  # a computer that has slept for six hours
        assert await waiting is not None
        assert loop.time() <= LONGEST_NAP
        assert pool.standings.next_wake() is None and pool.standings._wakeups._timer is None
        pool.close()

    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()


def test_rests_restored_from_a_longer_while_ago_end_at_once() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a")
    pool.report(lease_of(pool, keys["a"]), limited(30, clock.now, Scope.KEY))
    restored = a_key("a")
    restored.standing = keys["a"].standing
    clock.advance(3600)
    other, _ = a_pool(clock)
    other.standings.add([restored])
    assert other.standings.wake_due() == 1
    assert lent(other, "m") == {restored}
