"""How the fake provider may treat a call: values that a test scripts per key.

`of` is the answer that gets cut, slowed or stopped; by default what the endpoint would have said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in one piece. `body` None: what the endpoint says in OpenAI's shape (streamed if asked to);
    a dict or list is sent as JSON, bytes as they are."""

    status: int = 200
    body: bytes | dict[str, Any] | list[Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream, whatever the request asked for, `gap` seconds between events.

    `events` None: what the endpoint streams; bytes are sent as they are, a dict becomes a `data:` line (with an
    `event:` line before it if it names a `type`), a text the data of one. Events given need their own "[DONE]".
    `usage` overrides whether a chat stream ends with usage.
    """

    events: tuple[bytes | str | dict[str, Any], ...] | None = None
    gap: float = 0.0
    usage: bool | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Content = Answer | Stream


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the request and never answer."""


@dataclass(frozen=True, slots=True)
class HangAfter:
    """Answer `n_bytes` of the body, then nothing more."""

    n_bytes: int
    of: Content = Answer()


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection in order, but `after_bytes` of the body."""

    after_bytes: int
    of: Content = Answer()


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection (RST) instead of an answer."""


@dataclass(frozen=True, slots=True)
class SlowBytes:
    """The body in pieces of `n` bytes, `gap` seconds apart."""

    n: int
    gap: float
    of: Content = Answer()


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait, then do something else."""

    seconds: float
    then: Behaviour = Answer()


@dataclass(frozen=True, slots=True)
class Held:
    """Wait until the test calls `FakeProvider.let_go`, then do something else."""

    then: Behaviour = Answer()


@dataclass(frozen=True, slots=True)
class Garbage:
    """These bytes instead of HTTP, then close."""

    data: bytes = b"\x00\x01 this is not HTTP\r\n\r\n"


@dataclass(frozen=True, slots=True)
class CloseBeforeAnswer:
    """Take the request and close without a byte."""


Behaviour = Answer | Stream | Hang | HangAfter | Cut | Reset | SlowBytes | Delay | Held | Garbage | CloseBeforeAnswer


def error(status: int, code: str | None, message: str, kind: str, **headers: str) -> Answer:
    """An error in OpenAI's shape; `retry_after="3"` becomes the header Retry-After."""
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def unauthorized() -> Answer:
    return error(401, "invalid_api_key", "Incorrect API key provided.", "invalid_request_error")


def rate_limited(retry_after: float | str | None = None) -> Answer:
    headers = {} if retry_after is None else {"retry_after": f"{retry_after}"}
    return error(429, "rate_limit_exceeded", "Rate limit reached.", "requests", **headers)


def server_error(status: int = 500) -> Answer:
    return error(status, None, "The server had an error while processing your request.", "server_error")


def quota() -> Answer:
    message = "You exceeded your current quota, please check your plan and billing details."
    return error(429, "insufficient_quota", message, "insufficient_quota")


def bad_request(message: str = "Invalid value for 'model'.") -> Answer:
    return error(400, "invalid_value", message, "invalid_request_error")


def model_not_found(model: str = "no-such-model") -> Answer:
    return error(404, "model_not_found", f"The model `{model}` does not exist.", "invalid_request_error")
