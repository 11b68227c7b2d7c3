"""Which event of a Responses stream commits the answer."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.openai_responses.events import carried_error, classify_event, error_event
from gateway.wire.sse import Event, EventReader


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"type": "response.created", "response": {"error": None}}, "preamble"),
        ({"type": "response.queued", "response": {}}, "preamble"),
        ({"type": "response.in_progress", "response": None}, "preamble"),
        ({"type": "response.created", "response": {"error": {"code": "server_error"}}}, "error"),
        ({"type": "response.output_item.added", "item": {}}, "meaningful"),
        ({"type": "response.completed", "response": {"error": None}}, "meaningful"),
        ({"type": "response.incomplete", "response": {}}, "meaningful"),
        ({"type": "response.failed", "response": {"error": {"code": "server_error"}}}, "error"),
        ({"type": "error", "code": "busy", "message": "no"}, "error"),
        ({"error": {"message": "no"}}, "error"),
        ({"type": 7}, "meaningful"),
    ],
)
def test_an_event_is_preamble_meaningful_or_error(payload: dict[str, object], expected: str) -> None:
    assert classify_event(Event("message", json.dumps(payload))) == expected


def test_the_event_line_counts_where_the_payload_names_no_type() -> None:
    assert classify_event(Event("response.created", "{}")) == "preamble"
    assert classify_event(Event("error", "oops")) == "error"
    assert classify_event(Event("message", "[DONE]")) == "done"


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        ({"type": "error", "error": {"code": "busy"}}, {"error": {"code": "busy"}}),
        ({"type": "response.failed", "response": {"error": {"code": "busy"}}}, {"error": {"code": "busy"}}),
        ({"type": "error", "code": "busy"}, {"error": {"type": "error", "code": "busy"}}),
    ],
)
def test_the_error_of_an_event_reads_like_an_error_answer(payload: dict[str, object], body: dict[str, object]) -> None:
    assert carried_error(Event("message", json.dumps(payload))) == body


def test_our_error_events_end_in_response_failed() -> None:
    error = {"message": "gone", "type": "api_error", "param": None, "code": "upstream_error"}
    events = EventReader().feed(error_event(error, "resp_1"))
    assert [event.event for event in events] == ["error", "response.failed"]
    assert [classify_event(event) for event in events] == ["error", "error"]
    assert carried_error(events[0]) == {"error": error}
    failed = json.loads(events[1].data)["response"]
    assert (failed["id"], failed["status"]) == ("resp_1", "failed")
    assert failed["error"] == {"code": "upstream_error", "message": "gone"}
