"""Content of messages and of tools' results: `input_text`, `output_text`, `refusal`, `input_image`, `input_file`,
`input_audio`.

Reading and writing stand side by side, one pair a kind. What only this API knows becomes Opaque; it is told from an
Opaque item by its type (`is_content`). Marks that the prompt be cached (`prompt_cache_breakpoint`, 30 minutes unless
said otherwise) are neutral `Cache` marks; twelve hours are read as the longest that others know.

Source: https://platform.openai.com/docs/api-reference/responses/create (input), the SDK's
`types/responses/response_input_content_param.py`
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from gateway.dialects import reading
from gateway.dialects.conversation import Audio, Cache, Citation, Document, Image, Opaque, Part, Refusal, Source, Text
from gateway.dialects.losses import Losses
from gateway.dialects.media import audio_format, audio_type, read_data, read_url, write_url
from gateway.dialects.names import Json
from gateway.dialects.openai_responses import DIALECT

FILE_DIALECTS = frozenset({DIALECT, "openai_chat"})
"""Both of OpenAI's APIs know the same uploaded files."""

_SILENT = frozenset({"type", "id", "status", "logprobs", "parsed", "parsed_arguments", "created_by"})
"""What clients send back with an answer's items and no model reads."""


def note_unknown(obj: Json, known: frozenset[str], path: str, name: str, losses: Losses) -> None:
    """Fields of something that is read which have no place in the neutral form."""
    for field in obj.keys() - known - _SILENT:
        if obj[field] is not None:
            losses.hint(reading.join(path, field), name, "no other provider's API has such a field.")


def is_content(value: Json) -> bool:
    """Whether an Opaque value is content of a message; otherwise it is an item beside messages."""
    kind = value.get("type")
    return isinstance(kind, str) and kind.startswith(("input_", "output_", "computer_screenshot"))


# --- reading ---------------------------------------------------------------------------------------------------------


def read_content(obj: Json, name: str, path: str, losses: Losses) -> tuple[Part, ...]:
    """The parts of a text or of an array of content. Raises RequestError."""
    value = obj.get(name)
    if isinstance(value, str):
        return (Text(value, where=reading.join(path, name)),)
    return tuple(_read_part(part, here, losses) for here, part in reading.objects(obj, name, path))


def _read_part(part: Json, path: str, losses: Losses) -> Part:
    kind = reading.required_text(part, "type", path)
    reader = _READERS.get(kind)
    if reader is not None:
        return replace(reader(part, path, losses), where=path)
    if not is_content(part):
        reading.refuse(reading.join(path, "type"), "is no type of content.")
    return Opaque(DIALECT, part, where=path)


_TEXT_FIELDS = frozenset({"text", "annotations", "prompt_cache_breakpoint"})


def _read_text(part: Json, path: str, losses: Losses) -> Part:
    note_unknown(part, _TEXT_FIELDS, path, "content_field", losses)
    citations = []
    for here, annotation in reading.objects(part, "annotations", path):
        if annotation.get("type") == "url_citation":
            citations.append(read_citation(annotation))
        else:
            losses.hint(here, "annotation", "only citations of addresses can be passed on.")
    return Text(reading.required_text(part, "text", path), _read_cache(part, path, losses), tuple(citations))


def read_citation(annotation: Json) -> Citation:
    """A `url_citation`. Never raises: what is not of the right type is not said."""

    def text(name: str) -> str:
        value = annotation.get(name)
        return value if isinstance(value, str) else ""

    def place(name: str) -> int | None:
        value = annotation.get(name)
        return value if type(value) is int else None

    return Citation(text("url"), text("title"), start=place("start_index"), end=place("end_index"))


def _read_refusal(part: Json, path: str, losses: Losses) -> Part:
    note_unknown(part, frozenset({"refusal"}), path, "content_field", losses)
    return Refusal(reading.required_text(part, "refusal", path))


_IMAGE_FIELDS = frozenset({"image_url", "file_id", "detail", "prompt_cache_breakpoint"})


def _read_image(part: Json, path: str, losses: Losses) -> Part:
    note_unknown(part, _IMAGE_FIELDS, path, "content_field", losses)
    file_id = reading.text(part, "file_id", path)
    if file_id:
        source = Source("file", file_id, dialect=DIALECT)
    else:
        source = read_url(reading.required_text(part, "image_url", path))
    return Image(source, reading.text(part, "detail", path), _read_cache(part, path, losses))


_FILE_FIELDS = frozenset({"file_data", "file_url", "file_id", "filename", "prompt_cache_breakpoint"})


