"""The proxies of one file: what is said about them, who believes it, and when it ends."""

from __future__ import annotations

from random import Random

import pytest

from gateway.config.model import ProxiesConfig
from gateway.config.proxyurl import ProxyUrl
from gateway.policy.proxyhealth import ALL_PROVIDERS, BEYOND_PROXY, EGRESS_BLOCKED, PROXY_FAILED, ProxyStanding
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import CANARY_DELAY, JITTER, ProviderProxies, ProxyPool

DOWN = Verdict(Scope.PROXY, Status.NETWORK_ERROR, PROXY_FAILED)
BEYOND = Verdict(Scope.PROXY, Status.NETWORK_ERROR, BEYOND_PROXY)
BLOCKED = Verdict(Scope.PROXY, Status.NO_ACCESS, "unsupported_region")
KEY = b"k" * 32


class Rig:
    """A pool of some proxies, two providers that use it, and a clock to turn."""

    def __init__(self, count: int = 3) -> None:
        self.now = 1000.0
        self.pool = ProxyPool("proxies.txt", ProxiesConfig(), clock=lambda: self.now, rng=Random(1))
        self.proxies = [Proxy(ProxyUrl("http", "proxy.test", n + 1)) for n in range(count)]
        self.pool.add(self.proxies)
        self.main = self.pool.user("main")
        self.other = self.pool.user("other")

    def usable(self, user: ProviderProxies) -> set[Proxy]:
        self.pool.wake_due()
        return set(user.choice.usable)


def test_leases_go_round() -> None:
    rig = Rig()
    leases = [rig.main.lease(KEY) for _ in range(6)]
    assert [lease.proxy for lease in leases[:3] if lease] == [lease.proxy for lease in leases[3:] if lease]
    assert {lease.proxy for lease in leases if lease} == set(rig.proxies)


def test_sticky_leases_stay() -> None:
    rig = Rig()
    rig.main.sticky = True
    assert len({lease.proxy for _ in range(6) if (lease := rig.main.lease(KEY))}) == 1
    assert len({lease.proxy for _ in range(6) if (lease := rig.other.lease(KEY))}) == 3


def test_an_empty_pool_lends_nothing() -> None:
    assert Rig(0).main.lease(KEY) is None


def test_a_proxy_that_cannot_be_reached_is_out_for_everybody_until_it_has_rested() -> None:
    rig = Rig()
    lease = rig.main.lease(KEY)
    assert lease is not None
    rig.main.report(lease, DOWN)
    for user in (rig.main, rig.other):
        assert rig.usable(user) == set(rig.proxies) - {lease.proxy}
    assert rig.pool.counts() == {"network_error": 1, "untested": 2}
    rig.now += 60.0
    assert rig.usable(rig.main) == set(rig.proxies)
    assert rig.pool.counts() == {"untested": 3}


def test_a_proxy_that_a_provider_blocks_is_out_for_that_one() -> None:
    rig = Rig()
    lease = rig.main.lease(KEY)
    assert lease is not None
    rig.main.report(lease, BLOCKED)
    assert rig.usable(rig.main) == set(rig.proxies) - {lease.proxy}
    assert rig.usable(rig.other) == set(rig.proxies)
    assert lease.proxy.standing_for("main").status is Status.NO_ACCESS
    rig.now += 60.0
    assert rig.usable(rig.main) == set(rig.proxies)


def test_a_success_lifts_what_was_said_before() -> None:
    rig = Rig(1)
    first = rig.main.lease(KEY)
    assert first is not None
    rig.main.report(first, DOWN)
    again = rig.main.lease(KEY)  # better than none
    assert again is not None
    assert again.proxy is first.proxy
    rig.main.succeed(again)
    assert rig.pool.counts() == {"valid": 1}
    assert rig.usable(rig.main) == set(rig.proxies)
    assert again.proxy.checked_at == rig.now


