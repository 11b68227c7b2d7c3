"""One request's story, top to bottom: resolve the model, find the key, try, and bring the answer back.

What comes in is an `Ask`: a client's call that its surface (`api/`) has read and authenticated. What goes out is an
answer on `reply`, or a RequestError that the surface renders. The request record is filled on the way.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from gateway import jsonlib
from gateway.conductor.admission import Admission
from gateway.conductor.answerheaders import JSON
from gateway.conductor.ask import Ask, may_ask_for_usage
from gateway.conductor.attempts import Attempts
from gateway.conductor.delivery import Delivery
from gateway.conductor.estimate import estimate_tokens
from gateway.conductor.extras import without_extras
from gateway.conductor.models import ModelResolver, Target
from gateway.conductor.outlet import Outlet
from gateway.conductor.rename import insert_field
from gateway.conductor.translator import Translator
from gateway.dialects.openai_chat.quirks import NO_STREAM_OPTIONS
from gateway.errors import RequestError, StoreError
from gateway.net.connection import Reply
from gateway.observe.record import RequestRecord
from gateway.policy.settlement import Ending
from gateway.upstream.exchange import Call
from gateway.upstream.key import Key
from gateway.upstream.owners import Owner, ResponseOwners

if TYPE_CHECKING:
    from gateway.conductor.billing import Bill, Billing
    from gateway.conductor.cache import ResponseCache
    from gateway.conductor.counting import Counting
    from gateway.conductor.translation import Embedding, Translation

DIALECT_HEADERS = frozenset({b"openai-beta", b"anthropic-version", b"anthropic-beta"})
"""A client's headers that mean something in its own dialect alone."""

COUNTS = {"count_tokens": "input_tokens", "count": "totalTokens"}
"""Shapes of calls for a count, Anthropic's and Gemini's, and the field of the answer."""

COUNTERS = frozenset({"anthropic", "gemini"})
NOT_THERE = frozenset({404, 405, 501})
"""Many who speak Messages have nothing that counts. From these types it would be another error."""


