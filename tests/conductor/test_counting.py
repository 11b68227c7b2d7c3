"""Counts of tokens by a provider that speaks another dialect than the client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import Got, configuration, gateway
from tests.conftest import run
from tests.fakes import script
from tests.fakes.anthropic_api import AnthropicApi
from tests.fakes.behaviours import Answer, Behaviour, server_error
from tests.fakes.gemini_api import GeminiApi
from tests.fakes.provider import FakeProvider

TOOL = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
CONTENTS: dict[str, Any] = {
    "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
    "systemInstruction": {"parts": [{"text": "Be kind."}]},
    "tools": [{"functionDeclarations": [TOOL]}],
}
WRAPPED = {"generateContentRequest": {"model": "models/m", "generationConfig": {"temperature": 1}, **CONTENTS}}
MESSAGES: dict[str, Any] = {
    "model": "m",
    "system": "Be kind.",
    "messages": [{"role": "user", "content": "hi"}],
    "tools": [{"name": "look", "input_schema": TOOL["parameters"]}],
}
COUNT = "/v1beta/models/m:countTokens"
COUNT_MESSAGES = "/v1/messages/count_tokens"
CALLS = [
    ("anthropic", "claude-sonnet-4-5", COUNT, CONTENTS, "totalTokens"),
    ("anthropic", "claude-sonnet-4-5", COUNT, WRAPPED, "totalTokens"),
    ("gemini", "gemini-2.5-flash", COUNT_MESSAGES, MESSAGES, "input_tokens"),
]


async def ask(folder: Path, kind: str, model: str, path: str, body: object, behaviour: Behaviour | None = None) -> Any:
    """What the client got, and the calls that the provider saw."""
    async with FakeProvider(api=AnthropicApi() if kind == "anthropic" else GeminiApi()) as fake:
        config = configuration(fake.base_url, provider=f'models = ["m={model}"]').replace('"openai"', f'"{kind}"')
        async with gateway(folder, config, ["sk-1"]) as running:
            if behaviour is not None:
                fake.script("sk-1", behaviour)
            got: Got = await running.ask("POST", path, body)
            return got, fake.requests


@pytest.mark.parametrize(("kind", "model", "path", "body", "field"), CALLS)
def test_the_provider_counts_for_clients_of_the_other_dialect(
    tmp_path: Path, kind: str, model: str, path: str, body: object, field: str
) -> None:
    got, (seen,) = run(ask(tmp_path, kind, model, path, body))
    assert (got.status, got.json) == (200, {field: script.INPUT})
    assert got.header("x-llmgateway-estimated") is None
    asked = seen.json if kind == "anthropic" else seen.json["generateContentRequest"]
    assert set(asked) & {"max_tokens", "temperature", "stream"} == set()
    assert asked["model"] == (model if kind == "anthropic" else f"models/{model}")
    assert "Be kind." in str(asked) and "look" in str(asked["tools"])


@pytest.mark.parametrize("wrap", [False, True])
def test_what_is_not_counted_is_named(tmp_path: Path, wrap: bool) -> None:
    asked = {**CONTENTS, "generationConfig": {"seed": 1}, "labels": {"a": "b"}}
    body = {"generateContentRequest": asked} if wrap else asked
    got, _ = run(ask(tmp_path, "anthropic", "claude-sonnet-4-5", COUNT, body))
    assert (got.status, got.header("x-llmgateway-dropped")) == (200, "generationConfig.seed, labels")


def test_nothing_is_named_where_all_is_counted(tmp_path: Path) -> None:
    got, _ = run(ask(tmp_path, "gemini", "gemini-2.5-flash", COUNT_MESSAGES, MESSAGES))
    assert (got.status, got.header("x-llmgateway-dropped")) == (200, None)


def test_what_cannot_be_said_to_the_provider_is_estimated(tmp_path: Path) -> None:
    image = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [image]}]}
    got, requests = run(ask(tmp_path, "gemini", "gemini-2.5-flash", COUNT_MESSAGES, body))
    assert (got.status, got.header("x-llmgateway-estimated"), requests) == (200, "true", [])


def test_an_answer_without_a_count_is_the_providers_failure(tmp_path: Path) -> None:
    got, _ = run(ask(tmp_path, "anthropic", "claude-opus-4-5", COUNT, CONTENTS, Answer(200, {"input_tokens": "many"})))
    assert (got.status, got.json["error"]["details"][0]["reason"]) == (502, "UPSTREAM_ERROR")


def test_a_failure_is_in_the_clients_shape(tmp_path: Path) -> None:
    got, _ = run(ask(tmp_path, "anthropic", "claude-opus-4-5", COUNT, CONTENTS, server_error(529)))
    assert (got.status, got.json["error"]["status"]) == (503, "UNAVAILABLE")
