"""Whose circuit opens: what counts against a provider, what against a proxy on the way to it, and what never does."""

from __future__ import annotations

from random import Random

import pytest

from gateway.config.model import ProxiesConfig
from gateway.config.provider import CircuitBreakerConfig, ProviderConfig
from gateway.config.proxyurl import ProxyUrl
from gateway.policy.breaker import State
from gateway.policy.proxyhealth import BEYOND_PROXY, PROXY_FAILED
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.upstream.breakers import WAYS_LIMIT, Breakers, Circuit
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool, Way
from tests.upstream.pools import (
    BAD_REQUEST,
    FORBIDDEN,
    NETWORK_ERROR,
    NO_MODEL,
    NO_QUOTA,
    REJECTED,
    SERVER_ERROR,
    Clock,
    a_pool,
    limited,
)

CLOSED, HALF_OPEN, OPEN = State.CLOSED, State.HALF_OPEN, State.OPEN
OURS = Verdict(Scope.GATEWAY, Status.UNKNOWN, "ours")
TIMED_OUT = Verdict(Scope.PROVIDER, Status.TIMEOUT, "timeout")
OVERLOADED = Verdict(Scope.PROVIDER, Status.OVERLOADED, "overloaded", evidence="Too many.")
CUT = Verdict(Scope.PROVIDER, Status.NETWORK_ERROR, "disconnect")
DEAD = Verdict(Scope.PROXY, Status.NETWORK_ERROR, PROXY_FAILED)
NOTHING_BEHIND = Verdict(Scope.PROXY, Status.NETWORK_ERROR, BEYOND_PROXY)
BLOCKED = Verdict(Scope.PROXY, Status.NO_ACCESS, "unsupported_region")


class Rig:
    """A provider's breakers, so many proxies, and what was told."""

    def __init__(self, proxies: int = 0, **settings: object) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.breakers = Breakers("main", self.clock, Random(1), self.note)
        self.breakers.configure(CircuitBreakerConfig(**settings))  # type: ignore[arg-type]
        pool = ProxyPool("proxies.txt", ProxiesConfig(), clock=self.clock, rng=Random(1))
        pool.add([Proxy(ProxyUrl("http", "proxy.test", n + 1)) for n in range(proxies)])
        self.proxies = pool.user("main")
        self.ways = [Way(self.proxies, proxy) for proxy in self.proxies.choice.usable]

    def note(self, provider: str, circuit: Circuit) -> None:
        whose = provider if circuit.way is None else f"proxy {self.ways.index(circuit.way)}"
        self.told.append(f"{whose} {circuit.breaker.state.value}")

    def attempt(self, verdict: Verdict | None, way: Way | None = None) -> None:
        assert self.breakers.refusal() is None
        entry = self.breakers.enter()
        assert way is None or way.proxy not in entry.avoided
        self.breakers.end(entry, verdict, way)

    def break_off(self, count: int, way: Way | None = None) -> None:
        """Answers that begin and do not come to their end, one after the other."""
        for _ in range(count):
            assert self.breakers.refusal() is None
            begun = self.breakers.begin(self.breakers.enter(), way)
            self.breakers.broke(begun, CUT)

    def attempts(self, count: int, verdict: Verdict | None, way: Way | None = None) -> None:
        for _ in range(count):
            self.attempt(verdict, way)

    def states(self) -> dict[int | None, State]:
        """Of the provider (None) and its proxies by their number."""
        return {
            None if circuit.way is None else self.ways.index(circuit.way): circuit.breaker.state
            for circuit in self.breakers.circuits()
        }


@pytest.mark.parametrize("verdict", [SERVER_ERROR, NETWORK_ERROR, TIMED_OUT, OVERLOADED])
def test_the_providers_own_faults_open_its_circuit(verdict: Verdict) -> None:
    rig = Rig()
    rig.attempts(5, verdict)
    refusal = rig.breakers.refusal()
    assert refusal is not None and refusal.retry_after is not None and 48.0 <= refusal.retry_after <= 60.0
    assert (rig.breakers.state(), rig.told) == (OPEN, ["main open"])
    (circuit,) = rig.breakers.circuits()
    assert circuit.last_error == (verdict.evidence or verdict.reason)


@pytest.mark.parametrize("verdict", [REJECTED, FORBIDDEN, NO_QUOTA, NO_MODEL, BAD_REQUEST, OURS, limited()])
def test_keys_clients_and_we_ourselves_say_nothing_about_the_provider(verdict: Verdict) -> None:
    rig = Rig()
    rig.attempts(50, verdict)
    rig.attempts(4, SERVER_ERROR)
    rig.attempts(50, verdict)
    assert rig.breakers.state() is CLOSED
    rig.attempt(SERVER_ERROR)
    assert rig.breakers.state() is OPEN


def test_a_trial_that_says_nothing_gives_its_place_back() -> None:
    rig = Rig(half_open_probes=1)
    rig.attempts(5, SERVER_ERROR)
    rig.clock.advance(60)
    rig.attempts(3, limited())
    left = rig.breakers.enter()
    assert rig.breakers.refusal() is not None, "one at a time"
    rig.breakers.leave(left)
    rig.attempt(None)
    assert rig.told == ["main open", "main half_open", "main closed"]


