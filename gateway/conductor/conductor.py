"""One request's story, top to bottom: resolve the model, find the key, try, and bring the answer back.

What comes in is an `Ask`: a client's call that its surface (`api/`) has read and authenticated. What goes out is an
answer on `reply`, or a RequestError that the surface renders. The request record is filled on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.conductor.attempts import Attempts
from gateway.conductor.auth import Identity
from gateway.conductor.models import ModelResolver, Target
from gateway.conductor.rename import rename_model
from gateway.conductor.streaming import ResponseIdReader, read_response_id, relay, relay_events
from gateway.dialects.openai_chat.usage import read_usage as read_chat_usage
from gateway.dialects.openai_responses.usage import read_usage as read_responses_usage
from gateway.errors import RequestError, StoreError, UpstreamError, UpstreamTimeout
from gateway.net.connection import Reply
from gateway.observe.record import RequestRecord
from gateway.policy.verdict import Status
from gateway.providers.endpoints import CHAT, RESPONSES
from gateway.providers.openai import FORWARDED_TO_CLIENT, FORWARDED_WITH_ERRORS, REQUEST_ID_HEADER
from gateway.upstream.exchange import Call, Outcome
from gateway.upstream.key import Key
from gateway.upstream.owners import Owner, ResponseOwners
from gateway.upstream.provider import Provider
from gateway.usage import Usage
from gateway.wire.sse import UsageTap

Header = tuple[bytes, bytes]

KEPT_INSIDE = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"content-length", b"set-cookie", b"set-cookie2", b"alt-svc",
        b"strict-transport-security",
    }
)  # fmt: skip
"""Hop-by-hop fields (RFC 9110, 7.6.1), cookies, and promises about the provider's host that would not hold for ours."""

CORS_HEADERS = b"access-control-"
"""Which pages may read an answer is for `server.cors_origins` to say; twice the same field, and none may."""

USAGE_READERS: Mapping[str, Callable[[Any], Usage | None]] = {
    "chat": read_chat_usage,
    "completions": read_chat_usage,
    "responses": read_responses_usage,
    "stored": read_responses_usage,
    "other": read_chat_usage,
    "raw": read_chat_usage,
}

SHAPE_DIALECTS: Mapping[str, str] = {"responses": RESPONSES, "stored": RESPONSES}
"""The dialect of what an ask's path is; of all other shapes Chat Completions, with what OpenAI has beside it."""

LENGTHS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
UNSAID_OUTPUT = 1024
"""Tokens of an answer whose length the request does not limit: most are shorter, and it is put right afterwards."""


@dataclass(slots=True)
class Ask:
    """A client's call. `path` follows the provider's base URL (its origin, if `absolute`), `headers` go with it.

    `fields` is the JSON object in the body, `with_model` makes the same body with another model. `provider` is set
    where the path names one, `continues` is the id of an answer that this call builds on, `session` the client's own
    word for its conversation.
    """

    method: bytes
    path: str
    query: str
    headers: tuple[Header, ...]
    body: bytes
    model: str
    shape: str
    identity: Identity
    stream: bool = False
    absolute: bool = False
    with_model: Callable[[str], bytes] | None = None
    provider: str = ""
    continues: str = ""
    fields: Mapping[str, Any] | None = None
    session: str = ""
    error_event: Callable[[UpstreamError], bytes] | None = None


