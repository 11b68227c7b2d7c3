"""A provider's world on a virtual clock: keys that die and recover, quotas, bans, outages; months in seconds.

`World` says what the provider answers at a moment, with real statuses and bodies; everything behind the answer (the
exchange, the classifier, the pool, attempts, probes) is the gateway's own. `Naive` is the policy of much of the field,
three strikes and out, in the same world.
"""

from __future__ import annotations

import asyncio
import heapq
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from gateway import jsonlib
from gateway.conductor.attempts import Attempts
from gateway.config.model import ProxiesConfig, QueueConfig
from gateway.config.provider import ProbeConfig, ProviderConfig, RetryConfig, RetryCount
from gateway.config.proxyurl import ProxyUrl
from gateway.errors import ProxyError, RequestError
from gateway.keeper.probes import Prober
from gateway.keeper.proxyprobes import ProxyProber
from gateway.net.client import Client, Origin, Timeouts
from gateway.observe.logs import Log
from gateway.observe.record import RequestRecord
from gateway.policy.health import Standing
from gateway.secret import Secret
from gateway.upstream.answer import UpstreamAnswer
from gateway.upstream.exchange import Call, Exchange
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.provider import Provider
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool
from tests.upstream.pools import Clock

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
MODEL = "gpt-4o"
Answer = tuple[int, dict[str, str], bytes]


def body(message: str, code: str | None, kind: str) -> bytes:
    return jsonlib.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


GOOD: Answer = (
    200,
    {},
    jsonlib.dumps({"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant"}}]}),
)
REJECTED: Answer = (401, {}, body("Incorrect API key provided.", "invalid_api_key", "invalid_request_error"))
BANNED: Answer = (403, {}, body("Access denied.", None, "permission_error"))
NO_QUOTA: Answer = (429, {}, body("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"))
BROKEN: Answer = (500, {}, body("The server had an error.", None, "server_error"))


def limited(seconds: float) -> Answer:
    return (
        429,
        {"retry-after": f"{seconds:.0f}"},
        body("Rate limit reached for requests", "rate_limit_exceeded", "requests"),
    )


