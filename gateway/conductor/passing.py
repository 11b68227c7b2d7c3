"""A stream that is passed on in its own dialect: what is changed in its events, and whether it came to its end.

Both are found on the bytes. An event is only read where it is an error that repeats the key, or the last of a stream
that does not look whole.
"""

from __future__ import annotations

from gateway.conductor.ask import Ask, has_several
from gateway.conductor.rename import rename_in_events
from gateway.conductor.streaming import PROVIDERS_KINDS
from gateway.errors import FailedStream, IncompleteStream, UpstreamError
from gateway.upstream.concealment import conceal_events
from gateway.upstream.grammars import grammar_of
from gateway.upstream.key import Key
from gateway.wire.sse import EndTap, Event

CHAT = frozenset({"chat", "completions"})
"""Shapes whose streams go on after the reason why they end: with usage, and DONE."""

DONE = b"[DONE]"


class Passing:
    """One stream's. `model` replaces the one that the events name, unless it is empty. Of a shape that nobody looks
    into it is not known how its streams end: every one is whole, and `end` is None."""

    def __init__(self, ask: Ask, key: Key, model: str) -> None:
        self._ask = ask
        self._key = key
        self._model = model
        self._error: Event | None = None  # the last event that was looked at, if it is one
        grammar = grammar_of(ask.shape)
        self.end = None if grammar is None else EndTap(grammar.marks, several=has_several(ask))
        self._grammar = grammar or grammar_of("responses" if ask.shape == "stored" else "chat")

    def change(self, events: bytes) -> bytes:
        """Whole events, as the client gets them."""
        if self.end is not None:
            self.end.feed(events)
        if b"error" in events:
            events = self._conceal(events)
        return rename_in_events(events, self._model) if self._model else events

    @property
    def over(self) -> bool:
        """Whether the stream has come to its end, so that nothing is missing if the connection fails."""
        if self.end is None or not self.end.seen:
            return False
        return self._ask.shape not in CHAT or DONE in self.end.last

    def fault(self, rest: bytes) -> UpstreamError | None:
        """What is wrong with a stream whose bytes have ended; `rest` is an event that nobody ended."""
        self._error = None
        if self.end is not None and not self.end.whole(rest, self._is_last):
            return IncompleteStream("its stream ended before the answer did")
        return self._failure()

    def _conceal(self, events: bytes) -> bytes:
        event = self._ask.error_event
        silent = UpstreamError("what it said is left out, since it repeats the gateway's key")
        instead = b"" if event is None else event(silent)
        return conceal_events(self._key, events, self._is_error, instead)

    def _is_error(self, event: Event) -> bool:
        return self._grammar is not None and self._grammar.classify(event) == "error"

    def _is_last(self, event: Event) -> bool:
        kind = None if self._grammar is None else self._grammar.classify(event)
        self._error = event if kind == "error" else None
        return kind in ("error", "done")

    def _failure(self) -> UpstreamError | None:
        """What the last event tells, if it is an error. A prompt may bring a filter down on itself."""
        if self._error is None:
            return None
        theirs = True
        if self._grammar is not None and self._ask.dialect is not None:
            from gateway.dialects.registry import failure_reader  # seldom needed

            said = self._grammar.carried_error(self._error)
            theirs = failure_reader(self._ask.dialect)(0, said).kind in PROVIDERS_KINDS
        return FailedStream("its stream ended with an error", theirs=theirs)
