"""What tests of routes share: a gateway with the route `fast` over the providers main and spare, each with one key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.api.harness import CHAT, STREAM, Gateway, Got, gateway
from tests.fakes.anthropic_api import AnthropicApi
from tests.fakes.api import FakeApi
from tests.fakes.gemini_api import GeminiApi
from tests.fakes.openai_api import OpenAIApi
from tests.fakes.provider import FakeProvider

FIRST, SECOND = "sk-first-00000001", "sk-second-0000002"
ROUTE = 'targets = [{ provider = "main", model = "big" }, { provider = "spare", model = "small" }]'
EVERY_CAUSE = (
    'fallback_on = ["exhausted_keys", "rate_limit", "server_error", "timeout", "context_length", "content_filter"]'
)
TO_FAST: dict[str, Any] = {**CHAT, "model": "fast", "max_tokens": 10}
STREAM_FAST: dict[str, Any] = {**STREAM, "model": "fast", "max_tokens": 10}
MODELS = {"main": "big", "spare": "small"}

APIS: dict[str, type[FakeApi]] = {"openai": OpenAIApi, "anthropic": AnthropicApi, "gemini": GeminiApi}
"""By the provider's type, as strict as the real ones. None of them: OpenAI's shapes, with fixed words."""


class Routed:
    """`main` and `spare` are who they are behind the gateway."""

    def __init__(self, running: Gateway, main: FakeProvider, spare: FakeProvider) -> None:
        self.running = running
        self.main = main
        self.spare = spare

    async def ask(self, body: object = TO_FAST, path: str = "/v1/chat/completions", **headers: str) -> Got:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.running.ask("POST", path, body, named)

    @property
    def fallbacks(self) -> list[tuple[str, str, str]]:
        return self.running.fallbacks

    @property
    def asked(self) -> tuple[int, int]:
        """How often main and spare were."""
        return len(self.main.requests), len(self.spare.requests)


def provider(name: str, kind: str, fake: FakeProvider, settings: str, models: str, priority: int, retries: int) -> str:
    google = kind == "gemini"  # the fake has not got its other dialect
    return f"""
[providers.{name}]
type = "{kind}"
base_url = "{f"{fake.origin}/v1beta" if google else fake.base_url}"
{'dialects = ["gemini"]' if google else ""}
prices = "none"
priority = {priority}
models = [{models or f'"{MODELS[name]}"'}]
[providers.{name}.retry]
on_server_error = {{attempts = {retries}, backoff = 0}}
{settings}
"""


@asynccontextmanager
async def routed(
    tmp_path: Path,
    route: str = ROUTE,
    *,
    kinds: tuple[str, str] = ("", ""),
    settings: tuple[str, str] = ("", ""),
    models: str = "",
    priorities: tuple[int, int] = (0, 0),
    retries: int = 0,
    keys: tuple[tuple[str, ...], tuple[str, ...]] = ((FIRST,), (SECOND,)),
    more: str = "",
) -> AsyncIterator[Routed]:
    """`kinds` of main and spare, see APIS; `settings` are tables of theirs, `models` what both list instead of one of
    their own; without `route` there is none."""
    async with AsyncExitStack() as stack:
        fakes = [await stack.enter_async_context(FakeProvider(api=APIS[kind]() if kind else None)) for kind in kinds]
        text = '[server]\nlisten = ["127.0.0.1:0"]\n'
        for name, kind, fake, own, priority in zip(MODELS, kinds, fakes, settings, priorities, strict=True):
            text += provider(name, kind or "openai", fake, own, models, priority, retries)
        text += f"[routes.fast]\n{route}\n{more}" if route else more
        of = dict(zip(MODELS, keys, strict=True))
        yield Routed(await stack.enter_async_context(gateway(tmp_path, text, of)), *fakes)
