"""Reading generateContent requests."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.continuity import seal
from gateway.dialects.conversation import (
    Audio,
    Document,
    Extra,
    Image,
    Message,
    Opaque,
    Reasoning,
    RedactedThinking,
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
from gateway.dialects.gemini.request_reader import read_request
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.errors import RequestError
from tests.dialects.gemini.scenes import assistant, read, user

HI: Json = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
FOREIGN = Signature("sig", "anthropic", "claude")
SEALED = seal(FOREIGN, "claude")


def contents(*parts: Json, role: str = "user") -> Json:
    return {"contents": [{"role": role, "parts": list(parts)}]}


def part_of(part: Json, role: str = "user") -> object:
    (message,) = read(contents(part, role=role)).messages
    return message.parts[0]


def lost(body: Json) -> list[tuple[str, str]]:
    losses = Losses()
    read_request(body, losses)
    return [(loss.path, loss.name) for loss in losses.entries]


def test_model_and_stream_are_the_paths() -> None:
    request = read_request({**HI, "model": "models/other"}, Losses(), model="m", stream=True)
    assert (request.model, request.stream, request.dialect) == ("m", True, "gemini")
    assert read_request({**HI, "model": "models/other"}, Losses()).model == "other"


def test_contents_are_messages_and_the_instruction_is_the_first() -> None:
    request = read(
        {
            "systemInstruction": {"role": "user", "parts": [{"text": "Be"}, {"text": "terse."}]},
            "contents": [
                {"parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"text": "Hello"}]},
                {"role": "USER", "parts": [{"text": "Bye"}]},
            ],
        }
    )
    assert request.messages == (
        Message("system", (Text("Be"), Text("terse."))),
        user("Hi"),
        assistant("Hello"),
        user("Bye"),
    )


def test_names_may_be_in_snake_case_and_single_values_without_their_array() -> None:
    request = read(
        {
            "system_instruction": {"parts": {"text": "Be terse."}},
            "contents": {"parts": {"inline_data": {"mime_type": "image/png", "data": "aGk="}}},
            "generation_config": {"max_output_tokens": 5, "thinking_config": {"include_thoughts": True}},
            "tools": {"function_declarations": {"name": "look", "parameters_json_schema": {"type": "object"}}},
            "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["look"]}},
            "service_tier": "flex",
        }
    )
    assert request.messages[1:] == (user(Image(Source("base64", "aGk=", "image/png"))),)
    assert (request.max_tokens, request.reasoning) == (5, Reasoning(shown=True))
    assert request.tools == (Tool("look", parameters={"type": "object"}),)
    assert request.tool_choice == ToolChoice("required", ("look",))
    assert request.service_tier == "flex"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"text": "Hi"}, Text("Hi")),
        ({"text": "Hi", "thoughtSignature": "c2ln"}, Text("Hi", signature=Signature("c2ln", "gemini"))),
        ({"text": "Hm", "thought": True}, Thinking("Hm")),
        ({"thought": True, "thoughtSignature": "c2ln"}, Thinking("", Signature("c2ln", "gemini"))),
        ({"thoughtSignature": "c2ln"}, Text("", signature=Signature("c2ln", "gemini"))),
        ({"text": "Hm", "thought": True, "thoughtSignature": SEALED}, Thinking("Hm", FOREIGN)),
        ({"text": "", "thoughtSignature": SEALED}, RedactedThinking(FOREIGN)),
        ({"inlineData": {"mimeType": "image/png", "data": "aGk="}}, Image(Source("base64", "aGk=", "image/png"))),
        ({"inlineData": {"data": "iVBORw0KGgoAAAA="}}, Image(Source("base64", "iVBORw0KGgoAAAA=", "image/png"))),
        ({"inlineData": {"mimeType": "image/png", "data": "-_8"}}, Image(Source("base64", "+/8=", "image/png"))),
        (
            {
                "inlineData": {"mimeType": "image/png", "data": "aGk="},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
            },
            Image(Source("base64", "aGk=", "image/png"), "low"),
        ),
        ({"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}, Audio(Source("base64", "aGk=", "audio/wav"))),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "aGk=", "displayName": "a.pdf"}},
            Document(Source("base64", "aGk=", "application/pdf"), "a.pdf"),
        ),
        ({"inlineData": {"mimeType": "text/csv", "data": "w7w="}}, Document(Source("text", "ü", "text/csv"))),
        ({"inlineData": {"mimeType": "text/csv", "data": "/w=="}}, Document(Source("base64", "/w==", "text/csv"))),
        (
            {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}},
            Image(Source("url", "https://example.com/a.png", "image/png")),
        ),
        (
            {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://bucket/a"}},
            Document(Source("file", "gs://bucket/a", "application/pdf", "gemini")),
        ),
        (
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}, "videoMetadata": {"fps": 1}},
            Opaque(
                "gemini", {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}, "videoMetadata": {"fps": 1}}
            ),
        ),
        ({"executableCode": {"code": "1"}}, Opaque("gemini", {"executableCode": {"code": "1"}})),
        ({"functionCall": {"id": "c", "name": "look"}}, ToolCall("c", "look", "{}")),
        (
            {"functionCall": {"id": "c", "name": "look", "args": {"a_b": 1}}, "thoughtSignature": SEALED},
            ToolCall("c", "look", '{"a_b":1}', signature=FOREIGN),
        ),
        ({"functionCall": {"id": f"c__thought__{SEALED}", "name": "look"}}, ToolCall("c", "look", signature=FOREIGN)),
    ],
)
def test_parts_are_read(part: Json, expected: object) -> None:
    assert part_of(part, "model") == expected


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "rain"}, "rain", None),
        ({"output": {"a": 1}}, '{"a":1}', None),
        ({"error": "no"}, "no", True),
        ({"result": "rain"}, '{"result":"rain"}', None),
        ({"output": "rain", "error": "no"}, '{"output":"rain","error":"no"}', None),
        ({}, "{}", None),
    ],
)
def test_responses_become_text(response: Json, text: str, is_error: bool | None) -> None:
    part = {"functionResponse": {"id": "c", "name": "look", "response": response}}
    assert part_of(part) == ToolResult("c", (Text(text),), is_error, "look")


def test_media_inside_a_result_are_its_parts() -> None:
    inside = [{"inline_data": {"mime_type": "image/png", "data": "aGk="}}, {"fileData": {"fileUri": "files/1"}}]
    part = {"functionResponse": {"id": "c", "name": "look", "response": {"output": ""}, "parts": inside}}
    image, video = Image(Source("base64", "aGk=", "image/png")), Opaque("gemini", {"fileData": {"fileUri": "files/1"}})
    assert part_of(part) == ToolResult("c", (Text(""), image, video), name="look")


def call(name: str, call_id: str = "") -> Json:
    return {"functionCall": {"name": name, **({"id": call_id} if call_id else {})}}


def result(name: str, call_id: str = "") -> Json:
    return {"functionResponse": {"name": name, "response": {}, **({"id": call_id} if call_id else {})}}


@pytest.mark.parametrize(
    ("calls", "results", "call_ids", "result_ids"),
    [
        ([call("a"), call("b")], [result("a"), result("b")], ["place_0", "place_1"], ["place_0", "place_1"]),
        ([call("a"), call("b")], [result("b"), result("a")], ["place_0", "place_1"], ["place_1", "place_0"]),
        ([call("a"), call("a")], [result("a"), result("a")], ["place_0", "place_1"], ["place_0", "place_1"]),
        ([call("a", "x"), call("a", "y")], [result("a", "y"), result("a", "x")], ["x", "y"], ["y", "x"]),
        ([call("a", "x")], [result("a")], ["x"], ["x"]),
        ([call("a")], [result("a", "x")], ["place_0"], ["place_0"]),
        ([call("a", "x")], [result("b", "z"), result("b")], ["x"], ["z", "place_0"]),
    ],
)
def test_results_find_their_calls(
    calls: list[Json], results: list[Json], call_ids: list[str], result_ids: list[str]
) -> None:
    body = {"contents": [{"role": "model", "parts": calls}, {"role": "function", "parts": results}]}
    model, tools = read(body).messages
    assert [part.id for part in model.parts if isinstance(part, ToolCall)] == call_ids
    assert [part.call_id for part in tools.parts if isinstance(part, ToolResult)] == result_ids


def test_a_turn_that_was_streamed_is_put_together_again() -> None:
    """The SDK keeps every event's content."""
    parts: list[Json] = [
        {"text": "Let me ", "thought": True},
        {"text": "see.", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": SEALED},
        {"text": "Par"},
        {"text": "is"},
        {"text": ""},
        {"text": "", "thoughtSignature": "c2ln"},
    ]
    body = {"contents": [{"role": "model", "parts": [part]} for part in parts]}
    assert read(body).messages == (
        assistant(Thinking("Let me see.", FOREIGN), Text("Paris"), Text("", signature=Signature("c2ln", "gemini"))),
    )


def test_parts_of_one_content_are_not_joined() -> None:
    body = contents({"text": "a"}, {"text": "b"}, role="model")
    assert read(body).messages == (assistant("a", "b"),)


def test_tools_are_functions_and_what_only_google_has() -> None:
    tools = [
        {"googleSearch": {}},
        {
            "functionDeclarations": [
                {"name": "a", "description": "A.", "parameters": {"type": "OBJECT"}},
                {"name": "b"},
            ],
            "codeExecution": {},
        },
    ]
    assert read({**HI, "tools": tools}).tools == (
        Opaque("gemini", {"googleSearch": {}}),
        Tool("a", "A.", {"type": "object"}),
        Tool("b"),
        Opaque("gemini", {"codeExecution": {}}),
    )


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({}, None),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("required")),
        ({"mode": "ANY", "allowedFunctionNames": ["a", "b"]}, ToolChoice("required", ("a", "b"))),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["a"]}, ToolChoice("auto", ("a",))),
    ],
)
def test_modes_of_calling(config: Json, choice: ToolChoice | None) -> None:
    assert read({**HI, "toolConfig": {"functionCallingConfig": config}}).tool_choice == choice


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"responseMimeType": "text/plain"}, ResponseFormat("text")),
        ({"responseMimeType": "application/json"}, ResponseFormat("json")),
        (
            {"responseMimeType": "application/json", "responseSchema": {"type": "STRING", "nullable": True}},
            ResponseFormat("schema", schema={"type": ["string", "null"]}),
        ),
        (
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "OBJECT"}},
            ResponseFormat("schema", schema={"type": "OBJECT"}),
        ),
        ({}, None),
    ],
)
def test_response_formats(config: Json, expected: ResponseFormat | None) -> None:
    assert read({**HI, "generationConfig": config}).response_format == expected


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        ({"thinkingBudget": 0}, Reasoning("none")),
        ({"thinkingBudget": -1}, Reasoning(adaptive=True)),
        ({"thinkingBudget": 2048, "includeThoughts": True}, Reasoning(budget=2048, shown=True)),
        ({"thinkingLevel": "HIGH"}, Reasoning("high")),
        ({"thinkingLevel": "minimal", "includeThoughts": False}, Reasoning("minimal", shown=False)),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
        ({}, None),
    ],
)
def test_amounts_of_thinking(thinking: Json, expected: Reasoning | None) -> None:
    assert read({**HI, "generationConfig": {"thinkingConfig": thinking}}).reasoning == expected


