"""The pool, verdict by verdict, on a virtual clock."""

from __future__ import annotations

import asyncio

import pytest

from gateway.policy.health import ALL_MODELS
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from tests.conftest import run
from tests.upstream.pools import (
    BAD_REQUEST,
    FORBIDDEN,
    NETWORK_ERROR,
    NO_MODEL,
    NO_QUOTA,
    REJECTED,
    SERVER_ERROR,
    Clock,
    a_key,
    a_pool,
    lease_of,
    limited,
    status_of,
    wait_for_key,
)


def fail(pool: KeyPool, key: Key, verdict: Verdict, model: str = "m") -> None:
    pool.report(lease_of(pool, key, model), verdict)


def succeed(pool: KeyPool, key: Key, model: str = "m") -> None:
    pool.succeed(lease_of(pool, key, model))


def served(pool: KeyPool, count: int, model: str = "m") -> list[Key]:
    """The keys of so many leases, each released at once."""
    keys = []
    for _ in range(count):
        lease = pool.lease(model)
        if lease is None:
            break
        pool.release(lease)
        keys.append(lease.key)
    return keys


def test_every_key_has_its_turn() -> None:
    pool, keys = a_pool(Clock(), "a", "b", "c", "d")
    assert set(served(pool, 4)) == set(keys.values())
    assert served(pool, 8)[:4] == served(pool, 4)


def test_a_retry_takes_a_proven_key_first() -> None:
    pool, keys = a_pool(Clock(), *(f"k{n}" for n in range(10)))
    succeed(pool, keys["k3"])
    lease = pool.lease("m", retry=True)
    assert lease is not None and lease.key is keys["k3"]
    other = pool.lease("m", {keys["k3"]}, retry=True)
    assert other is not None and other.key is not keys["k3"]


def test_a_rate_limited_key_rests_exactly_as_long_as_the_provider_says() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    fail(pool, keys["a"], limited(30, clock.now))
    assert set(served(pool, 4)) == {keys["b"]}
    clock.advance(29.9)
    pool.standings.wake_due()
    assert set(served(pool, 4)) == {keys["b"]}
    clock.advance(0.1)
    pool.standings.wake_due()
    assert set(served(pool, 4)) == set(keys.values())
    assert keys["a"].standing.status is Status.UNTESTED


@pytest.mark.parametrize(("seconds", "rest"), [(0.0, 1.0), (0.2, 1.0), (1e9, 2678400.0)])
def test_a_rest_lasts_at_least_a_second_and_at_most_max_cooldown(seconds: float, rest: float) -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    fail(pool, keys["a"], limited(seconds, clock.now))
    assert keys["a"].standing.until == clock.now + rest


def test_a_rejected_key_is_out_gets_one_try_and_is_invalid_only_then() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    fail(pool, keys["a"], REJECTED)
    assert status_of(keys["a"]) is Status.SUSPECT
    assert set(served(pool, 3)) == {keys["b"]}
    clock.advance(65)
    pool.standings.wake_due()
    trial = lease_of(pool, keys["a"])
    assert set(served(pool, 3)) == {keys["b"]}, "one request at a time tries it"
    pool.report(trial, REJECTED)
    assert keys["a"].standing.status is Status.INVALID_KEY
    assert keys["a"].standing.until == clock.now + 864000


def test_a_suspect_that_answers_is_valid_again() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    fail(pool, keys["a"], REJECTED)
    clock.advance(65)
    pool.standings.wake_due()
    succeed(pool, keys["a"])
    assert status_of(keys["a"]) is Status.VALID
    fail(pool, keys["a"], REJECTED)
    assert keys["a"].standing.status is Status.SUSPECT, "the count begins anew"


def test_a_trial_that_taught_nothing_is_tried_again() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    fail(pool, keys["a"], NO_QUOTA)
    clock.advance(21600)
    pool.standings.wake_due()
    pool.release(lease_of(pool, keys["a"]))
    pool.report(lease_of(pool, keys["a"]), NETWORK_ERROR)
    pool.report(lease_of(pool, keys["a"]), BAD_REQUEST)
    assert keys["a"].standing.status is Status.NO_QUOTA
    fail(pool, keys["a"], NO_QUOTA)
    assert keys["a"].standing.until == clock.now + 21600


