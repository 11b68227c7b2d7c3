"""What outlives every reload: the pools with all that they have learned, the Keeper, the store's rooms, the meters.

A configuration is applied to it by `arrange`, in place; what a configuration decides anew each time is `assembly.py`'s.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from gateway.conductor.admission import Admission
from gateway.conductor.routes import RouteMemory, Target
from gateway.conductor.shared_limits import SharedLimits
from gateway.config.model import Config
from gateway.keeper.accountwatch import AccountWatch
from gateway.keeper.keeper import Keeper
from gateway.keeper.maintenance import Maintenance
from gateway.keeper.proxykeeper import ProxyKeeper
from gateway.keeper.proxyprobes import ProxyProber
from gateway.keeper.proxystatuses import ProxyStatuses
from gateway.keeper.statuses import StatusWriter
from gateway.keeper.usagewriter import UsageWriter
from gateway.net.client import Client
from gateway.observe.aftermath import Aftermath
from gateway.observe.logs import NAME_LIMIT, Log
from gateway.observe.metrics import Histogram, Metrics
from gateway.observe.record import RequestRecord, decimal
from gateway.policy.breaker import State
from gateway.policy.room import Room
from gateway.policy.verdict import Verdict
from gateway.store import unwritten
from gateway.store.accounts import AccountStore
from gateway.store.books import Books
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from gateway.store.ledger import Ledger
from gateway.store.proxies import ProxyStore
from gateway.store.responses import ResponseStore
from gateway.store.usage_hourly import UsageStore
from gateway.upstream.breakers import Circuit
from gateway.upstream.exchange import Exchange
from gateway.upstream.key import Key
from gateway.upstream.keypools import KeyPools
from gateway.upstream.owners import Owner, ResponseOwners
from gateway.upstream.provider import Provider
from gateway.upstream.proxypools import ProxyPools

if TYPE_CHECKING:
    from gateway.conductor.cache import ResponseCache
    from gateway.conductor.sharing import SharedAnswers
    from gateway.policy.pricing import PriceBook
    from gateway.secret import Secret

CIRCUIT_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
"""As the metric has them: what is worse is more."""

LOGGED_MODELS = 10
"""Without a price, in one line."""


def connect_answers(url: Secret) -> SharedAnswers:
    """Where several gateways keep answers. redis-py is loaded now."""
    from gateway.store.redisanswers import RedisAnswers

    return RedisAnswers(url)


class Holdings:
    """`clock` gives unix seconds. Whoever builds it closes `client` and `database`."""

    def __init__(self, client: Client, database: Database, log: Log, clock: Callable[[], float] = time.time) -> None:
        self.client = client
        self.database = database
        self.log = log
        self.clock = clock
        self.rng = Random()  # noqa: S311 - rotation and jitter, no secrets
        self.started = clock()
        self.pools = KeyPools(clock, self.rng, self.note_circuit)
        self.proxy_pools = ProxyPools(clock, self.rng)
        self.room = Room()  # its limit is the server's
        self.exchange = Exchange(client, clock, self.room)
        self.route_memory = RouteMemory(time.monotonic)
        self.metrics = Metrics()
        self.accounts = AccountStore(database)
        self.ledger = Ledger(database, f"{os.uname().nodename} {database.place}", clock, log.warning)
        self.books = Books(database)
        self.account_watch = AccountWatch(self.accounts, log)
        self.admission = Admission(time.monotonic, SharedLimits(time.monotonic, clock, log))
        self.usage = UsageStore(database)
        self.usage_writer = UsageWriter(self.usage, log, clock)
        self.aftermath = Aftermath(self.metrics, self.usage_writer.note, log, clock)
        self.metrics.before_reading = self.usage_writer.before_reading = self.aftermath.catch_up
        self.prices: PriceBook | None = None  # with billing off nothing has a price
        keys, responses = KeyStore(database), ResponseStore(database)

        async def look_up(response_id: str) -> Owner | None:
            found = await responses.owner(response_id)
            return None if found is None else Owner(*found)

        self.owners = ResponseOwners(look_up)
        self.cache: ResponseCache | None = None  # until a configuration wants it
        proxies = ProxyStatuses(lambda: self.proxy_pools, ProxyStore(database), clock)
        statuses = StatusWriter(lambda: self.pools, self.owners, keys, responses, log, clock, proxies)
        self.proxy_keeper = ProxyKeeper(proxies, log)
        self.proxy_prober = ProxyProber(lambda: self.proxy_pools, log, clock)
        self.keeper = Keeper(keys, statuses, log, clock, self.rng, self.proxy_keeper)
        self.maintenance = Maintenance(database, log, clock, self.metrics.maintained)
        self.metrics.collect_keys(self.count_keys)
        self.metrics.collect_proxies(self.proxy_pools.counts)
        self.metrics.collect_circuits(self.circuit_states)
        self.metrics.collect_queues(self.count_waiting, self.count_turned_away, self.waits)
        self.metrics.collect_room(lambda: self.room.held, lambda: self.room.shed)
        self.metrics.collect_store(database.statistics)
        self.metrics.collect_limits(self.admission.counted, self.admission.fallbacks)
        self.metrics.collect_ledger(lambda: self.ledger.queued)
        self.metrics.collect_tasks(lambda: len(asyncio.all_tasks()))
        self.metrics.collect_dropped(lambda: {"log": log.dropped})

    def arrange(self, config: Config) -> None:
        """Pools for what the configuration names, and the Keeper told."""
        self.pools.arrange(config)
        self.proxy_pools.arrange(config)
        self.keeper.arrange(config, self.pools.of)
        self.proxy_keeper.arrange(config, self.proxy_pools.of_files(config))
        if config.cache.enabled and self.cache is None:
            from gateway.conductor.cache import ResponseCache

            self.cache = ResponseCache(self.clock, self.log, connect_answers)
            self.metrics.collect_cache(self.cache.statistics)
        if self.cache is not None:
            self.cache.arrange(config)
        self.maintenance.arrange(config)
        self.admission.arrange(config.limits)

    async def load_prices(self, config: Config) -> PriceBook | None:
        """None with billing off. In a thread, because it comes from files. Raises PricesDamaged."""
        if not config.billing.enabled:
            return None
        from gateway.daemon.pricefiles import load_price_book  # so that a start without billing does without

        return await asyncio.to_thread(load_price_book, config)

    def charge_by(self, config: Config, prices: PriceBook | None) -> None:
        """From the next assembly on."""
        if prices is not None:
            from gateway.policy.pricing import nano

            self.ledger.default_balance = nano(config.billing.default_balance)
        self.prices = prices

    def warn_of_unpriced(self, config: Config) -> None:
        """Say which models would be refused for want of a price, before clients do."""
        if self.prices is None or config.billing.unpriced != "reject":
            return
        from gateway.daemon.unpriced import find_unpriced

        models = list(dict.fromkeys(model for _, model in find_unpriced(config, self.prices)))
        if models:
            self.log.warning("models_unpriced", count=len(models), models=models[:LOGGED_MODELS])

    async def make_up(self, state_dir: Path) -> None:
        """Charges that the last run could not write. Raises StoreError, and the file stays."""
        path = state_dir / unwritten.FILE
        charges = await asyncio.to_thread(unwritten.read, path)
        if charges:
            written = await self.books.make_up(charges)
            self.log.warning("charges_made_up", count=written, kept=len(charges))
            try:
                await asyncio.to_thread(unwritten.forget, path)
            except OSError:
                pass  # written again they change nothing

    async def keep_unwritten(self, state_dir: Path) -> None:
        """Charges that the database has not taken until the end, for the next start."""
        charges, path = self.ledger.unwritten(), state_dir / unwritten.FILE
        if not charges:
            return
        try:
            await asyncio.to_thread(unwritten.keep, path, charges)
        except OSError as error:
            amount = decimal(-sum(entry.amount for _, entry in charges))
            self.log.error(
                "charges_lost", count=len(charges), amount=amount, detail=f"{path}: {error.strerror or error}"
            )
        else:
            self.log.error("charges_kept", count=len(charges), path=str(path), detail="the next start writes them")

    def probe(self, providers: Mapping[str, Provider]) -> None:
        """Look at the keys of these providers from now on, and at the ways to them."""
        self.keeper.arrange_probes(providers.values(), self.exchange, self.note_probe)
        self.proxy_prober.arrange(providers, self.exchange)

    def note_attempt(self, provider: Provider, key: Key, verdict: Verdict | None, record: RequestRecord) -> None:
        """Count what an attempt of the Conductor's came to, and log what it says about the key or the provider."""
        if verdict is None:
            self.metrics.attempt(provider.name, "success")
            return
        self.metrics.attempt(provider.name, verdict.status.value)
        if not verdict.blames_key and not verdict.blames_provider:
            return
        standing = key.standing
        self.log.info(
            "attempt_failed",
            request_id=record.request_id,
            provider=provider.name,
            key=key.fingerprint,
            scope=verdict.scope.value,
            verdict=verdict.status.value,
            reason=verdict.reason,
            key_status=standing.status.value,
            until=standing.until,
            evidence=verdict.evidence,
        )

    def note_fallback(self, failed: Target, cause: str, following: Target, record: RequestRecord) -> None:
        """Count and log that a request goes on to another target."""
        self.metrics.fallback(failed.provider.name, cause)
        self.log.info(
            "fell_back",
            request_id=record.request_id,
            asked_for=record.model[:NAME_LIMIT],
            provider=failed.provider.name,
            model=failed.model,
            cause=cause,
            to_provider=following.provider.name,
            to_model=following.model,
        )

    def note_circuit(self, provider: str, circuit: Circuit) -> None:
        """Log that a circuit opened, closed, or is half-open."""
        breaker = circuit.breaker
        proxy = {} if circuit.way is None else {"proxy": circuit.way.proxy.url.fingerprint}
        if breaker.state is State.OPEN:
            until, said = breaker.until, circuit.last_error
            self.log.warning(
                "circuit_opened", provider=provider, **proxy, openings=breaker.openings, until=until, last_error=said
            )
        else:
            self.log.info(f"circuit_{breaker.state.value}", provider=provider, **proxy)

    def note_probe(self, provider: Provider, outcome: str) -> None:
        self.metrics.probe(provider.name, outcome)

    def circuit_states(self) -> dict[str, int]:
        """0 closed, 1 half-open, 2 open, by provider."""
        return {name: CIRCUIT_STATES[pool.breakers.state()] for name, pool in self.pools.of.items()}

    def count_waiting(self) -> dict[str, int]:
        """Requests that wait for a key, by provider."""
        return {name: len(pool.waiters) for name, pool in self.pools.of.items()}

    def count_turned_away(self) -> dict[str, int]:
        """Those for which there was no place, by provider."""
        return {name: pool.waiters.turned_away for name, pool in self.pools.of.items()}

    def waits(self) -> dict[str, Histogram]:
        """How long requests waited for a key, by provider."""
        return {name: pool.waiters.waits for name, pool in self.pools.of.items()}

    def count_keys(self) -> dict[tuple[str, str], int]:
        """Keys by provider and status."""
        return {
            (name, status.value): n
            for name, pool in self.pools.of.items()
            for status, n in list(pool.standings.counts.items())
        }
