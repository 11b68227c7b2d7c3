"""Conversations and answers in nobody's words, made by hypothesis: valid ones, as every writer may expect them."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway import jsonlib
from gateway.dialects.conversation import (
    EFFORTS,
    Answer,
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
from gateway.usage import Usage
from tests.dialects.pairs import NAMES

WORDS = st.text('abü€😀 \n.{}"\\', min_size=1, max_size=12).filter(str.strip)
TOOLS = ("get_weather", "note-it", "T1")

ARGUMENTS = st.dictionaries(st.sampled_from(["city", "n"]), WORDS | st.integers(-9, 9) | st.none(), max_size=2)

MEDIA: st.SearchStrategy[Part] = st.sampled_from(
    [
        Image(Source("base64", "iVBORw0KGgo=", "image/png")),
        Image(Source("url", "https://example.com/a.png")),
        Document(Source("base64", "JVBERi0xLjQK", "application/pdf"), "a.pdf"),
        Document(Source("text", "Plain words."), "notes.txt"),
    ]
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns that begin with the user's; every call has its result in the next message."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(draw(st.sampled_from(["system", "developer"])), (Text(draw(WORDS)),)))
    asked: list[ToolCall] = []
    for turn in range(draw(st.integers(1, 4))):
        results = [_result(draw, call) for call in asked]
        said: list[Part] = draw(st.lists(st.builds(Text, WORDS) | MEDIA, min_size=0 if results else 1, max_size=3))
        messages.append(Message("user", (*results, *said)))
        if draw(st.booleans()):
            asked = []
            continue
        calls = draw(st.lists(st.tuples(st.sampled_from(TOOLS), ARGUMENTS), max_size=2))
        asked = [
            ToolCall(f"call_{turn}_{place}", name, jsonlib.dumps(arguments).decode())
            for place, (name, arguments) in enumerate(calls)
        ]
        words: list[Part] = [Text(draw(WORDS))] if not asked or draw(st.booleans()) else []
        messages.append(Message("assistant", (*words, *asked)))
    if messages[-1].role == "assistant":
        messages.append(Message("user", (*(_result(draw, call) for call in asked), Text("So?"))))
    return tuple(messages)


def _result(draw: st.DrawFn, call: ToolCall) -> ToolResult:
    inner: list[Part] = draw(st.lists(st.builds(Text, WORDS) | MEDIA, min_size=1, max_size=2))
    return ToolResult(call.id, tuple(inner), draw(st.none() | st.booleans()), name=call.name)


SCHEMAS = st.sampled_from(
    [
        {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False},
    ]
)

SAMPLING = st.builds(
    Sampling,
    temperature=st.none() | st.sampled_from([0, 0.5, 1.5]),
    top_p=st.none() | st.just(0.5),
    top_k=st.none() | st.just(5),
    seed=st.none() | st.integers(0, 9),
    presence_penalty=st.none() | st.just(0.5),
    frequency_penalty=st.none() | st.just(-0.5),
    logprobs=st.none() | st.booleans(),
)

REASONING = st.builds(Reasoning, effort=st.sampled_from(EFFORTS)) | st.builds(Reasoning, budget=st.integers(0, 40000))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    messages = draw(conversations())
    called = {part.name for message in messages for part in message.parts if isinstance(part, ToolCall)}
    tools = tuple(Tool(name, draw(st.just("") | WORDS), draw(st.none() | SCHEMAS)) for name in TOOLS if called)
    formats = st.builds(ResponseFormat, st.just("schema"), st.just("answer"), SCHEMAS)
    choices = st.builds(ToolChoice, st.sampled_from(["auto", "required", "none"]))
    return Request(
        draw(st.sampled_from(NAMES)),
        "m",
        messages,
        tools=tools,
        tool_choice=draw(st.none() | choices) if tools else None,
        parallel_tool_calls=draw(st.none() | st.booleans()) if tools else None,
        response_format=draw(st.none() | formats) if not tools else None,
        sampling=draw(SAMPLING),
        max_tokens=draw(st.none() | st.integers(1, 90000)),
        stop=tuple(draw(st.lists(st.sampled_from(["END", "X", "Y"]), unique=True, max_size=3))),
        n=draw(st.none() | st.integers(1, 3)),
        reasoning=draw(st.none() | REASONING),
        user=draw(st.sampled_from(["", "ann"])),
        stream=draw(st.booleans()),
    )


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """One choice: thoughts, then a text or a refusal, then calls."""
    parts: list[Part] = []
    if draw(st.booleans()):
        signed = st.none() | st.builds(Signature, WORDS, st.sampled_from(NAMES), st.just("main"))
        parts.append(Thinking(draw(WORDS), draw(signed)))
    calls = [
        ToolCall(f"call_{place}", name, jsonlib.dumps(arguments).decode())
        for place, (name, arguments) in enumerate(
            draw(st.lists(st.tuples(st.sampled_from(TOOLS), ARGUMENTS), max_size=3))
        )
    ]
    finish = Finish.TOOL_CALLS if calls else draw(st.sampled_from([Finish.STOP, Finish.LENGTH, Finish.REFUSAL]))
    if finish is Finish.REFUSAL:
        parts.append(Refusal(draw(WORDS)))
    elif not calls or draw(st.booleans()):
        parts.append(Text(draw(WORDS)))
    usage = st.none() | st.builds(
        lambda asked, told: Usage(asked, output_text=told), st.integers(1, 99), st.integers(1, 99)
    )
    return Answer("answer-1", "m", (Choice((*parts, *calls), Ending(finish)),), draw(usage), created=1_700_000_000)