@pytest.mark.parametrize("verdict", [BAD_REQUEST, NETWORK_ERROR, NO_MODEL])
def test_what_is_not_the_keys_fault_changes_nothing(verdict: Verdict) -> None:
    pool, keys = a_pool(Clock(), "a", "b")
    fail(pool, keys["a"], verdict)
    assert keys["a"].standing.status is Status.UNTESTED
    assert set(served(pool, 2)) == set(keys.values())


def test_a_server_error_benches_only_twice_in_a_row_while_others_succeed() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    for _ in range(5):
        fail(pool, keys["a"], SERVER_ERROR)
    assert status_of(keys["a"]) is Status.UNTESTED, "nobody else succeeds: the provider is down"
    succeed(pool, keys["b"])
    fail(pool, keys["a"], SERVER_ERROR)
    assert keys["a"].standing.status is Status.SERVER_ERROR
    assert keys["a"].standing.until == clock.now + 1800


def test_a_success_ends_a_streak() -> None:
    pool, keys = a_pool(Clock(), "a", "b")
    fail(pool, keys["a"], SERVER_ERROR)
    succeed(pool, keys["b"])
    succeed(pool, keys["a"])
    fail(pool, keys["a"], SERVER_ERROR)
    assert keys["a"].standing.usable


@pytest.mark.parametrize("verdict", [limited(), SERVER_ERROR])
def test_a_guess_never_takes_the_last_usable_key(verdict: Verdict) -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    succeed(pool, keys["a"])
    fail(pool, keys["b"], limited(600, clock.now))
    for _ in range(4):
        fail(pool, keys["a"], verdict)
    assert served(pool, 1) == [keys["a"]]


def test_the_providers_word_takes_the_last_key_too() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a")
    fail(pool, keys["a"], limited(20, clock.now))
    assert pool.lease("m") is None
    shortage = pool.shortage("m")
    assert shortage.cooling and shortage.retry_after == 20 and shortage.counts == {"rate_limited": 1}


def test_a_shortage_does_not_count_on_keys_that_were_blamed() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    fail(pool, keys["a"], limited(5, clock.now))
    fail(pool, keys["b"], limited(50, clock.now))
    assert pool.shortage("m", {keys["a"]}).retry_after == 50
    assert pool.shortage("m", set(keys.values())).retry_after is None


def test_a_verdict_about_a_model_leaves_the_other_models_alone() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    fail(pool, keys["a"], FORBIDDEN, "big")
    assert set(served(pool, 4, "big")) == {keys["b"]}
    assert set(served(pool, 4, "small")) == set(keys.values())
    clock.advance(65)
    pool.standings.wake_due()
    succeed(pool, keys["a"], "big")
    assert keys["a"].models is None
    assert set(served(pool, 4, "big")) == set(keys.values())


def test_a_missing_model_is_the_keys_only_if_other_keys_serve_it() -> None:
    pool, keys = a_pool(Clock(), "a", "b")
    assert pool.report(lease_of(pool, keys["a"]), NO_MODEL).scope is Scope.CLIENT
    succeed(pool, keys["b"])
    assert pool.report(lease_of(pool, keys["a"]), NO_MODEL).scope is Scope.KEY_MODEL
    assert set(served(pool, 4)) == {keys["b"]}


def test_with_a_status_per_model_a_limit_rests_one_model_only() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b", shared_status=False)
    fail(pool, keys["a"], limited(60, clock.now), "big")
    assert set(served(pool, 4, "big")) == {keys["b"]}
    assert set(served(pool, 4, "small")) == set(keys.values())
    fail(pool, keys["a"], REJECTED, "small")
    assert set(served(pool, 4, "other")) == {keys["b"]}, "a credential is the same for all models"


def test_a_late_failure_does_not_undo_a_newer_success() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    old, new = lease_of(pool, keys["a"]), lease_of(pool, keys["a"])
    pool.succeed(new)
    pool.report(old, limited(600, clock.now))
    assert keys["a"].standing.status is Status.VALID


def test_a_late_success_does_not_lift_a_newer_verdict() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    old, new = lease_of(pool, keys["a"]), lease_of(pool, keys["a"])
    pool.report(new, limited(600, clock.now))
    pool.succeed(old)
    assert keys["a"].standing.status is Status.RATE_LIMITED


