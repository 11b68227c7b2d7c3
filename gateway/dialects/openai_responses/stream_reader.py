"""A provider's stream, event by event.

Every piece of the output is said three times: by deltas, by an event when it is done, and in the item when that is
done. Servers leave out one or the other, so that what an event repeats is compared with what has been passed on, and
only the rest follows. A part begins as soon as enough is known of it: a call with its id and name, a text with its
first event.

Thoughts of one item are one block, whose pieces are paragraphs; what is encrypted counts as it stands when the item is
done. Items of tools that the provider runs itself are passed on whole, when they are done.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.conversation import Citation, Part, Refusal, Signature, Text, Thinking, ToolCall
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.names import Json
from gateway.dialects.openai_chat.errors import carries_error
from gateway.dialects.openai_chat.events import DONE, read_payload
from gateway.dialects.openai_responses.answer_reader import (
    read_call,
    read_ending,
    read_head,
    read_item,
    read_item_signature,
    read_output_part,
)
from gateway.dialects.openai_responses.content import read_citation
from gateway.dialects.openai_responses.errors import read_failure
from gateway.dialects.openai_responses.items import PARAGRAPH, read_thoughts
from gateway.dialects.openai_responses.usage import read_usage
from gateway.wire.sse import Event


class StreamReader:
    """Reads one stream. Keep to `feed` and, when the bytes end, `end`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._begun = False
        self._ended = False
        self._items: dict[object, _Item] = {}
        self._blocks = 0
        self._parts: list[Part] = []  # what the ending depends on: calls and refusals that were passed on

    def feed(self, event: Event) -> list[Delta]:
        if self._ended or event.data.strip() == DONE:
            return []
        payload = read_payload(event)
        if not payload and event.data.strip() != "{}":
            return self._broken(Failure(0, FailureKind.SERVER, "The provider sent an event that cannot be read."))
        kind = payload.get("type")
        kind = kind if isinstance(kind, str) else event.event
        if kind in ("error", "response.failed") or carries_error(payload) or carries_error(payload.get("response")):
            return self._broken(read_failure(0, payload), payload)
        deltas: list[Delta] = []
        self._begin(deltas, payload)
        try:
            if kind in _ENDS:
                self._end(deltas, payload)
            elif (handle := _HANDLERS.get(kind)) is not None:
                handle(self, payload, deltas)
        except MalformedAnswerError as error:
            deltas += self._broken(Failure(0, FailureKind.SERVER, str(error)))
        return deltas

    def end(self) -> list[Delta]:
        if self._ended:
            return []
        return self._broken(Failure(0, FailureKind.SERVER, "The provider ended its stream too early."))

    def _begin(self, deltas: list[Delta], payload: Json) -> None:
        if self._begun:
            return
        self._begun = True
        response = payload.get("response")
        deltas.append(Begin(**read_head(response if isinstance(response, dict) else {})))

    def _broken(self, failure: Failure, payload: Json | None = None) -> list[Delta]:
        deltas: list[Delta] = []
        self._begin(deltas, payload or {})
        self._ended = True
        deltas.append(Broken(failure))
        return deltas

    def _end(self, deltas: list[Delta], payload: Json) -> None:
        """The last event repeats the whole output; a server that sent nothing else says it here alone."""
        response = payload.get("response")
        response = response if isinstance(response, dict) else {}
        output = response.get("output")
        if not self._items and isinstance(output, list):
            for place, item in enumerate(output):
                if isinstance(item, dict):
                    self._item({"output_index": place}).done(item, deltas)
        for item in self._items.values():
            item.close(deltas)
        if payload.get("type") == "response.incomplete":
            response = {**response, "status": "incomplete"}
        deltas.append(Finished(read_ending(response, tuple(self._parts))))
        usage = read_usage(payload)
        if usage is not None:
            deltas.append(Used(usage))
        deltas.append(End())
        self._ended = True

    def _item(self, payload: Json) -> _Item:
        place = payload.get("output_index")
        key = place if type(place) is int else str(payload.get("item_id"))
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = _Item(self, self._plan)
        return item

    def open(self, part: Part, deltas: list[Delta]) -> int:
        """A new block; gives its number."""
        block = self._blocks
        self._blocks += 1
        if isinstance(part, ToolCall | Refusal):
            self._parts.append(part)
        deltas.append(Open(block, part))
        return block

    # --- events ------------------------------------------------------------------------------------------------------

    def _added(self, payload: Json, deltas: list[Delta]) -> None:
        item = payload.get("item")
        self._item(payload).added(item if isinstance(item, dict) else {}, deltas)

    def _item_done(self, payload: Json, deltas: list[Delta]) -> None:
        item = payload.get("item")
        if isinstance(item, dict):
            self._item(payload).done(item, deltas)

    def _part_added(self, payload: Json, deltas: list[Delta]) -> None:
        part = payload.get("part")
        opening = read_output_part(part) if isinstance(part, dict) else None
        if opening is not None:
            self._item(payload).piece(payload, type(opening)(""), deltas)

    def _part_done(self, payload: Json, deltas: list[Delta]) -> None:
        part = payload.get("part")
        read = read_output_part(part) if isinstance(part, dict) else None
        if read is not None:
            self._item(payload).piece(payload, type(read)(""), deltas).finish(read, deltas)

    def _text(self, payload: Json, deltas: list[Delta]) -> None:
        self._item(payload).piece(payload, Text(""), deltas).more(payload, deltas)

    def _text_done(self, payload: Json, deltas: list[Delta]) -> None:
        self._item(payload).piece(payload, Text(""), deltas).rest(_text(payload, "text"), deltas)

    def _refusal(self, payload: Json, deltas: list[Delta]) -> None:
        self._item(payload).piece(payload, Refusal(""), deltas).more(payload, deltas)

    def _annotation(self, payload: Json, deltas: list[Delta]) -> None:
        annotation = payload.get("annotation")
        if isinstance(annotation, dict) and annotation.get("type") == "url_citation":
            self._item(payload).piece(payload, Text(""), deltas).cite(read_citation(annotation), deltas)

    def _arguments(self, payload: Json, deltas: list[Delta]) -> None:
        self._item(payload).arguments(payload, deltas)

    def _arguments_done(self, payload: Json, deltas: list[Delta]) -> None:
        whole = _text(payload, "arguments") or _text(payload, "input")
        self._item(payload).arguments_done(whole, deltas)

    def _thoughts(self, payload: Json, deltas: list[Delta]) -> None:
        self._item(payload).think(payload, deltas)


