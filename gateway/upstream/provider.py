"""One provider as it runs: its configuration, its type, its keys and proxies, its retry budget."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.provider import ProviderConfig
from gateway.net.client import Origin, Timeouts
from gateway.providers import PROVIDER_TYPES, endpoints_of, meanings_of, quirks_of
from gateway.providers.endpoints import Endpoint, dialect_at
from gateway.upstream.keypool import KeyPool
from gateway.upstream.proxypool import ProviderProxies


class Provider:
    """What a call to the provider needs, worked out once. The pools outlive a reload, the rest is made anew.

    `endpoints`: the dialects that it speaks, with roots at its origin; `dialect` is the first of them, the one that it
    is asked in where there is a choice.
    """

    __slots__ = (
        "aliases",
        "budget",
        "config",
        "dialect",
        "endpoints",
        "extra_headers",
        "meanings",
        "models",
        "name",
        "origin",
        "pool",
        "proxies",
        "quirks",
        "timeouts",
        "type",
    )

    def __init__(self, config: ProviderConfig, pool: KeyPool, proxies: ProviderProxies | None = None) -> None:
        self.config = config
        self.name = config.name
        self.type = PROVIDER_TYPES[config.type]
        self.quirks = quirks_of(config)
        self.meanings = meanings_of(config)
        self.pool = pool
        self.proxies = None if self.type.local else proxies
        self.budget = pool.budget
        limits = config.timeouts
        self.timeouts = Timeouts(limits.connect, limits.write, limits.first_byte, limits.idle)
        self.extra_headers = tuple(
            (name.lower().encode(), value.encode("latin-1")) for name, value in config.headers.items()
        )
        self.aliases: dict[str, str] = {}
        names = []
        for entry in config.models:
            alias, _, real = entry.partition("=")
            names.append(alias)
            if real:
                self.aliases[alias] = real
        self.models: tuple[str, ...] = tuple(names)
        if self.type.local:
            self.origin, base_path = Origin("http", "localhost", 0), ""
        else:
            self.origin, base_path = Origin.parse(config.base_url)
        self.endpoints: Mapping[str, Endpoint] = {
            dialect: endpoint.below(base_path) for dialect, endpoint in endpoints_of(config).items()
        }
        self.dialect = next(iter(self.endpoints))

    def endpoint(self, dialect: str) -> Endpoint:
        """Where a dialect is spoken; for one that it does not speak, where it speaks the first of its own."""
        return self.endpoints.get(dialect) or self.endpoints[self.dialect]

    def dialect_at(self, path: str) -> str:
        """The dialect that a path at the origin belongs to."""
        return dialect_at(path, self.endpoints)

    def upstream_model(self, name: str) -> str:
        """What the provider calls a model that we list as `name`."""
        return self.aliases.get(name, name)
