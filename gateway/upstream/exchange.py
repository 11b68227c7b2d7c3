"""One call with one key, through one proxy where the provider has any, classified.

Traffic and probes alike come through here: build the request, send it, and say what the answer means. An answer
is handed on only when it is known to be one: a plain JSON answer is read whole and looked into, a stream is held
until its first meaningful event. So an error inside a 200 is an error, while the caller can still try elsewhere.

The proxy is leased and reported on here, so that every call goes through one that suits its key, and none around them.

What is left to others: which key (pool), what next (policy), and moving the bytes to the client (conductor).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import field, replace
from functools import partial
from typing import Any, NamedTuple

from gateway import jsonlib
from gateway.config.proxyurl import ProxyUrl
from gateway.dialects.openai_chat.errors import carries_error
from gateway.errors import ProxyError, UpstreamError
from gateway.net.client import Client
from gateway.policy.proxyhealth import UNTESTED, blame_proxy
from gateway.policy.retry import may_replay
from gateway.policy.room import Room, Share
from gateway.policy.verdict import EVIDENCE_LIMIT, Scope, Status, Verdict
from gateway.providers import echo
from gateway.providers.classify import (
    EMPTY_ANSWER,
    EMPTY_STREAM,
    REDIRECTED,
    classify_answer,
    classify_failure,
    classify_inside,
)
from gateway.providers.endpoints import CHAT
from gateway.quick import dataclass
from gateway.upstream.answer import Header, UpstreamAnswer
from gateway.upstream.bodies import READ, is_json, typed, unpacked
from gateway.upstream.concealment import conceal_body, conceal_headers, conceal_text
from gateway.upstream.grammars import grammar_of
from gateway.upstream.key import Key
from gateway.upstream.local import InProcessAnswer
from gateway.upstream.provider import Provider
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import Way
from gateway.upstream.reading import UNREADABLE_ANSWER, Reading, judge_stream, make_room, read_all
from gateway.wire.sse import EventReader

PLAIN_LIMIT = 4 * 1024 * 1024
"""Bytes of a plain JSON answer that are read before anything is sent on. Longer ones (images in base64) are
passed on as they come: they are answers for certain. So are shorter ones for which there is no room."""

ERROR_LIMIT = 256 * 1024
"""Bytes of an error answer that are kept. Providers' errors are under 10 KB, challenge pages under 100."""

ERROR_SECONDS = 3.0
"""For the whole body of an error. Providers send it with its head; while one stalls, no other key can be tried."""

ERROR_REST = 1.0
"""Seconds that the end of a stream may take after its error event; providers close at once."""

HOLD_LIMIT = 64 * 1024
"""Bytes of a stream that are held while waiting for its first meaningful event."""

NO_PROXY = Verdict(Scope.PROXY, Status.NETWORK_ERROR, "no_proxy", evidence="there is no proxy to send it through")

UNSEEN = frozenset({"raw", "array"})
"""Shapes whose successes nobody looks into: they are passed on as they come."""

FREELY_PATHED = "other"
"""The shape of calls whose path may be of the client's own making, as below `/v1/audio/`: a slash too many, and a
provider that is well redirects."""