def _read_file(part: Json, path: str, losses: Losses) -> Part:
    note_unknown(part, _FILE_FIELDS, path, "content_field", losses)
    file_id, file_url = reading.text(part, "file_id", path), reading.text(part, "file_url", path)
    if file_id:
        source = Source("file", file_id, dialect=DIALECT)
    elif file_url:
        source = Source("url", file_url)
    else:
        source = read_data(reading.required_text(part, "file_data", path))
    return Document(source, reading.text(part, "filename", path), cache=_read_cache(part, path, losses))


def _read_audio(part: Json, path: str, losses: Losses) -> Part:
    audio = reading.mapping(part, "input_audio", path) or {}
    here = reading.join(path, "input_audio")
    data = reading.required_text(audio, "data", here)
    return Audio(Source("base64", data, audio_type(reading.required_text(audio, "format", here))))


_READERS = {
    "input_text": _read_text,
    "output_text": _read_text,
    "text": _read_text,  # as Chat Completions has it; OpenAI takes it, too
    "refusal": _read_refusal,
    "input_image": _read_image,
    "input_file": _read_file,
    "input_audio": _read_audio,
}


def _read_cache(part: Json, path: str, losses: Losses) -> Cache | None:
    mark = reading.mapping(part, "prompt_cache_breakpoint", path)
    if mark is None:
        return None
    if reading.text(mark, "ttl", reading.join(path, "prompt_cache_breakpoint")) == "12h":
        losses.hint(reading.join(path, "prompt_cache_breakpoint.ttl"), "cache_ttl", "an hour is the longest elsewhere.")
        return Cache("1h")
    return Cache()


# --- writing ---------------------------------------------------------------------------------------------------------


def write_text(part: Text, *, output: bool, breakpoints: bool) -> Json:
    """A text of a client's message, or of the model's with `output`. `breakpoints`: whether the model takes marks for
    its cache; who calls notes those that are lost."""
    if not output:
        return {"type": "input_text", "text": part.text, **_write_cache(part.cache, breakpoints)}
    annotations = [write_citation(citation, len(part.text)) for citation in part.citations if citation.url]
    return {"type": "output_text", "text": part.text, **({"annotations": annotations} if annotations else {})}


def write_citation(citation: Citation, characters: int) -> Json:
    """A `url_citation` in a text of so many characters. One that does not say which ones it is for, is for all."""
    return {
        "type": "url_citation",
        "start_index": 0 if citation.start is None else citation.start,
        "end_index": characters if citation.end is None else citation.end,
        "url": citation.url,
        "title": citation.title,
    }


def write_image(part: Image, breakpoints: bool) -> Json | None:
    """None where the image is a file of another provider."""
    content: Json = {"type": "input_image"}
    source = part.source
    if source.kind == "file":
        if source.dialect not in FILE_DIALECTS:
            return None
        content["file_id"] = source.value
    else:
        content["image_url"] = write_url(source, "image/png")
    if part.detail:
        content["detail"] = part.detail
    return {**content, **_write_cache(part.cache, breakpoints)}


def write_document(part: Document, breakpoints: bool) -> Json | None:
    """None where the document is a file of another provider.

    A text goes as a file, too, so that it keeps its name. OpenAI wants a name with an ending for data in the body.
    """
    content: Json = {"type": "input_file"}
    source = part.source
    if source.kind == "file":
        if source.dialect not in FILE_DIALECTS:
            return None
        content["file_id"] = source.value
    elif source.kind == "url":
        content["file_url"] = source.value
    else:
        if source.kind == "text":
            data = base64.b64encode(source.value.encode("utf-8", "replace")).decode()
            source = Source("base64", data, source.media_type or "text/plain")
        content["file_data"] = write_url(source, "") if source.media_type else source.value
    name = _file_name(part.name, source) if source.kind == "base64" else part.name
    if name:
        content["filename"] = name
    return {**content, **_write_cache(part.cache, breakpoints)}


def write_audio(part: Audio) -> Json | None:
    """None where the audio is not in the body."""
    if part.source.kind != "base64":
        return None
    audio = {"data": part.source.value, "format": audio_format(part.source.media_type)}
    return {"type": "input_audio", "input_audio": audio}


_ENDINGS = {"application/pdf": ".pdf", "text/plain": ".txt", "text/markdown": ".md", "text/html": ".html"}


def _file_name(name: str, source: Source) -> str:
    if "." in name or not source.media_type:
        return name
    return (name or "document") + _ENDINGS.get(source.media_type.partition(";")[0], "")


def _write_cache(cache: Cache | None, breakpoints: bool) -> dict[str, Any]:
    if cache is None or not breakpoints:
        return {}
    return {"prompt_cache_breakpoint": {"mode": "explicit", **({"ttl": "12h"} if cache.ttl == "1h" else {})}}
