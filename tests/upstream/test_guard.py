"""Many keys rejected alike have one cause that is not theirs."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from gateway.config.model import ProxiesConfig
from gateway.config.proxyurl import ProxyUrl
from gateway.policy.proxyhealth import EGRESS_BLOCKED
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProviderProxies, ProxyPool, Way
from tests.upstream import pools
from tests.upstream.pools import (
    BAD_REQUEST,
    FORBIDDEN,
    NETWORK_ERROR,
    NO_QUOTA,
    REJECTED,
    SERVER_ERROR,
    Clock,
    is_shut,
    lease_of,
    limited,
)

FIVE = ("a", "b", "c", "d", "e")


def a_pool(clock: Clock, *names: str) -> tuple[KeyPool, dict[str, Key]]:
    """Keys that have all proven good just now."""
    pool, keys = pools.a_pool(clock, *names)
    for key in keys.values():
        pool.succeed(lease_of(pool, key))
    return pool, keys


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
    assert not is_shut(pool)
    reject(pool, keys["c"], verdict=verdict)
    assert pool.guard.tripped and pool.usable == 0
    assert {key.standing.status for key in keys.values()} == {Status.VALID}
    assert not any(key.models for key in keys.values())


def test_keys_that_lie_idle_do_not_make_it_wait() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *(f"k{n}" for n in range(40)))
    clock.advance(3600)
    reject(pool, *list(keys.values())[:2])
    assert not pool.guard.tripped
    reject(pool, keys["k2"])
    assert pool.guard.tripped


def test_what_was_taken_back_is_what_the_database_learns() -> None:
    pool, keys, _ = a_tripped_pool()
    told = {change.digest: change.standing.status for change in pool.standings.take_changes()}
    assert told[keys["b"].digest] is Status.VALID


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
    pool.succeed(lease_of(pool, keys["e"]))
    reject(pool, *(keys[name] for name in "abcd"))
    assert not pool.guard.tripped
    assert keys["a"].standing.status is Status.INVALID_KEY


def test_new_keys_that_are_all_bad_are_no_common_cause() -> None:
    pool, keys = pools.a_pool(Clock(), *FIVE)
    reject(pool, *keys.values())
    assert not pool.guard.tripped
    assert {key.standing.status for key in keys.values()} == {Status.SUSPECT}


@pytest.mark.parametrize("verdict", [REJECTED, FORBIDDEN])
def test_nobody_who_had_proven_good_is_bad_for_good_until_another_one_got_through(verdict: Verdict) -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    rests = []
    for _ in range(8):
        reject(pool, keys["a"], verdict=verdict)
        standing = keys["a"].standing if verdict is REJECTED else (keys["a"].models or {})["m"]
        assert standing.status is Status.SUSPECT and standing.until is not None
        rests.append(standing.until - clock.now)
        clock.now = standing.until
        pool.standings.wake_due()
    assert rests == [65, 65, 65, 130, 260, 520, 1040, 2080]
    pool.succeed(lease_of(pool, keys["e"]))
    reject(pool, keys["a"], verdict=verdict)
    standing = keys["a"].standing if verdict is REJECTED else (keys["a"].models or {})["m"]
    assert standing.status is (Status.INVALID_KEY if verdict is REJECTED else Status.NO_ACCESS)


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
    assert keys["e"].standing.status is Status.VALID
    pool.succeed(good)
    assert not pool.guard.tripped


def test_the_operators_word_opens_the_pool() -> None:
    pool, _, _ = a_tripped_pool()
    pool.reset_guard()
    assert pool.usable == 5


@pytest.mark.parametrize("left", ["", "a", "ae"])
def test_the_pool_opens_when_none_of_the_rejected_keys_is_left(left: str) -> None:
    pool, keys, _ = a_tripped_pool()
    pool.standings.remove([keys["b"].digest, keys["c"].digest])
    assert is_shut(pool)
    pool.standings.remove([key.digest for name, key in keys.items() if name not in left])
    assert not pool.guard.tripped and pool.usable == len(left)
    assert pool.shortage("m").cause == ""


def test_a_pool_without_a_key_to_try_says_so_though_it_is_closed() -> None:
    pool, keys = a_pool(Clock(), *FIVE)
    reject(pool, keys["a"], keys["b"], keys["c"], verdict=replace(REJECTED, evidence="401"))
    assert pool.shortage("m").cause == "401"
    for key in keys.values():
        pool.standings.disable(key)
    assert pool.shortage("m").cause == "" and pool.shortage("m").counts == {"disabled": 5}


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


def some_ways(clock: Clock, count: int) -> tuple[ProviderProxies, list[Way]]:
    """A provider's proxies, and how an attempt goes through each."""
    pool = ProxyPool("main.txt", ProxiesConfig(), clock=clock, rng=Random(1))
    proxies = [Proxy(ProxyUrl("http", "proxy.test", n + 1)) for n in range(count)]
    pool.add(proxies)
    user = pool.user("main")
    return user, [Way(user, proxy) for proxy in proxies]


def attempt(pool: KeyPool, key: Key, way: Way, verdict: Verdict | None = REJECTED) -> Verdict | None:
    """Through this proxy; the verdict as the pool understands it. None: it succeeds."""
    lease = lease_of(pool, key)
    lease.way = way
    if verdict is not None:
        return pool.report(lease, verdict)
    pool.succeed(lease)
    return None


