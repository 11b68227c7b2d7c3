"""Whatever the dialect can say is the same after it was read and written; no JSON is too strange for a reader.

The normal form: neighbours that the dialect cannot tell apart do not stand beside each other (results of tools are
messages of their own, thoughts come first, then text, refusals, images and calls; a message of the user is one text or
has parts), and what nobody said is None.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway import jsonlib
from gateway.dialects.conversation import (
    EFFORTS,
    Answer,
    Audio,
    Cache,
    Choice,
    Citation,
    Document,
    Ending,
    Extra,
    Finish,
    Image,
    Message,
    Opaque,
    Reasoning,
    RedactedThinking,
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
from gateway.dialects.deltas import Begin, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import MalformedAnswerError, Plan, Scene, Target
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import quirks
from gateway.dialects.openai_chat.answer_reader import read_answer
from gateway.dialects.openai_chat.answer_writer import write_answer
from gateway.dialects.openai_chat.errors import read_failure
from gateway.dialects.openai_chat.request_reader import read_request
from gateway.dialects.openai_chat.request_writer import write_request
from gateway.dialects.openai_chat.stream_reader import StreamReader
from gateway.dialects.openai_chat.stream_writer import StreamWriter
from gateway.errors import RequestError
from gateway.usage import Usage
from gateway.wire.sse import Event
from tests.dialects.openai_chat.streams import add_up, read

EVERYTHING = frozenset({
    quirks.TOP_K, quirks.CACHE_CONTROL, quirks.MESSAGE_IMAGES, quirks.FILE_URL,
    quirks.REASONING_OBJECT,
})  # fmt: skip
"""A server that takes all that the dialect has a word for."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_text = texts.filter(bool)
ids = st.text("abcXYZ019_-", min_size=1, max_size=12)
names = st.text("abcXYZ019_-", min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
schemas = st.dictionaries(some_text, json_values, max_size=3)
caches = st.none() | st.sampled_from([Cache(), Cache("5m"), Cache("1h")])
base64_texts = st.sampled_from(["AA==", "c2FpZA==", ""])
images = st.builds(
    Image, st.builds(Source, st.just("base64"), base64_texts, st.just("image/png")), st.sampled_from(["", "low"])
)
documents = st.builds(
    Document,
    st.builds(Source, st.just("base64"), base64_texts, st.just("application/pdf"))
    | st.just(Source("file", "file-1", dialect="openai_chat")),
    some_text,
)
audios = st.builds(
    Audio, st.builds(Source, st.just("base64"), base64_texts, st.sampled_from(["audio/wav", "audio/mpeg"]))
)
opaque = st.builds(Opaque, st.just("openai_chat"), st.just({"type": "video_url", "video_url": {"url": "u"}}))
said = st.builds(Text, texts, caches) | images | documents | audios | opaque


def is_plain(parts: list[Any]) -> bool:
    """Whether a list of parts is not one text that a string says as well, but for one that has something to say."""
    return parts != [Text("")]


contents = st.lists(said, max_size=3).filter(is_plain).map(tuple)
bare = st.builds(Signature, ids, st.just("openai_chat"))
details = st.builds(
    lambda kind, data: Signature(jsonlib.dumps({"type": kind, "x": data}).decode(), "openai_chat"),
    st.sampled_from(["reasoning.text", "reasoning.summary"]),
    some_text,
)
encrypted = st.just(Signature('{"type":"reasoning.encrypted","data":"e"}', "openai_chat"))
thoughts = st.lists(st.builds(Thinking, some_text, bare) | st.builds(RedactedThinking, bare), max_size=2) | st.lists(
    st.builds(Thinking, some_text, details) | st.builds(RedactedThinking, encrypted), max_size=2
)
arguments = st.dictionaries(texts, texts, max_size=2).map(lambda value: jsonlib.dumps(value).decode())
calls = st.builds(ToolCall, ids, names, arguments, signature=st.none() | bare) | st.builds(
    ToolCall, ids, names, texts, st.just(True)
)
assistants = st.builds(
    lambda thoughts, text, refusal, calls: Message("assistant", (*thoughts, *text, *refusal, *calls)),
    thoughts,
    st.lists(st.builds(Text, some_text, caches), max_size=2),
    st.lists(st.builds(Refusal, some_text), max_size=1),
    st.lists(calls, max_size=2),
)
results = st.builds(
    lambda call_id, parts, cache: Message("user", (ToolResult(call_id, parts, cache=cache),)), ids, contents, caches
)
plain = st.builds(Message, st.sampled_from(["system", "developer", "user"]), contents, st.just("") | names)
tools = st.builds(Tool, names, texts, st.none() | schemas, st.none() | st.booleans(), cache=caches) | st.builds(
    Tool, names, texts, custom=st.just(True), grammar=st.none() | st.just({"type": "text"}), cache=caches
)
numbers = st.none() | st.floats(-2, 2) | st.integers(0, 2)
samplings = st.builds(
    Sampling, numbers, numbers, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9), numbers, numbers,
    st.none() | st.dictionaries(ids, st.integers(-100, 100), min_size=1, max_size=2),
    st.none() | st.booleans(), st.none() | st.integers(0, 5),
)  # fmt: skip
formats = st.none() | st.sampled_from([ResponseFormat("text"), ResponseFormat("json")]) | st.builds(
    ResponseFormat, st.just("schema"), names, st.none() | schemas, st.none() | st.booleans(), texts
)  # fmt: skip
reasonings = st.none() | st.builds(Reasoning, st.sampled_from(EFFORTS), shown=st.none() | st.booleans()) | st.builds(
    Reasoning, budget=st.integers(1, 9999)
) | st.just(Reasoning(adaptive=True))  # fmt: skip
extras = st.lists(
    st.builds(Extra, st.just("openai_chat"), st.sampled_from(["provider", "prediction", "plugins"]), some_text),
    max_size=2,
    unique_by=lambda extra: extra.name,
).map(lambda found: tuple(Extra(each.dialect, each.name, each.value, each.name == "plugins") for each in found))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    listed = tuple(draw(st.lists(tools, max_size=3, unique_by=lambda tool: tool.name)))
    choices: st.SearchStrategy[ToolChoice | None] = st.none() | st.sampled_from(
        [ToolChoice("auto"), ToolChoice("none")]
    )
    if listed:
        choices |= st.sampled_from(listed).map(lambda tool: ToolChoice("required", (tool.name,)))
        choices |= st.just(ToolChoice("auto", tuple(tool.name for tool in listed)))
    stream = draw(st.booleans())
    return Request(
        "openai_chat",
        "m",
        tuple(draw(st.lists(plain | assistants | results, min_size=1, max_size=4))),
        listed,
        draw(choices) if listed else None,
        draw(st.none() | st.booleans()) if listed else None,
        draw(formats),
        draw(samplings),
        draw(st.none() | st.integers(0, 9)),
        tuple(draw(st.lists(texts, max_size=2))),
        draw(st.none() | st.integers(1, 3)),
        draw(reasonings),
        draw(st.sampled_from(["", "low"])),
        draw(texts),
        draw(texts),
        draw(st.dictionaries(texts, texts, max_size=2)),
        draw(st.sampled_from(["", "flex"])),
        draw(st.none() | st.booleans()),
        draw(texts),
        draw(st.sampled_from(["", "24h"])),
        stream,
        stream,
        False,
        draw(extras),
    )


