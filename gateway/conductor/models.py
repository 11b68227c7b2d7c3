"""How a model name finds its provider.

`provider/model` first (split at the first slash), then whoever lists the model (the highest priority, equals in
turn), then the default provider of the token, of the server, or the only one there is. Else 404, with the nearest
names.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.conductor.auth import Identity
from gateway.errors import RequestError
from gateway.quick import dataclass
from gateway.upstream.catalog import Catalog
from gateway.upstream.provider import Provider

NEAREST_LOOKS = 5000
"""Names compared for a suggestion."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. `model` is what the provider calls it, `renamed` whether the client said otherwise."""

    provider: Provider
    model: str
    renamed: bool


class ModelResolver:
    """Names to targets, for the enabled providers."""

    def __init__(self, providers: Mapping[str, Provider], catalog: Catalog, default_provider: str) -> None:
        self._providers = providers
        self._catalog = catalog
        self._default = default_provider
        self._turn = 0

    async def resolve(self, name: str, identity: Identity) -> Target:
        """The target for a model name, "" for a request that names none. Raises RequestError 400, 403, 404."""
        self.check_model(name, identity)
        target = self._find(name, identity) if name else None
        if name and target is None and await self._catalog.learn():
            target = self._find(name, identity)
        if target is None:
            target = self._fall_back(name, identity)
        if target is None:
            raise self._unknown(name, identity)
        return target

    def check_model(self, name: str, identity: Identity) -> None:
        """Raises RequestError 403 for a model that the identity may not use."""
        if identity.models and name not in identity.models:
            raise RequestError(403, "permission_denied", f"This API token may not use the model {name[:200]!r}.")

    def named(self, provider: str, identity: Identity) -> Provider:
        """The provider of that name. Raises RequestError 403, 404."""
        found = self._providers.get(provider)
        if found is None:
            names = sorted(name for name, known in self._providers.items() if _allowed(known, identity))
            known = ", ".join(names) or "none"
            raise RequestError(404, "not_found", f"There is no provider {provider[:200]!r}. Providers: {known}.")
        if not _allowed(found, identity):
            raise RequestError(403, "permission_denied", f"This API token may not use the provider {provider!r}.")
        return found

    def _find(self, name: str, identity: Identity) -> Target | None:
        prefix, slash, rest = name.partition("/")
        if slash and rest and prefix in self._providers:
            provider = self.named(prefix, identity)
            return Target(provider, provider.upstream_model(rest), True)
        serving = self._catalog.serving(name)
        if not serving:
            only = self._only()
            if only is not None and not self._catalog.knows(only.name) and _allowed(only, identity):
                return _target(only, name)
            return None
        if len(serving) == 1 and not identity.providers:
            return _target(serving[0], name)
        return self._in_turn(serving, name, identity)

    def _in_turn(self, serving: list[Provider], name: str, identity: Identity) -> Target:
        allowed = [provider for provider in serving if _allowed(provider, identity)]
        if not allowed:
            raise RequestError(403, "permission_denied", f"This API token may not use a provider of {name!r}.")
        first = allowed[0].config.priority
        equals = [provider for provider in allowed if provider.config.priority == first]
        self._turn += 1
        return _target(equals[self._turn % len(equals)], name)

    def _only(self) -> Provider | None:
        return next(iter(self._providers.values())) if len(self._providers) == 1 else None

    def _fall_back(self, name: str, identity: Identity) -> Target | None:
        chosen = identity.default_provider or self._default
        provider = self._providers.get(chosen) if chosen else self._only()
        if provider is None or not _allowed(provider, identity):
            return None
        if not name:
            return Target(provider, provider.upstream_model(provider.config.default_model), False)
        if not chosen and provider.models:
            return None  # an explicit list without a default is meant as one
        return _target(provider, name)

    def _unknown(self, name: str, identity: Identity) -> RequestError:
        if not name:
            return RequestError(400, "invalid_request_error", "The request names no model.", param="model")
        import difflib
        from itertools import islice

        near = difflib.get_close_matches(name[:200], list(islice(self._catalog.names(), NEAREST_LOOKS)), n=3)
        if identity.providers:
            near = [each for each in near if any(_allowed(one, identity) for one in self._catalog.serving(each))]
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        return RequestError(
            404, "model_not_found", f"No provider serves the model {name[:200]!r}.{hint}", param="model"
        )


def _allowed(provider: Provider, identity: Identity) -> bool:
    return not identity.providers or provider.name in identity.providers


def _target(provider: Provider, name: str) -> Target:
    model = provider.upstream_model(name)
    return Target(provider, model, model != name)