class Call(NamedTuple):
    """What to ask of a provider. `path` follows the origin; `shape` says how its answers are read:
    "chat", "completions", "responses", "messages", "generate" and "array" (Gemini's stream as one JSON array),
    "embeddings", "embed", "count_tokens", "count", "other", "stored" for what was made earlier, or "raw" for bytes that
    nobody looks into. `dialect` says how the key travels; a provider that does not speak it is asked in
    its own way. `tokens` is an estimate of what it will use, `affinity` names the conversation that it belongs to; both
    matter only for choosing a key. `written` is called when the request is on its way. `reading` is given an answer
    that is not passed on as it comes: a whole one, or a stream that was not asked for. `patient`: nobody waits for it,
    so between its steps others go first."""

    method: bytes
    path: str
    query: str
    headers: tuple[Header, ...]
    body: bytes
    model: str
    shape: str
    stream: bool = False
    tokens: int = 0
    affinity: str = ""
    dialect: str = CHAT
    written: Callable[[], object] | None = None
    reading: Reading | None = None
    patient: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of a call. Without a verdict it is a success and `answer`, if any, still has the rest of the body.

    `body` is what was read already; `decoded` the JSON in it where it was looked into. `error` is set when there was
    no answer at all, `unanswered` when the provider may nevertheless have done the work. `way` leads through the proxy
    that was used, if any. `withheld`: the body of the error is nothing for clients, see `concealment.py`. `held` is the
    room that a large body takes, until `close`. `broke` is to be told when the rest of the body does not come.
    """

    verdict: Verdict | None = None
    status: int = 0
    headers: Sequence[Header] = ()
    body: bytes = b""
    decoded: Any = None
    answer: UpstreamAnswer | None = None
    error: UpstreamError | None = None
    streamed: bool = False
    way: Way | None = None
    withheld: bool = False
    held: Share = field(default_factory=lambda: Share(Room()))
    broke: Callable[[Verdict], object] | None = None

    @property
    def proxy(self) -> Proxy | None:
        return None if self.way is None else self.way.proxy

    @property
    def unanswered(self) -> bool:
        return self.error is not None and self.error.sent

    def header(self, name: bytes) -> bytes | None:
        for known, value in self.headers:
            if known == name:
                return value
        return None

    def conceal_body(self, key: Key) -> None:
        """The body of an error, and what was read from it, before it goes anywhere."""
        shown = conceal_body(key, self.body)
        self.withheld = shown is None
        self.body = shown or b""
        if self.decoded is not None:
            said = conceal_body(key, jsonlib.dumps(self.decoded))
            self.withheld |= said is None
            self.decoded = None if said is None else jsonlib.loads(said)

    def close(self) -> None:
        if self.answer is not None:
            self.answer.close()
            self.answer = None
        self.held.hold(0)


@dataclass(slots=True)
class Exchange:
    """The only way to a provider. `clock` gives unix seconds. `room` is that of all requests, for large answers."""

    client: Client
    clock: Callable[[], float]
    room: Room = field(default_factory=Room)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    async def call(
        self, provider: Provider, key: Key, call: Call, deadline: float, tried: Collection[Proxy] = ()
    ) -> Outcome:
        """Send and classify. `deadline` in loop time is the request's own, `tried` are proxies to be avoided. Never
        raises UpstreamError; RequestError when there is no room for an answer that must be read whole."""
        proxies = provider.proxies
        if proxies is None:
            return await self._call(provider, key, call, deadline, None)
        lease = proxies.lease(key.digest, tried, proven=key.standing.status is Status.VALID)
        if lease is None:
            return Outcome(verdict=NO_PROXY, error=ProxyError(NO_PROXY.evidence, detail=proxies.pool.name))
        outcome = await self._call(provider, key, call, deadline, lease.proxy.url)
        outcome.way = Way(proxies, lease.proxy)
        if outcome.verdict is not None:
            suspicion = lease.proxy.blocks.get(provider.name, UNTESTED)
            outcome.verdict = blame_proxy(outcome.verdict, suspicion)
        if outcome.verdict is not None and outcome.verdict.scope is Scope.PROXY:
            proxies.report(lease, outcome.verdict)
        elif outcome.status:
            proxies.succeed(lease)
        return outcome

    async def reach(self, provider: Provider, proxy: Proxy) -> Verdict | None:
        """Whether a connection to the provider can be opened through a proxy; nothing is asked over it, and the pool
        is not told. None: it can."""
        try:
            await self.client.reach(provider.origin, provider.timeouts, proxy=proxy.url)
        except UpstreamError as error:
            return classify_failure(error)
        return None

    async def _call(self, provider: Provider, key: Key, call: Call, deadline: float, proxy: ProxyUrl | None) -> Outcome:
        outcome = Outcome(held=Share(self.room))
        try:
            answer = await self._send(provider, key, call, deadline, proxy)
            outcome.answer = answer
            if call.patient:
                await asyncio.sleep(0)
            if call.shape != "raw":
                answer = outcome.answer = unpacked(answer)
            outcome.status, outcome.headers = answer.status, answer.headers
            await self._judge(provider, key, call, outcome, answer)
            if call.patient:
                await asyncio.sleep(0)
        except UpstreamError as error:
            outcome.close()
            error.__traceback__ = None  # it would keep the request's body alive
            verdict = classify_failure(error)
            return Outcome(verdict=replace(verdict, evidence=conceal_text(key, verdict.evidence)), error=error)
        except BaseException:
            outcome.close()
            raise
        if outcome.verdict is not None:
            outcome.close()
            outcome.conceal_body(key)
        if outcome.verdict is not None or call.shape == "raw":  # of other answers hardly a header goes on
            outcome.headers = conceal_headers(key, outcome.headers)
        return outcome

    async def _send(
        self, provider: Provider, key: Key, call: Call, deadline: float, proxy: ProxyUrl | None
    ) -> UpstreamAnswer:
        if provider.type.local:
            asked = _read_asked(call.body)
            path = call.path.removeprefix("/v1")
            return InProcessAnswer(echo.answer(path, asked, key.secret.reveal(), self.clock()))
        target = f"{call.path}?{call.query}" if call.query else call.path
        endpoint = provider.endpoint(call.dialect)
        credential = (endpoint.auth_header, endpoint.auth_prefix + key.secret.reveal().encode())
        return await self.client.exchange(
            provider.origin,
            call.method,
            target.encode("latin-1"),
            [*call.headers, *endpoint.missing(call.headers), credential],
            call.body,
            provider.timeouts,
            deadline,
            max_connections=provider.config.max_connections,
            proxy=proxy,
            written=call.written,
            resend=provider.budget.withdraw if may_replay(provider.config.retry, streamed=call.stream) else _never,
        )

    async def _judge(self, provider: Provider, key: Key, call: Call, outcome: Outcome, answer: UpstreamAnswer) -> None:
        if answer.status >= 400:
            outcome.body = await _read_error(answer)
            body = conceal_body(key, outcome.body) or outcome.body  # first: what is cut off later may end within a key
            outcome.verdict = classify_answer(
                provider.meanings, answer.status, answer.headers, body, self.clock(), partial(conceal_text, key)
            )
            return
        if answer.status >= 300 and call.shape != "raw":
            said = f"it redirects ({answer.status}), which is not followed: its base_url may be wrong"
            scope = Scope.CLIENT if call.shape == FREELY_PATHED else REDIRECTED.scope
            outcome.verdict = replace(REDIRECTED, scope=scope, evidence=said)
            return
        if call.shape in UNSEEN:
            return
        if call.shape in READ:
            try:
                answer = outcome.answer = await typed(answer, stream=call.stream)
            except ValueError as error:
                _find_unreadable(outcome, key, f"{error}")
                return
            outcome.headers = answer.headers
        content_type = (outcome.header(b"content-type") or b"").lower()
        outcome.streamed = content_type.startswith(b"text/event-stream")
        if call.reading is not None and not (outcome.streamed and call.stream):
            await self._read_whole(provider, key, call, call.reading, outcome, answer)
        elif outcome.streamed:
            await self._hold(provider, key, call, outcome, answer)
        elif content_type.find(b"json") >= 0:
            await self._look_inside(provider, key, call, outcome, answer)

    async def _look_inside(
        self, provider: Provider, key: Key, call: Call, outcome: Outcome, answer: UpstreamAnswer
    ) -> None:
        """Read a plain answer whole and see whether it is one."""
        first = await answer.read()
        size = len(first)
        parts = [first]
        while parts[-1]:
            if size > PLAIN_LIMIT or not outcome.held.grow(size):
                outcome.body = b"".join(parts)
                return
            parts.append(await answer.read())
            size += len(parts[-1])
        outcome.body = first if len(parts) == 2 else b"".join(parts)
        if not outcome.held.grow_to_read(outcome.body):
            return
        outcome.answer = None
        answer.close()
        try:
            outcome.decoded = jsonlib.loads(outcome.body)
        except ValueError:
            pass  # no answer to a question for choices; anything else is the client's to read
        if call.shape != "stored":  # that a response failed is its state: what was asked for has been answered
            outcome.verdict = self._verdict_on_whole(provider, key, call, outcome)

    def _verdict_on_whole(self, provider: Provider, key: Key, call: Call, outcome: Outcome) -> Verdict | None:
        if carries_error(outcome.decoded):
            return self._verdict_inside(provider, key, outcome, outcome.decoded)
        grammar = grammar_of(call.shape)
        return EMPTY_ANSWER if grammar is not None and grammar.is_empty(outcome.decoded) else None

    async def _read_whole(
        self, provider: Provider, key: Key, call: Call, reading: Reading, outcome: Outcome, answer: UpstreamAnswer
    ) -> None:
        """Read all of an answer before anybody gets any of it, and have it read."""
        outcome.body = await read_all(answer, outcome.held)
        outcome.answer = None
        answer.close()
        try:
            if outcome.streamed:
                outcome.verdict, error = judge_stream(call.shape, outcome.body)
                if error is not None:
                    outcome.decoded = error
                    outcome.verdict = self._verdict_inside(provider, key, outcome, error)
                if outcome.verdict is None:
                    reading.read_stream(outcome.body)
            else:
                make_room(outcome.body, outcome.held)
                outcome.decoded = jsonlib.loads(outcome.body)
                outcome.verdict = self._verdict_on_whole(provider, key, call, outcome)
                if outcome.verdict is None:
                    reading.read(outcome.decoded)
        except ValueError as error:
            _find_unreadable(outcome, key, f"{error}")

    async def _hold(self, provider: Provider, key: Key, call: Call, outcome: Outcome, answer: UpstreamAnswer) -> None:
        """Keep a stream back until its first meaningful event, for `streaming.hold` seconds and HOLD_LIMIT bytes."""
        grammar = grammar_of(call.shape)
        if grammar is None:
            return
        reader = EventReader()
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(provider.config.streaming.hold):
                while size < HOLD_LIMIT:
                    piece = await answer.read()
                    if not piece:
                        outcome.verdict = EMPTY_STREAM
                        break
                    parts.append(piece)
                    size += len(piece)
                    kinds = [(grammar.classify(event), event) for event in reader.feed(piece)]
                    decisive = next((pair for pair in kinds if pair[0] != "preamble"), None)
                    if decisive is not None:
                        kind, event = decisive
                        if kind == "meaningful" and not is_json(event.data):
                            _find_unreadable(outcome, key, "its stream begins with what is no JSON")
                        elif kind == "done":
                            outcome.verdict = EMPTY_STREAM
                        elif kind == "error":
                            outcome.decoded = grammar.carried_error(event)
                            outcome.verdict = self._verdict_inside(provider, key, outcome, outcome.decoded)
                        break
                else:
                    begun = reader.rest()  # it may be an image, but JSON it is
                    if begun is not None and not begun.data.startswith(("{", "[")):
                        _find_unreadable(outcome, key, "its stream begins with a long line that is no JSON")
        except TimeoutError:
            pass  # held long enough: the client gets what there is
        except ValueError:
            pass  # not a stream of events that we can read: pass it on as it is
        if outcome.verdict is not None:
            parts.append(await _rest_of_error(answer))
        outcome.body = b"".join(parts)

    def _verdict_inside(self, provider: Provider, key: Key, outcome: Outcome, error: object) -> Verdict:
        return classify_inside(provider.meanings, outcome.headers, error, self.clock(), partial(conceal_text, key))


def _never() -> bool:
    return False


def _find_unreadable(outcome: Outcome, key: Key, why: str) -> None:
    said = conceal_text(key, f"{UNREADABLE_ANSWER.evidence}: {why}")[:EVIDENCE_LIMIT]
    outcome.verdict = replace(UNREADABLE_ANSWER, evidence=said)
    outcome.body, outcome.decoded = b"", None


def _read_asked(body: bytes) -> dict[str, Any]:
    """What the built-in provider is asked; nothing, where the body is no JSON object."""
    try:
        asked = jsonlib.loads(body)
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


async def _read_error(answer: UpstreamAnswer) -> bytes:
    """The body of an error, or as much of it as comes in ERROR_SECONDS: the status alone says enough."""
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_SECONDS):
            while len(body) < ERROR_LIMIT and (piece := await answer.read()):
                body += piece
    except (TimeoutError, UpstreamError):
        pass
    return bytes(body[:ERROR_LIMIT])


async def _rest_of_error(answer: UpstreamAnswer) -> bytes:
    """What follows an error event, so that the whole answer can be forwarded if it is the last. Seldom anything."""
    try:
        async with asyncio.timeout(ERROR_REST):
            return await answer.read_all(ERROR_LIMIT)
    except (TimeoutError, UpstreamError):
        return b""
