"""The whole URL space on one screen, and what every request goes through: guard, identity, handler, record.

| path                                   | scope | handler                 |
|----------------------------------------|-------|-------------------------|
| POST /v1/chat/completions, …           | use   | OpenAISurface.post      |
| GET, DELETE, POST /v1/responses/ID[/…] | use   | OpenAISurface.response  |
| POST /v1/messages[/count_tokens]       | use   | AnthropicSurface        |
| POST /v1[beta]/models/M:METHOD         | use   | GeminiSurface.model     |
| GET /v1[beta]/models, /v1[beta]/models/M | use | ModelsSurface           |
| ANY /p/PROVIDER/…                      | use   | PassthroughSurface.any  |
| GET /, /health, /ready                 | –     | HealthSurface           |
| GET /health/circuit-breakers           | read? | HealthSurface           |
| GET /metrics                           | read  | HealthSurface.metrics   |
| GET /billing/balance, /billing/transactions | use | BillingSurface       |
| /admin/…                               | admin | AdminSurface            |

`read?`: anybody, who is told more with a credential that may read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from gateway.api.admin import AdminSurface
from gateway.api.anthropic import AnthropicSurface
from gateway.api.billing import BillingSurface
from gateway.api.errors import Header, no_token, render, surface_of
from gateway.api.gemini import GeminiSurface
from gateway.api.guard import Guard
from gateway.api.health import HealthSurface
from gateway.api.inbound import NOBODY, Inbound, RequestIds, read_fields
from gateway.api.models import ModelsSurface
from gateway.api.openai import ENDPOINTS, FAMILIES, OpenAISurface
from gateway.api.passthrough import PassthroughSurface
from gateway.conductor.auth import Authenticator, Identity
from gateway.conductor.streaming import BrokenAnswerError
from gateway.errors import RequestError, StoreError
from gateway.net.connection import Reply, Request
from gateway.observe.aftermath import Aftermath
from gateway.observe.logs import Log
from gateway.observe.metrics import Metrics
from gateway.observe.record import RequestRecord

Handler = Callable[[Inbound, Reply], Awaitable[None]]


STRANGER = Identity("", scopes=frozenset())
"""Who asks without a credential for what others are told more of."""


class Route(NamedTuple):
    surface: str  # empty: by the client, see `errors.surface_of`
    methods: tuple[str, ...]  # empty: any
    scope: str  # empty: anybody; with a question mark: anybody, who is known all the same
    handler: Handler


class Entry(NamedTuple):
    """What a router has found out about a request by its head. After a reload another router looks again."""

    router: Router
    fields: dict[bytes, bytes]
    record: RequestRecord


class Router:
    """Finds the handler, and keeps the record of every request."""

    def __init__(
        self,
        openai: OpenAISurface,
        anthropic: AnthropicSurface,
        gemini: GeminiSurface,
        models: ModelsSurface,
        passthrough: PassthroughSurface,
        health: HealthSurface,
        billing: BillingSurface,
        admin: AdminSurface,
        guard: Guard,
        authenticator: Authenticator,
        log: Log,
        metrics: Metrics,
        aftermath: Aftermath,
        *,
        log_requests: bool,
        public_metrics: bool,
    ) -> None:
        self._guard = guard
        self._authenticator = authenticator
        self._log = log
        self._metrics = metrics
        self._aftermath = aftermath
        self._log_requests = log_requests
        self._ids = RequestIds()
        self._loop = asyncio.get_running_loop()
        self._exact: dict[str, Route] = {path: Route("openai", ("POST",), "use", openai.post) for path in ENDPOINTS}
        self._exact |= {
            "/v1/messages": Route("anthropic", ("POST",), "use", anthropic.messages),
            "/v1/messages/count_tokens": Route("anthropic", ("POST",), "use", anthropic.count_tokens),
            "/v1/models": Route("", ("GET", "HEAD"), "use", models.all),
            "/v1beta/models": Route("gemini", ("GET", "HEAD"), "use", models.all),
            "/billing/balance": Route("billing", ("GET", "HEAD"), "use", billing.balance),
            "/billing/transactions": Route("billing", ("GET", "HEAD"), "use", billing.transactions),
            "/": Route("health", ("GET", "HEAD"), "", health.health),  # Claude Code asks whether anybody is there
            "/health": Route("health", ("GET", "HEAD"), "", health.health),
            "/health/circuit-breakers": Route("health", ("GET", "HEAD"), "read?", health.circuit_breakers),
            "/ready": Route("health", ("GET", "HEAD"), "", health.ready),
            "/metrics": Route("health", ("GET", "HEAD"), "" if public_metrics else "read", health.metrics),
        }
        self._prefixes: tuple[tuple[str, Route], ...] = (
            ("/v1/models/", Route("", ("GET", "HEAD", "POST"), "use", gemini.model)),
            ("/v1beta/models/", Route("gemini", ("GET", "HEAD", "POST"), "use", gemini.model)),
            ("/v1/responses/", Route("openai", (), "use", openai.response)),
            *((family, Route("openai", ("POST",), "use", openai.post)) for family in FAMILIES),
            ("/p/", Route("passthrough", (), "use", passthrough.any)),
            ("/admin/", Route("admin", (), "admin", admin.handle)),
        )

    async def __call__(self, request: Request, reply: Reply) -> None:
        """The server's handler. Every request ends in exactly one record, whatever happens."""
        entry = request.context
        if isinstance(entry, Entry) and entry.router is self:  # its body came behind its head
            _, fields, record = entry
        else:
            entry = None
            fields, record = self._look_at(request)
        if request.body:
            record.bytes_in = len(request.body)
            record.upstream_seconds = self._loop.time() - request.received_at  # the client took that long to send it
        inbound = Inbound(request, fields, record)
        self._metrics.in_flight += 1
        try:
            route = self._route(request)
            record.surface = route.surface or surface_of(request.method, request.path, fields)
            await self._enter(route, inbound, reply, admitted=entry is not None)
            record.status = reply.status
        except RequestError as error:
            await self._answer_error(error, inbound, reply)
        except BrokenAnswerError as broken:
            record.status, record.outcome, record.error = reply.status, "error", broken.code
            self._log.warning(
                "stream_broke", request_id=record.request_id, provider=record.provider, detail=str(broken)
            )
        except StoreError as error:
            unavailable = RequestError(503, "store_unavailable", f"{error.message}.", retry_after=5.0)
            await self._answer_error(unavailable, inbound, reply)
        except (asyncio.CancelledError, ConnectionError):
            record.status, record.outcome = 499, "client_gone"
            raise
        except Exception:
            record.status, record.outcome, record.error = 500, "error", "internal_error"
            request.context = Entry(self, fields, record)  # for who answers
            raise
        finally:
            self._metrics.in_flight -= 1
            looked = inbound.identity.operator and record.method == "GET" and record.status == 200
            self._finish(record, logged=not looked)  # `status --watch` would fill the log

    async def admit(self, request: Request) -> Entry:
        """A look at a request whose body is still to come. Raises RequestError for what no body would change."""
        (fields, record), route = self._look_at(request), self._route(request)
        self._guard.check(fields, request.peer)
        if route is NOWHERE:
            raise _nothing_at(request.path)
        await self._let_in(route, request, fields, record)
        return Entry(self, fields, record)

    def refuse(
        self, request: Request | None, error: RequestError, peer: str, *, handled: bool
    ) -> tuple[int, list[Header], bytes]:
        """What the server says by itself, before a handler or (`handled`) after one that has kept a record."""
        if request is None:
            fields: dict[bytes, bytes] = {}
            record = RequestRecord(self._ids.of(fields), self._loop.time(), client=peer)
        else:
            entry = request.context
            if isinstance(entry, Entry):
                fields, record = entry.fields, entry.record
            else:
                fields, record = self._look_at(request)
                record.client = self._guard.client_address(fields, peer)
        if not handled:
            route = NOWHERE if request is None else self._route(request)
            record.surface = route.surface or surface_of(record.method, record.path, fields)
            record.outcome, record.error, record.status = "error", error.code, error.status
            self._finish(record)
        status, headers, body = render(error, record.request_id, surface_of(record.method, record.path, fields))
        return status, [*headers, *self._guard.cors_headers(fields.get(b"origin"))], body

    def _look_at(self, request: Request) -> tuple[dict[bytes, bytes], RequestRecord]:
        """The fields of its head, and the record that it begins."""
        fields = read_fields(request.headers)
        record = RequestRecord(self._ids.of(fields), request.received_at, request.method, request.path, request.peer)
        return fields, record

    async def _enter(self, route: Route, inbound: Inbound, reply: Reply, *, admitted: bool) -> None:
        """Guard (unless `admit` saw to it), identity and scope (a token may be revoked while a body comes), handler."""
        fields, request = inbound.fields, inbound.request
        if not admitted:
            self._guard.check(fields, request.peer)
        if b"origin" in fields:
            if request.method == "OPTIONS" and b"access-control-request-method" in fields:
                await reply.send(204, self._guard.preflight_headers(fields), b"")
                return
            reply.extra_headers = self._guard.cors_headers(fields[b"origin"])
        inbound.identity = await self._let_in(route, request, fields, inbound.record)
        await route.handler(inbound, reply)

    async def _let_in(
        self, route: Route, request: Request, fields: dict[bytes, bytes], record: RequestRecord
    ) -> Identity:
        """Who asks. Raises RequestError: 405 or 426, 401, 403 where the route needs more than they may, 503 while
        nobody knows."""
        if route.methods and request.method not in route.methods:
            raise _wrong_method(request.method, route.methods, fields)
        if not route.scope:
            return NOBODY
        record.client = peer = self._guard.client_address(fields, request.peer)
        authenticator = self._authenticator
        identity = authenticator.identify(fields, request.query, peer)
        if identity is None:
            identity = await authenticator.look_up(fields, request.query, peer)
        if route.scope.endswith("?"):
            return identity or STRANGER
        if identity is None:
            raise no_token(surface_of(request.method, request.path, fields))
        if not identity.may(route.scope):
            raise RequestError(403, "permission_denied", f"This needs a token with the scope {route.scope!r}.")
        record.user, record.token_name = identity.user, identity.token
        return identity

    def _route(self, request: Request) -> Route:
        route = self._exact.get(request.path)
        if route is not None:
            return route
        for prefix, route in self._prefixes:
            if request.path.startswith(prefix):
                return route
        return NOWHERE

    async def _answer_error(self, error: RequestError, inbound: Inbound, reply: Reply) -> None:
        record = inbound.record
        record.outcome, record.error, record.status = "error", error.code, error.status
        if reply.started:  # an answer of ours that failed half-way: nothing sensible can follow
            reply.abort()
            return
        status, headers, body = render(error, record.request_id, surface_of(record.method, record.path, inbound.fields))
        if record.provider:
            headers.append((b"x-llmgateway-provider", record.provider.encode()))
            headers.append((b"x-llmgateway-attempts", b"%d" % record.attempts))
        await reply.send(status, headers, body)

    def _finish(self, record: RequestRecord, *, logged: bool = True) -> None:
        self._aftermath.add(record, logged=logged and self._log_requests and record.surface != "health")


def _wrong_method(method: str, right: tuple[str, ...], fields: dict[bytes, bytes]) -> RequestError:
    """Codex, whose first choice are WebSockets, does without them at once when it gets a 426; after a 405 it tries six
    times more."""
    if fields.get(b"upgrade", b"").lower() == b"websocket":
        return RequestError(426, "no_websockets", "There are no WebSockets here; send the same as a POST.")
    return RequestError(
        405, "method_not_allowed", f"{method[:20]} is not for this path.", extra={"allow": ", ".join(right)}
    )


def _nothing_at(path: str) -> RequestError:
    return RequestError(404, "not_found", f"There is nothing at {path[:200]}.")


async def _nothing_here(inbound: Inbound, reply: Reply) -> None:
    raise _nothing_at(inbound.path)


NOWHERE = Route("unknown", (), "", _nothing_here)
