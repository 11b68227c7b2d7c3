"""What a provider of Chat Completions answers, in nobody's words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.openai_chat.answer_reader import read_answer
from gateway.usage import Usage

PLAN = Plan("theirs")


def body(message: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]}


def parts_of(plan: Plan = PLAN, **message: Any) -> tuple[Part, ...]:
    return read_answer(body(message), plan).choices[0].parts


def own(data: str) -> Signature:
    return Signature(data, "openai_chat", "theirs")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"content": [{"token": "a"}], "refusal": None}, {"content": [{"token": "a"}], "refusal": None}),
        ({"content": 7, "tokens": ["a"]}, {"tokens": ["a"]}),
        ({"content": {}}, None),
        ([], None),
    ],
)
def test_log_probabilities_stay_as_they_came_but_for_what_is_no_list(said: object, expected: object) -> None:
    assert read_answer(body({"content": "a"}, logprobs=said), PLAN).choices[0].logprobs == expected


def test_an_answer_has_choices_in_their_order_usage_and_time() -> None:
    answer = read_answer(
        {
            "id": "chatcmpl-1",
            "model": "m-1",
            "created": 5.0,
            "service_tier": "default",
            "choices": [
                {"index": 1, "message": {"content": "b"}, "finish_reason": "length"},
                {"index": 0, "message": {"content": "a"}, "finish_reason": "stop", "logprobs": {"content": []}},
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
        },
        PLAN,
    )
    assert answer == Answer(
        "chatcmpl-1",
        "m-1",
        (
            Choice((Text("a"),), Ending(Finish.STOP, "stop"), {"content": []}),
            Choice((Text("b"),), Ending(Finish.LENGTH, "length")),
        ),
        Usage(1, output_text=0),
        5,
        "default",
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": "4", "refusal": None, "annotations": [], "tool_calls": None}, (Text("4"),)),
        ({"content": None}, ()),
        ({"content": ""}, ()),
        ({"refusal": "No"}, (Refusal("No"),)),
        ({"content": {"a": 1}}, (Text('{"a":1}'),)),
        ({"content": "4", "reasoning": "Hm"}, (Thinking("Hm"), Text("4"))),
        ({"content": "4", "reasoning_content": "Hm", "reasoning": "Hm"}, (Thinking("Hm"), Text("4"))),
        (
            {"content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m"}]},
                {"type": "text", "text": "4"},
                {"type": "reference", "reference_ids": [1]},
            ]},
            (Thinking("Hm"), Text("4"), Opaque("openai_chat", {"type": "reference", "reference_ids": [1]})),
        ),
        (
            {"content": "4", "reasoning": "Hm", "reasoning_details": [
                {"type": "reasoning.summary", "summary": "Hm", "format": "f", "index": 0},
                {"type": "reasoning.encrypted", "data": "e", "id": "rs_1"},
            ]},
            (
                Thinking("Hm", own('{"type":"reasoning.summary","format":"f","index":0}')),
                RedactedThinking(own('{"type":"reasoning.encrypted","data":"e","id":"rs_1"}')),
                Text("4"),
            ),
        ),
        (
            {"content": "4", "extra_content": {"google": {"thought": True, "thought_signature": "s"}}},
            (RedactedThinking(own('{"google":{"thought":true,"thought_signature":"s"}}')), Text("4")),
        ),
        (
            {"content": "", "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
            (Image(Source("base64", "AA==", "image/png")),),
        ),
        ({"audio": {"id": "a", "data": "AA"}}, (Opaque("openai_chat", {"audio": {"id": "a", "data": "AA"}}),)),
        ({"audio": {"id": "", "data": "", "expires_at": 0}, "function_call": {"name": "", "arguments": ""}}, ()),
        ({"function_call": {"name": "", "arguments": ""}, "tool_calls": [{"id": "", "function": {"name": ""}}]}, ()),
    ],
)  # fmt: skip
def test_a_message_is_read_whatever_its_server_calls_things(
    message: dict[str, Any], expected: tuple[Part, ...]
) -> None:
    assert parts_of(**message) == expected


def test_annotations_and_addresses_beside_the_choices_are_citations() -> None:
    annotation = {"url": "https://a.x", "title": "A", "start_index": 1, "end_index": 3}
    unplaced = {"url": "https://b.x", "title": "B", "start_index": 0, "end_index": 0, "content": "said"}
    answer = body(
        {
            "content": "text",
            "annotations": [
                {"type": "url_citation", "url_citation": annotation},
                {"type": "url_citation", "url_citation": unplaced},
                {"type": "file", "file": {}},
            ],
        }
    ) | {"citations": ["https://a.x", "https://c.x"], "search_results": [{"url": "https://c.x", "title": "C"}]}
    assert read_answer(answer, PLAN).choices[0].parts == (
        Text(
            "text",
            citations=(
                Citation("https://a.x", "A", start=1, end=3),
                Citation("https://b.x", "B", "said"),
                Citation("https://c.x", "C"),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("call", "plan", "expected"),
    [
        ({"id": "c", "function": {"name": "f", "arguments": '{"a'}}, PLAN, ToolCall("c", "f", '{"a')),
        ({"id": "c", "function": {"name": "f", "arguments": None}}, PLAN, ToolCall("c", "f", "{}")),
        ({"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}, PLAN, ToolCall("c", "f", '{"a":1}')),
        ({"id": "c", "custom": {"name": "f", "input": "x"}}, PLAN, ToolCall("c", "f", "x", True)),
        ({"id": "c", "function": {"name": "a_b"}}, Plan("theirs", {"a_b": "a.b"}), ToolCall("c", "a.b", "{}")),
        (
            {"id": "c", "function": {"name": "f", "arguments": '{"input":"ls"}'}},
            Plan("theirs", custom=frozenset({"f"})),
            ToolCall("c", "f", "ls", True),
        ),
        (
            {"id": "c", "function": {"name": "f", "arguments": "ls"}},
            Plan("theirs", custom=frozenset({"f"})),
            ToolCall("c", "f", "ls", True),
        ),
        (
            {"id": "c", "function": {"name": "f"}, "extra_content": {"google": {"thought_signature": "s"}}},
            PLAN,
            ToolCall("c", "f", signature=own("s")),
        ),
    ],
)
def test_a_call_gets_back_what_the_request_changed(call: dict[str, Any], plan: Plan, expected: ToolCall) -> None:
    assert parts_of(plan, tool_calls=[call]) == (expected,)


def test_calls_without_an_id_get_one_each() -> None:
    call = {"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    first, second = (part.id for part in parts_of(tool_calls=[call, call]) if isinstance(part, ToolCall))
    assert first.startswith("call_")
    assert first != second
    assert parts_of(tool_calls=[call]) == parts_of(tool_calls=[call])


@pytest.mark.parametrize(
    ("choice", "message", "expected"),
    [
        ({"finish_reason": "stop"}, {}, Ending(Finish.STOP, "stop")),
        ({"finish_reason": "eos"}, {}, Ending(Finish.STOP, "eos")),
        ({"finish_reason": ""}, {}, Ending(Finish.STOP)),
        ({"finish_reason": None}, {}, Ending(Finish.STOP)),
        ({"finish_reason": "surprise"}, {}, Ending(Finish.STOP, "surprise")),
        ({"finish_reason": "stop", "native_finish_reason": "end_turn"}, {}, Ending(Finish.STOP, "end_turn")),
        ({"finish_reason": "stop", "stop_reason": "END"}, {}, Ending(Finish.STOP_SEQUENCE, "stop", "END")),
        ({"finish_reason": "stop", "stop_reason": 128009}, {}, Ending(Finish.STOP, "stop")),
        ({"finish_reason": "stop"}, {"refusal": "No"}, Ending(Finish.REFUSAL, "stop")),
        ({"finish_reason": "content_filter"}, {"refusal": "No"}, Ending(Finish.CONTENT_FILTER, "content_filter")),
        (
            {"finish_reason": "stop"},
            {"tool_calls": [{"id": "c", "function": {"name": "f"}}]},
            Ending(Finish.TOOL_CALLS, "stop"),
        ),
        (
            {"finish_reason": "length"},
            {"tool_calls": [{"id": "c", "function": {"name": "f"}}]},
            Ending(Finish.LENGTH, "length"),
        ),
        ({"finish_reason": "function_call"}, {}, Ending(Finish.STOP, "function_call")),
        (
            {"finish_reason": "function_call"},
            {"function_call": {"name": "f"}},
            Ending(Finish.TOOL_CALLS, "function_call"),
        ),
        ({"finish_reason": "tool_calls"}, {"tool_calls": [{}, {"function": {}}]}, Ending(Finish.STOP, "tool_calls")),
        ({"finish_reason": "model_length"}, {}, Ending(Finish.LENGTH, "model_length")),
        ({"finish_reason": "error"}, {}, Ending(Finish.ERROR, "error")),
    ],
)
def test_the_end_has_our_word_and_the_providers(
    choice: dict[str, Any], message: dict[str, Any], expected: Ending
) -> None:
    assert read_answer(body(message, **choice), PLAN).choices[0].ending == expected


@pytest.mark.parametrize(
    "call",
    [{"id": "c"}, {"id": "c", "function": {"name": ""}}, {"function": {"arguments": "{}"}}, {"id": "c", "function": 7}],
)
def test_a_call_of_nobody_knows_what_is_malformed(call: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswerError, match="without its name"):
        read_answer(body({"tool_calls": [{"id": "d", "function": {"name": "f"}}, call]}), PLAN)


@pytest.mark.parametrize(
    "answer", [None, [], "x", {}, {"choices": []}, {"choices": [1]}, {"choices": [{"message": "x"}]}, {"choices": {}}]
)
def test_what_is_no_answer_is_malformed(answer: object) -> None:
    with pytest.raises(MalformedAnswerError):
        read_answer(answer, PLAN)
