"""Models that the configuration names and that have no price: with billing, requests for them are refused (402)."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.model import HIDDEN, Config
from gateway.config.provider import ProviderConfig
from gateway.config.tomltext import key_path
from gateway.policy.pricing import PriceBook


def find_unpriced(config: Config, book: PriceBook) -> list[tuple[str, str]]:
    """Each once: where it stands first, and its name as it may be shown."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for key, provider, model in _named_models(config):
        if (provider.name, model) not in found and book.find(provider.name, provider.type, model) is None:
            hidden = config.is_masked(f"{key_path('providers', provider.name)}.models[0]")
            found[provider.name, model] = (key, HIDDEN if hidden else config.shown(key, model))
    return list(found.values())


def _named_models(config: Config) -> Iterator[tuple[str, ProviderConfig, str]]:
    """Where each stands, the enabled provider that would be asked, and what that calls it."""
    own_names: dict[str, dict[str, str]] = {}
    for name, provider in config.providers.items():
        own_names[name] = {entry.partition("=")[0]: entry.rpartition("=")[2] for entry in provider.models}
        if provider.enabled:
            key = key_path("providers", name)
            for index, model in enumerate(own_names[name].values()):
                yield f"{key}.models[{index}]", provider, model
            if default := provider.default_model:
                yield f"{key}.default_model", provider, own_names[name].get(default, default)
    for name, route in config.routes.items():
        for index, target in enumerate(route.targets):
            provider, model = config.providers[target.provider], target.model or name
            if provider.enabled:
                key = f"{key_path('routes', name)}.targets[{index}].model"
                yield key, provider, own_names[target.provider].get(model, model)
