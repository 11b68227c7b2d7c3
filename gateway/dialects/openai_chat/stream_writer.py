"""A Chat Completions stream for a client.

The first chunk has the role; calls are numbered by their order among the calls of their choice; a block of thoughts
that is signed is repeated whole in `thinking_blocks` when it ends, since its signature comes last. A call is announced
with its first argument or its end, so that a signature can still go behind its id. Usage is shown if the client asked
for it, in a chunk without choices before `[DONE]`.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from dataclasses import field, replace

from gateway import jsonlib
from gateway.dialects.continuity import show_signature
from gateway.dialects.conversation import (
    Citation,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Scene
from gateway.dialects.losses import Losses, has_address
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT
from gateway.dialects.openai_chat.answer_writer import (
    can_show,
    note_call,
    write_call,
    write_citation,
    write_ending,
    write_image,
)
from gateway.dialects.openai_chat.errors import write_failure
from gateway.dialects.openai_chat.events import error_event
from gateway.dialects.openai_chat.thoughts import write_thoughts
from gateway.dialects.openai_chat.usage import write_usage
from gateway.quick import dataclass
from gateway.usage import Usage

_DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class _Block:
    """An open block. `texts`: its thoughts, or arguments that came before the call was announced. `offset`: characters
    of the choice's text before it."""

    part: Part
    choice: int
    number: int = 0
    offset: int = 0
    announced: bool = False
    texts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Choice:
    calls: int = 0
    characters: int = 0
    refused: bool = False