def test_a_success_for_one_provider_says_nothing_of_anothers_block() -> None:
    rig = Rig(1)
    blocked, fine = rig.main.lease(KEY), rig.other.lease(KEY)
    assert blocked is not None
    assert fine is not None
    rig.main.report(blocked, BLOCKED)
    rig.other.succeed(rig.pool.lend(rig.proxies[0]))
    assert not rig.usable(rig.main)
    rig.main.succeed(rig.pool.lend(rig.proxies[0]))
    assert rig.usable(rig.main) == set(rig.proxies)
    assert not rig.proxies[0].blocks


def test_an_outage_of_the_provider_costs_no_proxy() -> None:
    rig = Rig()
    for _ in range(12):
        lease = rig.main.lease(KEY)
        assert lease is not None
        rig.main.report(lease, BEYOND)
    assert rig.usable(rig.main) == set(rig.proxies)


def test_an_exit_that_fails_twice_while_others_succeed_is_benched() -> None:
    rig = Rig()
    dead, alive, _ = rig.proxies
    rig.main.report(rig.pool.lend(dead), BEYOND)
    assert dead in rig.usable(rig.main)
    rig.main.succeed(rig.pool.lend(alive))
    rig.main.report(rig.pool.lend(dead), BEYOND)
    assert rig.usable(rig.main) == set(rig.proxies) - {dead}
    assert rig.usable(rig.other) == set(rig.proxies)


def test_a_success_between_two_doubtful_failures_forgets_the_first() -> None:
    rig = Rig()
    flaky, alive, _ = rig.proxies
    for _ in range(5):
        rig.main.report(rig.pool.lend(flaky), BEYOND)
        rig.main.succeed(rig.pool.lend(alive))
        rig.main.succeed(rig.pool.lend(flaky))
    assert rig.usable(rig.main) == set(rig.proxies)


def test_a_late_failure_does_not_overwrite_a_newer_success() -> None:
    rig = Rig(1)
    old, new = rig.main.lease(KEY), rig.main.lease(KEY)
    assert old is not None
    assert new is not None
    rig.main.succeed(new)
    rig.main.report(old, DOWN)
    assert rig.pool.counts() == {"valid": 1}


def test_attempts_that_began_before_a_bench_neither_lift_nor_prolong_it() -> None:
    rig = Rig(1)
    first, second, third = (rig.pool.lend(rig.proxies[0]) for _ in range(3))
    rig.main.report(second, DOWN)
    until = rig.proxies[0].standing.until
    rig.now += 1.0
    rig.main.succeed(first)
    rig.main.report(third, DOWN)
    assert rig.proxies[0].standing.until == until


def test_the_rest_doubles_until_it_works_again() -> None:
    rig = Rig(1)
    proxy = rig.proxies[0]
    for rest in (60.0, 120.0, 240.0):
        rig.main.report(rig.pool.lend(proxy), DOWN)
        assert proxy.standing.until == rig.now + rest
        rig.now += rest
        rig.pool.wake_due()
    rig.main.succeed(rig.pool.lend(proxy))
    rig.main.report(rig.pool.lend(proxy), DOWN)
    assert proxy.standing.until == rig.now + 60.0


def test_the_operators_word_ends_a_rest_and_outweighs_older_attempts() -> None:
    rig = Rig(1)
    proxy = rig.proxies[0]
    late = rig.pool.lend(proxy)
    later = rig.pool.lend(proxy)
    rig.main.report(rig.pool.lend(proxy), DOWN)
    rig.main.report(rig.pool.lend(proxy), BLOCKED)
    rig.pool.clear(proxy)
    assert rig.pool.counts() == {"untested": 1}
    assert not proxy.blocks
    rig.main.report(late, DOWN)
    rig.main.succeed(later)
    assert rig.pool.counts() == {"untested": 1}


def test_a_proxy_that_left_is_lent_no_more_and_nothing_is_reported_on_it() -> None:
    rig = Rig()
    lease = rig.pool.lend(rig.proxies[0])
    rig.pool.remove([rig.proxies[0].digest, b"unknown"])
    rig.main.report(lease, DOWN)
    leases = [rig.main.lease(KEY) for _ in range(9)]
    assert {lease.proxy for lease in leases if lease} == set(rig.proxies[1:])
    assert rig.pool.take_changes() == []


