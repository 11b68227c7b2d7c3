"""A conversation as the messages of a Chat Completions request.

One neutral message can be several here: results of tools come first, each a message of its own, then their media
(OpenAI takes text alone from tools, vLLM too: vllm#43203), then what else the user said. A client of this dialect puts
media where it knows that its server takes them. Thoughts go out only to whom they are from, or as plain text to servers
that want it.

Sources: https://platform.openai.com/docs/api-reference/chat/create, and those named in `quirks.py` and `thoughts.py`
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.conversation import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    RedactedThinking,
    Refusal,
    Request,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.dialects.dialect import Target
from gateway.dialects.losses import OTHERS_THOUGHTS, Losses
from gateway.dialects.media import text_of
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT, quirks
from gateway.dialects.openai_chat.content_writer import Placed, Wants, write_cache, write_content, write_part
from gateway.dialects.openai_chat.models import MAX_ID
from gateway.dialects.openai_chat.thoughts import plain_text, write_extra, write_thoughts
from gateway.quick import dataclass

_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")
_SYSTEM = ("system", "developer")


@dataclass(frozen=True, slots=True)
class MessageWriter:
    """`names`: the names that tools have for the provider, by those they have for the client. `native`: the client
    speaks this dialect."""

    target: Target
    wants: Wants
    names: Mapping[str, str]
    losses: Losses
    native: bool = False

    def write(self, request: Request) -> list[Json]:
        messages: list[Json] = []
        for place, message in enumerate(request.messages):
            placed = [(f"messages.{place}.parts.{number}", part) for number, part in enumerate(message.parts)]
            if message.role == "assistant":
                written = [self._assistant(placed)]
            elif message.role == "user":
                written = self._user(placed)
            else:
                written = [self._system(message, placed)]
            if message.name and written:
                written[-1] = {"role": written[-1].pop("role"), "name": message.name, **written[-1]}
            messages += written
        return self._hoisted(messages) if quirks.SYSTEM_FIRST in self.wants else messages

    def _system(self, message: Message, parts: Iterable[Placed]) -> Json:
        role = "system" if quirks.NO_DEVELOPER_ROLE in self.wants else message.role
        return {"role": role, "content": write_content(parts, self.wants, self.losses)}

    def _hoisted(self, messages: list[Json]) -> list[Json]:
        """System messages as one, before all others."""
        said = [message for message in messages if message["role"] in _SYSTEM]
        if not said:
            return messages
        if any(message["role"] in _SYSTEM for message in messages[len(said) :]):
            self.losses.hint(
                "messages", "system_position", "the provider takes system messages at the beginning alone."
            )
        contents = [message["content"] for message in said]
        if all(isinstance(content, str) for content in contents):
            whole: str | list[Json] = "\n".join(contents)
        else:
            whole = [part for content in contents for part in _as_parts(content)]
        return [{**said[0], "content": whole}, *(each for each in messages if each["role"] not in _SYSTEM)]

    # --- the user's turn ---------------------------------------------------------------------------------------------

    def _user(self, parts: Sequence[Placed]) -> list[Json]:
        messages: list[Json] = []
        media: list[Json] = []
        for path, part in parts:
            if isinstance(part, ToolResult):
                messages.append(self._result(path, part, media))
        rest = [(path, part) for path, part in parts if not isinstance(part, ToolResult)]
        if media:
            media += [item for path, part in rest for item in write_part(path, part, self.wants, self.losses)]
            messages.append({"role": "user", "content": media})
        elif rest or not messages:
            messages.append({"role": "user", "content": write_content(rest, self.wants, self.losses)})
        return messages

    def _result(self, path: str, result: ToolResult, media: list[Json]) -> Json:
        if result.is_error:
            self.losses.hint(f"{path}.is_error", "tool_error", "a result cannot be marked as an error.")
        inside = [(f"{path}.parts.{number}", part) for number, part in enumerate(result.parts)]
        inside, moved = (inside, []) if self.native else _apart(inside)
        if moved:
            media.append({"type": "text", "text": f"Attachments of the tool's result {self._id(result.call_id)}:"})
            media += [item for here, part in moved for item in write_part(here, part, self.wants, self.losses)]
        content = write_content(inside, self.wants, self.losses)
        cache = write_cache(path, result, self.wants, self.losses)
        return {"role": "tool", "tool_call_id": self._id(result.call_id), "content": content, **cache}

    # --- the assistant's turn ----------------------------------------------------------------------------------------

    def _assistant(self, parts: Sequence[Placed]) -> Json:
        calls = [(path, part) for path, part in parts if isinstance(part, ToolCall)]
        said = list(self._said(parts))
        content = write_content(said, self.wants, self.losses, joint="")
        message: Json = {"role": "assistant", "content": content or (None if calls else "")}
        message |= self._thoughts(parts, bool(calls))
        refusal = "".join(part.text for _, part in parts if isinstance(part, Refusal))
        if refusal and quirks.NO_OPENAI_FIELDS not in self.wants:
            message["refusal"] = refusal
            message["content"] = content or None
        if calls:
            message["tool_calls"] = [self._call(path, call) for path, call in calls]
        for path, part in parts:
            if isinstance(part, Image):
                self._add_image(message, path, part)
            elif isinstance(part, Opaque) and part.dialect == DIALECT and "type" not in part.value:
                message |= part.value
        return message

    def _said(self, parts: Iterable[Placed]) -> Iterable[Placed]:
        """What stands in the content: text, and parts of the dialect's own."""
        for path, part in parts:
            if isinstance(part, Refusal):
                if quirks.NO_OPENAI_FIELDS in self.wants:
                    yield path, Text(part.text)
            elif isinstance(part, Thinking) and quirks.THINKING_PARTS in self.wants:
                if part.text and self._may_go(part.signature):
                    thinking = [{"type": "text", "text": part.text}]
                    yield path, Opaque(DIALECT, {"type": "thinking", "thinking": thinking})
            elif isinstance(part, Opaque) and part.dialect == DIALECT and "type" not in part.value:
                pass
            elif not isinstance(part, ToolCall | Thinking | RedactedThinking | Image):
                yield path, part

    def _thoughts(self, parts: Sequence[Placed], calls: bool) -> Json:
        """Signed thoughts to whom they are from; plain ones to servers that want them; a loss otherwise."""
        thoughts = [(path, part) for path, part in parts if isinstance(part, Thinking | RedactedThinking)]
        fields = write_thoughts((part for _, part in thoughts), self._show)
        text = plain_text(part for _, part in thoughts if self._may_go(part.signature))
        plain = quirks.THINKING_PARTS in self.wants  # see _said
        if quirks.REASONING_CONTENT_BACK in self.wants:
            plain = True
            if text or calls:
                fields["reasoning_content"] = text
        elif quirks.REASONING_BACK in self.wants and text and not fields:
            plain, fields["reasoning"] = True, text
        for path, part in thoughts:
            said = plain and isinstance(part, Thinking) and self._may_go(part.signature)
            if not said and (part.signature is None or not self._show(part.signature)):
                self.losses.hint(path, "thinking", OTHERS_THOUGHTS)
        return fields

    def _may_go(self, signature: Signature | None) -> bool:
        """Also where a seal says only that nobody has signed."""
        return signature is None or not signature.data or signature.is_for(DIALECT, self.target.provider)

    def _show(self, signature: Signature) -> str:
        return signature.data if self._may_go(signature) else ""

    def _call(self, path: str, call: ToolCall) -> Json:
        name = self.names.get(call.name, call.name)
        written: Json = {"id": self._id(call.id), "type": "function"}
        if not call.custom:
            written["function"] = {"name": name, "arguments": call.arguments}
        elif quirks.NO_CUSTOM_TOOLS in self.wants:
            written["function"] = {"name": name, "arguments": jsonlib.dumps(custom_tools.wrap(call.arguments)).decode()}
        else:
            written |= {"type": "custom", "custom": {"name": name, "input": call.arguments}}
        if call.signature is not None and (data := self._show(call.signature)):
            written["extra_content"] = write_extra(data)
        return written | write_cache(path, call, self.wants, self.losses)

    def _add_image(self, message: Json, path: str, image: Image) -> None:
        if quirks.MESSAGE_IMAGES not in self.wants:
            self.losses.content(path, "assistant_image", "an assistant's message cannot hold an image.")
            return
        message.setdefault("images", []).extend(write_part(path, image, self.wants, self.losses))

    def _id(self, call_id: str) -> str:
        """An id as the server takes it, the same one for a call and its result."""
        if quirks.SHORT_IDS in self.wants and not _SHORT_ID.fullmatch(call_id):
            return hashlib.blake2b(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:9]
        if self.wants.traits.openai and len(call_id) > MAX_ID:
            return f"call_{hashlib.blake2b(call_id.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
        return call_id


def _apart(parts: Iterable[Placed]) -> tuple[list[Placed], list[Placed]]:
    """What a tool may say in text, and the media that it may not."""
    texts: list[Placed] = []
    media: list[Placed] = []
    for path, part in parts:
        plain = not isinstance(part, Image | Audio | Document)
        if isinstance(part, Document):
            plain = text_of(part.source) is not None
        (texts if plain else media).append((path, part))
    return texts, media


def _as_parts(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