_HANDLERS = {
    "response.output_item.added": StreamReader._added,
    "response.output_item.done": StreamReader._item_done,
    "response.content_part.added": StreamReader._part_added,
    "response.content_part.done": StreamReader._part_done,
    "response.output_text.delta": StreamReader._text,
    "response.output_text.done": StreamReader._text_done,
    "response.refusal.delta": StreamReader._refusal,
    "response.output_text.annotation.added": StreamReader._annotation,
    "response.function_call_arguments.delta": StreamReader._arguments,
    "response.function_call_arguments.done": StreamReader._arguments_done,
    "response.custom_tool_call_input.delta": StreamReader._arguments,
    "response.custom_tool_call_input.done": StreamReader._arguments_done,
    "response.reasoning_summary_text.delta": StreamReader._thoughts,
    "response.reasoning_text.delta": StreamReader._thoughts,
}
"""What other events say is said again by one of these, or is progress of a tool that the provider runs."""

_ENDS = frozenset({"response.completed", "response.incomplete"})


class _Block:
    """A block that has been opened: what of it has been passed on, and whether it is closed."""

    __slots__ = ("_cited", "_number", "_open", "_said")

    def __init__(self, number: int) -> None:
        self._number = number
        self._said: list[str] = []
        self._cited: set[Citation] = set()
        self._open = True

    def say(self, text: str, deltas: list[Delta], logprobs: Json | None = None) -> None:
        if text and self._open:
            self._said.append(text)
            deltas.append(More(self._number, text, logprobs))

    def rest(self, whole: str, deltas: list[Delta]) -> None:
        """What of a whole text has not been said. A text that differs is left as it was passed on."""
        said = "".join(self._said)
        if whole.startswith(said):
            self.say(whole[len(said) :], deltas)

    def more(self, payload: Json, deltas: list[Delta]) -> None:
        logprobs = payload.get("logprobs")
        said = {"content": logprobs} if isinstance(logprobs, list) and logprobs else None
        self.say(_text(payload, "delta"), deltas, said)

    def cite(self, citation: Citation, deltas: list[Delta]) -> None:
        if self._open and citation not in self._cited:
            self._cited.add(citation)
            deltas.append(Cited(self._number, citation))

    def sign(self, signature: Signature | None, deltas: list[Delta]) -> None:
        if self._open and signature is not None:
            deltas.append(Signed(self._number, signature))

    def finish(self, part: Text | Refusal, deltas: list[Delta]) -> None:
        """The part as it is when it is done."""
        self.rest(part.text, deltas)
        for citation in part.citations if isinstance(part, Text) else ():
            self.cite(citation, deltas)
        self.close(deltas)

    def close(self, deltas: list[Delta]) -> None:
        if self._open:
            self._open = False
            deltas.append(Close(self._number))