def test_one_that_returns_keeps_what_was_not_yet_written() -> None:
    rig = Rig(1)
    rig.main.report(rig.pool.lend(rig.proxies[0]), DOWN)
    rig.main.report(rig.pool.lend(rig.proxies[0]), BLOCKED)
    rig.pool.remove([rig.proxies[0].digest])
    back = Proxy(rig.proxies[0].url)
    rig.pool.add([back])
    assert back.standing is rig.proxies[0].standing
    assert back.blocks == rig.proxies[0].blocks
    assert not rig.usable(rig.main)
    assert {change.provider for change in rig.pool.take_changes()} == {ALL_PROVIDERS, "main"}


def test_a_restored_rest_goes_on_to_its_end() -> None:
    rig = Rig(0)
    proxy = Proxy(ProxyUrl("http", "proxy.test", 1))
    proxy.standing = ProxyStanding(Status.NETWORK_ERROR, until=1010.0, reason=PROXY_FAILED, streak=3)
    rig.pool.add([proxy])
    assert not rig.usable(rig.main)
    rig.now = 1009.9
    assert not rig.usable(rig.main)
    rig.now = 1010.0
    assert rig.usable(rig.main) == {proxy}
    assert proxy.standing.streak == 3


def test_what_was_restored_of_a_provider_that_does_not_use_the_pool_is_left_out() -> None:
    """A proxy may be in two files, and the database remembers providers that are gone."""
    rig = Rig(0)
    proxy = Proxy(ProxyUrl("http", "proxy.test", 9))
    block = ProxyStanding(Status.NO_ACCESS, rig.now + 5, "unsupported_region")
    proxy.blocks = {"gone": block, "main": block}
    rig.pool.add([proxy])
    assert proxy.blocks == {"main": block}


def test_of_proxies_that_are_gone_nothing_is_kept() -> None:
    rig = Rig()
    for proxy in rig.proxies:
        rig.main.report(rig.pool.lend(proxy), BEYOND)
    assert len(rig.main._marks) == 3
    rig.pool.remove([proxy.digest for proxy in rig.proxies])
    assert not rig.main._marks and not rig.main.choice.usable


def test_changes_are_told_once_and_newest_word_only() -> None:
    rig = Rig(2)
    proxy = rig.proxies[0]
    rig.main.report(rig.pool.lend(proxy), BLOCKED)
    rig.main.report(rig.pool.lend(proxy), DOWN)
    rig.main.succeed(rig.pool.lend(proxy))
    changes = {change.provider: change.standing for change in rig.pool.take_changes()}
    assert changes[ALL_PROVIDERS] == ProxyStanding(Status.VALID)
    assert changes["main"] is None
    assert rig.pool.take_changes() == []
    for n in range(2):
        rig.main.report(rig.pool.lend(rig.proxies[n]), DOWN)
    assert len(rig.pool.take_changes(1)) == len(rig.pool.take_changes(5)) == 1


def test_a_proxy_counts_as_blocked_when_no_provider_can_use_it() -> None:
    rig = Rig(1)
    (proxy,) = rig.proxies
    rig.main.report(rig.pool.lend(proxy), BLOCKED)
    assert rig.pool.counts() == {"untested": 1}
    rig.other.report(rig.pool.lend(proxy), BLOCKED)
    assert rig.pool.counts() == {"no_access": 1}
    rig.main.report(rig.pool.lend(proxy), DOWN)
    assert rig.pool.counts() == {"network_error": 1}


SUSPECTED = Verdict(Scope.PROXY, Status.NO_ACCESS, EGRESS_BLOCKED)


def taken(rig: Rig, count: int = 6, *, proven: bool = True) -> list[Proxy]:
    """The proxies of so many leases of main's, which report nothing."""
    leases = [rig.main.lease(b"%032d" % n, proven=proven) for n in range(count)]
    return [lease.proxy for lease in leases if lease is not None]


def test_a_suspected_proxy_is_tried_at_once_by_one_key_that_has_proven_itself() -> None:
    rig = Rig()
    suspect = rig.proxies[0]
    rig.main.accuse(suspect, SUSPECTED)
    assert suspect.standing_for("main").status is Status.NO_ACCESS
    assert suspect not in taken(rig, proven=False)
    assert taken(rig).count(suspect) == 1
    assert suspect not in taken(rig)
    rig.now += CANARY_DELAY
    assert taken(rig).count(suspect) == 1, "nobody has heard of the last one"
    assert suspect in rig.usable(rig.other)


