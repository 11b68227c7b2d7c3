"""One provider as it runs: its configuration, its type, its keys and proxies, its retry budget."""

from __future__ import annotations

from gateway.config.model import ProviderConfig
from gateway.net.client import Origin, Timeouts
from gateway.providers import PROVIDER_TYPES, meanings_of
from gateway.upstream.keypool import KeyPool
from gateway.upstream.proxypool import ProviderProxies


class Provider:
    """What a call to the provider needs, worked out once. The pools outlive a reload, the rest is made anew."""

    __slots__ = (
        "aliases",
        "base_path",
        "budget",
        "config",
        "extra_headers",
        "meanings",
        "models",
        "name",
        "origin",
        "pool",
        "proxies",
        "timeouts",
        "type",
    )

    def __init__(self, config: ProviderConfig, pool: KeyPool, proxies: ProviderProxies | None = None) -> None:
        self.config = config
        self.name = config.name
        self.type = PROVIDER_TYPES[config.type]
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
            self.origin, self.base_path = Origin("http", "localhost", 0), ""
        else:
            self.origin, self.base_path = Origin.parse(config.base_url)

    def upstream_model(self, name: str) -> str:
        """What the provider calls a model that we list as `name`."""
        return self.aliases.get(name, name)
