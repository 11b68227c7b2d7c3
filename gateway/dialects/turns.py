"""Messages as the stricter dialects want them: who called which tool, and turns that alternate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.dialects.conversation import Message, Part, ToolCall, ToolResult


def tool_names(messages: Iterable[Message]) -> dict[str, str]:
    """The name of the tool behind each call's id. Results carry ids alone in most dialects; Gemini wants the name."""
    return {part.id: part.name for message in messages for part in message.parts if isinstance(part, ToolCall)}


def alternating(messages: Iterable[Message]) -> list[Message]:
    """Neighbours of the same role become one message. Where a turn has results of tools, these come first: both
    Anthropic and Gemini want them right behind the calls."""
    turns: list[Message] = []
    for message in messages:
        if turns and turns[-1].role == message.role:
            parts: Sequence[Part] = (*turns[-1].parts, *message.parts)
            turns[-1] = Message(message.role, _results_first(parts))
        else:
            turns.append(Message(message.role, _results_first(message.parts)))
    return turns


def _results_first(parts: Sequence[Part]) -> tuple[Part, ...]:
    results = [part for part in parts if isinstance(part, ToolResult)]
    return (*results, *(part for part in parts if not isinstance(part, ToolResult))) if results else tuple(parts)
