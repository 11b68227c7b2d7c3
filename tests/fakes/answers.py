"""What the fake provider's endpoints say when nothing else is scripted: OpenAI's shapes with fixed words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

WORDS = ("Hello", " from", " the", " fake", " provider", ".")
TEXT = "".join(WORDS)
CREATED = 1_700_000_000
JSON = "application/json"
SPEECH = bytes(range(256)) * 16
MODELS = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
CHAT_USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 6,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
}
RESPONSE_USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 6,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 17,
}


@dataclass(frozen=True, slots=True)
class Call:
    """What an answer depends on: the path below /v1, the JSON of the request, and the call's number."""

    method: str
    path: str
    body: dict[str, Any]
    number: int

    @property
    def model(self) -> str:
        return str(self.body.get("model", "gpt-4o"))

    @property
    def response_id(self) -> str:
        return f"resp_{self.number:08x}"


def plain(call: Call) -> tuple[int, str, bytes]:
    """Status, content type and body of a call's answer in one piece."""
    if call.path == "audio/speech":
        return 200, "audio/mpeg", SPEECH
    reply = _reply(call)
    if reply is None:
        message = f"Unknown request URL: {call.method} /v1/{call.path}."
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "unknown_url"}
        return 404, JSON, encode({"error": error})
    return 200, JSON, encode(reply)


def _reply(call: Call) -> dict[str, Any] | None:
    if call.path == "models":
        return {"object": "list", "data": [_model(name) for name in MODELS]}
    if call.path.startswith("models/"):
        return _model(call.path.removeprefix("models/"))
    if call.path.startswith("images/"):
        return {"created": CREATED, "data": [{"b64_json": "aGVsbG8="}]}
    if call.path.startswith("audio/"):
        return {"text": TEXT}
    reply = {"chat/completions": _chat, "completions": _completion, "embeddings": _embeddings,
             "responses": _response, "moderations": _moderation}.get(call.path)  # fmt: skip
    return reply(call) if reply else None


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "fake"}


def _chat(call: Call) -> dict[str, Any]:
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**_head(call, "chatcmpl", "chat.completion"), "choices": [choice], "usage": CHAT_USAGE}


def _completion(call: Call) -> dict[str, Any]:
    choice = {"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}
    return {**_head(call, "cmpl", "text_completion"), "choices": [choice], "usage": CHAT_USAGE}


def _embeddings(call: Call) -> dict[str, Any]:
    given = call.body.get("input")
    count = len(given) if isinstance(given, list) else 1
    data = [{"object": "embedding", "index": i, "embedding": [0.1, -0.2, 0.3]} for i in range(count)]
    return {"object": "list", "data": data, "model": call.model, "usage": {"prompt_tokens": 3, "total_tokens": 3}}


def _moderation(call: Call) -> dict[str, Any]:
    result = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.0}}
    return {"id": f"modr-{call.number}", "model": call.model, "results": [result]}


def _response(call: Call, status: str = "completed", usage: dict[str, Any] | None = RESPONSE_USAGE) -> dict[str, Any]:
    return {
        "id": call.response_id, "object": "response", "created_at": CREATED, "status": status, "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "model": call.model,
        "output": [_message(call)] if status == "completed" else [], "parallel_tool_calls": True,
        "previous_response_id": call.body.get("previous_response_id"), "temperature": 1.0, "tool_choice": "auto",
        "tools": [], "top_p": 1.0, "usage": usage,
    }  # fmt: skip


def _message(call: Call) -> dict[str, Any]:
    content = [{"type": "output_text", "text": TEXT, "annotations": []}]
    return {"id": f"msg_{call.number:08x}", "type": "message", "status": "completed", "role": "assistant",
            "content": content}  # fmt: skip


def _head(call: Call, prefix: str, kind: str) -> dict[str, Any]:
    return {"id": f"{prefix}-{call.number:08x}", "object": kind, "created": CREATED, "model": call.model}


def streamed(call: Call, usage: bool | None) -> list[bytes]:
    """The events of a call's answer. `usage` None: as the request's `stream_options` say."""
    if call.path == "responses":
        return [event(payload) for payload in _response_events(call)]
    if usage is None:
        options = call.body.get("stream_options")
        usage = isinstance(options, dict) and bool(options.get("include_usage"))
    return [event(payload) for payload in _chunks(call, usage)] + [event("[DONE]")]


def _chunks(call: Call, usage: bool) -> list[dict[str, Any]]:
    chat = call.path != "completions"
    head = _head(call, "chatcmpl", "chat.completion.chunk") if chat else _head(call, "cmpl", "text_completion")
    parts: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": ""}}] if chat else []
    parts += [{"delta": {"content": word}} if chat else {"text": word} for word in WORDS]
    choices = [{"index": 0, **part, "finish_reason": None} for part in parts]
    choices.append({"index": 0, **({"delta": {}} if chat else {"text": ""}), "finish_reason": "stop"})
    chunks: list[dict[str, Any]] = [{**head, "choices": [choice]} for choice in choices]
    if usage:
        chunks = [{**chunk, "usage": None} for chunk in chunks] + [{**head, "choices": [], "usage": CHAT_USAGE}]
    return chunks


def _response_events(call: Call) -> list[dict[str, Any]]:
    message = _message(call)
    place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    opened = _response(call, "in_progress", None)
    empty = {"type": "output_text", "text": "", "annotations": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": opened},
        {"type": "response.in_progress", "response": opened},
        {"type": "response.output_item.added", "output_index": 0,
         "item": {**message, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **place, "part": empty},
        *({"type": "response.output_text.delta", **place, "delta": word} for word in WORDS),
        {"type": "response.output_text.done", **place, "text": TEXT},
        {"type": "response.content_part.done", **place, "part": message["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": _response(call)},
    ]  # fmt: skip
    return [{**payload, "sequence_number": number} for number, payload in enumerate(events)]


def event(payload: bytes | str | dict[str, Any]) -> bytes:
    """One event's bytes."""
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, str):
        return f"data: {payload}\n\n".encode()
    line = f"event: {payload['type']}\n".encode() if "type" in payload else b""
    return line + b"data: " + encode(payload) + b"\n\n"


def encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
