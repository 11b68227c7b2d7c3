"""The content of a client's message: a text, or parts.

Understood are OpenAI's parts (text, image_url, input_audio, file, refusal), Mistral's (document_url, thinking) and the
marks for caches that OpenAI, OpenRouter and LiteLLM put on them. A part of another type stays `Opaque`.

Sources: https://platform.openai.com/docs/api-reference/chat/create, https://docs.mistral.ai/api/
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from gateway.dialects import reading
from gateway.dialects.continuity import read_signature
from gateway.dialects.conversation import (
    Audio,
    Cache,
    Document,
    Image,
    Opaque,
    Part,
    Refusal,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.dialects.losses import Losses
from gateway.dialects.media import audio_type, read_data, read_url
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT

_MARKS = ("cache_control", "prompt_cache_breakpoint")


def read_content(message: Json, path: str, losses: Losses) -> tuple[Part, ...]:
    """The parts of `message.content`; none if it is missing or empty. Raises RequestError."""
    content = message.get("content")
    if content is None or content == "":
        return ()
    if isinstance(content, str):
        return (Text(content, where=reading.join(path, "content")),)
    if not isinstance(content, list):
        reading.refuse(reading.join(path, "content"), "must be a string or an array of parts.")
    return tuple(_read_part(part, here, losses) for here, part in reading.objects(message, "content", path))


def read_cache(obj: Json, path: str, losses: Losses) -> Cache | None:
    """The mark for a cache, Anthropic's or OpenAI's."""
    mark = reading.mapping(obj, "cache_control", path)
    if mark is not None:
        return Cache(reading.text(mark, "ttl", reading.join(path, "cache_control")))
    mark = reading.mapping(obj, "prompt_cache_breakpoint", path)
    if mark is None:
        return None
    if mark.get("ttl") is not None:
        losses.hint(f"{path}.prompt_cache_breakpoint.ttl", "cache_ttl", "only the provider that has it knows it.")
    return Cache()


def mark_last(parts: tuple[Part, ...], cache: Cache | None) -> tuple[Part, ...]:
    """A mark on a whole message is one on its last part (OpenRouter)."""
    if cache is None or not parts or not isinstance(parts[-1], Text | Image | Document | ToolCall | ToolResult):
        return parts
    return (*parts[:-1], replace(parts[-1], cache=cache))


def note_unknown(obj: Json, known: Collection[str], path: str, losses: Losses) -> None:
    """What says something inside a thing that is known otherwise, and has no place."""
    for name, value in obj.items():
        if name not in known and value not in (None, False, "", [], {}):
            losses.hint(reading.join(path, name), "unknown_field", "no other provider's API has such a field.")


def _read_part(part: Json, path: str, losses: Losses) -> Part:
    kind = reading.required_text(part, "type", path)
    known = _READERS.get(kind)
    if known is None:
        return Opaque(DIALECT, part, where=path)
    read, fields = known
    note_unknown(part, ("type", *_MARKS, *fields), path, losses)
    value = replace(read(part, path), where=path)
    return mark_last((value,), read_cache(part, path, losses))[0]


def _text(part: Json, path: str) -> Part:
    return Text(reading.required_text(part, "text", path))


def _refusal(part: Json, path: str) -> Part:
    return Refusal(reading.required_text(part, "refusal", path))


def _image(part: Json, path: str) -> Part:
    """`image_url` is an object, with Mistral a text, too. PDFs are put here in the wild."""
    image, here = _object_or_text(part, "image_url", "url", path)
    source = read_url(reading.required_text(image, "url", here))
    if source.media_type == "application/pdf":
        return Document(source)
    return Image(source, reading.text(image, "detail", here))


def _audio(part: Json, path: str) -> Part:
    audio, here = _object_or_text(part, "input_audio", "data", path)
    data, kind = reading.required_text(audio, "data", here), reading.text(audio, "format", here)
    return Audio(read_data(data, audio_type(kind)))


def _file(part: Json, path: str) -> Part:
    file, here = reading.mapping(part, "file", path) or {}, reading.join(path, "file")
    name, file_id = reading.text(file, "filename", here), reading.text(file, "file_id", here)
    if file_id:
        return Document(Source("file", file_id, dialect=DIALECT), name)
    return Document(read_data(reading.required_text(file, "file_data", here)), name)


def _document(part: Json, path: str) -> Part:
    document, here = _object_or_text(part, "document_url", "url", path)
    return Document(read_url(reading.required_text(document, "url", here)), reading.text(part, "document_name", path))


def _thinking(part: Json, path: str) -> Part:
    """Mistral's thoughts are parts themselves; as a text they are Anthropic's."""
    thinking, signature = part.get("thinking"), reading.text(part, "signature", path)
    if isinstance(thinking, list):
        pieces = [reading.text(piece, "text", here) for here, piece in reading.objects(part, "thinking", path)]
        thinking = "".join(pieces)
    elif not isinstance(thinking, str):
        reading.refuse(reading.join(path, "thinking"), "must be a string or an array of parts.")
    return Thinking(thinking, read_signature(signature, DIALECT) if signature else None)


def _object_or_text(part: Json, name: str, inner: str, path: str) -> tuple[Json, str]:
    """The object under a name and its path; a text stands for the object with that text under `inner`."""
    value: Any = part.get(name)
    if isinstance(value, str):
        return {inner: value}, path
    return reading.mapping(part, name, path) or {}, reading.join(path, name)


_READERS: dict[str, tuple[Callable[[Json, str], Part], tuple[str, ...]]] = {
    "text": (_text, ("text",)),
    "refusal": (_refusal, ("refusal",)),
    "image_url": (_image, ("image_url",)),
    "input_audio": (_audio, ("input_audio",)),
    "file": (_file, ("file",)),
    "document_url": (_document, ("document_url", "document_name")),
    "thinking": (_thinking, ("thinking", "signature", "closed")),
}
"""By the type of a part: who reads it, and its fields."""