class Conductor:
    """Serves asks. Made anew at each reload; requests in flight finish with the one they began with."""

    def __init__(
        self,
        resolver: ModelResolver,
        translator: Translator,
        attempts: Attempts,
        owners: ResponseOwners,
        admission: Admission,
        billing: Billing | None = None,
        cache: ResponseCache | None = None,
    ) -> None:
        self._resolver = resolver
        self._translator = translator
        self._attempts = attempts
        self._owners = owners
        self._admission = admission
        self._billing = billing
        self._cache = cache

    async def serve(self, ask: Ask, reply: Reply, record: RequestRecord) -> None:
        """The whole way of one request, or the short one to the cache. Raises RequestError before the commit point,
        BrokenAnswerError after it."""
        record.model, record.streamed = ask.model, ask.stream
        admitted = await self._admission.enter(ask, reply)
        refused = False
        try:
            await self._serve(ask, reply, record)
        except RequestError:
            refused = not record.attempts
            raise
        finally:
            if admitted is not None:
                self._admission.leave(admitted, record, refused=refused)

    async def _serve(self, ask: Ask, reply: Reply, record: RequestRecord) -> None:
        pinned, owner = await self._pinned(ask)
        target = await self._target(ask, owner)
        record.provider, record.upstream_model = target.provider.name, target.model
        visit = None if self._cache is None else self._cache.visit(ask, target)
        if visit is None:
            await self._ask_provider(ask, target, pinned, reply, record)
        elif (kept := await visit.find(record)) is not None:
            if self._billing is not None:
                await self._billing.charge_hit(ask, visit.cost(kept), record)
            await visit.replay(kept, reply, record)
        else:
            recording = visit.record(reply)
            try:
                await self._ask_provider(ask, target, pinned, recording, record)
                visit.keep(recording, record)
            finally:
                recording.forget()

    async def _ask_provider(
        self, ask: Ask, target: Target, pinned: Key | None, reply: Outlet, record: RequestRecord
    ) -> None:
        translation: Translation | Embedding | Counting | None
        if ask.shape in COUNTS and ask.dialect not in target.provider.endpoints:
            translation = await self._translator.count(ask, target.provider, target.model)
            if translation is None:
                await self._estimate(ask, reply, record)
                return
        else:
            translation = await self._translator.translate(ask, target.provider, target.model)
        billing = self._billing
        bill = None if billing is None else await billing.open(ask, target)
        if billing is None or bill is None:
            await self._answer(ask, target, translation, pinned, reply, record)
            return
        ending = Ending.PROVIDER_FAILED
        try:
            await self._answer(ask, target, translation, pinned, reply, record, bill)
        except (asyncio.CancelledError, ConnectionError):
            ending = billing.departure(record)
            raise
        finally:
            bill.close(ending, record)

    async def _answer(
        self,
        ask: Ask,
        target: Target,
        translation: Translation | Embedding | Counting | None,
        pinned: Key | None,
        reply: Outlet,
        record: RequestRecord,
        bill: Bill | None = None,
    ) -> None:
        """Attempts, and the delivery of the last one's outcome."""
        call = self._call(ask, target, translation)
        if bill is not None and bill.left_out:
            call = call._replace(body=without_extras(call.body))
            record.dropped = ", ".join(bill.left_out)
        unasked = (bill is not None or ask.metered) and translation is None and may_ask_for_usage(ask)
        if unasked and NO_STREAM_OPTIONS not in target.provider.quirks:
            call = call._replace(body=asking_for_usage(call.body, ask))
        if bill is not None:
            call = call._replace(written=record.note_sent)
        outcome, lease = await self._attempts.run(target.provider, call, record, pinned)
        delivery = Delivery(ask, target, translation, outcome, lease.key, self._owners, reply, record, bill, unasked)
        try:
            if ask.shape in COUNTS and outcome.status in NOT_THERE and target.provider.type.name not in COUNTERS:
                await self._estimate(ask, reply, record)
            else:
                await delivery.run()
        finally:
            outcome.close()
            usage = record.usage
            target.provider.pool.finish(lease, None if usage is None else usage.input + usage.output)

    async def _estimate(self, ask: Ask, reply: Outlet, record: RequestRecord) -> None:
        """The answer to a client that wants tokens counted, where the provider does not count."""
        headers = [JSON, (b"x-llmgateway-estimated", b"true"), (b"x-request-id", record.request_id.encode())]
        await reply.send(200, headers, jsonlib.dumps({COUNTS[ask.shape]: await self._translator.estimate(ask)}))

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
            f"The response {ask.continues[:100]!r} was not made here, or its key is gone; answers of providers without "
            "the Responses API are not stored.",
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

    def _call(self, ask: Ask, target: Target, translation: Translation | Embedding | Counting | None) -> Call:
        """The client's bytes as they are, unless the model is called otherwise upstream or they are translated."""
        body, shape, headers = ask.body, ask.shape, ask.headers
        if translation is not None:
            body, shape = translation.body, translation.shape
            if translation.dialect != ask.dialect:
                headers = tuple(header for header in headers if header[0] not in DIALECT_HEADERS)
        elif ask.array:
            shape = "array"
        elif target.model != ask.model and ask.with_model is not None:
            body = ask.with_model(target.model)
        extra = target.provider.extra_headers
        if extra:
            replaced = {name for name, _ in extra}
            headers = (*(header for header in headers if header[0] not in replaced), *extra)
        dialect, path, query = self._place(ask, target, translation)
        config = target.provider.config
        tokens = estimate_tokens(ask) if config.key_limits.tpm else 0
        affinity = conversation(ask) if config.selection == "sticky" else ""
        return Call(ask.method, path, query, headers, body, target.model, shape, ask.stream, tokens, affinity, dialect)

    def _place(
        self, ask: Ask, target: Target, translation: Translation | Embedding | Counting | None
    ) -> tuple[str, str, str]:
        """Dialect, path at the origin and query of a call. RequestError 400 for what the provider has not got."""
        provider, model = target.provider, target.model
        if ask.dialect is None:
            return provider.dialect_at(ask.path), ask.path, ask.query
        dialect, path, query = ask.dialect, ask.path, ask.query
        if translation is not None:
            dialect, (path, query) = translation.dialect, translation.place
        elif dialect not in provider.endpoints:
            raise RequestError(
                400, "invalid_request_error", f"The provider {provider.name!r} has nothing like {path[:200]}."
            )
        endpoint = provider.endpoint(dialect)
        if (dialect == "gemini" or endpoint.by_deployment) and has_dot_segment(model):
            raise RequestError(404, "model_not_found", f"There is no model {model[:200]!r}.", param="model")
        if dialect == "gemini":
            path = path.replace("{model}", quote(model, safe=""), 1)
        return dialect, *endpoint.place(path, model, query)


def asking_for_usage(body: bytes, ask: Ask) -> bytes:
    """A streamed chat that has its usage reported."""
    fields, options = dict(ask.fields or {}), {"include_usage": True}
    if "stream_options" not in fields:
        return insert_field(body, fields, "stream_options", options)
    said = fields["stream_options"]
    decoded = jsonlib.loads(body)
    return jsonlib.dumps({**decoded, "stream_options": {**said, **options} if isinstance(said, dict) else options})


def has_dot_segment(path: str) -> bool:
    """Whether somebody who resolves `.` and `..` (RFC 3986, 5.2.4), encoded or not, takes a path for another one."""
    return not {".", ".."}.isdisjoint(unquote(path).replace("\\", "/").split("/"))


def conversation(ask: Ask) -> str:
    """What tells the conversation a request belongs to: the body's own word, the header x-session-id, or the user."""
    fields = ask.fields or {}
    metadata = fields.get("metadata")
    user = fields.get("user") or (metadata.get("user_id") if isinstance(metadata, dict) else None)
    for said in (fields.get("prompt_cache_key"), ask.session, fields.get("safety_identifier"), user):
        if isinstance(said, str) and said:
            return said
    return ""
