"""What a fake API is: it takes a request as it came and answers as the provider would, with what `script.py` plays.

    async with FakeProvider(api=AnthropicApi()) as fake: …

A fake API refuses what the real one refuses, with the real one's status and words, since a gateway that is tested
against a lenient fake is not tested. What a script says it breaks its own rules for (`break`, `fail`) is the exception.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `number` counts them from 1, for ids."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    number: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer. With several `pieces` it is chunked."""

    status: int
    content_type: str
    pieces: tuple[bytes, ...]
    headers: Mapping[str, str] = field(default_factory=dict)


class FakeApi(Protocol):
    """`verified`: what the API had signed before and got back as it was, in order."""

    verified: list[str]

    def answer(self, asked: Asked) -> Spoken: ...


class RefusedError(Exception):
    """The API refuses the request: a 400. `code` and `param` as OpenAI has them."""

    def __init__(self, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


def encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
