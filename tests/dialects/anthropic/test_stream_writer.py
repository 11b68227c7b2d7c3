"""Deltas on the left, the events of a client of Anthropic's on the right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic.count_tokens import estimate_tokens
from gateway.dialects.anthropic.stream_reader import StreamReader
from gateway.dialects.anthropic.stream_writer import StreamWriter
from gateway.dialects.continuity import read_signature, split_id, unbind
from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Image,
    Opaque,
    Reasoning,
    RedactedThinking,
    Refusal,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Plan
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.losses import Losses
from gateway.dialects.whole import Collector, to_deltas
from gateway.usage import Usage
from gateway.wire.sse import EventReader
from tests.dialects.anthropic.making import ask, closed, more, opened, scene, user

FOREIGN = Signature("CiQB", "gemini", "google")
BEGIN = Begin("chatcmpl-1", "their-model")
STOPPED = Finished(Ending(Finish.STOP))


def events(*batches: list[Delta], losses: Losses | None = None) -> list[dict[str, Any]]:
    """The payloads that come of batches of deltas; every event is named by its payload's type."""
    writer = StreamWriter(scene(ask(user("Hi there"), dialect="anthropic"), "google"), losses or Losses())
    raw = b"".join(writer.write(batch) for batch in batches)
    read = EventReader().feed(raw)
    payloads = [json.loads(event.data) for event in read]
    assert [event.event for event in read] == [payload["type"] for payload in payloads]
    return payloads


def content(*deltas: Delta, losses: Losses | None = None) -> list[dict[str, Any]]:
    """The events of the blocks, each delta written by itself."""
    return events([BEGIN], *([delta] for delta in deltas), [STOPPED, End()], losses=losses)[2:-2]


def test_a_stream_begins_and_ends_as_anthropics_do() -> None:
    usage = Usage(9, 4, output_text=7)
    said: list[Delta] = [Open(0, Text("")), More(0, "Hi"), Close(0)]
    assert events([BEGIN], said, [Finished(Ending(Finish.STOP_SEQUENCE, "", "END"))], [Used(usage)], [End()]) == [
        {
            "type": "message_start",
            "message": {
                "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "alias", "content": [],
                "stop_reason": None, "stop_sequence": None,
                "usage": {
                    "input_tokens": estimate_tokens(ask(user("Hi there"))), "cache_creation_input_tokens": None,
                    "cache_read_input_tokens": None, "output_tokens": 0,
                },
            },
        },
        {"type": "ping"},
        opened(0, type="text", text=""), more(0, type="text_delta", text="Hi"), closed(0),
        {
            "type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"},
            "usage": {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 7},
        },
        {"type": "message_stop"},
    ]  # fmt: skip


def test_what_is_known_of_the_input_stands_at_the_start() -> None:
    first = events([Begin("", "m", usage=Usage(5, 6, 7, 8), service_tier="default")])[0]["message"]
    assert first["id"] == "msg_0af3"
    assert first["usage"]["input_tokens"] == 5
    assert first["usage"]["cache_creation"] == {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 8}
    assert first["usage"]["service_tier"] == "standard"


def test_a_stream_that_says_nothing_and_counts_nothing_is_one_all_the_same() -> None:
    assert [payload["type"] for payload in events([End()])] == [
        "message_start",
        "ping",
        "message_delta",
        "message_stop",
    ]
    assert events([End()])[2]["usage"] == {"output_tokens": 0}


def test_output_that_nobody_counted_is_estimated() -> None:
    assert events([Open(0, Text("")), More(0, "eight ch")], [End()])[-2]["usage"] == {"output_tokens": 2}


def test_there_is_one_start_and_one_end() -> None:
    written = events([BEGIN, BEGIN], [STOPPED, End(), End()], [BEGIN, Open(0, Text("x")), End()])
    assert [payload["type"] for payload in written] == ["message_start", "ping", "message_delta", "message_stop"]


def test_thoughts_and_their_signature() -> None:
    thinking, said, signed, end = content(Open(0, Thinking("")), More(0, "Hm"), Signed(0, FOREIGN), Close(0))
    assert thinking == opened(0, type="thinking", thinking="", signature="")
    assert said == more(0, type="thinking_delta", thinking="Hm")
    assert read_signature(signed["delta"]["signature"], "anthropic") == FOREIGN
    assert end == closed(0)


