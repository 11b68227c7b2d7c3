"""Which target comes first: each strategy's order, who is away, who stays, and what a route remembers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from gateway.conductor.ask import Ask
from gateway.conductor.identity import Identity
from gateway.conductor.routes import (
    STAY_SECONDS,
    STAYS_LIMIT,
    Plan,
    Route,
    RouteMemory,
    Target,
    in_turn,
    make_routes,
)
from gateway.config.provider import ProviderConfig
from gateway.config.routes import STRATEGIES, RouteConfig, TargetConfig
from gateway.errors import RequestError
from gateway.policy.latency import FAILURE_SECONDS
from gateway.upstream.keypool import KeyPool
from gateway.upstream.provider import Provider
from tests.upstream.pools import Clock, a_key, limited

NAMES = ("a", "b", "c")


def provider(clock: Clock, name: str, *, keys: int = 1, models: tuple[str, ...] = ()) -> Provider:
    """One without keys is away."""
    config = ProviderConfig(name=name, type="openai", base_url="https://api.example/v1", models=models)
    pool = KeyPool(name, config.health, clock=clock, rng=Random(1))
    pool.standings.add([a_key(f"{name}{number}") for number in range(keys)])
    return Provider(config, pool)


def an_ask(who: str = "ann", session: str = "", **fields: Any) -> Ask:
    identity = Identity(who, providers=frozenset(fields.pop("providers", ())))
    return Ask(b"POST", "openai_chat", "", "", (), b"", "fast", "chat", identity, fields=fields, session=session)


class World:
    """A route over the providers a, b and c, of which those `away` have no keys."""

    def __init__(
        self, strategy: str = "priority", *, away: Iterable[str] = (), weights: Mapping[str, float] = {}, **more: Any
    ) -> None:
        self.clock = Clock()
        self.memory = RouteMemory(self.clock)
        self.providers = {name: provider(self.clock, name, keys=int(name not in away)) for name in NAMES}
        targets = tuple(TargetConfig(name, "m", weights.get(name, 1.0)) for name in NAMES)
        self.config = RouteConfig(targets, strategy, **more)
        self.route = Route("fast", self.config, self.providers, self.memory, Random(7))

    def order(self, **ask: Any) -> str:
        return names(self.route.plan(an_ask(**ask)))

    def target(self, name: str) -> Target:
        return next(target for target in self.route.targets if target.provider.name == name)

    def load(self, name: str) -> int:
        return self.memory.load((name, "m")).in_flight

    def leave(self, name: str) -> None:
        """The provider's key is at its limits for a minute."""
        pool = self.providers[name].pool
        lease = pool.lease("m")
        assert lease is not None
        pool.report(lease, limited(60.0, self.clock.now))

    def answer(self, name: str, seconds: float, **ask: Any) -> None:
        self.route.answered(self.target(name), seconds, self.route.plan(an_ask(**ask)).stay)


def names(plan: Plan) -> str:
    return "".join(target.provider.name for target in plan.targets)


# -- orders ----------------------------------------------------------------------------------------------------------


def test_priority_is_the_lists_own_order() -> None:
    world = World()
    assert [world.order() for _ in range(3)] == ["abc"] * 3


def test_round_robin_gives_each_its_turn() -> None:
    world = World("round_robin")
    assert [world.order() for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_those_who_can_share_the_turns_of_one_who_is_away_alike() -> None:
    world = World("round_robin", away="a")
    assert [world.order() for _ in range(4)] == ["bca", "cba", "bca", "cba"]


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e5])
def test_the_first_comes_by_chance_as_often_as_its_weight_says(scale: float) -> None:
    weights = {"a": 1.0 * scale, "b": 2.0 * scale, "c": 5.0 * scale}
    world = World("weighted", weights=weights)
    count = 3000
    orders = Counter(world.order() for _ in range(count))
    firsts = Counter[str]()
    for order, times in orders.items():
        firsts[order[0]] += times
    chi_squared = sum((firsts[name] - count * share / 8) ** 2 / (count * share / 8) for name, share in
                      (("a", 1), ("b", 2), ("c", 5)))  # fmt: skip
    assert chi_squared < 13.8  # two degrees of freedom: one seed in a thousand is worse
    after_c = orders["cab"] / (orders["cab"] + orders["cba"])
    assert abs(after_c - 1 / 3) < 0.05  # the next one is chosen among the rest alike


def test_a_weight_that_is_tiny_is_no_chance_at_all_but_the_target_is_still_there() -> None:
    world = World("weighted", weights={"a": 5e-324})
    assert {world.order()[-1] for _ in range(500)} == {"a"}


