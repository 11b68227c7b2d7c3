"""The table of what a sick provider does with a request. What it does with a connection, before a request, is the
runner's business (`FakeProvider.refuse`, `resets_connections`).

A fault is *late* when a stream's client may have seen a part of the answer by then: nobody can mend that, so its client
must be told. Everything else can be mended by asking somebody else.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Cut,
    Delay,
    Garbage,
    Hang,
    HangAfter,
    Reset,
    SlowBytes,
    Stream,
)

WORDS = 60
"""Of a text."""

EARLY, AMID, AMID_STREAM = 60, 500, 2500
"""Bytes of a body: before the first words, and amid them, for a text of so many words in every dialect."""

ERROR_KINDS = {401: "authentication_error", 402: "billing_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(frozen=True, slots=True)
class Fault:
    """`play` is given the provider's dialect ("openai", "anthropic" or "gemini"), and whether a stream is asked for."""

    play: Callable[[str, bool], Behaviour]
    late: bool = False


def error_body(dialect: str, status: int) -> dict[str, Any]:
    """What the provider says beside a status."""
    message, kind = f"This provider is sick ({status}).", ERROR_KINDS.get(status, "api_error")
    if dialect == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}}
    if dialect == "gemini":
        return {"error": {"code": status, "message": message, "status": "UNAVAILABLE"}}
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


EMPTY: dict[str, dict[str, Any]] = {
    "openai": {"object": "chat.completion", "created": 1, "model": "m", "choices": []},
    "anthropic": {"id": "x", "type": "message", "role": "assistant", "model": "m"},
    "gemini": {"candidates": [], "modelVersion": "m"},
}
HTML = b"<!DOCTYPE html><html><body>Just a moment...</body></html>"


def _always(behaviour: Behaviour, *, late: bool = False) -> Fault:
    return Fault(lambda dialect, stream: behaviour, late)


def _status(status: int, **headers: str) -> Fault:
    return Fault(lambda dialect, stream: Answer(status, error_body(dialect, status), headers))


FAULTS = {
    "reset": _always(Reset()),
    "closed without an answer": _always(CloseBeforeAnswer()),
    "no HTTP": _always(Garbage()),
    "never answers": _always(Hang()),
    "slow head": _always(Delay(0.2)),
    "slow body": _always(SlowBytes(400, 0.02), late=True),
    "stalls at once": _always(HangAfter(0)),
    "stalls early": _always(HangAfter(EARLY)),
    "stalls late": Fault(lambda dialect, stream: HangAfter(AMID_STREAM if stream else AMID), late=True),
    "cut early": _always(Cut(EARLY)),
    "cut late": Fault(lambda dialect, stream: Cut(AMID_STREAM if stream else AMID), late=True),
    **{str(status): _status(status) for status in (401, 402, 403, 408, 429, 500, 502, 503, 504, 529)},
    "429 for a second": _status(429, **{"retry-after": "1"}),
    "503 for a second": _status(503, **{"retry-after": "1"}),
    "200 with an error": Fault(lambda dialect, stream: Answer(200, error_body(dialect, 500))),
    "200 with nothing": _always(Answer(200, b"")),
    "200 without choices": Fault(lambda dialect, stream: Answer(200, EMPTY[dialect])),
    "200 with HTML": _always(Answer(200, HTML, {"content-type": "text/html"})),
    "200 with broken JSON": _always(Answer(200, b'{"id": "x", "choi')),
    "200 with gzip": _always(Answer(200, gzip.compress(b"{}"), {"content-encoding": "gzip"})),
    "503 with HTML": _always(Answer(503, HTML, {"content-type": "text/html"})),
    "length too long": _always(Cut(1000, Answer(200, b'{"id": "x"', {"content-length": "5000"}))),
    "length too short": _always(Answer(200, b'{"id": "x"}', {"content-length": "7"})),
    "error as first event": Fault(lambda dialect, stream: Stream((error_body(dialect, 500),))),
    "stream without an event": _always(Stream(())),
    "stream of comments": _always(Stream((b": busy\n\n",))),
    "malformed events": _always(Stream((b"data: {no json\n\n", b"data: [DONE]\n\n"))),
    "no events": _always(Stream((HTML,))),
    "giant line": _always(Stream((b"data: " + b"x" * (1 << 20),))),
}
"""Every fault by name."""
