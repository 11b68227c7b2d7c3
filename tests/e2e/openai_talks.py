"""Conversations of OpenAI's SDK: Chat Completions and Responses.

Clients of Chat Completions that write their messages themselves, from the fields that OpenAI documents, are
`BareChatTalk`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import openai
from openai.types.chat import ChatCompletionStreamOptionsParam

from tests.e2e.talk import MAX_TOKENS, Called, Result, Said, Wishes, tool_schema


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@dataclass(slots=True)
class ChatTalk:
    """openai.chat.completions"""

    sdk: openai.AsyncOpenAI
    model: str
    wishes: Wishes
    stream: bool
    history: list[Any] = field(default_factory=list)

    async def say(self, text: str, *, image: bytes = b"", pdf: bytes = b"") -> Said:
        if not self.history and self.wishes.system:
            self.history.append({"role": "system", "content": self.wishes.system})
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if image:
            content.append({"type": "image_url", "image_url": {"url": data_url("image/png", image)}})
        if pdf:
            file = {"filename": "a.pdf", "file_data": data_url("application/pdf", pdf)}
            content.append({"type": "file", "file": file})
        self.history.append({"role": "user", "content": content if image or pdf else text})
        return await self._ask()

    async def give(self, *results: Result) -> Said:
        for result in results:
            self.history.append({"role": "tool", "tool_call_id": result.call.id, "content": result.text})
        return await self._ask()

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any]
        wishes, fields = self.wishes, {"model": self.model, "messages": self.history}
        fields["max_completion_tokens"] = MAX_TOKENS
        if wishes.tools:
            functions = [{"name": name, "parameters": tool_schema(name)} for name in wishes.tools]
            fields["tools"] = [{"type": "function", "function": function} for function in functions]
        if wishes.choice:
            named = {"type": "function", "function": {"name": wishes.choice}}
            fields["tool_choice"] = wishes.choice if wishes.choice in ("required", "none") else named
        if wishes.schema:
            described = {"name": "answer", "schema": wishes.schema, "strict": True}
            fields["response_format"] = {"type": "json_schema", "json_schema": described}
        if wishes.thinking:
            fields["reasoning_effort"] = "low"
        if wishes.stop:
            fields["stop"] = list(wishes.stop)
        if wishes.temperature is not None:
            fields["temperature"] = wishes.temperature
        return fields

    async def _ask(self) -> Said:
        answer: Any
        if self.stream:
            usage: ChatCompletionStreamOptionsParam = {"include_usage": True}
            async with self.sdk.chat.completions.stream(**self._fields(), stream_options=usage) as stream:
                async for _ in stream:
                    pass
                answer = await stream.get_final_completion()
        else:
            answer = await self.sdk.chat.completions.create(**self._fields())
        (choice,) = answer.choices
        self.history.append(choice.message)
        calls = [
            Called(call.id, call.function.name, json.loads(call.function.arguments))
            for call in choice.message.tool_calls or ()
        ]
        thoughts = getattr(choice.message, "reasoning_content", None) or ""
        text = choice.message.content or ""
        return Said(text, thoughts, tuple(calls), choice.finish_reason, _chat_usage(answer.usage), answer.model)


@dataclass(slots=True)
class BareChatTalk(ChatTalk):
    """The same by a client that puts streams together itself, from text and calls alone."""

    async def _ask(self) -> Said:
        text, thoughts, finish, usage, model = "", "", "", None, ""
        calls: dict[int, dict[str, str]] = {}
        stream = await self.sdk.chat.completions.create(
            **self._fields(), stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            usage, model = chunk.usage or usage, chunk.model
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                text += choice.delta.content or ""
                thoughts += getattr(choice.delta, "reasoning_content", None) or ""
                for part in choice.delta.tool_calls or ():
                    call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                    call["id"] += part.id or ""
                    call["name"] += part.function.name or ""
                    call["arguments"] += part.function.arguments or ""
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments"]},
                }
                for call in calls.values()
            ]
        self.history.append(message)
        called = tuple(Called(each["id"], each["name"], json.loads(each["arguments"])) for each in calls.values())
        return Said(text, thoughts, called, finish, _chat_usage(usage), model)


def _chat_usage(usage: Any) -> tuple[int, int, int, int]:
    given, made = usage.prompt_tokens_details, usage.completion_tokens_details
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return (
        usage.prompt_tokens,
        (given.cached_tokens if given else 0) or 0,
        usage.completion_tokens,
        (made.reasoning_tokens if made else 0) or 0,
    )


@dataclass(slots=True)
class ResponsesTalk:
    """openai.responses, with the conversation on the client's side"""

    sdk: openai.AsyncOpenAI
    model: str
    wishes: Wishes
    stream: bool
    history: list[Any] = field(default_factory=list)

    async def say(self, text: str, *, image: bytes = b"", pdf: bytes = b"") -> Said:
        content: list[dict[str, Any]] = [{"type": "input_text", "text": text}]
        if image:
            content.append({"type": "input_image", "image_url": data_url("image/png", image), "detail": "auto"})
        if pdf:
            content.append({"type": "input_file", "filename": "a.pdf", "file_data": data_url("application/pdf", pdf)})
        self.history.append({"role": "user", "content": content if image or pdf else text})
        return await self._ask()

    async def give(self, *results: Result) -> Said:
        for result in results:
            image = {"type": "input_image", "image_url": data_url("image/png", result.image), "detail": "auto"}
            output = [image] if result.image else result.text
            self.history.append({"type": "function_call_output", "call_id": result.call.id, "output": output})
        return await self._ask()

    def _fields(self) -> dict[str, Any]:
        wishes, fields = self.wishes, {"model": self.model, "input": self.history, "store": False}
        fields["max_output_tokens"] = MAX_TOKENS
        if wishes.system:
            fields["instructions"] = wishes.system
        if wishes.tools:
            fields["tools"] = [
                {"type": "function", "name": name, "parameters": tool_schema(name), "strict": False}
                for name in wishes.tools
            ]
        if wishes.choice:
            named = {"type": "function", "name": wishes.choice}
            fields["tool_choice"] = wishes.choice if wishes.choice in ("required", "none") else named
        if wishes.schema:
            form = {"type": "json_schema", "name": "answer", "schema": wishes.schema, "strict": True}
            fields["text"] = {"format": form}
        if wishes.thinking:
            fields["reasoning"] = {"effort": "low", "summary": "auto"}
            fields["include"] = ["reasoning.encrypted_content"]
        if wishes.temperature is not None:
            fields["temperature"] = wishes.temperature
        return fields

    async def _last_of_stream(self) -> Any:
        """The response in the last event, which says what the events before it said."""
        texts, answer = "", None
        async with self.sdk.responses.stream(**self._fields()) as stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    texts += event.delta
                elif event.type in ("response.completed", "response.incomplete"):
                    answer = event.response
                elif event.type == "response.failed":
                    assert event.response.error is not None
                    raise openai.APIError(event.response.error.message, stream._response.request, body=None)
        assert answer is not None and texts == answer.output_text
        return answer

    async def _ask(self) -> Said:
        answer: Any
        if self.stream:
            answer = await self._last_of_stream()
        else:
            answer = await self.sdk.responses.create(**self._fields())
        self.history += answer.output
        calls = [
            Called(item.call_id, item.name, json.loads(item.arguments))
            for item in answer.output
            if item.type == "function_call"
        ]
        thoughts = "".join(
            summary.text for item in answer.output if item.type == "reasoning" for summary in item.summary
        )
        finish = answer.incomplete_details.reason if answer.incomplete_details else answer.status
        usage = answer.usage
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        spent = (
            usage.input_tokens,
            usage.input_tokens_details.cached_tokens,
            usage.output_tokens,
            usage.output_tokens_details.reasoning_tokens,
        )
        return Said(answer.output_text, thoughts, tuple(calls), finish, spent, answer.model)