@given(requests())
def test_a_request_is_the_same_after_it_was_written_and_read(request: Request) -> None:
    losses = Losses()
    written = write_request(request, Target("theirs", "m", EVERYTHING), losses)
    assert losses.entries == []
    back = read_request(jsonlib.loads(jsonlib.dumps(written.body)), losses)
    assert losses.entries == []
    for name in Request.__dataclass_fields__:
        assert getattr(back, name) == getattr(request, name), name


citations = st.builds(Citation, some_text, texts, texts) | st.builds(
    Citation, some_text, start=st.integers(0, 2), end=st.integers(3, 5)
)
answered = st.builds(
    lambda thoughts, text, refusal, images, calls: (*thoughts, *text, *refusal, *images, *calls),
    thoughts,
    st.lists(st.builds(Text, some_text, citations=st.lists(citations, max_size=2, unique=True).map(tuple)), max_size=1),
    st.lists(st.builds(Refusal, some_text), max_size=1),
    st.lists(st.builds(Image, st.just(Source("base64", "AA==", "image/png"))), max_size=1),
    st.lists(calls, max_size=2),
)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    parts = draw(answered)
    finishes = [Finish.LENGTH, Finish.CONTENT_FILTER]
    if any(isinstance(part, ToolCall) for part in parts):
        finishes.append(Finish.TOOL_CALLS)
    elif any(isinstance(part, Refusal) for part in parts):
        finishes.append(Finish.REFUSAL)
    else:
        finishes.append(Finish.STOP)
    native = draw(st.sampled_from(["end_turn", "STOP"]))
    return Choice(parts, Ending(draw(st.sampled_from(finishes)), native), draw(st.none() | st.just({"content": []})))


