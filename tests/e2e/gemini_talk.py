"""Conversations of Google's SDK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google import genai
from google.genai import types

from tests.e2e.talk import BUDGET, MAX_TOKENS, Called, Result, Said, Wishes, tool_schema


@dataclass(slots=True)
class GeminiTalk:
    """google-genai"""

    sdk: genai.Client
    model: str
    wishes: Wishes
    stream: bool
    history: list[types.Content] = field(default_factory=list)

    async def say(self, text: str, *, image: bytes = b"", pdf: bytes = b"") -> Said:
        parts = [types.Part.from_text(text=text)]
        if image:
            parts.append(types.Part.from_bytes(data=image, mime_type="image/png"))
        if pdf:
            parts.append(types.Part.from_bytes(data=pdf, mime_type="application/pdf"))
        self.history.append(types.Content(role="user", parts=parts))
        return await self._ask()

    async def give(self, *results: Result) -> Said:
        parts = []
        for result in results:
            blob = types.FunctionResponseBlob(mime_type="image/png", data=result.image)
            given = types.FunctionResponse(
                id=result.call.id or None,
                name=result.call.name,
                response={"error" if result.failed else "output": result.text},
                parts=[types.FunctionResponsePart(inline_data=blob)] if result.image else None,
            )
            parts.append(types.Part(function_response=given))
        self.history.append(types.Content(role="user", parts=parts))
        return await self._ask()

    def _config(self) -> types.GenerateContentConfig:
        wishes = self.wishes
        declared = [
            types.FunctionDeclaration(name=name, parameters_json_schema=tool_schema(name)) for name in wishes.tools
        ]
        config = types.GenerateContentConfig(
            max_output_tokens=MAX_TOKENS, temperature=wishes.temperature, stop_sequences=list(wishes.stop) or None
        )
        config.system_instruction = wishes.system or None
        config.tools = [types.Tool(function_declarations=declared)] if declared else None
        if wishes.choice:
            mode = (
                types.FunctionCallingConfigMode.NONE if wishes.choice == "none" else types.FunctionCallingConfigMode.ANY
            )
            only = None if wishes.choice in ("none", "required") else [wishes.choice]
            calling = types.FunctionCallingConfig(mode=mode, allowed_function_names=only)
            config.tool_config = types.ToolConfig(function_calling_config=calling)
        if wishes.schema:
            config.response_mime_type, config.response_json_schema = "application/json", wishes.schema
        if wishes.thinking:
            config.thinking_config = types.ThinkingConfig(include_thoughts=True, thinking_budget=BUDGET)
        return config

    async def _ask(self) -> Said:
        call: dict[str, Any] = {"model": self.model, "contents": list(self.history), "config": self._config()}
        if self.stream:
            chunks = [chunk async for chunk in await self.sdk.aio.models.generate_content_stream(**call)]
        else:
            chunks = [await self.sdk.aio.models.generate_content(**call)]
        candidates = [chunk.candidates[0] for chunk in chunks if chunk.candidates]
        parts = [part for each in candidates if each.content for part in each.content.parts or ()]
        self.history.append(types.Content(role="model", parts=parts))
        calls = [part.function_call for part in parts if part.function_call]
        usage = next(chunk.usage_metadata for chunk in reversed(chunks) if chunk.usage_metadata)
        thoughts, made = usage.thoughts_token_count or 0, usage.candidates_token_count or 0
        assert usage.prompt_token_count is not None
        assert usage.total_token_count == usage.prompt_token_count + thoughts + made
        return Said(
            "".join(part.text for part in parts if part.text and not part.thought),
            "".join(part.text for part in parts if part.text and part.thought),
            tuple(Called(each.id or "", each.name or "", each.args or {}) for each in calls),
            next((each.finish_reason.value for each in candidates if each.finish_reason), ""),
            (usage.prompt_token_count, usage.cached_content_token_count or 0, made + thoughts, thoughts),
            chunks[-1].model_version or "",
        )
