"""The content of a message for a provider: one text where that says it all, otherwise parts.

What the dialect has no part for is a loss of content: media by names that another provider gave, an image of the
assistant, audio by its address. A document that is a text becomes one.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.dialects.conversation import Audio, Cache, Document, Image, Opaque, Part, Refusal, Source, Text
from gateway.dialects.losses import OTHERS_FILE, OTHERS_PART, Losses
from gateway.dialects.media import audio_format, text_of, write_url
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT, quirks
from gateway.dialects.openai_chat.models import Traits
from gateway.quick import dataclass

Placed = tuple[str, Part]
"""A part and its path in the neutral request."""

_FILES = (DIALECT, "openai_responses")
"""Dialects whose names of files are those of OpenAI's Files API."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What the server and the model that are written for want."""

    quirks: frozenset[str]
    traits: Traits

    def __contains__(self, quirk: str) -> bool:
        return quirk in self.quirks


def write_content(parts: Iterable[Placed], wants: Wants, losses: Losses, joint: str = "\n") -> str | list[Json]:
    """A text if there is nothing but text in one part, or if the server wants it so, then joined by `joint`."""
    written = [item for path, part in parts for item in write_part(path, part, wants, losses)]
    only_text = all(item.keys() == {"type", "text"} and item["type"] == "text" for item in written)
    if not written or (only_text and (len(written) == 1 or quirks.STRING_CONTENT in wants)):
        return joint.join(item["text"] for item in written)
    return written


def write_part(path: str, part: Part, wants: Wants, losses: Losses) -> Iterator[Json]:
    """One part of a content, with what surrounds it; nothing where it is lost."""
    written: Json | None
    match part:
        case Text():
            if part.citations:
                losses.hint(path, "citations", "it has no place for what an earlier answer rests on.")
            written = {"type": "text", "text": part.text}
        case Refusal():
            written = {"type": "refusal", "refusal": part.text}
        case Image():
            written = _image(path, part, losses)
        case Document():
            if part.context:
                yield {"type": "text", "text": part.context}
            written = _document(path, part, wants, losses)
        case Audio():
            written = _audio(path, part.source, losses)
        case Opaque() if part.dialect == DIALECT:
            written = part.value
        case _:
            written = None
            losses.content(path, "opaque_part", OTHERS_PART)
    if written is not None:
        yield {**written, **write_cache(path, part, wants, losses)}


def write_cache(path: str, holder: Any, wants: Wants, losses: Losses) -> Json:
    """The mark for a cache, where the server knows one."""
    cache: Cache | None = getattr(holder, "cache", None)
    if cache is None:
        return {}
    if quirks.CACHE_CONTROL in wants:
        ttl = {"ttl": cache.ttl} if cache.ttl else {}
        return {"cache_control": {"type": "ephemeral", **ttl}}
    if wants.traits.breakpoints and isinstance(holder, Text | Image | Document):
        if cache.ttl:
            losses.hint(f"{path}.cache.ttl", "cache_ttl", "the provider keeps its cache for other times.")
        return {"prompt_cache_breakpoint": {"mode": "explicit"}}
    losses.hint(f"{path}.cache", "cache_control", "the provider caches by itself or not at all.")
    return {}


def _image(path: str, image: Image, losses: Losses) -> Json | None:
    if image.source.kind not in ("base64", "url"):
        _note_file(path, losses)
        return None
    detail = {"detail": image.detail} if image.detail else {}
    return {"type": "image_url", "image_url": {"url": write_url(image.source, "image/jpeg"), **detail}}


def _document(path: str, document: Document, wants: Wants, losses: Losses) -> Json | None:
    source, name = document.source, document.name
    if document.citations:
        losses.hint(f"{path}.citations", "document_citations", "the provider cannot be asked to cite.")
    text = text_of(source)
    if text is not None:
        return {"type": "text", "text": f"{name}\n\n{text}" if name else text}
    if source.kind == "file":
        if source.dialect not in _FILES:
            _note_file(path, losses)
            return None
        return {"type": "file", "file": {"file_id": source.value, **({"filename": name} if name else {})}}
    if quirks.DOCUMENT_URL in wants:
        named = {"document_name": name} if name else {}
        return {"type": "document_url", "document_url": write_url(source, "application/pdf"), **named}
    if source.kind == "url" and quirks.FILE_URL not in wants:
        losses.content(path, "document_url", "the provider takes documents by their data alone; send the data itself.")
        return None
    data = write_url(source, "application/pdf")
    return {"type": "file", "file": {"filename": name or "document.pdf", "file_data": data}}


def _audio(path: str, source: Source, losses: Losses) -> Json | None:
    if source.kind != "base64":
        losses.content(path, "audio_url", "the provider takes audio by its data alone; send the data itself.")
        return None
    audio = {"data": source.value, "format": audio_format(source.media_type) or "wav"}
    return {"type": "input_audio", "input_audio": audio}


def _note_file(path: str, losses: Losses) -> None:
    losses.content(path, "file", OTHERS_FILE)
