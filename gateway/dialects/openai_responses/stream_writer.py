"""A stream as a client of the Responses API gets it, from deltas of any dialect.

    response.created, response.in_progress, *item, response.completed | incomplete | failed

Items come one after the other, see `stream_items.py`. Texts that follow each other are pieces of one message, which
ends when something else begins. Events count up in `sequence_number`. A failure is an `error` event, at which SDKs
raise, and `response.failed`, for which other clients wait.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.dialects.blocks import InOrder
from gateway.dialects.conversation import (
    Ending,
    Finish,
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
from gateway.dialects.failure import Failure
from gateway.dialects.losses import Losses, has_address
from gateway.dialects.names import Json
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.errors import failed_code, write_failure
from gateway.dialects.openai_responses.response import ItemMaker, end_response, is_incomplete, write_response
from gateway.dialects.openai_responses.stream_items import (
    CallItem,
    MessageItem,
    MessagePiece,
    Output,
    ThoughtsItem,
    end_thoughts,
)
from gateway.usage import Usage


class StreamWriter:
    """Writes one stream. What is kept is the answer itself, which its last event repeats; the reader bounds it."""

    def __init__(self, scene: Scene, losses: Losses) -> None:
        self._scene = scene
        self._losses = losses
        self._order = InOrder()
        self._maker = ItemMaker(scene, losses)
        self._output = Output()
        self._response: Json | None = None
        self._message: MessageItem | None = None
        self._block: MessagePiece | ThoughtsItem | CallItem | None = None
        self._others: set[int] = set()  # blocks of further choices
        self._ending = Ending(Finish.STOP)
        self._usage: Usage | None = None
        self._ended = False

    def write(self, deltas: list[Delta]) -> bytes:
        ordered = self._order.feed(self._of_first_choice(deltas))
        signatures = {delta.block: delta.signature for delta in ordered if isinstance(delta, Signed)}
        for delta in ordered:
            if not self._ended:
                self._take(delta, signatures)
        return self._output.take()

    def _of_first_choice(self, deltas: list[Delta]) -> Iterator[Delta]:
        for delta in deltas:
            if isinstance(delta, Open | Finished) and delta.choice:
                self._losses.content("answer.choices", "choices", "the client's API gives one answer.")
                if isinstance(delta, Open):
                    self._others.add(delta.block)
            elif not (isinstance(delta, More | Signed | Cited | Close) and delta.block in self._others):
                yield delta

    def _take(self, delta: Delta, signatures: dict[int, Signature]) -> None:
        match delta:
            case More(_, text, logprobs):
                if self._block is not None:
                    self._block.more(text, logprobs)
            case Open(block, part):
                self._open(part, signatures.get(block))
            case Signed(_, signature):
                if self._block is not None:
                    self._block.sign(signature)
            case Cited(_, citation):
                if self._block is not None and has_address(citation, self._losses):
                    self._block.cite(citation)
            case Close():
                self._close()
            case Begin():
                self._begin(delta)
            case Used(usage):
                self._usage = usage
            case Finished(ending):
                self._ending = ending
                self._end_message()
            case End():
                self._end()
            case Broken(failure):
                self._fail(failure)

    def _begin(self, begin: Begin) -> Json:
        if self._response is None:
            self._usage = begin.usage
            self._response = write_response(begin, self._scene)
            self._output.emit("response.created", response=self._response)
            self._output.emit("response.in_progress", response=self._response)
        return self._response

    def _open(self, part: Part, signature: Signature | None) -> None:
        self._begin(Begin("", ""))
        if isinstance(part, Text | Refusal):
            if self._message is None:
                self._message = MessageItem(self._output, self._maker)
            self._block = MessagePiece(self._message, part, self._maker)
            return
        self._end_message()
        match part:
            case Thinking():
                self._block = ThoughtsItem(self._output, self._maker, part)
            case ToolCall():
                self._block = CallItem(self._output, self._maker, part, self._losses)
                if signature is not None:
                    self._block.sign(signature)
            case _:
                self._whole(part)

    def _whole(self, part: Part) -> None:
        """A part that comes at once."""
        if isinstance(part, RedactedThinking):
            item = self._maker.reasoning()
            self._output.begin(item)
            end_thoughts(self._output, item, [], self._maker.thoughts(part)[1])
            return
        made: Json | None = None
        if isinstance(part, Image):
            made = self._maker.image(part)
        elif isinstance(part, Opaque) and part.dialect == DIALECT:
            made = part.value
        if made is None:
            self._losses.unshown(part)
            return
        self._output.begin(made)
        self._output.end(made)

    def _close(self) -> None:
        if self._block is not None:
            self._block.end()
            self._block = None

    def _end_message(self) -> None:
        if self._message is not None:
            self._message.end("incomplete" if is_incomplete(self._ending) else "completed")
            self._message = None

    def _end(self) -> None:
        begun = self._begin(Begin("", ""))
        self._end_message()
        response = end_response(begun, self._output.items, self._ending, self._usage, self._scene.created)
        self._output.emit(f"response.{response['status']}", response=response)
        self._ended = True

    def _fail(self, failure: Failure) -> None:
        begun = self._begin(Begin("", ""))
        error = write_failure(failure)["error"]
        fields = {name: error[name] for name in ("code", "message", "param")}
        self._output.emit("error", **fields, error=error)
        told = {"code": failed_code(failure), "message": failure.message}
        failed = {**begun, "status": "failed", "error": told, "output": self._output.items}
        self._output.emit("response.failed", response=failed)
        self._ended = True
