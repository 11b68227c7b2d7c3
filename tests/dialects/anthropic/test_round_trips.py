"""Any neutral request that this dialect can say is the same after it was written and read.

The normal form: texts that are not blank; neighbours of other roles; results first; a system prompt of one text or of
several blocks at the beginning; calls with objects in compact JSON; a tool with a schema.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway import jsonlib
from gateway.dialects.anthropic.request_reader import read_request
from gateway.dialects.anthropic.request_writer import write_request
from gateway.dialects.conversation import (
    Cache,
    Document,
    Extra,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    RedactedThinking,
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
from gateway.dialects.dialect import Target
from gateway.dialects.losses import Losses
from gateway.errors import RequestError

WORDS = st.text(min_size=1, max_size=6).filter(str.strip)
IDS = st.text("abc_-019", min_size=1, max_size=8)
CACHES = st.none() | st.builds(Cache, st.sampled_from(["", "5m", "1h"]))
TEXTS = st.builds(Text, WORDS, CACHES)
SIGNED = st.builds(Signature, st.text("ABC+/=", min_size=1), st.just("anthropic"))
SOURCES = st.one_of(
    st.builds(Source, st.just("base64"), st.text("AB/="), st.sampled_from(["image/png", "application/pdf"])),
    st.builds(Source, st.just("url"), WORDS),
    st.builds(Source, st.just("file"), IDS, dialect=st.just("anthropic")),
)
IMAGES = st.builds(Image, SOURCES, cache=CACHES)
DOCUMENTS = st.builds(
    Document,
    SOURCES | st.builds(Source, st.just("text"), WORDS, st.just("text/plain")),
    name=st.text(max_size=3),
    context=st.text(max_size=3),
    citations=st.none() | st.booleans(),
    cache=CACHES,
)
OBJECTS = st.dictionaries(WORDS, st.none() | st.booleans() | st.integers(-9, 9) | WORDS, max_size=2)
OPAQUE = st.builds(lambda value: Opaque("anthropic", {**value, "type": "search_result"}), OBJECTS)
RESULTS = st.builds(
    ToolResult,
    IDS,
    st.lists(TEXTS | IMAGES | DOCUMENTS | OPAQUE, max_size=2).map(tuple),
    st.none() | st.booleans(),
    cache=CACHES,
)
CALLS = st.builds(ToolCall, IDS, WORDS, OBJECTS.map(lambda value: jsonlib.dumps(value).decode()), cache=CACHES)
THOUGHTS = st.builds(Thinking, st.text(max_size=4), SIGNED) | st.builds(RedactedThinking, SIGNED)


def message(role: Any, *kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Message]:
    return st.builds(Message, st.just(role), st.lists(st.one_of(*kinds), min_size=1, max_size=3).map(tuple))


def _results_first(turn: Message) -> Message:
    return replace(turn, parts=tuple(sorted(turn.parts, key=lambda part: not isinstance(part, ToolResult))))


USERS = message("user", TEXTS, IMAGES, DOCUMENTS, RESULTS, OPAQUE).map(_results_first)
ASSISTANTS = message("assistant", TEXTS, CALLS, THOUGHTS, OPAQUE)
SYSTEMS = st.lists(TEXTS, max_size=2).map(lambda texts: (Message("system", tuple(texts)),) if texts else ())
TURNS = st.lists(st.tuples(USERS, ASSISTANTS), max_size=2).map(
    lambda pairs: tuple(turn for pair in pairs for turn in pair)
)
TOOLS = st.one_of(
    st.builds(Tool, WORDS, st.text(max_size=4), OBJECTS, st.none() | st.booleans(), cache=CACHES),
    st.builds(lambda value: Opaque("anthropic", {**value, "type": "bash_20250124"}), OBJECTS),
)
REASONINGS = st.one_of(
    st.none(),
    st.builds(Reasoning, st.sampled_from(["low", "max"])),
    st.builds(Reasoning, st.just("none"), shown=st.none()),
    st.builds(Reasoning, st.sampled_from(["", "high"]), st.integers(0, 9), shown=st.none() | st.booleans()),
    st.builds(Reasoning, st.sampled_from(["", "high"]), adaptive=st.just(True), shown=st.none() | st.booleans()),
)
CHOICES = st.one_of(
    st.tuples(st.none(), st.none()),
    st.tuples(st.just(ToolChoice("none")), st.none()),
    st.tuples(
        st.just(ToolChoice("auto"))
        | st.builds(lambda name: ToolChoice("required", name), st.just(()) | st.tuples(WORDS)),
        st.none() | st.booleans(),
    ),
)
NUMBERS = st.none() | st.integers(0, 1) | st.floats(0, 1)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    choice, parallel = draw(CHOICES)
    messages: tuple[Message, ...] = (*draw(SYSTEMS), *draw(TURNS), draw(USERS))
    return Request(
        "anthropic",
        draw(WORDS),
        messages,
        tools=draw(st.lists(TOOLS, max_size=2).map(tuple)),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        response_format=draw(st.none() | st.builds(ResponseFormat, st.just("schema"), schema=OBJECTS)),
        sampling=Sampling(draw(NUMBERS), draw(NUMBERS), draw(st.none() | st.integers(0, 9))),
        max_tokens=draw(st.integers(0, 9)),
        stop=draw(st.lists(WORDS, max_size=2).map(tuple)),
        reasoning=draw(REASONINGS),
        user=draw(st.text(max_size=3)),
        service_tier=draw(st.sampled_from(["", "auto", "default"])),
        stream=draw(st.booleans()),
        extra=draw(
            st.lists(st.builds(Extra, st.just("anthropic"), st.sampled_from(["speed"]), WORDS), max_size=1).map(tuple)
        ),
    )


@given(requests())
def test_a_request_is_the_same_after_it_was_written_and_read(request: Request) -> None:
    losses = Losses()
    body = write_request(request, Target("main", request.model), losses).body
    assert read_request(jsonlib.loads(jsonlib.dumps(body)), losses) == request
    assert losses.entries == []


FOREIGN_PARTS: st.SearchStrategy[Part] = st.one_of(
    TEXTS, IMAGES, DOCUMENTS, RESULTS, CALLS, THOUGHTS, st.builds(Thinking, WORDS), st.builds(Text, st.just(" "))
)
FOREIGN = st.builds(
    Request,
    st.just("openai_chat"),
    WORDS,
    st.lists(
        st.builds(
            Message,
            st.sampled_from(["system", "developer", "user", "assistant"]),
            st.lists(FOREIGN_PARTS, max_size=3).map(tuple),
        ),
        max_size=6,
    ).map(tuple),
    tools=st.lists(TOOLS, max_size=2).map(tuple),
    tool_choice=st.none() | st.builds(ToolChoice, st.sampled_from(["auto", "required", "none"]), st.just(("f", "g"))),
    response_format=st.none() | st.builds(ResponseFormat, st.sampled_from(["text", "json", "schema"]), schema=OBJECTS),
    max_tokens=st.none() | st.integers(0, 9999),
    reasoning=REASONINGS,
)


@given(FOREIGN, st.sampled_from(["claude-3-haiku-20240307", "claude-sonnet-4-5", "claude-opus-4-8", "claude-opus-5-5"]))
def test_any_request_of_others_becomes_one_that_this_dialect_reads(request: Request, model: str) -> None:
    try:
        body = write_request(request, Target("main", model), Losses()).body
    except RequestError as exc:
        assert exc.param == "messages"
        return
    again = read_request(jsonlib.loads(jsonlib.dumps(body)), Losses())
    roles = [turn.role for turn in again.messages if turn.role != "system"]
    assert roles
    assert all(first != second for first, second in pairwise(roles))
    assert all(turn.parts for turn in again.messages)
    assert again.max_tokens is not None
    thinking = body.get("thinking", {})
    if thinking.get("type") == "enabled":
        assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]
        assert body.get("tool_choice", {}).get("type") not in ("any", "tool")