@dataclass
class Plan:
    """What one key is. `dead`, `barred` (from the model) and `empty` are spans of unix time; `per_minute` and `per_day`
    are its quotas."""

    dead: Sequence[tuple[float, float]] = ()
    barred: Sequence[tuple[float, float]] = ()
    empty: Sequence[tuple[float, float]] = ()
    per_minute: int = 0
    per_day: int = 0
    used: Counter[tuple[str, int]] = field(default_factory=Counter)

    def answer(self, now: float, listing: bool) -> Answer:
        if within(now, self.dead):
            return REJECTED
        if listing:
            return GOOD
        if within(now, self.barred):
            return BANNED
        if within(now, self.empty):
            return NO_QUOTA
        minute, day = ("minute", int(now // MINUTE)), ("day", int(now // DAY))
        if self.per_minute and self.used[minute] >= self.per_minute:
            return limited((minute[1] + 1) * MINUTE - now + 1)
        if self.per_day and self.used[day] >= self.per_day:
            return NO_QUOTA
        self.used[minute] += 1
        self.used[day] += 1
        return GOOD

    def good(self, now: float) -> bool:
        return not any(within(now, spans) for spans in (self.dead, self.barred, self.empty))


def within(now: float, spans: Sequence[tuple[float, float]]) -> bool:
    return any(start <= now < end for start, end in spans)


@dataclass
class Exit:
    """A proxy and the address that requests leave it from. Spans of unix time: `down` is it when it does not answer,
    `lost` when nothing comes back from behind it, `banned` when the provider refuses the address."""

    down: Sequence[tuple[float, float]] = ()
    lost: Sequence[tuple[float, float]] = ()
    banned: Sequence[tuple[float, float]] = ()
    met: list[float] = field(default_factory=list)  # when a request met one of these

    def pass_through(self, now: float) -> None:
        if within(now, self.down):
            raise ProxyError("the proxy refuses connections")
        if within(now, self.lost):
            raise ProxyError("no way through the proxy", beyond=True)


class World:
    """The provider. `bans` and `outages` hit every key alike; `exits` are proxies by host, empty: there are none."""

    def __init__(self, clock: Clock, plans: dict[str, Plan], exits: dict[str, Exit] | None = None) -> None:
        self.clock = clock
        self.plans = plans
        self.exits = exits or {}
        self.bans: list[tuple[float, float]] = []
        self.ban_answer = BANNED
        self.outages: list[tuple[float, float]] = []
        self.calls: dict[str, list[float]] = defaultdict(list)
        self.rejections: Counter[str] = Counter()
        self.asked = 0

    def ask(self, name: str, listing: bool = False, through: ProxyUrl | None = None) -> Answer:
        now = self.clock.now
        way = Exit() if through is None else self.exits[through.host]
        if within(now, [*way.down, *way.lost, *way.banned]):
            way.met.append(now)
        way.pass_through(now)
        self.calls[name].append(now)
        self.asked += 1
        if within(now, self.outages):
            return BROKEN
        if within(now, [*self.bans, *way.banned]):
            return self.ban_answer
        answer = self.plans[name].answer(now, listing)
        if answer is REJECTED:
            self.rejections[name] += 1
        return answer


class WorldAnswer:
    """An answer as the network client would give it."""

    def __init__(self, answer: Answer) -> None:
        self.status, headers, self._body = answer
        self.headers = [(b"content-type", b"application/json"), *((k.encode(), v.encode()) for k, v in headers.items())]

    async def read(self) -> bytes:
        data, self._body = self._body, b""
        return data

    async def read_all(self, limit: int) -> bytes:
        return await self.read()

    def close(self) -> None:
        pass


class WorldExchange(Exchange):
    """The exchange, with the world at the other end of the wire."""

    world: World
    names: dict[bytes, str]

    async def _send(
        self, provider: Provider, key: Key, call: Call, deadline: float, proxy: ProxyUrl | None
    ) -> UpstreamAnswer:
        return WorldAnswer(self.world.ask(self.names[key.digest], call.method == b"GET", proxy))


class WorldClient(Client):
    """The client, as far as probes of proxies need it."""

    world: World

    async def reach(self, origin: Origin, timeouts: Timeouts, *, proxy: ProxyUrl | None = None) -> None:
        assert proxy is not None
        self.world.exits[proxy.host].pass_through(self.world.clock.now)
        if within(self.world.clock.now, self.world.outages):
            raise ProxyError("nothing answers behind the proxy", beyond=True)


class Gateway:
    """The gateway's own parts in the world. Each step of `run` is one request."""

    def __init__(self, world: World, probing: str = "models", shared: bool = True, *, sticky: bool = False) -> None:
        self.world, self.clock = world, world.clock
        config = replace(
            ProviderConfig(name="main", type="openai", base_url="https://world.example/v1", models=(MODEL,)),
            retry=RetryConfig(on_server_error=RetryCount(2, 0.0, 1.0)),
            probe=ProbeConfig(min_interval=0.0),
            shared_key_status=shared,
        )
        self.pool = KeyPool("main", config.health, clock=self.clock, rng=Random(7))
        self.pool.configure(config, probing, 10)
        secrets = {name: Secret(f"sk-{name}-0123456789abcdef") for name in world.plans}
        self.keys = {name: Key(secret, secret.digest) for name, secret in secrets.items()}
        self.pool.standings.add(list(self.keys.values()))
        self.proxies = ProxyPool("proxies.txt", ProxiesConfig(), clock=self.clock, rng=Random(7))
        self.proxies.add([Proxy(ProxyUrl("http", host, 3128)) for host in world.exits])
        user = self.proxies.user("main")
        user.sticky = sticky
        self.provider = Provider(config, self.pool, user if world.exits else None)
        client = WorldClient()
        exchange = WorldExchange(client, self.clock)
        exchange.world = client.world = world
        exchange.names = {secret.digest: name for name, secret in secrets.items()}
        self._attempts = Attempts(exchange, QueueConfig(timeout=0.001), Random(7), lambda *_: None)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._n = 0
        log = Log(write=io.BytesIO().write, human=False, clock=self.clock)
        self._prober = Prober(self.provider, exchange, log, self.clock, lambda *_: None, sleep=self.sleep)
        proxy_prober = ProxyProber(lambda: [self.proxies], log, self.clock, sleep=self.sleep)
        proxy_prober.arrange({"main": self.provider}, exchange)
        self._lives = [self._prober.run, self._prober.sweep, *([proxy_prober.run] if world.exits else [])]
        self.statuses: Counter[int] = Counter()

    async def sleep(self, seconds: float) -> None:
        """Virtual time."""
        self._n += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.clock.now + seconds, self._n, future))
        await future

    async def run(self, until: float, every: float, during: Callable[[float], None] = lambda now: None) -> None:
        """A request every so many seconds, probes beside, until then."""
        tasks = [asyncio.create_task(life(), name="probes") for life in self._lives]
        try:
            next_request = self.clock.now
            while self.clock.now < until:
                await self._settle()
                sleeping = self._sleepers[0][0] if self._sleepers else until
                waking = self.pool.standings.next_wake() or until
                self.clock.now = max(self.clock.now, min(next_request, sleeping, max(waking, self.clock.now), until))
                self.pool.standings.wake_due()
                while self._sleepers and self._sleepers[0][0] <= self.clock.now:
                    future = heapq.heappop(self._sleepers)[2]
                    if not future.done():
                        future.set_result(None)
                if self.clock.now >= next_request:
                    next_request = self.clock.now + every
                    await self.request()
                during(self.clock.now)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._sleepers.clear()

    async def request(self) -> int:
        """One client's request; the status that it gets."""
        call = Call(b"POST", "/v1/chat/completions", "", (), b"{}", MODEL, "chat")
        record = RequestRecord("id", 0.0)
        try:
            outcome, lease = await self._attempts.run(self.provider, call, record)
        except RequestError as error:
            status = error.status
        else:
            self.pool.finish(lease)
            status = outcome.status
        self.statuses[status] += 1
        return status

    async def _settle(self) -> None:
        """Let everything that can go on do so, until nobody asks or goes to sleep any more."""
        before = None
        while before != (self.world.asked, self._n):
            before = self.world.asked, self._n
            for _ in range(6):
                await asyncio.sleep(0)

    def proxy(self, host: str) -> Proxy:
        return next(proxy for proxy in self.proxies.proxies.values() if proxy.url.host == host)

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if status != 200)

    def lost(self) -> list[str]:
        """Good keys that the pool would not use, nor look at within a day."""
        now = self.clock.now
        return [
            name
            for name, key in self.keys.items()
            if self.world.plans[name].good(now)
            and any(map(self._is_lost, (key.standing, *(key.models or {}).values())))
        ]

    def _is_lost(self, standing: Standing) -> bool:
        """Not used, and neither looked at within a day nor at the next request."""
        now = self.clock.now
        if standing.usable or (standing.until is not None and now < standing.until <= now + DAY):
            return False
        return standing.until is None or standing.until > now or now > standing.until + DAY


class Naive:
    """Three strikes and out: a key that failed three times in a row is never used again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.turn = list(world.plans)
        self.strikes: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    def run(self, until: float, every: float, during: Callable[[float], None] = lambda now: None) -> None:
        while self.world.clock.now < until:
            self.statuses[self.request()] += 1
            during(self.world.clock.now)
            self.world.clock.advance(every)

    def request(self) -> int:
        """As many attempts as the gateway has."""
        status = 503
        for _ in range(min(21, len(self.turn))):
            name = self.turn.pop(0)
            status = self.world.ask(name)[0]
            self.strikes[name] = 0 if status == 200 else self.strikes[name] + 1
            if self.strikes[name] < 3:
                self.turn.append(name)
            if status == 200:
                break
        return status

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if status != 200)

    def lost(self) -> list[str]:
        now = self.world.clock.now
        return [name for name, plan in self.world.plans.items() if plan.good(now) and name not in self.turn]


def usable(gateway: Gateway) -> set[str]:
    """Keys in good standing, for the model too."""
    return {
        name
        for name, key in gateway.keys.items()
        if all(standing.usable for standing in (key.standing, *(key.models or {}).values()))
    }
