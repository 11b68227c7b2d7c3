"""The fake APIs refuse what the real ones refuse, and take what those took."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.anthropic_api import AnthropicApi
from tests.fakes.anthropic_rules import check_request as check_messages
from tests.fakes.api import Asked, FakeApi, RefusedError, Spoken
from tests.fakes.gemini_api import GeminiApi
from tests.fakes.gemini_rules import check_request as check_generate
from tests.fakes.openai_api import OpenAIApi
from tests.fakes.openai_chat import check_request as check_chat
from tests.fakes.openai_responses import check_request as check_responses
from tests.fakes.script import sign

MESSAGES, CHAT, RESPONSES = "/v1/messages", "/v1/chat/completions", "/v1/responses"
GENERATE = "/v1beta/models/gemini-3-pro-preview:generateContent"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASK = 'DO think Hm. | call weather {"city": "Rome"} // say Sunny.'
BODIES: dict[str, dict[str, Any]] = {
    MESSAGES: {
        "model": "claude-sonnet-4-5",
        "max_tokens": 4096,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": [{"role": "user", "content": ASK}],
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
    },
    CHAT: {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": ASK}],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}],
    },
    RESPONSES: {
        "model": "gpt-5",
        "input": [{"role": "user", "content": ASK}],
        "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA}],
    },
    GENERATE: {
        "contents": [{"role": "user", "parts": [{"text": ASK}]}],
        "tools": [{"functionDeclarations": [{"name": "weather", "parameters": SCHEMA}]}],
    },
}
APIS: dict[str, type[FakeApi]] = {
    MESSAGES: AnthropicApi, CHAT: OpenAIApi, RESPONSES: OpenAIApi, GENERATE: GeminiApi,
}  # fmt: skip


def ask(api: FakeApi, path: str, body: dict[str, Any], **query: str) -> Spoken:
    return api.answer(Asked("POST", path, query, {"anthropic-version": "2023-06-01"}, body, 1))


def whole(spoken: Spoken) -> Any:
    return json.loads(b"".join(spoken.pieces))


def refusal(path: str, body: dict[str, Any]) -> str:
    spoken = ask(APIS[path](), path, body)
    assert spoken.status == 400, spoken
    return str(whole(spoken)["error"]["message"])


@pytest.mark.parametrize("path", BODIES)
def test_a_script_is_played_turn_by_turn(path: str) -> None:
    api = APIS[path]()
    first = ask(api, path, BODIES[path])
    assert first.status == 200, first
    assert b"weather" in first.pieces[0] and b"Sunny" not in first.pieces[0]
    second = ask(api, path, {**BODIES[path], **_answered(path, whole(first))})
    assert second.status == 200, second
    assert b"Sunny." in second.pieces[0]
    assert len(api.verified) == (path != CHAT)


def _answered(path: str, first: dict[str, Any]) -> dict[str, Any]:
    """The conversation after the tool has answered."""
    body = BODIES[path]
    if path == MESSAGES:
        result = {"type": "tool_result", "tool_use_id": first["content"][1]["id"], "content": "21"}
        return {
            "messages": [
                *body["messages"],
                {"role": "assistant", "content": first["content"]},
                {"role": "user", "content": [result]},
            ]
        }
    if path == CHAT:
        message = first["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "21"}
        return {"messages": [*body["messages"], message, result]}
    if path == RESPONSES:
        output = first["output"]
        result = {"type": "function_call_output", "call_id": output[1]["call_id"], "output": "21"}
        return {"input": [*body["input"], *output, result]}
    result = {"functionResponse": {"name": "weather", "response": {"output": "21"}}}
    return {"contents": [*body["contents"], first["candidates"][0]["content"], {"role": "user", "parts": [result]}]}


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        (MESSAGES, {"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        (MESSAGES, {"n": 1}, "n: Extra inputs are not permitted"),
        (MESSAGES, {"messages": []}, "at least one message"),
        (MESSAGES, {"temperature": 0.5}, "may only be set to 1 when thinking"),
        (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 4096}}, "greater than `thinking.budget_tokens`"),
        (MESSAGES, {"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported"),
        (MESSAGES, {"tool_choice": {"type": "any"}}, "Thinking may not be enabled when tool_choice forces tool use"),
        (MESSAGES, {"thinking": {"type": "disabled"}, "temperature": 1.5}, "temperature: range: 0..1"),
        (MESSAGES, {"thinking": {"type": "disabled"}, "temperature": 1, "top_p": 1}, "cannot both be specified"),
        (MESSAGES, {"stop_sequences": [" "]}, "non-whitespace"),
        (MESSAGES, {"tools": [{"name": "a b", "input_schema": SCHEMA}]}, "tools.0.custom.name"),
        (CHAT, {"thinking": {}}, "Unknown parameter: 'thinking'"),
        (CHAT, {"max_tokens": 10}, "'max_tokens' is not supported with this model"),
        (CHAT, {"temperature": 0.5}, "'temperature' is not supported"),
        (CHAT, {"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
        (CHAT, {"tools": []}, "empty array"),
        (CHAT, {"response_format": {"type": "json_object"}}, "must contain the word 'json'"),
        (CHAT, {"messages": [{"role": "assistant", "content": "x", "thinking_blocks": []}]}, "thinking_blocks"),
        (RESPONSES, {"messages": []}, "Unknown parameter: 'messages'"),
        (RESPONSES, {"max_output_tokens": 5}, "Expected a value >= 16"),
        (RESPONSES, {"model": "gpt-4o", "reasoning": {"effort": "low"}}, "'reasoning.effort' is not supported"),
        (GENERATE, {"foo": 1}, 'Unknown name "foo"'),
        (GENERATE, {"contents": []}, "contents is not specified"),
        (GENERATE, {"contents": [{"parts": [{}]}]}, "required oneof field 'data'"),
        (GENERATE, {"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}, "Name cannot be empty"),
        (GENERATE, {"contents": [{"role": "tool", "parts": [{"text": "x"}]}]}, "valid role: user, model"),
        (
            GENERATE,
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low", "thinkingBudget": 1}}},
            "only one of thinking budget and thinking level",
        ),
        (GENERATE, {"generationConfig": {"responseSchema": SCHEMA}}, "mimetype must be application/json"),
    ],
)
def test_a_request_is_refused_as_the_real_api_refuses_it(path: str, change: dict[str, Any], words: str) -> None:
    assert words in refusal(path, {**BODIES[path], **change})


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}, "Cannot find field"),
        ({"type": "object", "additionalProperties": False}, 'Unknown name "additionalProperties"'),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "items: missing field"),
        ({"type": "object", "properties": {"a": {"type": "integer", "enum": ["1"]}}}, "only allowed for STRING"),
        ({"type": "object", "properties": {"a": {"description": "?"}}}, "schema type field"),
        ({"type": "object", "required": ["a"]}, "property is not defined"),
    ],
)
def test_gemini_refuses_schemas_that_it_has_no_words_for(schema: dict[str, Any], words: str) -> None:
    tools = [{"functionDeclarations": [{"name": "weather", "parameters": schema}]}]
    assert words in refusal(GENERATE, {**BODIES[GENERATE], "tools": tools})


THINKS = {"type": "thinking", "thinking": "Hm.", "signature": sign("anthropic", "Hm.")}
USES = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
GAVE = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21"}


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([[THINKS, USES], [{"type": "text", "text": "Well?"}]], "without `tool_result` blocks immediately after"),
        ([[THINKS], [GAVE]], "unexpected `tool_use_id`"),
        ([[USES], [GAVE]], "Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
        ([[{**THINKS, "thinking": ""}, USES], [GAVE]], "Invalid `signature` in `thinking` block"),
        ([[{**THINKS, "signature": "foreign"}, USES], [GAVE]], "Invalid `signature` in `thinking` block"),
        ([[THINKS, {**USES, "id": "call.1"}], [{**GAVE, "tool_use_id": "call.1"}]], "should match pattern"),
        ([[THINKS, {**USES, "input": "{}"}], [GAVE]], "valid dictionary"),
        ([[THINKS, USES], [{"type": "text", "text": "Look:"}, GAVE]], "must come before all other content"),
        ([[THINKS, {"type": "text", "text": ""}, USES], [GAVE]], "must be non-empty"),
    ],
)
def test_anthropic_refuses_tool_loops_with_a_piece_missing(turns: list[Any], words: str) -> None:
    said = [{"role": role, "content": turn} for role, turn in zip(("assistant", "user"), turns, strict=True)]
    assert words in refusal(MESSAGES, {**BODIES[MESSAGES], "messages": [*BODIES[MESSAGES]["messages"], *said]})


CALLS = {"functionCall": {"name": "weather", "args": {"city": "Rome"}}}
SIGNED = {**CALLS, "thoughtSignature": sign("gemini", 'weather{"city":"Rome"}')}
ANSWERS = {"functionResponse": {"name": "weather", "response": {"output": "21"}}}


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([[CALLS], [ANSWERS]], "missing a thought_signature"),
        ([[{**SIGNED, "thoughtSignature": "Zm9v"}], [ANSWERS]], "Thought signature is not valid"),
        ([[{**SIGNED, "thoughtSignature": "?"}], [ANSWERS]], "base64"),
        ([[SIGNED, CALLS], [ANSWERS]], "number of function response parts is equal"),
        ([[SIGNED], [{"text": "Well?"}]], "number of function response parts is equal"),
        ([[SIGNED], [{"functionResponse": {"name": "clock", "response": {}}}]], "order of their function calls"),
        ([[SIGNED], [{"functionResponse": {"name": "weather", "response": "21"}}]], "dictionary"),
    ],
)
def test_gemini_refuses_tool_loops_with_a_piece_missing(turns: list[Any], words: str) -> None:
    said = [{"role": role, "parts": turn} for role, turn in zip(("model", "user"), turns, strict=True)]
    assert words in refusal(GENERATE, {**BODIES[GENERATE], "contents": [*BODIES[GENERATE]["contents"], *said]})


CALLED = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOLD = {"role": "tool", "tool_call_id": "call_1", "content": "21"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([TOLD], "must be a response to a preceeding message"),
        ([{"role": "assistant", "tool_calls": [CALLED]}], "must be followed by tool messages"),
        ([{"role": "assistant", "tool_calls": [{**CALLED, "id": "c" * 41}]}], "maximum length 40"),
        ([{"role": "assistant", "tool_calls": [{**CALLED, "function": {"name": "w", "arguments": {}}}]}], "arguments"),
        ([{"role": "assistant", "content": None}], "expected a string, got null"),
    ],
)
def test_chat_completions_refuses_tool_loops_with_a_piece_missing(said: list[Any], words: str) -> None:
    assert words in refusal(CHAT, {**BODIES[CHAT], "messages": [*BODIES[CHAT]["messages"], *said]})


FUNCTION_CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([{"type": "function_call_output", "call_id": "call_1", "output": "21"}], "No tool call found"),
        ([FUNCTION_CALL], "No tool output found"),
        ([{**FUNCTION_CALL, "id": "call_1"}], "begins with 'fc'"),
        ([{**FUNCTION_CALL, "call_id": "c" * 65}], "maximum length 64"),
        ([{**REASONING, "encrypted_content": "foreign"}], "could not be verified"),
        ([{**REASONING, "encrypted_content": f"rs_2~{sign('openai', 'rs_2')}"}], "could not be verified"),
        ([{**REASONING, "encrypted_content": f"rs_1~{sign('openai', 'rs_1')}"}], "required following item"),
        ([REASONING], "not found"),
    ],
)
def test_responses_refuses_items_that_belong_to_nothing(said: list[Any], words: str) -> None:
    assert words in refusal(RESPONSES, {**BODIES[RESPONSES], "input": [*BODIES[RESPONSES]["input"], *said]})


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("command", ["fail rate", "fail bad", "fail server", "fail overloaded", "break"])
def test_failures_have_the_providers_statuses(path: str, command: str) -> None:
    statuses = {"fail rate": 429, "fail bad": 400, "fail server": 500, "fail overloaded": 503, "break": 500}
    overloaded = path == MESSAGES and command == "fail overloaded"
    body = json.loads(json.dumps(BODIES[path]).replace(json.dumps(ASK)[1:-1], f"DO {command}"))
    spoken = ask(APIS[path](), path, body)
    assert spoken.status == (529 if overloaded else statuses[command])
    assert "error" in whole(spoken)


def test_a_gemini_stream_is_events_or_one_array() -> None:
    path = GENERATE.replace(":generate", ":streamGenerate")
    events = ask(GeminiApi(), path, BODIES[GENERATE], alt="sse")
    array = ask(GeminiApi(), path, BODIES[GENERATE])
    chunks = [json.loads(piece.removeprefix(b"data: ")) for piece in events.pieces]
    assert whole(array) == chunks
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


TRAFFIC = Path(os.environ.get("LLMGATEWAY_TRAFFIC", Path(__file__).parents[3] / "shared" / "traffic"))
STRICTER_HERE = re.compile(
    r"signature|encrypted|Items are not persisted"  # of the real provider
    r"|output_format|context_management|input_schema: Field required|content: Input should be a valid string"  # betas
    r"|systemInstruction|safetySettings|parsed_arguments|status|top_p|\.index'|toolConfig"  # undocumented
    r"|cache_control|\.reasoning|tools\[0\].name|with this model"  # of servers that are not OpenAI's
    r"|base64|Expected a value >= 16"
)
"""What some recorded request has that the fake does not take."""


def recorded() -> Iterator[dict[str, Any]]:
    for provider in ("anthropic", "openai", "gemini"):
        for line in (TRAFFIC / f"{provider}.jsonl").read_text("utf-8").splitlines():
            record = json.loads(line)
            if record["status"] == 200 and record["method"] == "POST" and isinstance(record.get("request_body"), dict):
                yield record


@pytest.mark.skipif(not TRAFFIC.is_dir(), reason="no recordings here")
def test_what_the_real_apis_took_is_taken() -> None:
    taken, refused = 0, []
    for record in recorded():
        check: Callable[[dict[str, Any]], None] | None
        body, check = record["request_body"], None
        match record["endpoint"]:
            case "messages":
                check = check_messages
            case "chat":
                check = check_chat
            case "responses" if "model" in body:
                check = check_responses
            case "generateContent" if isinstance(body.get("tools", []), list):
                model = re.split("models/|:", record["path"])[1]
                check = lambda body, model=model: check_generate(body, model)  # noqa: E731
        if check is None:
            continue
        try:
            check(body)
        except RefusedError as error:
            if not STRICTER_HERE.search(error.message):
                refused.append((record["id"], error.message))
        else:
            taken += 1
    assert not refused
    assert taken > 450