class StreamWriter:
    """Deltas in, events out. After `End` or `Broken` nothing comes."""

    __slots__ = ("_blocks", "_choices", "_head", "_losses", "_scene", "_usage")

    def __init__(self, scene: Scene, losses: Losses) -> None:
        self._scene = scene
        self._losses = losses
        self._head: Json = {}
        self._blocks: dict[int, _Block] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None

    def write(self, deltas: list[Delta]) -> bytes:
        return b"".join(self._write(delta) for delta in deltas)

    def _write(self, delta: Delta) -> bytes:
        match delta:
            case More():
                return self._more(self._blocks[delta.block], delta)
            case Open():
                return self._open(delta)
            case Close():
                return self._close(self._blocks.pop(delta.block))
            case Signed():
                return self._sign(self._blocks[delta.block], delta.signature)
            case Cited():
                return self._cite(self._blocks[delta.block], delta.citation)
            case Begin():
                return self._begin(delta)
            case Finished():
                return self._finish(delta)
            case Used():
                self._usage = delta.usage
                return b""
            case End():
                return self._end()
            case Broken():
                return error_event(write_failure(delta.failure)["error"])

    # --- the whole stream --------------------------------------------------------------------------------------------

    def _begin(self, begin: Begin) -> bytes:
        self._usage = begin.usage
        self._head = {
            "id": begin.id or f"chatcmpl-{self._scene.id}",
            "object": "chat.completion.chunk",
            "created": begin.created or self._scene.created,
            "model": self._scene.model,
        }
        if begin.service_tier:
            self._head["service_tier"] = begin.service_tier
        self._choices[0] = _Choice()
        return self._chunk(0, {"role": "assistant", "content": "", "refusal": None})

    def _finish(self, finished: Finished) -> bytes:
        choice, first = self._choice(finished.choice)
        ending = write_ending(finished.ending, choice.refused, self._scene.request.legacy_calls)
        return first + self._chunk(finished.choice, {}, **ending)

    def _end(self) -> bytes:
        if self._usage is None or not self._scene.request.stream_usage:
            return _DONE
        return self._event({**self._head, "choices": [], "usage": write_usage(self._usage)}) + _DONE

    def _choice(self, number: int) -> tuple[_Choice, bytes]:
        """A choice, and the chunk with its role if it is new."""
        choice = self._choices.get(number)
        if choice is not None:
            return choice, b""
        choice = self._choices[number] = _Choice()
        return choice, self._chunk(number, {"role": "assistant", "content": "", "refusal": None})

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _open(self, delta: Open) -> bytes:
        choice, first = self._choice(delta.choice)
        block = _Block(delta.part, delta.choice, choice.calls, choice.characters)
        self._blocks[delta.block] = block
        part = delta.part
        if isinstance(part, ToolCall):
            choice.calls += 1
            block.part = replace(part, arguments="")
            return first + (self._more(block, More(delta.block, part.arguments)) if part.arguments else b"")
        if isinstance(part, Text | Thinking | Refusal):
            choice.refused = choice.refused or isinstance(part, Refusal)
            said = self._more(block, More(delta.block, part.text)) if part.text else b""
            cited = part.citations if isinstance(part, Text) else ()
            return first + said + b"".join(self._cite(block, citation) for citation in cited)
        if isinstance(part, Image) and can_show(part):
            return first + self._chunk(delta.choice, {"images": [write_image(part)]})
        if isinstance(part, Opaque) and part.dialect == DIALECT and "type" not in part.value:
            return first + self._chunk(delta.choice, part.value)
        if not can_show(part):
            self._losses.unshown(part)
        return first

    def _more(self, block: _Block, more: More) -> bytes:
        match block.part:
            case Text():
                self._choices[block.choice].characters += len(more.text)
                return self._chunk(block.choice, {"content": more.text}, more.logprobs)
            case Thinking():
                block.texts.append(more.text)
                return self._chunk(block.choice, {"reasoning_content": more.text})
            case Refusal():
                return self._chunk(block.choice, {"refusal": more.text}, more.logprobs)
            case ToolCall():
                announced = self._announce(block)
                block.texts = [""]  # it had arguments
                return announced + self._call_chunk(block, more.text)
        return b""

    def _sign(self, block: _Block, signature: Signature) -> bytes:
        """A call's signature goes behind its id; if the id is out already, into a block of thoughts without text."""
        if isinstance(block.part, ToolCall) and block.announced:
            return self._chunk(block.choice, self._thoughts(Thinking("", signature)))
        if isinstance(block.part, ToolCall | Thinking | Text):
            block.part = replace(block.part, signature=signature)
        return b""

    def _cite(self, block: _Block, citation: Citation) -> bytes:
        if not has_address(citation, self._losses):
            return b""
        return self._chunk(block.choice, {"annotations": [write_citation(citation, block.offset)]})

    def _close(self, block: _Block) -> bytes:
        part = block.part
        if isinstance(part, ToolCall):
            announced = self._announce(block)
            return announced if block.texts or part.custom else announced + self._call_chunk(block, "{}")
        if isinstance(part, Thinking):
            part = replace(part, text="".join(block.texts))
        elif isinstance(part, Text | Image) and part.signature is not None:
            part = Thinking("", part.signature)
        fields = self._thoughts(part) if isinstance(part, Thinking | RedactedThinking) else {}
        return self._chunk(block.choice, fields) if fields else b""

    def _announce(self, block: _Block) -> bytes:
        """The chunk with a call's id and name, once."""
        assert isinstance(block.part, ToolCall)
        if block.announced:
            return b""
        block.announced = True
        if self._scene.request.legacy_calls:
            return self._function_chunk(block, {"name": block.part.name, "arguments": ""})
        call = write_call(block.part, block.number, self._scene)
        return self._chunk(block.choice, {"tool_calls": [{"index": block.number, **call}]})

    def _call_chunk(self, block: _Block, text: str) -> bytes:
        assert isinstance(block.part, ToolCall)
        if self._scene.request.legacy_calls:
            return self._function_chunk(block, {"arguments": text})
        inside = {"custom": {"input": text}} if block.part.custom else {"function": {"arguments": text}}
        return self._chunk(block.choice, {"tool_calls": [{"index": block.number, **inside}]})

    def _function_chunk(self, block: _Block, function: Json) -> bytes:
        """2023's clients know one call."""
        if block.number:
            if "name" in function:
                note_call(function["name"], self._losses)
            return b""
        return self._chunk(block.choice, {"function_call": function})

    # --- bytes -------------------------------------------------------------------------------------------------------

    def _thoughts(self, part: Part) -> Json:
        return write_thoughts((part,), lambda signature: show_signature(signature, DIALECT, self._scene.provider))

    def _chunk(self, choice: int, delta: Json, logprobs: Json | None = None, **ending: object) -> bytes:
        inside = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": None, **ending}
        chunk: Json = {**self._head, "choices": [inside]}
        if self._scene.request.stream_usage:
            chunk["usage"] = None
        return self._event(chunk)

    def _event(self, payload: Json) -> bytes:
        return b"data: " + jsonlib.dumps(payload) + b"\n\n"
