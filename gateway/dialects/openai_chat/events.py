"""Events of a Chat Completions or Completions stream: which of them commits the answer.

A stream is held until its first meaningful event, so that a failure before it can still be retried. What a
reader does not understand is meaningful: it is the client's to read.
Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from gateway import jsonlib
from gateway.dialects.openai_chat.errors import carries_error
from gateway.wire.sse import Event, Marks

EventClass = Literal["preamble", "meaningful", "error", "done"]

DONE = "[DONE]"


def ends_answer(event: Event) -> bool:
    """Whether this is the chunk that says why an answer ended."""
    choices = read_payload(event).get("choices")
    return isinstance(choices, list) and any(isinstance(one, dict) and one.get("finish_reason") for one in choices)


def answers_in(event: Event) -> dict[int, bool]:
    """The choices by their index, and whether they end."""
    return numbered(read_payload(event).get("choices"), "finish_reason")


def numbered(answers: object, reason: str) -> dict[int, bool]:
    """The `index` of each answer in an event, 0 where it says none, and whether it says the `reason` of its end."""
    found: dict[int, bool] = {}
    for one in answers if isinstance(answers, list) else ():
        if isinstance(one, dict):
            number = one.get("index")
            found[number if isinstance(number, int) else 0] = bool(one.get(reason))
    return found


MARKS = Marks(b'"choices"', re.compile(rb'"finish_reason"\s*:\s*"[^"]'), ends_answer, answers_in)
"""Some providers leave out `[DONE]`, few the reason; most say `"finish_reason":null` until they know one."""


def classify_event(event: Event) -> EventClass:
    """What an event says about the stream.

    "preamble": nothing yet (a role, Azure's first chunk with the prompt's filter results); "error": the
    provider failed inside a 200; "done": the end, so that a stream which begins with it answered nothing.
    """
    if event.data.strip() == DONE:
        return "done"
    payload = read_payload(event)
    if event.event == "error" or carries_error(payload):
        return "error"
    choices = payload.get("choices")
    if not isinstance(choices, list):
        return "meaningful"
    if not choices:
        return "meaningful" if isinstance(payload.get("usage"), dict) else "preamble"
    return "preamble" if all(map(_says_nothing, choices)) else "meaningful"


def _says_nothing(choice: object) -> bool:
    """A choice that has neither ended nor begun: at most a role, and empty content."""
    if not isinstance(choice, dict) or choice.get("finish_reason"):
        return False
    delta = choice.get("delta")
    if isinstance(delta, dict):
        return not choice.get("text") and not any(value for name, value in delta.items() if name != "role")
    return choice.get("text") == ""


def read_payload(event: Event) -> dict[str, Any]:
    """The JSON object in an event, empty if there is none."""
    try:
        payload = jsonlib.loads(event.data)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def carried_error(event: Event) -> dict[str, Any]:
    """The error that an event of class "error" carries, as the body of an error answer would have it."""
    payload = read_payload(event)
    if carries_error(payload):
        return payload
    return {"error": payload or {"message": event.data}}


def error_event(error: Mapping[str, Any]) -> bytes:
    """The last event of a stream that failed after it was committed. `error` has the fields of an error object.

    No `[DONE]` follows: it would tell the client that the answer is whole.
    """
    return b"data: " + jsonlib.dumps({"error": dict(error)}) + b"\n\n"