def test_rejections_that_all_came_through_one_proxy_point_at_it() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    user, (bad, good) = some_ways(clock, 2)
    said = [attempt(pool, keys[name], bad) for name in "abc"]
    assert [verdict.scope for verdict in said if verdict] == [Scope.KEY, Scope.KEY, Scope.PROXY]
    assert not pool.guard.tripped and pool.usable == 5
    assert {key.standing.status for key in keys.values()} == {Status.VALID}
    standing = bad.proxy.standing_for("main")
    assert (standing.status, standing.reason, standing.until) == (Status.NO_ACCESS, EGRESS_BLOCKED, clock.now + 60)
    assert list(user.choice.usable) == [good.proxy]


def test_a_proxy_that_is_refused_among_others_that_get_through_is_found_out() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    _, (bad, good, other) = some_ways(clock, 3)
    for name in "abc":
        attempt(pool, keys[name], bad)
        attempt(pool, keys["d"], good, None)
    assert not bad.proxy.usable_for("main")
    assert [keys[name].standing.status for name in "abcd"] == [Status.VALID] * 4
    attempt(pool, keys["a"], other)
    attempt(pool, keys["b"], good)
    assert {keys[name].standing.status for name in "ab"} == {Status.SUSPECT}, "by themselves"


def test_a_success_through_the_same_proxy_shows_that_each_was_rejected_by_itself() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    user, (one, _two) = some_ways(clock, 2)
    for name in "ab":
        attempt(pool, keys[name], one)
    attempt(pool, keys["e"], one, None)
    for name in "cd":
        attempt(pool, keys[name], one)
    assert len(user.choice.usable) == 2 and not pool.guard.tripped
    assert [keys[name].standing.status for name in "abcd"] == [Status.SUSPECT] * 4


def test_rejections_through_several_proxies_close_the_pool() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    user, (one, two) = some_ways(clock, 2)
    for name, way in zip("abc", (one, two, one), strict=True):
        attempt(pool, keys[name], way)
    assert pool.guard.tripped and pool.guard.way is None
    assert len(user.choice.usable) == 2


def test_the_only_proxy_there_is_closes_the_pool_and_is_named() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    _, (one,) = some_ways(clock, 1)
    for name in "abc":
        attempt(pool, keys[name], one)
    assert pool.guard.tripped and pool.guard.way == one
    assert one.proxy.usable_for("main")


def test_one_proxy_after_the_other_is_accused_until_the_last_one_closes_the_pool() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    user, ways = some_ways(clock, 3)
    for way in ways:
        assert not pool.guard.tripped
        for name in "abc":
            attempt(pool, keys[name], way)
    assert pool.guard.tripped and list(user.choice.usable) == [ways[2].proxy]
    assert {key.standing.status for key in keys.values()} == {Status.VALID}


def test_a_proxys_share_of_a_large_pool_is_wanted() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *(f"k{n}" for n in range(100)))
    user, ways = some_ways(clock, 4)
    for n in range(5):
        attempt(pool, keys[f"k{n}"], ways[0])
    assert len(user.choice.usable) == 4, "25 keys are its share, of which 20 % and more have to be rejected"
    attempt(pool, keys["k5"], ways[0])
    assert len(user.choice.usable) == 3


def test_rejections_through_a_proxy_that_are_far_apart_do_not_accuse_it() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    user, (one, two) = some_ways(clock, 2)
    for name in "abcd":
        attempt(pool, keys[name], one)
        attempt(pool, keys["e"], two, None)
        clock.advance(16)
    assert len(user.choice.usable) == 2
    clock.advance(31)
    attempt(pool, keys["e"], two, None)
    assert not pool.guard.watching, "what is past is forgotten"


def test_the_same_key_again_accuses_no_proxy() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    user, (one, _two) = some_ways(clock, 2)
    for _ in range(4):
        attempt(pool, keys["a"], one)
        pool.standings.clear(keys["a"])
    assert len(user.choice.usable) == 2


def an_accused_proxy() -> tuple[KeyPool, dict[str, Key], Way]:
    """Through it a, b and c were rejected in a row; e had proven itself."""
    clock = Clock()
    pool, keys = a_pool(clock, *FIVE)
    _, (bad, good) = some_ways(clock, 2)
    attempt(pool, keys["e"], good, None)
    for name in "abc":
        attempt(pool, keys[name], bad)
    assert not bad.proxy.usable_for("main")
    return pool, keys, bad


BLOCKED = Verdict(Scope.PROXY, Status.NO_ACCESS, EGRESS_BLOCKED)


@pytest.mark.parametrize("verdict", [None, limited(), NO_QUOTA, BAD_REQUEST])
def test_a_proxy_that_lets_a_canary_through_was_accused_wrongly(verdict: Verdict | None) -> None:
    pool, keys, way = an_accused_proxy()
    attempt(pool, keys["e"], way, verdict)
    assert [keys[name].standing.status for name in "abc"] == [Status.SUSPECT] * 3


def test_a_proxy_through_which_a_proven_key_is_rejected_was_to_blame() -> None:
    pool, keys, way = an_accused_proxy()
    attempt(pool, keys["e"], way, BLOCKED)
    assert keys["e"].standing.status is Status.VALID
    attempt(pool, keys["e"], way, None)
    assert [keys[name].standing.status for name in "abc"] == [Status.VALID] * 3


@pytest.mark.parametrize("verdict", [SERVER_ERROR, NETWORK_ERROR])
def test_an_attempt_without_an_answer_decides_nothing(verdict: Verdict) -> None:
    pool, keys, way = an_accused_proxy()
    attempt(pool, keys["e"], way, verdict)
    pool.standings.clear(keys["d"])
    attempt(pool, keys["d"], way, BLOCKED)  # nobody knows whether this one is good
    assert way in pool.guard.accused
    attempt(pool, keys["e"], way, None)
    assert [keys[name].standing.status for name in "abc"] == [Status.SUSPECT] * 3
