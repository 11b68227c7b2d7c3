"""Images, documents and sounds: `inlineData` and `fileData`, both ways.

Google has one form for all of them and tells them apart by their media type. Videos are its own matter: no other
dialect takes them.

Sources: https://ai.google.dev/gemini-api/docs/file-input-methods, https://ai.google.dev/api/caching#Blob
"""

from __future__ import annotations

import base64

from gateway.dialects.conversation import Audio, Document, Image, Source
from gateway.dialects.gemini.models import Traits
from gateway.dialects.gemini.protojson import camel, message
from gateway.dialects.losses import OTHERS_FILE, Losses
from gateway.dialects.media import sniff, text_of
from gateway.dialects.names import Json
from gateway.dialects.reading import required_text, text

Medium = Image | Document | Audio

# Only these are what the other dialects call a document; archives, videos and the like are not.
_DOCUMENTS = ("application/pdf", "application/json", "application/xml", "application/rtf", "application/x-javascript")

_ENDINGS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}

_OWN_FILES = ("https://generativelanguage.googleapis.com/", "gs://", "files/")
_YOUTUBE = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/", "https://m.youtube.com/")

_DETAILS = {"low": "LOW", "high": "HIGH", "original": "ULTRA_HIGH"}
_LEVELS = {f"MEDIA_RESOLUTION_{level}": detail for detail, level in _DETAILS.items()}


def read_medium(part: Json, path: str) -> Medium | None:
    """The medium in a part's `inlineData` or `fileData`; None if only Google has a word for it."""
    if "inlineData" in part:
        blob, path = message(part, "inlineData", path), f"{path}.inlineData"
        data = _standard(required_text(blob, "data", path))
        media_type = text(blob, "mimeType", path).lower() or sniff(data)
        source = Source("base64", data, media_type)
        if (plain := text_of(source)) is not None:
            source = Source("text", plain, media_type)  # a text that is given as a file, as the text that it is
    else:
        blob, path = message(part, "fileData", path), f"{path}.fileData"
        uri = required_text(blob, "fileUri", path)
        media_type = text(blob, "mimeType", path).lower()
        own = uri.startswith(_OWN_FILES)
        source = Source("file" if own else "url", uri, media_type, "gemini" if own else "")
    return _medium(source, text(blob, "displayName", path), part)


def _medium(source: Source, name: str, part: Json) -> Medium | None:
    family = source.media_type.partition("/")[0]
    if family == "image":
        resolution = part.get("mediaResolution")
        level = camel(resolution).get("level") if isinstance(resolution, dict) else None
        return Image(source, detail=_LEVELS.get(level, "") if isinstance(level, str) else "")
    if family == "audio":
        return Audio(source)
    if family == "text" or source.media_type in _DOCUMENTS:
        return Document(source, name=name)
    return None


def _standard(data: str) -> str:
    """Base64 in its standard alphabet and padded: Google's SDK writes the other one, which nobody else reads."""
    standard = data.replace("-", "+").replace("_", "/")
    return standard + "=" * (-len(standard) % 4)


def write_medium(medium: Medium, path: str, traits: Traits, losses: Losses) -> Json | None:
    """The part that shows a medium; None, with a loss of content, if the model cannot be shown it."""
    part = _write_source(medium.source, path, traits, losses)
    if part is None:
        return None
    if isinstance(medium, Image) and medium.detail not in ("", "auto"):
        if traits.media_resolution and medium.detail in _DETAILS:
            part["mediaResolution"] = {"level": f"MEDIA_RESOLUTION_{_DETAILS[medium.detail]}"}
        else:
            losses.hint(f"{path}.detail", "image_detail", "this model has no resolution for single images.")
    if isinstance(medium, Document):
        _note_document(medium, path, losses)
    return part


def _note_document(document: Document, path: str, losses: Losses) -> None:
    for name in ("name", "context", "citations"):
        if getattr(document, name):
            losses.hint(f"{path}.{name}", f"document_{name}", f"documents have no {name} with Gemini.")


def _write_source(source: Source, path: str, traits: Traits, losses: Losses) -> Json | None:
    if source.kind == "text":
        data = base64.b64encode(source.value.encode("utf-8", "surrogatepass")).decode()
        return {"inlineData": {"mimeType": source.media_type or "text/plain", "data": data}}
    if source.kind == "base64":
        media_type = source.media_type or sniff(source.value)
        if media_type:
            return {"inlineData": {"mimeType": media_type.replace("image/jpg", "image/jpeg"), "data": source.value}}
        losses.content(path, "media_type", "its media type is not known; say it.")
        return None
    if source.kind == "file" and source.dialect != "gemini":
        losses.content(path, "file", OTHERS_FILE)
        return None
    if source.kind == "url" and not _is_fetched(source.value, traits):
        losses.content(path, "media_url", "this model does not fetch from that address; send the data itself.")
        return None
    media_type = source.media_type or _type_by_ending(source.value)
    return {"fileData": {**({"mimeType": media_type} if media_type else {}), "fileUri": source.value}}


def _is_fetched(uri: str, traits: Traits) -> bool:
    return uri.startswith((*_OWN_FILES, *_YOUTUBE)) or (traits.fetches and uri.startswith("https://"))


def _type_by_ending(uri: str) -> str:
    return _ENDINGS.get(uri.partition("?")[0].rpartition(".")[2].lower(), "")
