"""Keys with limits of our own: what they have used is counted, and they are spared before the provider says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from gateway.config.provider import KeyLimitsConfig, ProviderConfig
from gateway.upstream.key import Key, Rest
from gateway.upstream.keypool import KeyPool
from tests.upstream.pools import Clock, a_pool


def limited_pool(clock: Clock, *names: str, **limits: int) -> tuple[KeyPool, dict[str, Key]]:
    pool, keys = a_pool(clock, *names)
    pool.configure(replace(ProviderConfig(), key_limits=KeyLimitsConfig(**limits)), "none", 10)
    return pool, keys


def test_a_key_is_spared_when_it_has_used_its_requests_per_minute() -> None:
    clock = Clock()
    pool, _ = limited_pool(clock, "a", "b", rpm=3)
    used: Counter[Key] = Counter()
    while (lease := pool.lease("m")) is not None:
        used[lease.key] += 1
        pool.succeed(lease)
    assert set(used.values()) == {3}
    shortage = pool.shortage("m")
    assert shortage.cooling and shortage.retry_after is not None and 60 <= shortage.retry_after <= 65
    clock.advance(shortage.retry_after)
    pool.standings.wake_due()
    assert pool.lease("m") is not None


def test_a_key_is_spared_while_it_has_enough_to_do() -> None:
    pool, keys = limited_pool(Clock(), "a", concurrency=2)
    first, second = pool.lease("m"), pool.lease("m")
    assert first is not None and second is not None and pool.lease("m") is None
    assert pool.shortage("m").cooling
    pool.succeed(first, answering=True)
    assert pool.lease("m") is None, "its answer is still being read"
    pool.finish(first)
    assert pool.lease("m") is not None
    assert keys["a"].in_flight == 2


def test_a_large_request_goes_to_a_key_with_room_for_it() -> None:
    pool, keys = limited_pool(Clock(), "a", "b", tpm=1000)
    first = pool.lease("m", {keys["b"]}, tokens=600)
    assert first is not None
    pool.succeed(first)
    for _ in range(2):
        lease = pool.lease("m", tokens=400)
        assert lease is not None
        pool.release(lease)
    big = pool.lease("m", tokens=500)
    assert big is not None and big.key is keys["b"]
    assert pool.lease("m", tokens=900) is None


def test_what_was_not_used_of_an_estimate_is_given_back() -> None:
    pool, _ = limited_pool(Clock(), "a", tpm=1000)
    lease = pool.lease("m", tokens=999)
    assert lease is not None and pool.lease("m", tokens=500) is None
    pool.succeed(lease, answering=True)
    pool.finish(lease, 100)
    assert pool.lease("m", tokens=500) is not None


def test_a_probe_counts_as_a_request() -> None:
    clock = Clock()
    pool, keys = limited_pool(clock, "a", concurrency=1)
    probe = pool.lease_for_probe(keys["a"], "m")
    assert probe is not None and pool.lease("m") is None
    pool.succeed(probe)
    assert pool.lease("m") is not None
    pool, keys = limited_pool(clock, "a", rpm=1)
    probe = pool.lease_for_probe(keys["a"], "m")
    assert probe is not None
    pool.succeed(probe)
    assert pool.lease("m") is None and not pool.standings.probing.wants(Rest(keys["a"], None))


def test_a_key_that_had_no_room_for_its_probe_is_probed_when_it_has() -> None:
    clock = Clock()
    pool, keys = limited_pool(clock, "a", rpm=1)
    pool.configure(replace(ProviderConfig(), key_limits=KeyLimitsConfig(rpm=1)), "request", 10)
    probe = pool.lease_for_probe(keys["a"], "m")
    assert probe is not None
    pool.release(probe)
    pool.standings.probing.wanted.clear()  # the Keeper took it off, for there is no room
    clock.advance(66)
    pool.standings.wake_due()
    assert pool.standings.probing.wants(*pool.standings.probing.wanted)


@pytest.mark.parametrize("after", [KeyLimitsConfig(), KeyLimitsConfig(rpm=5)])
def test_changed_limits_count_at_once(after: KeyLimitsConfig) -> None:
    pool, _ = limited_pool(Clock(), "a", rpd=1)
    lease = pool.lease("m")
    assert lease is not None and pool.lease("m") is None
    pool.configure(replace(ProviderConfig(), key_limits=after), "none", 10)
    taken = [pool.lease("m") for _ in range(5)]
    assert all(taken) and (pool.lease("m") is None) is bool(after.rpm)
    pool.succeed(lease)


def test_use_that_was_counted_goes_on_counting_where_another_limit_changes() -> None:
    pool, _ = limited_pool(Clock(), "a", rpd=1)
    lease = pool.lease("m")
    assert lease is not None
    pool.succeed(lease)
    pool.configure(replace(ProviderConfig(), key_limits=KeyLimitsConfig(rpd=1, concurrency=5)), "none", 10)
    assert pool.lease("m") is None


def test_an_estimate_is_not_given_back_to_limits_that_are_newer_than_it() -> None:
    pool, _ = limited_pool(Clock(), "a", tpm=1000)
    before = pool.lease("m", tokens=900)
    assert before is not None
    pool.configure(replace(ProviderConfig(), key_limits=KeyLimitsConfig(tpm=500)), "none", 10)
    assert pool.lease("m", tokens=400) is not None
    pool.release(before)
    assert pool.lease("m", tokens=400) is None


def test_the_operator_may_forget_what_a_key_has_used() -> None:
    pool, keys = limited_pool(Clock(), "a", rpd=1)
    assert pool.lease("m") is not None and pool.lease("m") is None
    pool.standings.clear(keys["a"])
    assert pool.lease("m") is not None


def test_a_clock_that_is_set_back_takes_what_was_used_with_it() -> None:
    clock = Clock()
    pool, _ = limited_pool(clock, "a", rpm=1)
    clock.advance(365 * 86400)
    assert pool.lease("m") is not None
    clock.advance(-365 * 86400)
    for _ in range(2):
        pool.standings.wake_due()
        clock.advance(66)
        pool.standings.wake_due()
        assert pool.lease("m") is not None


def test_a_key_that_is_used_up_first_after_the_clock_was_set_back_is_spared_all_the_same() -> None:
    clock = Clock()
    pool, _ = limited_pool(clock, "a", rpm=1)
    assert pool.lease("m") is not None
    clock.advance(100)
    pool.standings.wake_due()
    clock.advance(-86400)
    assert pool.lease("m") is not None
    clock.advance(1)
    pool.standings.wake_due()
    assert pool.lease("m") is None