class Conductor:
    """Serves asks. Made anew at each reload; requests in flight finish with the one they began with."""

    def __init__(self, resolver: ModelResolver, attempts: Attempts, owners: ResponseOwners) -> None:
        self._resolver = resolver
        self._attempts = attempts
        self._owners = owners
        self._loop = asyncio.get_running_loop()

    async def serve(self, ask: Ask, reply: Reply, record: RequestRecord) -> None:
        """The whole way of one request. Raises RequestError before the commit point, BrokenAnswerError after it."""
        record.model, record.streamed = ask.model, ask.stream
        pinned, owner = await self._pinned(ask)
        target = await self._target(ask, owner)
        record.provider, record.upstream_model = target.provider.name, target.model
        call = self._call(ask, target)
        outcome, lease = await self._attempts.run(target.provider, call, record, pinned)
        try:
            headers = self._headers(ask, outcome, record)
            if outcome.verdict is not None:
                await self._answer_failure(ask, outcome, headers, reply, record, target.provider)
            elif outcome.status >= 300 and ask.shape != "raw":
                raise _redirected(outcome.status, target.provider)
            elif outcome.streamed:
                await self._answer_stream(ask, target, outcome, headers, reply, record, lease.key)
            elif outcome.answer is not None:
                await self._answer_bytes(outcome, headers, reply, record)
            else:
                await self._answer_whole(ask, target, outcome, headers, reply, record, lease.key)
        finally:
            outcome.close()
            usage = record.usage
            target.provider.pool.finish(lease, None if usage is None else usage.input + usage.output)

    async def _pinned(self, ask: Ask) -> tuple[Key | None, Owner | None]:
        """The key that made the answer this call builds on. An answer that was not made here, or for somebody else, is
        a 404: whether it exists is nobody else's business."""
        if not ask.continues:
            return None, None
        try:
            owner = await self._owners.owner(ask.continues)
        except StoreError as error:
            raise RequestError(
                503,
                "store_unavailable",
                f"The maker of the response cannot be looked up: {error.message}.",
                retry_after=5.0,
            ) from None
        if owner is not None and owner.user == ask.identity.owner:
            provider = self._resolver.named(owner.provider, ask.identity)
            key = provider.pool.standings.keys.get(bytes.fromhex(owner.digest))
            if key is not None:
                return key, owner
        raise RequestError(
            404,
            "previous_response_not_found" if ask.method == b"POST" else "not_found",
            f"The response {ask.continues[:100]!r} was not made here, or its key is gone.",
            param="previous_response_id" if ask.method == b"POST" else None,
        )

    async def _target(self, ask: Ask, owner: Owner | None) -> Target:
        if ask.provider:
            return Target(self._resolver.named(ask.provider, ask.identity), ask.model, False)
        if owner is None:
            return await self._resolver.resolve(ask.model, ask.identity)
        provider = self._resolver.named(owner.provider, ask.identity)
        if ask.shape != "stored":  # what is there already was made with a model that was allowed
            self._resolver.check_model(ask.model, ask.identity)
        name = ask.model.removeprefix(f"{provider.name}/")
        model = provider.upstream_model(name)
        return Target(provider, model, model != ask.model)

    def _call(self, ask: Ask, target: Target) -> Call:
        """The client's bytes as they are, unless the model is called otherwise upstream."""
        body = ask.body
        if target.model != ask.model and ask.with_model is not None:
            body = ask.with_model(target.model)
        headers = ask.headers
        extra = target.provider.extra_headers
        if extra:
            replaced = {name for name, _ in extra}
            headers = (*(header for header in headers if header[0] not in replaced), *extra)
        dialect, path, query = self._place(ask, target)
        config = target.provider.config
        tokens = estimate_tokens(ask) if config.key_limits.tpm else 0
        affinity = conversation(ask) if config.selection == "sticky" else ""
        return Call(
            ask.method, path, query, headers, body, target.model, ask.shape, ask.stream, tokens, affinity, dialect
        )

    def _place(self, ask: Ask, target: Target) -> tuple[str, str, str]:
        """Dialect, path at the origin and query of a call."""
        if ask.absolute:
            return target.provider.dialect_at(ask.path), ask.path, ask.query
        dialect = SHAPE_DIALECTS.get(ask.shape, CHAT)
        return dialect, *target.provider.endpoint(dialect).place(ask.path, target.model, ask.query)

    def _headers(self, ask: Ask, outcome: Outcome, record: RequestRecord) -> list[Header]:
        """What the client hears: the answer's own type, and who answered. On `/p/…` all but what concerns our side."""
        headers: list[Header] = []
        dropped = KEPT_INSIDE
        if ask.shape == "raw":
            dropped |= named_hop_by_hop(outcome.header(b"connection"))
        for name, value in outcome.headers:
            if name == REQUEST_ID_HEADER:
                headers.append((b"x-llmgateway-upstream-id", value))
            elif name in FORWARDED_TO_CLIENT or (
                ask.shape == "raw" and name not in dropped and not name.startswith(CORS_HEADERS)
            ):
                headers.append((name, value))
        headers.append((b"x-llmgateway-provider", record.provider.encode()))
        headers.append((b"x-llmgateway-attempts", b"%d" % record.attempts))
        if record.upstream_model:
            headers.append((b"x-llmgateway-model", _field(record.upstream_model)))
        if "admin" in ask.identity.scopes:
            headers.append((b"x-llmgateway-key", _field(record.key.replace("…", "..."))))
        headers.append((b"x-request-id", record.request_id.encode()))
        return headers

    async def _answer_bytes(self, outcome: Outcome, headers: list[Header], reply: Reply, record: RequestRecord) -> None:
        """A body that nobody looks into: audio, images, whatever `/p/…` brings."""
        assert outcome.answer is not None
        record.first_byte_at, record.phase = self._loop.time(), "streaming"
        await reply.start(outcome.status, headers, _length(outcome))
        try:
            await relay(outcome.answer, outcome.body, reply, record)
        finally:
            record.upstream_seconds += self._loop.time() - record.first_byte_at

    async def _answer_whole(
        self,
        ask: Ask,
        target: Target,
        outcome: Outcome,
        headers: list[Header],
        reply: Reply,
        record: RequestRecord,
        key: Key,
    ) -> None:
        body = outcome.body
        if outcome.decoded is not None:
            record.usage = USAGE_READERS[ask.shape](outcome.decoded)
            if _makes_response(ask):
                self._remember_owner(ask, target, key, read_response_id(outcome.decoded))
            if target.renamed:
                body = rename_model(body, ask.model) or body
        record.first_byte_at = self._loop.time()
        record.bytes_out = len(body)
        await reply.send(outcome.status, headers, body)

    async def _answer_stream(
        self,
        ask: Ask,
        target: Target,
        outcome: Outcome,
        headers: list[Header],
        reply: Reply,
        record: RequestRecord,
        key: Key,
    ) -> None:
        assert outcome.answer is not None
        tap = UsageTap()
        watch = ResponseIdReader(partial(self._remember_owner, ask, target, key)).feed if _makes_response(ask) else None
        record.first_byte_at, record.phase = self._loop.time(), "streaming"
        await reply.start(outcome.status, headers)
        try:
            await relay_events(
                outcome.answer,
                outcome.body,
                reply,
                record,
                tap=tap,
                model=ask.model if target.renamed else "",
                keepalive=target.provider.config.streaming.keepalive,
                error_event=ask.error_event or _no_event,
                watch=watch,
            )
        finally:
            record.upstream_seconds += self._loop.time() - record.first_byte_at
            payload = tap.usage_payload
            if payload is not None:
                record.usage = USAGE_READERS[ask.shape](payload)

    async def _answer_failure(
        self,
        ask: Ask,
        outcome: Outcome,
        headers: list[Header],
        reply: Reply,
        record: RequestRecord,
        provider: Provider,
    ) -> None:
        """The last failure, as it came, but for our own credentials, which are no business of the client's."""
        verdict = outcome.verdict
        assert verdict is not None
        record.outcome, record.error = "error", verdict.reason
        if outcome.error is not None:
            raise _no_answer(outcome.error, provider)
        if outcome.status in (401, 402) or verdict.status is Status.SUSPECT or verdict.status is Status.INVALID_KEY:
            raise RequestError(
                502,
                "upstream_credentials",
                f"The provider {provider.name!r} rejected the gateway's credentials ({verdict.reason}).",
                kind="api_error",
            )
        if outcome.withheld:
            raise RequestError(
                outcome.status if outcome.status >= 400 else 502,
                "upstream_error",
                f"The provider {provider.name!r} refused the request ({verdict.reason}); its own words are left out, "
                "since they repeat the gateway's key.",
            )
        if outcome.streamed and not outcome.body:
            raise RequestError(
                502, "upstream_error", f"The provider {provider.name!r} sent a stream without any event."
            )
        if ask.shape != "raw":
            headers.extend((name, value) for name, value in outcome.headers if name in FORWARDED_WITH_ERRORS)
        record.bytes_out = len(outcome.body)
        await reply.send(outcome.status, headers, outcome.body)

    def _remember_owner(self, ask: Ask, target: Target, key: Key, response_id: str) -> None:
        if response_id:
            owner = Owner(target.provider.name, key.digest.hex(), target.model, ask.identity.owner)
            self._owners.remember(response_id, owner)


