"""Which event of a Messages stream commits the answer."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.anthropic.events import carried_error, classify_event
from gateway.wire.sse import Event
from tests.dialects.anthropic.making import STOP, closed, finished, more, opened, start

OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (start(input_tokens=1), "preamble"),
        ({"type": "ping"}, "preamble"),
        (opened(0, type="text", text=""), "preamble"),
        (opened(0, type="thinking", thinking="", signature=""), "preamble"),
        (opened(0, type="text", text="Hi"), "meaningful"),
        (opened(0, type="tool_use", id="a", name="f", input={}), "meaningful"),
        (opened(0, type="redacted_thinking", data="x"), "meaningful"),
        (opened(0, type="server_tool_use", id="a", name="f", input={}), "meaningful"),
        (more(0, type="text_delta", text=""), "preamble"),
        (more(0, type="text_delta", text="Hi"), "meaningful"),
        (more(0, type="thinking_delta", thinking="Hm"), "meaningful"),
        (more(0, type="signature_delta", signature="x"), "meaningful"),
        (more(0, type="input_json_delta", partial_json=""), "preamble"),
        (more(0, type="input_json_delta", partial_json="{"), "meaningful"),
        (more(0, type="new_delta", new=1), "meaningful"),
        (closed(0), "preamble"),
        (finished("end_turn", output_tokens=1), "meaningful"),
        (STOP, "done"),
        (OVERLOADED, "error"),
        ({"error": {"message": "no"}}, "error"),
        ({"type": "new_event"}, "meaningful"),
        ({}, "meaningful"),
    ],
)
def test_an_event_is_preamble_meaningful_error_or_done(payload: dict[str, object], expected: str) -> None:
    assert classify_event(Event("message", json.dumps(payload))) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event("ping", "{}"), "preamble"),
        (Event("error", "no JSON"), "error"),
        (Event("message", "no JSON"), "meaningful"),
        (Event("message", "[1]"), "meaningful"),
        (Event("message", "[DONE]"), "done"),
    ],
)
def test_the_name_of_an_event_counts_where_its_payload_says_nothing(event: Event, expected: str) -> None:
    assert classify_event(event) == expected


@pytest.mark.parametrize(
    ("event", "body"),
    [
        (Event("error", json.dumps(OVERLOADED)), OVERLOADED),
        (Event("error", '{"message": "no"}'), {"type": "error", "error": {"message": "no"}}),
        (Event("error", "overloaded"), {"type": "error", "error": {"message": "overloaded"}}),
    ],
)
def test_the_error_of_an_event_reads_like_an_error_answer(event: Event, body: dict[str, object]) -> None:
    assert carried_error(event) == body
