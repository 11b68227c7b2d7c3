"""How a model name finds its provider.

A route of that name first, then `provider/model` (split at the first slash), then whoever lists the model (by priority,
equals in turn), then the default provider of the token, of the server, or the only one there is. Else 404, with the
nearest names.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from gateway.conductor.ask import FREE, Ask
from gateway.conductor.identity import Identity, not_allowed
from gateway.conductor.routes import Plan, Route, Target, in_turn, may_use
from gateway.errors import RequestError
from gateway.upstream.catalog import Catalog
from gateway.upstream.provider import Provider

NEAREST_LOOKS = 5000
"""Names compared for a suggestion."""


class ModelResolver:
    """Names to targets, for the enabled providers."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        catalog: Catalog,
        default_provider: str,
        routes: Mapping[str, Route] | None = None,
    ) -> None:
        self._providers = providers
        self._catalog = catalog
        self._default = default_provider
        self._routes = routes or {}
        self._turns: dict[str, int] = {}  # by a model of several providers

    async def resolve(self, ask: Ask) -> Plan:
        """Where a request goes by its model, "" if it names none. Raises RequestError 400, 403, 404."""
        name, identity = ask.model, ask.identity
        self.check_model(name, identity)
        if name in self._routes:
            return self._routes[name].plan(ask)
        plan = self._find(name, identity) if name else None
        if name and plan is None and await self._catalog.learn():
            plan = self._find(name, identity)
        if plan is None:
            plan = self._fall_back(name, identity)
        if plan is None:
            raise self._unknown(name, identity)
        if len(plan.targets) > 1 and ask.shape not in FREE:
            self._turns[name] = self._turns.get(name, 0) + 1
        return plan

    def model_at(self, provider: Provider, name: str, before: str) -> str:
        """What a provider that is given calls the model of a request that goes on from another one, for which that was
        `before`. A route may have several targets there, or none any more."""
        if name in self._routes:
            there = [target.model for target in self._routes[name].targets if target.provider is provider]
            return there[0] if there and before not in there else before
        return provider.upstream_model(name.removeprefix(f"{provider.name}/"))

    def check_model(self, name: str, identity: Identity) -> None:
        """Raises RequestError 403 for a model that the identity may not use."""
        if identity.models and name not in identity.models:
            raise not_allowed(f"the model {name[:200]!r}")

    def named(self, provider: str, identity: Identity) -> Provider:
        """The provider of that name. Raises RequestError 403, 404."""
        found = self._providers.get(provider)
        if found is None:
            names = sorted(name for name, known in self._providers.items() if may_use(known, identity))
            known = ", ".join(names) or "none"
            raise RequestError(404, "not_found", f"There is no provider {provider[:200]!r}. Providers: {known}.")
        if not may_use(found, identity):
            raise not_allowed(f"the provider {provider!r}")
        return found

    def _find(self, name: str, identity: Identity) -> Plan | None:
        prefix, slash, rest = name.partition("/")
        if slash and rest and prefix in self._providers:
            provider = self.named(prefix, identity)
            return Plan((Target(provider, provider.upstream_model(rest), True),))
        serving = self._catalog.serving(name)
        if not serving:
            only = self._only()
            if only is not None and not self._catalog.knows(only.name) and may_use(only, identity):
                return Plan((_target(only, name),))
            return None
        if len(serving) == 1 and not identity.providers:
            return Plan((_target(serving[0], name),))
        return self._in_turn(serving, name, identity)

    def _in_turn(self, serving: list[Provider], name: str, identity: Identity) -> Plan:
        allowed = [provider for provider in serving if may_use(provider, identity)]
        if not allowed:
            raise not_allowed(f"a provider of {name!r}")
        groups = groupby(allowed, lambda provider: provider.config.priority)
        return in_turn(
            ([_target(provider, name) for provider in equals] for _, equals in groups), self._turns.get(name, 0)
        )

    def _serving(self, name: str) -> list[Provider]:
        if name in self._routes:
            return [target.provider for target in self._routes[name].targets]
        return self._catalog.serving(name)

    def _only(self) -> Provider | None:
        return next(iter(self._providers.values())) if len(self._providers) == 1 else None

    def _fall_back(self, name: str, identity: Identity) -> Plan | None:
        chosen = identity.default_provider or self._default
        provider = self._providers.get(chosen) if chosen else self._only()
        if provider is None or not may_use(provider, identity):
            return None
        if not name:
            return Plan((Target(provider, provider.upstream_model(provider.config.default_model), False),))
        if not chosen and provider.models:
            return None  # an explicit list without a default is meant as one
        return Plan((_target(provider, name),))

    def _unknown(self, name: str, identity: Identity) -> RequestError:
        if not name:
            return RequestError(400, "invalid_request_error", "The request names no model.", param="model")
        import difflib
        from itertools import chain, islice

        known = islice(chain(self._routes, self._catalog.names()), NEAREST_LOOKS)
        near = difflib.get_close_matches(name[:200], list(known), n=3)
        if identity.providers:
            near = [each for each in near if any(may_use(one, identity) for one in self._serving(each))]
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        return RequestError(
            404, "model_not_found", f"No provider serves the model {name[:200]!r}.{hint}", param="model"
        )


def _target(provider: Provider, name: str) -> Target:
    model = provider.upstream_model(name)
    return Target(provider, model, model != name)
