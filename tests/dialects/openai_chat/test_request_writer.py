"""A conversation as a provider of Chat Completions gets it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.continuity import unsigned
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
from gateway.dialects.dialect import Target, Written
from gateway.dialects.losses import Losses
from gateway.dialects.openai_chat import quirks
from gateway.dialects.openai_chat.request_writer import write_request
from gateway.errors import RequestError

HI = Message("user", (Text("Hi"),))
SCHEMA = {"type": "object"}
PNG = Image(Source("base64", "AA==", "image/png"))
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
PDF = Document(Source("base64", "AA==", "application/pdf"), "a.pdf")


def write(
    *messages: Message, want: tuple[str, ...] = (), model: str = "m", losses: Losses | None = None, **fields: Any
) -> Written:
    request = Request(fields.pop("dialect", "anthropic"), "alias", messages or (HI,), **fields)
    return write_request(request, Target("theirs", model, frozenset(want)), losses or Losses())


def messages_of(*messages: Message, want: tuple[str, ...] = (), **fields: Any) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = write(*messages, want=want, **fields).body["messages"]
    return written


def lost(*messages: Message, **fields: Any) -> list[tuple[str, str, bool]]:
    losses = Losses()
    write(*messages, losses=losses, **fields)
    return [(loss.path, loss.name, loss.content) for loss in losses.entries]


def test_the_least_request_has_model_and_messages_alone() -> None:
    assert write().body == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


# --- messages --------------------------------------------------------------------------------------------------------


def test_results_come_first_each_a_message_of_its_own() -> None:
    turn = Message("user", (Text("And?"), ToolResult("c1", (Text("5"),)), ToolResult("c2", (Text("6"), Text("7")))))
    assert messages_of(turn) == [
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
        {
            "role": "tool",
            "tool_call_id": "c2",
            "content": [{"type": "text", "text": "6"}, {"type": "text", "text": "7"}],
        },
        {"role": "user", "content": "And?"},
    ]


def test_media_of_a_result_follow_in_the_users_message() -> None:
    turn = Message("user", (ToolResult("c1", (Text("see"), PNG)), Text("And?")))
    label = {"type": "text", "text": "Attachments of the tool's result c1:"}
    assert messages_of(turn) == [
        {"role": "tool", "tool_call_id": "c1", "content": "see"},
        {"role": "user", "content": [label, PNG_PART, {"type": "text", "text": "And?"}]},
    ]


def test_media_of_a_result_stay_where_a_client_of_this_dialect_put_them() -> None:
    turn = Message("user", (ToolResult("c1", (PNG,)),))
    assert messages_of(turn, dialect="openai_chat") == [{"role": "tool", "tool_call_id": "c1", "content": [PNG_PART]}]


def test_a_call_without_text_has_null_for_content() -> None:
    call = ToolCall("c1", "f", '{"a": 1}')
    assert messages_of(Message("assistant", (call,))) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        }
    ]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Text("x", Cache("1h")), {"type": "text", "text": "x"}),
        (PNG, PNG_PART),
        (
            Image(Source("url", "https://e.x"), "low"),
            {"type": "image_url", "image_url": {"url": "https://e.x", "detail": "low"}},
        ),
        (
            PDF,
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        ),
        (
            Document(Source("file", "file-1", dialect="openai_responses")),
            {"type": "file", "file": {"file_id": "file-1"}},
        ),
        (Document(Source("text", "said"), "Notes"), {"type": "text", "text": "Notes\n\nsaid"}),
        (Document(Source("base64", "c2FpZA==", "text/plain")), {"type": "text", "text": "said"}),
        (
            Audio(Source("base64", "AA", "audio/mpeg")),
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        ),
        (Opaque("openai_chat", {"type": "video_url"}), {"type": "video_url"}),
    ],
)
def test_a_part_is_written_as_the_dialect_has_it(part: Part, expected: dict[str, Any]) -> None:
    assert messages_of(Message("user", (part, Text("."))))[0]["content"] == [expected, {"type": "text", "text": "."}]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (Opaque("gemini", {"executableCode": {}}), "opaque_part"),
        (Image(Source("file", "f", dialect="anthropic")), "file"),
        (Document(Source("file", "f", dialect="anthropic")), "file"),
        (Document(Source("url", "https://e.x/a.pdf")), "document_url"),
        (Audio(Source("url", "https://e.x/a.mp3")), "audio_url"),
    ],
)
def test_a_part_without_a_place_is_lost_content(part: Part, name: str) -> None:
    assert lost(Message("user", (Text("."), part))) == [("messages.0.parts.1", name, True)]


def test_an_image_of_the_assistant_needs_a_server_that_takes_it_back() -> None:
    message = Message("assistant", (Text("."), PNG))
    assert lost(message) == [("messages.0.parts.1", "assistant_image", True)]
    assert messages_of(message, want=(quirks.MESSAGE_IMAGES,))[0]["images"] == [PNG_PART]


@pytest.mark.parametrize(
    ("want", "model", "expected"),
    [
        ((), "m", {"type": "text", "text": "x"}),
        ((), "gpt-5.6", {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}),
        ((quirks.CACHE_CONTROL,), "m",
         {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
    ],
)  # fmt: skip
def test_a_cache_mark_goes_where_one_is_known(want: tuple[str, ...], model: str, expected: dict[str, Any]) -> None:
    (message,) = messages_of(Message("user", (Text("x", Cache("1h")), Text("."))), want=want, model=model)
    assert message["content"][0] == expected


def test_several_texts_become_one_for_a_server_that_wants_strings() -> None:
    system, said = Message("system", (Text("a"), Text("b"))), Message("assistant", (Text("c"), Text("d")))
    written = messages_of(system, said, Message("user", (Text("e"), PNG)), want=(quirks.STRING_CONTENT,))
    assert [message["content"] for message in written] == ["a\nb", "cd", [{"type": "text", "text": "e"}, PNG_PART]]


def test_system_messages_go_first_where_they_must() -> None:
    late = Message("developer", (Text("b"),))
    written = messages_of(
        Message("system", (Text("a"),)), HI, late, want=(quirks.SYSTEM_FIRST, quirks.NO_DEVELOPER_ROLE)
    )
    assert written == [{"role": "system", "content": "a\nb"}, {"role": "user", "content": "Hi"}]
    assert lost(HI, late, want=(quirks.SYSTEM_FIRST,)) == [("messages", "system_position", False)]


def test_a_refusal_is_a_field_or_a_text() -> None:
    message = Message("assistant", (Refusal("No"),))
    assert messages_of(message) == [{"role": "assistant", "content": None, "refusal": "No"}]
    assert messages_of(message, want=(quirks.NO_OPENAI_FIELDS,)) == [{"role": "assistant", "content": "No"}]


def test_ids_are_as_the_server_takes_them_and_match() -> None:
    loop = (
        Message("assistant", (ToolCall("toolu_1", "f"), ToolCall("abcdefghi", "f"))),
        Message("user", (ToolResult("toolu_1"), ToolResult("abcdefghi"))),
    )
    written = messages_of(*loop, want=(quirks.SHORT_IDS,))
    ids = [call["id"] for call in written[0]["tool_calls"]]
    assert ids == [message["tool_call_id"] for message in written[1:]]
    assert ids[1] == "abcdefghi"
    assert len(ids[0]) == 9
    assert ids[0].isalnum()


def test_long_ids_are_shortened_for_openai_alone() -> None:
    message = Message("assistant", (ToolCall("x" * 50, "f"),))
    assert messages_of(message)[0]["tool_calls"][0]["id"] == "x" * 50
    assert len(messages_of(message, model="gpt-4o")[0]["tool_calls"][0]["id"]) == 37


# --- thoughts --------------------------------------------------------------------------------------------------------

OWN = Signature("s", "openai_chat", "theirs")
DETAIL = Signature('{"type":"reasoning.text","format":"f"}', "openai_chat", "theirs")
ENCRYPTED = Signature('{"type":"reasoning.encrypted","data":"e"}', "openai_chat", "theirs")
OTHER = Signature("s", "openai_chat", "others")
CLAUDE = Signature("s", "anthropic", "theirs")


@pytest.mark.parametrize(
    ("part", "want", "expected"),
    [
        (Thinking("Hm"), (), {}),
        (Thinking("Hm"), (quirks.REASONING_CONTENT_BACK,), {"reasoning_content": "Hm"}),
        (Thinking("Hm"), (quirks.REASONING_BACK,), {"reasoning": "Hm"}),
        (Thinking("Hm", OWN), (), {"thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "s"}]}),
        (RedactedThinking(OWN), (), {"thinking_blocks": [{"type": "redacted_thinking", "data": "s"}]}),
        (
            Thinking("Hm", DETAIL),
            (quirks.REASONING_BACK,),
            {"reasoning_details": [{"type": "reasoning.text", "format": "f", "text": "Hm"}]},
        ),
        (RedactedThinking(ENCRYPTED), (), {"reasoning_details": [{"type": "reasoning.encrypted", "data": "e"}]}),
        (Thinking("Hm", OTHER), (quirks.REASONING_BACK,), {}),
        (Thinking("Hm", CLAUDE), (), {}),
        (RedactedThinking(CLAUDE), (), {}),
    ],
)
def test_thoughts_go_to_whom_they_are_from(part: Part, want: tuple[str, ...], expected: dict[str, Any]) -> None:
    (message,) = messages_of(Message("assistant", (part, Text("4"))), want=want)
    assert message == {"role": "assistant", "content": "4", **expected}


def test_a_message_with_calls_has_reasoning_content_even_if_it_is_empty() -> None:
    message = Message("assistant", (Thinking("Hm", CLAUDE), ToolCall("c", "f")))
    assert messages_of(message, want=(quirks.REASONING_CONTENT_BACK,))[0]["reasoning_content"] == ""


def test_mistral_gets_thoughts_as_parts() -> None:
    (message,) = messages_of(Message("assistant", (Thinking("Hm"), Text("4"))), want=(quirks.THINKING_PARTS,))
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    assert message["content"] == [thinking, {"type": "text", "text": "4"}]


@pytest.mark.parametrize(
    ("part", "want", "noted"),
    [
        (Thinking("Hm"), (), True),
        (Thinking("Hm"), (quirks.REASONING_BACK,), False),
        (Thinking("Hm"), (quirks.THINKING_PARTS,), False),
        (Thinking("Hm", OWN), (), False),
        (Thinking("Hm", CLAUDE), (), True),
        (Thinking("Hm", CLAUDE), (quirks.REASONING_CONTENT_BACK,), True),
        (Thinking("Hm", CLAUDE), (quirks.REASONING_BACK,), True),
        (Thinking("Hm", CLAUDE), (quirks.THINKING_PARTS,), True),
        (RedactedThinking(OWN), (), False),
        (RedactedThinking(OTHER), (quirks.REASONING_CONTENT_BACK,), True),
    ],
)
def test_thoughts_that_do_not_go_out_are_noted(part: Part, want: tuple[str, ...], noted: bool) -> None:
    message = Message("assistant", (Text("4"), part, ToolCall("c", "f")))
    assert lost(message, want=want) == ([("messages.0.parts.1", "thinking", False)] if noted else [])


def test_each_thought_is_noted_by_itself() -> None:
    message = Message("assistant", (Thinking("Hm", OWN), Thinking("So", CLAUDE), RedactedThinking(CLAUDE), Text("4")))
    assert [path for path, _, _ in lost(message)] == ["messages.0.parts.1", "messages.0.parts.2"]


def test_a_seal_that_says_that_nobody_signed_is_no_hindrance() -> None:
    message = Message("assistant", (Thinking("Hm", unsigned("theirs")), Text("4")))
    assert messages_of(message, want=(quirks.REASONING_CONTENT_BACK,))[0]["reasoning_content"] == "Hm"
    assert lost(message, want=(quirks.REASONING_CONTENT_BACK,)) == []


def test_a_request_without_a_message_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        write_request(Request("openai_responses", "m", ()), Target("theirs", "m"), Losses())
    assert (caught.value.status, caught.value.param) == (400, "messages")


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        (OWN, {"google": {"thought_signature": "s"}}),
        (Signature('{"vertex":{"thought_signature":"s"}}', "openai_chat"), {"vertex": {"thought_signature": "s"}}),
        (OTHER, None),
        (Signature("s", "gemini", "theirs"), None),
    ],
)
def test_a_calls_signature_goes_to_whom_it_is_from(signature: Signature, expected: Any) -> None:
    (message,) = messages_of(Message("assistant", (ToolCall("c", "f", signature=signature),)))
    assert message["tool_calls"][0].get("extra_content") == expected


# --- tools -----------------------------------------------------------------------------------------------------------


def test_tools_are_written_with_their_choice() -> None:
    body = write(tools=(Tool("f", "d", SCHEMA, False),), tool_choice=ToolChoice("auto"), parallel_tool_calls=False).body
    function = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": False}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", False)


def test_a_choice_without_tools_means_nothing() -> None:
    assert write(tool_choice=ToolChoice("auto"), parallel_tool_calls=True).body == write().body


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice("none"), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("required", ("f",)), {"type": "function", "function": {"name": "f"}}),
        (ToolChoice("required", ("c",)), {"type": "custom", "custom": {"name": "c"}}),
        (
            ToolChoice("auto", ("f",)),
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
    ],
)
def test_a_choice_names_a_tool_by_its_kind(choice: ToolChoice, expected: Any) -> None:
    tools = (Tool("f"), Tool("c", custom=True))
    assert write(tools=tools, tool_choice=choice).body["tool_choice"] == expected


def test_a_choice_among_some_tools_leaves_the_others_out_where_it_has_no_word() -> None:
    tools = (Tool("f"), Tool("g"), Opaque("openai_chat", {"type": "web_search"}))
    body = write(tools=tools, tool_choice=ToolChoice("auto", ("g",)), want=(quirks.NO_CUSTOM_TOOLS,)).body
    assert body["tools"] == [{"type": "function", "function": {"name": "g"}}]
    assert body["tool_choice"] == "auto"


def test_names_that_openai_does_not_take_are_changed_everywhere() -> None:
    loop = (Message("assistant", (ToolCall("c", "a.b"),)), HI)
    written = write(*loop, tools=(Tool("a.b"), Tool("a_b")), tool_choice=ToolChoice("required", ("a.b",)))
    assert [tool["function"]["name"] for tool in written.body["tools"]] == ["a_b_2", "a_b"]
    assert written.body["tool_choice"]["function"]["name"] == "a_b_2"
    assert written.body["messages"][0]["tool_calls"][0]["function"]["name"] == "a_b_2"
    assert written.plan.names == {"a_b_2": "a.b"}


def test_custom_tools_are_functions_where_there_are_no_others() -> None:
    call = Message("assistant", (ToolCall("c", "sh", "ls", True),))
    written = write(call, HI, tools=(Tool("sh", custom=True),), want=(quirks.NO_CUSTOM_TOOLS,))
    assert written.body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert json.loads(written.body["messages"][0]["tool_calls"][0]["function"]["arguments"]) == {"input": "ls"}
    assert written.plan.custom == {"sh"}


def test_a_tool_that_cannot_be_had_is_lost_content() -> None:
    tool = Opaque("anthropic", {"type": "web_search_20250305"})
    assert lost(tools=(tool,)) == [("tools.0", "opaque_tool", True)]


def test_a_grammar_that_no_function_has_is_told_instead() -> None:
    tool = Tool("sh", custom=True, grammar={"type": "grammar", "grammar": {"syntax": "regex", "definition": ".+"}})
    (written,) = write(tools=(tool,), want=(quirks.NO_CUSTOM_TOOLS,)).body["tools"]
    assert written["function"]["description"] == "`input` must match this regex grammar:\n.+"
    assert lost(tools=(tool,), want=(quirks.NO_CUSTOM_TOOLS,)) == [("tools.0.grammar", "tool_grammar", False)]


# --- fields ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "model", "want", "expected"),
    [
        ({"max_tokens": 9}, "m", (), {"max_tokens": 9}),
        ({"max_tokens": 9}, "openai/o3", (), {"max_completion_tokens": 9}),
        ({"max_tokens": 9}, "o3", (quirks.MAX_TOKENS,), {"max_tokens": 9}),
        ({"sampling": Sampling(0.0, 0, seed=0)}, "m", (), {"temperature": 0.0, "top_p": 0, "seed": 0}),
        ({"sampling": Sampling(0.5, 0.5, presence_penalty=1)}, "gpt-5", (), {}),
        ({"sampling": Sampling(1, 1.0)}, "gpt-5", (), {"temperature": 1, "top_p": 1.0}),
        ({"sampling": Sampling(0.5), "reasoning": Reasoning("none")}, "gpt-5.2", (),
         {"temperature": 0.5, "reasoning_effort": "none"}),
        ({"sampling": Sampling(top_k=4)}, "m", (quirks.TOP_K,), {"top_k": 4}),
        ({"sampling": Sampling(seed=4)}, "m", (quirks.RANDOM_SEED,), {"random_seed": 4}),
        ({"stop": ("a", "b")}, "m", (), {"stop": ["a", "b"]}),
        ({"stop": ("a",)}, "gpt-5-mini", (), {}),
        ({"stop": tuple("abcde")}, "gpt-4o", (), {"stop": list("abcd")}),
        ({"n": 2}, "m", (), {"n": 2}),
        ({"reasoning": Reasoning("max")}, "gpt-5.1", (), {"reasoning_effort": "high"}),
        ({"reasoning": Reasoning("none")}, "o3", (), {"reasoning_effort": "low"}),
        ({"reasoning": Reasoning("low")}, "gpt-4o", (), {}),
        ({"reasoning": Reasoning("max")}, "m", (), {"reasoning_effort": "max"}),
        ({"reasoning": Reasoning(budget=2048)}, "m", (), {"reasoning_effort": "low"}),
        ({"reasoning": Reasoning(budget=8192)}, "m", (), {"reasoning_effort": "high"}),
        ({"reasoning": Reasoning(budget=-1)}, "m", (), {}),
        ({"reasoning": Reasoning(adaptive=True)}, "m", (), {}),
        ({"reasoning": Reasoning(adaptive=True)}, "gpt-5.2", (), {"reasoning_effort": "medium"}),
        ({"reasoning": Reasoning("none")}, "m", (quirks.THINKING_SWITCH,), {"thinking": {"type": "disabled"}}),
        ({"reasoning": Reasoning("high")}, "m", (quirks.THINKING_SWITCH,),
         {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ({"reasoning": Reasoning("high")}, "m", (quirks.THINKING_SWITCH, quirks.NO_REASONING_EFFORT),
         {"thinking": {"type": "enabled"}}),
        ({"reasoning": Reasoning(budget=2000)}, "m", (quirks.REASONING_OBJECT,), {"reasoning": {"max_tokens": 2000}}),
        ({"reasoning": Reasoning("low", shown=False)}, "m", (quirks.REASONING_OBJECT,),
         {"reasoning": {"effort": "low", "exclude": True}}),
        ({"user": "u" * 64}, "m", (), {"user": "u" * 64}),
        ({"metadata": {"a": "b"}, "store": True}, "m", (), {"metadata": {"a": "b"}, "store": True}),
        ({"metadata": {"a": "b"}}, "m", (), {}),
        ({"service_tier": "flex"}, "m", (), {"service_tier": "flex"}),
        ({"service_tier": "standard_only"}, "m", (), {}),
        ({"store": False, "user": "u", "verbosity": "low"}, "m", (quirks.NO_OPENAI_FIELDS,), {}),
        ({"store": True, "metadata": {"a": "b"}, "user": "u", "verbosity": "low", "cache_key": "k",
          "service_tier": "flex"}, "m", (quirks.NO_OPENAI_HINTS,), {"user": "u"}),
        ({"metadata": {"a": "b"}, "dialect": "openai_chat"}, "m", (quirks.NO_OPENAI_HINTS,), {"metadata": {"a": "b"}}),
        ({"store": False, "dialect": "openai_responses"}, "m", (), {}),
        ({"store": False, "dialect": "openai_chat"}, "m", (), {"store": False}),
        ({"stream": True}, "m", (), {"stream": True, "stream_options": {"include_usage": True}}),
        ({"stream": True}, "m", (quirks.NO_STREAM_OPTIONS,), {"stream": True}),
        ({"stream": True, "extra": (Extra("openai_chat", "stream_options", {"include_obfuscation": False}),)}, "m", (),
         {"stream": True, "stream_options": {"include_obfuscation": False, "include_usage": True}}),
        ({"extra": (Extra("openai_chat", "modalities", ["text"]), Extra("gemini", "safetySettings", []))}, "m", (),
         {"modalities": ["text"]}),
    ],
)  # fmt: skip
def test_fields_are_those_that_model_and_server_take(
    fields: dict[str, Any], model: str, want: tuple[str, ...], expected: dict[str, Any]
) -> None:
    body = write(model=model, want=want, **fields).body
    assert {name: value for name, value in body.items() if name not in ("model", "messages")} == expected


def test_a_long_name_of_a_user_becomes_a_digest() -> None:
    one, other = (write(user=f"{'u' * 64}{number}").body["user"] for number in (1, 2))
    assert len(one) == len(other) == 64
    assert one != other


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-5.6-terra", "openai/gpt-6-astra"])
def test_the_newest_models_do_not_think_beside_tools(model: str) -> None:
    fields: dict[str, Any] = {"tools": (Tool("f"),), "reasoning": Reasoning("high"), "model": model}
    assert write(**fields).body["reasoning_effort"] == "none"
    assert lost(**fields) == [("reasoning.effort", "effort_with_tools", False)]


@pytest.mark.parametrize(
    ("fields", "model", "path", "content"),
    [
        ({"sampling": Sampling(top_k=4)}, "m", "sampling.top_k", False),
        ({"sampling": Sampling(0.5)}, "gpt-5", "sampling.temperature", False),
        ({"sampling": Sampling(logprobs=True)}, "o1", "sampling.logprobs", False),
        ({"sampling": Sampling(logit_bias={"1": 1})}, "o1", "sampling.logit_bias", False),
        ({"stop": ("a",)}, "gpt-5", "stop", False),
        ({"reasoning": Reasoning("low", summary="auto")}, "m", "reasoning.summary", False),
        ({"reasoning": Reasoning(budget=5000)}, "m", "reasoning.budget", False),
        ({"extra": (Extra("gemini", "safetySettings", []),)}, "m", "safetySettings", False),
        ({"extra": (Extra("gemini", "responseModalities", [], True),)}, "m", "responseModalities", True),
    ],
)
def test_a_field_that_is_not_taken_is_noted(fields: dict[str, Any], model: str, path: str, content: bool) -> None:
    assert [(path_, content_) for path_, _, content_ in lost(model=model, **fields)] == [(path, content)]


# --- forms -----------------------------------------------------------------------------------------------------------


def test_a_schema_goes_out_with_a_name() -> None:
    form = ResponseFormat("schema", schema=SCHEMA, strict=True)
    expected = {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA, "strict": True}}
    assert write(response_format=form).body["response_format"] == expected


def test_a_schema_goes_into_the_prompt_where_there_are_none() -> None:
    form = ResponseFormat("schema", schema=SCHEMA)
    body = write(Message("system", (Text("Be"),)), HI, response_format=form, want=(quirks.NO_JSON_SCHEMA,)).body
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["content"].startswith("Be\nAnswer with one JSON object")
    assert '{"type":"object"}' in body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("said", "dialect", "expected"),
    [("Hi", "gemini", "Answer with one JSON object."), ("as json", "gemini", "as json"), ("Hi", "openai_chat", "Hi")],
)
def test_json_mode_needs_the_word_in_the_prompt(said: str, dialect: str, expected: str) -> None:
    message = Message("user", (Text(said),))
    assert messages_of(message, response_format=ResponseFormat("json"), dialect=dialect)[0]["content"] == expected