def test_who_goes_by_the_operators_word_while_it_is_open_changes_nothing() -> None:
    rig = Rig(mode="manual_reset")
    rig.attempts(5, SERVER_ERROR)
    for verdict in (None, SERVER_ERROR, BAD_REQUEST):
        rig.breakers.end(rig.breakers.enter(), verdict, None)
    refusal = rig.breakers.refusal()
    assert refusal is not None and refusal.retry_after is None
    assert rig.breakers.reset()
    assert not rig.breakers.reset()
    assert rig.told == ["main open", "main closed"]


def test_answers_that_break_off_open_the_providers_circuit_and_open_it_again() -> None:
    rig = Rig()
    rig.attempts(2, SERVER_ERROR)
    rig.break_off(3)
    assert rig.states() == {None: OPEN}
    rig.clock.now += 60.0
    rig.attempts(2, None)
    rig.break_off(1)
    assert rig.told == ["main open", "main half_open", "main closed"], "the third success has closed it"
    rig.break_off(4)
    assert rig.told[3:] == ["main open"]


def test_an_answer_that_breaks_off_half_open_opens_it_at_once() -> None:
    rig = Rig()
    rig.attempts(5, SERVER_ERROR)
    rig.clock.now += 60.0
    rig.break_off(1)
    assert rig.told == ["main open", "main half_open", "main open"]


def test_an_answer_that_began_in_an_earlier_state_takes_nothing_back() -> None:
    rig = Rig()
    early = [rig.breakers.begin(rig.breakers.enter(), None) for _ in range(9)]
    rig.attempts(5, SERVER_ERROR)
    rig.clock.now += 60.0
    rig.attempts(3, None)
    for begun in early:
        rig.breakers.broke(begun, CUT)
    assert rig.states() == {None: CLOSED}
    assert rig.breakers.circuits()[0].breaker.failures_in_row == 0


def test_answers_that_break_off_through_one_proxy_alone_are_held_against_it() -> None:
    rig = Rig(3)
    for _ in range(20):
        if rig.states().get(0) is OPEN:
            break
        rig.break_off(1, rig.ways[0])
        rig.attempt(None, rig.ways[1])
    assert rig.states() == {None: CLOSED, 0: OPEN}


def test_answers_that_break_off_through_every_proxy_are_the_providers_fault() -> None:
    rig = Rig(3)
    for number in range(5):
        rig.break_off(1, rig.ways[number % 3])
    assert rig.states()[None] is OPEN
    assert rig.told == ["main open"]


def test_one_of_several_proxies_is_avoided_when_others_get_through() -> None:
    rig = Rig(3)
    one, two, three = rig.ways
    for _ in range(5):
        rig.attempt(TIMED_OUT, one)
        rig.attempt(None, two)
        rig.attempt(None, three)
    assert rig.states() == {None: CLOSED, 0: OPEN}
    assert rig.breakers.state() is CLOSED
    entry = rig.breakers.enter()
    assert set(entry.avoided) == {one.proxy}
    rig.clock.advance(60)
    trial, beside = rig.breakers.enter(), rig.breakers.enter()
    assert (set(trial.avoided), trial.trials) == (set(), (one.proxy,))
    rig.breakers.end(trial, None, two)  # it went another way
    rig.breakers.end(beside, None, one)
    rig.attempts(2, None, one)
    assert rig.states() == {None: CLOSED, 0: CLOSED}
    assert rig.told == ["proxy 0 open", "proxy 0 half_open", "proxy 0 closed"]


def test_what_is_held_against_proxies_is_not_held_against_the_provider() -> None:
    """Most of the attempts fail, which would be enough."""
    rig = Rig(6)
    *bad, good = rig.ways
    for way in bad:
        rig.attempts(4, SERVER_ERROR, way)
        rig.attempt(None, good)
        rig.attempt(SERVER_ERROR, way)
    assert rig.states() == {None: CLOSED} | dict.fromkeys(range(5), OPEN)
    rig.attempts(20, None, good)


def test_when_no_proxy_gets_through_it_is_the_provider() -> None:
    rig = Rig(3)
    for way in (*rig.ways, *rig.ways[:2]):
        rig.attempt(SERVER_ERROR, way)
    assert rig.states() == {None: OPEN, 0: CLOSED, 1: CLOSED, 2: CLOSED}


def test_after_an_outage_that_all_took_through_one_proxy_another_one_looks() -> None:
    rig = Rig(2, half_open_probes=1)
    one, two = rig.ways
    rig.attempts(5, TIMED_OUT, one)
    rig.clock.advance(60)
    trial = rig.breakers.enter()
    assert set(trial.avoided) == {one.proxy}
    rig.breakers.end(trial, None, two)
    rig.attempt(TIMED_OUT, one)
    assert rig.states() == {None: CLOSED, 0: OPEN}


