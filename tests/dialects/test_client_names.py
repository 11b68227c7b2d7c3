"""What is lost, or wrong, is named as the client calls it, by a path that its own body has."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import jsonlib
from gateway.dialects.client_names import client_name
from gateway.dialects.conversation import Image, Part, Request, Text, Thinking, ToolCall, ToolResult
from gateway.dialects.gemini.protojson import camel
from gateway.dialects.losses import Losses
from gateway.dialects.registry import load_dialect
from gateway.errors import RequestError
from tests.dialects.cases import CASES
from tests.dialects.losing import CHAT_TOOL, LOSING, SCHEMA, anthropic, chat, gemini, responses, user
from tests.dialects.neutral import requests
from tests.dialects.pairs import MODELS, NAMES, PAIRS, Json, read, write


def found(body: Any, path: str) -> Any:
    """What a path leads to in a client's body. Raises for a path that leads nowhere."""
    for name in path.split("."):
        if isinstance(body, dict) and name not in body:
            body = camel(body)
        body = body[int(name) if isinstance(body, list) else name]
    return body


def named(client: str, provider: str, body: Json, model: str = "") -> list[str]:
    """The names of all that is lost; of what is refused, its own."""
    losses = Losses()
    request = read(client, body, losses)
    losses.name = partial(client_name, request=request, body=body, names=load_dialect(client).client_names)  # type: ignore[arg-type]
    try:
        write(provider, request, losses, model=model)
    except RequestError as error:
        return [*(loss.path for loss in losses.entries), str(error.param)]
    return [loss.path for loss in losses.entries]


PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
IMAGE_FILE = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
CHAT_FILE = {"type": "file", "file": {"file_id": "file-1"}}
CALL = {"functionCall": {"name": "f", "args": {}}}
THOUGHT = {"type": "thinking", "thinking": "Hm", "signature": "abc"}
RESPONSES_FILE = {"type": "input_image", "file_id": "f"}
STRICT = {"type": "function", "name": "f", "strict": True}
SAID = {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
GEMINI_FILE = {"fileData": {"mimeType": "image/png", "fileUri": "files/1"}}


@pytest.mark.parametrize(
    ("client", "provider", "body", "path"),
    [
        ("anthropic", "openai_chat", anthropic(user(IMAGE_FILE)), "messages.0.content.0"),
        ("anthropic", "openai_chat", anthropic(user(IMAGE_FILE), system="Be brief."), "messages.0.content.0"),
        ("anthropic", "openai_responses", anthropic(top_k=5), "top_k"),
        (
            "anthropic",
            "gemini",
            anthropic(thinking={"type": "enabled", "budget_tokens": 60_000}, max_tokens=64_000),
            "thinking.budget_tokens",
        ),
        ("anthropic", "openai_chat", anthropic(output_config={"effort": "max"}), "output_config.effort"),
        ("anthropic", "openai_responses", anthropic(stop_sequences=["END"]), "stop_sequences"),
        ("anthropic", "gemini", anthropic(metadata={"user_id": "u"}), "metadata.user_id"),
        (
            "anthropic",
            "gemini",
            anthropic(system=[{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]),
            "system.0.cache_control",
        ),
        (
            "anthropic",
            "openai_chat",
            anthropic(user({"type": "tool_result", "tool_use_id": "t", "content": [IMAGE_FILE]})),
            "messages.0.content.0.content.0",
        ),
        (
            "anthropic",
            "openai_chat",
            anthropic({"role": "user", "content": "Hi"}, {"role": "assistant", "content": [THOUGHT]}),
            "messages.1.content.0",
        ),
        ("openai_chat", "anthropic", chat(user({"type": "text", "text": "See"}, CHAT_FILE)), "messages.0.content.1"),
        ("openai_chat", "anthropic", chat(n=2), "n"),
        ("openai_chat", "anthropic", chat(prompt_cache_key="k"), "prompt_cache_key"),
        ("openai_chat", "anthropic", chat(max_completion_tokens=10**6), "max_completion_tokens"),
        ("openai_chat", "anthropic", chat(temperature=1.5), "temperature"),
        ("openai_chat", "gemini", chat({"role": "user", "content": "Hi", "name": "ann"}), "messages.0.name"),
        ("openai_chat", "gemini", chat(reasoning={"max_tokens": 40_000}), "reasoning.max_tokens"),
        (
            "openai_chat",
            "anthropic",
            chat(tools=[{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}]),
            "tools.0.function.strict",
        ),
        ("openai_chat", "anthropic", chat({"role": "system", "content": "Only this."}), "messages.0.role"),
        (
            "openai_chat",
            "anthropic",
            chat(
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "no"}}]},
                tools=[CHAT_TOOL],
            ),
            "messages.1.tool_calls.0.function.arguments",
        ),
        ("gemini", "openai_chat", gemini({"parts": [{"text": "See"}, GEMINI_FILE]}), "contents.0.parts.1"),
        ("gemini", "anthropic", gemini(generationConfig={"candidateCount": 2}), "generationConfig.candidateCount"),
        ("gemini", "openai_chat", gemini(generation_config={"top_k": 2}), "generationConfig.topK"),
        ("gemini", "anthropic", gemini(generationConfig={"seed": 2}), "generationConfig.seed"),
        ("gemini", "anthropic", gemini(generationConfig={"logprobs": 2}), "generationConfig.logprobs"),
        (
            "gemini",
            "openai_chat",
            gemini(
                {"parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"text": "A"}]},
                {"role": "model", "parts": [{"text": ""}, {"text": "B"}, CALL]},
                {"parts": [{"functionResponse": {"name": "f", "response": {"error": "Broken"}}}]},
                {"parts": [GEMINI_FILE]},
            ),
            "contents.3.parts.0.functionResponse.response.error",
        ),
        (
            "gemini",
            "openai_chat",
            gemini(
                {"role": "model", "parts": [{"text": "A"}]},
                {"role": "model", "parts": [{"text": "B"}]},
                {"parts": [GEMINI_FILE]},
            ),
            "contents.2.parts.0",
        ),
        ("openai_responses", "anthropic", responses(SAID, text={"verbosity": "low"}), "text.verbosity"),
        ("openai_responses", "anthropic", responses(user(RESPONSES_FILE)), "input.0.content.0"),
        (
            "openai_responses",
            "anthropic",
            responses(
                SAID,
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "d", "name": "f", "arguments": "no"},
                instructions="Be brief.",
            ),
            "input.2.arguments",
        ),
        (
            "openai_responses",
            "openai_chat",
            responses(
                SAID,
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "1"}]},
                {"type": "reasoning", "summary": [], "encrypted_content": "bGxtZzE6"},
                user({"type": "input_file", "file_url": "https://example.com/a.pdf"}),
            ),
            "input.4.content.0",
        ),
        ("openai_responses", "openai_chat", responses(input=[]), "input"),
        (
            "openai_responses",
            "gemini",
            responses(tools=[{"type": "namespace", "name": "n", "tools": [STRICT]}]),
            "tools.0.tools.0.strict",
        ),
    ],
)  # fmt: skip
def test_a_loss_has_the_clients_name(client: str, provider: str, body: Json, path: str) -> None:
    assert path in named(client, provider, body)


