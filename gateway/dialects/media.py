"""Media as they stand in JSON: data URLs, bare base64, and what kind of file it is where nobody says.

OpenAI's dialects have data URLs for images and files, and a format beside the base64 of audio; the other two have media
types beside base64.

Sources: RFC 2397 (data URLs), https://platform.openai.com/docs/guides/images-vision,
https://platform.openai.com/docs/guides/audio, https://platform.openai.com/docs/guides/pdf-files
"""

from __future__ import annotations

import base64
from urllib.parse import unquote_to_bytes

from gateway.dialects.conversation import Source

_AUDIO_TYPES = {"mp3": "audio/mpeg"}
"""Formats whose media type is not `audio/FORMAT`."""
_AUDIO_FORMATS = {"audio/mpeg": "mp3", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav"}

_ADDRESSES = ("http://", "https://")

_BEGINNINGS = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi0", "application/pdf"),
    ("SUQz", "audio/mpeg"),
)
"""How the base64 of files begins."""


def read_url(url: str) -> Source:
    """What a URL points to, or holds itself. A data URL of plain characters becomes base64 like the others."""
    if url[:5].lower() != "data:":
        return Source("url", url)
    head, _, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if "base64" not in (parameter.strip().lower() for parameter in parameters):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return Source("base64", data, media_type)


def read_data(data: str, media_type: str = "") -> Source:
    """What a field holds that should be base64, of `media_type`, and is a URL in the wild."""
    source = read_url(data)
    return Source("base64", data, media_type) if source.kind == "url" and not data.startswith(_ADDRESSES) else source


def write_url(source: Source, default_type: str) -> str:
    """The URL of a source that is "base64" or "url"."""
    if source.kind == "url":
        return source.value
    return f"data:{source.media_type or default_type};base64,{source.value}"


def audio_type(audio_format: str) -> str:
    """The media type of a format such as "wav"; "" for none."""
    return _AUDIO_TYPES.get(audio_format, f"audio/{audio_format}" if audio_format else "")


def audio_format(media_type: str) -> str:
    return _AUDIO_FORMATS.get(media_type, media_type.removeprefix("audio/"))


def text_of(source: Source) -> str | None:
    """The text of a document that is one, None for a PDF and the like."""
    if source.kind == "text":
        return source.value
    return decoded(source.value) if source.kind == "base64" and source.media_type.startswith("text/") else None


def decoded(data: str) -> str | None:
    """The text in base64, None where it is none."""
    try:
        return base64.b64decode("".join(data.split()), validate=True).decode()
    except ValueError:
        return None


def sniff(data: str) -> str:
    """The media type of base64 that nobody gave one, "" for what is not known."""
    return next((media_type for beginning, media_type in _BEGINNINGS if data.startswith(beginning)), "")