def estimate_tokens(ask: Ask) -> int:
    """What a request will use, for a key's own limit: its bytes at four a token, and the longest answer it allows."""
    fields = ask.fields or {}
    wanted = next((fields[name] for name in LENGTHS if type(fields.get(name)) is int), UNSAID_OUTPUT)
    return len(ask.body) // 4 + max(wanted, 0)


def conversation(ask: Ask) -> str:
    """What tells the conversation a request belongs to: the body's own word, the header x-session-id, or the user."""
    fields = ask.fields or {}
    for said in (fields.get("prompt_cache_key"), ask.session, fields.get("safety_identifier"), fields.get("user")):
        if isinstance(said, str) and said:
            return said
    return ""


def named_hop_by_hop(connection: bytes | None) -> frozenset[bytes]:
    """The fields that a Connection header declares to be for the next hop only (RFC 9110, 7.6.1)."""
    return frozenset(token.strip().lower() for token in connection.split(b",")) if connection else frozenset()


def _makes_response(ask: Ask) -> bool:
    """Whether the answer is a new Responses answer, whose follow-ups must find its key."""
    return ask.shape == "responses" and ask.method == b"POST"


def _field(text: str) -> bytes:
    """A header value of a text that came from a client: anything but plain ASCII becomes `?`."""
    if text.isascii() and text.isprintable():
        return text[:200].encode()
    return bytes(code if 32 <= code < 127 else 63 for code in text[:200].encode("ascii", "replace"))


def _no_answer(error: UpstreamError, provider: Provider) -> RequestError:
    if isinstance(error, UpstreamTimeout):
        return RequestError(504, "upstream_timeout", f"The provider {provider.name!r} took too long: {error.message}.")
    return RequestError(
        502, "upstream_error", f"The provider {provider.name!r} could not be reached or broke off: {error.message}."
    )


def _redirected(status: int, provider: Provider) -> RequestError:
    """Redirects are not followed: they would take the key to another host."""
    return RequestError(
        502,
        "upstream_error",
        f"The provider {provider.name!r} redirects ({status}), which is not followed: its base_url may be wrong.",
    )


def _no_event(error: UpstreamError) -> bytes:
    return b""


def _length(outcome: Outcome) -> int | None:
    """What the body was promised to have. A length beside a Transfer-Encoding counts for nothing (RFC 9112, 6.3)."""
    if outcome.header(b"transfer-encoding") is not None:
        return None
    value = outcome.header(b"content-length") or b""
    return int(value) if value.isdigit() else None
