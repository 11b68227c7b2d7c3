"""Bringing an outcome to the client: passed on as it came, or in another dialect; whole or streamed; or the failure.

This is where the commit point lies: before it everything may still become a RequestError, after it only a broken
answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway import jsonlib
from gateway.conductor.answerheaders import EVENTS, JSON, answer_headers, promised_length
from gateway.conductor.ask import Ask, Header, has_several
from gateway.conductor.outlet import Outlet
from gateway.conductor.passing import Passing
from gateway.conductor.rename import rename_model
from gateway.conductor.routes import Target
from gateway.conductor.streaming import (
    BrokenAnswerError,
    Quiet,
    ResponseIdReader,
    read_response_id,
    relay,
    relay_events,
    relay_translated,
)
from gateway.conductor.usagewords import tapped_usage, usage_words
from gateway.dialects.names import DialectName
from gateway.errors import RequestError, UpstreamError, UpstreamTimeout
from gateway.observe.record import RequestRecord
from gateway.policy.facts import status_inside
from gateway.policy.verdict import Status
from gateway.providers.classify import EMPTY_ANSWER, EMPTY_STREAM, REDIRECTED, classify_failure
from gateway.providers.openai import FORWARDED_WITH_ERRORS
from gateway.quick import dataclass
from gateway.upstream.bodies import READ
from gateway.upstream.concealment import BodyMask, conceal_text
from gateway.upstream.exchange import Outcome
from gateway.upstream.key import Key
from gateway.upstream.owners import Owner, ResponseOwners
from gateway.upstream.provider import Provider
from gateway.upstream.reading import INCOMPLETE_STREAM, UNREADABLE_ANSWER
from gateway.wire.sse import UsageTap
from gateway.wire.usage_tail import UsageAround, UsageTail

if TYPE_CHECKING:
    from gateway.conductor.billing import Bill
    from gateway.conductor.crossing import Crossing
    from gateway.conductor.translation import Translation

SAY_NOTHING = frozenset(
    verdict.reason for verdict in (EMPTY_ANSWER, EMPTY_STREAM, INCOMPLETE_STREAM, UNREADABLE_ANSWER, REDIRECTED)
)
"""Verdicts on what has no words of the provider's that a client could read as an error."""

ANSWERS = frozenset({"choices", "output", "content", "candidates"})
"""Fields of which a whole answer has one, in every dialect."""


