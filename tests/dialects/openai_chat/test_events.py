"""Which event of a chat stream commits the answer."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.openai_chat.events import answers_in, carried_error, classify_event, error_event
from gateway.wire.sse import Event, EventReader


def chunk(**fields: object) -> str:
    return json.dumps({"object": "chat.completion.chunk", **fields})


def delta(**fields: object) -> str:
    return chunk(choices=[{"index": 0, "delta": fields, "finish_reason": None}])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (delta(role="assistant"), "preamble"),
        (delta(role="assistant", content="", refusal=None, tool_calls=[]), "preamble"),
        (delta(), "preamble"),
        (chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}]), "preamble"),
        (chunk(choices=[], usage=None), "preamble"),
        (chunk(choices=[{"index": 0, "text": "", "finish_reason": None}]), "preamble"),
        (
            chunk(choices=[{"index": 0, "delta": {"content": ""}}, {"index": 1, "delta": {"content": "x"}}]),
            "meaningful",
        ),
        (delta(role="assistant", content="Hi"), "meaningful"),
        (delta(content=None, reasoning_content="Hm"), "meaningful"),
        (delta(tool_calls=[{"index": 0}]), "meaningful"),
        (chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]), "meaningful"),
        (chunk(choices=[{"index": 0, "text": "Hi"}]), "meaningful"),
        (chunk(choices=[{"index": 0, "message": {"content": "Hi"}}]), "meaningful"),
        (chunk(choices=["?"]), "meaningful"),
        (chunk(choices=[], usage={"total_tokens": 3}), "meaningful"),
        (chunk(choices=[{"delta": {"role": "assistant"}}], error=None), "preamble"),
        ('{"value": "Sure"}', "meaningful"),
        ("not JSON", "meaningful"),
        ("[1]", "meaningful"),
        ('{"error": {"message": "no"}}', "error"),
        ('{"code": "busy", "error": "no"}', "error"),
        (chunk(choices=[{"delta": {"content": "x"}}], error={"code": 400}), "error"),
        ('{"object": "error", "message": "no"}', "error"),
        ("[DONE]", "done"),
        (" [DONE] ", "done"),
    ],
)
def test_an_event_is_preamble_meaningful_error_or_done(data: str, expected: str) -> None:
    assert classify_event(Event("message", data)) == expected


@pytest.mark.parametrize(
    ("event", "body"),
    [
        (Event("message", '{"error": {"message": "no"}}'), {"error": {"message": "no"}}),
        (Event("error", '{"message": "no"}'), {"error": {"message": "no"}}),
        (Event("error", "overloaded"), {"error": {"message": "overloaded"}}),
    ],
)
def test_the_error_of_an_event_reads_like_an_error_answer(event: Event, body: dict[str, object]) -> None:
    assert classify_event(event) == "error"
    assert carried_error(event) == body


def test_our_error_event_is_read_as_one() -> None:
    raw = error_event({"message": "gone\nfor good", "code": "upstream_error"})
    (event,) = EventReader().feed(raw)
    assert classify_event(event) == "error"
    assert carried_error(event) == {"error": {"message": "gone\nfor good", "code": "upstream_error"}}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            chunk(choices=[{"index": 1, "finish_reason": "stop"}, {"index": 0, "finish_reason": None}]),
            {0: False, 1: True},
        ),
        (chunk(choices=[], usage={}), {}),
        ("[DONE]", {}),
    ],
)
def test_which_choices_a_chunk_is_about(data: str, expected: dict[int, bool]) -> None:
    assert answers_in(Event("message", data)) == expected
