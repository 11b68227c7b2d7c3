"""Whole answers from streams and streams from whole answers."""

from __future__ import annotations

from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Opaque,
    RedactedThinking,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Close, Delta, Finished, More, Open
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.whole import Collector, to_deltas
from gateway.usage import Usage

SIGNED = Signature("c2ln", "anthropic", "main")

ANSWER = Answer(
    "msg_1",
    "model",
    (
        Choice(
            (
                Thinking("hm", SIGNED),
                RedactedThinking(SIGNED),
                Text("Hello", citations=(Citation("https://example.com/", "Example"),), signature=SIGNED),
                Opaque("anthropic", {"type": "server_tool_use"}),
                ToolCall("call_1", "look", '{"at":1}', signature=SIGNED),
                ToolCall("call_2", "write", "free text", custom=True),
            ),
            Ending(Finish.TOOL_CALLS, "tool_use"),
        ),
        Choice((Refusal("No."),), Ending(Finish.REFUSAL)),
        Choice((Text("Yes."),), Ending(Finish.STOP), {"content": [{"token": "Yes"}, {"token": "."}]}),
    ),
    Usage(3, output_text=0),
    1700000000,
    "default",
)


def collected(deltas: list[Delta]) -> Collector:
    collector = Collector()
    for delta in deltas:
        collector.feed([delta])
    return collector


def test_an_answer_as_a_stream_is_collected_to_the_same_answer() -> None:
    assert collected(to_deltas(ANSWER)).answer == ANSWER


def test_pieces_of_interleaved_calls_are_put_together_by_their_block() -> None:
    calls: list[Delta]
    calls = [Open(0, ToolCall("a", "f", "")), Open(1, ToolCall("b", "g", "")), More(0, '{"x"'), More(1, '{"y"')]
    rest: list[Delta] = [More(0, ":1}"), Close(0), More(1, ":2}"), Close(1), Finished(Ending(Finish.TOOL_CALLS))]
    answer = collected([Begin("", ""), *calls, *rest]).answer
    assert answer.choices[0].parts == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}'))


def test_a_call_without_arguments_has_an_empty_object() -> None:
    answer = collected([Open(0, ToolCall("a", "f", "")), Close(0)]).answer
    assert answer.choices[0].parts == (ToolCall("a", "f", "{}"),)


def test_log_probabilities_of_all_pieces_are_one_list() -> None:
    pieces = [More(0, "a", {"content": [1]}), More(0, "b", {"content": [2]}), More(0, "c")]
    assert collected([Open(0, Text("")), *pieces, Close(0)]).answer.choices[0].logprobs == {"content": [1, 2]}


def test_a_broken_stream_has_its_failure() -> None:
    failure = Failure(0, FailureKind.OVERLOADED, "Overloaded")
    assert collected([Begin("", ""), Broken(failure)]).failure == failure
    assert collected(to_deltas(ANSWER)).failure is None
