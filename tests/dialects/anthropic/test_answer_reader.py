"""A Claude's answers, and what they say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic.answer_reader import read_answer
from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Opaque,
    Part,
    RedactedThinking,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.usage import Usage

PLAN = Plan("main", {"a_b": "a.b"}, custom=frozenset({"patch"}))
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
BY_CODE = {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "code_execution_20250825"}}
FOUND = {
    "type": "web_search_result_location", "url": "https://example.com", "title": "T", "cited_text": "said",
    "encrypted_index": "E",
}  # fmt: skip


def message(*content: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": list(content),
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 5}, **fields,
    }  # fmt: skip


def test_an_answer_is_read_whole() -> None:
    body = message(
        {"type": "text", "text": "Hi"}, usage={"input_tokens": 3, "output_tokens": 5, "service_tier": "standard"}
    )
    choice = Choice((Text("Hi"),), Ending(Finish.STOP, "end_turn"))
    assert read_answer(body, PLAN) == Answer(
        "msg_1", "claude-x", (choice,), Usage(3, output_text=5), service_tier="default"
    )


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": ""}, Text("")),
        (
            {"type": "text", "text": "Hi", "citations": [FOUND, {"type": "char_location", "cited_text": "x"}]},
            Text("Hi", citations=(Citation("https://example.com", "T", "said"),)),
        ),
        ({"type": "text", "text": "Hi", "citations": None}, Text("Hi")),
        (
            {"type": "thinking", "thinking": "", "signature": "EqQB"},
            Thinking("", Signature("EqQB", "anthropic", "main")),
        ),
        ({"type": "thinking", "thinking": "Hm"}, Thinking("Hm")),
        ({"type": "redacted_thinking", "data": "Emw"}, RedactedThinking(Signature("Emw", "anthropic", "main"))),
        (
            {"type": "tool_use", "id": "t", "name": "a_b", "input": {"x": 1}, "caller": {"type": "direct"}},
            ToolCall("t", "a.b", '{"x":1}'),
        ),
        ({"type": "tool_use", "id": "t", "name": "f", "input": None}, ToolCall("t", "f", "{}")),
        (
            {"type": "tool_use", "id": "t", "name": "patch", "input": {"input": "*** Begin"}},
            ToolCall("t", "patch", "*** Begin", True),
        ),
        (
            {"type": "tool_use", "id": "t", "name": "patch", "input": {"else": 1}},
            ToolCall("t", "patch", '{"else":1}', True),
        ),
        (SEARCH, Opaque("anthropic", SEARCH)),
        (
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
            Opaque("anthropic", {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}),
        ),
        (
            {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "code_execution_20250825"}},
            Opaque(
                "anthropic",
                {
                    "type": "tool_use",
                    "id": "t",
                    "name": "f",
                    "input": {},
                    "caller": {"type": "code_execution_20250825"},
                },
            ),
        ),
    ],
)
def test_a_block_is_a_part(block: dict[str, Any], part: Part) -> None:
    assert read_answer(message(block), PLAN).choices[0].parts == (part,)


CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}


@pytest.mark.parametrize(
    ("reason", "content", "finish"),
    [
        ("end_turn", [], Finish.STOP),
        ("stop_sequence", [], Finish.STOP_SEQUENCE),
        ("max_tokens", [CALL], Finish.LENGTH),
        ("model_context_window_exceeded", [], Finish.LENGTH),
        ("tool_use", [CALL], Finish.TOOL_CALLS),
        ("tool_use", [SEARCH], Finish.STOP),
        ("refusal", [], Finish.REFUSAL),
        ("pause_turn", [SEARCH], Finish.PAUSE),
        ("brand_new", [], Finish.STOP),
        ("brand_new", [CALL], Finish.TOOL_CALLS),
        (None, [], Finish.STOP),
    ],
)
def test_why_the_model_stopped(reason: str | None, content: list[Any], finish: Finish) -> None:
    ending = read_answer(message(*content, stop_reason=reason), PLAN).choices[0].ending
    assert (ending.finish, ending.native) == (finish, reason or "")


def test_where_it_stopped_and_what_it_says_of_a_refusal() -> None:
    body = message(
        stop_reason="refusal", stop_sequence="END",
        stop_details={"type": "refusal", "category": "cyber", "explanation": "No."},
    )  # fmt: skip
    assert read_answer(body, PLAN).choices[0].ending == Ending(Finish.REFUSAL, "refusal", "END", "No.")


@pytest.mark.parametrize(
    "body",
    [
        None, [], "text", 7, {}, {"content": None}, {"content": "Hi"},
        {"type": "error", "error": {"type": "api_error", "message": "no"}},
        {"content": ["Hi"]}, {"content": [{}]}, {"content": [{"type": "text"}]}, {"content": [{"type": "thinking"}]},
        {"content": [{"type": "tool_use", "id": 7, "name": "f"}]}, {"content": [{"type": "redacted_thinking"}]},
    ],
)  # fmt: skip
def test_what_is_no_message_is_malformed(body: object) -> None:
    with pytest.raises(MalformedAnswerError):
        read_answer(body, PLAN)


WORDS = [
    "type", "text", "thinking", "signature", "tool_use", "id", "name", "input", "content", "usage", "stop_reason",
    "citations", "url", "data", "redacted_thinking", "caller", "model", "stop_details", "explanation", "patch",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=15,
)


@given(JSON, st.lists(st.dictionaries(st.sampled_from(WORDS), JSON), max_size=3))
def test_no_json_makes_the_reader_fail_otherwise(body: Any, blocks: list[Any]) -> None:
    for candidate in (body, message(*blocks)):
        try:
            read_answer(candidate, PLAN)
        except MalformedAnswerError:
            pass
