"""`llmgateway config check --connect`: whether this machine reaches the providers, through their proxies where they
have any. A connection is opened, TLS included, and closed again: no request is sent and no key is shown."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time

from gateway.cli.filecheck import read_proxies
from gateway.config.model import Config
from gateway.config.provider import ProviderConfig
from gateway.config.proxyurl import ProxyUrl
from gateway.errors import UpstreamError
from gateway.net.dial import Origin, dial
from gateway.net.tls import client_context
from gateway.net.tunnel import dial_through
from gateway.providers import PROVIDER_TYPES
from gateway.quick import dataclass

AT_ONCE = 20
"""Connections being opened at the same time."""

FAILURES_SHOWN = 5
"""Of one provider's proxies; of two hundred dead ones these tell enough."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a provider, and what came of it: seconds, or why it is closed."""

    proxy: ProxyUrl | None
    seconds: float = 0.0
    failure: str = ""


def check_connections(config: Config) -> bool:
    """Try all ways to all enabled providers at once, print what came of it; whether each has one that is open."""
    return asyncio.run(_check(config))


async def _check(config: Config) -> bool:
    providers = [each for each in config.providers.values() if each.enabled and not PROVIDER_TYPES[each.type].local]
    at_once = asyncio.Semaphore(AT_ONCE)
    context = client_context()
    found = await asyncio.gather(*(_try(provider, context, at_once) for provider in providers))
    for provider, ways in zip(providers, found, strict=True):
        _report(provider, ways)
    return all(any(not way.failure for way in ways) for ways in found)


async def _try(provider: ProviderConfig, context: ssl.SSLContext, at_once: asyncio.Semaphore) -> list[Way]:
    origin, _ = Origin.parse(provider.base_url)

    async def go(proxy: ProxyUrl | None) -> Way:
        seconds, tls = provider.timeouts.connect, context if origin.scheme == "https" else None
        async with at_once:
            started = time.monotonic()
            try:
                if proxy is None:
                    connection = await dial(origin, tls, seconds)
                else:
                    outer = context if proxy.scheme == "https" else None
                    connection = await dial_through(proxy, outer, origin, tls, seconds)
            except UpstreamError as error:
                return Way(proxy, failure=str(error))
            connection.abort()
            return Way(proxy, time.monotonic() - started)

    return list(await asyncio.gather(*map(go, _proxies(provider))))


def _proxies(provider: ProviderConfig) -> list[ProxyUrl | None]:
    """Those that may be used, None for the direct way. What is wrong with the file itself was said before."""
    proxy = provider.proxy
    if proxy.mode == "none":
        return [None]
    if proxy.mode == "static":
        return [ProxyUrl.parse(proxy.url.reveal())]
    return [ProxyUrl.parse(entry.secret.reveal()) for entry in read_proxies(proxy.file).entries]


def _report(provider: ProviderConfig, ways: list[Way]) -> None:
    name, origin = f"providers.{provider.name}", Origin.parse(provider.base_url)[0]
    failed = [way for way in ways if way.failure]
    through = ""
    if not ways:
        through = f": there is no usable proxy in {provider.proxy.file}"
    elif ways[0].proxy is not None:
        through = f" through {len(ways) - len(failed)} of {len(ways)} proxies"
    if len(failed) < len(ways):
        fastest = min(way.seconds for way in ways if not way.failure)
        print(f"{name}: {origin} reached{through} in {fastest * 1000:.0f} ms")
    else:
        print(f"{name}: {origin} cannot be reached{through}", file=sys.stderr)
    for way in failed[:FAILURES_SHOWN]:
        print(f"{name}: {way.failure}", file=sys.stderr)
    if len(failed) > FAILURES_SHOWN:
        print(f"{name}: and {len(failed) - FAILURES_SHOWN} more", file=sys.stderr)
