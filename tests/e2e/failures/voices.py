"""Three APIs in the words that the failures need: a good answer whole and streamed, errors, and how a client reads
them.

All of them say TEXT and report the same usage. Written out by hand, so that neither the gateway's writers nor the
fakes' are both accused and judge.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

TEXT = "Hello there."
INPUT, OUTPUT = 30, 5
SAID = "The provider's own words."
HI = "Say hello, please."


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client makes of a stream. `code` and `message` are those of the last event, if it is an error."""

    text: str
    ended: bool
    code: str = ""
    message: str = ""


class OpenAI:
    """Chat Completions."""

    name = kind = "openai"
    end = 3  # events that are gone, where a stream has no end
    preamble = 1

    answer: ClassVar[dict[str, Any]] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": TEXT, "refusal": None}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT},
    }
    empty: ClassVar[dict[str, Any]] = {**answer, "choices": []}

    @property
    def events(self) -> tuple[bytes, ...]:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        deltas: tuple[tuple[dict[str, Any], str | None], ...] = (
            ({"role": "assistant", "content": ""}, None),
            ({"content": "Hello"}, None),
            ({"content": " there."}, None),
            ({}, "stop"),
        )
        chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": why}]} for delta, why in deltas]
        usage = {**head, "choices": [], "usage": self.answer["usage"]}
        return (*map(data_line, [*chunks, usage]), b"data: [DONE]\n\n")

    @property
    def bare_end(self) -> tuple[bytes, ...]:
        """A stream's end without an answer."""
        return self.events[-1:]

    def ask(self, model: str, *, streamed: bool) -> tuple[str, dict[str, Any]]:
        stream = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
        messages = [{"role": "user", "content": HI}]
        return "/v1/chat/completions", {"model": model, "max_tokens": 100, "messages": messages, **stream}

    def error(self, status: int) -> dict[str, Any]:
        codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded", 500: "server_error"}
        kind = "invalid_request_error" if status < 500 else "server_error"
        return {"error": {"message": SAID, "type": kind, "param": None, "code": codes.get(status)}}

    def error_event(self, status: int) -> bytes:
        return data_line({"error": {**self.error(status)["error"], "code": status}})

    def text(self, decoded: Any) -> str:
        return str(decoded["choices"][0]["message"]["content"])

    def code(self, decoded: Any) -> str:
        assert set(decoded) == {"error"}
        return str(decoded["error"]["code"])

    def hear(self, body: bytes) -> Heard:
        text, ended = "", False
        for payload in payloads(body):
            if payload == "[DONE]":
                return Heard(text, ended)
            if "error" in payload:
                return Heard(text, ended, self.code(payload), payload["error"]["message"])
            for choice in payload["choices"]:
                text += choice["delta"].get("content") or ""
                ended |= choice["finish_reason"] == "stop"
        return Heard(text, ended)


