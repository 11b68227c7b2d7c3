"""The gateway in this process, put together as `gateway/daemon.py` does it, and a client that sees every byte.

    async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
        got = await running.ask("POST", "/v1/chat/completions", CHAT)
        assert got.status == 200

Nothing is mocked: real sockets, a real database in `folder`. What differs from a daemon: keys come from the test
instead of files, in their order, and `running.clock` can be moved, which moves the pools' time alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from gateway.api.admin import AdminSurface
from gateway.api.admin_accounts import AccountAdmin
from gateway.api.admin_cache import CacheAdmin
from gateway.api.admin_money import MoneyAdmin
from gateway.api.admin_proxies import ProxyAdmin
from gateway.api.admin_routes import RouteAdmin
from gateway.api.anthropic import AnthropicSurface
from gateway.api.billing import BillingSurface
from gateway.api.errors import refuse
from gateway.api.gemini import GeminiSurface
from gateway.api.guard import Guard
from gateway.api.health import HealthSurface
from gateway.api.models import ModelsSurface
from gateway.api.openai import OpenAISurface
from gateway.api.passthrough import PassthroughSurface
from gateway.api.router import Router
from gateway.conductor.admission import Admission
from gateway.conductor.attempts import Attempts
from gateway.conductor.auth import Authenticator
from gateway.conductor.billing import Billing
from gateway.conductor.cache import ResponseCache
from gateway.conductor.conductor import Conductor
from gateway.conductor.jwt_tokens import jwt_verifier
from gateway.conductor.models import ModelResolver
from gateway.conductor.routes import RouteMemory, Target, make_routes
from gateway.conductor.shared_limits import SharedLimits
from gateway.conductor.translator import Translator
from gateway.config.load import load_config
from gateway.config.model import Config, ServerConfig
from gateway.config.validate import auth_is_on
from gateway.daemon.holdings import connect_answers
from gateway.daemon.pricefiles import load_price_book
from gateway.errors import GatewayError, RequestError
from gateway.keeper.statuses import StatusWriter
from gateway.keeper.usagewriter import UsageWriter
from gateway.net.client import Client
from gateway.net.connection import Reply, Request
from gateway.net.server import Server
from gateway.observe.aftermath import Aftermath
from gateway.observe.logs import Log
from gateway.observe.metrics import Metrics
from gateway.observe.record import RequestRecord
from gateway.policy.pricing import nano
from gateway.policy.room import Room
from gateway.policy.verdict import Verdict
from gateway.providers import PROVIDER_FACTS
from gateway.secret import Secret
from gateway.store import open_store
from gateway.store.accounts import AccountStore
from gateway.store.books import Books
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from gateway.store.ledger import Ledger
from gateway.store.responses import ResponseStore
from gateway.store.usage_hourly import UsageStore
from gateway.upstream.catalog import Catalog
from gateway.upstream.exchange import Exchange
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.owners import Owner, ResponseOwners
from gateway.upstream.provider import Provider
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool
from gateway.upstream.proxypools import ProxyPools

CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}
STREAM = {**CHAT, "stream": True}
KEYS = ("sk-first-000000000001", "sk-second-00000000002", "sk-third-000000000003")
"""In the order in which they are used."""

TOKENS = """
[auth]
required = true
[tokens.ann]
token = "token-of-ann"
[tokens.reader]
token = "token-of-reader"
scopes = ["read"]
[tokens.root]
token = "token-of-root"
scopes = ["admin"]
"""
AS_ANN = {"authorization": "Bearer token-of-ann"}
AS_ROOT = {"authorization": "Bearer token-of-root"}

Headers = Mapping[str, str] | Sequence[tuple[str, str]]


def configuration(base_url: str, *, server: str = "", provider: str = "", retry: str = "", more: str = "") -> str:
    """One provider called main, which does not wait before retries."""
    return f"""