def test_the_target_with_the_fewest_requests_for_its_weight_comes_first() -> None:
    world = World("least_in_flight", weights={"b": 3.0})
    begun = ""
    for _ in range(10):
        first = world.route.plan(an_ask()).targets[0]
        world.route.enter(first)
        begun += first.provider.name
    assert Counter(begun) == {"b": 6, "a": 2, "c": 2}
    for name in begun:
        world.route.leave(world.target(name))
    assert [world.load(name) for name in NAMES] == [0, 0, 0]


def test_equals_in_load_come_in_turn() -> None:
    world = World("least_in_flight")
    assert [world.order()[0] for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


def test_the_target_that_answered_soonest_comes_first() -> None:
    world = World("least_latency")
    for name, seconds in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        world.answer(name, seconds)
    assert [world.order() for _ in range(3)] == ["bca"] * 3


def test_requests_under_way_make_a_target_look_slower() -> None:
    world = World("least_latency")
    for name, seconds in (("a", 1.0), ("b", 2.5), ("c", 10.0)):
        world.answer(name, seconds)
    begun = ""
    for _ in range(3):
        first = world.route.plan(an_ask()).targets[0]
        world.route.enter(first)
        begun += first.provider.name
    assert begun == "aab"


def test_a_failure_that_comes_at_once_makes_no_target_the_fastest() -> None:
    world = World("least_latency")
    for name in "bc":
        world.answer(name, 20.0)
    world.route.failed(world.target("a"), 0.001)
    assert world.order()[-1] == "a"
    world.clock.advance(300.0)
    world.answer("b", 20.0)
    world.answer("c", 20.0)
    assert world.order()[0] == "a"  # it gets another chance some day


def test_a_target_that_nothing_is_known_of_is_tried_with_one_request_alone() -> None:
    world = World("least_latency")
    world.answer("a", 1.0)
    world.answer("b", 1.0)
    unknown = world.target("c")
    assert world.order()[0] == "c"
    world.route.enter(unknown)
    assert "c" not in {world.order()[0] for _ in range(20)}
    world.route.leave(unknown)
    assert world.order()[0] == "c"


def test_targets_of_which_nothing_is_known_share_what_comes_before_their_first_answer() -> None:
    world = World("least_latency")
    begun = Counter[str]()
    for _ in range(30):
        first = world.route.plan(an_ask()).targets[0]
        world.route.enter(first)
        begun[first.provider.name] += 1
    assert begun == {"a": 10, "b": 10, "c": 10}


def test_a_route_tells_what_it_goes_by() -> None:
    world = World("least_latency", weights={"b": 2.0})
    world.answer("b", 3.0)
    world.route.enter(world.target("b"))
    assert world.route.seen(world.target("a")) == (1.0, 0, 0.0)
    assert world.route.seen(world.target("b")) == (2.0, 1, 3.0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_whoever_is_away_comes_last_and_is_still_there(strategy: str) -> None:
    world = World(strategy, away="a", weights={"a": 1000.0})
    orders = {world.order() for _ in range(20)}
    assert {order[-1] for order in orders} == {"a"}
    assert {"".join(sorted(order)) for order in orders} == {"abc"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_where_all_are_away_the_strategy_still_decides(strategy: str) -> None:
    away, there = World(strategy, away=NAMES), World(strategy)
    assert [away.order() for _ in range(5)] == [there.order() for _ in range(5)]


@pytest.mark.parametrize("causes", [(), ("timeout",), ("exhausted_keys", "rate_limit")])
def test_the_first_target_stays_so_where_the_route_does_not_leave_it_for_being_away(causes: tuple[str, ...]) -> None:
    assert World(away="a", fallback_on=causes).order() == "abc"
    assert World("round_robin", away="a", fallback_on=causes).order() == "bca"


def test_whoever_comes_back_takes_its_place_again() -> None:
    world = World()
    world.leave("a")
    assert world.order() == "bca"
    world.clock.advance(61.0)
    world.providers["a"].pool.standings.wake_due()
    assert world.order() == "abc"


@pytest.mark.parametrize(
    ("providers", "order"), [((), "abc"), (("c", "a"), "ac"), (("b",), "b"), (("b", "elsewhere"), "b")]
)
def test_a_token_sees_the_targets_that_it_may_use(providers: tuple[str, ...], order: str) -> None:
    assert World().order(providers=providers) == order


def test_a_token_that_may_use_no_target_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        World().order(providers=("elsewhere",))
    assert (caught.value.status, caught.value.code) == (403, "permission_denied")


def test_a_route_without_an_enabled_provider_says_so() -> None:
    world = World()
    route = Route("fast", world.config, {}, world.memory, Random(1))
    with pytest.raises(RequestError) as caught:
        route.plan(an_ask())
    assert (caught.value.status, caught.value.code) == (503, "no_usable_key")


# -- who is missed -----------------------------------------------------------------------------------------------------


def missed(plan: Plan) -> str:
    return "-" if plan.missed is None else plan.missed.provider.name


@pytest.mark.parametrize(
    ("strategy", "away", "said"),
    [
        ("priority", "", "---"),
        ("priority", "a", "aaa"),
        ("priority", "ab", "aaa"),
        ("priority", "b", "---"),
        ("priority", "abc", "---"),
        ("round_robin", "b", "-b-"),
        ("round_robin", "ac", "a-c"),
        ("least_latency", "a", "---"),
        ("least_in_flight", "a", "---"),
    ],
)
def test_a_plan_says_who_would_have_come_first(strategy: str, away: str, said: str) -> None:
    world = World(strategy, away=away)
    assert "".join(missed(world.route.plan(an_ask())) for _ in range(3)) == said


def test_by_chance_a_target_is_missed_as_often_as_its_weight_says() -> None:
    world = World("weighted", away="a", weights={"a": 2.0})
    found = Counter(missed(world.route.plan(an_ask())) for _ in range(400))
    assert set(found) == {"a", "-"} and 150 < found["a"] < 250


def test_nobody_is_missed_where_the_first_target_is_asked_although_it_is_away() -> None:
    assert missed(World(away="a", fallback_on=("timeout",)).route.plan(an_ask())) == "-"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_whoever_somebody_stays_with_is_missed_and_nobody_while_it_is_there(strategy: str) -> None:
    world = World(strategy, away="a", sticky="user")
    world.answer("b", 1.0)
    assert missed(world.route.plan(an_ask())) == "-"
    world.leave("b")
    assert missed(world.route.plan(an_ask())) == "b"
    assert missed(world.route.plan(an_ask(providers=("b",)))) == "-"


# -- targets ---------------------------------------------------------------------------------------------------------


def test_a_target_is_asked_for_its_own_model_or_the_routes_name() -> None:
    clock = Clock()
    providers = {"a": provider(clock, "a", models=("nick=real",)), "b": provider(clock, "b")}
    entries = (TargetConfig("a", "nick"), TargetConfig("b", ""), TargetConfig("gone", "m"))
    route = Route("fast", RouteConfig(entries), providers, RouteMemory(clock), Random(1))
    assert [(target.provider.name, target.model, target.renamed) for target in route.targets] == [
        ("a", "real", True),
        ("b", "fast", False),
    ]
    assert set(route.places()) == {("a", "real"), ("b", "fast")}


def test_a_plans_place_is_the_same_whoever_comes_first() -> None:
    world = World("round_robin")
    places = {world.route.plan(an_ask()).place() for _ in range(3)}
    assert len(places) == 1
    alone = world.route.plan(an_ask(providers=("b",))).place()
    assert alone == ("b", "m") and alone not in places


# -- providers of one model ------------------------------------------------------------------------------------------


def groups(clock: Clock, *sizes: str, away: str = "") -> list[list[Target]]:
    return [[Target(provider(clock, name, keys=int(name not in away)), "m", False) for name in size] for size in sizes]


@pytest.mark.parametrize(
    ("away", "orders"),
    [
        ("", ["abcd", "bcad", "cabd", "abcd"]),
        ("b", ["acdb", "cadb", "acdb", "cadb"]),
        ("abc", ["dabc"] * 4),
        ("abcd", ["abcd"] * 4),
    ],
)
def test_equals_come_in_turn_and_the_next_group_behind_them(away: str, orders: list[str]) -> None:
    clock = Clock()
    assert [names(in_turn(groups(clock, "abc", "d", away=away), turn)) for turn in range(4)] == orders


@pytest.mark.parametrize(
    ("away", "said"), [("", "----"), ("b", "-b--"), ("abc", "abca"), ("abcd", "----"), ("d", "----")]
)
def test_of_equals_the_one_whose_turn_it_would_be_is_missed(away: str, said: str) -> None:
    clock = Clock()
    assert "".join(missed(in_turn(groups(clock, "abc", "d", away=away), turn)) for turn in range(4)) == said


# -- who stays -------------------------------------------------------------------------------------------------------


def test_nobody_stays_unless_the_route_says_so() -> None:
    world = World()
    world.answer("b", 1.0, session="talk")
    assert world.order(session="talk") == "abc"


@pytest.mark.parametrize(
    "said",
    [
        {"prompt_cache_key": "talk"},
        {"session": "talk"},
        {"safety_identifier": "talk"},
        {"user": "talk"},
        {"metadata": {"user_id": "talk"}},
    ],
)
def test_a_conversation_stays_where_its_last_answer_came_from(said: dict[str, Any]) -> None:
    world = World(sticky="session")
    world.answer("b", 1.0, **said)
    assert world.order(**said) == "bac"
    assert world.order(session="another") == "abc"
    world.answer("c", 1.0, **said)
    assert world.order(**said) == "cab"


def test_who_stays_takes_nobodys_turn() -> None:
    world = World("round_robin", sticky="session")
    world.answer("c", 1.0, session="talk")
    orders = [world.order(session=session) for session in ("", "talk", "", "talk", "", "talk")]
    assert orders[::2] == ["bca", "cab", "abc"]
    assert {order[0] for order in orders[1::2]} == {"c"}


def test_who_names_no_conversation_stays_nowhere() -> None:
    world = World(sticky="session")
    world.answer("b", 1.0)
    assert world.order() == "abc"


def test_two_users_with_the_same_word_for_their_conversation_are_two() -> None:
    world = World(sticky="session")
    world.answer("b", 1.0, session="talk")
    assert world.route.plan(an_ask("bob", "talk")).stay != world.route.plan(an_ask("ann", "talk")).stay
    assert names(world.route.plan(an_ask("bob", "talk"))) == "abc"


def test_a_user_stays_whatever_the_conversation() -> None:
    world = World(sticky="user")
    world.answer("b", 1.0, session="one")
    assert world.order(session="two") == "bac"
    assert names(world.route.plan(an_ask("bob"))) == "abc"


def test_two_routes_do_not_share_who_stays() -> None:
    world = World(sticky="user")
    other = Route("other", world.config, world.providers, world.memory, Random(1))
    world.answer("b", 1.0)
    assert names(other.plan(an_ask())) == "abc"


def test_nobody_stays_with_a_target_that_is_away_and_all_come_back_with_it() -> None:
    world = World(sticky="user")
    world.answer("b", 1.0)
    world.leave("b")
    assert world.order() == "acb"
    world.clock.advance(61.0)
    world.providers["b"].pool.standings.wake_due()
    assert world.order() == "bac"


def test_who_stays_is_forgotten_an_hour_after_the_last_answer() -> None:
    world = World(sticky="user")
    world.answer("b", 1.0)
    world.clock.advance(STAY_SECONDS - 1)
    assert world.order() == "bac"
    world.answer("b", 1.0)
    world.clock.advance(STAY_SECONDS)
    assert world.order() == "bac"
    world.clock.advance(1)
    assert world.order() == "abc"


def test_nobody_stays_with_a_target_that_is_not_theirs_or_not_there_any_more() -> None:
    world = World(sticky="user")
    world.answer("b", 1.0)
    assert world.order(providers=("a", "c")) == "ac"
    fewer = replace(world.config, targets=(world.config.targets[0], world.config.targets[2]))
    assert names(Route("fast", fewer, world.providers, world.memory, Random(1)).plan(an_ask())) == "ac"


def test_of_too_many_who_stay_the_quietest_is_forgotten() -> None:
    memory = RouteMemory(Clock())
    whos = [b"%d" % number for number in range(STAYS_LIMIT)]
    for who in whos:
        memory.settle(who, ("a", "m"))
    memory.settle(whos[0], ("b", "m"))
    memory.settle(b"one more", ("a", "m"))
    assert memory.home(whos[0]) == ("b", "m")
    assert memory.home(whos[1]) is None
    assert memory.home(whos[2]) == memory.home(b"one more") == ("a", "m")


# -- reloads ---------------------------------------------------------------------------------------------------------


def made(world: World, *targets: str) -> Route:
    entries = tuple(TargetConfig(name, "m") for name in targets)
    config = RouteConfig(entries, "least_in_flight")
    return make_routes({"fast": config}, world.providers, world.memory, Random(1))["fast"]


def test_what_is_known_of_a_target_outlives_a_reload_and_goes_with_it() -> None:
    world = World()
    before = made(world, "a", "b")
    first = before.targets[0]
    before.enter(first)
    after = made(world, "a", "c")
    assert world.load("a") == 1
    before.leave(first)  # a request finishes with the route that it began with
    assert world.load("a") == 0
    assert names(after.plan(an_ask())) == "ac"


def test_a_target_that_is_taken_out_and_put_back_while_a_request_is_under_way_has_none() -> None:
    world = World()
    before = made(world, "a", "b")
    before.enter(before.targets[0])
    made(world, "b")
    made(world, "a", "b")
    assert world.load("a") == 0
    before.leave(before.targets[0])
    assert world.load("a") == 0


def test_a_failure_counts_as_slow_at_least() -> None:
    world = World()
    world.route.failed(world.target("a"), 0.5)
    world.route.failed(world.target("b"), 90.0)
    assert world.memory.load(("a", "m")).latency.seconds(world.clock.now) == FAILURE_SECONDS
    assert world.memory.load(("b", "m")).latency.seconds(world.clock.now) == 90.0
