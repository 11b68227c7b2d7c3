"""The proxies of one file: lease one, report what came of it.

Several providers may share a pool; each has its own `ProviderProxies`, which is how it sees the pool. A proxy that
cannot be reached is out for all of them, one that a provider blocks or that cannot reach it is out for that provider.
Memory is the authority; the Keeper reads the file, probes, writes changes behind and restores them at start.

Rules of the file:

- Reports are versioned by lease, as in `keypool.py`: a late failure never overwrites a newer success or an operator's
  word, and an attempt that began before a proxy was benched neither lifts that nor makes it worse.
- Where the provider may be at fault as well (`is_doubtful`), a proxy is benched by the second failure in a row, and
  only if another one got through to the provider in between. So an outage of the provider costs no proxy.
- Rests end when somebody looks; no timer is needed.
- A proxy that is only suspected (`guard.py`) is tried with keys that have proven themselves, a *canary* at a time; in
  mode sticky with those that it is the first choice of. The first answer that is no rejection ends the suspicion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

from gateway.config.model import ProxiesConfig
from gateway.policy.proxyhealth import (
    ALL_PROVIDERS,
    UNTESTED,
    VALID,
    ProxyStanding,
    bench,
    concerns_all,
    count_failure,
    is_about_address,
    is_doubtful,
    wake,
)
from gateway.policy.verdict import Verdict
from gateway.upstream.proxy import Proxy, ProxyChange, ProxyLease, ProxyRest, rest_ends
from gateway.upstream.proxychoice import NONE_TRIED, ProxyChoice, first_of
from gateway.upstream.rests import STEP_BACK, Rests

CANARY_DELAY = 5.0
"""Seconds after which a canary is given up that nobody has heard of: another one may go."""

JITTER = 0.2
"""Share by which the times between checks differ, so that a file's proxies are not all checked at once."""


