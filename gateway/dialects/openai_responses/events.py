"""Events of a Responses stream: which of them commits the answer.

The type of an event stands in its payload; the `event:` line repeats it, but not with every provider.
Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway import jsonlib
from gateway.dialects.openai_chat.errors import carries_error
from gateway.dialects.openai_chat.events import DONE, EventClass, read_payload
from gateway.wire.sse import Event, Marks

_PREAMBLE = frozenset({"response.created", "response.queued", "response.in_progress", "keepalive"})
_ERRORS = frozenset({"error", "response.failed"})
_ENDS = frozenset({"response.completed", "response.failed", "response.incomplete"})


def ends_answer(event: Event) -> bool:
    """Whether this is the event that an answer ends with, by its own type."""
    return _kind(event, read_payload(event)) in _ENDS


MARKS = Marks(b'"response.', re.compile(rb'"type"\s*:\s*"response\.(?:completed|failed|incomplete)"'), ends_answer)


def classify_event(event: Event) -> EventClass:
    """What an event says about the stream: see `openai_chat.events.classify_event`."""
    if event.data.strip() == DONE:
        return "done"
    payload = read_payload(event)
    kind = _kind(event, payload)
    if kind in _ERRORS or carries_error(payload):
        return "error"
    if kind in _PREAMBLE:
        return "error" if carries_error(payload.get("response")) else "preamble"
    return "meaningful"


def carried_error(event: Event) -> dict[str, Any]:
    """The error that an event of class "error" carries, as the body of an error answer would have it.

    It stands in `error`, in `response.error`, or (as documented for the `error` event) in the event itself.
    """
    payload = read_payload(event)
    for holder in (payload, payload.get("response")):
        if isinstance(holder, dict) and carries_error(holder):
            return {"error": holder.get("error", holder)}
    return {"error": payload or {"message": event.data}}


def error_event(error: Mapping[str, Any], response_id: str = "") -> bytes:
    """The last events of a stream that failed after it was committed. `error` has the fields of an error object.

    Both that OpenAI sends, in its order: SDKs raise at `error`, other clients wait for `response.failed`.
    """
    fields = dict(error)
    failure = {"code": fields.get("code"), "message": fields.get("message")}
    response = {"id": response_id, "object": "response", "status": "failed", "error": failure, "output": []}
    return _event({"type": "error", "error": fields}) + _event({"type": "response.failed", "response": response})


def _event(payload: dict[str, Any]) -> bytes:
    return f"event: {payload['type']}\ndata: ".encode() + jsonlib.dumps(payload) + b"\n\n"


def _kind(event: Event, payload: dict[str, Any]) -> str:
    kind = payload.get("type")
    return kind if isinstance(kind, str) else event.event
