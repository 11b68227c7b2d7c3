"""How answers are looked into, by the shape of the call: which event commits a stream, which carries an error, what
its end is known by, and which whole answers answer nothing. Dialects are loaded when they are first called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.dialects.openai_chat import events as chat_events
from gateway.dialects.openai_chat.errors import empty_answer
from gateway.dialects.openai_chat.events import EventClass
from gateway.dialects.openai_responses import events as responses_events
from gateway.dialects.openai_responses.errors import empty_answer as empty_response
from gateway.wire.sse import Event, Marks


class Grammar(NamedTuple):
    classify: Callable[[Event], EventClass]
    carried_error: Callable[[Event], dict[str, Any]]
    marks: Marks
    is_empty: Callable[[object], bool]


CHAT = Grammar(chat_events.classify_event, chat_events.carried_error, chat_events.MARKS, empty_answer)
RESPONSES = Grammar(
    responses_events.classify_event, responses_events.carried_error, responses_events.MARKS, empty_response
)


def grammar_of(shape: str) -> Grammar | None:
    """None: nobody looks into the events of such a stream."""
    match shape:
        case "chat" | "completions":
            return CHAT
        case "responses":
            return RESPONSES
        case "messages":
            from gateway.dialects.anthropic import events as anthropic_events
            from gateway.dialects.anthropic.errors import empty_answer as empty_message

            return Grammar(
                anthropic_events.classify_event, anthropic_events.carried_error, anthropic_events.MARKS, empty_message
            )
        case "generate":
            from gateway.dialects.gemini import events as gemini_events
            from gateway.dialects.gemini.errors import empty_answer as empty_generation

            return Grammar(
                gemini_events.classify_event, gemini_events.carried_error, gemini_events.MARKS, empty_generation
            )
        case _:
            return None
