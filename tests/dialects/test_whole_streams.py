"""Whole answers as the streams that they would have been: who puts one together has the answer again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.conductor.stream_ends import Reader
from gateway.dialects.anthropic.whole_stream import stream_message
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.gemini.whole_stream import stream_generation
from gateway.dialects.names import DialectName
from gateway.dialects.openai_chat.whole_stream import stream_chat, stream_completion
from gateway.dialects.openai_responses.whole_stream import stream_response
from gateway.dialects.registry import load_dialect
from gateway.dialects.whole import Collector
from gateway.wire.sse import EventReader
from tests.e2e.test_recordings import TRAFFIC, recordings

Write = Callable[[object], bytes]

WRITERS: dict[str, tuple[DialectName, Write]] = {
    "chat": ("openai_chat", lambda answer: stream_chat(answer, usage=True)),
    "messages": ("anthropic", stream_message),
    "responses": ("openai_responses", stream_response),
}

READ_OTHERWISE = {"gemini-bcef06432a", "deepseek-2f2577e5b6"}
"""Recordings whose stream is read another way: a call without an id, log probabilities of thoughts."""


def payloads(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in EventReader(len(stream)).feed(stream) if event.data != "[DONE]"]


@pytest.mark.skipif(not TRAFFIC.is_dir(), reason="no recordings here")
@pytest.mark.parametrize("endpoint", WRITERS)
def test_recorded_answers_come_through(endpoint: str) -> None:
    name, write = WRITERS[endpoint]
    dialect, plan = load_dialect(name), Plan("main")
    seen = 0
    for record in recordings():
        if record["endpoint"] != endpoint or record["stream"] or record["status"] != 200:
            continue
        try:
            answer = json.loads(record["response_body"])
        except ValueError:
            continue
        try:
            whole = dialect.read_answer(answer, plan)
        except MalformedAnswerError:
            continue
        seen += 1
        collector, reader = Collector(), Reader(dialect.stream_reader(plan), str)
        collector.feed(reader.feed(write(answer)))
        if not reader.ended:
            collector.feed(reader.end())
        assert collector.failure is None, record["id"]
        assert collector.answer == whole or record["id"] in READ_OTHERWISE, record["id"]
    assert seen > 30


def test_a_chat_keeps_what_nobody_knows_and_numbers_its_calls() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call, call], "new": 1}
    choices = [
        {"index": 0, "message": message, "logprobs": {"content": []}, "finish_reason": "tool_calls", "why": "x"},
        {"index": 1, "message": {"content": "b"}, "finish_reason": "stop"},
    ]
    answer: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion",
        "newer": 2,
        "choices": choices,
        "usage": {"total_tokens": 1},
    }
    stream = stream_chat(answer, usage=True)
    head = {"id": "c", "object": "chat.completion.chunk", "newer": 2}
    calls = [{"index": 0, **call}, {"index": 1, **call}]
    first = {"index": 0, "logprobs": {"content": []}, "why": "x"}
    assert stream.endswith(b"data: [DONE]\n\n")
    assert payloads(stream) == [
        {**head, "choices": [{**first, "delta": {**message, "tool_calls": calls}, "finish_reason": None}]},
        {**head, "choices": [{**first, "logprobs": None, "delta": {}, "finish_reason": "tool_calls"}]},
        {**head, "choices": [{"index": 1, "delta": {"role": "assistant", "content": "b"}, "finish_reason": None}]},
        {**head, "choices": [{"index": 1, "logprobs": None, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": {"total_tokens": 1}},
    ]
    assert payloads(stream_chat(answer, usage=False)) == payloads(stream)[:-1]


def test_a_completion_is_one_chunk() -> None:
    answer: dict[str, Any] = {
        "object": "text_completion",
        "choices": [{"text": "a"}, {"text": "b"}],
        "usage": {"total_tokens": 1},
    }
    assert payloads(stream_completion(answer, usage=False)) == [
        {"object": "text_completion", "choices": [{"text": "a"}, {"text": "b"}]}
    ]
    assert payloads(stream_completion(answer, usage=True))[1:] == [
        {"object": "text_completion", "choices": [], "usage": {"total_tokens": 1}}
    ]


def test_a_message_comes_in_the_pieces_that_its_blocks_have() -> None:
    cited = {"type": "char_location", "cited_text": "x"}
    answer: dict[str, Any] = {
        "id": "msg_1",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "abc"},
            {"type": "text", "text": "Hi", "citations": [cited]},
            {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {"query": "x"}},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "context_management": {"applied_edits": []},
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    events = payloads(stream_message(answer))
    assert events[0]["message"] == {
        "id": "msg_1", "content": [], "stop_reason": None, "stop_sequence": None, "context_management": None,
        "usage": {"input_tokens": 3, "output_tokens": 0},
    }  # fmt: skip
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert blocks == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "text", "text": "", "citations": []},
        {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}},
    ]
    deltas = [(event["index"], event["delta"]) for event in events if event["type"] == "content_block_delta"]
    assert deltas == [
        (0, {"type": "thinking_delta", "thinking": "Hm"}),
        (0, {"type": "signature_delta", "signature": "sig"}),
        (2, {"type": "text_delta", "text": "Hi"}),
        (2, {"type": "citations_delta", "citation": cited}),
        (3, {"type": "input_json_delta", "partial_json": '{"query":"x"}'}),
    ]
    assert events[-2:] == [
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 3, "output_tokens": 2},
            "context_management": {"applied_edits": []},
        },
        {"type": "message_stop"},
    ]


def test_a_response_repeats_its_items_as_they_are() -> None:
    text = {"type": "output_text", "text": "Hi", "annotations": [{"type": "file_citation", "index": 1}], "logprobs": []}
    thoughts = {
        "type": "reasoning",
        "id": "rs",
        "summary": [{"type": "summary_text", "text": "Hm"}],
        "encrypted_content": "e",
    }
    items: list[dict[str, Any]] = [
        thoughts,
        {"type": "message", "id": "m", "status": "completed", "content": [text, {"type": "refusal", "refusal": "No"}]},
        {
            "type": "function_call",
            "id": "fc",
            "call_id": "c",
            "name": "f",
            "arguments": '{"a":1}',
            "status": "completed",
        },
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}},
    ]
    answer = {"id": "resp_1", "status": "incomplete", "output": items, "usage": {"input_tokens": 1}, "new": 1}
    events = payloads(stream_response(answer))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    begun: dict[str, Any] = {"id": "resp_1", "status": "in_progress", "output": [], "usage": None, "new": 1}
    assert [event["response"] for event in events if "response" in event] == [begun, begun, answer]
    assert events[-1]["type"] == "response.incomplete"
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == items
    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert added[0] == {**thoughts, "summary": []}
    assert added[1] == {**items[1], "status": "in_progress", "content": []}
    assert (added[2]["arguments"], added[3]["input"]) == ("", "")
    said = [(event["type"], event["output_index"], event["delta"]) for event in events if "delta" in event]
    assert said == [
        ("response.reasoning_summary_text.delta", 0, "Hm"),
        ("response.output_text.delta", 1, "Hi"),
        ("response.refusal.delta", 1, "No"),
        ("response.function_call_arguments.delta", 2, '{"a":1}'),
        ("response.custom_tool_call_input.delta", 3, "x"),
    ]
    annotations = [event["annotation"] for event in events if "annotation" in event]
    assert annotations == text["annotations"]


def test_a_generation_is_one_event() -> None:
    answer = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}], "new": 1}
    assert payloads(stream_generation(answer, array=False)) == [answer]
    assert json.loads(stream_generation(answer, array=True)) == [answer]


@pytest.mark.parametrize(
    ("write", "answers"),
    [
        (WRITERS["chat"][1], [None, [], {}, {"choices": 1}, {"choices": [1]}, {"choices": [{"message": None}]}]),
        (lambda answer: stream_completion(answer, usage=True), [None, {}, {"choices": [None]}]),
        (stream_message, [None, {}, {"content": "x"}, {"content": ["x"]}]),
        (stream_response, [None, {}, {"output": {}}, {"output": [1]}]),
        (lambda answer: stream_generation(answer, array=False), [None, [], "x"]),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(write: Write, answers: list[object]) -> None:
    for answer in answers:
        with pytest.raises(MalformedAnswerError):
            write(answer)
