"""What becomes of a pool in months of a provider's life. No good key is lost, no bad one is used more than allowed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from gateway.config.provider import CircuitBreakerConfig
from gateway.policy.verdict import Status
from tests.conftest import run
from tests.keeper.world import (
    BANNED,
    DAY,
    HOUR,
    MINUTE,
    REJECTED,
    Answer,
    Exit,
    Gateway,
    Naive,
    Plan,
    World,
    usable,
)  # fmt: skip
from tests.upstream.pools import Clock

START = Clock().now
FOREVER = START + 10_000 * DAY
LONGEST_OPEN = CircuitBreakerConfig().max_open_for


def a_world(**groups: tuple[int, Callable[[], Plan]]) -> World:
    plans = {f"{name}-{n}": make() for name, (count, make) in groups.items() for n in range(count)}
    return World(Clock(), plans)


def live(world: World, until: float, every: float, probing: str = "models", shared: bool = True) -> Gateway:
    """The gateway after this time."""

    async def scenario() -> Gateway:
        gateway = Gateway(world, probing, shared)
        await gateway.run(until, every)
        return gateway

    return run(scenario(), 60)


@pytest.mark.parametrize("probing", ["none", "models", "request"])
def test_dead_keys_are_asked_seldom_and_never_noticed(probing: str) -> None:
    world = a_world(good=(14, Plan), dead=(6, lambda: Plan(dead=[(START, FOREVER)])))
    gateway = live(world, START + 100 * DAY, HOUR, probing)
    assert gateway.failed == 0 and gateway.lost() == []
    assert usable(gateway) == {f"good-{n}" for n in range(14)}
    for n in range(6):
        calls = len(world.calls[f"dead-{n}"])
        assert 2 <= calls <= 4 + 10, "until it is confirmed, then every ten days, and after ninety no more"


@pytest.mark.parametrize("probing", ["none", "models", "request"])
def test_keys_that_were_suspended_for_days_come_back(probing: str) -> None:
    span = (START + 2 * DAY, START + 5 * DAY)
    world = a_world(good=(10, Plan), suspended=(10, lambda: Plan(dead=[span])))
    gateway = live(world, START + 20 * DAY, 20 * MINUTE, probing)
    assert gateway.failed == 0 and gateway.lost() == []
    assert len(usable(gateway)) == 20


def test_keys_that_are_dead_for_forty_days_come_back_from_quarantine() -> None:
    world = a_world(good=(5, Plan), gone=(5, lambda: Plan(dead=[(START + DAY, START + 41 * DAY)])))
    gateway = live(world, START + 65 * DAY, HOUR)
    assert len(usable(gateway)) == 10 and gateway.failed == 0


def test_an_hour_of_probing_tells_ten_thousand_keys_apart() -> None:
    world = a_world(good=(7_000, Plan), bad=(3_000, lambda: Plan(dead=[(START, FOREVER)])))
    gateway = live(world, START + HOUR, 2 * HOUR)
    assert +gateway.pool.standings.counts == {Status.VALID: 7_000, Status.INVALID_KEY: 3_000}
    health = gateway.provider.config.health
    for name, calls in world.calls.items():
        if name.startswith("bad"):
            assert len(calls) == 1 + health.verification_attempts, name
            assert all(later - at >= health.verification_delay for at, later in itertools.pairwise(calls)), name
    probes = sum(len(calls) for calls in world.calls.values())
    assert probes <= 7_000 + 3_000 * (1 + health.verification_attempts) + 5, "a request at the start, some witnesses"
    first = sum(START <= at < START + health.batch_interval for calls in world.calls.values() for at in calls)
    assert first <= health.batch_size + 1, "nobody knows at first what the provider bears"


@pytest.mark.parametrize("probing", ["none", "models", "request"])
def test_keys_that_a_model_was_forbidden_to_for_a_day_get_it_back(probing: str) -> None:
    """A list of models, which they may fetch all the time, does not decide about it."""
    span = (START + DAY, START + 2 * DAY)
    world = a_world(good=(5, Plan), barred=(2, lambda: Plan(barred=[span])))
    gateway = live(world, START + 20 * DAY, 10 * MINUTE, probing)
    assert gateway.failed == 0 and gateway.lost() == []
    assert not any(key.models for key in gateway.keys.values()) and len(usable(gateway)) == 7
    calls = [at for n in range(2) for at in world.calls[f"barred-{n}"] if span[0] <= at < span[1]]
    assert len(calls) <= 2 * 5 + 2, "until it is confirmed, and a list of models a day"


def test_a_limit_per_minute_is_met_once_per_minute_at_the_most() -> None:
    world = a_world(limited=(10, lambda: Plan(per_minute=2)))
    gateway = live(world, START + HOUR, 4.0)
    assert gateway.failed == 0
    for name, calls in world.calls.items():
        minutes = [int(at // MINUTE) for at in calls]
        assert max(minutes.count(minute) for minute in set(minutes)) <= 3 + 1, name


def test_a_daily_quota_is_asked_for_a_few_times_a_day_when_it_is_used_up() -> None:
    world = a_world(daily=(4, lambda: Plan(per_day=20)), free=(4, Plan))
    gateway = live(world, START + 5 * DAY, 5 * MINUTE)
    assert gateway.failed == 0 and gateway.lost() == []
    for n in range(4):
        calls = len(world.calls[f"daily-{n}"])
        assert calls <= 5 * (20 + 5 + 2), "its quota, a look every six hours, a probe a day"


@pytest.mark.parametrize("probing", ["none", "models"])
def test_an_hours_ban_of_the_address_costs_no_key(probing: str) -> None:
    world = a_world(good=(20, Plan))
    world.bans = [(START + DAY, START + DAY + HOUR)]
    gateway = live(world, START + 2 * DAY, MINUTE, probing)
    assert gateway.lost() == [] and len(usable(gateway)) == 20
    banned = sum(1 for calls in world.calls.values() for at in calls if START + DAY <= at < START + DAY + HOUR)
    assert banned <= 45, "canaries, not a storm"
    assert gateway.failed <= 60 + 5, "nothing fails later than the ban and the last canary's pause"


@pytest.mark.parametrize("probing", ["none", "models", "request"])
@pytest.mark.parametrize("answer", [REJECTED, BANNED], ids=["401", "403"])
@pytest.mark.parametrize(("keys", "every"), [(1, 30.0), (2, 30.0), (300, MINUTE), (1_000, 10.0)])
def test_a_ban_costs_no_key_of_a_pool_of_any_size(probing: str, answer: Answer, keys: int, every: float) -> None:
    world = a_world(good=(keys, Plan))
    start = START + 2 * HOUR  # by then some have proven good
    world.bans, world.ban_answer = [(start, start + HOUR)], answer
    gateway = live(world, start + 3 * HOUR, every, probing)
    standings = [each for key in gateway.keys.values() for each in (key.standing, *(key.models or {}).values())]
    assert gateway.lost() == []
    assert all(each.usable or each.due for each in standings), "at the worst its turn has not come yet"
    banned = sum(1 for calls in world.calls.values() for at in calls if start <= at < start + HOUR)
    assert banned <= 200, "canaries, not a storm"


@pytest.mark.parametrize("probing", ["none", "models", "request"])
def test_an_outage_of_an_hour_costs_no_key(probing: str) -> None:
    world = a_world(good=(20, Plan))
    world.outages = [(START + DAY, START + DAY + HOUR)]
    gateway = live(world, START + 2 * DAY, MINUTE, probing)
    assert gateway.lost() == [] and len(usable(gateway)) == 20
    assert gateway.failed <= 60 + LONGEST_OPEN / MINUTE


def test_a_clock_that_jumps_back_and_forth_loses_nothing() -> None:
    world = a_world(good=(8, Plan), limited=(4, lambda: Plan(per_minute=1)))

    async def scenario() -> None:
        gateway = Gateway(world)
        for jump in (0.0, -3 * DAY, 5 * DAY, -400 * DAY, 30.0):
            world.clock.advance(jump)
            gateway.pool.standings.wake_due()
            await gateway.run(world.clock.now + 2 * HOUR, 30.0)
            assert gateway.failed == 0
        world.clock.advance(MINUTE)
        gateway.pool.standings.wake_due()
        assert len(usable(gateway)) == 12

    run(scenario(), 60)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("probing", ["none", "models", "request"])
def test_every_automatic_status_is_left_again_in_ninety_days_of_trouble(probing: str, shared: bool) -> None:
    world = trouble()
    spans = [(START + day * DAY, START + (day + 1) * DAY) for day in (3, 25, 62)]
    world.plans |= {f"barred-{n}": Plan(barred=spans) for n in range(4)}
    gateway = live(world, START + 90 * DAY, 30 * MINUTE, probing, shared)
    good = {name for name, plan in world.plans.items() if plan.good(world.clock.now)}
    benched = good - usable(gateway)
    assert gateway.lost() == []
    assert len(benched) <= 2, "at most those that ran into a limit a moment ago"


HOUR_OF_TROUBLE = (START + HOUR, START + 2 * HOUR)


def live_through(world: World, until: float, every: float, *, sticky: bool) -> tuple[Gateway, list[float], list[str]]:
    """The gateway afterwards, the times at which `one.test` could not be used, and keys that were ever out."""
    resting: list[float] = []
    out: set[str] = set()

    async def scenario() -> Gateway:
        gateway = Gateway(world, sticky=sticky)

        def look(now: float) -> None:
            if not gateway.proxy("one.test").usable_for("main"):
                resting.append(now)
            out.update(set(gateway.keys) - usable(gateway))

        await gateway.run(until, every, look)
        return gateway

    return run(scenario(), 60), resting, sorted(out)


@pytest.mark.parametrize("sticky", [False, True], ids=["pool", "sticky"])
@pytest.mark.parametrize("trouble", ["down", "lost"])
def test_a_dead_proxy_rests_and_returns_and_no_key_is_ever_blamed(trouble: str, sticky: bool) -> None:
    world = a_world(good=(12, Plan))
    spans: dict[str, Any] = {trouble: [HOUR_OF_TROUBLE]}
    world.exits = {"one.test": Exit(**spans), "two.test": Exit(), "three.test": Exit()}
    gateway, resting, out = live_through(world, START + 4 * HOUR, 10.0, sticky=sticky)
    assert gateway.failed == 0 and out == []
    assert len(world.exits["one.test"].met) <= 3, "a request or two find it dead, then probes do"
    assert HOUR_OF_TROUBLE[0] <= resting[0] < HOUR_OF_TROUBLE[0] + 2 * MINUTE
    assert resting[-1] < HOUR_OF_TROUBLE[1] + 30 * MINUTE, "the longest rest"
    assert gateway.proxy("one.test").standing_for("main").status is Status.VALID


@pytest.mark.parametrize("sticky", [False, True], ids=["pool", "sticky"])
def test_a_proxy_whose_address_is_banned_rests_and_costs_no_key(sticky: bool) -> None:
    world = a_world(good=(12, Plan))
    world.exits = {"one.test": Exit(banned=[HOUR_OF_TROUBLE]), "two.test": Exit(), "three.test": Exit()}
    gateway, resting, out = live_through(world, START + 4 * HOUR, 2.0, sticky=sticky)
    assert gateway.failed == 0 and gateway.lost() == [] and len(usable(gateway)) == 12
    assert len(out) <= 3, "until it was clear that it was not them"
    assert len(world.exits["one.test"].met) <= 3 + 6, "once for each of its rests, which become longer"
    assert resting[-1] < HOUR_OF_TROUBLE[1] + 30 * MINUTE
    assert gateway.proxy("one.test").standing_for("main").status is Status.VALID


@pytest.mark.parametrize("sticky", [False, True], ids=["pool", "sticky"])
def test_an_outage_costs_neither_a_key_nor_a_proxy(sticky: bool) -> None:
    world = a_world(good=(12, Plan))
    world.exits = {"one.test": Exit(), "two.test": Exit(), "three.test": Exit()}
    world.outages = [HOUR_OF_TROUBLE]
    gateway, resting, out = live_through(world, START + 4 * HOUR, 20.0, sticky=sticky)
    assert gateway.failed <= (HOUR + LONGEST_OPEN) / 20 + 1
    assert out == [] and resting == []


@pytest.mark.parametrize("sticky", [False, True], ids=["pool", "sticky"])
def test_many_bad_keys_are_found_through_many_proxies(sticky: bool) -> None:
    world = a_world(good=(10, Plan), dead=(20, lambda: Plan(dead=[(START, FOREVER)])))
    world.exits = {"one.test": Exit(), "two.test": Exit(), "three.test": Exit(), "four.test": Exit()}
    gateway, _, _ = live_through(world, START + 4 * HOUR, 5.0, sticky=sticky)
    assert gateway.lost() == [] and usable(gateway) == {f"good-{n}" for n in range(10)}
    assert gateway.failed == 0
    assert max(world.rejections.values()) <= 4 + 1, "as often as without proxies, and once for a proxy that was accused"
    assert len(gateway.proxies.user("main").choice.usable) == 4


def trouble() -> World:
    """A pool of fifty: half of it has something, the address is banned twice, the provider is down four times."""
    world = a_world(
        good=(24, Plan),
        dies=(6, lambda: Plan(dead=[(START + 10 * DAY, FOREVER)])),
        recovers=(8, lambda: Plan(dead=[(START + 20 * DAY, START + 23 * DAY)])),
        minute=(6, lambda: Plan(per_minute=3)),
        empty=(6, lambda: Plan(empty=[(START + 30 * DAY, START + 40 * DAY)])),
    )
    world.bans = [(START + day * DAY, START + day * DAY + HOUR) for day in (5, 50)]
    world.outages = [(START + day * DAY, START + day * DAY + HOUR) for day in (8, 33, 60, 80)]
    return world


def compare(days: int = 90, every: float = 10 * MINUTE) -> dict[str, tuple[int, int, int]]:
    """Good keys lost, failed requests, calls to rejected keys: this gateway's, and three strikes and out."""
    ours = trouble()
    gateway = live(ours, START + days * DAY, every)
    theirs = trouble()
    naive = Naive(theirs)
    naive.run(START + days * DAY, every)
    return {
        "llmgateway": (len(gateway.lost()), gateway.failed, sum(ours.rejections.values())),
        "three strikes and out": (len(naive.lost()), naive.failed, sum(theirs.rejections.values())),
    }


def test_three_strikes_and_out_loses_good_keys_and_requests_that_this_policy_keeps() -> None:
    results = compare(days=40)
    (lost, failed, _), (naive_lost, naive_failed, _) = results.values()
    assert lost == 0 < naive_lost
    assert failed < naive_failed


if __name__ == "__main__":  # python -m tests.keeper.test_world: the table of the README
    for name, (lost, failed, rejected) in compare().items():
        print(f"{name:<24}{lost:>4} good keys lost{failed:>8} failed requests{rejected:>8} calls to rejected keys")
