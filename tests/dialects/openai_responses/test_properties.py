"""Random conversations come back as they were, and random JSON and bytes never crash a reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.conversation import (
    Answer,
    Cache,
    Choice,
    Document,
    Ending,
    Finish,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Request,
    ResponseFormat,
    Sampling,
    Signature,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.dialects.deltas import Begin, Broken, Close, Delta, End, Finished, More, Open, Signed
from gateway.dialects.dialect import MalformedAnswerError, Plan, Scene, Target
from gateway.dialects.losses import Losses
from gateway.dialects.openai_responses.answer_reader import read_answer
from gateway.dialects.openai_responses.answer_writer import write_answer
from gateway.dialects.openai_responses.errors import read_failure
from gateway.dialects.openai_responses.request_reader import read_request
from gateway.dialects.openai_responses.request_writer import write_request
from gateway.dialects.openai_responses.stream_reader import StreamReader
from gateway.dialects.openai_responses.stream_writer import StreamWriter
from gateway.dialects.whole import Collector, to_deltas
from gateway.errors import RequestError
from gateway.usage import Usage
from gateway.wire.sse import Event, EventReader

D = "openai_responses"
SCENE = Scene(read_request({"model": "m", "input": ""}, Losses()), "alias", "main", 1700000000, "ab12")

# --- conversations ---------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text("abcXYZ_-019", min_size=1, max_size=64)
ids = st.text("abcXYZ_-019", min_size=1, max_size=64)
caches = st.none() | st.sampled_from([Cache(), Cache("1h")])
sources = st.one_of(
    st.builds(Source, st.just("base64"), st.just("QUJD"), st.sampled_from(["image/png", "application/pdf"])),
    st.builds(Source, st.just("url"), st.just("https://a.b/c")),
    st.builds(Source, st.just("file"), ids, dialect=st.just(D)),
)
images = st.builds(Image, sources, st.sampled_from(["", "low", "auto"]), caches)
documents = st.builds(Document, sources, st.sampled_from(["a.pdf", "b.txt"]), cache=caches)
schemas = st.just({"type": "object", "properties": {"x": {"type": "string"}}})
signatures = st.builds(Signature, texts.filter(bool), st.just(D))
user_parts = st.one_of(st.builds(Text, texts, caches), images, documents)
calls = st.builds(ToolCall, ids, names, st.just('{"x": 1}')) | st.builds(ToolCall, ids, names, texts, st.just(True))
model_parts = st.one_of(
    st.builds(Text, texts), st.builds(Refusal, texts), st.builds(Thinking, texts, signatures), calls
)
results = st.builds(ToolResult, ids, st.lists(user_parts, max_size=3).map(tuple), custom=st.booleans())


def turns(role: str, parts: Any) -> Any:
    return st.builds(Message, st.just(role), st.lists(parts, min_size=1, max_size=4).map(tuple))


conversations = st.lists(
    st.one_of(
        turns("user", user_parts), turns("user", results), turns("assistant", model_parts), turns("system", user_parts)
    ),
    max_size=6,
).map(tuple)
tools = st.lists(
    st.one_of(
        st.builds(Tool, names, texts, schemas, st.none() | st.booleans()),
        st.builds(Tool, names, texts, custom=st.just(True)),
    ),
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)
requests = st.builds(
    Request,
    st.just(D),
    names,
    conversations,
    tools=tools,
    tool_choice=st.none() | st.sampled_from([ToolChoice("auto"), ToolChoice("none"), ToolChoice("required", ("f",))]),
    parallel_tool_calls=st.none() | st.booleans(),
    response_format=st.none() | st.builds(ResponseFormat, st.just("schema"), names, schemas, st.none() | st.booleans()),
    sampling=st.builds(Sampling, st.none() | st.just(0) | st.floats(0, 2), st.none() | st.floats(0, 1)),
    max_tokens=st.none() | st.integers(0, 1 << 40),
    reasoning=st.none() | st.builds(Reasoning, st.sampled_from(["none", "low", "max"])),
    verbosity=st.sampled_from(["", "low"]),
    user=texts,
    metadata=st.dictionaries(texts, texts, max_size=2),
    store=st.none() | st.booleans(),
    stream=st.booleans(),
)


def normal(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """As reading gives it: one message for each run of results and for each of a user's messages; what the model does
    in a row is one, but for two messages of its that follow each other."""
    custom = {part.id for message in messages for part in message.parts if isinstance(part, ToolCall) and part.custom}
    made: list[Message] = []
    for message in messages:
        for is_item, run in groupby(message.parts, _is_item):
            parts = tuple(_normal_part(part, custom) for part in run)
            last = made[-1] if made else None
            if last is not None and last.role == message.role and _joins(last, is_item):
                made[-1] = Message(last.role, (*last.parts, *parts))
            else:
                made.append(Message(message.role, parts))
    return tuple(made)


def _is_item(part: Part) -> bool:
    return isinstance(part, ToolCall | ToolResult | Thinking)


def _normal_part(part: Part, custom: set[str]) -> Part:
    if not isinstance(part, ToolResult):
        return part
    return replace(part, parts=part.parts or (Text(""),), custom=part.custom or part.call_id in custom)


def _joins(last: Message, is_item: bool) -> bool:
    if last.role == "assistant":
        return is_item or not isinstance(last.parts[-1], Text | Refusal)
    return is_item and isinstance(last.parts[0], ToolResult)


@given(requests)
def test_what_is_written_is_read_as_the_same(request: Request) -> None:
    body = write_request(request, Target("main", request.model), Losses()).body
    again = read_request(json.loads(json.dumps(body)), Losses())
    assert again.messages == normal(request.messages)
    assert replace(again, messages=()) == replace(request, messages=())
    assert (again.tools, again.metadata) == (request.tools, request.metadata)


# --- answers and streams ---------------------------------------------------------------------------------------------

thoughts = st.builds(Thinking, texts, signatures)  # those that nobody signed come back sealed
answer_parts = st.lists(st.one_of(st.builds(Text, texts), st.builds(Refusal, texts), thoughts, calls), max_size=5).map(
    tuple
)
endings = st.sampled_from([Ending(Finish.STOP), Ending(Finish.LENGTH)])
answers = st.builds(
    Answer,
    st.just("resp_1"),
    names,
    st.tuples(st.builds(Choice, answer_parts, endings)),
    st.none() | st.just(Usage(1, 2, cache_write_5m=0, output_text=3, reasoning=4)),
    st.integers(1, 1 << 40),
)


def _same(read: Answer, answer: Answer) -> None:
    (choice,), (wanted,) = read.choices, answer.choices
    assert choice.parts == wanted.parts
    assert (choice.ending.finish is Finish.LENGTH) == (wanted.ending.finish is Finish.LENGTH)
    assert (read.id, read.model, read.usage, read.created) == (answer.id, "alias", answer.usage, answer.created)


@given(answers)
def test_an_answer_that_is_written_is_read_as_the_same(answer: Answer) -> None:
    written = write_answer(answer, SCENE, Losses())
    _same(read_answer(json.loads(json.dumps(written)), Plan()), answer)


@given(answers, st.data())
def test_a_stream_that_is_written_is_read_as_the_same(answer: Answer, data: st.DataObject) -> None:
    writer, reader, collector = StreamWriter(SCENE, Losses()), StreamReader(Plan()), Collector()
    deltas = to_deltas(answer)
    size = data.draw(st.integers(1, len(deltas)))
    written = b"".join(writer.write(deltas[start : start + size]) for start in range(0, len(deltas), size))
    payloads = []
    for event in EventReader().feed(written):
        payloads.append(json.loads(event.data))
        collector.feed(reader.feed(event))
    _same(collector.answer, answer)
    assert reader.end() == []
    assert [payload["sequence_number"] for payload in payloads] == list(range(len(payloads)))
    items = [payload["item"] for payload in payloads if payload["type"] == "response.output_item.done"]
    assert payloads[-1]["response"]["output"] == items


@st.composite
def interleaved(draw: st.DrawFn) -> list[Delta]:
    """Blocks that are open beside each other, each with pieces of its own."""
    parts: list[Part] = draw(st.lists(st.sampled_from([Text(""), Thinking(""), ToolCall("c", "f", "")]), max_size=4))
    waiting: list[list[Delta]]
    waiting = [[Open(number, part), *_pieces(number), Close(number)] for number, part in enumerate(parts)]
    deltas: list[Delta] = [Begin("resp_1", "m")]
    opened = 0
    while any(waiting):
        open_ones = [number for number, rest in enumerate(waiting) if rest and number <= opened]
        number = draw(st.sampled_from(open_ones))
        deltas.append(waiting[number].pop(0))
        opened = max(opened, number + 1)
    return [*deltas, End()]


def _pieces(number: int) -> Iterator[Delta]:
    yield More(number, f"{number}a")
    yield More(number, f"{number}b")


@given(interleaved())
def test_blocks_beside_each_other_keep_their_pieces(deltas: list[Delta]) -> None:
    collector = Collector()
    reader, writer = StreamReader(Plan()), StreamWriter(SCENE, Losses())
    for event in EventReader().feed(b"".join(writer.write([delta]) for delta in deltas)):
        collector.feed(reader.feed(event))
    said = [
        part.arguments if isinstance(part, ToolCall) else part.text
        for part in collector.answer.choices[0].parts
        if isinstance(part, Text | Thinking | ToolCall)
    ]
    assert said == [f"{number}a{number}b" for number in range(len(said))]
    assert len(said) == sum(isinstance(delta, Open) for delta in deltas)


# --- anything at all -------------------------------------------------------------------------------------------------

WORDS = (
    "type", "role", "content", "text", "input", "output", "message", "user", "assistant", "reasoning", "summary",
    "name", "function_call", "function_call_output", "custom_tool_call", "call_id", "arguments", "tools",
    "tool_choice", "model", "namespace", "function", "custom", "format", "allowed_tools", "mode", "auto",
    "input_text", "output_text", "refusal", "input_image", "image_url", "input_file", "file_data", "input_audio",
    "annotations", "url_citation", "encrypted_content", "item", "item_id", "output_index", "content_index", "delta",
    "part", "response", "error", "status", "completed", "incomplete_details", "usage", "input_tokens", "created_at",
    "id", "parameters", "include", "prompt_cache_breakpoint", "ttl", "instructions", "stream",
    "image_generation_call", "result", "logprobs", "response.created", "response.output_item.added",
    "response.output_item.done", "response.content_part.added", "response.output_text.delta",
    "response.function_call_arguments.delta", "response.completed", "response.failed",
    "response.reasoning_summary_text.delta", "summary_index", "response.incomplete", "response.content_part.done",
    "response.output_text.annotation.added", "annotation",
)  # fmt: skip
words = st.sampled_from(WORDS)
scalars = (
    st.none() | st.booleans() | st.integers(-2, 1 << 70) | st.floats(allow_nan=False) | words | st.text(max_size=3)
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4), max_leaves=12
)
objects = st.dictionaries(words, anything, max_size=6)
items = st.builds(lambda kind, rest: {**rest, "type": kind}, words, objects)


@given(objects, st.lists(items, max_size=4), st.lists(items, max_size=2))
def test_no_request_crashes_the_reader(body: dict[str, Any], given_items: list[Any], given_tools: list[Any]) -> None:
    for each in (body, {"model": "m", "input": given_items, "tools": given_tools}):
        try:
            request = read_request(each, Losses())
        except RequestError as refused:
            assert refused.status == 400
        else:
            write_request(request, Target("main", "gpt-5"), Losses())


@given(anything | st.builds(lambda output: {"output": output}, st.lists(items, max_size=4)))
def test_no_answer_crashes_the_reader(body: object) -> None:
    try:
        answer = read_answer(body, Plan())
    except MalformedAnswerError:
        return
    write_answer(answer, SCENE, Losses())


@given(st.lists(items.map(json.dumps) | st.text(max_size=9), max_size=8))
def test_no_event_crashes_the_reader_and_every_stream_keeps_the_grammar(payloads: list[str]) -> None:
    reader, writer = StreamReader(Plan()), StreamWriter(SCENE, Losses())
    deltas = [delta for payload in payloads for delta in reader.feed(Event("message", payload))] + reader.end()
    assert isinstance(deltas[0], Begin)
    assert isinstance(deltas[-1], End | Broken)
    opened: set[int] = set()
    closed: set[int] = set()
    for delta in deltas[1:-1]:
        assert not isinstance(delta, Begin | End | Broken)
        if isinstance(delta, Open):
            assert delta.block == len(opened)
            opened.add(delta.block)
        elif isinstance(delta, More | Signed | Close):
            assert delta.block in opened - closed
            closed |= {delta.block} if isinstance(delta, Close) else set()
        elif isinstance(delta, Finished):
            assert opened == closed
    written = writer.write(deltas)
    assert EventReader().feed(written)[-1].event in ("response.completed", "response.incomplete", "response.failed")


@given(anything, st.sampled_from([0, 400, 500]))
def test_no_error_crashes_the_reader(body: object, status: int) -> None:
    assert read_failure(status, body).status == status
