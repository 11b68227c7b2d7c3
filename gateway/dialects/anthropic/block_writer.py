"""Parts of a request as content blocks.

What Anthropic refuses is left out and noted: blank texts, media that it does not take, thoughts that it has not signed.
A signature goes back to the provider that made it and to nobody else.
Source: https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/build-with-claude/vision
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.anthropic.block_reader import DIALECT
from gateway.dialects.conversation import (
    Audio,
    Cache,
    Document,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.dialects.losses import OTHERS_FILE, OTHERS_PART, OTHERS_THOUGHTS, Losses
from gateway.dialects.media import decoded, sniff
from gateway.dialects.names import LEAST_SIGNATURE, Json

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})

_TEXTS = re.compile(r"text/|application/(json|xml|yaml|x-yaml|toml|javascript)$|.*\+(json|xml)$")

_NOT_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")


class BlockWriter:
    """Blocks for one request. `names` are the tools that are called otherwise here. `native`: the client speaks this
    dialect and knows what it may say; `signed`: the model takes no thoughts but those that Claude has signed."""

    __slots__ = ("_ids", "_losses", "_names", "_native", "_provider", "_signed")

    def __init__(
        self, provider: str, names: Mapping[str, str], losses: Losses, *, native: bool = False, signed: bool = True
    ) -> None:
        self._provider = provider
        self._names = names
        self._losses = losses
        self._native = native
        self._signed = signed
        self._ids: dict[str, str] = {}

    def blocks(self, parts: Iterable[Part], path: str, role: str) -> list[Json]:
        """The blocks of a message, a system prompt or a tool's result; parts that are lost leave none. Raises
        RequestError for a call whose arguments are no object."""
        written: list[Json] = []
        for place, part in enumerate(parts):
            block = self._block(part, f"{path}.parts.{place}", role)
            if block is not None:
                written.append(block)
        return written

    def _block(self, part: Part, path: str, role: str) -> Json | None:
        match part:
            case Text():
                return self._text(part, path)
            case Refusal(text):
                return {"type": "text", "text": text} if text.strip() else None
            case Image():
                return self._image(part, path, role)
            case Document():
                return self._document(part, path, role)
            case Audio():
                return self._lost(path, "audio", "Claude does not hear.")
            case ToolCall():
                return self._call(part, path)
            case ToolResult():
                return self._result(part, path)
            case Thinking():
                return self._thinking(part, path)
            case RedactedThinking(signature):
                if signature.is_for(DIALECT, self._provider):
                    return {"type": "redacted_thinking", "data": signature.data}
                self._losses.hint(path, "thinking", OTHERS_THOUGHTS)
                return None
            case Opaque():
                if part.dialect == DIALECT:
                    return part.value
                return self._lost(path, "opaque_part", OTHERS_PART)

    def _lost(self, path: str, name: str, why: str) -> Json | None:
        self._losses.content(path, name, why)
        return None

    def _text(self, part: Text, path: str) -> Json | None:
        if not part.text.strip():
            if part.text:
                self._losses.hint(path, "blank_text", "Claude refuses a text that is only white space.")
            return None
        if part.citations:
            self._losses.hint(path, "citations", "it has no place for what an earlier answer rests on.")
        return {"type": "text", "text": part.text, **_cache(part.cache)}

    def _image(self, part: Image, path: str, role: str) -> Json | None:
        if role == "assistant" and not self._native:
            return self._lost(path, "assistant_image", "Claude takes images from the user alone.")
        if part.detail not in ("", "auto"):
            self._losses.hint(f"{path}.detail", "image_detail", "Claude has one way to look at an image.")
        source = self._source(part.source, path, _IMAGES)
        return None if source is None else {"type": "image", "source": source, **_cache(part.cache)}

    def _document(self, part: Document, path: str, role: str) -> Json | None:
        if role == "assistant" and not self._native:
            return self._lost(path, "assistant_document", "Claude takes documents from the user alone.")
        source = self._source(part.source, path, frozenset({"application/pdf"}))
        if source is None:
            return None
        block: Json = {"type": "document", "source": source}
        if part.name:
            block["title"] = part.name
        if part.context:
            block["context"] = part.context
        if part.citations is not None:
            block["citations"] = {"enabled": part.citations}
        return {**block, **_cache(part.cache)}

    def _source(self, source: Source, path: str, taken: frozenset[str]) -> Json | None:
        """Where the bytes are, or None where Anthropic cannot get at them."""
        match source.kind:
            case "text":
                media_type = source.media_type if self._native and source.media_type else "text/plain"
                return {"type": "text", "media_type": media_type, "data": source.value}
            case "file":
                if source.dialect == DIALECT:
                    return {"type": "file", "file_id": source.value}
                return self._lost(path, "file", OTHERS_FILE)
            case "url":
                if self._native or source.value.startswith(("https://", "http://")):
                    return {"type": "url", "url": source.value}
                return self._lost(path, "media_url", "Claude fetches from http addresses alone; send the data itself.")
        media_type = source.media_type or sniff(source.value)
        if self._native or media_type in taken:
            return {"type": "base64", "media_type": media_type, "data": source.value}
        if taken is not _IMAGES and _TEXTS.match(media_type) and (text := decoded(source.value)) is not None:
            return {"type": "text", "media_type": "text/plain", "data": text}
        return self._lost(path, "media_type", f"Claude does not take {media_type or 'a medium of unknown type'}.")

    def _call(self, part: ToolCall, path: str) -> Json:
        arguments = custom_tools.wrap(part.arguments) if part.custom else _object(part.arguments)
        if arguments is None:
            self._losses.refuse(f"{path}.arguments", "must be the JSON text of an object for this model.")
        return {
            "type": "tool_use",
            "id": self._id(part.id),
            "name": self._names.get(part.name, part.name),
            "input": arguments,
            **_cache(part.cache),
        }

    def _result(self, part: ToolResult, path: str) -> Json:
        block: Json = {
            "type": "tool_result",
            "tool_use_id": self._id(part.call_id),
            "content": self.blocks(part.parts, path, "tool"),
        }
        if part.is_error is not None:
            block["is_error"] = part.is_error
        return {**block, **_cache(part.cache)}

    def _thinking(self, part: Thinking, path: str) -> Json | None:
        if part.signature is not None and is_usable(part.signature, self._provider, signed=self._signed):
            return {"type": "thinking", "thinking": part.text, "signature": part.signature.data}
        if self._native and not self._signed and part.signature is None:
            return {"type": "thinking", "thinking": part.text, "signature": ""}
        self._losses.hint(path, "thinking", "Claude takes back only thoughts that its provider has signed.")
        return None

    def _id(self, call_id: str) -> str:
        """The same id for a call and its result, of the characters that Anthropic takes."""
        if self._native or not (call_id == "" or _NOT_AN_ID.search(call_id)):
            return call_id
        if call_id not in self._ids:
            self._ids[call_id] = f"call{len(self._ids)}_{_NOT_AN_ID.sub('_', call_id)}"
        return self._ids[call_id]


def is_usable(signature: Signature, provider: str, *, signed: bool) -> bool:
    """Whether the signature of thoughts is the provider's, as far as that can be told. `signed`: it is Claude that they
    are for, who refuses those of other servers that speak its dialect."""
    foreign = signed and not signature.provider and len(signature.data) < LEAST_SIGNATURE
    return signature.is_for(DIALECT, provider) and not foreign


def _cache(cache: Cache | None) -> Json:
    return {} if cache is None else {"cache_control": write_cache(cache)}


def write_cache(cache: Cache) -> Json:
    return {"type": "ephemeral", **({"ttl": cache.ttl} if cache.ttl else {})}


def _object(arguments: str) -> Json | None:
    """The object in a call's arguments; no text at all is none."""
    if not arguments.strip():
        return {}
    try:
        value = jsonlib.loads(arguments)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