def test_a_late_failure_does_not_undo_the_operators_word() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    old = lease_of(pool, keys["a"])
    pool.standings.clear(keys["a"])
    pool.report(old, limited(600, clock.now))
    assert keys["a"].standing.status is Status.UNTESTED


def test_a_disabled_key_stays_out_until_it_is_enabled() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    under_way = lease_of(pool, keys["a"])
    pool.standings.disable(keys["a"])
    pool.succeed(under_way)
    clock.advance(1e8)
    pool.standings.wake_due()
    assert set(served(pool, 4)) == {keys["b"]}
    pool.standings.enable(keys["a"])
    assert set(served(pool, 4)) == set(keys.values())


def test_a_removed_key_leaves_at_once_and_its_attempts_report_to_nobody() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    under_way = lease_of(pool, keys["a"])
    pool.standings.remove([keys["a"].digest])
    pool.report(under_way, limited(60, clock.now))
    assert set(served(pool, 4)) == {keys["b"]}
    assert sum(pool.standings.counts.values()) == 1
    assert not pool.standings.take_changes()
    back = a_key("a")
    pool.standings.add([back])
    assert set(served(pool, 4)) == {back, keys["b"]}


def test_changes_are_taken_once_with_the_last_standing() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    fail(pool, keys["a"], limited(5, clock.now))
    clock.advance(5)
    pool.standings.wake_due()
    succeed(pool, keys["a"])
    fail(pool, keys["b"], FORBIDDEN, "big")
    taken = {(change.digest, change.model): change.standing.status for change in pool.standings.take_changes()}
    assert taken == {(keys["a"].digest, ALL_MODELS): Status.VALID, (keys["b"].digest, "big"): Status.SUSPECT}
    assert pool.standings.take_changes() == []


def test_a_lease_ends_once() -> None:
    pool, _ = a_pool(Clock(), "a")
    lease = pool.lease("m")
    assert lease is not None
    pool.succeed(lease)
    with pytest.raises(RuntimeError):
        pool.release(lease)


def test_who_waits_first_is_woken_first_when_a_rest_ends() -> None:
    async def scenario() -> None:
        clock = Clock()
        pool, keys = a_pool(clock, "a", "b")
        order = []
        for key in keys.values():
            pool.standings.disable(key)

        async def wait(name: str) -> None:
            assert await wait_for_key(pool, 10)
            order.append(name)

        waiting = [asyncio.create_task(wait(name), name=name) for name in ("first", "second")]
        await asyncio.sleep(0)
        pool.standings.clear(keys["a"])
        pool.standings.clear(keys["b"])
        await asyncio.gather(*waiting)
        assert order == ["first", "second"]
        pool.close()

    run(scenario())


def test_a_rest_ends_by_itself_while_a_loop_runs() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        pool, keys = a_pool(Clock(), "a")
        pool._clock = pool.standings._clock = lambda: (
            1_800_000_000.0 + (loop.time() - start) * 100
        )  # a second takes ten milliseconds
        fail(pool, keys["a"], limited(1, pool._clock()))
        assert pool.lease("m") is None
        assert await wait_for_key(pool, 5)
        pool.close()

    run(scenario())


def test_a_closed_pool_wakes_nobody_not_even_for_a_verdict_that_comes_later() -> None:
    async def scenario() -> None:
        clock = Clock()
        pool, keys = a_pool(clock, "a", "b")
        lease = lease_of(pool, keys["a"])
        fail(pool, keys["b"], limited(60, clock.now))
        pool.close()
        pool.report(lease, limited(60, clock.now))
        assert pool.standings._wakeups._timer is None

    run(scenario())


def test_too_many_waiters_are_turned_away_and_a_cancelled_one_passes_its_turn_on() -> None:
    async def scenario() -> None:
        pool, keys = a_pool(Clock(), "a")
        pool.waiters.limit = 2
        pool.standings.disable(keys["a"])
        first = asyncio.create_task(wait_for_key(pool, 10), name="first")
        second = asyncio.create_task(wait_for_key(pool, 10), name="second")
        await asyncio.sleep(0)
        assert await wait_for_key(pool, 10) is None
        pool.standings.enable(keys["a"])
        first.cancel()
        assert await second is not None
        assert await asyncio.gather(first, return_exceptions=True)
        assert len(pool.waiters) == 0
        assert await wait_for_key(pool, 0.01) is None
        pool.close()

    run(scenario())
