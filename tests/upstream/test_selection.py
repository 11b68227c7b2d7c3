"""How a key is chosen among those that may be, in each of the ways."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.provider import ProviderConfig
from gateway.secret import Secret
from gateway.upstream.key import Key
from gateway.upstream.ring import Ring
from gateway.upstream.selection import WeightedRing, ring_maker
from tests.upstream.pools import Clock, a_pool

WAYS = ("round_robin", "least_in_flight", "weighted", "random", "sticky")


def some_keys(n: int, **labels: str) -> list[Key]:
    secrets = [Secret(f"sk-{i:04}-0123456789") for i in range(n)]
    return [Key(secret, secret.digest, labels) for secret in secrets]


def a_ring(way: str, keys: list[Key]) -> Ring[Key]:
    return ring_maker(way, Random(5))(keys)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("affinity", ["", "a conversation"])
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9))), st.sets(st.integers(0, 9)))
def test_every_ring_chooses_among_its_keys_but_for_the_excluded_ones(
    way: str, affinity: str, changes: list[tuple[bool, int]], excluded: set[int]
) -> None:
    keys = some_keys(10)
    ring, expected = a_ring(way, keys[:3]), set(keys[:3])
    for joins, n in changes:
        (ring.add if joins else ring.discard)(keys[n])
        (expected.add if joins else expected.discard)(keys[n])
    assert set(ring) == expected and len(ring) == len(expected)
    but = {keys[n] for n in excluded}
    chosen = ring.next(but, affinity)
    assert (chosen in expected - but) if expected - but else chosen is None
    assert set(ring) == expected, "choosing takes nobody out"


@pytest.mark.parametrize("way", [way for way in WAYS if way != "random"])
def test_without_anything_else_to_go_by_everybody_gets_the_same_share(way: str) -> None:
    keys = some_keys(7)
    ring = a_ring(way, keys)
    assert Counter(ring.next() for _ in range(70)) == dict.fromkeys(keys, 10)


def test_random_is_fair_in_the_long_run() -> None:
    keys = some_keys(5)
    ring = a_ring("random", keys)
    counts = Counter(ring.next() for _ in range(5000))
    assert all(900 < counts[key] < 1100 for key in keys)


def test_weights_are_shares_evenly_spread() -> None:
    keys = some_keys(3)
    for key, weight in zip(keys, ("1", "3", "0.5"), strict=True):
        key.labels = {"weight": weight}
    ring = a_ring("weighted", keys)
    turns = [keys.index(ring.next() or keys[0]) for _ in range(90)]
    assert Counter(turns) == {0: 20, 1: 60, 2: 10}
    assert max(turns[n : n + 5].count(1) for n in range(80)) <= 4, "not all of a key's turns in a row"


def test_who_was_away_does_not_catch_up() -> None:
    keys = some_keys(2)
    ring = a_ring("weighted", keys)
    ring.discard(keys[0])
    for _ in range(100):
        ring.next()
    ring.add(keys[0])
    assert Counter(ring.next() for _ in range(10))[keys[0]] in (5, 6)


def test_the_key_with_the_fewest_requests_under_way_goes_first() -> None:
    keys = some_keys(4)
    for key, n in zip(keys, (3, 1, 0, 2), strict=True):
        key.in_flight = n
    ring = a_ring("least_in_flight", keys)
    assert ring.next() is keys[2]
    assert ring.next({keys[2]}) is keys[1]
    keys[2].in_flight = 5
    assert ring.next() is keys[1]


def test_a_conversation_keeps_its_key_and_comes_back_to_it() -> None:
    keys = some_keys(50)
    ring = a_ring("sticky", keys)
    names = [f"conversation {n}" for n in range(200)]
    before = {name: ring.next((), name) for name in names}
    assert {name: ring.next((), name) for name in names} == before
    assert len(set(before.values())) > 25, "they are spread over the keys"
    gone = keys[7]
    ring.discard(gone)
    meanwhile = {name: ring.next((), name) for name in names}
    assert {name for name in names if meanwhile[name] is not before[name]} == {
        name for name in names if before[name] is gone
    }
    ring.add(gone)
    assert {name: ring.next((), name) for name in names} == before


def test_a_pool_changes_its_way_without_losing_a_key() -> None:
    pool, keys = a_pool(Clock(), "a", "b", "c")
    lease = pool.lease("m")
    assert lease is not None
    for way in (*WAYS, "round_robin"):
        pool.configure(replace(ProviderConfig(), selection=way), "none", 10)
        chosen = {pool.lease("m", affinity=str(n)) for n in range(40)}
        assert {each.key for each in chosen if each is not None} <= set(keys.values())
        assert pool.usable == 3
    pool.succeed(lease)
    assert pool.usable == 3


def test_weights_hold_where_a_key_serves_one_request_at_a_time() -> None:
    keys = some_keys(3)
    for key, weight in zip(keys, ("10", "1", "1"), strict=True):
        key.labels = {"weight": weight}
    ring, turns = a_ring("weighted", keys), Counter[Key]()
    for _ in range(1200):
        chosen = ring.next()
        assert chosen is not None
        turns[chosen] += 1
        ring.discard(chosen)  # it is busy, and back before anybody else asks
        ring.add(chosen)
    assert [turns[key] for key in keys] == [1000, 100, 100]


class Counted(Key):
    """A key that counts how often anything is looked up for it."""

    lookups = 0

    def __hash__(self) -> int:
        Counted.lookups += 1
        return int.from_bytes(self.digest[:8])


@pytest.mark.parametrize("way", WAYS)
def test_that_all_keys_leave_one_after_the_other_costs_each_the_same(way: str) -> None:
    costs = []
    for n in (250, 2000):
        ring = a_ring(way, [Counted(key.secret, key.digest) for key in some_keys(n)])
        Counted.lookups = 0
        while (key := ring.next()) is not None:
            ring.discard(key)
        costs.append(Counted.lookups / n)
    assert costs[1] < 1.5 * costs[0]


@pytest.mark.parametrize("benched", [True, False])
def test_nothing_is_kept_of_the_turns_of_a_key_that_is_gone_for_good(benched: bool) -> None:
    keys = some_keys(2)
    ring = a_ring("weighted", keys)
    assert isinstance(ring, WeightedRing)
    if benched:
        ring.discard(keys[0])
    keys[0].removed = True
    ring.discard(keys[0])
    assert set(ring._entry) == {keys[1]}
