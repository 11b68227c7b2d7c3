"""Whether an answer has come to a good end, by the client's dialect: only such are given again. Pure.

Good are the ends that the model itself has made, and the length that the request allowed. What a filter cut off or a
provider refused may turn out otherwise the next time; what waits to be continued is not at its end. Reasons that are
not known here are no good ends.

Sources: https://platform.openai.com/docs/api-reference/chat/object, …/responses/object,
https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons,
https://ai.google.dev/api/generate-content#FinishReason
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway import jsonlib
from gateway.wire.sse import EventReader


class Ending(NamedTuple):
    """How a shape's answers end. `reasons` finds those in a whole answer or in an event's payload, `good` are the ones
    that count; `marks` stands in every event that has one, that ends the stream or that is an error. `last` says
    whether an event is the stream's end, by its data; None where the reason itself is."""

    reasons: Callable[[Mapping[str, Any]], Iterator[object]]
    good: frozenset[str]
    marks: re.Pattern[bytes]
    last: Callable[[str], bool] | None = None


def _of_choices(payload: Mapping[str, Any]) -> Iterator[object]:
    choices = payload.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        yield choice.get("finish_reason") if isinstance(choice, dict) else None


def _of_message(payload: Mapping[str, Any]) -> Iterator[object]:
    delta = payload.get("delta")
    for holder in (payload, delta):
        if isinstance(holder, dict) and "stop_reason" in holder:
            yield holder["stop_reason"]


def _of_response(payload: Mapping[str, Any]) -> Iterator[object]:
    """An event has a response within it, as it is by then: only at the stream's end it has ended."""
    kind = payload.get("type")
    response = payload.get("response") if isinstance(kind, str) and kind in _RESPONSE_ENDS else payload
    if isinstance(response, dict) and response.get("object") == "response":
        details = response.get("incomplete_details")
        yield details.get("reason") if isinstance(details, dict) else response.get("status")


_RESPONSE_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


def _of_candidates(payload: Mapping[str, Any]) -> Iterator[object]:
    feedback = payload.get("promptFeedback")
    if isinstance(feedback, dict) and "blockReason" in feedback:
        yield feedback["blockReason"]
    candidates = payload.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        yield candidate.get("finishReason") if isinstance(candidate, dict) else None


_DONE = re.compile(r"\s*\[DONE\]\s*\Z")
_STOPPED = re.compile(r'"type"\s*:\s*"message_stop"')
_OVER = re.compile(r'"type"\s*:\s*"response\.(?:completed|incomplete)"')

_CHAT = Ending(
    _of_choices,
    frozenset({"stop", "length", "tool_calls", "function_call"}),
    re.compile(rb'"finish_reason"\s*:\s*"|\[DONE\]|"error"'),
    lambda data: _DONE.match(data) is not None,
)

ENDINGS: Mapping[str, Ending] = {
    "chat": _CHAT,
    "completions": _CHAT,
    "responses": Ending(
        _of_response,
        frozenset({"completed", "max_output_tokens"}),
        re.compile(rb'"response\.(?:completed|incomplete|failed)"|"error"\s*:\s*\{|"type"\s*:\s*"error"'),
        lambda data: _OVER.search(data) is not None,
    ),
    "messages": Ending(
        _of_message,
        frozenset({"end_turn", "max_tokens", "stop_sequence", "tool_use"}),
        re.compile(rb'"stop_reason"\s*:\s*"|"message_stop"|"error"'),
        lambda data: _STOPPED.search(data) is not None,
    ),
    "generate": Ending(_of_candidates, frozenset({"STOP", "MAX_TOKENS"}), re.compile(rb'Reason"\s*:|"error"')),
}

VECTORS = frozenset({"data", "embedding", "embeddings"})
"""Fields of which an answer with vectors has one; it has no end that it tells of."""


def ended_well(shape: str, body: bytes) -> bool:
    """Whether a whole answer has. Gemini's stream as one JSON array is one as well."""
    try:
        decoded = jsonlib.loads(body)
    except ValueError:
        return False
    ending = ENDINGS.get(shape)
    if ending is None:
        return isinstance(decoded, dict) and not VECTORS.isdisjoint(decoded)
    if not isinstance(decoded, list):
        return isinstance(decoded, dict) and not decoded.get("error") and _are_good(ending, ending.reasons(decoded))
    found = [reason for piece in decoded if isinstance(piece, dict) for reason in ending.reasons(piece) if reason]
    return _are_good(ending, iter(found))


def _are_good(ending: Ending, reasons: Iterator[object]) -> bool:
    found = list(reasons)
    return bool(found) and all(isinstance(reason, str) and reason in ending.good for reason in found)


class StreamEnd:
    """Watches a stream for its end. Nearly every piece is only searched for a mark."""

    __slots__ = ("_bad", "_ending", "_last", "_reasons")

    def __init__(self, shape: str) -> None:
        self._ending = ENDINGS.get(shape)
        self._reasons = 0
        self._last = False
        self._bad = False

    @property
    def is_good(self) -> bool:
        return self._last and self._reasons > 0 and not self._bad

    def feed(self, events: bytes) -> None:
        """Whole events, as a client gets them."""
        ending = self._ending
        if ending is None or ending.marks.search(events) is None:
            return
        reader = EventReader(len(events) + 1)
        for event in (*reader.feed(events), reader.rest()):
            if event is not None:
                self._take(ending, event.event, event.data)

    def _take(self, ending: Ending, name: str, data: str) -> None:
        if ending.last is not None and ending.last(data):
            self._last = True
        try:
            payload = jsonlib.loads(data)
        except ValueError:
            return  # [DONE]
        if not isinstance(payload, dict):
            return
        self._bad |= name == "error" or bool(payload.get("error")) or payload.get("type") == "error"
        for reason in ending.reasons(payload):
            if reason:
                self._reasons += 1
                self._bad |= not isinstance(reason, str) or reason not in ending.good
                self._last |= ending.last is None