[server]
listen = ["127.0.0.1:0"]
{server}
[providers.main]
type = "openai"
base_url = "{base_url}"
{provider or 'models = ["gpt-4o-mini", "gpt-4o", "whisper-1"]'}
[providers.main.retry]
{retry or "on_server_error = {attempts = 2, backoff = 0}"}
{more}
"""


class Clock:
    """The pools' time, in unix seconds: the real one, moved."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._stopped: float | None = None

    def stop(self) -> None:
        """Go on by `ahead` alone, for a test that counts seconds; timers do not notice."""
        self._stopped = time.time()

    def __call__(self) -> float:
        return (time.time() if self._stopped is None else self._stopped) + self.ahead


@dataclass(frozen=True, slots=True)
class Got:
    """An answer. `complete`: it ended as its own framing says; `body` is what came of it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object: nothing but JSON in the surface's shape will do."""
        assert self.header("content-type") == "application/json", self
        assert set(self.json) == {"error"}, self
        error: dict[str, Any] = self.json["error"]
        assert {"message", "type", "param", "code"} <= set(error), self
        return error

    @property
    def code(self) -> str:
        return str(self.error["code"])

    def header(self, name: str) -> str | None:
        """A header that must not come twice."""
        values = [value for known, value in self.headers if known == name]
        assert len(values) <= 1, f"{name}: {values}"
        return values[0] if values else None


class Talk:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host
        self._method = ""
        self._chunked = False
        self._length: int | None = None

    async def send(self, method: str, path: str, body: bytes | object = b"", headers: Headers = ()) -> None:
        """A whole request. A body that is not bytes is sent as JSON; `headers` may replace Host and Content-Type."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        items = list(headers.items() if isinstance(headers, Mapping) else headers)
        given = {name.lower() for name, _ in items}
        defaults = {"host": self._host, "content-type": "application/json", "content-length": str(len(data))}
        lines = [
            f"{name}: {value}" for name, value in defaults.items() if name not in given and (data or name[0] == "h")
        ]
        if not data and method in ("POST", "PUT", "PATCH") and "content-length" not in given:
            lines.append("content-length: 0")
        lines += [f"{name}: {value}" for name, value in items]
        self._method = method
        self._writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + data)
        await self._writer.drain()

    async def send_raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self) -> Got:
        """The answer's head, without its body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        got = Got(int(first.split()[1]), headers, b"", complete=False)
        self._chunked = got.header("transfer-encoding") == "chunked"
        length = got.header("content-length")
        bodiless = self._method == "HEAD" or got.status in (204, 304)
        self._length = 0 if bodiless else None if self._chunked else int(length or 0)
        return got

    async def piece(self) -> bytes:
        """One chunk, or all of a body with a length; b"" at the end. Raises IncompleteReadError when it is cut."""
        if self._chunked and self._length is None:
            size = int((await self._reader.readuntil(b"\r\n")).strip(), 16)
            return (await self._reader.readexactly(size + 2))[:-2]
        length, self._length = self._length or 0, 0
        return await self._reader.readexactly(length)

    async def until(self, mark: bytes) -> bytes:
        """The body up to the piece in which `mark` is."""
        body = b""
        while mark not in body:
            piece = await self.piece()
            assert piece, f"the answer ended before {mark!r}: {body!r}"
            body += piece
        return body

    async def rest(self) -> tuple[bytes, bool]:
        """The rest of the body, and whether it came to its end."""
        parts = []
        try:
            while piece := await self.piece():
                parts.append(piece)
        except asyncio.IncompleteReadError as cut:
            return b"".join([*parts, cut.partial]), False
        except ConnectionError:
            return b"".join(parts), False
        return b"".join(parts), True

    async def answer(self) -> Got:
        head = await self.head()
        body, complete = await self.rest()
        return Got(head.status, head.headers, body, complete)

    async def closed(self) -> bool:
        """Whether the other side closes without another byte."""
        return not await self._reader.read(1)

    def leave(self) -> None:
        self._writer.close()


