"""Which proxy the next attempt of a provider takes: the next one in turn, or the key's own.

*Sticky* is rendezvous hashing (highest random weight, Thaler and Ravishankar 1998): every key ranks all proxies by a
hash of the two and takes the first that is usable. So a proxy that leaves moves only its own keys, and they return with
it. A key's choice is remembered; since nobody's leaving can make another choice better, only the proxies that came
since have to be looked at.

Rule: none is ever chosen that the operator did not list, and a request is never sent without one. When nothing is
usable, what rests is tried, since the alternative is to fail for certain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from hashlib import blake2b

from gateway.upstream.proxy import Proxy
from gateway.upstream.ring import Ring

ARRIVALS = 256
"""Proxies that came back last. A choice that is older than all of them is made anew, at a microsecond a proxy."""

CHOICES = 100_000
"""Choices remembered, about 15 MB; more keys than that are not used in turn within the time in which it would pay."""

NONE_TRIED: frozenset[Proxy] = frozenset()


class ProxyChoice:
    """The proxies as one provider may use them: `usable` and `resting` ones, each in turn."""

    __slots__ = ("_arrivals", "_choices", "_count", "resting", "usable")

    def __init__(self) -> None:
        self.usable: Ring[Proxy] = Ring()
        self.resting: Ring[Proxy] = Ring()
        self._choices: dict[bytes, tuple[Proxy, int]] = {}
        self._arrivals: deque[Proxy] = deque(maxlen=ARRIVALS)
        self._count = 0  # arrivals so far

    def put(self, proxy: Proxy, usable: bool) -> None:
        """Have a proxy stand where it belongs."""
        if usable and proxy not in self.usable:
            self.resting.discard(proxy)
            self.usable.add(proxy)
            self._arrivals.append(proxy)
            self._count += 1
        elif not usable:
            self.usable.discard(proxy)
            self.resting.add(proxy)

    def discard(self, proxy: Proxy) -> None:
        self.usable.discard(proxy)
        self.resting.discard(proxy)

    def next(self, tried: Collection[Proxy] = NONE_TRIED) -> Proxy | None:
        """The next one in turn that was not tried; else any. None when there is none at all."""
        ring = self.usable or self.resting
        return ring.next(tried) or ring.next()

    def for_key(self, digest: bytes, tried: Collection[Proxy] = NONE_TRIED) -> Proxy | None:
        """The key's own one; the next in its order for one that was tried."""
        if tried or not self.usable:
            ring = self.usable or self.resting
            return first_of([proxy for proxy in ring if proxy not in tried] or ring, digest)
        choice = self._choices.get(digest)
        if choice is not None and choice[1] == self._count and choice[0] in self.usable:
            return choice[0]
        return self._choose(digest, choice)

    def has_other(self, tried: Collection[Proxy]) -> bool:
        """Whether a usable one was not tried."""
        return len(self.usable) > sum(proxy in self.usable for proxy in tried)

    def offers_beyond(self, shut: Collection[Proxy]) -> bool:
        """Whether one would be chosen that is not among these."""
        return any(proxy not in shut for proxy in self.usable or self.resting)

    def _choose(self, digest: bytes, choice: tuple[Proxy, int] | None) -> Proxy | None:
        candidates: Iterable[Proxy] = self.usable
        if choice is not None and choice[0] in self.usable:
            since = self._count - choice[1]
            if since <= len(self._arrivals):
                arrived = [self._arrivals[-n] for n in range(1, since + 1)]
                candidates = [choice[0], *(proxy for proxy in arrived if proxy in self.usable)]
        chosen = first_of(candidates, digest)
        if chosen is not None:
            if len(self._choices) >= CHOICES and choice is None:
                del self._choices[next(iter(self._choices))]
            self._choices[digest] = (chosen, self._count)
        return chosen


def first_of(proxies: Iterable[Proxy], digest: bytes) -> Proxy | None:
    """The one that a key ranks highest: the same in every process, whatever their order."""
    return max(proxies, key=lambda proxy: blake2b(proxy.digest, key=digest, digest_size=8).digest(), default=None)