class ProxyPool:
    """See the module's text. `clock` gives unix seconds; `name` is what people see: the file, or a single URL."""

    def __init__(self, name: str, config: ProxiesConfig, *, clock: Callable[[], float], rng: Random) -> None:
        self.name = name
        self.config = config
        self.proxies: dict[bytes, Proxy] = {}
        self.users: dict[str, ProviderProxies] = {}
        self.now = clock
        self._seen = clock()
        self._rng = rng
        self._rests: Rests[ProxyRest] = Rests(rest_ends)
        self._changes: dict[tuple[bytes, str], Proxy] = {}
        self._seq = 0

    def user(self, provider: str) -> ProviderProxies:
        """How a provider sees this pool. The same one each time."""
        known = self.users.get(provider)
        if known is None:
            known = self.users[provider] = ProviderProxies(self, provider)
            for proxy in self._rng.sample(list(self.proxies.values()), len(self.proxies)):
                known.place(proxy)
        return known

    def forget(self, provider: str) -> None:
        """It uses the pool no more: what its requests taught about proxies decides about none of their checks.
        O(proxies)."""
        del self.users[provider]
        for proxy in self.proxies.values():
            proxy.blocks.pop(provider, None)
            proxy.benched_seq.pop(provider, None)

    # -- leases ------------------------------------------------------------------------------------------------

    def lend(self, proxy: Proxy) -> ProxyLease:
        """This very one, for a probe."""
        self._seq += 1
        return ProxyLease(proxy, self._seq)

    def succeed(self, lease: ProxyLease, user: ProviderProxies, *, answered: bool = True) -> None:
        """The provider answered through the proxy, whatever it said; or a probe got through to it without asking it
        anything, which lifts no refusal of the proxy's address."""
        proxy, seq = lease
        user.successes += 1
        proxy.checked_at = self.now()
        if seq > proxy.good_seq:
            proxy.good_seq = seq
        if proxy.standing is VALID and not proxy.blocks:
            return
        if proxy.standing is not VALID and seq > proxy.benched_seq.get(ALL_PROVIDERS, 0):
            self._set(proxy, ALL_PROVIDERS, VALID)
        block = proxy.blocks.get(user.provider)
        if block is None or seq <= proxy.benched_seq.get(user.provider, 0):
            return
        if answered or not is_about_address(block):
            self._set(proxy, user.provider, None)

    def report(self, lease: ProxyLease, user: ProviderProxies, verdict: Verdict) -> None:
        """The attempt failed, and the verdict blames the proxy."""
        proxy, seq = lease
        now = self.now()
        self._heed_clock(now)
        name = ALL_PROVIDERS if concerns_all(verdict) else user.provider
        if name != ALL_PROVIDERS and self.users.get(name) is not user:
            return  # the provider uses the pool no more
        standing = proxy.standing if name == ALL_PROVIDERS else proxy.blocks.get(name, UNTESTED)
        stale = not standing.usable and seq <= proxy.benched_seq.get(name, 0)
        if proxy.removed or seq < proxy.good_seq or stale:
            return
        proxy.checked_at = now
        if is_doubtful(verdict) and not user.confirms(proxy, standing):
            self._set(proxy, name, count_failure(standing, verdict, now))
            return
        proxy.benched_seq[name] = self._seq
        self._set(proxy, name, bench(standing, verdict, now, self.config))

    def wake_due(self) -> None:
        """End the rests that are over. A clock that was set back prolongs none."""
        now = self.now()
        self._heed_clock(now)
        while (rest := self._rests.pop_due(now)) is not None:
            proxy, name = rest
            self._set(proxy, name, wake(proxy.standing if name == ALL_PROVIDERS else proxy.blocks[name]))

    # -- the Keeper's and the operator's side ------------------------------------------------------------------

    def add(self, proxies: Sequence[Proxy]) -> None:
        """New proxies, each with the standings it was restored with or `untested`, in random order. What concerns a
        provider that does not use the pool is left out."""
        for proxy in self._rng.sample(proxies, len(proxies)):
            if proxy.digest in self.proxies:
                continue
            proxy.jitter = self._rng.uniform(-JITTER, JITTER)
            self.proxies[proxy.digest] = proxy
            proxy.blocks = {name: block for name, block in proxy.blocks.items() if name in self.users}
            self._take_over(proxy)
            self._bring_forward(proxy, 0.0, self.now())
            for name, standing in ((ALL_PROVIDERS, proxy.standing), *proxy.blocks.items()):
                self._rest(proxy, name, standing)
            self._place(proxy)

    def remove(self, digests: Iterable[bytes]) -> None:
        """Proxies that are gone from the file leave at once; attempts under way finish and report to nobody."""
        for digest in digests:
            proxy = self.proxies.pop(digest, None)
            if proxy is not None:
                proxy.removed = True
                self._place(proxy)

    def clear(self, proxy: Proxy) -> None:
        """Forget every verdict on the proxy; what older attempts still report is ignored."""
        self._seq += 1
        proxy.good_seq = self._seq
        proxy.checked_at = 0.0
        for name in list(proxy.blocks):
            self._set(proxy, name, None)
        self._set(proxy, ALL_PROVIDERS, UNTESTED)
        proxy.benched_seq = dict.fromkeys((ALL_PROVIDERS, *self.users), self._seq)

    def take_changes(self, limit: int = 5000) -> list[ProxyChange]:
        """Standings that changed since they were last taken, oldest first, at most `limit`."""
        taken: list[ProxyChange] = []
        while self._changes and len(taken) < limit:
            (digest, name), proxy = next(iter(self._changes.items()))
            del self._changes[(digest, name)]
            standing = proxy.standing if name == ALL_PROVIDERS else proxy.blocks.get(name)
            taken.append(ProxyChange(digest, name, standing, proxy.checked_at))
        return taken

    def counts(self) -> dict[str, int]:
        """Proxies by status. One that is out for every provider, though for each by itself, counts as that."""
        self.wake_due()
        counts = Counter(str(proxy.status_among(self.users)) for proxy in self.proxies.values())
        return dict(sorted(counts.items()))

    # -- inside ------------------------------------------------------------------------------------------------

    def _set(self, proxy: Proxy, name: str, standing: ProxyStanding | None) -> None:
        """Give a proxy its new standing (None: for this provider it is as for all) and put it where that belongs."""
        if name == ALL_PROVIDERS:
            assert standing is not None
            proxy.standing = standing
        elif standing is None:
            proxy.blocks.pop(name, None)
        else:
            proxy.blocks[name] = standing
        self._changes[(proxy.digest, name)] = proxy
        if standing is not None:
            self._rest(proxy, name, standing)
        self._place(proxy)

    def _heed_clock(self, now: float) -> None:
        """Before a rest begins by a clock that was set back, those that began by the old one are brought forward."""
        step, self._seen = self._seen - now, now
        if step > STEP_BACK:
            for proxy in self.proxies.values():
                self._bring_forward(proxy, step, now)

    def _bring_forward(self, proxy: Proxy, seconds: float, now: float) -> None:
        """By so many seconds, and at the least so far that nothing is further ahead than it can be."""
        proxy.checked_at = min(proxy.checked_at, now)
        for name, standing in ((ALL_PROVIDERS, proxy.standing), *list(proxy.blocks.items())):
            if standing.until is not None:
                until = min(standing.until - seconds, now + self.config.max_rest)
                if until != standing.until:
                    self._set(proxy, name, replace(standing, until=until))

    def _take_over(self, proxy: Proxy) -> None:
        """What a proxy that left and came back has not yet had written is newer than what it was restored with."""
        for name in (ALL_PROVIDERS, *self.users):
            before = self._changes.get((proxy.digest, name))
            if before is None:
                continue
            self._changes[(proxy.digest, name)] = proxy
            proxy.checked_at = before.checked_at
            if name == ALL_PROVIDERS:
                proxy.standing = before.standing
            elif name in before.blocks:
                proxy.blocks[name] = before.blocks[name]
            else:
                proxy.blocks.pop(name, None)

    def _rest(self, proxy: Proxy, name: str, standing: ProxyStanding) -> None:
        if standing.until is not None:
            self._rests.push(standing.until, ProxyRest(proxy, name), len(self.proxies) * (1 + len(self.users)))

    def _place(self, proxy: Proxy) -> None:
        for user in self.users.values():
            user.place(proxy)