def test_a_signature_alone_is_a_block_and_no_thought_at_all_is_none() -> None:
    native = Signature("EqQB", "anthropic", "main")
    assert content(Open(0, Thinking("")), Signed(0, native), Close(0))[1] == more(
        0, type="signature_delta", signature="EqQB"
    )
    assert content(Open(0, Thinking("")), Close(0), Open(1, Text("")), More(1, ""), Close(1)) == []


def test_whole_parts_are_whole_blocks() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    native = Signature("Emw", "anthropic", "main")
    assert content(Open(0, Opaque("anthropic", search)), Close(0), Open(1, RedactedThinking(native)), Close(1)) == [
        opened(0, **search),
        closed(0),
        opened(1, type="redacted_thinking", data="Emw"),
        closed(1),
    ]


def test_calls_are_written_one_after_the_other() -> None:
    written = content(
        Open(0, ToolCall("a", "f", "")), Open(1, ToolCall("b", "g", "")), More(0, '{"x"'), More(1, '{"y"'),
        More(0, ":1}"), More(1, ":2}"), Close(1), Close(0),
    )  # fmt: skip
    assert written == [
        opened(0, type="tool_use", id="a", name="f", input={}),
        more(0, type="input_json_delta", partial_json='{"x"'),
        more(0, type="input_json_delta", partial_json=":1}"),
        closed(0),
        opened(1, type="tool_use", id="b", name="g", input={}),
        more(1, type="input_json_delta", partial_json='{"y"'),
        more(1, type="input_json_delta", partial_json=":2}"),
        closed(1),
    ]


def test_arguments_go_out_as_they_come() -> None:
    writer = StreamWriter(scene(), Losses())
    writer.write([BEGIN, Open(0, ToolCall("a", "f", ""))])
    assert b'"partial_json":"{\\"x\\""' in writer.write([More(0, '{"x"')])


@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        ([], []),
        ([""], []),
        (["word", "s"], ['{"INVALID_JSON":"words"}']),
        (["[1", "]"], ['{"INVALID_JSON":"[1]"}']),
        ([" {", "}"], [" {", "}"]),
        (['{"a":'], ['{"a":']),
    ],
)
def test_arguments_that_are_no_object_are_wrapped(pieces: list[str], written: list[str]) -> None:
    deltas = content(Open(0, ToolCall("a", "f", "")), *(More(0, piece) for piece in pieces), Close(0))
    assert deltas[0] == opened(0, type="tool_use", id="a", name="f", input={})
    assert [delta["delta"]["partial_json"] for delta in deltas[1:-1]] == written


def test_a_free_text_is_an_object() -> None:
    deltas = content(Open(0, ToolCall("a", "f", "", True)), More(0, '{"x'), More(0, "y"), Close(0))
    assert [delta["delta"]["partial_json"] for delta in deltas[1:-1]] == ['{"input":"{\\"xy"}']


@pytest.mark.parametrize("whole", [True, False])
def test_the_signature_of_a_call_is_in_its_id(whole: bool) -> None:
    if whole:
        call: list[Delta] = [Open(0, ToolCall("a", "f", "")), More(0, "{}"), Signed(0, FOREIGN), Close(0)]
    else:
        call = [Open(0, ToolCall("a", "f", "", signature=FOREIGN)), Close(0)]
    block = events([BEGIN], call, [End()])[2]["content_block"]
    assert split_id(block["id"]) == ("a", FOREIGN)


@pytest.mark.parametrize("whole", [True, False])
def test_a_client_that_thinks_gets_the_signature_of_a_call_in_a_block_before_it(whole: bool) -> None:
    call: list[Delta] = [Open(0, ToolCall("a", "f", "")), Signed(0, FOREIGN), More(0, "{}"), Close(0)]
    writer = StreamWriter(scene(ask(dialect="anthropic", reasoning=Reasoning(adaptive=True))), Losses())
    pieces = [[BEGIN, *call, End()]] if whole else [[delta] for delta in (BEGIN, *call, End())]
    written = b"".join(map(writer.write, pieces))
    payloads = [json.loads(line[6:]) for line in written.splitlines() if line.startswith(b"data: ")]
    signed, use = (each for each in payloads if each["type"] == "content_block_start")
    assert (signed["index"], signed["content_block"]["type"]) == (0, "redacted_thinking")
    assert unbind(signed["content_block"]["data"]) == ("a", FOREIGN)
    assert (use["index"], use["content_block"]["id"]) == (1, "a")
    assert [each["index"] for each in payloads if each["type"] == "content_block_stop"] == [0, 1]


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    deltas = content(Open(0, ToolCall("", "f", "")), Close(0), Open(1, ToolCall("", "f", "")), Close(1))
    first, second = (delta["content_block"]["id"] for delta in deltas if "content_block" in delta)
    assert first.startswith("toolu_0af3")
    assert first != second


