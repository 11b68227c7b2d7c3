"""A client's Responses request in the neutral form."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.continuity import bind, with_seal
from gateway.dialects.conversation import (
    Audio,
    Cache,
    Citation,
    Document,
    Extra,
    Image,
    Message,
    Opaque,
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
from gateway.dialects.losses import Losses, refuse_losses
from gateway.dialects.openai_responses.request_reader import read_request
from gateway.errors import RequestError

D = "openai_responses"
HI = {"model": "m", "input": "hi"}


def read(body: dict[str, Any]) -> Request:
    return read_request(body, Losses())


def lost(body: dict[str, Any]) -> list[tuple[str, str, bool]]:
    losses = Losses()
    read_request(body, losses)
    return [(loss.path, loss.name, loss.content) for loss in losses.entries]


def messages(*items: Any) -> tuple[Message, ...]:
    return read({"model": "m", "input": list(items)}).messages


def test_a_text_is_a_users_message_and_instructions_stand_before_it() -> None:
    assert read(HI).messages == (Message("user", (Text("hi"),)),)
    asked = read({**HI, "instructions": "Be brief."})
    assert asked.messages == (Message("system", (Text("Be brief."),)), Message("user", (Text("hi"),)))
    assert (asked.dialect, asked.model, asked.stream) == (D, "m", False)


def test_messages_need_no_type_and_keep_their_roles() -> None:
    assert messages(
        {"role": "system", "content": "s"},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {"role": "user", "content": "u"},
        {"role": "user", "content": ""},
    ) == (
        Message("system", (Text("s"),)),
        Message("developer", (Text("d"),)),
        Message("user", (Text("u"),)),
        Message("user", (Text(""),)),
    )


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "input_text", "text": " a "}, Text(" a ")),
        ({"type": "text", "text": "a"}, Text("a")),
        ({"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}, Text("a", Cache())),
        (
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
            Text("a", Cache("1h")),
        ),
        ({"type": "refusal", "refusal": "no"}, Refusal("no")),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "low"},
            Image(Source("base64", "QUJD", "image/png"), "low"),
        ),
        ({"type": "input_image", "image_url": "https://a.b/c.png"}, Image(Source("url", "https://a.b/c.png"))),
        ({"type": "input_image", "file_id": "file_1"}, Image(Source("file", "file_1", dialect=D))),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"},
            Document(Source("base64", "QUJD", "application/pdf"), "a.pdf"),
        ),
        ({"type": "input_file", "file_data": "QUJD"}, Document(Source("base64", "QUJD"))),
        ({"type": "input_file", "file_url": "https://a.b/c.pdf"}, Document(Source("url", "https://a.b/c.pdf"))),
        ({"type": "input_file", "file_id": "file_1"}, Document(Source("file", "file_1", dialect=D))),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
            Audio(Source("base64", "QUJD", "audio/wav")),
        ),
        ({"type": "input_video", "url": "x"}, Opaque(D, {"type": "input_video", "url": "x"})),
        (
            {
                "type": "output_text",
                "text": "abc",
                "annotations": [
                    {"type": "url_citation", "url": "https://a.b", "title": "T", "start_index": 0, "end_index": 3}
                ],
            },
            Text("abc", citations=(Citation("https://a.b", "T", start=0, end=3),)),
        ),
    ],
)
def test_content_is_read(content: dict[str, Any], part: object) -> None:
    assert messages({"role": "user", "content": [content]}) == (Message("user", (part,)),)  # type: ignore[arg-type]


def test_a_turn_of_the_model_is_one_message_and_its_results_another() -> None:
    assert messages(
        {"role": "user", "content": "q"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"x":1}'},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"role": "user", "content": "next"},
    ) == (
        Message("user", (Text("q"),)),
        Message(
            "assistant",
            (
                Thinking("", Signature("gAAA", D)),
                Text("a"),
                ToolCall("c1", "f", '{"x":1}'),
                ToolCall("c2", "g", "{}"),
            ),
        ),
        Message("user", (ToolResult("c1", (Text("one"),)), ToolResult("c2", (Text("two"),)))),
        Message("user", (Text("next"),)),
    )


def test_two_messages_of_the_model_in_a_row_stay_two() -> None:
    one, two = {"role": "assistant", "content": "one"}, {"role": "assistant", "content": "two"}
    assert messages(one, two) == (Message("assistant", (Text("one"),)), Message("assistant", (Text("two"),)))


def test_results_carry_images_and_files() -> None:
    output = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,QUJD"},
        {"type": "input_file", "file_id": "file_1"},
    ]
    result = messages({"type": "function_call_output", "call_id": "c", "output": output})[0].parts[0]
    assert isinstance(result, ToolResult)
    assert result.parts == (
        Text("see"),
        Image(Source("base64", "QUJD", "image/png")),
        Document(Source("file", "file_1", dialect=D)),
    )


def test_custom_tools_take_and_give_free_text() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    asked = read(
        {
            "model": "m",
            "tools": [{"type": "custom", "name": "apply_patch", "description": "d", "format": grammar}],
            "input": [
                {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
            ],
        }
    )
    neutral = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a/"}}
    assert asked.tools == (Tool("apply_patch", "d", custom=True, grammar=neutral),)
    assert [message.parts for message in asked.messages] == [
        (ToolCall("c", "apply_patch", "*** Begin", custom=True),),
        (ToolResult("c", (Text("done"),), custom=True),),
    ]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (
            {"type": "reasoning", "summary": [{"text": "a"}, {"text": "b"}], "encrypted_content": "x"},
            Thinking("a\n\nb", Signature("x", D)),
        ),
        ({"type": "reasoning", "summary": [], "content": [{"text": "a"}, {"text": "b"}]}, Thinking("ab")),
        ({"type": "reasoning", "summary": [{"text": "a"}], "encrypted_content": None}, Thinking("a")),
    ],
)
def test_thoughts_are_their_summary_or_themselves(item: dict[str, Any], part: object) -> None:
    assert messages(item) == (Message("assistant", (part,)),)  # type: ignore[arg-type]


def test_thoughts_that_only_their_id_names_are_lost_with_a_notice() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert messages(item) == ()
    assert lost({"model": "m", "input": [item]}) == [("input.0", "stored_thoughts", False)]


def test_signatures_of_other_dialects_come_back_from_where_they_were_put() -> None:
    anthropic, gemini = Signature("sig", "anthropic", "claude"), Signature("AAA=", "gemini", "google")
    from gateway.dialects.continuity import seal

    (message,) = messages(
        {"type": "reasoning", "summary": [{"text": "t"}], "encrypted_content": seal(anthropic, "")},
        {"type": "reasoning", "summary": [{"text": ""}], "encrypted_content": seal(anthropic, "")},
        {"type": "reasoning", "summary": [], "encrypted_content": seal(anthropic, "")},
        {"type": "function_call", "call_id": with_seal("c", gemini, ""), "name": "f", "arguments": "{}"},
    )
    assert message.parts == (
        Thinking("t", anthropic),
        Thinking("", anthropic),
        RedactedThinking(anthropic),
        ToolCall("c", "f", "{}", signature=gemini),
    )


def signed(call_id: str, data: str) -> dict[str, Any]:
    bound = bind(Signature(data, "gemini", "google"), call_id, "")
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": bound}


def call(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    "items",
    [
        (signed("a.b", "AAA="), call("a.b"), signed("c", "CCC="), call("c")),
        (signed("c", "CCC="), signed("a.b", "AAA="), call("a.b"), call("c")),
    ],
)
def test_a_call_has_the_signature_that_is_bound_to_its_id(items: tuple[dict[str, Any], ...]) -> None:
    of_first, of_second = (Signature(data, "gemini", "google") for data in ("AAA=", "CCC="))
    (message,) = messages(*items)
    assert message.parts == (ToolCall("a.b", "f", signature=of_first), ToolCall("c", "f", signature=of_second))
    assert lost({"model": "m", "input": list(items)}) == []


def test_an_id_that_comes_again_has_the_signature_that_came_with_it() -> None:
    google = Signature("BBB=", "gemini", "google")
    (message,) = messages(signed("c", "AAA="), signed("c", "BBB="), call("c"), call("c"))
    assert message.parts == (ToolCall("c", "f", signature=google), ToolCall("c", "f"))


def test_a_signature_without_its_call_is_nothing() -> None:
    assert messages(signed("c", "AAA=")) == ()


def test_results_find_the_bare_id_of_their_call() -> None:
    sealed = with_seal("c", Signature("AAA=", "gemini", "google"), "")
    (message,) = messages({"type": "function_call_output", "call_id": sealed, "output": "ok"})
    assert message.parts == (ToolResult("c", (Text("ok"),)),)


@pytest.mark.parametrize(
    ("item", "role"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "user"),
        ({"id": "msg_1"}, "user"),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}, "assistant"),
        ({"type": "local_shell_call", "call_id": "c", "action": {}}, "assistant"),
        ({"type": "local_shell_call_output", "id": "c", "output": "{}"}, "user"),
        ({"type": "computer_call_output", "call_id": "c", "output": {}}, "user"),
        ({"type": "compaction", "encrypted_content": "x"}, "assistant"),
    ],
)
def test_items_that_only_this_api_knows_stay_as_they_came(item: dict[str, Any], role: str) -> None:
    assert messages(item) == (Message(role, (Opaque(D, item),)),)  # type: ignore[arg-type]


def test_images_that_the_model_made_are_images() -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "QUJD"}
    assert messages(item) == (Message("assistant", (Image(Source("base64", "QUJD", "image/png")),)),)


def test_functions_are_read_and_tools_of_the_provider_stay_as_they_came() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    asked = read(
        {
            **HI,
            "tools": [
                {"type": "function", "name": "f", "description": "d", "parameters": schema, "strict": False},
                {"type": "function", "name": "g", "parameters": None, "strict": None},
                {"type": "web_search", "search_context_size": "low"},
                {"type": "local_shell"},
            ],
        }
    )
    assert asked.tools == (
        Tool("f", "d", schema, False),
        Tool("g"),
        Opaque(D, {"type": "web_search", "search_context_size": "low"}),
        Opaque(D, {"type": "local_shell"}),
    )


def test_tools_among_the_items_are_the_requests() -> None:
    added = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [
            {
                "type": "namespace",
                "name": "functions",
                "description": "",
                "tools": [{"type": "custom", "name": "exec"}],
            },
            {"type": "web_search"},
        ],
    }
    call = {"type": "custom_tool_call", "call_id": "c", "name": "exec", "namespace": "functions", "input": "1"}
    asked = read({"model": "m", "tools": [{"type": "function", "name": "f"}], "input": [added, call]})
    assert asked.tools == (Tool("f"), Tool("functions__exec", custom=True), Opaque(D, {"type": "web_search"}))
    assert asked.messages == (Message("assistant", (ToolCall("c", "functions__exec", "1", custom=True),)),)


def test_tools_in_namespaces_get_flat_names_that_calls_share() -> None:
    tools = [
        {"type": "function", "name": "mcp__a__x", "parameters": {}},
        {"type": "namespace", "name": "mcp__a__", "description": "A", "tools": [{"type": "function", "name": "x"}]},
        {"type": "namespace", "name": "b", "description": "B", "tools": [{"type": "custom", "name": "x"}]},
    ]
    call = {"type": "function_call", "call_id": "c", "name": "x", "arguments": "{}"}
    asked = read(
        {"model": "m", "tools": tools, "input": [{**call, "namespace": "mcp__a__"}, {**call, "namespace": "x"}]}
    )
    assert [tool.name for tool in asked.tools if isinstance(tool, Tool)] == ["mcp__a__x", "mcp__a__x_", "b__x"]
    assert asked.messages[0].parts == (ToolCall("c", "mcp__a__x_"), ToolCall("c", "x"))
    assert [extra.name for extra in asked.extra] == ["tools.namespaces"]


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("required", ("f",))),
        ({"type": "custom", "name": "f"}, ToolChoice("required", ("f",))),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice("auto", ("f",)),
        ),
        (None, None),
    ],
)
def test_the_choice_of_tools_is_read(given: Any, choice: ToolChoice | None) -> None:
    assert read({**HI, "tool_choice": given}).tool_choice == choice


def test_forcing_a_tool_of_the_provider_is_content() -> None:
    value = {"type": "web_search_preview"}
    assert read({**HI, "tool_choice": value}).extra == (Extra(D, "tool_choice", value, content=True),)


def test_settings_have_their_places_and_zeros_were_said() -> None:
    asked = read(
        {
            **HI,
            "temperature": 0,
            "top_p": 0.5,
            "top_logprobs": 3,
            "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
            "max_output_tokens": 100,
            "parallel_tool_calls": False,
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
            "metadata": {"a": "b"},
            "user": "u",
            "safety_identifier": "s",
            "service_tier": "flex",
            "prompt_cache_key": "k",
            "prompt_cache_retention": "24h",
            "store": False,
            "stream": True,
        }
    )
    assert asked.sampling == Sampling(temperature=0, top_p=0.5, logprobs=True, top_logprobs=3)
    assert asked.reasoning is not None
    assert (asked.reasoning.effort, asked.reasoning.summary, asked.reasoning.shown) == ("low", "auto", True)
    assert asked.response_format == ResponseFormat("schema", "n", {}, True)
    assert (asked.verbosity, asked.max_tokens, asked.parallel_tool_calls) == ("low", 100, False)
    assert (asked.user, asked.safety_identifier, asked.service_tier) == ("u", "s", "flex")
    assert (asked.cache_key, asked.cache_retention, asked.store, asked.stream) == ("k", "24h", False, True)
    assert asked.metadata == {"a": "b"}
    assert asked.extra == ()


def test_what_only_this_api_knows_is_kept_as_extras_and_defaults_are_not() -> None:
    asked = read(
        {
            **HI,
            "truncation": "auto",
            "max_tool_calls": 3,
            "background": False,
            "include": ["web_search_call.action.sources"],
            "reasoning": {"mode": "pro"},
            "client_metadata": {"a": "b"},
            "conversation": None,
        }
    )
    assert [(extra.name, extra.value, extra.content) for extra in asked.extra] == [
        ("include", ["web_search_call.action.sources"], False),
        ("reasoning.mode", "pro", False),
        ("truncation", "auto", False),
        ("max_tool_calls", 3, False),
        ("client_metadata", {"a": "b"}, False),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("background", True),
    ],
)
def test_what_the_provider_has_stored_is_refused_by_name(field: str, value: Any) -> None:
    losses = Losses()
    asked = read_request({**HI, field: value}, losses)
    assert asked.extra == (Extra(D, field, value, content=True),)
    with pytest.raises(RequestError) as caught:
        refuse_losses(losses, "warn")
    assert (caught.value.status, caught.value.param) == (400, field)


def test_an_earlier_answer_cannot_be_continued_because_nobody_stored_it() -> None:
    losses = Losses()
    read_request({"model": "m", "previous_response_id": "resp_1"}, losses)
    with pytest.raises(RequestError, match="are not stored"):
        refuse_losses(losses, "warn")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**HI, "store": True}, [("store", "store", False)]),
        (
            {"model": "m", "input": [{"role": "assistant", "content": "a", "phase": "commentary", "id": "msg_1"}]},
            [("input.0.phase", "item_field", False)],
        ),
        (
            {**HI, "tools": [{"type": "function", "name": "f", "defer_loading": True}]},
            [("tools.0.defer_loading", "tool_field", False)],
        ),
        (
            {
                "model": "m",
                "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f", "detail": "low"}]}],
            },
            [("input.0.content.0.detail", "content_field", False)],
        ),
    ],
)
def test_fields_without_a_place_are_noted(body: dict[str, Any], expected: object) -> None:
    assert lost(body) == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x"}, "model"),
        ({"model": 3, "input": "x"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": 3}, "input"),
        ({"model": "m", "input": ["x"]}, "input.0"),
        ({"model": "m", "input": [{}]}, "input.0.id"),
        ({"model": "m", "input": [{"role": "tool", "content": "x"}]}, "input.0.role"),
        ({"model": "m", "input": [{"role": "user", "content": 3}]}, "input.0.content"),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "x"}]}]}, "input.0.content.0.type"),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input.0.content.0.text"),
        (
            {"model": "m", "input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input.0.content.0.image_url",
        ),
        ({"model": "m", "input": [{"type": "function_call", "name": "f"}]}, "input.0.call_id"),
        ({**HI, "instructions": 3}, "instructions"),
        ({**HI, "tools": [{"name": "f"}]}, "tools.0.type"),
        ({**HI, "tools": [{"type": "function"}]}, "tools.0.name"),
        ({**HI, "tool_choice": "sometimes"}, "tool_choice"),
        ({**HI, "tool_choice": {}}, "tool_choice.type"),
        ({**HI, "text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({**HI, "reasoning": {"effort": "enormous"}}, "reasoning.effort"),
        ({**HI, "metadata": {"a": 1}}, "metadata.a"),
        ({**HI, "max_output_tokens": 1.5}, "max_output_tokens"),
        ({**HI, "stream": "yes"}, "stream"),
    ],
)
def test_what_is_structurally_wrong_is_refused_by_its_path(body: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(body)
    assert (caught.value.status, caught.value.param) == (400, param)
