"""A Claude's stream as deltas.

Events come in the order `message_start`, blocks one after the other, `message_delta`, `message_stop`; `ping` anywhere.
Numbers of blocks are counted anew, since some blocks of the wire are told as a whole at their end: what a server's tool
was given comes in pieces that mean nothing to anybody but Anthropic, and a free text comes wrapped in JSON.

New types of events and deltas are skipped, as Anthropic asks of its clients. The stream ends at `message_stop`, or
where its bytes end after a stop reason. The text of a block is held here only where it must be whole to be read; its
size is bounded by whoever reads the stream.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.anthropic.answer_reader import read_ending, text
from gateway.dialects.anthropic.block_reader import DIALECT, answer_part, read_citation
from gateway.dialects.anthropic.errors import carries_error, read_failure
from gateway.dialects.anthropic.usage import later_usage, read_service_tier, read_usage
from gateway.dialects.conversation import Ending, Finish, Opaque, Part, Signature, Text, Thinking, ToolCall
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.names import Json
from gateway.usage import Usage
from gateway.wire.sse import Event

_TEXT_FIELDS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class _Block:
    """An open block of the wire. `number` is its own here, None for one that is told at its end: `pieces` of its input,
    `texts` of its fields."""

    __slots__ = ("number", "opening", "pieces", "said", "texts", "value")

    def __init__(self, number: int | None, value: Json, opening: Part) -> None:
        self.number = number
        self.value = value
        self.opening = opening
        self.pieces: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.said = False


class StreamReader:
    """Events in, deltas out; see `dialect.StreamReader`."""

    __slots__ = ("_begun", "_blocks", "_called", "_finished", "_next", "_over", "_plan", "_usage")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._blocks: dict[object, _Block] = {}  # by the wire's index
        self._next = 0
        self._usage: Usage | None = None
        self._begun = self._called = self._finished = self._over = False

    def feed(self, event: Event) -> list[Delta]:
        if self._over:
            return []
        try:
            payload = jsonlib.loads(event.data)
        except ValueError:
            return [] if event.data.strip() == "[DONE]" else self._broken("an event that is no JSON")
        if not isinstance(payload, dict):
            return self._broken("an event that is no object")
        if carries_error(payload) or event.event == "error":
            return self._fail(read_failure(0, payload))
        try:
            return list(self._read(payload))
        except MalformedAnswerError as exc:
            return self._broken(str(exc))

    def end(self) -> list[Delta]:
        if self._over:
            return []
        return list(self._stop()) if self._finished else self._broken("the stream ended before its end")

    def _read(self, payload: Json) -> Iterator[Delta]:
        kind = text(payload, "type")
        if kind == "message_start":
            yield from self._begin(_object(payload, "message"))
        elif kind == "message_stop":
            yield from self._stop()
        elif kind in ("content_block_start", "content_block_delta", "content_block_stop", "message_delta"):
            if not self._begun:
                yield from self._begin({})
            yield from self._inside(kind, payload)

    def _begin(self, message: Json) -> Iterator[Delta]:
        if self._begun:
            return
        self._begun = True
        self._usage = read_usage(message)
        yield Begin(
            text(message, "id"), text(message, "model"), usage=self._usage, service_tier=read_service_tier(message)
        )

    def _inside(self, kind: str, payload: Json) -> Iterator[Delta]:
        match kind:
            case "content_block_start":
                yield from self._open(_index(payload), _object(payload, "content_block"))
            case "content_block_delta":
                block = self._blocks.get(_index(payload))
                if block is None:
                    raise MalformedAnswerError("a delta of a block that is not open")
                yield from self._more(block, _object(payload, "delta"))
            case "content_block_stop":
                block = self._blocks.pop(_index(payload), None)
                if block is not None:
                    yield from self._close(block)
            case _:
                yield from self._finish(payload)

    def _open(self, index: int | str | None, value: Json) -> Iterator[Delta]:
        if index in self._blocks:
            raise MalformedAnswerError("a block that is opened twice")
        if self._finished:
            raise MalformedAnswerError("a block behind the reason why it stopped")
        part = answer_part(value, self._plan)
        if isinstance(part, Opaque):
            self._blocks[index] = _Block(None, value, part)
            return
        forced = isinstance(part, Text) and value["type"] == "tool_use"
        match part:
            case ToolCall():
                self._called = True
                opening: Part = ToolCall(part.id, part.name, "", part.custom)
            case Text():
                opening = Text("")
            case Thinking():
                opening = Thinking("")
            case _:
                opening = part
        block = self._blocks[index] = _Block(self._next, value, opening)
        self._next += 1
        yield Open(block.number or 0, opening)
        if isinstance(part, Text | Thinking) and part.text and not forced:
            yield from self._say(block, part.text)
        if isinstance(part, Text):
            for citation in part.citations:
                yield Cited(block.number or 0, citation)
        if isinstance(part, Thinking) and part.signature is not None:
            yield Signed(block.number or 0, part.signature)

    def _more(self, block: _Block, delta: Json) -> Iterator[Delta]:
        kind = text(delta, "type")
        if block.number is None or (isinstance(block.opening, ToolCall) and block.opening.custom):
            _collect(block, delta)
        elif kind in _TEXT_FIELDS:
            said = text(delta, _TEXT_FIELDS[kind])
            if said:
                yield from self._say(block, said)
        elif kind == "signature_delta" and isinstance(block.opening, Thinking):
            signature = text(delta, "signature")
            if signature:
                yield Signed(block.number, Signature(signature, DIALECT, self._plan.provider))
        elif kind == "citations_delta" and isinstance(block.opening, Text):
            citation = read_citation(delta.get("citation"))
            if citation is not None:
                yield Cited(block.number, citation)

    def _say(self, block: _Block, said: str) -> Iterator[Delta]:
        block.said = True
        yield More(block.number or 0, said)

    def _close(self, block: _Block) -> Iterator[Delta]:
        if block.number is None:
            yield Open(self._next, Opaque(DIALECT, _whole(block)))
            yield Close(self._next)
            self._next += 1
            return
        if isinstance(block.opening, ToolCall) and block.opening.custom:
            written = "".join(block.pieces) or jsonlib.dumps(block.value.get("input") or {}).decode()
            yield from self._say(block, custom_tools.unwrap(written))
        elif block.value["type"] == "tool_use" and not block.said:
            yield from self._say(block, jsonlib.dumps(block.value.get("input") or {}).decode())
        yield Close(block.number)

    def _finish(self, payload: Json) -> Iterator[Delta]:
        delta = _object(payload, "delta")
        if delta.get("stop_reason") is not None and not self._finished:
            yield from self._finished_with(read_ending(delta, has_calls=self._called))
        usage = read_usage(payload)
        if usage is not None:
            self._usage = later_usage(self._usage, usage)
            if self._usage is not None:
                yield Used(self._usage)

    def _finished_with(self, ending: Ending) -> Iterator[Delta]:
        self._finished = True
        for block in self._blocks.values():
            yield from self._close(block)
        self._blocks.clear()
        yield Finished(ending)

    def _stop(self) -> Iterator[Delta]:
        if not self._begun:
            yield from self._begin({})
        if not self._finished:
            yield from self._finished_with(Ending(Finish.TOOL_CALLS if self._called else Finish.STOP))
        self._over = True
        yield End()

    def _broken(self, why: str) -> list[Delta]:
        return self._fail(Failure(0, FailureKind.SERVER, f"The provider's stream cannot be read: {why}."))

    def _fail(self, failure: Failure) -> list[Delta]:
        self._over = True
        return [Broken(failure)]


def _index(payload: Json) -> int | str | None:
    """Which block an event is about. Raises MalformedAnswerError."""
    index = payload.get("index")
    if index is None or isinstance(index, int | str):
        return index
    raise MalformedAnswerError("a block without a number")


def _object(payload: Json, name: str) -> Json:
    value = payload.get(name)
    return value if isinstance(value, dict) else {}


def _collect(block: _Block, delta: Json) -> None:
    """A piece for a block that is told as a whole: of its input, or of a text that it has."""
    if text(delta, "type") == "input_json_delta":
        block.pieces.append(text(delta, "partial_json"))
        return
    for name, piece in delta.items():
        if isinstance(piece, str) and name != "type":
            known = block.value.get(name)
            block.texts.setdefault(name, [known] if isinstance(known, str) else []).append(piece)
        elif name != "type":
            block.texts.pop(name, None)
            block.value = {**block.value, name: piece}


def _whole(block: _Block) -> Json:
    """An opaque block with what came in pieces."""
    value = {**block.value, **{name: "".join(texts) for name, texts in block.texts.items()}}
    written = "".join(block.pieces)
    if not written:
        return value
    try:
        return {**value, "input": jsonlib.loads(written)}
    except ValueError:
        return {**value, "input": {"INVALID_JSON": written}}