def test_the_rest_of_the_configuration() -> None:
    config = {
        "temperature": 0,
        "topP": 0.5,
        "topK": 40.0,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.1,
        "responseLogprobs": True,
        "logprobs": 3,
        "candidateCount": 2,
        "maxOutputTokens": 10,
        "stopSequences": ["END"],
    }
    request = read({**HI, "generationConfig": config})
    assert request.sampling == Sampling(0, 0.5, 40, 7, 0.1, -0.1, None, True, 3)
    assert (request.n, request.max_tokens, request.stop) == (2, 10, ("END",))


def test_what_only_google_has_stays_as_it_came() -> None:
    request = read(
        {
            **HI,
            "cached_content": "cachedContents/1",
            "safetySettings": [{"category": "X"}],
            "labels": {"a_b": "c"},
            "toolConfig": {"retrievalConfig": {"languageCode": "de"}},
            "generationConfig": {
                "speechConfig": {"a": 1},
                "responseModalities": ["TEXT"],
                "responseMimeType": "text/x.enum",
                "responseSchema": {"enum": ["a"]},
            },
        }
    )
    assert request.response_format is None
    assert request.extra == (
        Extra("gemini", "cachedContent", "cachedContents/1", True),
        Extra("gemini", "safetySettings", [{"category": "X"}]),
        Extra("gemini", "labels", {"a_b": "c"}),
        Extra("gemini", "toolConfig.retrievalConfig", {"languageCode": "de"}),
        Extra("gemini", "generationConfig.responseMimeType", "text/x.enum", True),
        Extra("gemini", "generationConfig.responseSchema", {"enum": ["a"]}, True),
        Extra("gemini", "generationConfig.speechConfig", {"a": 1}),
        Extra("gemini", "generationConfig.responseModalities", ["TEXT"]),
    )


