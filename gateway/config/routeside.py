"""What must be true of [routes.NAME] beyond the type and range of each setting."""

from __future__ import annotations

from gateway.config.model import Config
from gateway.config.problems import Problems, did_you_mean
from gateway.config.routes import RouteConfig
from gateway.config.tomltext import key_path, quoted

NAME_LIMIT = 200
TARGETS_LIMIT = 100
"""Targets of one route: each request looks at all of them."""


def check_routes(config: Config, problems: Problems) -> None:
    """File what is wrong with the routes."""
    for name, route in config.routes.items():
        key = key_path("routes", name)
        if problems.has(key):
            continue
        if not name or len(name) > NAME_LIMIT or not name.isprintable() or name != name.strip():
            problems.add(key, "is no usable name", f"use up to {NAME_LIMIT} printable characters")
        _check_targets(config, name, route, f"{key}.targets", problems)


def _check_targets(config: Config, name: str, route: RouteConfig, key: str, problems: Problems) -> None:
    if not route.targets:
        problems.add(key, "names no target", 'write targets = [{ provider = "main", model = "gpt-5.1" }]')
    elif len(route.targets) > TARGETS_LIMIT:
        problems.add(key, f"has more than {TARGETS_LIMIT} targets")
    seen = set()
    enabled = False
    for index, target in enumerate(route.targets):
        here = f"{key}[{index}]"
        if problems.has(here):
            enabled = True  # whatever it was meant to be
            continue
        provider = config.providers.get(target.provider)
        enabled = enabled or provider is None or provider.enabled
        if not target.provider:
            problems.add(f"{here}.provider", "is missing", 'write provider = "main", say')
        elif provider is None:
            shown = config.shown(f"{here}.provider", target.provider)
            hint = "" if shown != target.provider else did_you_mean(target.provider, config.providers)
            problems.add(f"{here}.provider", f"there is no provider {quoted(shown)}", hint)
        place = target.provider, target.model or name
        if place in seen:
            problems.add(here, "is the same as an earlier one", "give that one more weight instead")
        seen.add(place)
    if route.targets and not enabled and not problems.has(key):
        problems.add(key, "no provider of it is enabled")
