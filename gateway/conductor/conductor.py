"""One request's story, top to bottom: resolve the model, find the key, try, fall back, and bring the answer back.

What comes in is an `Ask`: a client's call that its surface (`api/`) has read and authenticated. What goes out is an
answer on `reply`, or a RequestError that the surface renders. The request record is filled on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from gateway import jsonlib
from gateway.conductor.admission import Admission
from gateway.conductor.answerheaders import JSON
from gateway.conductor.ask import FREE, Ask, conversation, may_ask_for_usage
from gateway.conductor.attempts import ALONE, Attempts, Chance
from gateway.conductor.delivery import Delivery
from gateway.conductor.estimate import estimate_tokens
from gateway.conductor.extras import without_extras
from gateway.conductor.fallback import Failed, refused, unserved, worth_most
from gateway.conductor.models import ModelResolver
from gateway.conductor.outlet import Outlet
from gateway.conductor.rename import insert_field
from gateway.conductor.routes import Plan, Target
from gateway.conductor.streaming import BrokenAnswerError
from gateway.conductor.translator import Translator
from gateway.config.routes import USUAL_CAUSES
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
    from gateway.conductor.crossing import Crossing

DIALECT_HEADERS = frozenset({b"openai-beta", b"anthropic-version", b"anthropic-beta"})
"""A client's headers that mean something in its own dialect alone."""

COUNTS = {"count_tokens": "input_tokens", "count": "totalTokens"}
"""Shapes of calls for a count, Anthropic's and Gemini's, and the field of the answer."""

COUNTERS = frozenset({"anthropic", "gemini"})
NOT_THERE = frozenset({404, 405, 501})
"""Many who speak Messages have nothing that counts. From these types it would be another error."""


NoteFallback = Callable[[Target, str, Target, RequestRecord], None]
"""Told that a target did not serve, for which cause, and which one is asked next."""


