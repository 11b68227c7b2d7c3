"""Counting the tokens of a request, for `/v1/messages/count_tokens` and for the first event of a stream.

Anthropic counts with its own tokenizer, which is not public. Where the request goes to Anthropic, its endpoint is
asked; elsewhere this is an estimate, always the same for the same request: by characters, about four to a token in
languages that are written with letters and one to a token in those that are not, and a fixed size for what is no text.
It is meant for clients that watch how full their context is.

Source of the sizes: https://platform.claude.com/docs/en/build-with-claude/token-counting,
https://platform.claude.com/docs/en/build-with-claude/vision,
https://platform.claude.com/docs/en/build-with-claude/pdf-support
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway import jsonlib
from gateway.dialects.conversation import (
    Audio,
    Document,
    Image,
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
from gateway.dialects.names import Json
from gateway.usage import tokens_of

IMAGE = 1_600
"""An image of the size to which larger ones are scaled down."""

BYTES_OF_A_PAGE = 25_000
PAGE = 2_000
"""A page of a PDF: text and picture. Scans are larger and pages of text smaller than these bytes."""

MESSAGE = 4
TOOL = 20
TOOLS = 300
"""What stands around a message, a tool, and all tools, whose use is explained to the model."""


def estimate_tokens(request: Request) -> int:
    """About how many input tokens a request has, at least 1."""
    counted = sum(MESSAGE + _parts(message.parts) for message in request.messages)
    if request.tools:
        counted += TOOLS
    for tool in request.tools:
        if isinstance(tool, Opaque):
            counted += TOOL + _json(tool.value)
        else:
            described = _json(tool.parameters or {}) + _json(tool.grammar or {})
            counted += TOOL + _text(tool.name) + _text(tool.description) + described
    if request.response_format is not None:
        counted += _json(request.response_format.schema or {})
    return max(counted, 1)


def _parts(parts: Iterable[Part]) -> int:
    return sum(_part(part) for part in parts)


def _part(part: Part) -> int:
    match part:
        case Text() | Refusal():
            return _text(part.text)
        case Thinking():
            return _text(part.text)
        case ToolCall():
            return TOOL + _text(part.name) + _text(part.arguments)
        case ToolResult():
            return TOOL + _parts(part.parts)
        case Image():
            return IMAGE
        case Document():
            text = _text(part.name) + _text(part.context)
            return text + (_text(part.source.value) if part.source.kind == "text" else _pages(part.source.value))
        case Audio():
            return IMAGE
        case RedactedThinking():
            return 0
        case Opaque():
            return _json(part.value)


def _pages(data: str) -> int:
    return PAGE * (1 + len(data) * 3 // 4 // BYTES_OF_A_PAGE)


def _json(value: Json) -> int:
    """JSON has more tokens for its length than prose has."""
    return _text(jsonlib.dumps(value).decode()) * 4 // 3 if value else 0


def _text(text: str) -> int:
    """Letters of Europe are a byte or two in UTF-8, others three or four: their bytes beyond the second are counted as
    tokens of their own."""
    if text.isascii():
        return tokens_of(len(text))
    wide = sum(character >= "\u0800" for character in text)
    return wide + tokens_of(len(text) - wide)
