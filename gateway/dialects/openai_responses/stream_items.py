"""The items of a streamed answer while they are written: each knows which events say it.

    item    = output_item.added, *piece, output_item.done
    piece   = content_part.added, *(output_text.delta | annotation.added), output_text.done, content_part.done
            | reasoning_summary_part.added, *delta, reasoning_summary_text.done, reasoning_summary_part.done
            | *function_call_arguments.delta, function_call_arguments.done      or of custom_tool_call_input

Thoughts and calls begin with the first that is said of them, not when they are opened: thoughts may turn out to be
nothing, and a call's signature is an item before it.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway import jsonlib
from gateway.dialects.conversation import Citation, Refusal, Signature, Text, Thinking, ToolCall
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_responses.content import write_citation
from gateway.dialects.openai_responses.response import ItemMaker


class Output:
    """The events that have not been taken yet, and the items that are done."""

    def __init__(self) -> None:
        self.items: list[Json] = []
        self._events: list[bytes] = []
        self._sequence = 0

    def emit(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._events.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), jsonlib.dumps(event)))
        self._sequence += 1

    def say(self, kind: str, item: Json, **fields: Any) -> None:
        """An event about an item that is not done."""
        self.emit(kind, item_id=item["id"], output_index=len(self.items), **fields)

    def begin(self, item: Json) -> None:
        self.emit("response.output_item.added", output_index=len(self.items), item=item)

    def end(self, item: Json) -> None:
        self.emit("response.output_item.done", output_index=len(self.items), item=item)
        self.items.append(item)

    def take(self) -> bytes:
        events = b"".join(self._events)
        self._events.clear()
        return events


class MessageItem:
    """A message, whose pieces are written by `MessagePiece`, one after the other."""

    def __init__(self, output: Output, maker: ItemMaker) -> None:
        self.output = output
        self.item = maker.message()
        self.contents: list[Json] = []
        output.begin(self.item)

    def end(self, status: str) -> None:
        self.output.end({**self.item, "status": status, "content": self.contents})


class MessagePiece:
    """A text or a refusal in a message."""

    def __init__(self, message: MessageItem, part: Text | Refusal, maker: ItemMaker) -> None:
        self._message = message
        self._field = "refusal" if isinstance(part, Refusal) else "text"
        self._kind = "response.refusal" if isinstance(part, Refusal) else "response.output_text"
        self._content = maker.output_part(replace(part, text=""))
        self._texts: list[str] = []
        self._characters = 0
        self._logprobs: list[Json] = []
        self._annotations: list[Json] = []
        self._place = len(message.contents)
        self._say("response.content_part.added", part=self._content)
        self.more(part.text, None)

    def more(self, text: str, logprobs: Json | None) -> None:
        if not text:
            return
        self._texts.append(text)
        self._characters += len(text)
        if self._field == "refusal":
            self._say("response.refusal.delta", delta=text)
            return
        said = (logprobs or {}).get("content") or []
        self._logprobs += said
        self._say("response.output_text.delta", delta=text, logprobs=said)

    def cite(self, citation: Citation) -> None:
        if self._field == "refusal":
            return
        place, annotation = len(self._annotations), write_citation(citation, self._characters)
        self._annotations.append(annotation)
        self._say("response.output_text.annotation.added", annotation_index=place, annotation=annotation)

    def sign(self, signature: Signature) -> None:
        """A message has no place for signatures, and its text can do without."""

    def end(self) -> None:
        content = {**self._content, self._field: "".join(self._texts)}
        if self._field == "text":
            content |= {"annotations": self._annotations, "logprobs": self._logprobs}
        self._say(
            f"{self._kind}.done", **{name: content[name] for name in (self._field, "logprobs") if name in content}
        )
        self._say("response.content_part.done", part=content)
        self._message.contents.append(content)

    def _say(self, kind: str, **fields: Any) -> None:
        self._message.output.say(kind, self._message.item, content_index=self._place, **fields)


class ThoughtsItem:
    """Thoughts: one summary of one piece."""

    def __init__(self, output: Output, maker: ItemMaker, part: Thinking) -> None:
        self._output = output
        self._maker = maker
        self._item: Json | None = None
        self._texts: list[str] = []
        self._signature = part.signature
        self.more(part.text, None)

    def more(self, text: str, logprobs: Json | None) -> None:
        if not text:
            return
        item = self._begin()
        self._texts.append(text)
        self._output.say("response.reasoning_summary_text.delta", item, summary_index=0, delta=text)

    def cite(self, citation: Citation) -> None:
        """Nobody cites in thoughts."""

    def sign(self, signature: Signature) -> None:
        self._signature = signature

    def end(self) -> None:
        text, shown = self._maker.thoughts(Thinking("".join(self._texts), self._signature))
        if text is None and not shown:
            return
        if text is not None:
            part = {"type": "summary_text", "text": text}
            item = self._begin()
            self._output.say("response.reasoning_summary_text.done", item, summary_index=0, text=text)
            self._output.say("response.reasoning_summary_part.done", item, summary_index=0, part=part)
            end_thoughts(self._output, item, [part], shown)
        else:
            item = self._maker.reasoning()
            self._output.begin(item)
            end_thoughts(self._output, item, [], shown)

    def _begin(self) -> Json:
        if self._item is None:
            self._item = self._maker.reasoning()
            self._output.begin(self._item)
            part = {"type": "summary_text", "text": ""}
            self._output.say("response.reasoning_summary_part.added", self._item, summary_index=0, part=part)
        return self._item


def end_thoughts(output: Output, item: Json, summary: list[Json], shown: str) -> None:
    output.end({**item, "summary": summary, **({"encrypted_content": shown} if shown else {})})


class CallItem:
    """A call of a function or of a custom tool."""

    def __init__(self, output: Output, maker: ItemMaker, part: ToolCall, losses: Losses) -> None:
        self._output = output
        self._maker = maker
        self._part = part
        self._losses = losses
        self._item: Json | None = None
        self._texts: list[str] = []
        self._field = "input" if part.custom else "arguments"
        self._kind = "response.custom_tool_call_input" if part.custom else "response.function_call_arguments"
        self.more(part.arguments, None)

    def more(self, text: str, logprobs: Json | None) -> None:
        if not text:
            return
        item = self._begin()
        self._texts.append(text)
        self._output.say(f"{self._kind}.delta", item, delta=text)

    def cite(self, citation: Citation) -> None:
        """Nobody cites in arguments."""

    def sign(self, signature: Signature) -> None:
        if self._item is None:
            self._part = replace(self._part, signature=signature)
        elif self._part.signature != signature:
            self._losses.hint("answer.signature", "late_signature", "what carries it was sent before.")

    def end(self) -> None:
        item = self._begin()
        whole = "".join(self._texts)
        if not whole and not self._part.custom:
            self.more("{}", None)
            whole = "{}"
        self._output.say(f"{self._kind}.done", item, **{self._field: whole})
        self._output.end({**item, "status": "completed", self._field: whole})

    def _begin(self) -> Json:
        if self._item is None:
            signature = self._maker.signature(self._part)
            if signature is not None:
                self._output.begin(signature)
                self._output.end(signature)
            self._item = self._maker.call(self._part)
            self._output.begin(self._item)
        return self._item
