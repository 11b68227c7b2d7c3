"""Events of a Messages stream: which of them commits the answer.

The type of an event stands in its payload; the `event:` line repeats it. `message_start`, `ping` and the opening of an
empty block say nothing yet, so that a failure behind them can still be retried.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway import jsonlib
from gateway.dialects.anthropic.errors import carries_error
from gateway.dialects.names import Json
from gateway.dialects.openai_chat.events import DONE, EventClass, read_payload
from gateway.wire.sse import Event, Marks

_PREAMBLE = frozenset({"message_start", "ping", "content_block_stop"})
_DELTAS = ("text", "thinking", "partial_json", "signature", "citation")


def ends_answer(event: Event) -> bool:
    """Whether this is the event that an answer ends with, by its own type."""
    return event_type(event, read_payload(event)) == "message_stop"


MARKS = Marks(b'"message_start"', re.compile(rb'"type"\s*:\s*"message_stop"'), ends_answer)


def classify_event(event: Event) -> EventClass:
    """What an event says about the stream: see `openai_chat.events.classify_event`."""
    if event.data.strip() == DONE:
        return "done"
    payload = read_payload(event)
    kind = event_type(event, payload)
    if kind == "error" or carries_error(payload):
        return "error"
    if kind == "message_stop":
        return "done"
    if kind in _PREAMBLE or (kind == "content_block_start" and _opens_nothing(payload.get("content_block"))):
        return "preamble"
    if kind == "content_block_delta" and _adds_nothing(payload.get("delta")):
        return "preamble"
    return "meaningful"


def carried_error(event: Event) -> dict[str, Any]:
    """The error that an event of class "error" carries, as the body of an error answer would have it."""
    payload = read_payload(event)
    if carries_error(payload):
        return payload
    return {"type": "error", "error": payload or {"message": event.data}}


def write_event(payload: Json) -> bytes:
    """An event, named by its payload's type."""
    return b"event: %b\ndata: %b\n\n" % (payload["type"].encode(), jsonlib.dumps(payload))


def event_type(event: Event, payload: Mapping[str, Any]) -> str:
    kind = payload.get("type")
    return kind if isinstance(kind, str) else event.event


def _opens_nothing(block: object) -> bool:
    if not isinstance(block, dict) or block.get("type") not in ("text", "thinking"):
        return False
    return not (block.get("text") or block.get("thinking") or block.get("signature"))


def _adds_nothing(delta: object) -> bool:
    return (
        isinstance(delta, dict)
        and not any(delta.get(name) for name in _DELTAS)
        and any(name in delta for name in _DELTAS)
    )
