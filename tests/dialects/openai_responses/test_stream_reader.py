"""A provider's stream: events on the left, deltas on the right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.conversation import (
    Citation,
    Ending,
    Finish,
    Image,
    Opaque,
    Refusal,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Plan
from gateway.dialects.failure import FailureKind
from gateway.dialects.openai_responses.stream_reader import StreamReader
from gateway.usage import Usage
from gateway.wire.sse import Event

D = "openai_responses"
HEAD = {"id": "resp_1", "model": "gpt-5", "created_at": 1700000000, "status": "in_progress", "error": None}
BEGIN = Begin("resp_1", "gpt-5", 1700000000)
DONE = Finished(Ending(Finish.STOP, "completed"))
CALLED = Finished(Ending(Finish.TOOL_CALLS, "completed"))


def event(kind: str, **fields: Any) -> Event:
    return Event(f"response.{kind}", json.dumps({"type": f"response.{kind}", **fields}))


def read(*events: Event) -> list[Delta]:
    """What the events between the beginning and the end say."""
    reader = StreamReader(Plan("main", names={"files_read": "files.read"}))
    deltas: list[Delta] = []
    for each in (event("created", response=HEAD), event("in_progress", response=HEAD), *events):
        deltas += reader.feed(each)
    return deltas + reader.end()


def completed(*output: Any, **fields: Any) -> Event:
    return event("completed", response={**HEAD, "status": "completed", "output": list(output), **fields})


def part(said: str, place: int = 0, kind: str = "output_text") -> dict[str, Any]:
    field = "refusal" if kind == "refusal" else "text"
    return {"output_index": 0, "content_index": place, "part": {"type": kind, field: said}}


MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "files_read", "arguments": ""}


def test_a_text_comes_piece_by_piece() -> None:
    deltas = read(
        event("output_item.added", output_index=0, item=MESSAGE),
        event("content_part.added", **part("")),
        event("output_text.delta", output_index=0, content_index=0, delta="he", logprobs=[]),
        event("output_text.delta", output_index=0, content_index=0, delta="llo", logprobs=[{"token": "llo"}]),
        event("output_text.done", output_index=0, content_index=0, text="hello"),
        event("content_part.done", **part("hello")),
        event(
            "output_item.done", output_index=0, item={**MESSAGE, "content": [{"type": "output_text", "text": "hello"}]}
        ),
        completed(MESSAGE, usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}),
    )
    assert deltas == [
        BEGIN,
        Open(0, Text("")),
        More(0, "he"),
        More(0, "llo", {"content": [{"token": "llo"}]}),
        Close(0),
        DONE,
        Used(Usage(3, output_text=2)),
        End(),
    ]


@pytest.mark.parametrize(
    "events",
    [
        (event("output_text.done", output_index=0, content_index=0, text="hello"),),
        (event("content_part.done", **part("hello")),),
        (
            event(
                "output_item.done",
                output_index=0,
                item={**MESSAGE, "content": [{"type": "output_text", "text": "hello"}]},
            ),
        ),
        (completed({**MESSAGE, "content": [{"type": "output_text", "text": "hello"}]}),),
        (
            event("output_text.delta", output_index=0, content_index=0, delta="hel"),
            event("content_part.done", **part("hello")),
        ),
    ],
)
def test_a_text_is_whole_whichever_event_says_it(events: tuple[Event, ...]) -> None:
    deltas = read(*events, completed())
    assert "".join(delta.text for delta in deltas if isinstance(delta, More)) == "hello"
    assert [type(delta) for delta in deltas if not isinstance(delta, More)] == [Begin, Open, Close, Finished, End]


def test_a_message_has_a_block_for_each_piece() -> None:
    deltas = read(
        event("output_text.delta", output_index=0, content_index=0, delta="a"),
        event("refusal.delta", output_index=0, content_index=1, delta="n"),
        event("content_part.done", **part("no", 1, "refusal")),
        event("output_item.done", output_index=0, item=MESSAGE),
        completed(),
    )
    assert deltas[1:-2] == [
        Open(0, Text("")),
        More(0, "a"),
        Open(1, Refusal("")),
        More(1, "n"),
        More(1, "o"),
        Close(1),
        Close(0),
    ]
    assert deltas[-2] == Finished(Ending(Finish.REFUSAL, "completed"))


def test_citations_come_once() -> None:
    annotation = {"type": "url_citation", "url": "https://a.b", "title": "T", "start_index": 0, "end_index": 1}
    deltas = read(
        event("output_text.delta", output_index=0, content_index=0, delta="a"),
        event("output_text.annotation.added", output_index=0, content_index=0, annotation=annotation),
        event("output_text.annotation.added", output_index=0, content_index=0, annotation={"type": "file_path"}),
        event(
            "content_part.done",
            output_index=0,
            content_index=0,
            part={"type": "output_text", "text": "a", "annotations": [annotation]},
        ),
        completed(),
    )
    assert [delta for delta in deltas if isinstance(delta, Cited)] == [
        Cited(0, Citation("https://a.b", "T", start=0, end=1))
    ]


def test_calls_run_beside_each_other_and_get_their_names_back() -> None:
    deltas = read(
        event("output_item.added", output_index=0, item=CALL),
        event("output_item.added", output_index=1, item={**CALL, "call_id": "d", "name": "g"}),
        event("function_call_arguments.delta", output_index=0, delta='{"a"'),
        event("function_call_arguments.delta", output_index=1, delta="{"),
        event("function_call_arguments.delta", output_index=0, delta=":1}"),
        event("output_item.done", output_index=0, item={**CALL, "arguments": '{"a":1}'}),
        event("output_item.done", output_index=1, item={**CALL, "call_id": "d", "name": "g", "arguments": "{}"}),
        completed(),
    )
    assert deltas[1:] == [
        Open(0, ToolCall("c", "files.read", "")),
        Open(1, ToolCall("d", "g", "")),
        More(0, '{"a"'),
        More(1, "{"),
        More(0, ":1}"),
        Close(0),
        More(1, "}"),
        Close(1),
        CALLED,
        End(),
    ]


@pytest.mark.parametrize(
    "events",
    [
        (
            event("output_item.added", output_index=0, item=CALL),
            event("function_call_arguments.done", output_index=0, arguments='{"a":1}'),
        ),
        (event("output_item.done", output_index=0, item={**CALL, "arguments": '{"a":1}'}),),
        (
            event("output_item.added", output_index=0, item={**CALL, "arguments": '{"a":1}'}),
            event("output_item.done", output_index=0, item={**CALL, "arguments": '{"a":1}'}),
        ),
        (
            event("output_item.added", output_index=0, item={"type": "function_call"}),
            event("function_call_arguments.delta", output_index=0, delta='{"a"'),
            event("output_item.done", output_index=0, item={**CALL, "arguments": '{"a":1}'}),
        ),
        (completed({**CALL, "arguments": '{"a":1}'}),),
    ],
)
def test_arguments_are_whole_whichever_event_says_them(events: tuple[Event, ...]) -> None:
    deltas = read(*events, completed())
    assert deltas[1] == Open(0, ToolCall("c", "files.read", ""))
    assert "".join(delta.text for delta in deltas if isinstance(delta, More)) == '{"a":1}'
    assert deltas[-3:] == [Close(0), CALLED, End()]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    deltas = read(
        event("output_item.added", output_index=0, item=CALL),
        event("output_item.done", output_index=0, item=CALL),
        completed(),
    )
    assert deltas[2:4] == [More(0, "{}"), Close(0)]


def test_custom_tools_get_free_text() -> None:
    item = {"type": "custom_tool_call", "call_id": "p", "name": "patch", "input": ""}
    deltas = read(
        event("output_item.added", output_index=0, item=item),
        event("custom_tool_call_input.delta", output_index=0, delta="***"),
        event("custom_tool_call_input.done", output_index=0, input="*** Begin"),
        event("output_item.done", output_index=0, item={**item, "input": "*** Begin"}),
        completed(),
    )
    assert deltas[1:] == [
        Open(0, ToolCall("p", "patch", "", custom=True)),
        More(0, "***"),
        More(0, " Begin"),
        Close(0),
        CALLED,
        End(),
    ]


def test_thoughts_are_one_block_of_paragraphs_signed_in_the_end() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "early"}
    summary = [{"text": "one"}, {"text": "two"}]
    deltas = read(
        event("output_item.added", output_index=0, item=item),
        event("reasoning_summary_part.added", output_index=0, summary_index=0),
        event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="one"),
        event("reasoning_summary_text.delta", output_index=0, summary_index=1, delta="two"),
        event("output_item.done", output_index=0, item={**item, "summary": summary, "encrypted_content": "late"}),
        completed(),
    )
    assert deltas[1:-2] == [
        Open(0, Thinking("")),
        More(0, "one"),
        More(0, "\n\n"),
        More(0, "two"),
        Signed(0, Signature("late", D, "main")),
        Close(0),
    ]


@pytest.mark.parametrize(
    ("item", "deltas"),
    [
        ({"type": "reasoning", "summary": []}, []),
        (
            {"type": "reasoning", "summary": [], "encrypted_content": "x"},
            [Open(0, Thinking("")), Signed(0, Signature("x", D, "main")), Close(0)],
        ),
        (
            {"type": "reasoning", "summary": [], "content": [{"text": "t"}]},
            [Open(0, Thinking("")), More(0, "t"), Close(0)],
        ),
        (
            {"type": "web_search_call", "id": "ws_1"},
            [Open(0, Opaque(D, {"type": "web_search_call", "id": "ws_1"})), Close(0)],
        ),
        (
            {"type": "image_generation_call", "result": "QUJD"},
            [Open(0, Image(Source("base64", "QUJD", "image/png"))), Close(0)],
        ),
    ],
)
def test_items_that_come_whole_are_passed_on_whole(item: dict[str, Any], deltas: list[Delta]) -> None:
    done = event("output_item.done", output_index=0, item=item)
    assert read(done, event("web_search_call.completed", output_index=0), completed())[1:-2] == deltas


def test_thoughts_in_full_are_not_mixed_with_their_summary() -> None:
    deltas = read(
        event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="short"),
        event("reasoning_text.delta", output_index=0, content_index=0, delta="long"),
        completed(),
    )
    assert [delta.text for delta in deltas if isinstance(delta, More)] == ["short"]


def test_an_incomplete_response_says_why() -> None:
    cut = event("incomplete", response={"incomplete_details": {"reason": "max_output_tokens"}})
    assert read(cut)[1:] == [Finished(Ending(Finish.LENGTH, "max_output_tokens")), End()]


@pytest.mark.parametrize(
    ("payload", "kind", "message"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, FailureKind.RATE_LIMIT, "slow"),
        (
            {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "slow"}},
            FailureKind.RATE_LIMIT,
            "slow",
        ),
        (
            {"type": "response.failed", "response": {**HEAD, "error": {"code": "server_error", "message": "no"}}},
            FailureKind.SERVER,
            "no",
        ),
        ({"error": {"message": "no", "code": 502}}, FailureKind.SERVER, "no"),
    ],
)
def test_an_error_breaks_the_stream_and_nothing_follows(
    payload: dict[str, Any], kind: FailureKind, message: str
) -> None:
    reader = StreamReader(Plan())
    begin, broken = reader.feed(Event("message", json.dumps(payload)))
    assert isinstance(begin, Begin)
    assert isinstance(broken, Broken)
    assert (broken.failure.kind, broken.failure.message, broken.failure.status) == (kind, message, 0)
    assert reader.feed(completed()) == []
    assert reader.end() == []


@pytest.mark.parametrize("data", ["", "nonsense", "[1]", "3", "null"])
def test_an_event_that_cannot_be_read_breaks_the_stream(data: str) -> None:
    assert [type(delta) for delta in StreamReader(Plan()).feed(Event("message", data))] == [Begin, Broken]


def test_a_stream_without_its_last_event_is_broken() -> None:
    deltas = read(event("output_text.delta", output_index=0, content_index=0, delta="a"), Event("message", "[DONE]"))
    assert isinstance(deltas[-1], Broken)
    assert [type(delta) for delta in StreamReader(Plan()).end()] == [Begin, Broken]


def test_nothing_follows_the_end() -> None:
    reader = StreamReader(Plan())
    assert reader.feed(completed())[-1] == End()
    assert reader.feed(event("output_text.delta", output_index=0, content_index=0, delta="a")) == []
    assert reader.feed(Event("message", "[DONE]")) == []
    assert reader.end() == []


@pytest.mark.parametrize("data", ["{}", '{"type":"keepalive"}', '{"type":"response.brand_new"}'])
def test_events_that_say_nothing_are_passed_over(data: str) -> None:
    assert read(Event("message", data), completed()) == [BEGIN, DONE, End()]


@pytest.mark.parametrize("name", [{}, {"name": ""}, {"name": -1}])
def test_a_call_of_a_tool_that_is_not_named_ends_the_stream_as_broken(name: dict[str, object]) -> None:
    call = {"type": "function_call", "call_id": "call_1", "arguments": "{}", **name}
    reader = StreamReader(Plan())
    deltas = reader.feed(event("output_item.done", output_index=0, item=call))
    assert isinstance(deltas[-1], Broken)
    assert deltas[-1].failure.kind is FailureKind.SERVER
    assert "without its name" in deltas[-1].failure.message
    assert reader.feed(event("completed", response=HEAD)) == reader.end() == []
