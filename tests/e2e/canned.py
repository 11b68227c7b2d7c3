"""A provider for millions of requests: one protocol without parsing, with answers that were made beforehand.

It speaks Chat Completions, Responses, Messages and generateContent, each at its own path, and has small troubles at
fixed intervals (TROUBLES). Whoever wants an API that looks at what it is asked takes `tests/fakes`.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, cast

Json = dict[str, Any]
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
BAD_KEY = b"sk-rejected"
TEXT = "Hello from a provider that was asked this a million times before."
PIECE = 17
ID = "0000000000"
"""Stands in the answers where each has its own number."""

TROUBLES = {1999: "cut", 997: "limited", 499: "closed", 199: "failed"}
"""What every so manieth request meets, the rarer first; primes, so that they seldom meet."""


def _answer(status: int, body: object, *headers: str) -> bytes:
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(data)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


def _stream(*events: Json, named: bool = False, done: bool = False) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = []
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        chunks.append(f"{name}data: {json.dumps(event)}\n\n".encode())
    if done:
        chunks.append(b"data: [DONE]\n\n")
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def _words() -> list[str]:
    """The text as it is streamed: in a few pieces, since what an event costs is measured elsewhere."""
    return [TEXT[at : at + PIECE] for at in range(0, len(TEXT), PIECE)]


def _chat() -> tuple[bytes, bytes]:
    head: Json = {"id": f"chatcmpl-{ID}", "created": 1700000000, "model": "m"}
    usage = {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32}
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    whole = {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
    }
    deltas = [
        ({"role": "assistant", "content": ""}, None),
        *(({"content": word}, None) for word in _words()),
        ({}, "stop"),
    ]
    head["object"] = "chat.completion.chunk"
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": why}], "usage": None}
        for delta, why in deltas
    ]
    return _answer(200, whole), _stream(*chunks, {**head, "choices": [], "usage": usage}, done=True)


def _responses() -> tuple[bytes, bytes]:
    part = {"type": "output_text", "text": TEXT, "annotations": []}
    item = {"id": f"msg_{ID}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    usage = {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 32,
    }
    begun: Json = {
        "id": f"resp_{ID}",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "in_progress",
        "output": [],
    }
    ended = {**begun, "status": "completed", "output": [item], "usage": usage}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **place, "delta": word} for word in _words()),
        {"type": "response.output_text.done", **place, "text": TEXT},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": ended},
    ]
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    return _answer(200, ended), _stream(*numbered, named=True)


def _messages() -> tuple[bytes, bytes]:
    head = {"id": f"msg_{ID}", "type": "message", "role": "assistant", "model": "m"}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    usage: Json = {"input_tokens": 20, "output_tokens": 12}
    begun: Json = {
        **head,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    events: list[Json] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in _words()
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": usage},
        {"type": "message_stop"},
    ]
    whole = {**head, "content": [{"type": "text", "text": TEXT}], **stop, "usage": usage}
    return _answer(200, whole), _stream(*events, named=True)


def _generate() -> tuple[bytes, bytes]:
    usage = {"promptTokenCount": 20, "candidatesTokenCount": 12, "totalTokenCount": 32}
    head = {"modelVersion": "m", "responseId": ID, "usageMetadata": usage}

    def said(text: str, **more: str) -> Json:
        return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}], **head}

    *words, last = _words()
    stop = {"finishReason": "STOP"}
    return _answer(200, said(TEXT, **stop)), _stream(*map(said, words), said(last, **stop))


ANSWERS = {
    b"/chat/completions": _chat(),
    b"/responses": _responses(),
    b"/messages": _messages(),
    b"enerateContent": _generate(),
}
"""By a part of the path: whole, and as a stream."""

REJECTED = _answer(
    401, {"error": {"message": "Incorrect API key.", "type": "invalid_request_error", "code": "invalid_api_key"}}
)
LIMITED = _answer(
    429, {"error": {"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"}}, "retry-after: 1"
)
FAILED = _answer(500, {"error": {"message": "Oh.", "type": "server_error", "code": None}})


class Canned(asyncio.Protocol):
    """One connection. `count` is that of all of them: a list with one number."""

    def __init__(self, count: list[int]) -> None:
        self._count = count
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = LENGTH.search(received, 0, end)
        if len(received) < end + 4 + (int(length[1]) if length else 0):
            return
        self._received = b""
        self._answer(received, end)

    def _answer(self, request: bytes, end: int) -> None:
        if request.find(BAD_KEY, 0, end) > 0:
            self._transport.write(REJECTED)
            return
        self._count[0] = number = self._count[0] + 1
        target = request[: request.find(b"\r\n")]
        whole, streamed = next(answers for path, answers in ANSWERS.items() if path in target)
        stream = b"streamGenerate" in target or b'"stream":true' in request or b'"stream": true' in request
        answer = (streamed if stream else whole).replace(ID.encode(), b"%010d" % number)
        match next((trouble for every, trouble in TROUBLES.items() if number % every == 0), ""):
            case "failed":
                self._transport.write(FAILED)
            case "limited":
                self._transport.write(LIMITED)
            case "closed":
                self._transport.abort()
            case "cut":
                self._transport.write(answer[: len(answer) * 2 // 3])
                self._transport.close()
            case _:
                self._transport.write(answer)
