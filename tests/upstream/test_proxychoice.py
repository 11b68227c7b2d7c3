"""Which proxy is next, and which one is a key's own."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b, sha256

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.proxyurl import ProxyUrl
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxychoice import ARRIVALS, ProxyChoice

KEYS = [sha256(b"%d" % n).digest() for n in range(2000)]


def proxies(count: int) -> list[Proxy]:
    return [Proxy(ProxyUrl("http", "proxy.test", n + 1)) for n in range(count)]


def choice_of(listed: list[Proxy]) -> ProxyChoice:
    choice = ProxyChoice()
    for proxy in listed:
        choice.put(proxy, usable=True)
    return choice


def highest(listed: list[Proxy], key: bytes) -> Proxy | None:
    """Rendezvous hashing by its definition."""
    ranks = {proxy: blake2b(proxy.digest, key=key, digest_size=8).digest() for proxy in listed}
    return max(ranks, key=lambda proxy: ranks[proxy], default=None)


def test_every_usable_proxy_gets_its_turn() -> None:
    listed = proxies(3)
    choice = choice_of(listed)
    choice.put(listed[1], usable=False)
    assert [choice.next() for _ in range(4)] == [listed[0], listed[2], listed[0], listed[2]]


def test_one_that_was_tried_is_not_taken_while_there_is_another() -> None:
    one, two = listed = proxies(2)
    choice = choice_of(listed)
    assert choice.next({one}) is two
    assert choice.has_other({one})
    assert not choice.has_other({one, two})
    assert choice.next({one, two}) in listed


def test_those_that_rest_are_better_than_none() -> None:
    one, two = listed = proxies(2)
    choice = choice_of(listed)
    choice.put(one, usable=False)
    choice.put(two, usable=False)
    assert not choice.has_other(())
    assert {choice.next(), choice.next()} == set(listed)
    assert choice.next({one}) is two
    assert choice.for_key(KEYS[0]) is highest(listed, KEYS[0])
    assert choice.for_key(KEYS[0], {highest(listed, KEYS[0])}) is not highest(listed, KEYS[0])  # type: ignore[arg-type]


def test_without_proxies_there_is_no_choice() -> None:
    assert ProxyChoice().next() is None
    assert ProxyChoice().for_key(KEYS[0]) is None


def test_a_key_keeps_its_proxy_whatever_the_order_of_the_file() -> None:
    listed = proxies(20)
    there, back = choice_of(listed), choice_of(listed[::-1])
    for key in KEYS[:200]:
        assert there.for_key(key) is there.for_key(key) is back.for_key(key)


def test_keys_spread_over_all_proxies() -> None:
    choice = choice_of(proxies(20))
    taken = Counter(choice.for_key(key) for key in KEYS)
    assert len(taken) == 20
    assert max(taken.values()) < 2 * len(KEYS) / 20


def test_removing_one_of_two_hundred_moves_only_its_own_keys() -> None:
    listed = proxies(200)
    choice = choice_of(listed)
    before = {key: choice.for_key(key) for key in KEYS}
    gone = listed[77]
    assert gone in before.values()
    choice.discard(gone)
    for key, proxy in before.items():
        moved = choice.for_key(key)
        assert moved is not gone
        assert moved is proxy or proxy is gone


def test_keys_move_off_a_resting_proxy_and_back() -> None:
    listed = proxies(20)
    choice = choice_of(listed)
    before = {key: choice.for_key(key) for key in KEYS}
    choice.put(listed[3], usable=False)
    assert listed[3] not in {choice.for_key(key) for key in KEYS}
    choice.put(listed[3], usable=True)
    assert {key: choice.for_key(key) for key in KEYS} == before


def test_a_key_whose_proxy_was_tried_takes_its_next_one_and_returns() -> None:
    choice = choice_of(proxies(20))
    own = choice.for_key(KEYS[0])
    assert own is not None
    second = choice.for_key(KEYS[0], {own})
    assert second not in (own, None)
    choice.put(own, usable=False)
    assert choice.for_key(KEYS[0]) is second
    choice.put(own, usable=True)
    assert choice.for_key(KEYS[0]) is own


def test_a_choice_made_long_ago_is_made_anew() -> None:
    listed = proxies(5)
    choice = choice_of(listed[:4])
    key = next(key for key in KEYS if highest(listed, key) is listed[4])
    assert choice.for_key(key) is not listed[4]
    choice.put(listed[4], usable=True)
    for _ in range(ARRIVALS):
        choice.put(listed[0], usable=False)
        choice.put(listed[0], usable=True)
    assert choice.for_key(key) is listed[4]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["usable", "resting", "gone", "ask"])), max_size=60))
def test_the_remembered_choice_is_always_the_highest(steps: list[tuple[int, str]]) -> None:
    listed = proxies(6)
    choice = ProxyChoice()
    for n, step in steps:
        if step == "gone":
            choice.discard(listed[n])
        elif step == "ask":
            for key in KEYS[n * 3 : n * 3 + 9]:
                pool = list(choice.usable) or list(choice.resting)
                assert choice.for_key(key) is highest(pool, key)
        else:
            choice.put(listed[n], usable=step == "usable")