def test_an_outage_leaves_no_proxy_under_suspicion() -> None:
    rig = Rig(2)
    for way in rig.ways * 2 + rig.ways[:1]:
        rig.attempt(SERVER_ERROR, way)
    for _ in range(5):  # rounds of trials that fail
        rig.clock.advance(300)
        rig.breakers.end(rig.breakers.enter(), SERVER_ERROR, rig.ways[1])
    rig.clock.advance(300)
    for _ in range(3):
        rig.breakers.end(rig.breakers.enter(), None, rig.ways[0])
    rig.attempt(SERVER_ERROR, rig.ways[1])
    assert rig.states() == {None: CLOSED, 1: CLOSED}


@pytest.mark.parametrize("verdict", [DEAD, BLOCKED])
def test_a_proxys_own_fault_is_its_own(verdict: Verdict) -> None:
    rig = Rig(2)
    rig.attempts(50, verdict, rig.ways[0])
    assert rig.states() == {None: CLOSED}, "it rests, which is enough"


@pytest.mark.parametrize("verdict", [DEAD, BLOCKED])
def test_the_only_proxy_has_a_circuit_of_its_own(verdict: Verdict) -> None:
    rig = Rig(1)
    rig.attempts(5, verdict, rig.ways[0])
    assert rig.states() == {None: CLOSED, 0: OPEN}
    assert rig.breakers.state() is OPEN
    refusal = rig.breakers.refusal()
    assert refusal is not None and refusal.retry_after is not None and 48.0 <= refusal.retry_after <= 60.0
    rig.clock.advance(60)
    assert rig.breakers.state() is HALF_OPEN
    entries = [rig.breakers.enter() for _ in range(3)]
    assert rig.breakers.refusal() is not None
    for entry in entries:
        rig.breakers.end(entry, None, rig.ways[0])
    assert rig.breakers.state() is CLOSED


def test_where_nothing_is_behind_any_proxy_it_counts_as_the_providers() -> None:
    rig = Rig(2)
    for way in (*rig.ways, *rig.ways, rig.ways[0]):
        rig.attempt(NOTHING_BEHIND, way)
    assert rig.states()[None] is OPEN


def test_without_any_proxy_where_one_is_wanted_no_circuit_opens() -> None:
    rig = Rig()
    rig.attempts(50, DEAD)
    assert rig.states() == {None: CLOSED}


def test_a_late_failure_through_a_proxy_that_is_shut_by_now_counts_nowhere() -> None:
    rig = Rig(2)
    one, two = rig.ways
    late = [rig.breakers.enter() for _ in range(40)]
    rig.attempt(TIMED_OUT, one)
    rig.attempt(None, two)
    rig.attempts(4, TIMED_OUT, one)
    for entry in late:
        rig.breakers.end(entry, TIMED_OUT, one)
    assert rig.states() == {None: CLOSED, 0: OPEN}


def test_a_late_failure_from_before_the_operators_word_counts_nowhere() -> None:
    rig = Rig(1)
    late = [rig.breakers.enter() for _ in range(20)]
    rig.attempts(5, DEAD, rig.ways[0])
    rig.breakers.reset()
    for entry in late:
        rig.breakers.end(entry, DEAD, rig.ways[0])
        rig.breakers.end(entry, SERVER_ERROR, None)
    assert set(rig.states().values()) == {CLOSED}


def test_a_proxy_that_has_settled_down_or_is_gone_is_forgotten() -> None:
    rig = Rig(3)
    for way in rig.ways:
        rig.attempt(SERVER_ERROR, way)
    rig.clock.advance(90)
    rig.attempt(None, rig.ways[0])
    rig.proxies.pool.remove([rig.ways[1].proxy.digest])
    assert set(rig.states()) == {None, 1, 2}
    rig.attempt(SERVER_ERROR, rig.ways[0])
    assert set(rig.states()) == {None, 0, 2}


def test_the_proxies_that_are_remembered_are_bounded() -> None:
    rig = Rig(WAYS_LIMIT + 5, failure_threshold=10_000)
    for way in rig.ways:
        rig.attempt(SERVER_ERROR, way)
        rig.attempt(None)
    assert len(rig.breakers.circuits()) == 1 + WAYS_LIMIT


def test_switched_off_nothing_is_counted_or_refused() -> None:
    rig = Rig(1, enabled=False)
    rig.attempts(50, SERVER_ERROR)
    rig.attempts(50, DEAD, rig.ways[0])
    assert rig.states() == {None: CLOSED}


def test_a_reload_keeps_what_is_open_unless_the_provider_is_another_one() -> None:
    clock = Clock()
    pool, _ = a_pool(clock, "one")
    config = ProviderConfig(name="main", type="openai", base_url="https://one.test/v1")
    pool.configure(config, "none", 10)
    for _ in range(5):
        pool.breakers.end(pool.breakers.enter(), SERVER_ERROR, None)
    pool.configure(ProviderConfig(name="main", type="openai", base_url="https://one.test/v1", priority=3), "none", 10)
    assert pool.breakers.state() is OPEN
    pool.configure(ProviderConfig(name="main", type="openai", base_url="https://two.test/v1"), "none", 10)
    assert pool.breakers.state() is CLOSED