class Control:
    """What the daemon does for the admin API, as far as tests need it."""

    def __init__(self) -> None:
        self.failure: GatewayError | None = None
        self.statuses: StatusWriter

    async def sync_now(self) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        return {"main": {"keys": 3, "added": 0, "removed": 0, "held": False, "problems": []}}

    async def reload(self) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        return {"changed": ["queue"], "switched": {}}

    def start_check(self, provider: str, keys: Sequence[Key]) -> str | None:
        return None if provider == "unprobed" else f"check of {len(keys)}"

    def start_proxy_check(self, pool: ProxyPool, proxies: Sequence[Proxy]) -> str:
        return f"check of {len(proxies)}"

    def checked(self, check: str) -> dict[str, Any] | None:
        return {"total": 3, "done": 3, "outcomes": {"success": 3}, "ended": True} if check == "check of 3" else None

    async def save(self) -> None:
        if self.failure is not None:
            raise self.failure
        assert await self.statuses.flush()

    async def maintain(self, task: str) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        return {"task": task}

    def inventory_problem(self) -> str:
        return "/the/inventory: Permission denied"

    def files(self) -> dict[str, list[dict[str, Any]]]:
        return {"main": [{"path": "keys/main.txt", "keys": 3}]}

    def proxy_files(self) -> dict[str, list[dict[str, Any]]]:
        return {}


