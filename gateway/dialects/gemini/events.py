"""Events of a streamGenerateContent stream: which of them commits the answer.

Every event is a whole GenerateContentResponse. The first ones may have nothing but usage, or a candidate without words.
Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

import re
from typing import Any, Literal

from gateway import jsonlib
from gateway.dialects.gemini.errors import carries_error
from gateway.dialects.openai_chat.events import numbered
from gateway.wire.sse import Event, Marks

EventClass = Literal["preamble", "meaningful", "error", "done"]

DONE = "[DONE]"
"""Not Google's, but some servers that speak its dialect end like OpenAI."""


def ends_answer(event: Event) -> bool:
    """Whether a candidate ends here, or the prompt is not answered."""
    payload = read_payload(event)
    if not isinstance(payload, dict):
        return False
    candidates, feedback = payload.get("candidates"), payload.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return True
    return isinstance(candidates, list) and any(isinstance(one, dict) and one.get("finishReason") for one in candidates)


def answers_in(event: Event) -> dict[int, bool]:
    """The candidates by `index`, which is left out where it is 0, and whether they end."""
    payload = read_payload(event)
    candidates = payload.get("candidates") if isinstance(payload, dict) else None
    return numbered(candidates, "finishReason")


MARKS = Marks(b'"candidates"', re.compile(rb'Reason"\s*:\s*["1-9]'), ends_answer, answers_in)
"""finishReason, or blockReason of a prompt that is not answered; numbers with `$alt=json;enum-encoding=int`."""


def classify_event(event: Event) -> EventClass:
    """What an event says about the stream: "preamble" nothing yet, "error" that the provider failed inside a 200,
    "done" the end. What is not understood is meaningful: it is the client's to read."""
    if event.data.strip() == DONE:
        return "done"
    payload = read_payload(event)
    if event.event == "error" or carries_error(payload):
        return "error"
    if not isinstance(payload, dict):
        return "meaningful"
    candidates = payload.get("candidates", [] if "usageMetadata" in payload else None)
    if not isinstance(candidates, list) or (not candidates and "promptFeedback" in payload):
        return "meaningful"
    return "preamble" if all(map(_says_nothing, candidates)) else "meaningful"


def _says_nothing(candidate: object) -> bool:
    """A candidate that has neither ended nor begun: no parts, or empty texts."""
    if not isinstance(candidate, dict) or candidate.get("finishReason"):
        return False
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return not parts or (isinstance(parts, list) and all(map(_is_empty, parts)))


def _is_empty(part: object) -> bool:
    return isinstance(part, dict) and not any(value for name, value in part.items() if name != "thought")


def read_payload(event: Event) -> Any:
    """The JSON in an event, None if there is none."""
    try:
        return jsonlib.loads(event.data)
    except ValueError:
        return None


def carried_error(event: Event) -> dict[str, Any]:
    """The error that an event of class "error" carries, as the body of an error answer would have it."""
    payload = read_payload(event)
    if carries_error(payload):
        found: dict[str, Any] = payload[0] if isinstance(payload, list) else payload
        return found
    return {"error": payload if isinstance(payload, dict) and payload else {"message": event.data}}
