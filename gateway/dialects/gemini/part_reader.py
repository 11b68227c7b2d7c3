"""Parts of a `Content`, as clients send them and models answer them.

A part is one of a union of fields; beside it stand `thought` and `thoughtSignature`, which may also stand alone. What
only Google has a word for (videos, code that it ran, calls of its own tools) stays whole, as `Opaque`.

A signature that this gateway has sealed for a client tells by its place what it was: on a thought it signs the thought,
on a call the call, and alone with an empty text it is redacted thinking. See `continuity.py`.

Source: https://ai.google.dev/api/caching#Part
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gateway.dialects.conversation import (
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.dialects.gemini.media import read_medium
from gateway.dialects.gemini.protojson import json_text, message
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.reading import boolean, mapping, text

Sign = Callable[[str], Signature]

_BESIDE = frozenset({"thought", "thoughtSignature"})
_READ = _BESIDE | {"text", "inlineData", "fileData", "functionCall", "functionResponse"}


class Calls(Protocol):
    """Who calls which function: clients and models differ in their ids and names."""

    def call(self, fields: Json, path: str, signature: Signature | None) -> ToolCall: ...

    def result(self, fields: Json, path: str, losses: Losses) -> ToolResult | Opaque: ...


def read_part(part: Json, path: str, calls: Calls, sign: Sign, losses: Losses) -> Part:
    """A part whose names are in camelCase. Raises RequestError for what is structurally wrong."""
    signed = text(part, "thoughtSignature", path) if "thoughtSignature" in part else ""
    signature = sign(signed) if signed else None
    thought = bool(boolean(part, "thought", path)) if "thought" in part else False
    if "text" in part or not part.keys() - _BESIDE:
        read: Part | None = _read_text(text(part, "text", path), thought, signature)
    elif "functionCall" in part:
        read = calls.call(message(part, "functionCall", path), f"{path}.functionCall", signature)
    elif "functionResponse" in part:
        read = calls.result(message(part, "functionResponse", path), f"{path}.functionResponse", losses)
    elif ("inlineData" in part or "fileData" in part) and not thought:
        read = _read_medium(part, path, signature, losses)
    else:
        read = None
    if read is None:
        return Opaque("gemini", part)
    known = _READ | {"mediaResolution"} if isinstance(read, Image) and read.detail else _READ
    note_fields(part, known, path, "part_field", losses)
    return read


def _read_text(words: str, thought: bool, signature: Signature | None) -> Part:
    if thought:
        return Thinking(words, signature)
    if not words and signature is not None and signature.dialect != "gemini":
        return RedactedThinking(signature)
    return Text(words, signature=signature)


def _read_medium(part: Json, path: str, signature: Signature | None, losses: Losses) -> Part | None:
    medium = read_medium(part, path)
    if isinstance(medium, Image):
        return replace(medium, signature=signature)
    if medium is not None and signature is not None:
        losses.hint(f"{path}.thoughtSignature", "media_signature", "only images and texts keep their signature.")
    return medium


def is_void(part: Part) -> bool:
    """Whether a part says nothing: the empty text that Google fills a turn with."""
    return isinstance(part, Text | Thinking) and not part.text and part.signature is None


def read_arguments(fields: Json, path: str) -> str:
    """The arguments of a call as JSON text."""
    args = mapping(fields, "args", path)
    return json_text(args, f"{path}.args") if args else "{}"


def note_fields(fields: Json, known: frozenset[str], path: str, name: str, losses: Losses) -> None:
    """Notes what stands beside the known fields of a message."""
    for field in fields:
        if field not in known:
            losses.hint(f"{path}.{field}", name, "no other provider's API has such a field.")