def test_a_citation_is_written() -> None:
    deltas = content(Open(0, Text("")), More(0, "Hi"), Cited(0, Citation("https://example.com", "T", "q")), Close(0))
    assert deltas[2]["delta"]["citation"]["url"] == "https://example.com"


@pytest.mark.parametrize(
    ("deltas", "name"),
    [
        ([Open(0, Image(Source("base64", "AA=="))), Close(0)], "image_part"),
        ([Open(0, Opaque("gemini", {})), Close(0)], "opaque_part"),
        ([Open(0, Text("")), Signed(0, FOREIGN), Close(0)], "text_signature"),
        ([Open(0, Text(""), 1), More(0, "x"), Close(0), Finished(Ending(Finish.LENGTH), 1)], "choices"),
    ],
)
def test_what_has_no_place_is_lost_by_name(deltas: list[Delta], name: str) -> None:
    losses = Losses()
    assert content(*deltas, losses=losses) == []
    assert [loss.name for loss in losses.entries] == [name]


def test_a_signature_that_comes_too_late_for_the_id_is_lost() -> None:
    losses = Losses()
    content(Open(0, ToolCall("a", "f", "")), More(0, "{}"), Signed(0, FOREIGN), Close(0), losses=losses)
    assert [loss.name for loss in losses.entries] == ["late_signature"]


@pytest.mark.parametrize(
    ("part", "finish", "reason"),
    [
        (Text(""), Finish.LENGTH, "max_tokens"),
        (ToolCall("a", "f", ""), Finish.STOP, "tool_use"),
        (Refusal(""), Finish.STOP, "refusal"),
        (Text(""), Finish.CONTENT_FILTER, "refusal"),
    ],
)
def test_why_it_stopped(part: Any, finish: Finish, reason: str) -> None:
    written = events([BEGIN, Open(0, part), More(0, "{}"), Close(0), Finished(Ending(finish)), End()])
    assert written[-2]["delta"]["stop_reason"] == reason


def test_a_broken_stream_ends_with_an_error_and_nothing_else() -> None:
    failure = Failure(0, FailureKind.OVERLOADED, "Overloaded")
    written = events([BEGIN, Open(0, Text("")), More(0, "Hi")], [Broken(failure)], [STOPPED, End()])
    assert [payload["type"] for payload in written] == [
        "message_start", "ping", "content_block_start", "content_block_delta", "content_block_stop", "error",
    ]  # fmt: skip
    assert written[-1]["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert [payload["type"] for payload in events([Broken(failure)])] == ["error"]


TEXTS = st.text(min_size=1, max_size=8)
SIGNATURES = st.builds(Signature, st.text("ABC/+=", min_size=1, max_size=6), st.just("anthropic"), st.just("main"))
PARTS = st.one_of(
    st.builds(Text, TEXTS, citations=st.just(()) | st.tuples(st.builds(Citation, st.just("https://e.com"), TEXTS))),
    st.builds(Thinking, st.text(max_size=5), SIGNATURES),
    st.builds(RedactedThinking, SIGNATURES),
    st.builds(ToolCall, st.text("abc_", min_size=1), TEXTS, st.sampled_from(["{}", '{"a":1}', '{"a":["ü"]}'])),
    st.builds(lambda text: Opaque("anthropic", {"type": "server_tool_use", "input": {"q": text}}), TEXTS),
)


@given(st.lists(PARTS, max_size=5).map(tuple), st.sampled_from([5, 80, 100_000]))
def test_what_is_written_is_read_again_in_any_cut(parts: tuple[Any, ...], cut: int) -> None:
    called = any(isinstance(part, ToolCall) for part in parts)
    ending = Ending(Finish.TOOL_CALLS, "tool_use") if called else Ending(Finish.STOP, "end_turn")
    answer = Answer("msg_1", "alias", (Choice(parts, ending),), Usage(1, 2, output_text=3, reasoning=4))
    raw = StreamWriter(scene(), Losses()).write(to_deltas(answer))
    wire, reader, collector = EventReader(), StreamReader(Plan("main")), Collector()
    for place in range(0, len(raw), cut):
        for event in wire.feed(raw[place : place + cut]):
            collector.feed(reader.feed(event))
    collector.feed(reader.end())
    assert collector.failure is None
    assert collector.answer == answer