def tell_nobody(failed: Target, cause: str, following: Target, record: RequestRecord) -> None:
    pass


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
        note_fallback: NoteFallback = tell_nobody,
    ) -> None:
        self._resolver = resolver
        self._translator = translator
        self._attempts = attempts
        self._owners = owners
        self._admission = admission
        self._billing = billing
        self._cache = cache
        self._note_fallback = note_fallback
        self._loop = asyncio.get_running_loop()

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
        pinned, owner = await self._pinned(ask) if ask.continues else (None, None)
        plan = await self._plan(ask, owner)
        first = plan.targets[0]
        record.provider, record.upstream_model = first.provider.name, first.model
        visit = None if self._cache is None else self._cache.visit(ask, plan)
        if visit is None:
            await self._follow(plan, ask, pinned, reply, record)
        elif (kept := await visit.find(record)) is not None:
            if self._billing is not None:
                await self._billing.charge_hit(ask, visit.cost(kept), record)
            await visit.replay(kept, reply, record)
        else:
            recording = visit.record(reply)
            try:
                await self._follow(plan, ask, pinned, recording, record)
                visit.keep(recording, record)
            finally:
                recording.forget()

    async def _follow(self, plan: Plan, ask: Ask, pinned: Key | None, reply: Outlet, record: RequestRecord) -> None:
        """One target after the other, until one serves, or fails for a cause after which no other is asked."""
        targets, route = plan.targets, plan.route
        if len(targets) == 1 and route is None:
            await self._ask_provider(ask, targets[0], pinned, reply, record, ALONE)
            return
        if plan.missed is not None:
            record.instead_of = plan.missed.provider.name
        deadline = self._loop.time() + max(target.provider.config.timeouts.total for target in targets)
        chance = Chance(deadline, plan.causes, patient="rate_limit" not in plan.causes, blamed=set())
        failures: list[Failed] = []
        for number, target in enumerate(targets, 1):
            if number == len(targets):
                chance = chance._replace(causes=frozenset(), patient=chance.patient or not failures)
            failed = await self._take(target, plan, ask, pinned, reply, record, chance)
            if failed is None:
                return
            failures.append(failed)
            if not (failed.passed_over or failed.cause in plan.causes):
                failures = [failed]  # the last word
                break
            if self._loop.time() >= deadline:
                break
            if number < len(targets):
                self._note_fallback(target, failed.cause or "passed_over", targets[number], record)
        best = worth_most(failures)
        record.provider, record.upstream_model = best.target.provider.name, best.target.model
        if best.delivery is not None:
            await self._tell(best.delivery, record)
        elif best.retry_after is not None and not chance.patient:
            await self._take(best.target, plan, ask, pinned, reply, record, Chance(deadline, alone=True))
        else:
            assert best.error is not None
            raise best.error

    async def _tell(self, delivery: Delivery, record: RequestRecord) -> None:
        """A failure, after no other target did better. What had been set aside for it is free again: the output that it
        may bring beside its error is reserved for anew. Raises RequestError 402 when it cannot be paid any more."""
        bill = None
        if self._billing is not None and delivery.bill is not None and delivery.brings_output:
            bill = delivery.bill = await self._billing.open(delivery.ask, delivery.target)
        try:
            await delivery.run()
        finally:
            if bill is not None:
                bill.close(Ending.PROVIDER_FAILED, record)

    async def _take(
        self,
        target: Target,
        plan: Plan,
        ask: Ask,
        pinned: Key | None,
        reply: Outlet,
        record: RequestRecord,
        chance: Chance,
    ) -> Failed | None:
        """One of several targets; its route learns how soon it answers, unless that is a count alone."""
        record.provider, record.upstream_model = target.provider.name, target.model
        record.sent, record.dropped = False, ""  # that was another target's
        route = plan.route
        if route is None or ask.shape in FREE:
            return await self._ask_provider(ask, target, pinned, reply, record, chance)
        started = self._loop.time()
        route.enter(target)
        try:
            failed = await self._ask_provider(ask, target, pinned, reply, record, chance)
        except BrokenAnswerError as broken:
            if broken.blames_provider:
                route.failed(target, self._loop.time() - started)
            raise
        finally:
            route.leave(target)
        if failed is None and record.outcome == "ok" and record.first_byte_at:
            route.answered(target, record.first_byte_at - started, plan.stay)
        elif failed is not None and failed.cause in USUAL_CAUSES:
            route.failed(target, self._loop.time() - started)
        return failed

    async def _ask_provider(
        self, ask: Ask, target: Target, pinned: Key | None, reply: Outlet, record: RequestRecord, chance: Chance
    ) -> Failed | None:
        """None: the client has its answer, or the failure that is the last word. Raises RequestError if the target is
        the only one."""
        try:
            translation = await self._translation(ask, target)
            if translation is None and ask.shape in COUNTS and ask.dialect not in target.provider.endpoints:
                await self._estimate(ask, reply, record)
                return None
            billing = self._billing
            bill = None if billing is None else await billing.open(ask, target)
        except RequestError as error:
            if chance.alone:
                raise
            return refused(target, error)
        if billing is None or bill is None:
            return await self._answer(ask, target, translation, pinned, reply, record, chance)
        ending = Ending.PROVIDER_FAILED
        try:
            return await self._answer(ask, target, translation, pinned, reply, record, chance, bill)
        except (asyncio.CancelledError, ConnectionError):
            ending = billing.departure(record)
            raise
        finally:
            bill.close(ending, record)

    def _translation(self, ask: Ask, target: Target) -> Coroutine[Any, Any, Crossing | None]:
        if ask.shape in COUNTS and ask.dialect not in target.provider.endpoints:
            return self._translator.count(ask, target.provider, target.model)
        return self._translator.translate(ask, target.provider, target.model)

    async def _answer(
        self,
        ask: Ask,
        target: Target,
        translation: Crossing | None,
        pinned: Key | None,
        reply: Outlet,
        record: RequestRecord,
        chance: Chance,
        bill: Bill | None = None,
    ) -> Failed | None:
        """Attempts, and the delivery of the last one's outcome, unless another target may do better."""
        try:
            call = self._call(ask, target, translation, None if bill is None else record.note_sent)
            if bill is not None and bill.left_out:
                call = call._replace(body=without_extras(call.body))
                record.dropped = ", ".join(bill.left_out)
            unasked = (bill is not None or ask.metered) and translation is None and may_ask_for_usage(ask)
            if unasked and NO_STREAM_OPTIONS not in target.provider.quirks:
                call = call._replace(body=asking_for_usage(call.body, ask))
            outcome, lease = await self._attempts.run(target.provider, call, record, pinned, chance)
            del call  # with the body, of which a long stream has no need
        except RequestError as error:
            if chance.alone or error.code == "overloaded":  # for want of room, which others would need as well
                raise
            return refused(target, error)
        delivery = Delivery(
            ask, target, translation, outcome, lease.key, self._owners, reply, record, self._loop, bill, unasked
        )
        try:
            if ask.shape in COUNTS and outcome.status in NOT_THERE and target.provider.type.name not in COUNTERS:
                await self._estimate(ask, reply, record)
                return None
            failed = unserved(delivery, chance.causes) if chance.causes else None
            if failed is None:
                await delivery.run()
            return failed
        finally:
            outcome.close()
            usage = record.usage
            target.provider.pool.finish(lease, None if usage is None else usage.input + usage.output)

    async def _estimate(self, ask: Ask, reply: Outlet, record: RequestRecord) -> None:
        """The answer to a client that wants tokens counted, where the provider does not count."""
        headers = [JSON, (b"x-llmgateway-estimated", b"true"), (b"x-request-id", record.request_id.encode())]
        await reply.send(200, headers, jsonlib.dumps({COUNTS[ask.shape]: await self._translator.estimate(ask)}))

    async def _pinned(self, ask: Ask) -> tuple[Key, Owner]:
        """The key that made the answer this call builds on. An answer that was not made here, or for somebody else, is
        a 404: whether it exists is nobody else's business."""
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

    async def _plan(self, ask: Ask, owner: Owner | None) -> Plan:
        if ask.provider:
            return Plan((Target(self._resolver.named(ask.provider, ask.identity), ask.model, False),))
        if owner is None:
            return await self._resolver.resolve(ask)
        provider = self._resolver.named(owner.provider, ask.identity)
        if ask.shape != "stored":  # what is there already was made with a model that was allowed
            self._resolver.check_model(ask.model, ask.identity)
        model = self._resolver.model_at(provider, ask.model, owner.model)
        return Plan((Target(provider, model, model != ask.model),))

    def _call(
        self, ask: Ask, target: Target, translation: Crossing | None, written: Callable[[], object] | None
    ) -> Call:
        """The client's bytes as they are, unless the model is called otherwise upstream or they are translated.
        `written` is called when they are on their way."""
        body, shape, headers = ask.body, ask.shape, ask.headers
        if translation is not None:
            body, shape = translation.body, translation.shape
            if translation.dialect != ask.dialect:
                headers = tuple(header for header in headers if header[0] not in DIALECT_HEADERS)
        elif ask.array:
            shape = "array"
        elif target.model != ask.model and ask.with_model is not None:
            body = ask.with_model(target.model)
        stream = ask.stream if translation is None else translation.streamed
        if ask.stream and not stream:
            headers = tuple(header for header in headers if header[0] != b"accept")  # it may be for events alone
        extra = target.provider.extra_headers
        if extra:
            replaced = {name for name, _ in extra}
            headers = (*(header for header in headers if header[0] not in replaced), *extra)
        dialect, path, query = self._place(ask, target, translation)
        config = target.provider.config
        tokens = estimate_tokens(ask) if config.key_limits.tpm else 0
        affinity = conversation(ask) if config.selection == "sticky" else ""
        return Call(
            ask.method, path, query, headers, body, target.model, shape, stream, tokens, affinity, dialect,
            written, translation,
        )  # fmt: skip

    def _place(self, ask: Ask, target: Target, translation: Crossing | None) -> tuple[str, str, str]:
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
