"""Events of a Claude's stream on the left, deltas on the right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic.stream_reader import StreamReader
from gateway.dialects.conversation import (
    Citation,
    Ending,
    Finish,
    Opaque,
    RedactedThinking,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Plan
from gateway.dialects.failure import FailureKind
from gateway.usage import Usage
from gateway.wire.sse import Event
from tests.dialects.anthropic.making import STOP, closed, finished, more, opened, start, stream

BEGIN = Begin("msg_1", "claude-x", usage=Usage(3, output_text=1))
END = [Finished(Ending(Finish.STOP, "end_turn")), Used(Usage(3, output_text=5)), End()]


def whole(*payloads: dict[str, Any], plan: Plan | None = None, reason: str = "end_turn") -> list[Delta]:
    """The deltas between the beginning and the end of a stream."""
    deltas = stream(
        start(input_tokens=3, output_tokens=1), {"type": "ping"}, *payloads, finished(reason, output_tokens=5), STOP,
        plan=plan,
    )  # fmt: skip
    assert (deltas[0], deltas[-1]) == (BEGIN, End())
    return deltas[1:-3]


def test_a_text() -> None:
    deltas = stream(
        start(input_tokens=3, output_tokens=1),
        opened(0, type="text", text=""),
        {"type": "ping"},
        more(0, type="text_delta", text="Hi"),
        more(0, type="text_delta", text=""),
        more(0, type="text_delta", text=" there"),
        closed(0),
        finished("end_turn", output_tokens=5),
        STOP,
        {"type": "ping"},
    )
    assert deltas == [BEGIN, Open(0, Text("")), More(0, "Hi"), More(0, " there"), Close(0), *END]


def test_thoughts_with_their_signature() -> None:
    assert whole(
        opened(0, type="thinking", thinking="", signature=""),
        more(0, type="thinking_delta", thinking="Hm"),
        more(0, type="signature_delta", signature="EqQB"),
        closed(0),
        opened(1, type="thinking", thinking="", signature=""),
        more(1, type="signature_delta", signature="Only"),
        closed(1),
        opened(2, type="redacted_thinking", data="Emw"),
        closed(2),
    ) == [
        Open(0, Thinking("")), More(0, "Hm"), Signed(0, Signature("EqQB", "anthropic", "main")), Close(0),
        Open(1, Thinking("")), Signed(1, Signature("Only", "anthropic", "main")), Close(1),
        Open(2, RedactedThinking(Signature("Emw", "anthropic", "main"))), Close(2),
    ]  # fmt: skip


def test_calls_with_and_without_arguments() -> None:
    deltas = whole(
        opened(1, type="tool_use", id="a", name="f_", input={}),
        more(1, type="input_json_delta", partial_json=""),
        more(1, type="input_json_delta", partial_json='{"x"'),
        more(1, type="input_json_delta", partial_json=": 1}"),
        closed(1),
        opened(2, type="tool_use", id="b", name="g", input={}),
        closed(2),
        opened(3, type="tool_use", id="c", name="h", input={"whole": True}),
        closed(3),
        plan=Plan("main", {"f_": "f."}),
        reason="tool_use",
    )
    assert deltas == [
        Open(0, ToolCall("a", "f.", "")), More(0, '{"x"'), More(0, ": 1}"), Close(0),
        Open(1, ToolCall("b", "g", "")), More(1, "{}"), Close(1),
        Open(2, ToolCall("c", "h", "")), More(2, '{"whole":true}'), Close(2),
    ]  # fmt: skip


def test_the_tool_that_stands_for_the_answer_is_a_text_and_its_end_an_ordinary_one() -> None:
    deltas = stream(
        start(),
        opened(0, type="tool_use", id="a", name="json_answer", input={}),
        more(0, type="input_json_delta", partial_json='{"x":1}'),
        closed(0),
        finished("tool_use"),
        STOP,
        plan=Plan("main", forced_tool="json_answer"),
    )
    assert deltas[1:] == [
        Open(0, Text("")), More(0, '{"x":1}'), Close(0), Finished(Ending(Finish.STOP, "tool_use")), End(),
    ]  # fmt: skip


def test_an_answer_by_tool_that_is_empty_is_an_empty_object() -> None:
    plan = Plan("main", forced_tool="json_answer")
    block = opened(0, type="tool_use", id="a", name="json_answer", input={})
    assert whole(block, closed(0), plan=plan) == [Open(0, Text("")), More(0, "{}"), Close(0)]


def test_a_free_text_is_unwrapped_when_it_is_whole() -> None:
    assert whole(
        opened(0, type="tool_use", id="a", name="patch", input={}),
        more(0, type="input_json_delta", partial_json='{"input": "*** Be'),
        more(0, type="input_json_delta", partial_json='gin"}'),
        closed(0),
        plan=Plan("main", custom=frozenset({"patch"})),
    ) == [Open(0, ToolCall("a", "patch", "", True)), More(0, "*** Begin"), Close(0)]


def test_what_the_provider_runs_itself_is_told_whole_and_takes_its_place_in_the_count() -> None:
    call = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result"}]}
    assert whole(
        opened(0, type="server_tool_use", id="s", name="web_search", input={}),
        more(0, type="input_json_delta", partial_json='{"query":'),
        more(0, type="input_json_delta", partial_json='"x"}'),
        closed(0),
        opened(1, **result),
        closed(1),
        opened(2, type="compaction", content=""),
        more(2, type="compaction_delta", content="Summ"),
        more(2, type="compaction_delta", content="ary"),
        closed(2),
        opened(3, type="text", text=""),
        more(3, type="text_delta", text="Hi"),
        closed(3),
    ) == [
        Open(0, Opaque("anthropic", call)), Close(0),
        Open(1, Opaque("anthropic", result)), Close(1),
        Open(2, Opaque("anthropic", {"type": "compaction", "content": "Summary"})), Close(2),
        Open(3, Text("")), More(3, "Hi"), Close(3),
    ]  # fmt: skip


def test_what_a_texts_pieces_rest_on() -> None:
    cited = {"type": "web_search_result_location", "url": "https://example.com", "title": "T", "cited_text": "q"}
    assert whole(
        opened(0, type="text", text="", citations=[]),
        more(0, type="citations_delta", citation=cited),
        more(0, type="citations_delta", citation={"type": "char_location", "cited_text": "q"}),
        more(0, type="text_delta", text="Hi"),
        closed(0),
    ) == [Open(0, Text("")), Cited(0, Citation("https://example.com", "T", "q")), More(0, "Hi"), Close(0)]


def test_what_a_block_opens_with_is_told() -> None:
    assert whole(
        opened(0, type="text", text="Hi"),
        closed(0),
        opened(1, type="thinking", thinking="Hm", signature="E"),
        closed(1),
    ) == [
        Open(0, Text("")), More(0, "Hi"), Close(0),
        Open(1, Thinking("")), More(1, "Hm"), Signed(1, Signature("E", "anthropic", "main")), Close(1),
    ]  # fmt: skip


def test_new_events_and_deltas_are_skipped() -> None:
    assert whole(
        {"type": "brand_new"}, opened(0, type="text", text=""), more(0, type="new_delta", new=1), closed(0), closed(7)
    ) == [Open(0, Text("")), Close(0)]


def test_usage_is_cumulative_and_keeps_what_the_start_said() -> None:
    deltas = stream(
        start(input_tokens=3, cache_read_input_tokens=7, output_tokens=1),
        finished(None, output_tokens=2),
        finished("end_turn", input_tokens=4, output_tokens=9),
        STOP,
    )
    assert [delta.usage for delta in deltas if isinstance(delta, Used)] == [
        Usage(3, 7, output_text=2), Usage(4, 7, output_text=9),
    ]  # fmt: skip
    assert sum(isinstance(delta, Finished) for delta in deltas) == 1


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("refusal", Ending(Finish.REFUSAL, "refusal")),
        ("max_tokens", Ending(Finish.LENGTH, "max_tokens")),
        ("pause_turn", Ending(Finish.PAUSE, "pause_turn")),
    ],
)
def test_why_it_stopped(reason: str, ending: Ending) -> None:
    assert Finished(ending) in stream(start(), finished(reason), STOP)


def test_blocks_that_are_left_open_are_closed_before_the_end() -> None:
    deltas = stream(start(), opened(0, type="text", text=""), finished("end_turn"), STOP)
    assert deltas[1:] == [Open(0, Text("")), Close(0), Finished(Ending(Finish.STOP, "end_turn")), End()]


def test_a_stop_without_a_reason_is_an_end() -> None:
    call = opened(0, type="tool_use", id="a", name="f", input={})
    assert stream(start(), STOP)[1:] == [Finished(Ending(Finish.STOP)), End()]
    assert stream(start(), call, closed(0), STOP)[-2:] == [Finished(Ending(Finish.TOOL_CALLS)), End()]
    assert stream(STOP)[0] == Begin("", "")


def test_bytes_that_end_behind_the_reason_are_an_end_and_before_it_none() -> None:
    assert stream(start(), finished("end_turn"))[-1] == End()
    for payloads in ([], [start()], [start(), opened(0, type="text", text="")]):
        (broken,) = stream(*payloads)[-1:]
        assert isinstance(broken, Broken)
        assert broken.failure.kind is FailureKind.SERVER


@pytest.mark.parametrize(
    "event",
    [
        Event("message", "no JSON"),
        Event("message", "[1]"),
        Event("message", json.dumps(more(7, type="text_delta", text="x"))),
        Event("message", json.dumps(opened(0, type="text"))),
        Event("message", json.dumps({"type": "content_block_start", "index": 0})),
    ],
)
def test_an_event_that_cannot_be_read_breaks_the_stream(event: Event) -> None:
    reader = StreamReader(Plan())
    (broken,) = [delta for delta in reader.feed(event) if not isinstance(delta, Begin)]
    assert isinstance(broken, Broken)
    assert reader.feed(Event("message", json.dumps(STOP))) == reader.end() == []


def test_a_block_that_is_opened_twice_breaks_the_stream() -> None:
    assert isinstance(stream(start(), *2 * [opened(0, type="text", text="")])[-1], Broken)


def test_an_error_inside_the_stream_says_what_failed() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    broken = stream(start(), error, STOP)[-1]
    assert isinstance(broken, Broken)
    assert (broken.failure.status, broken.failure.kind) == (0, FailureKind.OVERLOADED)


def test_the_end_of_other_dialects_is_overlooked() -> None:
    reader = StreamReader(Plan())
    assert reader.feed(Event("message", "[DONE]")) == []


WORDS = [
    "type", "index", "delta", "content_block", "message", "text", "text_delta", "thinking", "signature_delta", "id",
    "content_block_start", "content_block_delta", "content_block_stop", "message_start", "message_delta", "usage",
    "tool_use",
    "message_stop", "input_json_delta", "partial_json", "server_tool_use", "name", "input", "stop_reason", "signature",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=10,
)
KINDS = [word for word in WORDS if word.startswith(("content_block_", "message_"))]
EVENTS = st.one_of(
    st.builds(Event, st.just("message"), st.text(max_size=10)),
    st.builds(lambda kind, rest: Event(kind, json.dumps({**rest, "type": kind})), st.sampled_from(KINDS),
              st.fixed_dictionaries({}, optional={"index": st.integers(0, 2), "delta": JSON, "content_block": JSON,
                                                  "message": JSON})),
)  # fmt: skip


@given(st.lists(EVENTS, max_size=12))
def test_whatever_comes_the_grammar_of_deltas_is_kept(events: list[Event]) -> None:
    reader = StreamReader(Plan("main", forced_tool="text", custom=frozenset({"name"})))
    deltas = [delta for event in events for delta in reader.feed(event)] + reader.end()
    assert isinstance(deltas[-1], End | Broken)
    assert sum(isinstance(delta, End | Broken) for delta in deltas) == 1
    assert [place for place, delta in enumerate(deltas) if isinstance(delta, Begin)] in ([0], [])
    open_blocks: set[int] = set()
    seen = 0
    for delta in deltas:
        if isinstance(delta, Open):
            assert delta.block == seen
            seen += 1
            open_blocks.add(delta.block)
        elif isinstance(delta, More | Signed | Cited | Close):
            assert delta.block in open_blocks
            if isinstance(delta, Close):
                open_blocks.remove(delta.block)
        elif isinstance(delta, Finished):
            assert not open_blocks


def test_a_call_of_a_tool_without_a_name_ends_the_stream_as_broken() -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "", "input": {}}
    event = {"type": "content_block_start", "index": 0, "content_block": block}
    last = StreamReader(Plan()).feed(Event("content_block_start", json.dumps(event)))[-1]
    assert isinstance(last, Broken)
    assert last.failure.kind is FailureKind.SERVER
