"""Short ways to read and write this dialect in tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gateway import jsonlib
from gateway.dialects.conversation import Answer, Choice, Ending, Finish, Message, Part, Request, Text
from gateway.dialects.deltas import Delta
from gateway.dialects.dialect import Plan, Scene, Target
from gateway.dialects.gemini.request_reader import read_request
from gateway.dialects.gemini.request_writer import write_request
from gateway.dialects.gemini.stream_reader import StreamReader
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.wire.sse import Event, EventReader

MODEL = "gemini-2.5-flash"
NEWER = "gemini-3.1-pro-preview"


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def ask(*messages: Message, **fields: Any) -> Request:
    """A request of a client of Chat Completions."""
    return Request(**{"dialect": "openai_chat", "model": "m", "messages": messages or (user("Hi"),), **fields})


def written(request: Request, model: str = MODEL, *, provider: str = "google", quirks: Iterable[str] = ()) -> Json:
    """The body that Google gets; nothing may be lost on the way."""
    body, lost = written_with_losses(request, model, provider=provider, quirks=quirks)
    assert lost == []
    return body


def written_with_losses(
    request: Request, model: str = MODEL, *, provider: str = "google", quirks: Iterable[str] = ()
) -> tuple[Json, list[tuple[str, str]]]:
    """The body, and path and name of each loss, those of content with a `!` before their name."""
    losses = Losses()
    body = write_request(request, Target(provider, model, frozenset(quirks)), losses).body
    return body, [(loss.path, f"{'!' * loss.content}{loss.name}") for loss in losses.entries]


def read(body: Json, model: str = MODEL) -> Request:
    """A client's body as a request; nothing may be lost on the way."""
    losses = Losses()
    request = read_request(body, losses, model=model)
    assert losses.entries == []
    return request


def scene(request: Request | None = None) -> Scene:
    return Scene(request or ask(), "their-model", "main", 1_700_000_000, "0123abcd")


def answered(*parts: Part, finish: Finish = Finish.STOP, **fields: Any) -> Answer:
    return Answer("id_1", "model", (Choice(parts, Ending(finish)),), **fields)


def events_of(data: bytes) -> list[Event]:
    reader = EventReader()
    return reader.feed(data)


def payloads(data: bytes) -> list[Any]:
    """The JSON of each event."""
    return [jsonlib.loads(event.data) for event in events_of(data)]


def chunk(*parts: Json, **fields: Any) -> Json:
    """A payload of a stream with these parts; `fields` are the candidate's."""
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **fields}], "responseId": "r1"}


def deltas_of(*chunks: Json, plan: Plan | None = None) -> list[Delta]:
    """What a whole stream says."""
    reader = StreamReader(plan or Plan("google"))
    deltas = [delta for each in chunks for delta in reader.feed(Event("message", jsonlib.dumps(each).decode()))]
    return [*deltas, *reader.end()]


def kinds(deltas: Sequence[Delta]) -> list[str]:
    return [type(delta).__name__ for delta in deltas]
