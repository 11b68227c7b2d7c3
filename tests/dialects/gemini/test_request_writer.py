"""Writing requests for Google: everything but the messages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dialects.conversation import (
    Cache,
    Extra,
    Message,
    Opaque,
    Reasoning,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.dialects.dialect import Target
from gateway.dialects.gemini.request_writer import write_request
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.errors import RequestError
from tests.dialects.gemini.scenes import ask, assistant, user, written, written_with_losses

SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string", "title": "x"}}, "required": ["a"]}
LOOK = Tool("look", "Looks.", SCHEMA)


def test_a_plain_request_has_contents_alone() -> None:
    body = written(ask(user("Hi"), model="m", stream=True))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_sampling_and_limits_go_into_the_configuration() -> None:
    sampling = Sampling(0.5, 0.9, 40, 7, None, None, None, True, 3)
    body = written(ask(sampling=sampling, max_tokens=0, n=2, stop=("a", "b"), service_tier="default"))
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "responseLogprobs": True,
        "logprobs": 3,
        "maxOutputTokens": 0,
        "candidateCount": 2,
        "stopSequences": ["a", "b"],
    }
    assert body["serviceTier"] == "standard"


PENALTIES = [("sampling.presence_penalty", "presence_penalty"), ("sampling.frequency_penalty", "frequency_penalty")]


@pytest.mark.parametrize(
    ("model", "dialect", "expected", "lost"),
    [
        ("gemini-2.0-flash", "openai_chat", {"presencePenalty": 0.1, "frequencyPenalty": -0.1}, []),
        ("gemini-2.5-flash", "openai_chat", {}, PENALTIES),
        ("gemini-3.5-flash", "anthropic", {}, PENALTIES),
        ("gemini-3.5-flash", "gemini", {"presencePenalty": 0.1, "frequencyPenalty": -0.1}, []),
    ],
)
def test_penalties_go_to_models_that_take_them(
    model: str, dialect: str, expected: Json, lost: list[tuple[str, str]]
) -> None:
    request = ask(sampling=Sampling(presence_penalty=0.1, frequency_penalty=-0.1), dialect=dialect)
    body, losses = written_with_losses(request, model)
    assert (body.get("generationConfig", {}), losses) == (expected, lost)


def test_a_penalty_of_zero_is_taken_by_all() -> None:
    body, losses = written_with_losses(ask(sampling=Sampling(presence_penalty=0.0)))
    assert (body["generationConfig"], losses) == ({"presencePenalty": 0.0}, [])


@pytest.mark.parametrize("seed", [2**62 + 5, -(2**40)])
def test_a_seed_fits_into_googles_field(seed: int) -> None:
    written_seed = written(ask(sampling=Sampling(seed=seed)))["generationConfig"]["seed"]
    assert 0 <= written_seed < 2**31


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({"user": "u"}, [("user", "user")]),
        ({"metadata": {"a": "b"}}, [("metadata", "metadata")]),
        ({"verbosity": "low", "cache_key": "k"}, [("verbosity", "verbosity"), ("cache_key", "cache_key")]),
        ({"store": True}, [("store", "store")]),
        ({"store": False}, []),
        ({"service_tier": "scale"}, [("service_tier", "service_tier")]),
        ({"service_tier": "auto"}, []),
        ({"sampling": Sampling(logit_bias={"1": 1.0})}, [("sampling.logit_bias", "logit_bias")]),
        ({"stop": tuple("abcdefg")}, [("stop.5", "stop"), ("stop.6", "stop")]),
        ({"parallel_tool_calls": False}, []),
        ({"parallel_tool_calls": False, "tools": (LOOK,)}, [("parallel_tool_calls", "parallel_tool_calls")]),
        ({"extra": (Extra("openai_chat", "prediction", {}),)}, [("prediction", "extra_field")]),
        ({"extra": (Extra("openai_chat", "audio", {}, True),)}, [("audio", "!extra_field")]),
        ({"tools": (Opaque("anthropic", {"type": "bash"}),)}, [("tools.0", "!opaque_tool")]),
        ({"tools": (replace(LOOK, strict=True),)}, [("tools.0.strict", "tool_strict")]),
        ({"tools": (replace(LOOK, cache=Cache()),)}, [("tools.0.cache", "cache_control")]),
    ],
)
def test_what_google_has_no_word_for_is_noted(fields: Json, lost: list[tuple[str, str]]) -> None:
    assert written_with_losses(ask(**fields))[1] == lost


def test_what_only_google_has_is_put_back() -> None:
    extra = (
        Extra("gemini", "cachedContent", "cachedContents/1", True),
        Extra("gemini", "generationConfig.speechConfig", {"a": 1}),
        Extra("gemini", "toolConfig.retrievalConfig", {"b": 2}),
    )
    body = written(ask(dialect="gemini", extra=extra, max_tokens=5, store=False))
    assert body["cachedContent"] == "cachedContents/1"
    assert body["generationConfig"] == {"maxOutputTokens": 5, "speechConfig": {"a": 1}}
    assert body["toolConfig"] == {"retrievalConfig": {"b": 2}}
    assert body["store"] is False


# --- tools -----------------------------------------------------------------------------------------------------------


def test_all_functions_stand_in_one_list() -> None:
    tools = (Opaque("gemini", {"googleSearch": {}}), LOOK, Opaque("gemini", {"codeExecution": {}}), Tool("b"))
    assert written(ask(tools=tools))["tools"] == [
        {"googleSearch": {}},
        {
            "functionDeclarations": [
                {"name": "look", "description": "Looks.", "parametersJsonSchema": SCHEMA},
                {"name": "b"},
            ]
        },
        {"codeExecution": {}},
    ]


def test_older_models_get_googles_own_schema_and_none_that_is_empty() -> None:
    schema = {**SCHEMA, "properties": {"a": {"type": ["string", "null"], "const": "x"}}, "$comment": "?"}
    empty = Tool("b", parameters={"type": "object", "properties": {}})
    body, lost = written_with_losses(ask(tools=(replace(LOOK, parameters=schema), empty)), "gemini-2.0-flash")
    first, second = body["tools"][0]["functionDeclarations"]
    assert first["parameters"]["properties"]["a"]["enum"] == ["x"]
    assert first["parameters"]["properties"]["a"]["nullable"] is True
    assert second == {"name": "b"}
    assert all(name == "schema_keyword" and path.startswith("tools.0.parameters.") for path, name in lost)


def test_names_that_google_refuses_are_rewritten_and_told_to_the_reader() -> None:
    names = ["fine.name-1:x", "my tool", "my_tool", "1st", "ü" * 80, "v" * 80]
    calls = assistant(ToolCall("c", "my tool"), ToolCall("d", "gone/away"))
    request = ask(
        user("Hi"), calls, tools=tuple(map(Tool, names)), tool_choice=ToolChoice("required", ("my tool", "1st"))
    )
    result = write_request(request, Target("google", "gemini-2.5-pro"), Losses())
    declared = [tool["name"] for tool in result.body["tools"][0]["functionDeclarations"]]
    assert declared == ["fine.name-1:x", "my_tool_2", "my_tool", "_1st", "_" * 64, "v" * 64]
    called = [part["functionCall"]["name"] for part in result.body["contents"][1]["parts"]]
    assert called == ["my_tool_2", "gone_away"]
    assert result.body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["my_tool_2", "_1st"]
    assert result.plan.names == {
        "my_tool_2": "my tool",
        "_1st": "1st",
        "_" * 64: "ü" * 80,
        "v" * 64: "v" * 80,
        "gone_away": "gone/away",
    }


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    tool = Tool("patch", "Patches.", custom=True, grammar={"type": "grammar"})
    losses = Losses()
    result = write_request(
        ask(user("Hi"), assistant(ToolCall("c", "patch", "*** Begin", custom=True)), tools=(tool,)),
        Target("google", "gemini-2.5-pro"),
        losses,
    )
    (function,) = result.body["tools"][0]["functionDeclarations"]
    assert function["parametersJsonSchema"]["properties"] == {"input": {"type": "string"}}
    assert result.body["contents"][1]["parts"][0]["functionCall"]["args"] == {"input": "*** Begin"}
    assert result.plan.custom == {"patch"}
    assert [(loss.path, loss.name) for loss in losses.entries] == [("tools.0.grammar", "tool_grammar")]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("required", ("look",)), {"mode": "ANY", "allowedFunctionNames": ["look"]}),
        (ToolChoice("auto", ("look", "unknown")), {"mode": "VALIDATED", "allowedFunctionNames": ["look"]}),
    ],
)
def test_choices_of_tools(choice: ToolChoice, expected: Json) -> None:
    body = written(ask(tools=(LOOK,), tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": expected}


@pytest.mark.parametrize("tools", [(), (Opaque("gemini", {"googleSearch": {}}),)])
def test_a_choice_without_functions_is_none(tools: tuple[Opaque, ...]) -> None:
    assert "toolConfig" not in written(ask(tools=tools, tool_choice=ToolChoice("required")))


# --- response formats ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ResponseFormat("text"), {"responseMimeType": "text/plain"}),
        (ResponseFormat("json"), {"responseMimeType": "application/json"}),
        (
            ResponseFormat("schema", "n", SCHEMA, True),
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
    ],
)
def test_response_formats(wanted: ResponseFormat, expected: Json) -> None:
    assert written(ask(response_format=wanted))["generationConfig"] == expected


def test_older_models_get_googles_own_schema_as_format() -> None:
    wanted = ResponseFormat("schema", schema={"type": "string", "const": "x", "not": {}})
    body, lost = written_with_losses(ask(response_format=wanted), "gemini-2.0-flash")
    assert body["generationConfig"]["responseSchema"]["enum"] == ["x"]
    assert ("response_format.schema.not", "schema_keyword") in lost


def test_a_format_beside_functions_is_content_that_older_models_refuse() -> None:
    request = ask(tools=(LOOK,), response_format=ResponseFormat("json"))
    body, lost = written_with_losses(request)
    assert "generationConfig" not in body
    assert lost == [("response_format", "!format_with_tools")]
    assert written(request, "gemini-3-flash-preview")["generationConfig"] == {"responseMimeType": "application/json"}
    assert "generationConfig" in written(replace(request, dialect="gemini"))


# --- thinking --------------------------------------------------------------------------------------------------------

BUDGET = ("reasoning.budget", "reasoning_budget")
EFFORT = ("reasoning.effort", "reasoning_effort")


@pytest.mark.parametrize(
    ("model", "reasoning", "expected", "lost"),
    [
        ("gemini-2.5-flash", Reasoning("none"), {"thinkingBudget": 0}, []),
        ("gemini-2.5-flash", Reasoning("low"), {"thinkingBudget": 1024}, []),
        ("gemini-2.5-flash", Reasoning("medium"), {"thinkingBudget": 8192}, []),
        ("gemini-2.5-flash", Reasoning("high"), {"thinkingBudget": 24576}, []),
        ("gemini-2.5-flash", Reasoning("max"), {"thinkingBudget": 24576}, [EFFORT]),
        ("gemini-2.5-flash", Reasoning(adaptive=True), {"thinkingBudget": -1}, []),
        ("gemini-2.5-flash", Reasoning(budget=0), {"thinkingBudget": 0}, []),
        ("gemini-2.5-flash", Reasoning(budget=32000), {"thinkingBudget": 24576}, [BUDGET]),
        ("gemini-2.5-flash-lite", Reasoning(budget=100), {"thinkingBudget": 512}, [BUDGET]),
        ("gemini-2.5-pro", Reasoning("none"), {"thinkingBudget": 128}, [EFFORT]),
        ("gemini-2.5-pro", Reasoning("xhigh"), {"thinkingBudget": 28672}, []),
        ("gemini-2.5-pro", Reasoning("max"), {"thinkingBudget": 32768}, []),
        ("gemini-2.5-pro", Reasoning(shown=True), {"includeThoughts": True}, []),
        ("gemini-2.5-pro", Reasoning("low", summary="auto"), {"thinkingBudget": 1024, "includeThoughts": True}, []),
        ("gemini-2.0-flash", Reasoning("none"), None, []),
        ("gemini-2.0-flash", Reasoning("high"), None, [("reasoning", "reasoning")]),
        ("gemini-3-pro-preview", Reasoning("none"), {"thinkingLevel": "LOW"}, [EFFORT]),
        ("gemini-3-pro-preview", Reasoning("medium"), {"thinkingLevel": "LOW"}, [EFFORT]),
        ("gemini-3.1-pro-preview", Reasoning("medium"), {"thinkingLevel": "MEDIUM"}, []),
        ("gemini-3.1-pro-preview", Reasoning("xhigh"), {"thinkingLevel": "HIGH"}, [EFFORT]),
        ("gemini-3.1-pro-preview", Reasoning(adaptive=True), None, []),
        ("gemini-3-flash-preview", Reasoning("minimal"), {"thinkingLevel": "MINIMAL"}, []),
        ("gemini-3-flash-preview", Reasoning("none"), {"thinkingLevel": "MINIMAL"}, [EFFORT]),
        ("gemini-3.8-flash", Reasoning("minimal"), {"thinkingLevel": "LOW"}, [EFFORT]),
        ("gemini-4-argon", Reasoning(budget=2048), {"thinkingLevel": "LOW"}, [BUDGET]),
        ("gemini-4-argon", Reasoning(budget=9000), {"thinkingLevel": "MEDIUM"}, [BUDGET]),
        ("gemini-4-argon", Reasoning(budget=30000), {"thinkingLevel": "HIGH"}, [BUDGET]),
    ],
)
def test_how_much_a_model_is_to_think(
    model: str, reasoning: Reasoning, expected: Json | None, lost: list[tuple[str, str]]
) -> None:
    body, noted = written_with_losses(ask(reasoning=reasoning), model)
    assert body.get("generationConfig", {}).get("thinkingConfig") == expected
    assert noted == lost


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (Reasoning("none"), {"thinkingBudget": 0}),
        (Reasoning("xhigh", shown=True), {"thinkingLevel": "XHIGH", "includeThoughts": True}),
        (Reasoning(budget=99999), {"thinkingBudget": 99999}),
        (Reasoning(adaptive=True), {"thinkingBudget": -1}),
    ],
)
def test_a_client_of_google_is_taken_at_its_word(reasoning: Reasoning, expected: Json) -> None:
    body = written(ask(dialect="gemini", reasoning=reasoning, stop=tuple("abcdefg")), "gemini-3-flash-preview")
    assert body["generationConfig"] == {"stopSequences": list("abcdefg"), "thinkingConfig": expected}


def test_a_client_of_anthropic_sees_the_thoughts_that_it_gave_a_budget() -> None:
    for reasoning, expected in (
        (Reasoning(budget=2048), {"thinkingBudget": 2048, "includeThoughts": True}),
        (Reasoning(budget=2048, shown=False), {"thinkingBudget": 2048, "includeThoughts": False}),
        (Reasoning(adaptive=True), {"thinkingBudget": -1}),
    ):
        body = written(ask(dialect="anthropic", reasoning=reasoning), "gemini-2.5-flash")
        assert body["generationConfig"]["thinkingConfig"] == expected


def test_a_conversation_without_a_message_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        written(ask(user("")))
    assert (caught.value.status, caught.value.param) == (400, "messages")


def test_instructions_alone_are_what_the_user_says() -> None:
    body, lost = written_with_losses(ask(Message("system", (Text("Only this."),))))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Only this."}]}]}
    assert lost == [("messages.0.role", "system_role")]


GEMMA = "gemma-3-27b-it"
RULES = Message("system", (Text("Be brief."),))


@pytest.mark.parametrize(
    ("messages", "contents"),
    [
        ((RULES, user("Hi")), [{"role": "user", "parts": [{"text": "Be brief."}, {"text": "Hi"}]}]),
        (
            (RULES, assistant("Hello."), user("Hi")),
            [
                {"role": "user", "parts": [{"text": "Be brief."}]},
                {"role": "model", "parts": [{"text": "Hello."}]},
                {"role": "user", "parts": [{"text": "Hi"}]},
            ],
        ),
    ],
)
def test_a_model_without_instructions_gets_them_from_the_user(
    messages: tuple[Message, ...], contents: list[Json]
) -> None:
    body, lost = written_with_losses(ask(*messages), GEMMA)
    assert body == {"contents": contents}
    assert lost == [("messages.0.role", "system_role")]


def test_a_model_without_a_json_mode_is_asked_for_json() -> None:
    wanted = ResponseFormat("schema", "n", {"type": "object"})
    body, lost = written_with_losses(ask(user("Hi"), response_format=wanted), GEMMA)
    ((asked, said),) = [content["parts"] for content in body["contents"]]
    assert asked["text"].endswith('It must match this JSON Schema: {"type":"object"}')
    assert (said, lost) == ({"text": "Hi"}, [("response_format", "response_format")])
    assert "generationConfig" not in body


def test_functions_are_content_that_a_model_without_them_refuses() -> None:
    body, lost = written_with_losses(ask(tools=(Tool("f"),), tool_choice=ToolChoice("auto")), GEMMA)
    assert (set(body), lost) == ({"contents"}, [("tools.0", "!functions")])


def test_a_client_of_google_may_ask_gemma_for_anything() -> None:
    request = ask(RULES, user("Hi"), dialect="gemini", tools=(Tool("f"),), response_format=ResponseFormat("json"))
    body = written(request, GEMMA)
    assert body.keys() == {"contents", "systemInstruction", "tools", "generationConfig"}
