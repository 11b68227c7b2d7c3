"""Calls that are asked for whole, though their client wants a stream: `streaming.mode = "disabled"`.

The request stays as it is but for what asks for the stream. The answer is read as a part of the attempt and becomes a
stream of the client's own dialect, field for field. Where client and provider speak different dialects `Translation`
does both. Nothing here waits for anybody, and nothing is imported before a call needs it.
"""

from __future__ import annotations

import re

from gateway import jsonlib
from gateway.conductor.ask import Ask, may_ask_for_usage
from gateway.conductor.lastword import without_usage_chunk
from gateway.conductor.rename import FIELDS, rename_in_events
from gateway.conductor.translation import translate_failure, whole_place
from gateway.conductor.usagewords import tapped_usage, usage_words
from gateway.dialects.dialect import MalformedAnswerError
from gateway.dialects.names import DialectName
from gateway.dialects.registry import Dialect
from gateway.usage import Usage
from gateway.wire.output_tap import OutputTap
from gateway.wire.sse import EventReader, UsageTap

_STREAM = re.compile(rb'"stream"\s*:\s*(true)')
_OPTION = rb'"stream_options"\s*:\s*(?:\{[^{}]*\}|null)'
_OPTIONS = re.compile(rb",\s*%b|%b\s*,?" % (_OPTION, _OPTION))


def whole_body(body: bytes) -> bytes:
    """A request in JSON that does not ask for a stream: the same bytes, if the words for it stand there but once."""
    asked = jsonlib.loads(body)
    if "stream" not in asked and "stream_options" not in asked:
        return body  # Gemini asks in the path
    wanted = {name: value for name, value in asked.items() if name != "stream_options"}
    if "stream" in wanted:
        wanted["stream"] = False
    places = [match.span(1) for match in _STREAM.finditer(body)]
    if len(places) == 1:
        start, end = places[0]
        edited = b"%bfalse%b" % (body[:start], body[end:])
        if "stream_options" in asked:
            edited = _OPTIONS.sub(b"", edited, count=1)
        if _says(edited, wanted):
            return edited
    return jsonlib.dumps(wanted)


def _says(body: bytes, wanted: dict[str, object]) -> bool:
    try:
        return bool(jsonlib.loads(body) == wanted)
    except ValueError:
        return False


class Unstreamed:
    """One call in the provider's own dialect. See `crossing.Crossing`. `name` is what the client calls the model, if
    the provider calls it otherwise."""

    def __init__(self, ask: Ask, dialect: Dialect, body: bytes, name: str) -> None:
        self._ask = ask
        self._dialect = dialect
        self._name = name
        self._events = b""
        self.body = whole_body(body)
        self.streamed = False
        self.usage: Usage | None = None
        self.output = OutputTap("")

    @property
    def dialect(self) -> DialectName:
        return self._dialect.name

    @property
    def shape(self) -> str:
        return self._ask.shape

    @property
    def place(self) -> tuple[str, str]:
        return whole_place(self._ask)

    @property
    def dropped(self) -> str:
        return ""

    def read(self, decoded: object) -> None:
        self._events = as_stream(decoded, self._ask, self._name)
        self.usage = usage_words(self.shape).read(decoded)

    def read_stream(self, body: bytes) -> None:
        """Of a provider that streams whatever it is asked: its own stream, now that all of it is there."""
        tap, self.output = UsageTap(), OutputTap(self.shape)
        tap.feed(body)
        self.output.feed(body)
        self.usage = tapped_usage(tap, usage_words(self.shape))
        if self._ask.array:
            reader = EventReader(len(body) + 1)
            events = [event.data for event in (*reader.feed(body), reader.rest()) if event is not None]
            body = f"[{','.join(events)}]".encode()
        elif not _reports_usage(self._ask):
            body = without_usage_chunk(body)
        self._events = rename_in_events(body, self._name) if self._name else body

    def written(self) -> bytes:
        return self._events

    def failure(self, status: int, said: object) -> tuple[int, bytes, float | None]:
        return translate_failure(self._dialect, self._dialect, status, said)


def as_stream(decoded: object, ask: Ask, name: str) -> bytes:
    """A whole answer as the stream that the client has asked for, in the same dialect. `name` is for the model, unless
    it is empty. Raises MalformedAnswerError for what is no answer."""
    if name and isinstance(decoded, dict):
        decoded = {**decoded, **{field: name for field in FIELDS if field in decoded}}
    try:
        return _stream(decoded, ask)
    except (RecursionError, TypeError):  # JSON can be read deeper than it can be written
        raise MalformedAnswerError("it is nested too deeply") from None


def _stream(decoded: object, ask: Ask) -> bytes:
    match ask.shape:
        case "chat":
            from gateway.dialects.openai_chat.whole_stream import stream_chat

            return stream_chat(decoded, usage=_reports_usage(ask))
        case "completions":
            from gateway.dialects.openai_chat.whole_stream import stream_completion

            return stream_completion(decoded, usage=_reports_usage(ask))
        case "responses":
            from gateway.dialects.openai_responses.whole_stream import stream_response

            return stream_response(decoded)
        case "messages":
            from gateway.dialects.anthropic.whole_stream import stream_message

            return stream_message(decoded)
        case _:
            from gateway.dialects.gemini.whole_stream import stream_generation

            return stream_generation(decoded, array=ask.array)


def _reports_usage(ask: Ask) -> bool:
    """Whether the client sees usage: who speaks Chat Completions or Completions has to ask for it."""
    return not may_ask_for_usage(ask)
