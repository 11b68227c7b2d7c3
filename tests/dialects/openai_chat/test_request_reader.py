"""What a client asks in Chat Completions, in nobody's words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.continuity import seal
from gateway.dialects.conversation import (
    Audio,
    Cache,
    Document,
    Extra,
    Image,
    Message,
    Opaque,
    Part,
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
from gateway.dialects.losses import Losses
from gateway.dialects.openai_chat.request_reader import read_request
from gateway.errors import RequestError

HI = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
SEALED = Signature("sig", "anthropic", "claude")


def read(**fields: Any) -> Request:
    losses = Losses()
    request = read_request({"model": "m", "messages": [HI], **fields}, losses)
    assert losses.entries == []
    return request


def message(**fields: Any) -> Message:
    return read(messages=[fields]).messages[0]


def part_of(part: dict[str, Any]) -> Part:
    (read,) = message(role="user", content=[part]).parts
    return read


def test_a_text_is_a_message_of_one_part() -> None:
    assert read() == Request("openai_chat", "m", (Message("user", (Text("Hi"),)),), stream_usage=False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"role": "system", "content": "Be"}, Message("system", (Text("Be"),))),
        ({"role": "developer", "content": [{"type": "text", "text": "Be"}]}, Message("developer", (Text("Be"),))),
        ({"role": "user", "content": "Hi", "name": "Ann"}, Message("user", (Text("Hi"),), "Ann")),
        ({"role": "user", "content": None}, Message("user", ())),
        ({"role": "user", "content": ""}, Message("user", ())),
        ({"role": "assistant", "content": " "}, Message("assistant", (Text(" "),))),
        ({"role": "assistant", "content": None, "refusal": "No"}, Message("assistant", (Refusal("No"),))),
        (
            {"role": "assistant", "audio": {"id": "audio_1"}},
            Message("assistant", (Opaque("openai_chat", {"audio": {"id": "audio_1"}}),)),
        ),
        (
            {
                "role": "assistant",
                "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
            },
            Message("assistant", (Image(Source("base64", "AA==", "image/png")),)),
        ),
        (
            {"role": "tool", "tool_call_id": "c1", "content": "5"},
            Message("user", (ToolResult("c1", (Text("5"),)),)),
        ),
        (
            {"role": "system", "content": "Be", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            Message("system", (Text("Be", Cache("1h")),)),
        ),
    ],
)
def test_a_message_keeps_role_parts_and_marks(fields: dict[str, Any], expected: Message) -> None:
    assert message(**fields) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": " x "}, Text(" x ")),
        ({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}, Text("x", Cache())),
        ({"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}, Text("x", Cache())),
        (
            {"type": "image_url", "image_url": {"url": "https://e.x/a.png", "detail": "low"}},
            Image(Source("url", "https://e.x/a.png"), "low"),
        ),
        ({"type": "image_url", "image_url": "https://e.x/a.png"}, Image(Source("url", "https://e.x/a.png"))),
        (
            {"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg%2F%3E"}},
            Image(Source("base64", "PHN2Zy8+", "image/svg+xml")),
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,AA=="}},
            Document(Source("base64", "AA==", "application/pdf")),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
            Audio(Source("base64", "AA", "audio/mpeg")),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            Audio(Source("base64", "AA", "audio/wav")),
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
            Document(Source("base64", "AA==", "application/pdf"), "a.pdf"),
        ),
        ({"type": "file", "file": {"file_data": "AA=="}}, Document(Source("base64", "AA=="))),
        ({"type": "file", "file": {"file_data": "https://e.x/a"}}, Document(Source("url", "https://e.x/a"))),
        ({"type": "file", "file": {"file_id": "file-1"}}, Document(Source("file", "file-1", dialect="openai_chat"))),
        (
            {"type": "document_url", "document_url": "https://e.x/a.pdf", "document_name": "a"},
            Document(Source("url", "https://e.x/a.pdf"), "a"),
        ),
        ({"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}], "closed": True}, Thinking("Hm")),
        (
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            Thinking("Hm", Signature("s", "openai_chat")),
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://e.x/a.mp4"}},
            Opaque("openai_chat", {"type": "video_url", "video_url": {"url": "https://e.x/a.mp4"}}),
        ),
    ],
)  # fmt: skip
def test_a_part_of_a_content_is_known_by_its_type(part: dict[str, Any], expected: Part) -> None:
    assert part_of(part) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            ToolCall("c", "f", '{"a": 1}'),
        ),
        ({"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}, ToolCall("c", "f", "{}")),
        ({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{a"}}, ToolCall("c", "f", "{a")),
        ({"id": "c", "function": {"name": "f", "arguments": {"a": 1}}, "index": 0}, ToolCall("c", "f", '{"a":1}')),
        ({"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}, ToolCall("c", "f", "x", True)),
        (
            {
                "id": "c",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "s"}},
            },
            ToolCall("c", "f", signature=Signature("s", "openai_chat")),
        ),
        (
            {
                "id": "c",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"vertex": {"thought_signature": "s"}},
            },
            ToolCall("c", "f", signature=Signature('{"vertex":{"thought_signature":"s"}}', "openai_chat")),
        ),
        (
            {"id": f"c__thought__{seal(SEALED, '').rstrip('=')}", "function": {"name": "f", "arguments": "{}"}},
            ToolCall("c", "f", signature=SEALED),
        ),
    ],
)
def test_a_call_has_its_arguments_as_the_model_wrote_them(call: dict[str, Any], expected: ToolCall) -> None:
    assert message(role="assistant", content=None, tool_calls=[call]).parts == (expected,)


def test_the_result_of_a_call_is_found_by_the_id_without_its_seal() -> None:
    sealed = f"c__thought__{seal(SEALED, '')}"
    assert message(role="tool", tool_call_id=sealed, content="").parts == (ToolResult("c"),)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_content": "Hm"}, (Thinking("Hm"),)),
        ({"reasoning": "Hm"}, (Thinking("Hm"),)),
        (
            {
                "reasoning_content": "Hm",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "Hm", "signature": seal(SEALED, "")},
                    {"type": "redacted_thinking", "data": "r"},
                ],
            },
            (Thinking("Hm", SEALED), RedactedThinking(Signature("r", "openai_chat"))),
        ),
        (
            {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": seal(SEALED, "")}]},
            (Thinking("", SEALED),),
        ),
        (
            {"reasoning_details": [{"type": "reasoning.text", "text": "Hm", "signature": "s", "index": 0}]},
            (Thinking("Hm", Signature('{"type":"reasoning.text","signature":"s","index":0}', "openai_chat")),),
        ),
        (
            {"reasoning": "Hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "e"}]},
            (Thinking("Hm"), RedactedThinking(Signature('{"type":"reasoning.encrypted","data":"e"}', "openai_chat"))),
        ),
    ],
)
def test_thoughts_are_read_in_the_richest_form(fields: dict[str, Any], expected: tuple[Part, ...]) -> None:
    assert message(role="assistant", content="4", **fields).parts == (*expected, Text("4"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 9}, {"max_tokens": 9}),
        ({"max_tokens": 9, "max_completion_tokens": 8}, {"max_tokens": 8}),
        ({"temperature": 0, "top_p": 0.0, "seed": 0}, {"sampling": Sampling(0, 0.0, seed=0)}),
        ({"logprobs": True, "top_logprobs": 0}, {"sampling": Sampling(logprobs=True, top_logprobs=0)}),
        ({"logit_bias": {"5": -100}, "top_k": 4}, {"sampling": Sampling(logit_bias={"5": -100}, top_k=4)}),
        ({"stop": "x"}, {"stop": ("x",)}),
        ({"stop": ["x", "y"]}, {"stop": ("x", "y")}),
        ({"n": 2, "parallel_tool_calls": False, "store": False},
         {"n": 2, "parallel_tool_calls": False, "store": False}),
        ({"user": "u", "safety_identifier": "s", "metadata": {"a": "b"}},
         {"user": "u", "safety_identifier": "s", "metadata": {"a": "b"}}),
        ({"prompt_cache_key": "k", "prompt_cache_retention": "24h"}, {"cache_key": "k", "cache_retention": "24h"}),
        ({"service_tier": "flex", "verbosity": "low"}, {"service_tier": "flex", "verbosity": "low"}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True, "stream_usage": True}),
        ({"stream": True}, {"stream": True, "stream_usage": False}),
        ({"temperature": None, "tools": None, "stop": None, "audio": None}, {}),
        ({"response_format": {"type": "text"}}, {"response_format": ResponseFormat("text")}),
        ({"response_format": {"type": "json_object"}}, {"response_format": ResponseFormat("json")}),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}},
         {"response_format": ResponseFormat("schema", schema=SCHEMA)}),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}},
         {"response_format": ResponseFormat("schema", "n", SCHEMA, True)}),
        ({"reasoning_effort": "minimal"}, {"reasoning": Reasoning("minimal")}),
        ({"thinking": {"type": "disabled"}}, {"reasoning": Reasoning("none")}),
        ({"thinking": {"type": "enabled"}}, {"reasoning": Reasoning(adaptive=True)}),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, {"reasoning": Reasoning(budget=0)}),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, {"reasoning": Reasoning("max", adaptive=True)}),
        ({"reasoning": {"max_tokens": 1024, "exclude": True}}, {"reasoning": Reasoning(budget=1024, shown=False)}),
        ({"reasoning": {"enabled": False}}, {"reasoning": Reasoning("none")}),
    ],
)  # fmt: skip
def test_a_field_has_its_place(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    read_fields = read(**fields)
    plain = read()
    for name in Request.__dataclass_fields__:
        assert getattr(read_fields, name) == expected.get(name, getattr(plain, name)), name


@pytest.mark.parametrize(
    ("fields", "extra"),
    [
        ({"modalities": ["text", "audio"]}, Extra("openai_chat", "modalities", ["text", "audio"], True)),
        ({"modalities": ["text"]}, Extra("openai_chat", "modalities", ["text"], False)),
        ({"web_search_options": {}}, Extra("openai_chat", "web_search_options", {}, True)),
        ({"provider": {"only": ["x"]}}, Extra("openai_chat", "provider", {"only": ["x"]}, False)),
        ({"response_format": {"type": "grammar"}}, Extra("openai_chat", "response_format", {"type": "grammar"}, True)),
        ({"reasoning_effort": "default"}, Extra("openai_chat", "reasoning_effort", "default", False)),
        ({"metadata": {"tags": ["a"]}}, Extra("openai_chat", "metadata", {"tags": ["a"]}, False)),
        (
            {"stream_options": {"include_usage": False, "include_obfuscation": False}},
            Extra("openai_chat", "stream_options", {"include_obfuscation": False}, False),
        ),
    ],
)
def test_what_only_this_dialect_knows_stays_as_it_came(fields: dict[str, Any], extra: Extra) -> None:
    assert read(**fields).extra == (extra,)


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}},
            Tool("f", "d", SCHEMA, True),
        ),
        ({"function": {"name": "f"}}, Tool("f")),
        ({"type": "function", "name": "f", "parameters": {}}, Tool("f", parameters={})),
        (
            {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral", "ttl": "5m"}},
            Tool("f", cache=Cache("5m")),
        ),
        (
            {"type": "custom", "custom": {"name": "f", "format": {"type": "text"}}},
            Tool("f", custom=True, grammar={"type": "text"}),
        ),
        ({"type": "web_search", "size": 1}, Opaque("openai_chat", {"type": "web_search", "size": 1})),
    ],
)
def test_a_tool_is_a_function_custom_or_the_providers_own(tool: dict[str, Any], expected: Tool | Opaque) -> None:
    assert read(tools=[tool]).tools == (expected,)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("required", ("f",))),
        ({"function": {"name": "f"}}, ToolChoice("required", ("f",))),
        ({"type": "function", "name": "f"}, ToolChoice("required", ("f",))),
        ({"type": "custom", "custom": {"name": "f"}}, ToolChoice("required", ("f",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            ToolChoice("auto", ("f",)),
        ),
    ],
)
def test_a_choice_of_tools_is_a_mode_and_names(choice: Any, expected: ToolChoice) -> None:
    assert read(tool_choice=choice).tool_choice == expected


def test_functions_of_2023_are_tools_without_ids() -> None:
    request = read(
        functions=[{"name": "f", "parameters": SCHEMA}],
        function_call={"name": "f"},
        messages=[
            HI,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":"b"}'}},
            {"role": "function", "name": "f", "content": "5"},
        ],
    )
    assert request.tools == (Tool("f", parameters=SCHEMA),)
    assert request.tool_choice == ToolChoice("required", ("f",))
    assert request.legacy_calls
    assert request.parallel_tool_calls is False
    assert request.messages[1].parts == (ToolCall("call_1", "f", '{"a":"b"}'),)
    assert request.messages[2].parts == (ToolResult("call_1", (Text("5"),), name="f"),)


def test_model_and_stream_may_come_from_the_path() -> None:
    request = read_request({"messages": [HI]}, Losses(), model="m", stream=True)
    assert (request.model, request.stream) == ("m", True)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["Hi"]}, "messages.0"),
        ({"messages": [{"content": "Hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "robot"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": {}}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "tool", "content": "5"}]}, "messages.0.tool_call_id"),
        ({"messages": [{"role": "function", "content": "5"}]}, "messages.0.name"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages.0.tool_calls.0.function"),
        ({"messages": [HI], "temperature": "hot"}, "temperature"),
        ({"messages": [HI], "max_tokens": 1e300}, "max_tokens"),
        ({"messages": [HI], "tools": [{"type": "function"}]}, "tools.0.function.name"),
        ({"messages": [HI], "tool_choice": "maybe"}, "tool_choice"),
        ({"messages": [HI], "response_format": {}}, "response_format.type"),
    ],
)
def test_what_is_structurally_wrong_is_refused_by_its_path(body: dict[str, Any], path: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_request(body, Losses())
    assert (caught.value.status, caught.value.param) == (400, path)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "mood": 1}]}]},
            "messages.0.content.0.mood",
        ),
        ({"messages": [{**HI, "trimmed_by": "us"}]}, "messages.0.trimmed_by"),
        ({"messages": [HI], "tools": [{"function": {"name": "f", "cost": 1}}]}, "tools.0.function.cost"),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}]}]},
            "messages.0.content.0.prompt_cache_breakpoint.ttl",
        ),
    ],
)  # fmt: skip
def test_what_has_no_place_inside_a_known_part_is_noted(fields: dict[str, Any], path: str) -> None:
    losses = Losses()
    read_request(fields, losses)
    assert [(loss.path, loss.content) for loss in losses.entries] == [(path, False)]