@dataclass(slots=True)
class Delivery:
    """One outcome on its way to one client."""

    ask: Ask
    target: Target
    translation: Crossing | None
    outcome: Outcome
    key: Key
    owners: ResponseOwners
    reply: Outlet
    record: RequestRecord
    loop: asyncio.AbstractEventLoop
    bill: Bill | None = None
    unasked: bool = False  # a chat stream reports its usage to us, not to the client

    @property
    def dialect(self) -> DialectName | None:
        """What the provider was asked in; None: nobody knows."""
        return self.ask.dialect if self.translation is None else self.translation.dialect

    @property
    def shape(self) -> str:
        """What it was asked for."""
        return self.ask.shape if self.translation is None else self.translation.shape

    async def run(self) -> None:
        """Raises RequestError before the commit point, BrokenAnswerError after it, of which the breakers hear."""
        try:
            await self._way()
        except BrokenAnswerError as broken:
            if broken.error is not None and broken.blames_provider and self.outcome.broke is not None:
                verdict = classify_failure(broken.error)
                self.outcome.broke(replace(verdict, evidence=conceal_text(self.key, verdict.evidence)))
            raise

    def _way(self) -> Coroutine[Any, Any, None]:
        outcome, translation = self.outcome, self.translation
        if outcome.verdict is not None:
            return self._failure()
        if translation is not None:
            return self._across(translation)
        if outcome.streamed:
            return self._stream()
        return self._whole() if outcome.answer is None else self._bytes()

    def _forget_request(self) -> None:
        """What the request said is asked for no more, unless somebody charges for it or translates what follows."""
        if self.bill is None and self.translation is None:
            self.ask.forget_body()
            self.reply.forget_body()

    def _headers(self, *, as_it_came: bool = False) -> list[Header]:
        lost = self._dropped() if self.translation is not None or self.bill is not None else ""
        translated = self.translation is not None and not as_it_came
        return answer_headers(self.ask, self.outcome, self.record, lost, translated=translated)

    def _dropped(self) -> str:
        """What the provider did not hear, or the client will not."""
        lost = [] if self.translation is None else [self.translation.dropped]
        if self.bill is not None:
            lost.extend(self.bill.left_out)
        return ", ".join(filter(None, lost))

    async def _bytes(self) -> None:
        """A body that nobody looks into: audio, images, whatever `/p/…` brings, and what is too long to be read."""
        outcome, record, bill = self.outcome, self.record, self.bill
        assert outcome.answer is not None
        tail: UsageTail | UsageAround | None = UsageTail() if self.ask.array else None
        mask = BodyMask(self.key) if self.ask.array else None
        length = promised_length(outcome) if mask is None else None  # masking changes it
        settle = watch = None
        if bill is not None and not bill.by_tokens:
            await bill.settle(record)
        elif bill is not None:
            bill.unread = tail is None
            tail, watch = tail or UsageAround(), None if tail is None else bill.output.feed_part
            settle = partial(self._settle_passed, tail)
        record.first_byte_at, record.phase = self.loop.time(), "streaming"
        self._forget_request()
        await self.reply.start(outcome.status, self._headers(), length)
        try:
            await relay(outcome.answer, outcome.body, self.reply, record, tail, settle, watch, mask)
        finally:
            record.upstream_seconds += self.loop.time() - record.first_byte_at
            if tail is not None:
                self._note_usage(tail)

    async def _settle_passed(self, tail: UsageTail | UsageAround) -> None:
        assert self.bill is not None
        self._note_usage(tail)
        await self.bill.settle_stream(self.record)

    def _note_usage(self, tail: UsageTail | UsageAround) -> None:
        self.record.usage = tapped_usage(tail, usage_words(self.ask.shape))
        if self.bill is not None:
            self.bill.output.flush()

    async def _whole(self) -> None:
        outcome, record = self.outcome, self.record
        body = outcome.body
        as_events = self.ask.stream and self.ask.shape in READ
        if outcome.decoded is not None:
            record.usage = usage_words(self.ask.shape).read(outcome.decoded)
            if self._makes_response:
                self._remember_owner(read_response_id(outcome.decoded))
            if self.target.renamed:
                body = rename_model(body, self.ask.model) or body
            if as_events:
                body = self._as_events()
        if self.bill is not None:
            self.bill.see(outcome.decoded, self.ask.shape, record)
            await self.bill.settle(record)
        record.first_byte_at = self.loop.time()
        record.bytes_out = len(body)
        headers = self._headers()
        if as_events:
            headers = [EVENTS, *(header for header in headers if header[0] != b"content-type")]
        await self.reply.send(outcome.status, headers, body)

    def _as_events(self) -> bytes:
        """A whole answer to who has asked for a stream. Raises RequestError for what is none."""
        from gateway.conductor.unstreamed import as_stream

        try:
            return as_stream(self.outcome.decoded, self.ask, self.ask.model if self.target.renamed else "")
        except ValueError as error:
            said = f"The provider {self.target.provider.name!r} gave no answer: {error}."
            raise RequestError(502, "upstream_error", said) from None

    async def _stream(self) -> None:
        outcome, record, ask = self.outcome, self.record, self.ask
        assert outcome.answer is not None
        tap, passing = UsageTap(), Passing(ask, self.key, ask.model if self.target.renamed else "")
        words, last, change = usage_words(ask.shape), None, passing.change

        async def settle() -> None:
            assert self.bill is not None
            record.usage = tapped_usage(tap, words)
            await self.bill.settle_stream(record)

        if self.bill is not None:
            from gateway.conductor.lastword import LastWord

            several = has_several(ask)
            last = LastWord(ask.shape, passing.end, self.bill.output, settle, unasked=self.unasked, several=several)
        elif self.unasked:
            from gateway.conductor.lastword import without_usage_chunk

            def change(events: bytes) -> bytes:
                return without_usage_chunk(passing.change(events))

        record.first_byte_at, record.phase = self.loop.time(), "streaming"
        self._forget_request()
        await self.reply.start(outcome.status, self._headers())
        try:
            await relay_events(
                outcome.answer,
                outcome.body,
                self.reply,
                record,
                room=outcome.held,
                tap=tap,
                change=change,
                is_over=lambda: passing.over,
                last_is_last=ask.shape != "generate",  # Gemini's candidates may end one after the other
                fault=passing.fault,
                quiet=Quiet(self.target.provider.config.streaming.keepalive, ask.keepalive),
                error_event=ask.error_event or _no_event,
                watch=ResponseIdReader(self._remember_owner).feed if self._makes_response else None,
                last=last,
            )
        finally:
            record.upstream_seconds += self.loop.time() - record.first_byte_at
            record.usage = tapped_usage(tap, words)

    async def _across(self, crossing: Crossing) -> None:
        """A stream that goes on as it comes, or what was read whole before anybody got any of it."""
        if self.outcome.answer is not None:
            from gateway.conductor.translation import Translation

            assert isinstance(crossing, Translation)
            await self._translated_stream(crossing)
            return
        outcome, record = self.outcome, self.record
        body = crossing.written()
        record.usage = crossing.usage
        if self.bill is not None and outcome.streamed:
            self.bill.output = crossing.output
        elif self.bill is not None:
            self.bill.see(outcome.decoded, crossing.shape, record)
        if self._makes_response and crossing.dialect == self.ask.dialect:
            self._remember_owner(self._response_id())
        await self._send(body, EVENTS if self.ask.stream and not self.ask.array else JSON)

    async def _send(self, body: bytes, content_type: Header) -> None:
        self.record.dropped = self._dropped()
        if self.bill is not None:
            await self.bill.settle(self.record)
        self.record.first_byte_at, self.record.bytes_out = self.loop.time(), len(body)
        await self.reply.send(self.outcome.status, [*self._headers(), content_type], body)

    async def _translated_stream(self, translation: Translation) -> None:
        outcome, record, ask = self.outcome, self.record, self.ask
        assert outcome.answer is not None
        record.first_byte_at, record.phase = self.loop.time(), "streaming"
        reader = translation.reader(partial(conceal_text, self.key), None if self.bill is None else self.bill.output)

        async def settle() -> None:
            assert self.bill is not None
            record.usage = reader.usage
            await self.bill.settle_stream(record)

        await self.reply.start(outcome.status, [*self._headers(), JSON if ask.array else EVENTS])
        try:
            await relay_translated(
                outcome.answer,
                outcome.body,
                self.reply,
                record,
                reader=reader,
                writer=translation.writer(),
                quiet=Quiet(self.target.provider.config.streaming.keepalive, ask.keepalive),
                settle=None if self.bill is None else settle,
            )
        finally:
            record.upstream_seconds += self.loop.time() - record.first_byte_at
            record.usage, record.dropped = reader.usage, self._dropped()

    async def _failure(self) -> None:
        """The last failure, as it came, but for our own credentials, which are no business of the client's."""
        outcome, record, name = self.outcome, self.record, self.target.provider.name
        verdict = outcome.verdict
        assert verdict is not None
        record.outcome, record.error = "error", verdict.reason
        if outcome.error is not None:
            raise _no_answer(outcome.error, self.target.provider)
        status, body = error_answer(outcome.status, outcome.body, outcome.decoded, streamed=outcome.streamed)
        if status in (401, 402) or verdict.status is Status.SUSPECT or verdict.status is Status.INVALID_KEY:
            raise RequestError(
                502,
                "upstream_credentials",
                f"The provider {name!r} rejected the gateway's credentials ({verdict.reason}).",
                kind="api_error",
            )
        if outcome.withheld:
            raise RequestError(
                status if status >= 400 else 502,
                "upstream_error",
                f"The provider {name!r} refused the request ({verdict.reason}); its own words are left out, "
                "since they repeat the gateway's key.",
                retry_after=verdict.wait,
            )
        if verdict.reason in SAY_NOTHING:
            raise RequestError(502, "upstream_error", f"The provider {name!r} gave no answer: {verdict.evidence}.")
        if self.bill is not None and self.brings_output:
            record.usage = usage_words(self.ask.shape).read(outcome.decoded)
            await self.bill.settle(record)
        crossing = self.translation
        as_it_came = crossing is None or (crossing.dialect == self.ask.dialect and status >= 400)
        headers = self._headers(as_it_came=as_it_came)
        if as_it_came and status != outcome.status:
            headers = [JSON, *(header for header in headers if header[0] != b"content-type")]
        if self.ask.shape != "raw":
            headers.extend((name, value) for name, value in outcome.headers if name in FORWARDED_WITH_ERRORS)
        if crossing is not None and not as_it_came:
            said = _said(outcome.body) if outcome.decoded is None else outcome.decoded
            status, body, retry_after = crossing.failure(status, said)
            headers.append(JSON)
            if retry_after is not None and not any(name == b"retry-after" for name, _ in headers):
                headers.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after))))
        record.bytes_out = len(body)
        await self.reply.send(status, headers, body)

    @property
    def brings_output(self) -> bool:
        """Whether an answer that says it failed has output, and its usage: the client gets both, and pays."""
        outcome, shape = self.outcome, self.ask.shape
        if self.translation is not None or outcome.streamed or outcome.status >= 300 or outcome.decoded is None:
            return False
        from gateway.wire.output_tap import text_size  # so that a start without billing does without

        return usage_words(shape).read(outcome.decoded) is not None and text_size(outcome.decoded, shape) > 0

    @property
    def _makes_response(self) -> bool:
        """Whether the answer is a new Responses answer, whose follow-ups must find its key."""
        return self.ask.shape == "responses" and self.ask.method == b"POST"

    def _response_id(self) -> str:
        """Of an answer that was read whole."""
        if not self.outcome.streamed:
            return read_response_id(self.outcome.decoded)
        found: list[str] = []
        ResponseIdReader(found.append).feed(self.outcome.body)
        return "".join(found)

    def _remember_owner(self, response_id: str) -> None:
        if response_id:
            owner = Owner(self.target.provider.name, self.key.digest.hex(), self.target.model, self.ask.identity.owner)
            self.owners.remember(response_id, owner)


def error_answer(status: int, body: bytes, decoded: object, *, streamed: bool) -> tuple[int, bytes]:
    """Status and body of a failure. One that came inside a 200, or as the first event of a stream, is what it should
    have been: an error answer, with the status that it carries. Clients would take it for a success, and look for an
    answer in it. Only where there is one beside the error it stays as it came."""
    if status >= 300 or not isinstance(decoded, dict) or not (streamed or ANSWERS.isdisjoint(decoded)):
        return status, body
    return status_inside(decoded), jsonlib.dumps(decoded)


def _said(body: bytes) -> object:
    """What an error says: its JSON, or its text."""
    try:
        return jsonlib.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _no_answer(error: UpstreamError, provider: Provider) -> RequestError:
    if isinstance(error, UpstreamTimeout):
        return RequestError(504, "upstream_timeout", f"The provider {provider.name!r} took too long: {error.message}.")
    return RequestError(
        502, "upstream_error", f"The provider {provider.name!r} could not be reached or broke off: {error.message}."
    )


def _no_event(error: UpstreamError) -> bytes:
    return b""
