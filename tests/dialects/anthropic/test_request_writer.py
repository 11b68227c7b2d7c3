"""Neutral requests on the left, what Anthropic gets on the right."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic.request_writer import write_request
from gateway.dialects.conversation import (
    Audio,
    Cache,
    Document,
    Extra,
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Sampling,
    Signature,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.dialects.dialect import Target
from gateway.dialects.losses import Losses
from gateway.errors import RequestError
from tests.dialects.anthropic.making import MIDDLE, NEW, OLD, ask, assistant, read, user, write

LONG = f"EqQB{'A' * 100}"
"""A signature that Claude may have made."""

PNG = Source("base64", "iVBORw0KGgo=", "image/png")


def blocks(*parts: Part, role: Any = "user", dialect: str = "openai_chat") -> tuple[list[dict[str, Any]], list[str]]:
    """The blocks of a message, which has one text beside what is tested."""
    request = ask(user("first"), Message(role, (*parts, Text("last"))), user("end"), dialect=dialect)
    body, lost, _ = write(request)
    content = [block for message in body["messages"] for block in message["content"]]
    return [block for block in content if block.get("text") not in ("first", "last", "end")], lost


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Text("Hi", Cache("1h")), {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        (Refusal("I will not."), {"type": "text", "text": "I will not."}),
        (
            Image(PNG, cache=Cache()),
            {
                "type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            Image(Source("base64", "/9j/4AAQ")),
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}},
        ),
        (
            Image(Source("url", "https://example.com/a.png"), detail="auto"),
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        ),
        (
            Document(Source("base64", "JVBERi0x"), name="a.pdf", context="c", citations=True),
            {
                "type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
                "title": "a.pdf", "context": "c", "citations": {"enabled": True},
            },
        ),
        (
            Document(Source("base64", "YSxiCg==", "text/csv"), name="a.csv"),
            {
                "type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b\n"},
                "title": "a.csv",
            },
        ),
        (
            Document(Source("text", "a,b", "text/csv")),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
        ),
        (
            Document(Source("file", "file_1", dialect="anthropic")),
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (
            Opaque("anthropic", {"type": "search_result", "title": "t"}),
            {"type": "search_result", "title": "t"},
        ),
    ],
)  # fmt: skip
def test_a_part_of_the_user_is_a_block(part: Part, block: dict[str, Any]) -> None:
    assert blocks(part) == ([block], [])


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (Audio(Source("base64", "AA==", "audio/wav")), "audio"),
        (Image(Source("file", "file-1", dialect="openai_chat")), "file"),
        (Image(Source("url", "gs://bucket/a.png")), "media_url"),
        (Image(Source("base64", "AA==", "image/heic")), "media_type"),
        (Document(Source("base64", "AA==", "application/vnd.ms-excel")), "media_type"),
        (Document(Source("base64", "/w==", "text/plain")), "media_type"),
        (Opaque("gemini", {"executableCode": {}}), "opaque_part"),
        (Text(" \n"), "blank_text"),
    ],
)
def test_what_anthropic_does_not_take_is_lost_by_name(part: Part, name: str) -> None:
    assert blocks(part) == ([], [name])


@pytest.mark.parametrize("part", [Image(PNG), Document(Source("text", "x"))])
def test_the_assistant_shows_no_media(part: Part) -> None:
    assert blocks(part, role="assistant")[0] == []
    assert blocks(part, role="assistant", dialect="anthropic")[0] != []


def test_an_empty_text_is_nothing_and_no_loss() -> None:
    assert blocks(Text(""), role="assistant") == ([], [])


def test_the_detail_of_an_image_is_a_hint() -> None:
    (block,), lost = blocks(Image(PNG, detail="high"))
    assert (block["type"], lost) == ("image", ["image_detail"])


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            Thinking("Hm", Signature("EqQB", "anthropic", "main")),
            {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
        ),
        (Thinking("", Signature(LONG, "anthropic")), {"type": "thinking", "thinking": "", "signature": LONG}),
        (Thinking("Hm", Signature("91cfbb94-554b-4136-8e21-fa02280d56ed", "anthropic")), None),
        (RedactedThinking(Signature("Emw", "anthropic", "main")), {"type": "redacted_thinking", "data": "Emw"}),
        (Thinking("Hm", Signature("EqQB", "anthropic", "other")), None),
        (Thinking("Hm", Signature("x", "gemini", "main")), None),
        (Thinking("Hm"), None),
        (RedactedThinking(Signature("x", "openai_responses", "main")), None),
    ],
)
def test_thoughts_go_back_to_the_provider_that_signed_them_alone(part: Part, block: dict[str, Any] | None) -> None:
    written, lost = blocks(part, role="assistant")
    assert (written, lost) == (([block], []) if block else ([], ["thinking"]))


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (ToolCall("c", "f", '{"a": 1}'), {"a": 1}),
        (ToolCall("c", "f", ""), {}),
        (ToolCall("c", "f", " "), {}),
        (ToolCall("c", "f", "*** free text", custom=True), {"input": "*** free text"}),
    ],
)
def test_arguments_are_an_object(call: ToolCall, arguments: dict[str, Any]) -> None:
    ((block,), lost) = blocks(call, role="assistant")
    assert block == {"type": "tool_use", "id": "c", "name": "f", "input": arguments}
    assert lost == []


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", "null", "words"])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    with pytest.raises(RequestError) as caught:
        write(ask(user("Hi"), assistant("ok", ToolCall("c", "f", arguments))))
    assert (caught.value.status, caught.value.param) == (400, "messages.1.parts.1.arguments")


def test_results_of_one_turn_are_one_message_before_what_the_user_says() -> None:
    request = ask(
        user("Hi"),
        assistant(ToolCall("a", "f"), ToolCall("b", "g")),
        Message("user", (ToolResult("a", (Text("1"), Image(PNG))),)),
        Message("user", (ToolResult("b", (Text("no"),), True, cache=Cache()),)),
        user("And?"),
        Message("user", (ToolResult("c"),)),
    )
    body, _, _ = write(request)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    first, second, third, said = body["messages"][2]["content"]
    assert (first["tool_use_id"], [block["type"] for block in first["content"]]) == ("a", ["text", "image"])
    assert (second["is_error"], second["cache_control"]) == (True, {"type": "ephemeral"})
    assert third == {"type": "tool_result", "tool_use_id": "c", "content": []}
    assert said == {"type": "text", "text": "And?"}


def test_ids_of_others_become_ids_that_anthropic_takes_and_fit_together() -> None:
    request = ask(
        user("Hi"),
        assistant(ToolCall("functions.f:0", "f"), ToolCall("functions_f:0", "f"), ToolCall("plain-1", "f")),
        user(ToolResult("functions.f:0"), ToolResult("functions_f:0"), ToolResult("plain-1")),
    )
    body, _, _ = write(request)
    calls = [block["id"] for block in body["messages"][1]["content"]]
    assert calls == [block["tool_use_id"] for block in body["messages"][2]["content"]]
    assert calls == ["call0_functions_f_0", "call1_functions_f_0", "plain-1"]


@pytest.mark.parametrize(
    ("messages", "system"),
    [
        ((Message("system", (Text("A"),)), Message("developer", (Text("B"),)), user("Hi")), "A\nB"),
        ((Message("system", (Text("A", Cache()),)), Message("developer", (Text("B"),)), user("Hi")), [
            {"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "B"},
        ]),
        ((Message("system", (Text("A"), Text("B"))), user("Hi")), [
            {"type": "text", "text": "A"}, {"type": "text", "text": "B"},
        ]),
        ((Message("system", (Text(""),)), user("Hi")), None),
    ],
)  # fmt: skip
def test_instructions_are_hoisted(messages: tuple[Message, ...], system: Any) -> None:
    body, lost, _ = write(ask(*messages))
    assert (body.get("system"), lost) == (system, [])
    assert len(body["messages"]) == 1


def test_an_instruction_amid_the_conversation_loses_its_place() -> None:
    request = ask(user("Hi"), Message("system", (Text("Be brief."),)), user("So?"))
    body, lost, _ = write(request)
    assert (body["system"], lost) == ("Be brief.", ["system_position"])
    assert [block["text"] for block in body["messages"][0]["content"]] == ["Hi", "So?"]


BRIEF = Message("system", (Text("Be brief."),))
FRENCH = Message("developer", (Text("Now in French."),))


@pytest.mark.parametrize(
    ("messages", "roles", "system", "late"),
    [
        ((user("A"), BRIEF), "user system", None, "Be brief."),
        ((user("A"), BRIEF, user("B")), "user system", None, "Be brief."),
        ((FRENCH, user("A"), BRIEF, assistant("B")), "user system assistant", "Now in French.", "Be brief."),
        ((user("A"), BRIEF, FRENCH, assistant("B")), "user system assistant", None, "Be brief. Now in French."),
        ((user("A"), assistant("B"), BRIEF, user("C")), "user assistant user system", None, "Be brief."),
        (
            (user("A"), assistant(ToolCall("c", "f")), BRIEF, user(ToolResult("c", (Text("x"),)))),
            "user assistant user system", None, "Be brief.",
        ),
    ],
)  # fmt: skip
def test_newer_models_get_late_instructions_before_their_answer(
    messages: tuple[Message, ...], roles: str, system: str | None, late: str
) -> None:
    body, lost, _ = write(ask(*messages), NEW)
    assert " ".join(turn["role"] for turn in body["messages"]) == roles
    (said,) = [turn["content"] for turn in body["messages"] if turn["role"] == "system"]
    assert (body.get("system"), " ".join(block["text"] for block in said), lost) == (system, late, [])


@pytest.mark.parametrize(
    ("messages", "model"),
    [
        ((user("A"), BRIEF, user("B")), "claude-sonnet-5"),
        ((user("A"), BRIEF, user("B")), "claude-opus-4-7"),
        ((user("A"), BRIEF, user("B")), "deepseek-chat"),
        ((user("A"), assistant("B"), BRIEF), NEW),
        ((user("A"), assistant("B"), BRIEF, assistant("C"), user("D")), NEW),
    ],
)
def test_late_instructions_without_a_place_are_hoisted(messages: tuple[Message, ...], model: str) -> None:
    body, lost, _ = write(ask(*messages), model)
    assert (body["system"], lost) == ("Be brief.", ["system_position"])
    assert "system" not in [turn["role"] for turn in body["messages"]]


turns = st.sampled_from([BRIEF, FRENCH, user("A"), user(" "), assistant("B"), assistant(" ")])


@given(st.lists(turns, max_size=8).map(lambda before: [*before, user("Go on")]))
def test_late_instructions_stand_where_anthropic_takes_them(messages: list[Message]) -> None:
    body = write(ask(*messages), NEW)[0]
    roles = [turn["role"] for turn in body["messages"]]
    for place, role in enumerate(roles):
        if role == "system":
            assert roles[place - 1 : place] == ["user"]
            assert roles[place + 1 : place + 2] in ([], ["assistant"])
    written = str(body)
    assert [written.count(said) for said in ("Be brief.", "Now in French.")] == [
        messages.count(said) for said in (BRIEF, FRENCH)
    ]


def test_instructions_alone_are_what_the_user_says() -> None:
    body, lost, _ = write(ask(Message("system", (Text("Tell a joke."),))))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Tell a joke."}]}]
    assert ("system" in body, lost) == (False, ["system_role"])


def test_a_request_without_content_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        write(ask(user("  ")))
    assert caught.value.param == "messages"


def test_an_answer_to_go_on_with_ends_without_white_space() -> None:
    body, lost, _ = write(ask(user("Hi"), assistant("The answer is \n")))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "The answer is"}]
    assert lost == ["prefill_space"]


@pytest.mark.parametrize(
    ("sampling", "model", "expected", "lost"),
    [
        (Sampling(0.2, 0.9, 5), OLD, {"temperature": 0.2, "top_p": 0.9, "top_k": 5}, []),
        (Sampling(0, 0.0), OLD, {"temperature": 0, "top_p": 0.0}, []),
        (Sampling(1.7), OLD, {"temperature": 1}, ["temperature"]),
        (Sampling(0.2, 0.9), MIDDLE, {"temperature": 0.2}, ["top_p"]),
        (Sampling(0.2, 1), MIDDLE, {"temperature": 0.2}, []),
        (Sampling(None, 0.9), MIDDLE, {"top_p": 0.9}, []),
        (Sampling(0.2, 0.9, 5), NEW, {}, ["temperature", "top_p", "top_k"]),
        (Sampling(1.0, 1), NEW, {}, []),
        (Sampling(seed=0), OLD, {}, ["seed"]),
        (Sampling(presence_penalty=0, frequency_penalty=0.0, logprobs=False, logit_bias={}), OLD, {}, []),
        (
            Sampling(presence_penalty=1, frequency_penalty=1, logprobs=True, top_logprobs=2, logit_bias={"1": 2}),
            OLD, {},
            ["presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"],
        ),
    ],
)  # fmt: skip
def test_sampling_is_what_the_model_takes(
    sampling: Sampling, model: str, expected: dict[str, Any], lost: list[str]
) -> None:
    body, names, _ = write(ask(sampling=sampling), model)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == expected
    assert names == lost


@pytest.mark.parametrize(
    ("fields", "expected", "lost"),
    [
        ({"stop": ("END", " ")}, {"stop_sequences": ["END"]}, ["stop"]),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}, []),
        ({"safety_identifier": "s"}, {"metadata": {"user_id": "s"}}, []),
        ({"user": "u", "safety_identifier": "s"}, {"metadata": {"user_id": "u"}}, ["safety_identifier"]),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}, []),
        ({"service_tier": "auto"}, {"service_tier": "auto"}, []),
        ({"service_tier": "flex"}, {}, ["service_tier"]),
        ({"stream": True}, {"stream": True}, []),
        ({"n": 1}, {}, []),
        ({"n": 2}, {}, ["n"]),
        ({"store": True}, {}, ["store"]),
        ({"store": False}, {}, []),
        ({"metadata": {"a": "b"}}, {}, ["metadata"]),
        ({"verbosity": "low"}, {}, ["verbosity"]),
        ({"cache_key": "k", "cache_retention": "24h"}, {}, ["cache_key", "cache_retention"]),
        ({"extra": (Extra("openai_chat", "prediction", {}),)}, {}, ["extra_field"]),
    ],
)
def test_the_other_fields(fields: dict[str, Any], expected: dict[str, Any], lost: list[str]) -> None:
    body, names, _ = write(ask(**fields))
    plain = {
        "model": OLD,
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }
    assert body == {**plain, **expected}
    assert names == lost


@pytest.mark.parametrize(
    ("user_id", "kept"),
    [
        ("u-1", True),
        ("8f0c1e0e-7c37-4f5b-9d51-2b6a3c1c7f10", True),
        ("user_5e884898da28047151d0e56f8dc62927_account__session_1", True),
        ("someone@here", True),
        ("123456", True),
        ("x" * 256, True),
        ("x" * 257, False),
        ("ann.lee+llm@mail.example.org", False),
        ("Ann Lee <ann@example.org>", False),
        ("+49 (0)30 123-4567", False),
        ("5551234567", False),
    ],
)
def test_a_user_that_names_a_person_is_a_digest(user_id: str, kept: bool) -> None:
    body, lost, _ = write(ask(user=user_id))
    written = body["metadata"]["user_id"]
    assert (written == user_id, lost) == (kept, [])
    assert kept or re.fullmatch("[0-9a-f]{64}", written)
    assert write(read(metadata={"user_id": user_id})[0])[0]["metadata"] == {"user_id": user_id}


def test_several_answers_and_fields_that_change_the_question_are_content() -> None:
    losses = Losses()
    extra = (Extra("gemini", "cachedContent", "x", content=True), Extra("gemini", "labels", {}))
    write_request(ask(n=2, extra=extra), Target("main", OLD), losses)
    assert [(loss.path, loss.content) for loss in losses.entries] == [
        ("n", True), ("cachedContent", True), ("labels", False),
    ]  # fmt: skip


def test_the_name_of_a_participant_is_lost() -> None:
    assert write(ask(Message("user", (Text("Hi"),), "ann")))[1] == ["message_name"]


SAID: list[dict[str, Any]] = [
    {"system": "Be brief."},
    {"system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}}]},
    {"temperature": 0.3, "top_p": 0.4, "top_k": 5, "stop_sequences": [" "], "stream": True},
    {"thinking": {"type": "enabled", "budget_tokens": 5}, "max_tokens": 3},
    {
        "thinking": {"type": "adaptive", "display": "updates"},
        "output_config": {"effort": "max", "task_budget": {"n": 1}},
    },
    {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
    {"thinking": {"type": "between_tools"}},
    {"output_config": {"effort": "xhigh", "format": {"type": "json_schema", "schema": {"minimum": 3}}}},
    {"metadata": {"user_id": "u", "more": 1}, "service_tier": "standard_only"},
    {"metadata": {"more": 1}, "service_tier": "auto"},
    {"cache_control": {"type": "ephemeral"}, "container": "c", "mcp_servers": [{}], "speed": "fast", "new": 7},
    {
        "tools": [
            {"name": "a.b", "description": "d", "input_schema": {"anyOf": []}, "strict": True},
            {"type": "bash_20250124", "name": "bash"},
        ],
        "tool_choice": {"type": "tool", "name": "a.b", "disable_parallel_tool_use": True},
    },
    {"tool_choice": {"type": "any"}},
    {"tool_choice": {"type": "none"}},
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": LONG},
                    {"type": "redacted_thinking", "data": "Emw"},
                    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                    {"type": "tool_use", "id": "any id:1", "name": "a.b", "input": {"x": [None, 1.5]}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "any id:1", "content": [], "is_error": False},
                    {"type": "document", "source": {"type": "url", "url": "s3://x"}, "title": "t"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": "AA=="}},
                ],
            },
            {"role": "system", "content": [{"type": "text", "text": "Now in French."}]},
            {"role": "assistant", "content": [{"type": "text", "text": "D'accord: "}]},
        ]
    },
]


@pytest.mark.parametrize("fields", SAID, ids="+".join)
@pytest.mark.parametrize("model", ["m", "claude-opus-5-5"])
def test_a_client_of_this_dialect_is_taken_at_its_word(fields: dict[str, Any], model: str) -> None:
    plain = {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}
    said = {"model": model, **plain, **fields}
    request, lost = read(**said)
    body, names, _ = write(request, model)
    assert body == said
    assert lost == names == []


@pytest.mark.parametrize(("model", "kept"), [(NEW, False), ("anthropic/claude-3.7-sonnet", False), ("kimi-k2", True)])
def test_thoughts_without_a_signature_go_to_other_servers_of_this_dialect_alone(model: str, kept: bool) -> None:
    unsigned = {"type": "thinking", "thinking": "Hm", "signature": ""}
    said = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [unsigned, {"type": "text", "text": "Ho"}]},
        {"role": "user", "content": "So?"},
    ]
    body, lost, _ = write(read(messages=said)[0], model)
    assert (unsigned in body["messages"][1]["content"], lost) == (kept, [] if kept else ["thinking"])


def test_one_text_is_written_as_a_block_and_a_plain_prompt_as_a_text() -> None:
    request, _ = read(
        model="m", system=[{"type": "text", "text": "Be brief."}], messages=[{"role": "user", "content": "Hi"}]
    )
    body, _, _ = write(request, "m")
    assert body["system"] == "Be brief."
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]


def test_a_tool_is_written_as_anthropic_has_it() -> None:
    request = ask(
        tools=(
            Tool("none"),
            Tool("loose", parameters={"properties": {"a": {}}}),
            Tool("strict", "Does.", {"type": "object"}, True, cache=Cache("5m")),
            Tool("patch", "Edits.", custom=True, grammar={"type": "grammar", "syntax": "lark"}),
            Opaque("openai_responses", {"type": "web_search"}),
            Opaque("anthropic", {"type": "bash_20250124", "name": "bash"}),
        )
    )
    body, lost, written = write(request)
    assert body["tools"] == [
        {"name": "none", "input_schema": {"type": "object", "properties": {}}},
        {"name": "loose", "input_schema": {"type": "object", "properties": {"a": {}}}},
        {
            "name": "strict", "description": "Does.", "input_schema": {"type": "object"},
            "cache_control": {"type": "ephemeral", "ttl": "5m"},
        },
        {
            "name": "patch",
            "description": 'Edits.\n\nFormat of `input`: {"type":"grammar","syntax":"lark"}',
            "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
        },
        {"type": "bash_20250124", "name": "bash"},
    ]  # fmt: skip
    assert lost == ["tool_strict", "tool_grammar", "opaque_tool"]
    assert written.plan.custom == {"patch"}
