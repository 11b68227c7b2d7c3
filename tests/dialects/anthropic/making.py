"""Short words for what the tests of this dialect say again and again."""

from __future__ import annotations

import json
from typing import Any

from gateway.dialects.anthropic.request_reader import read_request
from gateway.dialects.anthropic.request_writer import write_request
from gateway.dialects.anthropic.stream_reader import StreamReader
from gateway.dialects.conversation import Message, Part, Request, Text
from gateway.dialects.deltas import Delta
from gateway.dialects.dialect import Plan, Scene, Target, Written
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.wire.sse import Event

OLD = "claude-3-7-sonnet-20250219"  # thinks by budget, takes all sampling, has no structured output
MIDDLE = "claude-sonnet-4-5"  # thinks by budget, has structured output
NEW = "claude-opus-4-8"  # thinks as it sees fit, can be forced to call a tool
NEWEST = "claude-opus-5-5"  # always thinks, cannot be forced


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def ask(*messages: Message, **fields: Any) -> Request:
    """A request of a client that speaks Chat Completions, unless another dialect is named."""
    return Request(**{"dialect": "openai_chat", "model": "alias", "messages": messages or (user("Hi"),), **fields})


def write(request: Request, model: str = OLD, provider: str = "main") -> tuple[Json, list[str], Written]:
    """The body, the names of what was lost, and all that was written."""
    losses = Losses()
    written = write_request(request, Target(provider, model), losses)
    return written.body, [loss.name for loss in losses.entries], written


def read(**body: Any) -> tuple[Request, list[str]]:
    """A client's request, and the paths of what was lost in reading it."""
    losses = Losses()
    whole = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **body}
    return read_request(whole, losses), [loss.path for loss in losses.entries]


def scene(request: Request | None = None, provider: str = "main") -> Scene:
    return Scene(request or ask(dialect="anthropic"), "alias", provider, 1_700_000_000, "0af3")


def event(payload: Json) -> Event:
    return Event(payload["type"], json.dumps(payload))


def stream(*payloads: Json, plan: Plan | None = None, end: bool = True) -> list[Delta]:
    """What a reader makes of a stream of these payloads."""
    reader = StreamReader(plan or Plan("main"))
    deltas = [delta for payload in payloads for delta in reader.feed(event(payload))]
    return deltas + reader.end() if end else deltas


def start(**usage: int) -> Json:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": []}
    return {"type": "message_start", "message": {**message, "usage": usage}}


def opened(index: int, **block: Any) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block}


def more(index: int, **delta: Any) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def closed(index: int) -> Json:
    return {"type": "content_block_stop", "index": index}


def finished(reason: str | None, **usage: int) -> Json:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


STOP: Json = {"type": "message_stop"}
