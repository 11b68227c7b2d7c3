"""A provider that nobody gets through to, for no key's fault, is out; and why is told in a word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.provider import ProviderConfig, ProxyConfig
from gateway.errors import ConnectError, Disconnect, ProxyError, UpstreamTimeout
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.providers.classify import EMPTY_ANSWER, Meanings, classify_answer, classify_failure
from gateway.upstream.exchange import NO_PROXY
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.outage import KEYS_COUNTED, LONGEST_PAUSE, OUTAGE_FAULTS, OutageCause, cause_of_rejections
from gateway.upstream.proxypool import Way
from tests.providers.bodies import CHALLENGE, NGINX, openai
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
from tests.upstream.test_guard import some_ways

DOWN, BLOCKED = OutageCause.PROVIDER_DOWN, OutageCause.EGRESS_BLOCKED
REGION = Verdict(Scope.PROVIDER, Status.NO_ACCESS, "unsupported_region")
PROXY_DEAD = classify_failure(ProxyError("no connection to http://proxy.test:1"))
NOTHING_BEHIND = classify_failure(ProxyError("http://proxy.test:1 refuses a tunnel", beyond=True))


def answered(status: int, body: bytes = b"") -> Verdict:
    return classify_answer(Meanings(), status, (), body, 1_800_000_000.0)


def fail(pool: KeyPool, *verdicts: Verdict, key: Key | None = None, way: Way | None = None) -> None:
    """Attempts that fail like this, each with the key in turn unless it is said."""
    for verdict in verdicts:
        lease = lease_of(pool, key) if key is not None else pool.lease("m")
        assert lease is not None
        lease.way = way
        pool.report(lease, verdict)


def succeed(pool: KeyPool) -> None:
    lease = pool.lease("m")
    assert lease is not None
    pool.succeed(lease)


def cause(pool: KeyPool) -> OutageCause | None:
    outage = pool.outage()
    return None if outage is None else outage.cause


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (answered(500), DOWN),
        (answered(502, b"<html>"), DOWN),
        (answered(503), DOWN),
        (answered(503, NGINX), DOWN),
        (answered(529), DOWN),
        (EMPTY_ANSWER, DOWN),
        (classify_failure(UpstreamTimeout("first_byte", 600)), DOWN),
        (classify_failure(UpstreamTimeout("connect", 10)), DOWN),
        (classify_failure(ConnectError("no connection", detail="Connection refused")), DOWN),
        (classify_failure(ConnectError("no address", detail="Name or service not known")), DOWN),
        (classify_failure(Disconnect("closed")), DOWN),
        (NOTHING_BEHIND, DOWN),
        (PROXY_DEAD, BLOCKED),
        (NO_PROXY, BLOCKED),
        (answered(403, CHALLENGE), BLOCKED),
        (answered(503, CHALLENGE), BLOCKED),
        (answered(403, openai("Not supported.", "x", "unsupported_country_region_territory")), BLOCKED),
        (Verdict(Scope.PROVIDER, Status.NO_ACCESS, "address_not_allowed"), BLOCKED),
    ],
)
def test_three_faults_in_a_row_are_an_outage_and_each_speaks_of_its_cause(
    fault: Verdict, expected: OutageCause
) -> None:
    pool, _ = a_pool(Clock(), "a", "b")
    fail(pool, *[fault] * (OUTAGE_FAULTS - 1))
    assert pool.outage() is None
    fail(pool, fault)
    assert cause(pool) is expected
    assert pool.usable == 2, "it is only told: nothing is benched for it, and nothing closed"


def test_it_tells_since_when_how_often_with_how_many_keys_and_what_was_said_last() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    begun = clock.now
    for _ in range(3):
        for key in keys.values():
            fail(pool, SERVER_ERROR, key=key)
            clock.advance(10)
    fail(pool, replace(SERVER_ERROR, evidence="500 it is on fire"))
    outage = pool.outage()
    assert outage is not None
    assert (outage.since, outage.count, outage.keys, outage.last_error) == (begun, 7, 2, "500 it is on fire")


def test_a_success_ends_it() -> None:
    pool, _ = a_pool(Clock(), "a", "b")
    fail(pool, *[SERVER_ERROR] * 5)
    succeed(pool)
    assert pool.outage() is None
    fail(pool, *[SERVER_ERROR] * (OUTAGE_FAULTS - 1))
    assert pool.outage() is None
    fail(pool, SERVER_ERROR)
    assert pool.outage() is not None


@pytest.mark.parametrize("verdict", [REJECTED, FORBIDDEN, NO_QUOTA, limited(), BAD_REQUEST])
def test_what_says_nothing_of_the_provider_counts_nothing(verdict: Verdict) -> None:
    pool, _ = a_pool(Clock(), *"abcdefgh")
    fail(pool, SERVER_ERROR, SERVER_ERROR, verdict, verdict)
    assert pool.outage() is None
    fail(pool, SERVER_ERROR)
    outage = pool.outage()
    assert outage is not None and outage.count == OUTAGE_FAULTS


@pytest.mark.parametrize(
    ("fault", "verdict", "ended"),
    [
        (NETWORK_ERROR, limited(), True),
        (NETWORK_ERROR, NO_QUOTA, True),
        (REGION, BAD_REQUEST, True),
        (REGION, REJECTED, False),
        (SERVER_ERROR, limited(), False),
        (SERVER_ERROR, BAD_REQUEST, False),
    ],
)
def test_an_answer_shows_that_we_get_there_and_a_rejection_does_not(
    fault: Verdict, verdict: Verdict, ended: bool
) -> None:
    pool, _ = a_pool(Clock(), *"abcd")
    fail(pool, *[fault] * OUTAGE_FAULTS, verdict)
    assert (pool.outage() is None) is ended


@pytest.mark.parametrize(("fault", "ended"), [(NETWORK_ERROR, True), (SERVER_ERROR, False)])
def test_a_list_of_models_shows_that_we_get_there_and_no_more(fault: Verdict, ended: bool) -> None:
    pool, keys = a_pool(Clock(), "a", "b")
    fail(pool, *[fault] * OUTAGE_FAULTS)
    probe = pool.lease_for_probe(keys["a"], "")
    assert probe is not None
    pool.listed(probe)
    assert (pool.outage() is None) is ended


@pytest.mark.parametrize(("verdict", "told"), [(NETWORK_ERROR, True), (REGION, True), (SERVER_ERROR, False)])
def test_a_list_that_fails_tells_whether_we_get_there_and_no_more(verdict: Verdict, told: bool) -> None:
    pool, keys = a_pool(Clock(), "a", "b", "c")
    for key in keys.values():
        probe = pool.lease_for_probe(key, "")
        assert probe is not None
        pool.unlisted(probe, verdict)
    assert (pool.outage() is not None) is told
    assert not any(key.in_flight or key.standing.streak for key in keys.values())


def test_most_faults_say_what_the_cause_is() -> None:
    clock = Clock()
    pool, _ = a_pool(clock, *"abc")
    _, (dead, alive) = some_ways(clock, 2)
    fail(pool, PROXY_DEAD, way=dead)
    fail(pool, SERVER_ERROR, SERVER_ERROR, way=alive)
    outage = pool.outage()
    assert outage is not None and (outage.cause, outage.proxy) == (DOWN, None)


@pytest.mark.parametrize("fault", [PROXY_DEAD, NOTHING_BEHIND, SERVER_ERROR])
def test_the_proxy_that_all_went_through_is_named(fault: Verdict) -> None:
    clock = Clock()
    pool, _ = a_pool(clock, *"abc")
    _, (one, two) = some_ways(clock, 2)
    fail(pool, *[fault] * OUTAGE_FAULTS, way=one)
    outage = pool.outage()
    assert outage is not None and outage.proxy is one.proxy
    fail(pool, fault, way=two)
    fail(pool, fault, fault, way=one)
    outage = pool.outage()
    assert outage is not None and outage.proxy is None


def test_what_went_through_a_proxy_at_first_and_then_without_names_none() -> None:
    clock = Clock()
    pool, _ = a_pool(clock, *"abc")
    _, (one,) = some_ways(clock, 1)
    fail(pool, SERVER_ERROR)
    fail(pool, SERVER_ERROR, SERVER_ERROR, way=one)
    outage = pool.outage()
    assert outage is not None and outage.proxy is None


def test_faults_that_are_far_apart_are_not_in_a_row_and_old_ones_say_nothing_of_now() -> None:
    clock = Clock()
    pool, _ = a_pool(clock, "a", "b")
    for _ in range(5):
        fail(pool, SERVER_ERROR)
        clock.advance(LONGEST_PAUSE + 1)
    assert pool.outage() is None
    fail(pool, SERVER_ERROR)
    for _ in range(2):
        clock.advance(LONGEST_PAUSE)
        fail(pool, SERVER_ERROR)
    assert pool.outage() is not None
    clock.advance(LONGEST_PAUSE + 1)
    assert pool.outage() is None


def test_no_outage_began_in_the_future_where_the_clock_was_set_back() -> None:
    clock = Clock()
    pool, _ = a_pool(clock, "a", "b")
    fail(pool, *[SERVER_ERROR] * OUTAGE_FAULTS)
    clock.advance(-86400)
    assert pool.outage() is None
    fail(pool, *[SERVER_ERROR] * OUTAGE_FAULTS)
    outage = pool.outage()
    assert outage is not None and (outage.since, outage.count) == (clock.now, OUTAGE_FAULTS)


def test_only_so_many_keys_are_counted_that_a_long_outage_holds_on_to_no_more() -> None:
    pool, _ = a_pool(Clock(), *(f"k{n}" for n in range(KEYS_COUNTED + 10)))
    fail(pool, *[SERVER_ERROR] * (KEYS_COUNTED + 10))
    outage = pool.outage()
    assert outage is not None and (outage.keys, outage.count) == (KEYS_COUNTED, KEYS_COUNTED + 10)


@pytest.mark.parametrize(
    ("config", "ended"),
    [
        (ProviderConfig(base_url="https://elsewhere.test/v1"), True),
        (ProviderConfig(proxy=ProxyConfig(mode="pool")), True),
        (ProviderConfig(priority=7), False),
    ],
)
def test_what_was_seen_another_way_says_nothing_of_this_one(config: ProviderConfig, ended: bool) -> None:
    pool, _ = a_pool(Clock(), "a", "b")
    pool.configure(ProviderConfig(), "none", 10)
    fail(pool, *[NETWORK_ERROR] * OUTAGE_FAULTS)
    pool.configure(config, "none", 10)
    assert (pool.outage() is None) is ended


@pytest.mark.parametrize(
    ("ways", "faults", "expected"),
    [
        ((None, None, None), (), BLOCKED),
        ((0, 0, 0), (), BLOCKED),
        ((0, 1, 0), (), DOWN),
        ((None, None, None), (SERVER_ERROR,) * 3, DOWN),
        ((None, None, None), (REGION,) * 3, BLOCKED),
    ],
)
def test_rejected_keys_speak_of_our_address_unless_it_cannot_be_that_alone(
    ways: tuple[int | None, ...], faults: tuple[Verdict, ...], expected: OutageCause
) -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *"abcde")
    for key in keys.values():
        pool.succeed(lease_of(pool, key))
    _, through = some_ways(clock, 1 + max(way or 0 for way in ways))
    fail(pool, *faults)
    for way, name in zip(ways, "abc", strict=True):
        fail(pool, REJECTED, key=keys[name], way=None if way is None else through[way])
    assert pool.guard.tripped
    assert cause_of_rejections(pool.guard, pool.outage()) is expected