def test_an_answer_in_pictures_is_another_answer() -> None:
    (extra,) = read({**HI, "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}).extra
    assert extra.content


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            contents({"text": "a", "partMetadata": {}}),
            [("contents.0.parts.0.partMetadata", "part_field")],
        ),
        (
            contents(
                {
                    "inlineData": {"mimeType": "image/png", "data": ""},
                    "mediaResolution": {"level": "MEDIA_RESOLUTION_MEDIUM"},
                }
            ),
            [("contents.0.parts.0.mediaResolution", "part_field")],
        ),
        (
            contents({"inlineData": {"mimeType": "audio/wav", "data": ""}, "thoughtSignature": "c2ln"}),
            [("contents.0.parts.0.thoughtSignature", "media_signature")],
        ),
        (
            contents({"functionResponse": {"name": "a", "response": {}, "scheduling": "SILENT"}}),
            [("contents.0.parts.0.functionResponse.scheduling", "function_response_field")],
        ),
        (
            {**HI, "tools": [{"functionDeclarations": [{"name": "a", "response": {}}]}]},
            [("tools.0.functionDeclarations.0.response", "function_field")],
        ),
        (
            {**HI, "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED", "streamFunctionCallArguments": True}}},
            [
                ("toolConfig.functionCallingConfig.streamFunctionCallArguments", "function_calling_field"),
                ("toolConfig.functionCallingConfig.mode", "function_calling_validated"),
            ],
        ),
        (
            {**HI, "generationConfig": {"thinkingConfig": {"depth": 1}}},
            [("generationConfig.thinkingConfig.depth", "thinking_field")],
        ),
    ],
)
def test_what_a_known_part_has_beside_is_noted(body: Json, expected: list[tuple[str, str]]) -> None:
    assert lost(body) == expected


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"items": value}
    return value


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"),
        ({"contents": "Hi"}, "contents"),
        ({"contents": ["Hi"]}, "contents.0"),
        ({"contents": [{"role": "system", "parts": []}]}, "contents.0.role"),
        ({"contents": [{"role": 1}]}, "contents.0.role"),
        (contents({"text": 1}), "contents.0.parts.0.text"),
        (contents({"thoughtSignature": 1}), "contents.0.parts.0.thoughtSignature"),
        (contents({"inlineData": {"mimeType": "image/png"}}), "contents.0.parts.0.inlineData.data"),
        (contents({"fileData": {}}), "contents.0.parts.0.fileData.fileUri"),
        (contents({"functionCall": {}}), "contents.0.parts.0.functionCall.name"),
        (contents({"functionCall": {"name": "a", "args": "{}"}}), "contents.0.parts.0.functionCall.args"),
        (contents({"functionCall": {"name": "a", "args": nested(300)}}), "contents.0.parts.0.functionCall.args"),
        (contents({"functionResponse": {"response": []}}), "contents.0.parts.0.functionResponse.response"),
        ({**HI, "systemInstruction": "Be terse."}, "systemInstruction"),
        ({**HI, "tools": [{"functionDeclarations": [{}]}]}, "tools.0.functionDeclarations.0.name"),
        (
            {**HI, "tools": [{"functionDeclarations": [{"name": "a", "parameters": nested(100)}]}]},
            "tools.0.functionDeclarations.0.parameters",
        ),
        ({**HI, "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}, "toolConfig.functionCallingConfig.mode"),
        ({**HI, "generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        (
            {**HI, "generationConfig": {"thinkingConfig": {"thinkingLevel": "DEEP"}}},
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (
            {**HI, "generationConfig": {"thinkingConfig": {"thinkingBudget": -2}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
    ],
)
def test_what_is_structurally_wrong_is_named(body: Json, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_request(body, Losses())
    assert (caught.value.status, caught.value.param) == (400, param)
