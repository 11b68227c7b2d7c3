"""Neutral answers, and the messages that a client of Anthropic's gets."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.anthropic.answer_reader import read_answer
from gateway.dialects.anthropic.answer_writer import write_answer
from gateway.dialects.continuity import read_signature, split_id, unbind
from gateway.dialects.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Ending,
    Finish,
    Image,
    Opaque,
    Part,
    Reasoning,
    RedactedThinking,
    Refusal,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.dialect import Plan
from gateway.dialects.losses import Losses
from gateway.usage import Usage
from tests.dialects.anthropic.making import ask, scene

FOREIGN = Signature("CiQB:x", "gemini", "google")


def written(
    *parts: Part, finish: Finish = Finish.STOP, native: str = "", **fields: Any
) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    choice = Choice(parts, Ending(finish, native, fields.pop("stop", None), fields.pop("message", "")))
    answer = Answer(fields.pop("id", "chatcmpl-1"), "their-model", (choice,), **fields)
    return write_answer(answer, scene(provider="google"), losses), [loss.name for loss in losses.entries]


def test_an_answer_is_a_message() -> None:
    body, lost = written(Text("Hi"), usage=Usage(3, 0, output_text=5, reasoning=2), service_tier="priority")
    assert body == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "alias",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": None,
            "cache_read_input_tokens": 0,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 2},
            "service_tier": "priority",
        },
    }
    assert lost == []


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [(None, (5, 5)), (Usage(cache_read=7), (5, 5)), (Usage(3), (3, 5)), (Usage(3, output_text=0), (3, 0))],
)
def test_tokens_that_nobody_counted_are_estimated(usage: Usage | None, tokens: tuple[int, int]) -> None:
    parts = (Thinking("12345678"), Text("1234"), ToolCall("c", "f", '{"a":1}'))
    body, _ = written(*parts, usage=usage)
    assert (body["usage"]["input_tokens"], body["usage"]["output_tokens"]) == tokens


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Text(""), None),
        (Refusal("No."), {"type": "text", "text": "No."}),
        (
            Text("Hi", citations=(Citation("https://example.com", "", "q"),)),
            {
                "type": "text", "text": "Hi",
                "citations": [
                    {
                        "type": "web_search_result_location", "url": "https://example.com", "title": None,
                        "cited_text": "q", "encrypted_index": "",
                    }
                ],
            },
        ),
        (Thinking("Hm"), {"type": "thinking", "thinking": "Hm", "signature": ""}),
        (
            Thinking("", Signature("EqQB", "anthropic", "main")),
            {"type": "thinking", "thinking": "", "signature": "EqQB"},
        ),
        (ToolCall("t", "f", '{"a": 1}'), {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}),
        (ToolCall("t", "f", ""), {"type": "tool_use", "id": "t", "name": "f", "input": {}}),
        (ToolCall("", "f"), {"type": "tool_use", "id": "toolu_0af30", "name": "f", "input": {}}),
        (ToolCall("t", "f", '{"a":'), {"type": "tool_use", "id": "t", "name": "f", "input": {"INVALID_JSON": '{"a":'}}),
        (ToolCall("t", "f", "[1]"), {"type": "tool_use", "id": "t", "name": "f", "input": {"INVALID_JSON": "[1]"}}),
        (ToolCall("t", "f", "x", True), {"type": "tool_use", "id": "t", "name": "f", "input": {"input": "x"}}),
        (Opaque("anthropic", {"type": "server_tool_use"}), {"type": "server_tool_use"}),
    ],
)  # fmt: skip
def test_a_part_is_a_block(part: Part, block: dict[str, Any] | None) -> None:
    body, lost = written(part)
    assert (body["content"], lost) == ([block] if block else [], [])


def test_signatures_of_others_are_sealed_where_claudes_would_stand() -> None:
    call = ToolCall("call_1", "f", signature=FOREIGN)
    body, _ = written(Thinking("Hm", FOREIGN), RedactedThinking(FOREIGN), call)
    thinking, redacted, use = body["content"]
    assert read_signature(thinking["signature"], "anthropic") == FOREIGN
    assert read_signature(redacted["data"], "anthropic") == FOREIGN
    assert split_id(use["id"]) == ("call_1", FOREIGN)
    assert set(use["id"]) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


THINKS = [
    (Reasoning(budget=1024), True),
    (Reasoning(effort="high", adaptive=True), True),
    (Reasoning(effort="high"), False),
    (Reasoning(effort="none"), False),
    (None, False),
]


@pytest.mark.parametrize(("reasoning", "thinks"), THINKS)
def test_a_call_is_signed_by_a_block_before_it_where_the_client_sends_thoughts_back(
    reasoning: Reasoning | None, thinks: bool
) -> None:
    request = ask(dialect="anthropic", reasoning=reasoning)
    choice = Choice((ToolCall("call_1", "f", signature=FOREIGN), ToolCall("", "f")), Ending(Finish.TOOL_CALLS))
    *before, use, last = write_answer(Answer("", "", (choice,)), scene(request), Losses())["content"]
    assert [(block["type"], unbind(block["data"])) for block in before] == (
        [("redacted_thinking", ("call_1", FOREIGN))] if thinks else []
    )
    assert split_id(use["id"]) == ("call_1", None if thinks else FOREIGN)
    assert last["id"].startswith("toolu_")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (Image(Source("base64", "AA==", "image/png")), "image_part"),
        (Audio(Source("base64", "AA==")), "audio_part"),
        (Opaque("openai_responses", {"type": "web_search_call"}), "opaque_part"),
    ],
)
def test_what_a_message_cannot_show_is_lost_by_name(part: Part, name: str) -> None:
    body, lost = written(part)
    assert (body["content"], lost) == ([], [name])


def test_a_signed_text_is_shown_without_its_signature() -> None:
    body, lost = written(Text("Hi", signature=FOREIGN))
    assert (body["content"], lost) == ([{"type": "text", "text": "Hi"}], ["text_signature"])


@pytest.mark.parametrize(
    ("finish", "native", "reason"),
    [
        (Finish.STOP, "stop", "end_turn"),
        (Finish.STOP_SEQUENCE, "", "stop_sequence"),
        (Finish.LENGTH, "length", "max_tokens"),
        (Finish.LENGTH, "model_context_window_exceeded", "model_context_window_exceeded"),
        (Finish.TOOL_CALLS, "tool_calls", "tool_use"),
        (Finish.CONTENT_FILTER, "SAFETY", "refusal"),
        (Finish.REFUSAL, "refusal", "refusal"),
        (Finish.PAUSE, "pause_turn", "pause_turn"),
        (Finish.ERROR, "MALFORMED_FUNCTION_CALL", "end_turn"),
        (Finish.STOP, "tool_use", "end_turn"),
    ],
)
def test_why_it_stopped(finish: Finish, native: str, reason: str) -> None:
    assert written(Text("Hi"), finish=finish, native=native)[0]["stop_reason"] == reason


def test_calls_and_refusals_end_as_such_whatever_their_provider_says() -> None:
    assert written(ToolCall("t", "f"))[0]["stop_reason"] == "tool_use"
    assert written(Refusal("No."))[0]["stop_reason"] == "refusal"
    body, _ = written(finish=Finish.REFUSAL, message="Too hot.", stop="END")
    assert body["stop_details"] == {"type": "refusal", "category": None, "explanation": "Too hot."}
    assert body["stop_sequence"] == "END"


def test_an_answer_without_an_id_or_a_choice_is_still_a_message() -> None:
    body = write_answer(Answer("", "m", ()), scene(), Losses())
    assert (body["id"], body["content"], body["stop_reason"]) == ("msg_0af3", [], "end_turn")


def test_the_second_of_two_answers_is_lost() -> None:
    losses = Losses()
    choices = (Choice((Text("A"),), Ending(Finish.STOP)), Choice((Text("B"),), Ending(Finish.STOP)))
    body = write_answer(Answer("i", "m", choices), scene(), losses)
    assert body["content"] == [{"type": "text", "text": "A"}]
    assert [(loss.name, loss.content) for loss in losses.entries] == [("choices", True)]


def test_what_is_written_is_read_again() -> None:
    signature = Signature("EqQB", "anthropic", "main")
    parts = (
        Thinking("", signature),
        RedactedThinking(signature),
        Text("Hi", citations=(Citation("https://example.com", "T", "q"),)),
        Opaque("anthropic", {"type": "server_tool_use", "id": "s"}),
        ToolCall("t", "f", '{"a":1}'),
    )
    choice = Choice(parts, Ending(Finish.TOOL_CALLS, "tool_use", "END"))
    answer = Answer("msg_1", "alias", (choice,), Usage(1, 2, 3, 4, output_text=5, reasoning=6), service_tier="default")
    assert read_answer(write_answer(answer, scene(), Losses()), Plan("main")) == answer
