"""Neutral requests as a provider of the Responses API gets them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.dialects.conversation import (
    Audio,
    Cache,
    Citation,
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
from gateway.dialects.dialect import Target, Written
from gateway.dialects.losses import Losses
from gateway.dialects.names import DialectName
from gateway.dialects.openai_responses.request_reader import read_request
from gateway.dialects.openai_responses.request_writer import write_request

D: DialectName = "openai_responses"
PNG = Source("base64", "QUJD", "image/png")


def request(*messages: Message, dialect: DialectName = "anthropic", **fields: Any) -> Request:
    return Request(dialect, "alias", messages or (Message("user", (Text("hi"),)),), **fields)


def write(
    asked: Request, model: str = "gpt-4.1", quirks: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], list[str], Written]:
    """The body, the names of what was lost, and the whole."""
    losses = Losses()
    written = write_request(asked, Target("main", model, quirks), losses)
    return written.body, [loss.name for loss in losses.entries], written


def items(*parts: Part, role: Any = "user", **how: Any) -> tuple[list[dict[str, Any]], list[str]]:
    body, lost, _ = write(request(Message(role, parts)), **how)
    return body["input"], lost


def test_requests_of_others_are_stateless() -> None:
    assert write(request())[0] == {
        "model": "gpt-4.1",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "store": False,
    }


def test_a_leading_system_message_of_one_text_is_instructions_and_others_stay() -> None:
    body, lost, _ = write(
        request(
            Message("system", (Text("first"),)),
            Message("system", (Text("a"), Text("b"))),
            Message("user", (Text("q"),)),
            Message("developer", (Text("later"),)),
        )
    )
    assert body["instructions"] == "first"
    assert [(item["role"], [part["text"] for part in item["content"]]) for item in body["input"]] == [
        ("system", ["a", "b"]),
        ("user", ["q"]),
        ("developer", ["later"]),
    ]
    assert lost == []


def test_a_turn_of_the_model_becomes_items_in_the_order_of_its_parts() -> None:
    body, lost, _ = write(
        request(
            Message(
                "assistant",
                (
                    Thinking("t", Signature("gAAA", D, "main")),
                    Text("a"),
                    Refusal("no"),
                    ToolCall("c", "f", '{"x":1}'),
                    ToolCall("p", "patch", "*** Begin", custom=True),
                    Text("b"),
                ),
            ),
            Message("user", (ToolResult("c", (Text("one"),)), ToolResult("p", (Text("two"),)), Text("go on"))),
        )
    )
    assert body["input"] == [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": "gAAA"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"x":1}'},
        {"type": "custom_tool_call", "call_id": "p", "name": "patch", "input": "*** Begin"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"type": "function_call_output", "call_id": "c", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "p", "output": "two"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go on"}]},
    ]
    assert lost == []


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (Image(PNG, "low"), {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "low"}),
        (Image(Source("url", "https://a/b.png")), {"type": "input_image", "image_url": "https://a/b.png"}),
        (Image(Source("file", "f1", dialect="openai_chat")), {"type": "input_image", "file_id": "f1"}),
        (
            Document(Source("base64", "QUJD", "application/pdf"), "My paper"),
            {"type": "input_file", "file_data": "data:application/pdf;base64,QUJD", "filename": "My paper.pdf"},
        ),
        (
            Document(Source("text", "ABC")),
            {"type": "input_file", "file_data": "data:text/plain;base64,QUJD", "filename": "document.txt"},
        ),
        (
            Document(Source("url", "https://a/b.pdf"), "b.pdf"),
            {"type": "input_file", "file_url": "https://a/b.pdf", "filename": "b.pdf"},
        ),
        (Document(Source("file", "f1", dialect=D)), {"type": "input_file", "file_id": "f1"}),
        (
            Audio(Source("base64", "QUJD", "audio/mpeg")),
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        ),
        (Opaque(D, {"type": "input_video"}), {"type": "input_video"}),
    ],
)
def test_media_are_written(part: Part, content: dict[str, Any]) -> None:
    written, lost = items(part)
    assert written == [{"type": "message", "role": "user", "content": [content]}]
    assert lost == []


@pytest.mark.parametrize(
    ("part", "role", "name"),
    [
        (Image(Source("file", "f1", dialect="anthropic")), "user", "image_part"),
        (Document(Source("file", "f1", dialect="gemini")), "user", "document_part"),
        (Document(PNG), "assistant", "document_part"),
        (Image(Source("url", "https://a/b.png")), "assistant", "image_part"),
        (Opaque("anthropic", {"type": "search_result"}), "user", "opaque_part"),
    ],
)
def test_content_that_cannot_be_said_is_a_loss_of_content(part: Part, role: str, name: str) -> None:
    losses = Losses()
    write_request(request(Message(role, (part, Text("x")))), Target("main", "m"), losses)  # type: ignore[arg-type]
    assert [(loss.path, loss.name, loss.content) for loss in losses.entries] == [("messages.0.parts.0", name, True)]


def test_a_model_that_made_an_image_sees_it_again() -> None:
    ((item,), lost) = items(Image(PNG), role="assistant")
    assert (item["type"], item["result"], item["output_format"]) == ("image_generation_call", "QUJD", "png")
    assert item["id"].startswith("ig_")
    assert lost == []


def test_results_are_texts_or_arrays_of_content() -> None:
    written, lost = items(
        ToolResult("a"),
        ToolResult("b", (Text("x"), Image(PNG)), is_error=True),
        ToolResult("c", (Opaque("gemini", {}),)),
    )
    assert [item["output"] for item in written] == [
        "",
        [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "data:image/png;base64,QUJD"}],
        [],
    ]
    assert lost == ["tool_error", "opaque_part"]


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Thinking("t", Signature("x", D, "other")), []),
        (Thinking("t", Signature("x", "anthropic", "main")), []),
        (Thinking("t"), []),
        (RedactedThinking(Signature("x", "anthropic")), []),
        (RedactedThinking(Signature("x", D)), [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]),
        (Thinking("", Signature("x", D)), [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]),
    ],
)
def test_thoughts_go_back_to_who_encrypted_them_alone(part: Part, written: list[Any]) -> None:
    assert items(part, role="assistant") == (written, [] if written else ["thinking"])


def test_a_server_that_wants_thoughts_back_gets_them_as_text() -> None:
    written, lost = items(Thinking("t"), role="assistant", quirks=frozenset({"reasoning_content_back"}))
    assert written == [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]}]
    assert lost == []


def test_an_id_that_is_too_long_becomes_another_for_call_and_result_alike() -> None:
    long = "x" * 65
    written, _ = items(ToolCall(long, "f"), ToolResult(long))
    ids = {item["call_id"] for item in written}
    assert len(ids) == 1
    assert len(ids.pop()) <= 64
    assert items(ToolCall("x" * 64, "f"))[0][0]["call_id"] == "x" * 64


def test_functions_are_not_strict_unless_it_was_said() -> None:
    schema = {"type": "object", "properties": {}}
    tools = (Tool("a", "d", schema), Tool("b", strict=True))
    empty = {"type": "object", "properties": {}, "additionalProperties": False}
    assert write(request(tools=tools))[0]["tools"] == [
        {"type": "function", "name": "a", "description": "d", "parameters": schema, "strict": False},
        {"type": "function", "name": "b", "parameters": empty, "strict": True},
    ]


def test_custom_tools_have_their_grammar_flat() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a"}}
    tools = (Tool("p", custom=True, grammar=grammar), Tool("q", custom=True, grammar={"type": "text"}))
    assert write(request(tools=tools))[0]["tools"] == [
        {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "regex", "definition": "a"}},
        {"type": "custom", "name": "q", "format": {"type": "text"}},
    ]


def test_tools_that_only_another_provider_can_run_are_refused() -> None:
    body, lost, _ = write(request(tools=(Opaque("anthropic", {"type": "bash_20250124"}),)))
    assert "tools" not in body
    assert lost == ["opaque_tool"]


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("required"), "required"),
        (ToolChoice("none"), "none"),
        (ToolChoice("required", ("a",)), {"type": "function", "name": "a"}),
        (ToolChoice("required", ("p",)), {"type": "custom", "name": "p"}),
        (
            ToolChoice("auto", ("a", "p")),
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "a"}, {"type": "custom", "name": "p"}],
            },
        ),
    ],
)
def test_the_choice_of_tools_is_written(choice: ToolChoice, written: object) -> None:
    tools = (Tool("a"), Tool("p", custom=True))
    assert write(request(tools=tools, tool_choice=choice))[0]["tool_choice"] == written


def test_a_choice_between_no_tools_is_left_out() -> None:
    assert "tool_choice" not in write(request(tool_choice=ToolChoice("auto")))[0]


def test_names_that_openai_refuses_are_rewritten_and_the_plan_knows_them() -> None:
    asked = request(
        Message("assistant", (ToolCall("c", "files.read"), ToolCall("d", "files:read"))),
        tools=(Tool("files.read"), Tool("files:read"), Tool("files_read"), Tool("n" * 70)),
        tool_choice=ToolChoice("required", ("files.read",)),
    )
    body, _, written = write(asked)
    names = [tool["name"] for tool in body["tools"]]
    assert names == ["files_read_2", "files_read_3", "files_read", "n" * 64]
    assert [item["name"] for item in body["input"]] == names[:2]
    assert body["tool_choice"]["name"] == names[0]
    assert written.plan.names == {names[0]: "files.read", names[1]: "files:read", names[3]: "n" * 70}
    assert written.plan.provider == "main"


@pytest.mark.parametrize(
    ("model", "reasoning", "written", "lost"),
    [
        ("gpt-5", Reasoning("low"), {"effort": "low"}, []),
        ("gpt-5", Reasoning("none"), {"effort": "minimal"}, ["reasoning_effort"]),
        ("gpt-5", Reasoning("max"), {"effort": "high"}, ["reasoning_effort"]),
        ("gpt-5.1", Reasoning("none"), {"effort": "none"}, []),
        ("gpt-5.1", Reasoning(budget=8000, shown=True), {"effort": "high", "summary": "auto"}, ["reasoning_budget"]),
        ("gpt-5.1", Reasoning(adaptive=True), None, []),
        ("gpt-5.1", Reasoning(summary="detailed"), {"summary": "detailed"}, []),
        ("gpt-4.1", Reasoning("high", shown=True), None, ["reasoning_effort"]),
        ("gpt-4.1", Reasoning("none"), None, []),
        ("someone/their-model", Reasoning("xhigh"), {"effort": "xhigh"}, []),
    ],
)
def test_effort_is_said_in_words_that_the_model_knows(
    model: str, reasoning: Reasoning, written: object, lost: list[str]
) -> None:
    body, names, _ = write(request(reasoning=reasoning), model)
    assert body.get("reasoning") == written
    assert names == lost


def test_a_client_of_anthropic_sees_a_summary_of_the_thoughts_that_it_gave_a_budget() -> None:
    body, _, _ = write(request(dialect="anthropic", reasoning=Reasoning(budget=2048)), "gpt-5.1")
    assert body["reasoning"]["summary"] == "auto"


@pytest.mark.parametrize(
    ("model", "reasoning", "asked"),
    [
        ("gpt-5", None, True),
        ("o3", None, True),
        ("gpt-4.1", None, False),
        ("their-model", None, False),
        ("their-model", Reasoning("low"), True),
    ],
)
def test_encrypted_thoughts_are_asked_for_where_there_are_thoughts(
    model: str, reasoning: Reasoning | None, asked: bool
) -> None:
    body = write(request(reasoning=reasoning), model)[0]
    assert body.get("include") == (["reasoning.encrypted_content"] if asked else None)


def test_sampling_goes_out_where_the_model_takes_it() -> None:
    sampling = Sampling(temperature=0, top_p=0.5, logprobs=True, top_logprobs=2)
    body, lost, _ = write(request(sampling=sampling))
    assert (body["temperature"], body["top_p"], body["top_logprobs"]) == (0, 0.5, 2)
    assert body["include"] == ["message.output_text.logprobs"]
    assert lost == []
    body, lost, _ = write(request(sampling=sampling), "gpt-5")
    assert not body.keys() & {"temperature", "top_p", "top_logprobs"}
    assert lost == ["temperature", "top_p", "top_logprobs", "logprobs"]


def test_settings_that_this_api_has_not_are_noted() -> None:
    sampling = Sampling(top_k=1, seed=0, presence_penalty=0.5, frequency_penalty=0.5, logit_bias={"1": 1})
    _, lost, _ = write(request(sampling=sampling, stop=("x",), n=2))
    assert lost == ["top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "stop", "n"]


def test_a_limit_below_the_least_is_the_least() -> None:
    assert write(request(max_tokens=1))[0]["max_output_tokens"] == 16
    assert write(request(max_tokens=1))[1] == ["max_tokens"]
    assert write(request(max_tokens=16))[:2] == ({**write(request())[0], "max_output_tokens": 16}, [])
    assert write(request(max_tokens=1, dialect="openai_responses"))[0]["max_output_tokens"] == 1


@pytest.mark.parametrize(
    ("wanted", "written"),
    [
        (ResponseFormat("text"), {"type": "text"}),
        (ResponseFormat("json"), {"type": "json_object"}),
        (
            ResponseFormat("schema", "n", {"type": "object"}, True, "d"),
            {"type": "json_schema", "name": "n", "description": "d", "schema": {"type": "object"}, "strict": True},
        ),
        (
            ResponseFormat("schema", schema={"type": "object"}),
            {"type": "json_schema", "name": "answer", "schema": {"type": "object"}},
        ),
    ],
)
def test_formats_are_written(wanted: ResponseFormat, written: dict[str, Any]) -> None:
    assert write(request(response_format=wanted, verbosity="low"))[0]["text"] == {"format": written, "verbosity": "low"}


def test_accounts_and_caches_are_passed_on() -> None:
    body, lost, _ = write(
        request(
            user="u",
            safety_identifier="s",
            metadata={"a": "b"},
            service_tier="flex",
            cache_key="k",
            cache_retention="24h",
            store=True,
            stream=True,
        )
    )
    assert lost == []
    assert {name: body[name] for name in body.keys() - {"model", "input"}} == {
        "user": "u",
        "safety_identifier": "s",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "store": True,
        "stream": True,
    }
    assert write(request(service_tier="standard_only"))[1] == ["service_tier"]


ACCOUNT: dict[str, Any] = {
    "store": True,
    "metadata": {"a": "b"},
    "service_tier": "flex",
    "safety_identifier": "s",
    "cache_key": "k",
    "cache_retention": "24h",
    "sampling": Sampling(logprobs=True),
}
UNKNOWN_ELSEWHERE = [
    "safety_identifier", "metadata", "service_tier", "prompt_cache_key", "prompt_cache_retention", "store",
]  # fmt: skip


@pytest.mark.parametrize(
    ("quirks", "written", "lost"),
    [
        (set(), {"store": True, "include": ["message.output_text.logprobs"]}, []),
        (
            {"no_openai_hints"},
            {"store": False, "include": ["message.output_text.logprobs"]},
            UNKNOWN_ELSEWHERE,
        ),
        ({"no_openai_hints", "no_include"}, {"store": False}, ["logprobs", *UNKNOWN_ELSEWHERE]),
        ({"no_openai_fields"}, {}, ["logprobs", *UNKNOWN_ELSEWHERE]),
    ],
)
def test_a_server_gets_none_of_openais_own_fields_that_it_does_not_know(
    quirks: set[str], written: dict[str, Any], lost: list[str]
) -> None:
    body, names, _ = write(request(**ACCOUNT), quirks=frozenset(quirks))
    account = {"metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
    assert {name: body[name] for name in body.keys() - {"model", "input"} - account} == written
    assert (bool(body.keys() & account), names) == (not quirks, lost)


@pytest.mark.parametrize(("quirks", "asked"), [(set(), True), ({"no_include"}, False)])
def test_encrypted_thoughts_are_asked_for_where_the_server_knows_them(quirks: set[str], asked: bool) -> None:
    body, lost, _ = write(request(), "gpt-oss-120b", frozenset(quirks))
    assert (body.get("include") == ["reasoning.encrypted_content"], lost) == (asked, [])


@pytest.mark.parametrize(
    ("model", "breakpoint_", "lost"),
    [("gpt-5.6", {"mode": "explicit", "ttl": "12h"}, []), ("gpt-5", None, ["cache_control"])],
)
def test_marks_for_the_cache_go_to_models_that_take_them(model: str, breakpoint_: object, lost: list[str]) -> None:
    written, names = items(Text("a", Cache("1h")), model=model)
    assert written[0]["content"][0].get("prompt_cache_breakpoint") == breakpoint_
    assert names == lost


def test_marks_that_have_no_place_are_noted() -> None:
    asked = request(
        Message("assistant", (Text("a", Cache()), ToolCall("c", "f", cache=Cache()))),
        Message("user", (ToolResult("c", cache=Cache()),), "Ann"),
        tools=(Tool("f", cache=Cache()),),
    )
    assert write(asked, "gpt-5.6")[1] == [
        "cache_control",
        "cache_control",
        "message_name",
        "cache_control",
        "cache_control",
    ]


def test_citations_of_addresses_are_kept() -> None:
    text = Text("abc", citations=(Citation("https://a.b", "T"), Citation("", "book")))
    written, lost = items(text, role="assistant")
    assert written[0]["content"][0]["annotations"] == [
        {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://a.b", "title": "T"}
    ]
    assert lost == ["citations"]


def test_what_documents_say_beside_their_data_is_noted() -> None:
    assert items(Document(Source("url", "u"), "", "about", True))[1] == ["document_context", "document_citations"]


def test_extras_of_others_are_lost_but_those_that_both_of_openais_apis_have() -> None:
    body, lost, _ = write(
        request(
            extra=(
                Extra("openai_chat", "prompt_cache_options", {"mode": "explicit"}),
                Extra("openai_chat", "prediction", {}),
                Extra("gemini", "cachedContent", "c", content=True),
            )
        )
    )
    assert body["prompt_cache_options"] == {"mode": "explicit"}
    assert lost == ["extra_field", "extra_field"]


BODY: dict[str, Any] = {
    "model": "gpt-5.6",
    "instructions": "Be brief.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
                {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "high"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"},
                {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            ],
        },
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gAAA"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {
                    "type": "output_text",
                    "text": "abc",
                    "annotations": [
                        {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://a.b", "title": "T"}
                    ],
                },
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "second"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"x": 1}'},
        {"type": "function_call", "call_id": "n", "name": "x", "namespace": "ns", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "p", "name": "patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "c", "output": "one"},
        {
            "type": "function_call_output",
            "call_id": "n",
            "output": [{"type": "input_image", "image_url": "https://a.b/c.png"}, {"type": "input_text", "text": "t"}],
        },
        {"type": "custom_tool_call_output", "call_id": "p", "output": "done"},
        {"type": "item_reference", "id": "msg_1"},
    ],
    "tools": [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
        {
            "type": "namespace",
            "name": "ns",
            "description": "N",
            "tools": [{"type": "function", "name": "x", "parameters": {"type": "object"}}],
        },
        {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "s"}},
        {"type": "web_search", "search_context_size": "low"},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [
        {"type": "function", "name": "f"}, {"type": "custom", "name": "patch"}]},
    "parallel_tool_calls": False,
    "reasoning": {"effort": "high", "summary": "auto", "context": "all_turns"},
    "temperature": 0,
    "top_p": 1.0,
    "top_logprobs": 0,
    "max_output_tokens": 1,
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": False}, "verbosity": "low"},
    "user": "u",
    "safety_identifier": "s",
    "metadata": {"a": "b"},
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "store": False,
    "truncation": "auto",
    "max_tool_calls": 2,
    "previous_response_id": "resp_1",
    "include": ["web_search_call.action.sources", "message.output_text.logprobs", "reasoning.encrypted_content"],
    "stream": True,
}  # fmt: skip


def test_what_a_client_said_in_this_dialect_is_written_as_it_was_said() -> None:
    asked = read_request(BODY, Losses())
    losses = Losses()
    written = write_request(asked, Target("main", "gpt-5.6"), losses).body
    assert written == BODY
    assert losses.entries == []
    again = read_request(written, Losses())
    assert again == asked
    assert (again.tools, again.extra, again.metadata) == (asked.tools, asked.extra, asked.metadata)


def test_forcing_a_tool_of_the_provider_is_written_as_it_was_said() -> None:
    body = {"model": "m", "input": [], "tools": [{"type": "mcp"}], "tool_choice": {"type": "mcp", "server_label": "s"}}
    assert write_request(read_request(body, Losses()), Target("main", "m"), Losses()).body == body


def test_reading_again_what_was_written_for_another_dialect_gives_the_same() -> None:
    asked = request(
        Message("system", (Text("s"),)),
        Message("user", (Text("q"), Image(PNG))),
        Message("assistant", (Text("a"), ToolCall("c", "f", '{"x":1}'))),
        Message("user", (ToolResult("c", (Text("r"), Image(PNG))),)),
        tools=(Tool("f", "d", {"type": "object"}, True),),
        tool_choice=ToolChoice("auto"),
        max_tokens=100,
        store=False,
    )
    again = read_request(write(asked)[0], Losses())
    assert again == replace(asked, dialect=D, model="gpt-4.1")
