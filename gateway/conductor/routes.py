"""Where a request may go: targets in the order in which they are tried, and the routes that decide on it.

A `Plan` is one request's. Most have a single target. Several come from a route of the operator's, or from providers
that list the same model: those of the highest priority in turn, then the next.

What routes have learned (how soon targets answer, how busy they are, who stays where) is in `RouteMemory`, which
outlives reloads.

Decisions:
- *A target that cannot take a request now comes last*: its circuit is open, or none of its keys may be chosen. So a
  strategy chooses among those that can, and the others are still asked when nobody else will do.
- *Who stays, stays where an answer came from last*, also when that was a fallback: the provider's prompt cache is
  there now. It is forgotten an hour after the last answer, which is the longest that providers keep such caches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from gateway.conductor.ask import FREE, Ask, conversation
from gateway.conductor.identity import Identity, not_allowed
from gateway.config.routes import USUAL_CAUSES, RouteConfig
from gateway.errors import RequestError
from gateway.policy.latency import FAILURE_SECONDS, PeakLatency
from gateway.quick import dataclass
from gateway.upstream.provider import Provider

STAY_SECONDS = 3600.0
STAYS_LIMIT = 20_000
"""Conversations remembered, about 5 MB; beyond that the one that was quiet for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. `model` is what the provider calls it, `renamed` whether the client said otherwise."""

    provider: Provider
    model: str
    renamed: bool


class Plan(NamedTuple):
    """`causes`: failures after which the next target is asked. `stay`: who stays with a target of the route. `missed`:
    who would come first, were it not away."""

    targets: Sequence[Target]
    causes: frozenset[str] = frozenset()
    route: Route | None = None
    stay: bytes = b""
    missed: Target | None = None

    def place(self) -> tuple[str, str]:
        """Provider and model of whoever may answer, in an order that does not change from one request to the next."""
        first = self.targets[0]
        if len(self.targets) == 1:
            return first.provider.name, first.model
        return "", "\n".join(sorted(f"{target.provider.name}/{target.model}" for target in self.targets))


ANY_CAUSE = frozenset(USUAL_CAUSES)

AWAY = frozenset({"exhausted_keys", "rate_limit", "server_error"})
"""Why a target may be away: a route that leaves its first target for all of these does so before it is asked."""


def in_turn(groups: Iterable[Sequence[Target]], turn: int) -> Plan:
    """Groups of equals, the first one first; within a group each that can comes first in its turn."""
    targets: list[Target] = []
    away: list[Target] = []
    first: Target | None = None
    for group in groups:
        first = first or group[turn % len(group)]
        there, missing = _part(group)
        away += missing
        at = turn % max(len(there), 1)
        targets += there[at:] + there[:at]
    return Plan(targets + away, ANY_CAUSE, missed=first if targets and first in away else None)


class Load:
    """What is known of one target. Requests that are under way count from the first attempt to the last byte."""

    __slots__ = ("in_flight", "latency")

    def __init__(self) -> None:
        self.in_flight = 0
        self.latency = PeakLatency()


class RouteMemory:
    """`clock` never goes back (seconds)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._loads: dict[tuple[str, str], Load] = {}
        self._stays: OrderedDict[bytes, tuple[tuple[str, str], float]] = OrderedDict()

    def keep(self, targets: Iterable[tuple[str, str]]) -> None:
        """Forget all other targets: the configuration has them no more."""
        self._loads = {target: load for target in targets if (load := self._loads.get(target)) is not None}

    def load(self, target: tuple[str, str]) -> Load:
        load = self._loads.get(target)
        if load is None:
            load = self._loads[target] = Load()
        return load

    def home(self, who: bytes) -> tuple[str, str] | None:
        """The target that somebody stays with."""
        known = self._stays.get(who)
        if known is None or self.clock() - known[1] > STAY_SECONDS:
            return None
        return known[0]

    def settle(self, who: bytes, target: tuple[str, str]) -> None:
        self._stays[who] = target, self.clock()
        self._stays.move_to_end(who)
        if len(self._stays) > STAYS_LIMIT:
            self._stays.popitem(last=False)


