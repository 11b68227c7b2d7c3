"""What a proxy pool hands around: proxies, leases, and what it says about them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from gateway.config.proxyurl import ProxyUrl
from gateway.policy.proxyhealth import ALL_PROVIDERS, UNTESTED, ProxyStanding
from gateway.policy.verdict import Status


class Proxy:
    """A proxy and what is known of it. Compared by identity."""

    __slots__ = ("benched_seq", "blocks", "checked_at", "good_seq", "jitter", "removed", "standing", "url")

    def __init__(self, url: ProxyUrl) -> None:
        self.url = url
        self.standing: ProxyStanding = UNTESTED  # for all providers
        self.blocks: dict[str, ProxyStanding] = {}  # standings that differ for one provider
        self.checked_at = 0.0  # unix time of the last word about it
        self.good_seq = 0  # newest lease that got through, or the operator's last word
        self.benched_seq: dict[str, int] = {}  # newest lease there was when it was last benched, for whom
        self.jitter = 0.0  # share by which its checks come earlier or later than the others'
        self.removed = False

    @property
    def digest(self) -> bytes:
        return self.url.digest

    def standing_for(self, provider: str) -> ProxyStanding:
        """What one provider's requests have to reckon with."""
        if not self.standing.usable:
            return self.standing
        return self.blocks.get(provider, self.standing)

    def standings(self) -> Iterator[ProxyStanding]:
        """For all providers, and those that differ."""
        yield self.standing
        yield from self.blocks.values()

    def status_among(self, providers: Collection[str]) -> Status:
        """Its status for all of these that can use it, or the status in which none of them can."""
        blocks = [self.blocks[name] for name in providers if name in self.blocks]
        blocked = bool(blocks) and len(blocks) == len(providers) and not any(block.usable for block in blocks)
        return blocks[0].status if blocked and self.standing.usable else self.standing.status

    def usable_for(self, provider: str) -> bool:
        return self.standing.usable and (provider not in self.blocks or self.blocks[provider].usable)

    def __repr__(self) -> str:
        return f"<Proxy {self.url} {self.standing.status}>"


class ProxyLease(NamedTuple):
    """A proxy on loan to one attempt. Nothing is owed for it: who learns nothing reports nothing."""

    proxy: Proxy
    seq: int


class ProxyRest(NamedTuple):
    """What rests: a proxy, for one provider or all."""

    proxy: Proxy
    provider: str


def rest_ends(rest: ProxyRest) -> float | None:
    proxy, provider = rest
    if proxy.removed:
        return None
    standing = proxy.standing if provider == ALL_PROVIDERS else proxy.blocks.get(provider)
    return standing.until if standing is not None else None


class ProxyChange(NamedTuple):
    """A standing that the database should know; None: the provider's is as that for all."""

    digest: bytes
    provider: str
    standing: ProxyStanding | None
    checked_at: float
