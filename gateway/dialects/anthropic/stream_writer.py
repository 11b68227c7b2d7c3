"""Deltas as the events that a client of Anthropic's reads.

    message_start ping (content_block_start content_block_delta* content_block_stop)* message_delta message_stop

- One `message_start`, with what is known of the input, or an estimate: clients size their context by it.
- Blocks one after the other; a block that says nothing is never opened, since the client would send it back.
- `message_delta` waits for the end of the stream, as usage may come after the last word.
- A tool call is opened with its first argument or its end: the signature that its id or the block before it carries may
  come behind `Open`.
- Arguments go out as they come. Only such as do not even begin like an object are held to the end of the call and
  wrapped as in `answer_writer.py`; a client's parser would end the stream over them.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects.anthropic.answer_writer import arguments_object, shown, sign_call, write_block, write_citation
from gateway.dialects.anthropic.answer_writer import write_ending as ending_fields
from gateway.dialects.anthropic.count_tokens import estimate_tokens
from gateway.dialects.anthropic.errors import write_failure
from gateway.dialects.anthropic.events import write_event
from gateway.dialects.anthropic.usage import write_delta_usage, write_usage
from gateway.dialects.blocks import InOrder
from gateway.dialects.conversation import Ending, Finish, Part, Refusal, Signature, Text, Thinking, ToolCall
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Scene
from gateway.dialects.losses import Losses, has_address
from gateway.dialects.names import Json
from gateway.usage import Usage, tokens_of

_FIELD_OF_DELTA = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class _Block:
    """The block of the stream that is open. `held`: arguments that wait for the call's end."""

    __slots__ = ("held", "holding", "number", "part", "signature", "started")

    def __init__(self, number: int, part: Part, signature: Signature | None) -> None:
        self.number = number
        self.part = part
        self.signature = signature
        self.started = False
        self.holding = isinstance(part, ToolCall) and part.custom
        self.held: list[str] = []


