"""Which event commits a stream."""

from __future__ import annotations

import pytest

from gateway import jsonlib
from gateway.dialects.gemini.events import answers_in, carried_error, classify_event
from gateway.wire.sse import Event

ERROR = {"error": {"code": 503, "message": "Busy."}}


def event(payload: object, name: str = "message") -> Event:
    return Event(name, jsonlib.dumps(payload).decode())


def parts(*given: object) -> object:
    return {"candidates": [{"content": {"parts": list(given), "role": "model"}}]}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"usageMetadata": {"promptTokenCount": 1}}, "preamble"),
        ({"candidates": []}, "preamble"),
        ({"candidates": [{"index": 0}]}, "preamble"),
        ({"candidates": [{"content": {"role": "model"}}]}, "preamble"),
        (parts({"text": ""}), "preamble"),
        (parts({"text": "", "thought": True}), "preamble"),
        (parts({"text": "a"}), "meaningful"),
        (parts({"text": "", "thoughtSignature": "c2ln"}), "meaningful"),
        (parts({"functionCall": {"name": "a"}}), "meaningful"),
        (parts("odd"), "meaningful"),
        ({"candidates": [{"finishReason": "STOP"}]}, "meaningful"),
        ({"candidates": ["odd"]}, "meaningful"),
        ({"candidates": [], "promptFeedback": {"blockReason": "SAFETY"}}, "meaningful"),
        ({"candidates": "odd"}, "meaningful"),
        ({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}, "meaningful"),
        ({}, "meaningful"),
        ("odd", "meaningful"),
        (ERROR, "error"),
        ([ERROR], "error"),
    ],
)
def test_events_are_classified(payload: object, expected: str) -> None:
    assert classify_event(event(payload)) == expected


def test_events_that_are_no_json() -> None:
    assert classify_event(Event("message", "[DONE]")) == "done"
    assert classify_event(Event("message", "{")) == "meaningful"
    assert classify_event(Event("error", "Busy.")) == "error"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (event(ERROR), ERROR),
        (event([ERROR]), ERROR),
        (event({"code": 500}, "error"), {"error": {"code": 500}}),
        (Event("error", "Busy."), {"error": {"message": "Busy."}}),
    ],
)
def test_the_error_in_an_event(given: Event, error: object) -> None:
    assert carried_error(given) == error


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"candidates": [{"finishReason": "STOP"}, {"index": 2}, "odd"]}, {0: True, 2: False}),
        ({"candidates": [{"index": "odd", "finishReason": ""}]}, {0: False}),
        ({"candidates": "odd"}, {}),
        ([], {}),
    ],
)
def test_which_candidates_an_event_is_about(payload: object, expected: dict[int, bool]) -> None:
    assert answers_in(event(payload)) == expected
