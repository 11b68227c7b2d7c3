"""A provider's stream of Chat Completions, as deltas."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.conversation import (
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
from gateway.dialects.deltas import Begin, Broken, Close, End, Finished, More, Open, Used
from gateway.dialects.dialect import Plan
from gateway.dialects.failure import FailureKind
from gateway.usage import Usage
from tests.dialects.openai_chat.streams import add_up, events, read

DONE = "[DONE]"
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def chunk(choice: int = 0, **delta: Any) -> dict[str, Any]:
    return {"id": "x", "model": "m", "created": 5, "choices": [{"index": choice, "delta": delta}]}


def parts(*payloads: dict[str, Any] | str, plan: Plan | None = None) -> list[Part]:
    return add_up(read(events(*payloads, STOP, DONE), plan)).parts.get(0, [])


def own(data: str) -> Signature:
    return Signature(data, "openai_chat", "theirs")


def call(
    index: int | None = 0, call_id: str = "", name: str = "", arguments: Any = None, **more: Any
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    fields = {"id": call_id, "function": {key: value for key, value in function.items() if value}, **more}
    return {key: value for key, value in {"index": index, **fields}.items() if value is not None and value != ""}


def test_a_stream_begins_with_its_first_choice_and_ends_with_done() -> None:
    stream = events(
        {"id": "", "model": "", "choices": [], "prompt_filter_results": []},
        chunk(role="assistant", content=""),
        chunk(content="Hel"),
        chunk(content="lo"),
        STOP,
        {"id": "x", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}},
        DONE,
    )
    assert read(stream) == [
        Begin("x", "m", 5),
        Open(0, Text("")),
        More(0, "Hel"),
        More(0, "lo"),
        Used(Usage(1, output_text=0)),
        Close(0),
        Finished(Ending(Finish.STOP, "stop")),
        End(),
    ]


@pytest.mark.parametrize("cut", [1, 7, 4096])
def test_a_stream_says_the_same_however_it_is_cut(cut: int) -> None:
    stream = events(chunk(content="Grüße 🎉"), chunk(tool_calls=[call(0, "c", "f", '{"ä": "🎉"}')]), STOP, DONE)
    assert read(stream, cut=cut) == read(stream)
    assert add_up(read(stream, cut=cut)).parts[0] == [Text("Grüße 🎉"), ToolCall("c", "f", '{"ä": "🎉"}')]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([{"reasoning_content": "H"}, {"reasoning_content": "m", "content": None}, {"content": "4"}],
         [Thinking("Hm"), Text("4")]),
        ([{"reasoning": "Hm", "content": ""}, {"reasoning": None, "content": "4"}], [Thinking("Hm"), Text("4")]),
        ([{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]},
          {"content": [{"type": "text", "text": "4"}]}, {"content": "2"}], [Thinking("Hm"), Text("42")]),
        ([{"content": "4"}, {"reasoning": "Hm"}, {"content": "2"}], [Text("4"), Thinking("Hm"), Text("2")]),
        ([{"refusal": "N"}, {"refusal": "o"}], [Refusal("No")]),
        ([{"reasoning_content": "H", "thinking_blocks": [{"type": "thinking", "thinking": "H"}]},
          {"reasoning_content": "m", "thinking_blocks": [{"type": "thinking", "thinking": "m"}]},
          {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]}, {"content": "4"}],
         [Thinking("Hm", own("s")), Text("4")]),
        ([{"reasoning_content": "H"}, {"reasoning_content": "m"},
          {"thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "s"}]}],
         [Thinking("Hm", own("s"))]),
        ([{"thinking_blocks": [{"type": "redacted_thinking", "data": "r"}]}], [RedactedThinking(own("r"))]),
        ([{"reasoning": "H", "reasoning_details": [{"type": "reasoning.text", "text": "H", "index": 0, "format": "f"}]},
          {"reasoning": "m", "reasoning_details": [{"type": "reasoning.text", "text": "m", "index": 0}]},
          {"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]},
          {"reasoning_details": [{"type": "reasoning.encrypted", "data": "e", "index": 1}]}],
         [Thinking("Hm", own('{"type":"reasoning.text","index":0,"format":"f","signature":"s"}')),
          RedactedThinking(own('{"type":"reasoning.encrypted","data":"e","index":1}'))]),
        ([{"extra_content": {"google": {"thought_signature": "s"}}, "content": "4"}],
         [RedactedThinking(own("s")), Text("4")]),
        ([{"images": [{"image_url": {"url": "data:image/png;base64,AA=="}}]}],
         [Image(Source("base64", "AA==", "image/png"))]),
        ([{"audio": {"id": "a", "transcript": "Hel"}}, {"audio": {"transcript": "lo", "data": "A"}},
          {"audio": {"data": "A", "expires_at": 5}}],
         [Opaque("openai_chat", {"audio": {"id": "a", "transcript": "Hello", "data": "AA", "expires_at": 5}})]),
        ([{"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}],
         [ToolCall("", "f", "{}")]),
    ],
)  # fmt: skip
def test_blocks_are_read_whatever_their_server_calls_them(chunks: list[dict[str, Any]], expected: list[Part]) -> None:
    found = parts(*(chunk(**delta) for delta in chunks))
    assert [
        ToolCall("", part.name, part.arguments) if isinstance(part, ToolCall) else part for part in found
    ] == expected


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([call(0, "c", "f", ""), call(0, arguments='{"a'), call(0, arguments='":1}')], [ToolCall("c", "f", '{"a":1}')]),
        ([call(0, "c", "f"), call(1, "d", "g"), call(0, arguments="{0}"), call(1, arguments="{1}")],
         [ToolCall("c", "f", "{0}"), ToolCall("d", "g", "{1}")]),
        ([call(0, "c", "f", "{}"), call(0, "c", "f", "!")], [ToolCall("c", "f", "{}!")]),
        ([call(0, "c", "f", "{0}"), call(0, "d", "f", "{1}"), call(0, arguments="!")],
         [ToolCall("c", "f", "{0}"), ToolCall("d", "f", "{1}!")]),
        ([call(None, "c", "f", "{0}"), call(None, "d", "f", "{1}")],
         [ToolCall("c", "f", "{0}"), ToolCall("d", "f", "{1}")]),
        ([call(None, "c", "f", "{0"), call(None, arguments="}")], [ToolCall("c", "f", "{0}")]),
        ([call(None, "c", "f", "{}"), {"extra_content": {"google": {"thought_signature": "s"}}}],
         [ToolCall("c", "f", "{}", signature=own("s"))]),
        ([call(0, "c", "f", "{}", extra_content={"google": {"thought_signature": "s"}})],
         [ToolCall("c", "f", "{}", signature=own("s"))]),
        ([call(0, "c"), call(0, arguments="{"), call(0, name="f"), call(0, arguments="}")], [ToolCall("c", "f", "{}")]),
        ([call(0, "c", "f")], [ToolCall("c", "f", "{}")]),
        ([call(0, "c", "f", {"a": 1})], [ToolCall("c", "f", '{"a":1}')]),
        ([{"index": 0, "id": "c", "custom": {"name": "f", "input": ""}}, {"index": 0, "custom": {"input": "x"}}],
         [ToolCall("c", "f", "x", True)]),
        ([{"index": 0, "id": "c", "function": {"name": ""}}], []),
    ],
)  # fmt: skip
def test_calls_are_told_apart_by_number_or_id(calls: list[dict[str, Any]], expected: list[ToolCall]) -> None:
    assert parts(*(chunk(tool_calls=[item]) for item in calls)) == expected
    if all("index" in item for item in calls):
        return
    assert parts(chunk(tool_calls=calls)) == expected


def test_calls_without_an_id_get_one_each() -> None:
    found = parts(chunk(tool_calls=[call(None, "", "f", "{}"), call(None, "", "f", "{}")]))
    ids = {part.id for part in found if isinstance(part, ToolCall)}
    assert len(ids) == 2
    assert all(len(call_id) > 10 for call_id in ids)


def test_what_the_request_changed_is_changed_back() -> None:
    plan = Plan("theirs", {"a_b": "a.b"}, custom=frozenset({"sh"}))
    pieces = (call(0, "c", "a_b", "{}"), call(1, "d", "sh", '{"inp'), call(1, arguments='ut":"ls"}'))
    found = parts(*(chunk(tool_calls=[item]) for item in pieces), plan=plan)
    assert found == [ToolCall("c", "a.b", "{}"), ToolCall("d", "sh", "ls", True)]


def test_choices_are_told_apart() -> None:
    whole = add_up(
        read(
            events(
                chunk(0, content="a"),
                chunk(1, content="b"),
                {"choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "length"}]},
                STOP,
                DONE,
            )
        )
    )
    assert whole.parts == {0: [Text("a")], 1: [Text("bB")]}
    assert {number: ending.finish for number, ending in whole.endings.items()} == {0: Finish.STOP, 1: Finish.LENGTH}


def test_an_end_that_is_said_twice_counts_once_and_the_last_text_before_it() -> None:
    end = {
        "choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop", "native_finish_reason": "STOP"}]
    }
    again = {**end, "choices": [{**end["choices"][0], "delta": {"content": ""}}], "usage": {"total_tokens": 3}}
    deltas = read(events(chunk(content="Hi"), end, again, DONE))
    assert [delta for delta in deltas if isinstance(delta, Finished)] == [Finished(Ending(Finish.STOP, "STOP"))]
    assert add_up(deltas).parts[0] == [Text("Hi!")]


@pytest.mark.parametrize("reason", ["stop", "", None, "tool_calls"])
def test_a_choice_with_a_call_ends_with_it(reason: str | None) -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    whole = add_up(read(events(chunk(tool_calls=[call(0, "c", "f", "{}")]), end, DONE)))
    assert whole.endings[0].finish is Finish.TOOL_CALLS


def test_usage_counts_as_reported_last() -> None:
    first = {**chunk(content="a"), "usage": {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4}}
    last = {**STOP, "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}}
    deltas = read(events(first, {**first}, last, DONE))
    assert deltas[0] == Begin("x", "m", 5, Usage(4, output_text=0))
    assert [delta for delta in deltas if isinstance(delta, Used)] == [Used(Usage(4, output_text=2))]


def test_citations_come_once_at_the_end_of_the_text() -> None:
    annotation = {"url_citation": {"url": "https://a.x", "title": "A", "start_index": 0, "end_index": 2}}
    more = chunk(tool_calls=[call(0, "c", "f")])
    chunks = (
        {**chunk(content="te"), "citations": ["https://b.x"], "search_results": [{"url": "https://b.x", "title": "B"}]},
        {**chunk(content="xt", annotations=[annotation]), "citations": ["https://b.x", "https://a.x"]},
    )
    assert parts(*chunks, more) == [
        Text("text", citations=(Citation("https://b.x", "B"), Citation("https://a.x", "A", start=0, end=2))),
        ToolCall("c", "f", "{}"),
    ]


def test_logprobs_stay_with_their_text() -> None:
    logprobs = {"content": [{"token": "a"}], "refusal": None}
    stream = events({"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": logprobs}]}, STOP, DONE)
    assert More(0, "a", logprobs) in read(stream)


@pytest.mark.parametrize(
    ("stream", "kind", "message"),
    [
        (events(chunk(content="Hi")), FailureKind.SERVER, "ended its stream before its end"),
        (events(chunk(content="Hi"), {"error": {"message": "no", "code": 429}}), FailureKind.RATE_LIMIT, "no"),
        (events(chunk(content="Hi"), {"object": "error", "message": "no"}), FailureKind.SERVER, "no"),
        (b"event: error\ndata: no\n\n", FailureKind.SERVER, "no"),
        (events({"choices": [{"index": 0, "error": {"message": "no", "code": 502}}]}), FailureKind.SERVER, "no"),
        (events("{"), FailureKind.SERVER, "no JSON"),
        (events("[1]"), FailureKind.SERVER, "no object"),
        (events({"choices": [1]}), FailureKind.SERVER, "no object"),
        (events(DONE), FailureKind.SERVER, "no answer"),
        (b"", FailureKind.SERVER, "before its end"),
    ],
)
def test_a_stream_that_fails_is_broken_and_nothing_follows(stream: bytes, kind: FailureKind, message: str) -> None:
    deltas = read(stream + events(chunk(content="more"), STOP, DONE) if b"error" in stream else stream)
    broken = deltas[-1]
    assert isinstance(broken, Broken)
    assert broken.failure.kind is kind
    assert message in broken.failure.message
    assert sum(isinstance(delta, Broken | End) for delta in deltas) == 1


def test_a_stream_without_done_has_ended_if_its_choices_had() -> None:
    assert read(events(chunk(content="Hi"), STOP)) == read(events(chunk(content="Hi"), STOP, DONE))


def test_perplexitys_whole_message_beside_a_delta_is_not_read_twice() -> None:
    both = {"choices": [{"index": 0, "delta": {"content": "b"}, "message": {"content": "ab"}}]}
    assert parts(chunk(content="a"), both) == [Text("ab")]


@pytest.mark.parametrize("ending", [(STOP, DONE), (STOP,)])
@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, "call_1"), call(0, arguments="{}")],
        [call(0, "call_1")],
        [call(0, arguments="{}")],
        [call(0, "call_1", "f"), call(1, "call_2", arguments="{}")],
    ],
)
def test_a_call_whose_name_never_came_breaks_the_stream(pieces: list[dict[str, Any]], ending: tuple[Any, ...]) -> None:
    deltas = read(events(*(chunk(tool_calls=[piece]) for piece in pieces), *ending))
    assert isinstance(deltas[-1], Broken)
    assert "without its name" in deltas[-1].failure.message
    assert not any(isinstance(delta, Finished) for delta in deltas)


def test_calls_with_nothing_in_them_are_none() -> None:
    empty = {"index": 0, "id": "", "function": {"name": "", "arguments": ""}}
    finished = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    deltas = read(events(chunk(content="Hi"), chunk(tool_calls=[empty, {}]), finished, DONE))
    assert [delta.ending.finish for delta in deltas if isinstance(delta, Finished)] == [Finish.STOP]
    assert isinstance(deltas[-1], End)
