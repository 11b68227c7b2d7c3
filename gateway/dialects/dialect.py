"""What a dialect is: the functions and classes that every one of the four packages has, under the same names.

    request_reader.read_request    request_writer.write_request
    answer_reader.read_answer      answer_writer.write_answer
    stream_reader.StreamReader     stream_writer.StreamWriter
    errors.read_failure            errors.write_failure
    usage.read_usage               usage.write_usage
    events.classify_event, events.carried_error: which event commits a stream
    client_names.CLIENT_NAMES: what its clients call the fields of a neutral request

A client's request goes through `read_request` of its dialect and `write_request` of the provider's; the answer through
`read_answer` or `StreamReader` of the provider's and `write_answer` or `StreamWriter` of the client's. Both ends know
of each other only what stands in `Target`, `Plan` and `Scene`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Protocol

from gateway.dialects.conversation import Answer, Request
from gateway.dialects.deltas import Delta
from gateway.dialects.failure import Failure
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.quick import dataclass
from gateway.wire.sse import Event


@dataclass(frozen=True, slots=True)
class Target:
    """Who a request is written for. `provider` is the gateway's name for it, `model` the provider's name for the model,
    `quirks` what its server does otherwise than its dialect says."""

    provider: str
    model: str
    quirks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """How a request was written, as far as the answer's reader must undo it.

    `names`: tools that had to be renamed, by the name the provider knows. `forced_tool`: a tool that stands for a
    response format; its arguments are the answer's text. `custom`: names of custom tools that were written as
    functions.
    """

    provider: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    forced_tool: str = ""
    custom: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Scene:
    """For whom an answer is written. `model` is the name that the client used, `provider` who answers, `created` is
    now in unix seconds, `id` a random part for ids that the answer lacks (hex), `request` what was asked."""

    request: Request
    model: str
    provider: str
    created: int
    id: str


@dataclass(frozen=True, slots=True)
class Written:
    """A request as the provider gets it. Model and stream stand in the body where the dialect has them there."""

    body: Json
    plan: Plan


class MalformedAnswerError(ValueError):
    """A provider's 200 is no answer in its dialect. The message says what is wrong, without quoting contents."""


class StreamReader(Protocol):
    """Made with a Plan."""

    def feed(self, event: Event) -> list[Delta]:
        """What an event says. Never raises: an event that cannot be read is `Broken`. After the end: nothing."""
        ...

    def end(self) -> list[Delta]:
        """The bytes ended. Nothing if the stream had ended; `End` where its dialect ends streams this way, else
        `Broken`."""
        ...


class StreamWriter(Protocol):
    """Made with a Scene and Losses."""

    def write(self, deltas: list[Delta]) -> bytes:
        """Whole events for the client; empty where nothing is to be said yet. `Broken` becomes the dialect's own error
        event, after which nothing comes."""
        ...


class ReadRequest(Protocol):
    def __call__(self, body: Json, losses: Losses, *, model: str = "", stream: bool = False) -> Request:
        """`model` and `stream` are given by the path where the dialect has them there. Raises RequestError 400 with
        `param` for what is structurally wrong."""
        ...


class WriteRequest(Protocol):
    def __call__(self, request: Request, target: Target, losses: Losses) -> Written:
        """Raises RequestError 400 with `param` for what no target of this dialect can be asked, such as arguments that
        are no JSON object."""
        ...


class ReadAnswer(Protocol):
    def __call__(self, body: object, plan: Plan) -> Answer:
        """Raises MalformedAnswerError."""
        ...


class WriteAnswer(Protocol):
    def __call__(self, answer: Answer, scene: Scene, losses: Losses) -> Json: ...


class ReadFailure(Protocol):
    def __call__(self, status: int, body: object) -> Failure:
        """What an error answer, or an error event's payload (status 0), says. `body` is decoded JSON, or text. Never
        raises."""
        ...


class WriteFailure(Protocol):
    def __call__(self, failure: Failure) -> Json: ...


class MakeStreamReader(Protocol):
    def __call__(self, plan: Plan) -> StreamReader: ...


class MakeStreamWriter(Protocol):
    def __call__(self, scene: Scene, losses: Losses) -> StreamWriter: ...