def test_tools_that_are_called_otherwise_are_no_loss() -> None:
    namespace = {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]}
    for provider in NAMES[2:]:
        assert named("openai_responses", provider, responses(tools=[namespace])) == []
    name = "a tool's name"
    assert named("openai_chat", "anthropic", chat(tools=[{"type": "function", "function": {"name": name}}])) == []


BODIES = [(client, body) for client in NAMES for body in LOSING[client]] + [
    (client, body) for case in CASES.values() for client, body in case.asks.items()
]


@pytest.mark.parametrize(("client", "body"), BODIES)
def test_what_is_named_is_in_the_clients_body(client: str, body: Json) -> None:
    for provider in NAMES:
        for model in MODELS[provider] if provider != client else ():
            for path in named(client, provider, body, model):
                assert path == "model" or found(body, path) is not None


@given(st.sampled_from(PAIRS), requests())
def test_what_is_named_of_any_request_is_in_the_clients_body(pair: tuple[str, str], request: Request) -> None:
    client, provider = pair
    body = write(client, request).body
    for path in named(client, provider, body):
        assert found(body, path) is not None


def essence(part: Part) -> list[str]:
    """Words that stand in whatever a part was read from."""
    match part:
        case Text(text) | Thinking(text):
            return [jsonlib.dumps(text).decode()[1:-1]]
        case ToolCall():
            return [part.name]
        case Image():
            return [part.source.value]
        case ToolResult():
            return [word for each in part.parts if not isinstance(each, Text) for word in essence(each)]
    return []


@pytest.mark.parametrize("client", NAMES)
@given(request=requests())
def test_every_part_knows_where_it_stood(client: str, request: Request) -> None:
    body = write(client, request).body
    for message in read(client, body).messages:
        for part in message.parts:
            inside = part.parts if isinstance(part, ToolResult) else ()
            for each in (part, *inside):
                assert each.where
                there = jsonlib.dumps(found(body, each.where)).decode()
                assert all(word in there for word in essence(each))


@pytest.mark.parametrize("client", NAMES)
@given(request=requests())
def test_every_tool_knows_where_it_stood(client: str, request: Request) -> None:
    body = write(client, request).body
    for tool in read(client, body).tools:
        assert f'"{tool.name}"' in jsonlib.dumps(found(body, tool.where)).decode()  # type: ignore[union-attr]


@pytest.mark.parametrize("client", NAMES)
@given(path=st.lists(st.sampled_from(["messages", "parts", "tools", "0", "7", "x", "sampling", ""])).map(".".join))
def test_a_path_that_nobody_knows_is_some_name(client: str, path: str) -> None:
    body = CASES["tools"].asks[client]
    request = read(client, body)
    assert isinstance(client_name(path, request, body, load_dialect(client).client_names), str)  # type: ignore[arg-type]
