"""Messages as the items of a request's `input`.

Each message is an item of type `message`, without ids; calls, results and thoughts are items of their own, in the
order of the parts. A Signature goes out only to who made it. Thoughts that this provider cannot verify are left out,
but where its server wants them back as text.

Source: https://platform.openai.com/docs/api-reference/responses/create (input)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from gateway.dialects.conversation import (
    Audio,
    Cache,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.dialects.dialect import Target
from gateway.dialects.losses import OTHERS_FILE, OTHERS_PART, OTHERS_THOUGHTS, Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_chat.models import traits_of
from gateway.dialects.openai_chat.quirks import REASONING_CONTENT_BACK
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.content import is_content, write_audio, write_document, write_image, write_text
from gateway.dialects.openai_responses.tools import Namespaces

MAX_CALL_ID = 64
"""Characters that OpenAI takes: "string too long. Expected a string with maximum length 64"."""


class ItemWriter:
    """Writes one request's messages; `items` grows."""

    def __init__(self, request: Request, target: Target, rename: Callable[[str], str], losses: Losses) -> None:
        self.items: list[Json] = []
        self._provider = target.provider
        self._thoughts_back = REASONING_CONTENT_BACK in target.quirks
        self._breakpoints = traits_of(target.model).breakpoints or request.dialect == DIALECT
        self._namespaces = Namespaces.of(request)
        self._rename = rename
        self._losses = losses
        self._custom = {
            part.id
            for message in request.messages
            for part in message.parts
            if isinstance(part, ToolCall) and part.custom
        }

    def write(self, message: Message, path: str) -> None:
        if message.name:
            self._losses.hint(f"{path}.name", "message_name", "the Responses API has no names of participants.")
        content: list[Json] = []
        for number, part in enumerate(message.parts):
            here = f"{path}.parts.{number}"
            item = self._item(part, message, here)
            if item is not None:
                self._message(message, content)
                content = []
                self.items.append(item)
            elif not isinstance(part, Thinking | RedactedThinking):
                content += self._content(part, here, output=message.role == "assistant")
        self._message(message, content)

    def _message(self, message: Message, content: list[Json]) -> None:
        if content:
            self.items.append({"type": "message", "role": message.role, "content": content})

    def _item(self, part: Part, message: Message, path: str) -> Json | None:
        """The item that a part is by itself; None for content, and for thoughts that are left out."""
        match part:
            case ToolCall():
                return self._call(part, path)
            case ToolResult():
                return self._result(part, path)
            case Thinking() | RedactedThinking():
                return self._reasoning(part, path)
            case Image(source) if message.role == "assistant" and source.kind == "base64":
                return write_generated_image(part, f"ig_{_digest(source.value)}")
            case Opaque(dialect, value) if dialect == DIALECT and not is_content(value):
                return value
            case _:
                return None

    def _call(self, part: ToolCall, path: str) -> Json:
        self._note_cache(part.cache, path)
        namespace, name = self._namespaces.split(part.name)
        kind, field = ("custom_tool_call", "input") if part.custom else ("function_call", "arguments")
        named = {"name": name, "namespace": namespace} if namespace else {"name": self._rename(part.name)}
        return {"type": kind, "call_id": _call_id(part.id), **named, field: part.arguments}

    def _result(self, part: ToolResult, path: str) -> Json:
        self._note_cache(part.cache, path)
        if part.is_error:
            self._losses.hint(f"{path}.is_error", "tool_error", "only the text of a result says that it is an error.")
        output: str | list[Json]
        match part.parts:
            case ():
                output = ""
            case (Text(text, cache=None),):
                output = text
            case _:
                output = [
                    content
                    for number, each in enumerate(part.parts)
                    for content in self._content(each, f"{path}.parts.{number}", output=False)
                ]
        custom = part.custom or part.call_id in self._custom
        kind = "custom_tool_call_output" if custom else "function_call_output"
        return {"type": kind, "call_id": _call_id(part.call_id), "output": output}

    def _reasoning(self, part: Thinking | RedactedThinking, path: str) -> Json | None:
        text = part.text if isinstance(part, Thinking) else ""
        if part.signature is not None and part.signature.is_for(DIALECT, self._provider):
            summary = [{"type": "summary_text", "text": text}] if text else []
            return {"type": "reasoning", "summary": summary, "encrypted_content": part.signature.data}
        if text and self._thoughts_back:
            return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}
        self._losses.hint(path, "thinking", OTHERS_THOUGHTS)
        return None

    def _content(self, part: Part, path: str, *, output: bool) -> list[Json]:
        """The content that a part is, none if it cannot be said."""
        written: Json | None = None
        match part:
            case Text():
                written = write_text(part, output=output, breakpoints=self._breakpoints)
                if output or not self._breakpoints:
                    self._note_cache(part.cache, path)
                self._note_citations(part, path, output)
            case Refusal(text):
                written = {"type": "refusal", "refusal": text}
            case Image() if not output:
                written = write_image(part, self._breakpoints)
            case Document() if not output:
                written = write_document(part, self._breakpoints)
                self._note_document(part, path)
            case Audio() if not output:
                written = write_audio(part)
            case Opaque(dialect, value) if dialect == DIALECT and is_content(value):
                written = value
            case _:
                pass
        if written is None:
            kind = type(part).__name__.lower()
            role = "an assistant's message" if output else "a message"
            why = f"the Responses API has no place for it in {role}."
            if isinstance(part, Opaque):
                why = OTHERS_PART
            elif isinstance(part, Image | Document) and part.source.kind == "file":
                why = OTHERS_FILE
            self._losses.content(path, f"{kind}_part", why)
            return []
        if isinstance(part, Image | Document) and not self._breakpoints:
            self._note_cache(part.cache, path)
        return [written]

    def _note_citations(self, part: Text, path: str, output: bool) -> None:
        if any(not (output and citation.url) for citation in part.citations):
            self._losses.hint(f"{path}.citations", "citations", "only citations of addresses can be passed on.")

    def _note_document(self, part: Document, path: str) -> None:
        if part.context:
            self._losses.hint(f"{path}.context", "document_context", "the Responses API has none for files.")
        if part.citations:
            self._losses.hint(f"{path}.citations", "document_citations", "the Responses API does not cite files.")

    def _note_cache(self, cache: Cache | None, path: str) -> None:
        if cache is not None:
            self._losses.hint(f"{path}.cache", "cache_control", "this model caches prompts on its own.")


def write_generated_image(part: Image, item_id: str) -> Json:
    """An image that a model made and whose data is at hand, as the item of OpenAI's tool for it."""
    kind = part.source.media_type.removeprefix("image/")
    return {
        "type": "image_generation_call",
        "id": item_id,
        "status": "completed",
        "result": part.source.value,
        **({"output_format": kind} if kind else {}),
    }


def _call_id(call_id: str) -> str:
    """Ids only join calls and results within the request, so that a longer one may be any other."""
    return call_id if len(call_id) <= MAX_CALL_ID else f"call_{_digest(call_id)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:48]
