"""A client's Messages request on the left, the neutral one on the right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic.request_reader import read_request
from gateway.dialects.continuity import bind, seal, with_seal
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
    ResponseFormat,
    Signature,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.dialects.losses import Losses
from gateway.errors import RequestError
from tests.dialects.anthropic.making import read

EPHEMERAL = {"type": "ephemeral"}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
TOOLSET = {"type": "tool_use", "id": "t", "name": "click", "input": {}, "toolset_name": "computer"}
CALLED_BY_CODE = {
    "type": "tool_use",
    "id": "t",
    "name": "f",
    "input": {},
    "caller": {"type": "code_execution_20250825"},
}
BLOCKS_AS_SOURCE = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}}


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": " Hi "}, Text(" Hi ")),
        ({"type": "text", "text": "", "cache_control": None}, Text("")),
        ({"type": "text", "text": "Hi", "cache_control": EPHEMERAL}, Text("Hi", Cache())),
        ({"type": "text", "text": "Hi", "cache_control": {**EPHEMERAL, "ttl": "1h"}}, Text("Hi", Cache("1h"))),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            Image(Source("base64", "AA==", "image/png")),
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            Image(Source("url", "https://example.com/a.png")),
        ),
        (
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}, "cache_control": EPHEMERAL},
            Image(Source("file", "file_1", dialect="anthropic"), cache=Cache()),
        ),
        (
            {
                "type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                "title": "Terms", "context": "of 2020", "citations": {"enabled": True},
            },
            Document(Source("base64", "JVBERi0=", "application/pdf"), "Terms", "of 2020", True),
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
            Document(Source("text", "words", "text/plain")),
        ),
        (BLOCKS_AS_SOURCE, Opaque("anthropic", BLOCKS_AS_SOURCE)),
        (
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1, "ü"]}, "caller": {"type": "direct"}},
            ToolCall("toolu_1", "f", '{"a":[1,"ü"]}'),
        ),
        (TOOLSET, Opaque("anthropic", TOOLSET)),
        (CALLED_BY_CODE, Opaque("anthropic", CALLED_BY_CODE)),
        (
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42", "is_error": False},
            ToolResult("toolu_1", (Text("42"),), False),
        ),
        ({"type": "tool_result", "tool_use_id": "toolu_1"}, ToolResult("toolu_1")),
        (
            {
                "type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "cache_control": EPHEMERAL,
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                    {"type": "tool_reference", "tool_name": "f"},
                ],
            },
            ToolResult(
                "toolu_1",
                (
                    Text("see"),
                    Image(Source("base64", "AA==", "image/png")),
                    Opaque("anthropic", {"type": "tool_reference", "tool_name": "f"}),
                ),
                True,
                cache=Cache(),
            ),
        ),
        (
            {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
            Thinking("Hm", Signature("EqQB", "anthropic")),
        ),
        ({"type": "thinking", "thinking": "", "signature": "EqQB"}, Thinking("", Signature("EqQB", "anthropic"))),
        ({"type": "thinking", "thinking": "Hm", "signature": ""}, Thinking("Hm")),
        ({"type": "redacted_thinking", "data": "Emw"}, RedactedThinking(Signature("Emw", "anthropic"))),
        (SEARCH, Opaque("anthropic", SEARCH)),
        ({"type": "brand_new", "x": [1]}, Opaque("anthropic", {"type": "brand_new", "x": [1]})),
    ],
)  # fmt: skip
def test_a_block_is_a_part(block: dict[str, Any], part: Part) -> None:
    request, lost = read(messages=[{"role": "user", "content": [block]}])
    assert request.messages == (Message("user", (part,)),)
    assert lost == []


@pytest.mark.parametrize("behind", [False, True])
def test_a_call_has_the_signature_that_a_block_beside_it_binds_to_its_id(behind: bool) -> None:
    one, two = Signature("CiQB", "gemini", "google"), Signature("DiQB", "gemini", "google")
    marks = [{"type": "redacted_thinking", "data": bind(each, name, "")} for each, name in ((two, "b.2"), (one, "a"))]
    uses: list[dict[str, Any]]
    uses = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in ("a", "b.2", "c")]
    content = [*uses, *marks] if behind else [*marks, *uses]
    request, lost = read(messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": content}])
    assert request.messages[1].parts == (
        ToolCall("a", "f", signature=one),
        ToolCall("b.2", "f", signature=two),
        ToolCall("c", "f"),
    )
    assert lost == []


def test_signatures_of_others_come_back_from_where_they_were_put() -> None:
    foreign = Signature("CiQB", "gemini", "google")
    sealed = seal(foreign, "")
    content = [
        {"type": "thinking", "thinking": "Hm", "signature": sealed},
        {"type": "redacted_thinking", "data": sealed},
        {"type": "tool_use", "id": with_seal("call_1", foreign, ""), "name": "f", "input": {}},
    ]
    result = {"type": "tool_result", "tool_use_id": with_seal("call_1", foreign, ""), "content": "42"}
    request, _ = read(
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": content},
            {"role": "user", "content": [result]},
        ]
    )
    assert request.messages[1].parts == (
        Thinking("Hm", foreign),
        RedactedThinking(foreign),
        ToolCall("call_1", "f", "{}", signature=foreign),
    )
    assert request.messages[2].parts == (ToolResult("call_1", (Text("42"),)),)


def test_the_system_prompt_comes_first_and_a_later_system_message_stays_where_it_is() -> None:
    request, _ = read(
        system=[{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": EPHEMERAL}],
        messages=[{"role": "user", "content": "Hi"}, {"role": "system", "content": "C"}],
    )
    assert request.messages == (
        Message("system", (Text("A"), Text("B", Cache()))),
        Message("user", (Text("Hi"),)),
        Message("system", (Text("C"),)),
    )


@pytest.mark.parametrize(
    ("fields", "reasoning", "extra"),
    [
        ({}, None, ()),
        ({"output_config": {"effort": "low"}}, Reasoning(effort="low"), ()),
        ({"thinking": {"type": "disabled"}}, Reasoning(effort="none"), ()),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Reasoning(budget=2000), ()),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
            Reasoning(effort="max", adaptive=True, shown=True),
            (),
        ),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Reasoning(adaptive=True, shown=False), ()),
        (
            {"thinking": {"type": "adaptive", "display": "updates"}},
            Reasoning(adaptive=True),
            (Extra("anthropic", "thinking", {"display": "updates"}),),
        ),
        (
            {"thinking": {"type": "between_tools"}},
            Reasoning(effort="none"),
            (Extra("anthropic", "thinking", {"type": "between_tools"}),),
        ),
        (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "high", "task_budget": {"total": 9}}},
            Reasoning(effort="none"),
            (Extra("anthropic", "output_config", {"effort": "high", "task_budget": {"total": 9}}),),
        ),
    ],
)
def test_how_much_to_think(fields: dict[str, Any], reasoning: Reasoning | None, extra: tuple[Extra, ...]) -> None:
    request, _ = read(**fields)
    assert request.reasoning == reasoning
    assert request.extra == extra


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        (None, None, None),
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice("auto"), False),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice("required"), True),
        ({"type": "tool", "name": "f"}, ToolChoice("required", ("f",)), None),
        ({"type": "none"}, ToolChoice("none"), None),
    ],
)
def test_which_tools_to_call(choice: dict[str, Any] | None, expected: ToolChoice | None, parallel: bool | None) -> None:
    request, _ = read(tool_choice=choice)
    assert (request.tool_choice, request.parallel_tool_calls) == (expected, parallel)


def test_tools_of_the_client_and_of_anthropic() -> None:
    schema = {"type": "object", "properties": {}}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    request, lost = read(
        tools=[
            {"name": "f", "description": "Does.", "input_schema": schema, "strict": True, "cache_control": EPHEMERAL},
            {"type": "custom", "name": "g", "input_schema": schema, "eager_input_streaming": True},
            search,
        ]
    )
    assert request.tools == (
        Tool("f", "Does.", schema, True, cache=Cache()),
        Tool("g", "", schema),
        Opaque("anthropic", search),
    )
    assert lost == ["tools.1.eager_input_streaming"]


@pytest.mark.parametrize("place", ["output_config", "output_format"])
def test_the_shape_of_the_answer_stands_in_its_new_or_its_old_place(place: str) -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    request, _ = read(**{place: {"format": wanted} if place == "output_config" else wanted})
    assert request.response_format == ResponseFormat("schema", schema={"type": "object"})


def test_the_other_fields() -> None:
    request, lost = read(
        model="claude-x", max_tokens=0, temperature=0, top_p=0.5, top_k=3, stop_sequences=["END"], stream=True,
        metadata={"user_id": "u", "team": 1}, service_tier="standard_only", speed="fast",
        mcp_servers=[{"type": "url"}], container=None,
    )  # fmt: skip
    assert (request.dialect, request.model, request.max_tokens, request.stream) == ("anthropic", "claude-x", 0, True)
    assert request.sampling.temperature == 0
    assert (request.sampling.top_p, request.sampling.top_k, request.stop) == (0.5, 3, ("END",))
    assert (request.user, request.service_tier) == ("u", "default")
    assert request.extra == (
        Extra("anthropic", "metadata", {"team": 1}),
        Extra("anthropic", "speed", "fast"),
        Extra("anthropic", "mcp_servers", [{"type": "url"}], content=True),
    )
    assert lost == []


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"role": "user", "content": "x", "name": "n"}, "messages.0.name"),
        ({"role": "user", "content": [{"type": "text", "text": "x", "new": 1}]}, "messages.0.content.0.new"),
        (
            {"role": "assistant", "content": [{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}]},
            "messages.0.content.0.citations",
        ),
        (
            {
                "role": "user",
                "content": [
                    {
                        "type": "image", "source": {"type": "url", "url": "https://example.com"},
                        "transformations": {"oversized_image": "error"},
                    }
                ],
            },
            "messages.0.content.0.transformations",
        ),
    ],
)  # fmt: skip
def test_what_has_no_place_in_a_part_is_noted(message: dict[str, Any], path: str) -> None:
    assert read(messages=[message])[1] == [path]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages.0"),
        ({"messages": [{"content": "Hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content.0.source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]},
            "messages.0.content.0.source.url",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "f"}]}]},
            "messages.0.content.0.input",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "f", "input": "x"}]}
                ]
            },
            "messages.0.content.0.input",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content.0.tool_use_id"),
        ({"system": 7}, "system"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"name": "f", "input_schema": "x"}]}, "tools.0.input_schema"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "many"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop_sequences": [1]}, "stop_sequences"),
        ({"metadata": {"user_id": 7}}, "metadata.user_id"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_is_structurally_wrong_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


WORDS = [
    "type", "text", "role", "content", "source", "id", "name", "input", "tool_use_id", "thinking", "signature", "data",
    "system", "messages", "tools", "tool_choice", "model", "cache_control", "output_config", "format", "schema", "url",
    "user", "assistant", "image", "document", "tool_use", "tool_result", "redacted_thinking", "base64", "enabled",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=20,
)


@given(
    st.dictionaries(st.sampled_from(WORDS), JSON), st.lists(st.dictionaries(st.sampled_from(WORDS), JSON), max_size=3)
)
def test_no_json_makes_the_reader_fail_otherwise(body: dict[str, Any], blocks: list[Any]) -> None:
    for candidate in (body, {**body, "model": "m", "messages": [{"role": "user", "content": blocks}]}):
        try:
            read_request(candidate, Losses())
        except RequestError as exc:
            assert exc.status == 400
            assert exc.param
