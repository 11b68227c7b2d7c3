"""The official SDKs as their users drive them, all behind one face: a `Talk` is one conversation of one SDK.

What the SDK gave is put into the history as its users put it there, as the SDK's own objects; of streams those that the
SDK's helper puts together. Clients of Chat Completions that write their messages themselves, from the fields that
OpenAI documents, are `BareChatTalk`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Protocol

import anthropic
import openai
from google import genai
from google.genai import types

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
BUDGET = 2048
MAX_TOKENS = 8000


@dataclass(frozen=True, slots=True)
class Called:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `finish` is the SDK's word; `usage` is (input, of it cached, output, of it thoughts)."""

    text: str = ""
    thoughts: str = ""
    calls: tuple[Called, ...] = ()
    finish: str = ""
    usage: tuple[int, int, int, int] = (0, 0, 0, 0)
    model: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a test asks for beside words. `choice` is "", "required", "none" or a tool's name."""

    system: str = ""
    tools: tuple[str, ...] = ()
    choice: str = ""
    schema: dict[str, Any] | None = None
    thinking: bool = False
    adaptive: bool = False
    stop: tuple[str, ...] = ()
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave: a text, or an image."""

    call: Called
    text: str = ""
    image: bytes = b""
    failed: bool = False


def tool_schema(name: str) -> dict[str, Any]:
    """With what plain JSON Schema has and some providers have not."""
    return {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": f"for {name}"},
            "days": {"type": ["integer", "null"], "minimum": 1},
            "unit": {"$ref": "#/$defs/unit"},
        },
        "required": ["city"],
        "additionalProperties": False,
        "$defs": {"unit": {"type": "string", "enum": ["C", "F"]}},
    }


class Talk(Protocol):
    """One conversation. `model` may be changed between turns."""

    model: str

    async def say(self, text: str, *, image: bytes = b"", pdf: bytes = b"") -> Said:
        """The user's turn."""
        ...

    async def give(self, *results: Result) -> Said:
        """What the tools of the last answer gave."""
        ...


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
            usage = {"include_usage": True}
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
        assert usage.total_token_count == usage.prompt_token_count + thoughts + made
        return Said(
            "".join(part.text for part in parts if part.text and not part.thought),
            "".join(part.text for part in parts if part.text and part.thought),
            tuple(Called(each.id or "", each.name, each.args or {}) for each in calls),
            next((each.finish_reason.value for each in candidates if each.finish_reason), ""),
            (usage.prompt_token_count, usage.cached_content_token_count or 0, made + thoughts, thoughts),
            chunks[-1].model_version or "",
        )


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