class StreamWriter:
    """Deltas in, bytes out; see `dialect.StreamWriter`."""

    __slots__ = (
        "_block", "_called", "_ending", "_index", "_losses", "_order", "_over", "_refused", "_said", "_scene",
        "_signatures", "_started", "_usage",
    )  # fmt: skip

    def __init__(self, scene: Scene, losses: Losses) -> None:
        self._scene = scene
        self._losses = losses
        self._order = InOrder()
        self._block: _Block | None = None
        self._index = 0  # of the next block on the wire
        self._ending = Ending(Finish.STOP)
        self._usage: Usage | None = None
        self._signatures: dict[int, Signature] = {}
        self._said = 0
        self._started = self._over = self._called = self._refused = False

    def write(self, deltas: list[Delta]) -> bytes:
        ordered = self._order.feed(deltas)
        self._signatures = {delta.block: delta.signature for delta in ordered if isinstance(delta, Signed)}
        events: list[Json] = []
        for delta in ordered:
            if not self._over:
                self._write(delta, events)
        return b"".join(map(write_event, events))

    def _write(self, delta: Delta, events: list[Json]) -> None:
        match delta:
            case Broken(failure):
                self._over = True
                events.append(write_failure(failure))
                return
            case Begin():
                self._start(delta, events)
                return
        self._start(Begin("", ""), events)
        match delta:
            case Open(number, part, choice):
                self._open(number, part, choice, events)
            case Finished(ending, choice):
                self._ending = ending if choice == 0 else self._ending
            case Used(usage):
                self._usage = usage
            case End():
                self._end(events)
            case _ if self._block is not None and delta.block == self._block.number:
                self._inside(self._block, delta, events)

    def _start(self, begin: Begin, events: list[Json]) -> None:
        if self._started:
            return
        self._started = True
        usage = self._usage = begin.usage
        if usage is None or usage.input_uncached is None:
            usage = (usage or Usage())._replace(input_uncached=estimate_tokens(self._scene.request))
        message: Json = {
            "id": begin.id or f"msg_{self._scene.id}",
            "type": "message",
            "role": "assistant",
            "model": self._scene.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(usage, begin.service_tier),
        }
        events += [{"type": "message_start", "message": message}, {"type": "ping"}]

    def _open(self, number: int, part: Part, choice: int, events: list[Json]) -> None:
        if choice != 0:
            self._losses.content("answer.choices", "choices", "the client's API gives one answer.")
            return
        match part:
            case Text(text, _, _, signature) | Thinking(text, signature):
                said = text
            case Refusal(text):
                self._refused, said, signature = True, text, None
            case ToolCall():
                self._called, said, signature = True, part.arguments, part.signature
            case _:
                block = write_block(part, self._scene, self._losses)
                if block is not None:
                    self._block = _Block(number, part, None)
                    self._begin_block(self._block, block, events)
                return
        self._block = _Block(number, part, signature or self._signatures.get(number))
        if said:
            self._say(self._block, said, events)

    def _inside(self, block: _Block, delta: More | Signed | Cited | Close, events: list[Json]) -> None:
        match delta:
            case More(_, text) if text:
                self._say(block, text, events)
            case Signed(_, signature):
                self._sign(block, signature)
            case Cited(_, citation) if isinstance(block.part, Text) and has_address(citation, self._losses):
                self._ensure(block, events)
                events.append(_delta(self._index, {"type": "citations_delta", "citation": write_citation(citation)}))
            case Close():
                self._close(block, events)

    def _say(self, block: _Block, text: str, events: list[Json]) -> None:
        self._said += len(text)
        kind = "text_delta"
        if isinstance(block.part, ToolCall):
            kind = "input_json_delta"
            if not block.started and not block.holding:
                block.holding = not text.lstrip().startswith("{")
            if block.holding:
                block.held.append(text)
                return
        elif isinstance(block.part, Thinking):
            kind = "thinking_delta"
        self._ensure(block, events)
        events.append(_delta(self._index, {"type": kind, _FIELD_OF_DELTA[kind]: text}))

    def _sign(self, block: _Block, signature: Signature) -> None:
        """Thoughts are signed at their end, a call at its beginning."""
        late = isinstance(block.part, ToolCall) and block.started and block.signature != signature
        if late or not isinstance(block.part, ToolCall | Thinking):
            name = "late_signature" if late else "text_signature"
            self._losses.hint("answer.signature", name, "what carries it was sent before, or cannot carry it.")
        block.signature = signature

    def _ensure(self, block: _Block, events: list[Json]) -> None:
        """Open the block on the wire if it is not."""
        if block.started:
            return
        part = block.part
        opening: Json = {"type": "text", "text": ""}
        if isinstance(part, Thinking):
            opening = {"type": "thinking", "thinking": "", "signature": ""}
        elif isinstance(part, ToolCall):
            name, signature = sign_call(part, block.signature, self._scene, self._index)
            if signature is not None:
                self._whole(signature, events)
            opening = {"type": "tool_use", "id": name, "name": part.name, "input": {}}
        self._begin_block(block, opening, events)

    def _whole(self, block: Json, events: list[Json]) -> None:
        """A block of which nothing else is said."""
        events.append({"type": "content_block_start", "index": self._index, "content_block": block})
        events.append({"type": "content_block_stop", "index": self._index})
        self._index += 1

    def _begin_block(self, block: _Block, opening: Json, events: list[Json]) -> None:
        block.started = True
        events.append({"type": "content_block_start", "index": self._index, "content_block": opening})

    def _close(self, block: _Block, events: list[Json]) -> None:
        self._block = None
        signed = isinstance(block.part, Thinking) and block.signature is not None
        if signed or isinstance(block.part, ToolCall):
            self._ensure(block, events)
        if signed:
            signature = shown(block.signature, self._scene)
            events.append(_delta(self._index, {"type": "signature_delta", "signature": signature}))
        if block.held and isinstance(block.part, ToolCall):
            written = jsonlib.dumps(arguments_object("".join(block.held), custom=block.part.custom)).decode()
            events.append(_delta(self._index, {"type": "input_json_delta", "partial_json": written}))
        if block.started:
            events.append({"type": "content_block_stop", "index": self._index})
            self._index += 1

    def _end(self, events: list[Json]) -> None:
        self._over = True
        usage = self._usage
        if usage is None or usage.output_text is None:
            usage = (usage or Usage())._replace(output_text=tokens_of(self._said))
        delta = ending_fields(self._ending, called=self._called, refused=self._refused)
        events += [
            {"type": "message_delta", "delta": delta, "usage": write_delta_usage(usage)},
            {"type": "message_stop"},
        ]


def _delta(index: int, delta: Json) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": delta}