class Way(NamedTuple):
    """How an attempt went to a provider: through one of its proxies."""

    proxies: ProviderProxies
    proxy: Proxy


class ProviderProxies:
    """A pool as one provider uses it. `sticky`: each key keeps its proxy, otherwise they take turns."""

    __slots__ = ("_canaries", "_marks", "choice", "pool", "provider", "sticky", "successes")

    def __init__(self, pool: ProxyPool, provider: str) -> None:
        self.pool = pool
        self.provider = provider
        self.sticky = False
        self.choice = ProxyChoice()
        self.successes = 0
        self._canaries: dict[Proxy, float] = {}  # suspected proxies, and when the next canary may go
        self._marks: dict[bytes, int] = {}  # successes when a proxy's first doubtful failure came

    def lease(self, key: bytes, tried: Collection[Proxy] = NONE_TRIED, *, proven: bool = False) -> ProxyLease | None:
        """A proxy for the key with this digest, if possible none that this request has tried. None: there is none.
        `proven`: the key was good when it was used last."""
        pool = self.pool
        pool.wake_due()
        proxy = self.choice.for_key(key, tried) if self.sticky else self.choice.next(tried)
        if proven and self._canaries:
            proxy = self._canary(key, proxy, tried)
        return None if proxy is None else pool.lend(proxy)

    def succeed(self, lease: ProxyLease) -> None:
        self.pool.succeed(lease, self)

    def reach(self, lease: ProxyLease) -> None:
        """A probe got through."""
        self.pool.succeed(lease, self, answered=False)

    def report(self, lease: ProxyLease, verdict: Verdict) -> None:
        self.pool.report(lease, self, verdict)

    def accuse(self, proxy: Proxy, verdict: Verdict) -> None:
        """What was said of keys is the proxy's fault, whatever came through it before."""
        self.pool.report(self.pool.lend(proxy), self, verdict)

    def place(self, proxy: Proxy) -> None:
        """Have a proxy stand where it belongs."""
        self._canaries.pop(proxy, None)
        if proxy.removed:
            self.choice.discard(proxy)
            self._marks.pop(proxy.digest, None)
            return
        self.choice.put(proxy, proxy.usable_for(self.provider))
        block = proxy.blocks.get(self.provider)
        if block is not None and block.canary_at is not None:
            self._canaries[proxy] = block.canary_at

    def _canary(self, key: bytes, chosen: Proxy | None, tried: Collection[Proxy]) -> Proxy | None:
        """A suspected proxy in the place of the chosen one, if it is time for a canary."""
        now = self.pool.now()
        for proxy, at in self._canaries.items():
            if now < at or proxy in tried or not proxy.standing.usable:
                continue
            if chosen is None or not self.sticky or first_of((chosen, proxy), key) is proxy:
                self._canaries[proxy] = now + CANARY_DELAY
                return proxy
        return chosen

    def has_other(self, tried: Collection[Proxy]) -> bool:
        """Whether a usable proxy is left that was not tried."""
        return self.choice.has_other(tried)

    def confirms(self, proxy: Proxy, standing: ProxyStanding) -> bool:
        """Whether a doubtful failure is the proxy's: not its first, and others have got through since that one."""
        if standing.streak == 0:
            self._marks[proxy.digest] = self.successes
        return standing.streak > 0 and self.successes > self._marks.get(proxy.digest, 0)
