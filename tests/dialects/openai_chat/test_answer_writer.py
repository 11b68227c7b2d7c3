"""An answer as a client of Chat Completions gets it."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from gateway.dialects.continuity import seal
from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Request,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.dialect import Scene
from gateway.dialects.losses import Losses
from gateway.dialects.openai_chat.answer_writer import write_answer
from gateway.usage import Usage

STOP = Ending(Finish.STOP)
CLAUDE = Signature("sig", "anthropic", "claude")
GEMINI = Signature("sig", "gemini", "google")
OWN = Signature("sig", "openai_chat", "theirs")


def scene(legacy: bool = False) -> Scene:
    request = Request("openai_chat", "alias", (Message("user", (Text("Hi"),)),), legacy_calls=legacy)
    return Scene(request, "alias", "claude", 7, "abc")


def write(*parts: Part, ending: Ending = STOP, legacy: bool = False, losses: Losses | None = None) -> dict[str, Any]:
    written = write_answer(Answer("", "m", (Choice(parts, ending),)), scene(legacy), losses or Losses())
    ChatCompletion.model_validate(written)  # the official SDK reads it
    choice: dict[str, Any] = written["choices"][0]
    return choice


def message(*parts: Part, **fields: Any) -> dict[str, Any]:
    written: dict[str, Any] = write(*parts, **fields)["message"]
    return written


def test_an_answer_has_the_clients_name_for_the_model_and_what_it_lacked() -> None:
    answer = Answer("", "claude-x", (Choice((Text("4"),), STOP),), Usage(2, output_text=1))
    written = write_answer(answer, scene(), Losses())
    ChatCompletion.model_validate(written)
    assert written == {
        "id": "chatcmpl-abc",
        "object": "chat.completion",
        "created": 7,
        "model": "alias",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "4", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
    }


def test_an_answers_own_id_and_time_are_kept() -> None:
    written = write_answer(Answer("msg_1", "m", (Choice((), STOP),), None, 5, "flex"), scene(), Losses())
    assert (written["id"], written["created"], written["service_tier"]) == ("msg_1", 5, "flex")
    assert "usage" not in written
    assert written["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((Text("a"), Text("b")), {"content": "ab", "refusal": None}),
        ((Refusal("No"),), {"content": None, "refusal": "No"}),
        ((Thinking("H"), Thinking("m"), Text("4")), {"content": "4", "refusal": None, "reasoning_content": "Hm"}),
        (
            (Thinking("Hm", CLAUDE), RedactedThinking(CLAUDE), Text("4")),
            {
                "content": "4",
                "refusal": None,
                "reasoning_content": "Hm",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "Hm", "signature": seal(CLAUDE, "")},
                    {"type": "redacted_thinking", "data": seal(CLAUDE, "")},
                ],
            },
        ),
        (
            (Text("4", signature=GEMINI),),
            {
                "content": "4",
                "refusal": None,
                "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": seal(GEMINI, "")}],
            },
        ),
        (
            (Image(Source("base64", "AA==", "image/png")),),
            {
                "content": "",
                "refusal": None,
                "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
            },
        ),
        ((Opaque("openai_chat", {"annotations": []}),), {"content": "", "refusal": None, "annotations": []}),
    ],
)
def test_parts_have_their_places_in_the_message(parts: tuple[Part, ...], expected: dict[str, Any]) -> None:
    assert message(*parts) == {"role": "assistant", **expected}


def test_citations_count_from_the_beginning_of_the_whole_text() -> None:
    written = message(Text("abc"), Text("def", citations=(Citation("u", "t", "q", 1, 2), Citation("v"))))
    assert written["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"url": "u", "title": "t", "start_index": 4, "end_index": 5, "content": "q"},
        },
        {"type": "url_citation", "url_citation": {"url": "v", "title": "", "start_index": 0, "end_index": 0}},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (ToolCall("c", "f", '{"a'), {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a'}}),
        (ToolCall("c", "f", "x", True), {"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}),
        (ToolCall("", "f"), {"id": "call_abc_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}),
        (
            ToolCall("c", "f", signature=GEMINI),
            {
                "id": f"c__thought__{seal(GEMINI, '').rstrip('=')}",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
            },
        ),
        (
            ToolCall("c", "f", signature=OWN),
            {
                "id": "c",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "sig"}},
            },
        ),
    ],
)
def test_a_call_carries_its_signature(call: ToolCall, expected: dict[str, Any]) -> None:
    written = message(call)
    assert written["tool_calls"] == [expected]
    assert written["content"] is None


def test_a_client_of_functions_gets_one_function_call() -> None:
    losses = Losses()
    choice = write(ToolCall("c", "f"), ToolCall("d", "g"), ending=Ending(Finish.TOOL_CALLS), legacy=True, losses=losses)
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]
    assert [loss.name for loss in losses.entries] == ["parallel_call"]


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (Ending(Finish.STOP, "stop"), {"finish_reason": "stop"}),
        (Ending(Finish.STOP, "end_turn"), {"finish_reason": "stop", "native_finish_reason": "end_turn"}),
        (Ending(Finish.STOP_SEQUENCE, "", "END"), {"finish_reason": "stop", "stop_reason": "END"}),
        (Ending(Finish.LENGTH), {"finish_reason": "length"}),
        (Ending(Finish.TOOL_CALLS), {"finish_reason": "tool_calls"}),
        (Ending(Finish.CONTENT_FILTER, "SAFETY"),
         {"finish_reason": "content_filter", "native_finish_reason": "SAFETY"}),
        (Ending(Finish.REFUSAL), {"finish_reason": "content_filter"}),
        (Ending(Finish.PAUSE), {"finish_reason": "stop"}),
        (Ending(Finish.ERROR), {"finish_reason": "stop"}),
    ],
)  # fmt: skip
def test_the_end_is_one_of_openais_words(ending: Ending, expected: dict[str, Any]) -> None:
    choice = write(Text("x"), ending=ending)
    assert {name: value for name, value in choice.items() if name not in ("index", "message", "logprobs")} == expected


def test_a_refusal_in_words_is_an_answer_that_stopped() -> None:
    assert write(Refusal("No"), ending=Ending(Finish.REFUSAL))["finish_reason"] == "stop"


def test_a_part_that_only_another_dialect_knows_is_noted() -> None:
    losses = Losses()
    message(Text("x"), Opaque("anthropic", {"type": "server_tool_use"}), losses=losses)
    assert [(loss.path, loss.name, loss.content) for loss in losses.entries] == [
        ("answer.server_tool_use", "opaque_part", True)
    ]
