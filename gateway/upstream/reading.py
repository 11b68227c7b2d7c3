"""Answers that are not passed on, but read whole before the client gets a byte: to be written in another dialect, or
as a stream. They are read as a part of the attempt, so that what cannot be read is the provider's failure like any
other: it is retried, and counts for the circuit.

What they say is left to a `Reading` of the caller's; here is only judged whether there is an answer at all.
"""

from __future__ import annotations

from typing import Any, Protocol

from gateway.errors import ProtocolError, RequestError
from gateway.policy.room import Share
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.providers.classify import EMPTY_STREAM
from gateway.upstream.answer import UpstreamAnswer
from gateway.upstream.grammars import grammar_of
from gateway.wire.sse import MAX_IMAGE_EVENT, EndTap, Event, EventReader

WHOLE_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer that is read whole: several images in base64 fit."""

INCOMPLETE_STREAM = Verdict(
    Scope.PROVIDER, Status.SERVER_ERROR, "incomplete_stream", evidence="its stream ended before the answer did"
)
UNREADABLE_ANSWER = Verdict(
    Scope.PROVIDER, Status.SERVER_ERROR, "unreadable_answer", evidence="its answer cannot be read"
)


class Reading(Protocol):
    """What a call's answer is for. Both keep what the last answer said, and raise ValueError for what is none, with
    words that quote nothing of it."""

    def read(self, decoded: object) -> None:
        """A whole answer's JSON."""
        ...

    def read_stream(self, body: bytes) -> None:
        """A whole stream of events, which has come to its end."""
        ...


async def read_all(answer: UpstreamAnswer, held: Share) -> bytes:
    """The whole body. Raises what its `read` does, ProtocolError for one that is too long, and RequestError when there
    is no room for it."""
    pieces, size = [], 0
    while piece := await answer.read():
        size += len(piece)
        if size > WHOLE_LIMIT:
            raise ProtocolError("the upstream's answer is too long", detail=f"more than {WHOLE_LIMIT} bytes")
        if not held.grow(size):
            raise _no_room(held)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def make_room(body: bytes, held: Share) -> None:
    """For the JSON in a whole answer, before it is read. Raises RequestError when there is none."""
    if not held.grow_to_read(body):
        raise _no_room(held)


def _no_room(held: Share) -> RequestError:
    return held.room.overloaded("answers", "The gateway holds too many large answers to take in another one.")


def judge_stream(shape: str, body: bytes) -> tuple[Verdict | None, dict[str, Any] | None]:
    """What is wrong with a whole stream, or the error that it carries. Raises ValueError for an event that is too
    long."""
    grammar = grammar_of(shape)
    if grammar is None:
        return None, None
    reader = EventReader(MAX_IMAGE_EVENT)
    said = False
    for event in (*reader.feed(body), reader.rest()):
        kind = "preamble" if event is None else grammar.classify(event)
        if event is not None and kind == "error":
            return None, grammar.carried_error(event)
        said |= kind == "meaningful"
    if not said:
        return EMPTY_STREAM, None

    def is_last(event: Event) -> bool:
        return grammar.classify(event) == "done"

    tap = EndTap(grammar.marks)
    tap.feed(body)
    return (None if tap.whole(b"", is_last) else INCOMPLETE_STREAM), None
