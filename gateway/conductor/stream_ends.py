"""The two ends of a translated stream: a provider's bytes to deltas, deltas to a client's bytes.

Both keep what they came to, which the relay asks after each piece. Neither waits for anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from gateway.dialects.conversation import Audio, Document, Image, Opaque, Part
from gateway.dialects.deltas import Begin, Broken, Delta, End, More, Open, Used
from gateway.dialects.dialect import StreamReader, StreamWriter
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.losses import ContentLostError, Losses, notice
from gateway.errors import IncompleteStream, UpstreamError, UpstreamTimeout
from gateway.usage import Usage
from gateway.wire.output_tap import OutputTap
from gateway.wire.sse import MAX_IMAGE_EVENT, Event, EventReader

STATUS_OF_KIND = {
    FailureKind.INVALID_REQUEST: 400,
    FailureKind.CONTEXT_LENGTH: 400,
    FailureKind.CONTENT_FILTER: 400,
    FailureKind.NOT_FOUND: 404,
    FailureKind.TOO_LARGE: 413,
    FailureKind.RATE_LIMIT: 429,
    FailureKind.QUOTA: 429,
    FailureKind.OVERLOADED: 503,
    FailureKind.TIMEOUT: 504,
}
"""For an error that came inside a 200; of all other kinds 502."""


class Reader:
    """The bytes of a provider's stream to deltas, and what they came to: `usage`, `failure` if it broke, `ended`.
    `output` is told of the text that came."""

    def __init__(self, stream: StreamReader, conceal: Callable[[str], str], output: OutputTap | None = None) -> None:
        self._events = EventReader(MAX_IMAGE_EVENT)
        self._stream = stream
        self._conceal = conceal
        self._output = output
        self.usage: Usage | None = None
        self.failure: Failure | None = None
        self.ended = False

    def feed(self, data: bytes) -> list[Delta]:
        try:
            events = self._events.feed(data)
        except ValueError as error:
            return self._note([Broken(Failure(0, FailureKind.SERVER, f"The provider sent {error}."))])
        return self._read(events)

    def end(self) -> list[Delta]:
        """The bytes ended. A last event whose blank line is missing counts."""
        rest = self._events.rest()
        return self._read([] if rest is None else [rest]) + self._note(self._stream.end(), IncompleteStream.code)

    def broken(self, error: UpstreamError) -> list[Delta]:
        """The connection failed."""
        return self._note([Broken(broken_off(error))])

    def _read(self, events: Iterable[Event]) -> list[Delta]:
        deltas: list[Delta] = []
        for event in events:
            deltas += self._stream.feed(event)
        return self._note(deltas)

    def _note(self, deltas: list[Delta], code: str = UpstreamError.code) -> list[Delta]:
        """`code` is for a failure of the provider's server that has none."""
        for place, delta in enumerate(deltas):
            if isinstance(delta, Used | Begin):
                self.usage = delta.usage or self.usage
                if self._output is not None and delta.usage is not None:
                    self._output.report()
            elif isinstance(delta, More | Open) and self._output is not None:
                self._output.add(len(delta.text) if isinstance(delta, More) else _size(delta.part))
            elif isinstance(delta, Broken):
                failure = delta.failure
                if failure.kind is FailureKind.SERVER:
                    failure = replace(failure, status=failure.status or 502, code=failure.code or code)
                failure = replace(failure, message=self._conceal(failure.message))
                deltas[place], self.failure, self.ended = Broken(failure), failure, True
            elif isinstance(delta, End):
                self.ended = True
        return deltas


def _size(part: Part) -> int:
    """Characters of a part that comes whole; text and calls have theirs in what follows."""
    return len(part.source.value) if isinstance(part, Image | Audio | Document) else 0


class Writer:
    """Deltas to the bytes of a client's stream. `failure` is set when the rest must not be shown without what is lost.

    The headers are out by then: what content is lost is told in a comment, which every reader of events skips, unless
    the client's has no `comments`.
    """

    def __init__(self, stream: StreamWriter, unshown: Losses, *, comments: bool) -> None:
        self._stream = stream
        self._unshown = unshown
        self._comments = comments
        self._told = 0
        self.failure: Failure | None = None

    def write(self, deltas: list[Delta]) -> bytes:
        """What comes before a part that must not be lost goes out, however the provider's bytes were cut."""
        events = b""
        try:
            for some in _split(deltas):
                events += self._stream.write(some)
        except ContentLostError as lost:
            self.failure = Failure(400, FailureKind.INVALID_REQUEST, must_not_be_lost(lost))
            return events + self._stream.write([Broken(self.failure)])
        return events + self._comment()

    def _comment(self) -> bytes:
        news = self._unshown.entries[self._told :]
        self._told += len(news)
        lost = notice(Losses([loss for loss in news if loss.content])) if self._comments and news else ""
        return f": x-llmgateway-dropped: {lost}\n\n".encode() if lost else b""


def _split(deltas: list[Delta]) -> Iterator[list[Delta]]:
    """Cut before each part that comes whole: those are the ones that a client may have no place for."""
    begin = 0
    for place, delta in enumerate(deltas):
        if isinstance(delta, Open) and isinstance(delta.part, Image | Audio | Document | Opaque):
            yield deltas[begin:place]
            begin = place
    yield deltas[begin:]


def must_not_be_lost(lost: ContentLostError) -> str:
    path, why = lost.loss.path, lost.loss.why
    return f"The model's answer has '{path}', and {why} It is left out with translation.on_loss = \"warn\"."


def broken_off(error: UpstreamError) -> Failure:
    """What a client is told when its answer broke after the commit point."""
    kind = FailureKind.TIMEOUT if isinstance(error, UpstreamTimeout) else FailureKind.SERVER
    return Failure(STATUS_OF_KIND.get(kind, 502), kind, error.told, error.code)