def test_after_a_canary_was_rejected_the_next_one_goes_when_the_rest_is_over() -> None:
    rig = Rig()
    suspect = rig.proxies[0]
    rig.main.accuse(suspect, SUSPECTED)
    for rest in (120.0, 240.0):
        rig.main.report(rig.pool.lend(suspect), SUSPECTED)
        rig.now += rest - 1
        assert suspect not in taken(rig)
        rig.now += 1
        assert suspect not in taken(rig, proven=False), "it stays out until a canary got through"
        assert taken(rig).count(suspect) == 1
    rig.main.succeed(rig.pool.lend(suspect))
    assert suspect in taken(rig, proven=False)
    assert rig.pool.counts() == {"untested": 2, "valid": 1}


def test_a_sticky_canary_is_a_key_of_the_suspected_proxy() -> None:
    rig = Rig()
    rig.main.sticky = True
    keys = [b"%032d" % n for n in range(30)]
    home = {key: lease.proxy for key in keys if (lease := rig.main.lease(key))}
    suspect = rig.proxies[0]
    rig.main.accuse(suspect, SUSPECTED)
    for key in keys:
        rig.now += CANARY_DELAY
        lease = rig.main.lease(key, proven=True)
        assert lease is not None
        assert lease.proxy is home[key]


def test_a_canary_avoids_what_the_request_has_tried_and_what_is_dead() -> None:
    rig = Rig()
    suspect = rig.proxies[0]
    rig.main.accuse(suspect, SUSPECTED)
    lease = rig.main.lease(KEY, {suspect}, proven=True)
    assert lease is not None and lease.proxy is not suspect
    rig.main.report(rig.pool.lend(suspect), DOWN)
    assert suspect not in taken(rig)


def test_checks_are_spread() -> None:
    jitters = {proxy.jitter for proxy in Rig(50).proxies}
    assert len(jitters) == 50
    assert all(-JITTER <= jitter <= JITTER for jitter in jitters)


@pytest.mark.parametrize("count", [1, 1000])
def test_the_heap_of_rests_stays_small(count: int) -> None:
    rig = Rig(count)
    for _ in range(300):
        rig.now += 1.0
        for proxy in rig.proxies[:20]:
            rig.main.report(rig.pool.lend(proxy), DOWN)
            rig.main.succeed(rig.pool.lend(proxy))
    assert len(rig.pool._rests) <= 2 * count * 3 + 65


def test_a_clock_that_is_set_back_keeps_no_proxy_out_for_longer() -> None:
    rig = Rig(1)
    year = 365 * 86400.0
    rig.now += year
    assert rig.usable(rig.main)
    lease = rig.main.lease(KEY)
    assert lease is not None
    rig.main.report(lease, DOWN)
    rig.now -= year
    assert not rig.usable(rig.main)
    rig.now += 60.0
    assert rig.usable(rig.main)
    assert lease.proxy.checked_at <= rig.now


def test_a_rest_that_begins_by_a_clock_that_was_set_back_lasts_as_long_as_any() -> None:
    rig = Rig(1)
    rig.now += 86400.0
    lease = rig.main.lease(KEY)
    assert lease is not None
    rig.now -= 86400.0
    rig.main.report(lease, DOWN)
    rig.now += rig.pool.config.rest - 1.0
    assert not rig.usable(rig.main)


def test_a_rest_from_a_clock_that_was_ahead_is_cut_when_it_is_restored() -> None:
    rig = Rig(0)
    proxy = Proxy(ProxyUrl("http", "proxy.test", 1))
    proxy.standing = ProxyStanding(Status.NETWORK_ERROR, rig.now + 365 * 86400.0, PROXY_FAILED, streak=1)
    proxy.checked_at = rig.now + 365 * 86400.0
    rig.pool.add([proxy])
    assert proxy.standing.until == rig.now + rig.pool.config.max_rest
    assert proxy.checked_at == rig.now