class Route:
    """One of the operator's. `targets` are those of enabled providers."""

    def __init__(
        self, name: str, config: RouteConfig, providers: Mapping[str, Provider], memory: RouteMemory, rng: Random
    ) -> None:
        self.name = name
        self.config = config
        self._causes = frozenset(config.fallback_on)
        self._leaves = config.strategy != "priority" or self._causes >= AWAY
        self._memory = memory
        self._rng = rng
        self._turn = 0
        entries = [entry for entry in config.targets if entry.provider in providers]
        self.targets: tuple[Target, ...] = tuple(
            _target(providers[entry.provider], entry.model or name, name) for entry in entries
        )
        self._weights = {_key(target): entry.weight for target, entry in zip(self.targets, entries, strict=True)}
        self._loads = {key: memory.load(key) for key in self._weights}

    def plan(self, ask: Ask) -> Plan:
        """The targets for one request. Raises RequestError 403 when its token may use none of them, 503 when no
        provider of the route is enabled."""
        identity = ask.identity
        targets = [target for target in self.targets if may_use(target.provider, identity)]
        if not targets:
            if not self.targets:
                raise RequestError(503, "no_usable_key", f"No provider of the route {self.name!r} is enabled.")
            raise not_allowed(f"a provider of {self.name!r}")
        missed = None
        if len(targets) > 1:
            order = STRATEGIES[self.config.strategy]
            there, away = _part(targets) if self._leaves else (targets, [])
            if there and away and self.config.strategy in FORESEEN:
                first = order(self, targets)[0]
                missed = first if first in away else None
            targets = order(self, there or targets) + (away if there else [])
        stay = self._who(ask)
        home = self._memory.home(stay) if stay else None
        if home is not None:
            targets.sort(key=lambda target: _key(target) != home or _is_away(target))
            missed = next((target for target in targets if _key(target) == home), missed)
        if _key(targets[0]) != home and ask.shape not in FREE:
            self._turn += 1  # who stays takes no turn, nor who only has something counted
        return Plan(targets, self._causes, self, stay, None if missed is targets[0] else missed)

    def enter(self, target: Target) -> None:
        """A request goes to the target; `leave` ends it."""
        self._loads[_key(target)].in_flight += 1

    def leave(self, target: Target) -> None:
        self._loads[_key(target)].in_flight -= 1

    def answered(self, target: Target, seconds: float, stay: bytes) -> None:
        """The answer began after so many seconds."""
        self._loads[_key(target)].latency.observe(seconds, self._memory.clock())
        if stay:
            self._memory.settle(stay, _key(target))

    def failed(self, target: Target, seconds: float) -> None:
        self._loads[_key(target)].latency.fail(seconds, self._memory.clock())

    def seen(self, target: Target) -> tuple[float, int, float]:
        """Its weight, its requests under way, and in how many seconds its answers begin (0: nothing is known)."""
        load = self._loads[_key(target)]
        return self._weights[_key(target)], load.in_flight, load.latency.seconds(self._memory.clock())

    def places(self) -> Collection[tuple[str, str]]:
        """Provider and model of each target."""
        return self._weights

    def _who(self, ask: Ask) -> bytes:
        """Who stays with a target, as 16 bytes; none: nobody."""
        sticky = self.config.sticky
        said = "" if sticky == "none" else conversation(ask) if sticky == "session" else ask.identity.user
        if not said:
            return b""
        text = f"{self.name}\n{ask.identity.user}\n{said}"
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def _as_listed(self, targets: list[Target]) -> list[Target]:
        return targets

    def _by_turns(self, targets: list[Target]) -> list[Target]:
        at = self._turn % len(targets)
        return targets[at:] + targets[:at]

    def _by_chance(self, targets: list[Target]) -> list[Target]:
        """Each comes first as often as its weight says, and next among the rest: as if each came at a random time, at
        the rate of its weight (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006)."""
        weights, arrival = self._weights, self._rng.expovariate
        return sorted(targets, key=lambda target: arrival(weights[_key(target)]))

    def _by_latency(self, targets: list[Target]) -> list[Target]:
        """A target that nothing is known of first, with one request; a request under way makes a target look slower, so
        that not all go to the fastest at once."""
        now, loads = self._memory.clock(), self._loads

        def cost(key: tuple[str, str]) -> float:
            in_flight = loads[key].in_flight
            unknown = FAILURE_SECONDS if in_flight else 0.0
            return (loads[key].latency.seconds(now) or unknown) * (in_flight + 1)

        return self._by_cost(targets, cost)

    def _by_requests(self, targets: list[Target]) -> list[Target]:
        loads, weights = self._loads, self._weights
        return self._by_cost(targets, lambda key: (loads[key].in_flight + 1) / weights[key])

    def _by_cost(self, targets: list[Target], cost: Callable[[tuple[str, str]], float]) -> list[Target]:
        """The cheapest first, equals in turn."""
        return sorted(self._by_turns(targets), key=lambda target: cost(_key(target)))


STRATEGIES: Mapping[str, Callable[[Route, list[Target]], list[Target]]] = {
    "priority": Route._as_listed,
    "round_robin": Route._by_turns,
    "weighted": Route._by_chance,
    "least_latency": Route._by_latency,
    "least_in_flight": Route._by_requests,
}


FORESEEN = frozenset({"priority", "round_robin", "weighted"})
"""Strategies that say who would come first, were nobody away. By the others it would be whoever has nothing to do."""


def make_routes(
    configs: Mapping[str, RouteConfig], providers: Mapping[str, Provider], memory: RouteMemory, rng: Random
) -> dict[str, Route]:
    """The routes of a configuration; `memory` forgets the targets of earlier ones."""
    routes = {name: Route(name, config, providers, memory, rng) for name, config in configs.items()}
    memory.keep(key for route in routes.values() for key in route.places())
    return routes


def may_use(provider: Provider, identity: Identity) -> bool:
    return not identity.providers or provider.name in identity.providers


def _target(provider: Provider, model: str, name: str) -> Target:
    upstream = provider.upstream_model(model)
    return Target(provider, upstream, upstream != name)


def _key(target: Target) -> tuple[str, str]:
    return target.provider.name, target.model


def _part(targets: Iterable[Target]) -> tuple[list[Target], list[Target]]:
    """Those that can take a request now, and those that are away."""
    there: list[Target] = []
    away: list[Target] = []
    for target in targets:
        (away if _is_away(target) else there).append(target)
    return there, away


def _is_away(target: Target) -> bool:
    return not target.provider.pool.may_serve(target.model)