answers = st.builds(
    Answer, ids, st.just("alias"), st.lists(choices(), min_size=1, max_size=2).map(tuple),
    st.none()
    | st.tuples(*[st.integers(0, 9)] * 3).map(lambda found: Usage(found[0], output_text=found[1], reasoning=found[2])),
    st.integers(1, 9999999999), st.sampled_from(["", "default"]),
)  # fmt: skip
SCENE = Scene(Request("openai_chat", "alias", ()), "alias", "", 7, "abc")


@given(answers)
def test_an_answer_is_the_same_after_it_was_written_and_read(answer: Answer) -> None:
    losses = Losses()
    written = write_answer(answer, SCENE, losses)
    assert losses.entries == []
    assert read_answer(jsonlib.loads(jsonlib.dumps(written)), Plan()) == answer


def said_of(choice: Choice) -> list[Any]:
    """Without what only has another order in a stream."""
    return sorted(map(repr, choice.parts))


def pieces(block: int, text: str) -> list[Delta]:
    return [More(block, letter) for letter in text]


def block_of(block: int, part: Any, choice: int) -> list[Delta]:
    """A part letter by letter."""
    match part:
        case Text(text, _, cited, _):
            said: list[Delta] = [*pieces(block, text), *(Cited(block, citation) for citation in cited)]
            return [Open(block, Text(""), choice), *said, Close(block)]
        case Refusal(text):
            return [Open(block, Refusal(""), choice), *pieces(block, text), Close(block)]
        case Thinking(text, signature):
            signed = [Signed(block, signature)] if signature else []
            return [Open(block, Thinking(""), choice), *pieces(block, text), *signed, Close(block)]
        case ToolCall(call_id, name, text, custom, signature, _):
            signed = [Signed(block, signature)] if signature else []
            return [
                Open(block, ToolCall(call_id, name, "", custom), choice),
                *signed,
                *pieces(block, text),
                Close(block),
            ]
    return [Open(block, part, choice), Close(block)]


def deltas_of(answer: Answer) -> list[Delta]:
    deltas: list[Delta] = [Begin(answer.id, answer.model, answer.created)]
    block = 0
    for number, choice in enumerate(answer.choices):
        for part in choice.parts:
            deltas += block_of(block, part, number)
            block += 1
        deltas.append(Finished(choice.ending, number))
    return [*deltas, *([Used(answer.usage)] if answer.usage else []), End()]


@given(answers, st.integers(1, 9))
def test_a_stream_of_an_answer_is_the_same_after_it_was_written_and_read(answer: Answer, cut: int) -> None:
    stream = StreamWriter(SCENE, Losses()).write(deltas_of(answer))
    whole = add_up(read(stream, Plan(), cut))
    assert whole.ended
    assert whole.usage == answer.usage
    for number, choice in enumerate(answer.choices):
        assert whole.endings[number] == choice.ending
        found = whole.parts.get(number, [])
        assert sorted(map(repr, found)) == sorted(map(repr, choice.parts))  # images come where they were made