class Gateway:
    """What `gateway` gives to a test."""

    def __init__(self, config: Config, database: Database, keys: Mapping[str, Iterable[str]]) -> None:
        self.clock = Clock()
        self.control = Control()
        self.metrics = Metrics()
        self.database = database
        self.lines: list[dict[str, Any]] = []  # of the log
        self.errors: list[BaseException] = []  # bugs that the servers met
        self.admin_socket = config.path.parent / "admin.sock"
        self.fallbacks: list[tuple[str, str, str]] = []  # from, cause, to
        self._more_lines = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._log = Log(write=self._take_lines, human=False)
        self.admission = Admission(self.clock, SharedLimits(self.clock, self.clock, self._log))
        self.admission.arrange(config.limits)
        self.metrics.collect_limits(self.admission.counted, self.admission.fallbacks)
        self._beside = self._loop.create_task(self.admission.run(), name="limits")
        rng = Random(1)
        responses = ResponseStore(database)
        self.accounts = AccountStore(database)

        async def look_up(response_id: str) -> Owner | None:
            found = await responses.owner(response_id)
            return None if found is None else Owner(*found)

        self.owners = ResponseOwners(look_up)
        self.pools = {
            name: KeyPool(name, provider.health, clock=self.clock, rng=rng)
            for name, provider in config.providers.items()
            if provider.enabled
        }
        for name, pool in self.pools.items():
            pool.configure(config.providers[name], "none", config.queue.max)
            for secret in keys.get(name, ()):
                pool.standings.add([Key(Secret(secret), Secret(secret).digest)])
        self._statuses = self.control.statuses = StatusWriter(
            self.pools.values, self.owners, KeyStore(database), responses, self._log, self.clock
        )
        self._client = Client()
        self.proxy_pools = ProxyPools(self.clock, rng)
        self.proxy_pools.arrange(config)
        providers = {
            name: Provider(config.providers[name], pool, self.proxy_pools.of(config.providers[name]))
            for name, pool in self.pools.items()
        }
        self.room = Room()
        exchange = Exchange(self._client, self.clock, self.room)
        self._catalog = Catalog(providers, exchange, self.clock)
        routes = make_routes(config.routes, providers, RouteMemory(self.clock), rng)
        resolver = ModelResolver(providers, self._catalog, config.server.default_provider, routes)
        attempts = Attempts(exchange, config.queue, rng, self._note_attempt)
        translator = Translator(config.translation.on_loss, self.clock, lambda: "0123456789abcdef")
        self.ledger = Ledger(database, "here", self.clock, self._log.warning)
        self.ledger.default_balance = nano(config.billing.default_balance)
        self.books = Books(database)
        self.usage = UsageStore(database)
        self.usage_writer = UsageWriter(self.usage, self._log, self.clock)
        self.aftermath = Aftermath(self.metrics, self.usage_writer.note, self._log, self.clock)
        self.metrics.before_reading = self.usage_writer.before_reading = self.aftermath.catch_up
        billing = None
        if config.billing.enabled:
            billing = Billing(config.billing, load_price_book(config), self.ledger, self.clock)
        self.cache = ResponseCache(self.clock, self._log, connect_answers) if config.cache.enabled else None
        if self.cache is not None:
            self.cache.arrange(config)
            self.metrics.collect_cache(self.cache.statistics)
        conductor = Conductor(
            resolver, translator, attempts, self.owners, self.admission, billing, self.cache, self._note_fallback
        )
        models = ModelsSurface(self._catalog, routes)
        surfaces = (
            OpenAISurface(conductor),
            AnthropicSurface(conductor),
            GeminiSurface(conductor, models),
            models,
            PassthroughSurface(conductor),
            HealthSurface(
                providers,
                database,
                self.metrics,
                lambda: False,
                self.books.balances if config.metrics.user_balance else None,
            ),
            BillingSurface(self.books, self.ledger.default_balance if config.billing.enabled else None, self.clock),
            AdminSurface(
                config,
                providers,
                RouteAdmin(routes, self.clock),
                ProxyAdmin(self.proxy_pools, self.control),
                AccountAdmin(self.accounts, config, self.clock),
                CacheAdmin(self.cache),
                MoneyAdmin(self.books, self.usage, self.accounts, config, self.usage_writer.flush, self.clock),
                self.control,
                self.clock,
                self.clock(),
                self.admission.state,
            ),
        )

        def router(guard: Guard, authenticator: Authenticator) -> Router:
            return Router(
                *surfaces,
                guard,
                authenticator,
                self._log,
                self.metrics,
                self.aftermath,
                log_requests=True,
                public_metrics=config.metrics.public,
            )

        auth_on = auth_is_on(config)
        jwt = jwt_verifier(config.auth.jwt, self._client, self._log, self.clock)
        authenticator = Authenticator(config, auth_on, self.accounts, jwt, self.clock)
        self.make_router = router
        # a test may swap it, as a reload does
        self.router = router(Guard(config.server, auth_on=auth_on), authenticator)
        self.metrics.collect_room(lambda: self.room.held, lambda: self.room.shed)
        self.server = Server(
            self._handle,
            self._refuse,
            config.server,
            on_error=self.errors.append,
            admit=self._admit,
            room=self.room,
        )
        self._admin = Server(
            router(Guard(ServerConfig(), auth_on=True), Authenticator.of_operator()),
            refuse,
            ServerConfig(),
            on_error=self.errors.append,
        )
        self._listen = config.server.listen

    async def start(self) -> None:
        self._ledger_task = self._loop.create_task(self.ledger.run(), name="ledger")
        for spec in self._listen:
            await self.server.listen(spec)
        await self._admin.listen(f"unix:{self.admin_socket}", mode=0o600)

    async def stop(self) -> None:
        await self.server.close()
        await self._admin.close()
        self._beside.cancel()
        await asyncio.gather(self._beside, return_exceptions=True)
        await self.admission.close()
        await self._catalog.close()
        for pool in self.pools.values():
            pool.close()
        await self._statuses.flush()
        self._ledger_task.cancel()
        await self.ledger.flush(10)
        if self.cache is not None:
            await self.cache.close()
        await self._client.close()
        self._log.close()

    async def _handle(self, request: Request, reply: Reply) -> None:
        await self.router(request, reply)

    async def _admit(self, request: Request) -> object:
        return await self.router.admit(request)

    def _refuse(
        self, request: Request | None, error: RequestError, peer: str, *, handled: bool
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        return self.router.refuse(request, error, peer, handled=handled)

    def _note_fallback(self, failed: Target, cause: str, following: Target, record: RequestRecord) -> None:
        self.fallbacks.append((failed.provider.name, cause, following.provider.name))

    def _note_attempt(self, provider: Provider, key: Key, verdict: Verdict | None, record: RequestRecord) -> None:
        self.metrics.attempt(provider.name, "success" if verdict is None else verdict.status.value)

    def _take_lines(self, data: bytes) -> None:
        """Called by the log's thread."""
        lines = [json.loads(line) for line in data.splitlines()]
        self._loop.call_soon_threadsafe(self._add_lines, lines)

    def _add_lines(self, lines: list[dict[str, Any]]) -> None:
        self.lines += lines
        self._more_lines.set()

    @property
    def pool(self) -> KeyPool:
        return self.pools["main"]

    def key(self, secret: str) -> Key:
        return next(
            key for pool in self.pools.values() for key in pool.standings.keys.values() if key.secret.reveal() == secret
        )

    @property
    def in_flight(self) -> int:
        """Leases that have not ended."""
        return sum(key.in_flight for pool in self.pools.values() for key in pool.standings.keys.values())

    def pass_time(self, seconds: float) -> None:
        """For the pools."""
        self.clock.ahead += seconds
        for pool in self.pools.values():
            pool.standings.wake_due()

    @asynccontextmanager
    async def talk(self) -> AsyncIterator[Talk]:
        """A connection to the gateway, as a client has it."""
        host = self.server.addresses()[0]
        url = urlsplit(f"//{host}")
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        try:
            yield Talk(reader, writer, host)
        finally:
            writer.close()

    async def ask(self, method: str, path: str, body: bytes | object = b"", headers: Headers = ()) -> Got:
        """One request on a connection of its own."""
        async with self.talk() as talk:
            await talk.send(method, path, body, headers)
            return await talk.answer()

    async def chat(self, **more: object) -> Got:
        return await self.ask("POST", "/v1/chat/completions", {**CHAT, **more})

    async def administrate(self, method: str, path: str, body: bytes | object = b"") -> Got:
        """One request on the admin socket."""
        reader, writer = await asyncio.open_unix_connection(str(self.admin_socket))
        try:
            talk = Talk(reader, writer, "localhost")
            await talk.send(method, path, body)
            return await talk.answer()
        finally:
            writer.close()

    async def logged(self, event: str = "request", count: int = 1) -> dict[str, Any]:
        """The count-th log line with this event, when it has been written."""
        while True:
            found = [line for line in self.lines if line["event"] == event]
            if len(found) >= count:
                return found[count - 1]
            await self.more_lines()

    async def more_lines(self) -> None:
        """Until further lines of the log have been written, none of which waits for others to be written with it."""
        self._more_lines.clear()
        while not self._more_lines.is_set():
            self.aftermath.catch_up()
            self._log._urgent.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await self._more_lines.wait()

    def metric(self, series: str) -> float:
        """The value of a series, such as `llm_requests_in_flight` or `llm_tokens_total{provider="main",…}`; else 0."""
        for line in self.metrics.render().decode().splitlines():
            if line.startswith(series) and not line.startswith("#"):
                return float(line.rpartition(" ")[2])
        return 0.0


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something is so; `run` bounds it."""
    while not condition():
        await asyncio.sleep(0)


@asynccontextmanager
async def gateway(
    folder: Path, text: str, keys: Mapping[str, Iterable[str]] | Sequence[str] = KEYS
) -> AsyncIterator[Gateway]:
    """A running gateway with this configuration, its files in `folder`; `keys` of the provider main, or by provider.

    Afterwards no lease is in flight, and no bug was met.
    """
    path = folder / "config.toml"
    path.write_text(text)
    config = load_config(path, {}, provider_types=PROVIDER_FACTS)
    database = await open_store(config.store.url, config.state_dir)
    try:
        running = Gateway(config, database, keys if isinstance(keys, Mapping) else {"main": keys})
        try:
            await running.start()
            yield running
            await until(lambda: not running.in_flight)
            assert not running.errors, running.errors
        finally:
            await running.stop()
    finally:
        await database.close()
