"""Conversations of Anthropic's SDK."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import anthropic

from tests.e2e.talk import BUDGET, MAX_TOKENS, Called, Result, Said, Wishes, tool_schema


@dataclass(slots=True)
class AnthropicTalk:
    """anthropic.messages"""

    sdk: anthropic.AsyncAnthropic
    model: str
    wishes: Wishes
    stream: bool
    history: list[Any] = field(default_factory=list)

    async def say(self, text: str, *, image: bytes = b"", pdf: bytes = b"") -> Said:
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if image:
            content.insert(0, {"type": "image", "source": _source("image/png", image)})
        if pdf:
            content.insert(0, {"type": "document", "source": _source("application/pdf", pdf)})
        self.history.append({"role": "user", "content": content})
        return await self._ask()

    async def give(self, *results: Result) -> Said:
        blocks = []
        for result in results:
            image = {"type": "image", "source": _source("image/png", result.image)}
            block = {"type": "tool_result", "tool_use_id": result.call.id, "is_error": result.failed}
            blocks.append({**block, "content": [image] if result.image else result.text})
        self.history.append({"role": "user", "content": blocks})
        return await self._ask()

    def _fields(self) -> dict[str, Any]:
        wishes = self.wishes
        fields: dict[str, Any] = {"model": self.model, "messages": self.history, "max_tokens": MAX_TOKENS}
        if wishes.system:
            fields["system"] = wishes.system
        if wishes.tools:
            fields["tools"] = [{"name": name, "input_schema": tool_schema(name)} for name in wishes.tools]
        if wishes.choice:
            kind = {"required": "any", "none": "none"}.get(wishes.choice, "tool")
            fields["tool_choice"] = {"type": kind, **({"name": wishes.choice} if kind == "tool" else {})}
        if wishes.schema:
            fields["output_config"] = {"format": {"type": "json_schema", "schema": wishes.schema}}
        if wishes.thinking:
            shown = {"type": "adaptive", "display": "summarized"}
            fields["thinking"] = shown if wishes.adaptive else {"type": "enabled", "budget_tokens": BUDGET}
        if wishes.stop:
            fields["stop_sequences"] = list(wishes.stop)
        if wishes.temperature is not None:
            fields["extra_body"] = {"temperature": wishes.temperature}
        return fields

    async def _ask(self) -> Said:
        if self.stream:
            async with self.sdk.messages.stream(**self._fields()) as stream:
                texts = [text async for text in stream.text_stream]
                answer: Any = await stream.get_final_message()
            assert "".join(texts) == "".join(block.text for block in answer.content if block.type == "text")
        else:
            answer = await self.sdk.messages.create(**self._fields())
        self.history.append({"role": "assistant", "content": answer.content})
        usage = answer.usage
        read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        details = usage.output_tokens_details
        return Said(
            "".join(block.text for block in answer.content if block.type == "text"),
            "".join(block.thinking for block in answer.content if block.type == "thinking"),
            tuple(Called(block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"),
            answer.stop_reason,
            (usage.input_tokens + read + written, read, usage.output_tokens, details.thinking_tokens if details else 0),
            answer.model,
        )


def _source(media_type: str, data: bytes) -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