def strange(*words: str) -> st.SearchStrategy[Any]:
    """JSON that looks a little like the real thing."""
    keys = st.sampled_from(words) | texts
    return st.recursive(
        json_values | st.sampled_from(words),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=25,
    )


MESSAGE_WORDS = (
    "role", "content", "assistant", "user", "tool", "function", "type", "text", "image_url", "url", "file", "file_data",
    "input_audio", "data", "tool_calls", "id", "name", "arguments", "custom", "input", "reasoning_content", "thinking",
    "thinking_blocks", "reasoning_details", "reasoning.text", "signature", "extra_content", "google", "audio", "images",
    "thought_signature", "refusal", "cache_control", "tool_call_id", "function_call", "data:image/png;base64,AA==",
)  # fmt: skip
FIELD_WORDS = (
    "tools", "tool_choice", "response_format", "json_schema", "schema", "reasoning", "thinking", "stop", "metadata",
    "stream_options", "include_usage", "logit_bias", "reasoning_effort", "functions", "allowed_tools", "mode", "type",
    "function", "name", "parameters", "temperature", "max_tokens", "n",
)  # fmt: skip
ANSWER_WORDS = (*MESSAGE_WORDS, "choices", "message", "delta", "index", "finish_reason", "stop", "usage", "annotations",
                "url_citation", "citations", "search_results", "error", "logprobs", "created")  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(FIELD_WORDS), strange(*FIELD_WORDS), max_size=4),
    st.lists(st.dictionaries(st.sampled_from(MESSAGE_WORDS), strange(*MESSAGE_WORDS), max_size=5), max_size=3),
)
def test_no_body_makes_the_request_reader_fail_otherwise_than_by_refusing(fields: Json, messages: list[Json]) -> None:
    with contextlib.suppress(RequestError):
        request = read_request({"messages": messages, **fields}, Losses())
        jsonlib.dumps(write_request(request, Target("theirs", "m", EVERYTHING), Losses()).body)


@given(strange(*ANSWER_WORDS), st.dictionaries(st.sampled_from(ANSWER_WORDS), strange(*ANSWER_WORDS), max_size=6))
def test_no_body_makes_the_answer_reader_fail_otherwise_than_as_malformed(body: Any, message: Json) -> None:
    for answer in (body, {"choices": [{"message": message, **message}], **message, "usage": message}):
        with contextlib.suppress(MalformedAnswerError):
            jsonlib.dumps(write_answer(read_answer(answer, Plan()), SCENE, Losses()))


@given(st.lists(st.dictionaries(st.sampled_from(ANSWER_WORDS), strange(*ANSWER_WORDS), max_size=6), max_size=4))
def test_no_events_make_the_stream_reader_fail(chunks: list[Json]) -> None:
    reader, writer = StreamReader(Plan()), StreamWriter(SCENE, Losses())
    deltas = []
    for chunk in chunks:
        payload = {"choices": [{"delta": chunk, "index": 0, "finish_reason": chunk.get("finish_reason")}], **chunk}
        for each in (payload, {"choices": [{"delta": chunk}]}):
            deltas += reader.feed(Event("message", jsonlib.dumps(each).decode()))
    deltas += reader.end()
    add_up(deltas)
    if any(type(delta).__name__ == "Begin" for delta in deltas):
        writer.write(deltas)


@given(st.text(), st.text())
def test_no_text_makes_the_stream_reader_fail(name: str, data: str) -> None:
    add_up([*StreamReader(Plan()).feed(Event(name, data))])


@given(st.integers(0, 599), strange(*ANSWER_WORDS, "code", "status", "param"))
def test_no_body_makes_the_failure_reader_fail(status: int, body: Any) -> None:
    assert read_failure(status, body).message