class _Item:
    """One item of the output, with its blocks: a message has one for each piece of its content, others have one."""

    def __init__(self, reader: StreamReader, plan: Plan) -> None:
        self._reader = reader
        self._plan = plan
        self._blocks: dict[object, _Block] = {}
        self._unsaid: list[str] = []  # arguments that came before the call's name
        self._piece: object = None  # the piece of the thoughts that the last delta was of
        self._done = False

    def added(self, item: Json, deltas: list[Delta]) -> None:
        if _text(item, "type") in _CALLS and _text(item, "name") and _text(item, "call_id"):
            self._open_call(item, deltas)

    def _open_call(self, item: Json, deltas: list[Delta]) -> _Block:
        block = self._blocks.get(_WHOLE)
        if block is None:
            call = read_call(item, self._plan)
            opening = ToolCall(call.id, call.name, "", call.custom)
            block = self._blocks[_WHOLE] = _Block(self._reader.open(opening, deltas))
            block.say("".join(self._unsaid), deltas)
        return block

    def arguments(self, payload: Json, deltas: list[Delta]) -> None:
        block = self._blocks.get(_WHOLE)
        if block is None:
            self._unsaid.append(_text(payload, "delta"))
        else:
            block.more(payload, deltas)

    def arguments_done(self, whole: str, deltas: list[Delta]) -> None:
        block = self._blocks.get(_WHOLE)
        if block is None:
            self._unsaid = [whole]
        else:
            block.rest(whole, deltas)

    def piece(self, payload: Json, opening: Text | Refusal, deltas: list[Delta]) -> _Block:
        """The block of a piece of a message, opened if it has not been."""
        place = payload.get("content_index")
        key = place if type(place) is int else 0
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _Block(self._reader.open(opening, deltas))
        return block

    def think(self, payload: Json, deltas: list[Delta]) -> None:
        block = self._blocks.get(_WHOLE)
        if block is None:
            block = self._blocks[_WHOLE] = _Block(self._reader.open(Thinking(""), deltas))
        piece = payload.get("summary_index")
        if self._piece is not None and piece != self._piece:
            if piece is None:
                return  # the thoughts themselves, after their summary
            block.say(PARAGRAPH, deltas)
        self._piece = piece
        block.more(payload, deltas)

    def done(self, item: Json, deltas: list[Delta]) -> None:
        """The item as it is in the end: what has not been said yet, and all blocks closed."""
        if self._done:
            return
        self._done = True
        kind = _text(item, "type")
        if kind in _CALLS:
            call = read_call(item, self._plan)
            self._open_call(item, deltas).rest(call.arguments, deltas)
        elif kind == "reasoning":
            self._reasoning(item, deltas)
        elif kind == "message":
            content = item.get("content")
            for place, each in enumerate(content if isinstance(content, list) else []):
                part = read_output_part(each) if isinstance(each, dict) else None
                if part is not None:
                    self.piece({"content_index": place}, type(part)(""), deltas).finish(part, deltas)
        else:
            for whole in read_item(item, self._plan):
                _Block(self._reader.open(whole, deltas)).close(deltas)
        self.close(deltas)

    def _reasoning(self, item: Json, deltas: list[Delta]) -> None:
        thoughts, signature = read_thoughts(item), read_item_signature(item, self._plan)
        block = self._blocks.get(_WHOLE)
        if block is None:
            if not thoughts and signature is None:
                return
            block = self._blocks[_WHOLE] = _Block(self._reader.open(Thinking(""), deltas))
        block.rest(thoughts or "", deltas)
        block.sign(signature, deltas)

    def close(self, deltas: list[Delta]) -> None:
        for block in self._blocks.values():
            block.close(deltas)


_CALLS = frozenset({"function_call", "custom_tool_call"})

_WHOLE = "whole"
"""The key of the one block that an item has which is no message."""


def _text(obj: Json, name: str) -> str:
    value: Any = obj.get(name)
    return value if isinstance(value, str) else ""