class Anthropic:
    """Messages."""

    name = kind = "anthropic"
    end = 2
    preamble = 3

    answer: ClassVar[dict[str, Any]] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": INPUT, "output_tokens": OUTPUT},
    }
    empty: ClassVar[dict[str, Any]] = {name: value for name, value in answer.items() if name != "content"}

    @property
    def events(self) -> tuple[bytes, ...]:
        usage = {"input_tokens": INPUT, "output_tokens": 1}
        begun = {**self.answer, "content": [], "stop_reason": None, "usage": usage}
        deltas = [{"type": "text_delta", "text": text} for text in ("Hello", " there.")]
        why = {"stop_reason": "end_turn", "stop_sequence": None}
        payloads: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "ping"},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": why, "usage": {"output_tokens": OUTPUT}},
            {"type": "message_stop"},
        ]
        return tuple(map(event_of, payloads))

    @property
    def bare_end(self) -> tuple[bytes, ...]:
        """A stream's end without an answer."""
        return (*self.events[:1], self.events[-1])

    def ask(self, model: str, *, streamed: bool) -> tuple[str, dict[str, Any]]:
        messages = [{"role": "user", "content": HI}]
        return "/v1/messages", {"model": model, "max_tokens": 100, "messages": messages, "stream": streamed}

    def error(self, status: int) -> dict[str, Any]:
        kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
        message = f"model: no-such. {SAID}" if status == 404 else SAID
        kind = kinds.get(status, "invalid_request_error" if status < 500 else "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}

    def error_event(self, status: int) -> bytes:
        return event_of(self.error(status))

    def text(self, decoded: Any) -> str:
        return str(decoded["content"][0]["text"])

    def code(self, decoded: Any) -> str:
        assert decoded["type"] == "error"
        error = decoded["error"]
        return str(error.get("details", {}).get("error_code") or error["type"])

    def hear(self, body: bytes) -> Heard:
        text, ended = "", False
        for payload in payloads(body):
            match payload["type"]:
                case "content_block_delta":
                    text += payload["delta"]["text"]
                case "message_stop":
                    return Heard(text, True)
                case "error":
                    return Heard(text, ended, self.code(payload), payload["error"]["message"])
        return Heard(text, ended)


class Gemini:
    """generateContent, streams as events."""

    name = kind = "gemini"
    end = 1
    preamble = 1

    usage: ClassVar[dict[str, Any]] = {
        "promptTokenCount": INPUT,
        "candidatesTokenCount": OUTPUT,
        "totalTokenCount": INPUT + OUTPUT,
    }
    answer: ClassVar[dict[str, Any]] = {
        "candidates": [{"content": {"role": "model", "parts": [{"text": TEXT}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": "m",
    }
    empty: ClassVar[dict[str, Any]] = {**answer, "candidates": []}

    @property
    def events(self) -> tuple[bytes, ...]:
        parts: tuple[tuple[str, dict[str, Any]], ...] = (
            ("", {}),
            ("Hello", {}),
            (" there.", {}),
            ("", {"finishReason": "STOP"}),
        )
        candidates = [{"content": {"role": "model", "parts": [{"text": text}]}, **more} for text, more in parts]
        chunks: list[dict[str, Any]] = [{"candidates": [one], "modelVersion": "m"} for one in candidates]
        chunks[-1]["usageMetadata"] = self.usage
        return tuple(b"data: %b\r\n\r\n" % json.dumps(chunk).encode() for chunk in chunks)

    @property
    def bare_end(self) -> tuple[bytes, ...]:
        """A stream's end without an answer."""
        return (data_line({"candidates": []}),)

    def ask(self, model: str, *, streamed: bool) -> tuple[str, dict[str, Any]]:
        method = "streamGenerateContent?alt=sse" if streamed else "generateContent"
        contents = [{"role": "user", "parts": [{"text": HI}]}]
        return (
            f"/v1beta/models/{model}:{method}",
            {"contents": contents, "generationConfig": {"maxOutputTokens": 100}},
        )

    def error(self, status: int) -> dict[str, Any]:
        words = {401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}
        message = f"models/m is not found for API version v1beta. {SAID}" if status == 404 else SAID
        word = words.get(status, "INVALID_ARGUMENT" if status < 500 else "UNAVAILABLE")
        return {"error": {"code": status, "message": message, "status": word}}

    def error_event(self, status: int) -> bytes:
        return data_line(self.error(status))

    def text(self, decoded: Any) -> str:
        return "".join(part["text"] for part in decoded["candidates"][0]["content"]["parts"])

    def code(self, decoded: Any) -> str:
        error = decoded["error"]
        details = error.get("details") or [{}]
        return str(details[0].get("reason") or error["status"]).lower()

    def hear(self, body: bytes) -> Heard:
        text, ended = "", False
        for payload in payloads(body):
            if "error" in payload:
                return Heard(text, ended, self.code(payload), payload["error"]["message"])
            text += self.text(payload)
            ended |= "finishReason" in payload["candidates"][0]
        return Heard(text, ended)


Voice = OpenAI | Anthropic | Gemini
VOICES: tuple[Voice, ...] = (OpenAI(), Anthropic(), Gemini())


def data_line(payload: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(payload).encode()


def event_of(payload: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (payload["type"].encode(), json.dumps(payload).encode())


def payloads(body: bytes) -> Iterator[Any]:
    """What a strict client reads of a stream: the decoded data of every event. Raises ValueError for what is none."""
    for event in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line for line in event.split(b"\n") if line and not line.startswith((b":", b"retry:"))]
        data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
        if data:
            yield "[DONE]" if data == b"[DONE]" else json.loads(data)
