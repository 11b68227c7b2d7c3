"""Probes of proxies: a connection to the provider's origin, TLS included, opened through the proxy and closed again.

A probe spends no quota and shows no key, so every proxy is looked at: a new one at once, one that works every
`proxies.check` seconds (an answer that came through it counts as a look), one that rests shortly before its rest ends,
so that it is not a request that finds it dead still. Where the provider may be at fault as well, one that works is
probed beside, as a witness. What a provider thinks of the proxy's address no connection can tell; that is left to live
requests.

Invariants: of a pool, at most `proxies.concurrency` proxies are probed at once by the schedule, and as many for the
operator; each within the provider's `timeouts.connect`. Times differ by ±20 % from proxy to proxy. A pool of dead
proxies keeps no other pool waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from gateway.keeper.probes import SKIPPED, Checked
from gateway.observe.logs import Log
from gateway.policy.proxyhealth import VALID, concerns_all, due_at, is_doubted
from gateway.policy.verdict import Scope, Verdict
from gateway.upstream.exchange import Exchange
from gateway.upstream.provider import Provider
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProviderProxies, ProxyPool

TICK = 1.0
"""Seconds between two looks at what is due: a new proxy is probed as soon as anybody could notice."""

SLICE = 500
"""Proxies looked at in one turn of the loop, which takes half a millisecond."""


class ProxyProber:
    """All pools' probes. `pools` is asked anew each time, since a reload may change it; `clock` gives unix seconds."""

    def __init__(
        self,
        pools: Callable[[], Iterable[ProxyPool]],
        log: Log,
        clock: Callable[[], float],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pools = pools
        self._log = log
        self._clock = clock
        self._sleep = sleep
        self._providers: Mapping[str, Provider] = {}
        self._exchange: Exchange | None = None
        self._busy: dict[ProxyPool, asyncio.Task[None]] = {}

    def arrange(self, providers: Mapping[str, Provider], exchange: Exchange) -> None:
        """Probe the ways to these providers from now on."""
        self._providers = providers
        self._exchange = exchange

    async def run(self) -> None:
        """The background task."""
        async with asyncio.TaskGroup() as group:
            while True:
                for pool in self._pools():
                    if pool.config.probe and pool not in self._busy:
                        name = f"proxy probes of {pool.name}"
                        self._busy[pool] = group.create_task(self._look_after(pool), name=name)
                await self._sleep(TICK)

    async def probe_due(self, pool: ProxyPool) -> None:
        """Probe what is due now."""
        pool.wake_due()
        due: list[Proxy] = []
        proxies = list(pool.proxies.values())
        for start in range(0, len(proxies), SLICE):
            now = self._clock()
            due += [
                proxy
                for proxy in proxies[start : start + SLICE]
                if now >= due_at(proxy.standings(), proxy.checked_at, proxy.jitter, pool.config)
            ]
            await asyncio.sleep(0)
        if any(is_doubted(standing) for proxy in due for standing in proxy.standings()):
            witness = next((each for each in proxies if each.standing is VALID and not each.blocks), None)
            due[:0] = [] if witness is None or witness in due else [witness]
        await self._probe_all(pool, due, Checked(len(due)))

    async def check(self, pool: ProxyPool, proxies: Sequence[Proxy], checked: Checked) -> None:
        """Probe these now, whatever the schedule says; for the operator, who sees `checked` fill up."""
        try:
            await self._probe_all(pool, proxies, checked)
        finally:
            checked.ended = True

    async def _look_after(self, pool: ProxyPool) -> None:
        try:
            await self.probe_due(pool)
        finally:
            del self._busy[pool]

    async def _probe_all(self, pool: ProxyPool, proxies: Sequence[Proxy], checked: Checked) -> None:
        waiting = iter(proxies)

        async def work() -> None:
            for proxy in waiting:
                outcome = await self._probe(pool, proxy)
                checked.done += 1
                checked.outcomes[outcome] += 1

        count = min(pool.config.concurrency, len(proxies))
        async with asyncio.TaskGroup() as group:
            for worker in [group.create_task(work(), name=f"probes of {pool.name}, {n}") for n in range(count)]:
                await worker

    async def _probe(self, pool: ProxyPool, proxy: Proxy) -> str:
        """Through one proxy to every provider that uses it. "success", or the status of the last failure."""
        outcome = SKIPPED
        for user in list(pool.users.values()):
            provider = self._providers.get(user.provider)
            if proxy.removed or provider is None or provider.proxies is not user:
                continue
            verdict = await self._probe_way(provider, user, proxy)
            if verdict is None:
                outcome = "success" if outcome == SKIPPED else outcome
                continue
            outcome = verdict.status.value
            if concerns_all(verdict):
                break
        return outcome

    async def _probe_way(self, provider: Provider, user: ProviderProxies, proxy: Proxy) -> Verdict | None:
        """To one provider. The verdict, None for success."""
        assert self._exchange is not None
        before = proxy.standing_for(user.provider)
        lease = user.pool.lend(proxy)
        verdict = await self._exchange.reach(provider, proxy)
        if verdict is None:
            user.reach(lease)
        elif verdict.scope is Scope.PROXY:
            user.report(lease, verdict)
        else:
            proxy.checked_at = self._clock()  # the provider spoke for itself, which says nothing about the proxy
        after = proxy.standing_for(user.provider)
        if before.usable and not after.usable:
            self._log.info(
                "proxy_benched",
                provider=user.provider,
                proxy=proxy.url.fingerprint,
                status=after.status.value,
                reason=after.reason,
                until=after.until,
                evidence=after.evidence,
            )
        elif before.streak and not after.streak:
            self._log.info("proxy_returned", provider=user.provider, proxy=proxy.url.fingerprint)
        return verdict
