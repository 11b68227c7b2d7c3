"""Every proxy pool of the configuration: one for each proxy file, and one for each single URL.

Pools outlive reloads, and with them every rest; what a reload no longer needs is let go of afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from random import Random

from gateway.config.model import Config
from gateway.config.provider import ProviderConfig, ProxyConfig
from gateway.config.proxyurl import ProxyUrl
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProviderProxies, ProxyPool


class ProxyPools:
    """`arrange` before the providers are made, `retire` after the old ones are gone."""

    def __init__(self, clock: Callable[[], float], rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._pools: dict[str, ProxyPool] = {}

    def __iter__(self) -> Iterator[ProxyPool]:
        return iter(list(self._pools.values()))

    def arrange(self, config: Config) -> None:
        """A pool for every file and URL in use, with the providers that use it; one that is there already keeps what
        it knows."""
        for provider in _users(config):
            where = _where(provider.proxy)
            pool = self._pools.get(where)
            if pool is None:
                pool = self._pools[where] = self._make(provider.proxy, config)
            pool.config = config.proxies
            pool.user(provider.name).sticky = provider.proxy.mode == "sticky"

    def of(self, provider: ProviderConfig) -> ProviderProxies | None:
        """What a provider of an arranged configuration leases from; None: it uses no proxy."""
        if provider.proxy.mode == "none":
            return None
        return self._pools[_where(provider.proxy)].user(provider.name)

    def of_files(self, config: Config) -> Mapping[str, ProxyPool]:
        """The pools that have a file, by its path."""
        return {
            provider.proxy.file: self._pools[_where(provider.proxy)]
            for provider in _users(config)
            if provider.proxy.listed
        }

    def counts(self) -> dict[tuple[str, str], int]:
        """Proxies by file and status; without a file ("") the single ones."""
        counts: Counter[tuple[str, str]] = Counter()
        for where, pool in self._pools.items():
            for status, n in pool.counts().items():
                counts[(pool.name if where == pool.name else "", status)] += n
        return counts

    def retire(self, config: Config) -> None:
        """Let go of pools, and of providers' views of them, that the configuration does not use."""
        used: dict[str, set[str]] = {}
        for provider in _users(config):
            used.setdefault(_where(provider.proxy), set()).add(provider.name)
        for where, pool in list(self._pools.items()):
            if where not in used:
                del self._pools[where]
                continue
            for name in set(pool.users) - used[where]:
                pool.forget(name)

    def _make(self, proxy: ProxyConfig, config: Config) -> ProxyPool:
        if proxy.listed:
            return ProxyPool(proxy.file, config.proxies, clock=self._clock, rng=self._rng)
        url = ProxyUrl.parse(proxy.url.reveal())
        pool = ProxyPool(url.fingerprint, config.proxies, clock=self._clock, rng=self._rng)
        pool.add([Proxy(url)])
        return pool


def _users(config: Config) -> Iterator[ProviderConfig]:
    return (each for each in config.providers.values() if each.enabled and each.proxy.mode != "none")


def _where(proxy: ProxyConfig) -> str:
    """What tells pools apart."""
    return proxy.file if proxy.listed else proxy.url.digest.hex()
