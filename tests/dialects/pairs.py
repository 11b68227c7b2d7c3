"""The four dialects, all pairs of them, and one call through a pair as the gateway makes it.

Tests are written over `NAMES` and `PAIRS` and know no dialect's functions by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway import jsonlib
from gateway.dialects.conversation import Answer, Request
from gateway.dialects.deltas import Delta
from gateway.dialects.dialect import Plan, Scene, StreamReader, StreamWriter, Target, Written
from gateway.dialects.losses import Losses
from gateway.dialects.names import DialectName
from gateway.wire.sse import MAX_IMAGE_EVENT, EventReader

Json = dict[str, Any]

NAMES: tuple[DialectName, ...] = ("openai_chat", "openai_responses", "anthropic", "gemini")

PAIRS = [(client, provider) for client in NAMES for provider in NAMES if client != provider]
"""What has to be translated; a dialect to itself passes through."""

MODELS: dict[str, tuple[str, ...]] = {
    "openai_chat": ("gpt-4.1", "gpt-5.1"),
    "openai_responses": ("gpt-4.1", "gpt-5.1"),
    "anthropic": ("claude-sonnet-4-5", "claude-3-5-haiku-20241022"),
    "gemini": ("gemini-2.5-flash", "gemini-3-pro-preview", "gemini-2.5-flash-image"),
}
"""A model of each kind that the dialects tell apart: with and without thinking, with its budget and with a word, one
that answers in images."""

PROVIDER = "main"
"""Who answers, wherever a test does not care."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What `gateway/dialects/dialect.py` asks of each package."""

    name: DialectName
    read_request: Any
    write_request: Any
    read_answer: Any
    write_answer: Any
    stream_reader: Any
    stream_writer: Any
    read_failure: Any
    write_failure: Any
    classify_event: Any


def _load(name: DialectName) -> Dialect:
    def found(module: str, what: str) -> Any:
        return getattr(importlib.import_module(f"gateway.dialects.{name}.{module}"), what)

    return Dialect(
        name,
        found("request_reader", "read_request"),
        found("request_writer", "write_request"),
        found("answer_reader", "read_answer"),
        found("answer_writer", "write_answer"),
        found("stream_reader", "StreamReader"),
        found("stream_writer", "StreamWriter"),
        found("errors", "read_failure"),
        found("errors", "write_failure"),
        found("events", "classify_event"),
    )


DIALECTS: dict[str, Dialect] = {name: _load(name) for name in NAMES}


# --- requests ---------------------------------------------------------------------------------------------------------


def read(client: str, body: Json, losses: Losses | None = None, *, model: str = "m", stream: bool = False) -> Request:
    """A client's request. `model` and `stream` are what the path says, where the dialect has them there."""
    noted = Losses() if losses is None else losses
    request: Request = DIALECTS[client].read_request(body, noted, model=model, stream=stream)
    return request


def write(provider: str, request: Request, losses: Losses | None = None, *, model: str = "") -> Written:
    target = Target(PROVIDER, model or MODELS[provider][0])
    written: Written = DIALECTS[provider].write_request(request, target, Losses() if losses is None else losses)
    return written


# --- answers ----------------------------------------------------------------------------------------------------------


def scene(request: Request) -> Scene:
    return Scene(request, request.model, PROVIDER, 1_700_000_000, "0123456789abcdef")


def asked(client: str, *, stream: bool = False) -> Request:
    """Some request of a client, to write answers for."""
    return Request(NAMES[NAMES.index(client)], "m", (), stream=stream)


def read_answer(provider: str, body: object, plan: Plan | None = None) -> Answer:
    answer: Answer = DIALECTS[provider].read_answer(body, plan or Plan(PROVIDER))
    return answer


def write_answer(client: str, answer: Answer, request: Request | None = None, losses: Losses | None = None) -> Json:
    noted = Losses() if losses is None else losses
    body: Json = DIALECTS[client].write_answer(answer, scene(request or asked(client)), noted)
    return body


# --- streams ----------------------------------------------------------------------------------------------------------


def pieces(stream: bytes, size: int) -> Iterator[bytes]:
    for place in range(0, len(stream), size):
        yield stream[place : place + size]


def read_stream(provider: str, stream: bytes, plan: Plan | None = None, cut: int = 4096) -> list[Delta]:
    """All deltas of a provider's stream whose bytes come in pieces."""
    events = EventReader(MAX_IMAGE_EVENT)
    reader: StreamReader = DIALECTS[provider].stream_reader(plan or Plan(PROVIDER))
    deltas: list[Delta] = []
    for piece in pieces(stream, cut):
        for event in events.feed(piece):
            deltas += reader.feed(event)
    if (rest := events.rest()) is not None:
        deltas += reader.feed(rest)
    return deltas + reader.end()


def write_stream(
    client: str, deltas: list[Delta], request: Request | None = None, losses: Losses | None = None
) -> bytes:
    """A client's stream of these deltas, given one by one."""
    noted = Losses() if losses is None else losses
    writer: StreamWriter = DIALECTS[client].stream_writer(scene(request or asked(client, stream=True)), noted)
    return b"".join(writer.write([delta]) for delta in deltas)


def sse(*events: Json | str, named: bool = False) -> bytes:
    """Events as a provider sends them; `named`: with their type before the data."""
    stream = b""
    for event in events:
        data = event if isinstance(event, str) else jsonlib.dumps(event).decode()
        name = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        stream += f"{name}data: {data}\n\n".encode()
    return stream
