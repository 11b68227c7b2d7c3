"""The stage for the official SDKs: a gateway, four providers behind it, three SDKs with another base URL.

The providers are strict fakes (`tests/fakes/api.py`): they refuse what the real ones refuse and verify what they have
signed. The model behind them does what the user's text says (`tests/fakes/script.py`), and `see` makes it tell what it
was given, so that one scenario serves all pairs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.api.harness import Gateway, gateway
from tests.e2e.anthropic_talk import AnthropicTalk
from tests.e2e.gemini_talk import GeminiTalk
from tests.e2e.openai_talks import BareChatTalk, ChatTalk, ResponsesTalk
from tests.e2e.talk import Said, Talk, Wishes
from tests.fakes.anthropic_api import AnthropicApi
from tests.fakes.api import FakeApi
from tests.fakes.gemini_api import GeminiApi
from tests.fakes.openai_api import OpenAIApi
from tests.fakes.provider import FakeProvider

CLIENTS = ("chat", "responses", "anthropic", "gemini")
PROVIDERS = ("chat", "responses", "anthropic", "gemini")
PLAIN = {"chat": "gpt-4o", "responses": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}
THINKING = (
    ("chat", "gpt-5"),
    ("responses", "gpt-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-7"),
    ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-3-pro-preview"),
    ("gemini", "gemini-3.5-flash"),
)
OTHERS = {"chat": "gpt-5", "responses": "gpt-5", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-3.5-flash"}

every_client = pytest.mark.parametrize("client", CLIENTS)
every_provider = pytest.mark.parametrize("provider", PROVIDERS)
streamed_and_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

RETRIES = """
[providers.{0}.retry]
on_server_error = {{attempts = 2, backoff = 0}}
"""
CONFIG = """
[server]
listen = ["127.0.0.1:0"]
[providers.chat]
type = "openai"
models = ["gpt-4o", "gpt-5"]
base_url = "{chat}/v1"
dialects = ["openai_chat"]
[providers.responses]
type = "openai"
base_url = "{chat}/v1"
dialects = ["openai_responses"]
[providers.anthropic]
type = "anthropic"
models = ["claude-sonnet-4-5"]
base_url = "{anthropic}"
[providers.gemini]
type = "gemini"
models = ["gemini-2.5-flash"]
base_url = "{gemini}"
dialects = ["gemini"]
"""


TALKS: dict[str, type[Any]] = {
    "chat": ChatTalk,
    "bare chat": BareChatTalk,
    "responses": ResponsesTalk,
    "anthropic": AnthropicTalk,
    "gemini": GeminiTalk,
}


@dataclass(slots=True)
class Sdks:
    """The three SDKs, with nothing but their base URL changed."""

    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic
    gemini: genai.Client

    @classmethod
    def at(cls, address: str) -> Sdks:
        return cls(
            openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="anything", max_retries=0),
            anthropic.AsyncAnthropic(base_url=address, api_key="anything", max_retries=0),
            genai.Client(api_key="anything", http_options=types.HttpOptions(base_url=address)),
        )

    def talk(self, client: str, model: str, wishes: Wishes, *, stream: bool) -> Talk:
        sdk = {"anthropic": self.anthropic, "gemini": self.gemini}.get(client, self.openai)
        made: Talk = TALKS[client](sdk, model, wishes, stream)
        return made

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()
        await self.gemini.aio.aclose()
        self.gemini.close()


@dataclass(slots=True)
class Stage:
    """A gateway, the providers behind it, the SDKs before it; they live in one loop."""

    runner: asyncio.Runner
    sdks: Sdks
    fakes: dict[str, FakeProvider]
    apis: dict[str, Any]
    running: Gateway

    def run(self, scenario: Awaitable[Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(20):
                return await scenario

        return self.runner.run(bounded())


def open_stage(folder: Path, more: str = "") -> Iterator[Stage]:
    """Closes it, too. `more`: settings of every provider, with its name as `{0}`."""
    apis: dict[str, FakeApi] = {"chat": OpenAIApi(), "anthropic": AnthropicApi(), "gemini": GeminiApi()}
    fakes = {name: FakeProvider(api=api) for name, api in apis.items()}
    keys = {name: [f"sk-{name}-0000000000000001"] for name in PROVIDERS}
    with asyncio.Runner() as runner:
        for fake in fakes.values():
            runner.run(fake.__aenter__())
        config = CONFIG.format(**{name: fake.origin for name, fake in fakes.items()})
        config += "".join((RETRIES + more).format(name) for name in PROVIDERS)
        inside = gateway(folder, config, keys)
        running = runner.run(inside.__aenter__())
        sdks = Sdks.at(f"http://{running.server.addresses()[0]}")
        yield Stage(runner, sdks, fakes, {**apis, "responses": apis["chat"]}, running)
        runner.run(sdks.close())
        runner.run(inside.__aexit__(None, None, None))
        for fake in fakes.values():
            runner.run(fake.__aexit__())


def heard(said: Said) -> dict[str, Any]:
    """What the model behind the provider was given."""
    seen: dict[str, Any] = json.loads(said.text)
    return seen


FINISHES: dict[str, dict[str, str]] = {
    "end": {"chat": "stop", "responses": "completed", "anthropic": "end_turn", "gemini": "STOP"},
    "tools": {"chat": "tool_calls", "responses": "completed", "anthropic": "tool_use", "gemini": "STOP"},
    "length": {"chat": "length", "responses": "max_output_tokens", "anthropic": "max_tokens", "gemini": "MAX_TOKENS"},
    "filter": {"chat": "content_filter", "responses": "content_filter", "anthropic": "refusal", "gemini": "SAFETY"},
}
