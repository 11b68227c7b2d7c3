"""[routes.NAME]: a model name of the operator's own, and the providers that serve it."""

from __future__ import annotations

from gateway.config.setting import setting
from gateway.quick import dataclass

CAUSES = ("exhausted_keys", "rate_limit", "server_error", "timeout", "context_length", "content_filter")
"""Why another target may be asked. What each means is `policy/fallback.py`'s."""

USUAL_CAUSES = CAUSES[:4]
"""Those that say nothing about the request: wherever else it goes, it may succeed."""

STRATEGIES = ("priority", "round_robin", "weighted", "least_latency", "least_in_flight")


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One entry of `targets`."""

    provider: str = setting("", "the name of a provider")
    model: str = setting("", "what it is asked for; empty: the route's own name")
    weight: float = setting(1.0, "its share of the requests", above=0, maximum=1_000_000)


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """[routes.NAME]. See `llmgateway help routes`."""

    targets: tuple[TargetConfig, ...] = setting(
        (), "providers and models; one that cannot serve a request is followed by another", inline=True
    )
    strategy: str = setting(
        "priority",
        'which target comes first: "priority": the first of the list | "round_robin": each in turn | "weighted": by '
        'chance, as often as its weight says | "least_latency": the one whose answers began soonest lately | '
        '"least_in_flight": the one with the fewest requests for its weight',
        choices=STRATEGIES,
    )
    fallback_on: tuple[str, ...] = setting(
        USUAL_CAUSES,
        'after which failures the next target is asked: "exhausted_keys", "rate_limit", "server_error", "timeout", '
        '"context_length": the request is too long for the model, "content_filter": the provider will not answer it',
        choices=CAUSES,
    )
    sticky: str = setting(
        "none",
        '"none" | "user": a user stays with the target that answered last | "session": a conversation does, because '
        "providers charge less for a prompt that they have in their cache",
        choices=("none", "user", "session"),
    )
