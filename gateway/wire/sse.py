"""Server-Sent Events: taps on a stream that passes through, and a reader of events.

None changes a byte: whoever forwards the stream forwards what it received. `UsageTap` and `EndTap` see every chunk of
every stream that passes through and must cost next to nothing; `EventReader` is exact, and used until a stream is
committed and for the whole of one that is translated. All look at each byte once, however the bytes are cut.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gateway import jsonlib
from gateway.quick import dataclass

MAX_LINE = 1 << 20
"""Bytes of an unfinished line that the tap keeps. A usage payload has some hundred bytes; a Responses answer
repeats its whole output beside the usage, and only base64 images make that larger than this."""

LINE_END = 64 * 1024
"""Bytes that are kept of a longer one. Usage comes behind the output."""

TRIES = 16
"""Places in them that are looked at. Others than the payload's own are what it repeats of a request."""

MAX_EVENT = 1 << 20
"""Bytes of one unfinished event that the reader keeps."""

MAX_IMAGE_EVENT = 32 << 20
"""The same where answers are translated: Gemini and Responses send an image whole, in base64, in one event. A picture
of 4096 pixels square has up to 20 MB as PNG."""

LAST_EVENTS = 64 * 1024
"""Bytes at a stream's end among which the last event is looked for: a `[DONE]`, or an error with what it says."""

EVENT_ENDS = (b"\n\n", b"\n\r\n", b"\r\r")
"""The line ends that may close an event; the second also ends one with CRLF throughout."""

_BOM = b"\xef\xbb\xbf"
_MARK = b'"usage'
_USAGE_OBJECT = re.compile(rb'"usage(?:Metadata)?"\s*:\s*\{')


class UsageTap:
    """Remembers the first and the last payload with a usage object while a stream's bytes pass by.

    Bytes may be cut anywhere; lines end with LF, CRLF or CR. A payload over several `data:` lines is not
    put together: no provider splits one. Of a line longer than `MAX_LINE` only the end counts.
    """

    __slots__ = ("_carry", "_first", "_last", "_line_end", "_skipping")

    def __init__(self) -> None:
        self._carry = bytearray()
        self._first = b""
        self._last = b""
        self._skipping = False
        self._line_end = b""  # of the line that is skipped

    def feed(self, data: bytes) -> None:
        """Look at the next bytes. On nearly every call these are whole lines without usage."""
        if not self._carry and data.endswith(b"\n"):
            if _MARK in data or self._skipping:
                self._take(data)
        else:
            self._feed_part(data)

    @property
    def payloads(self) -> list[dict[str, Any]]:
        """The first and the last JSON object that had a usage object somewhere in it; a line cut off by the stream's
        end counts if it is whole JSON."""
        lines = dict.fromkeys((self._first, self._last, bytes(self._carry)))
        return [payload for line in lines if (payload := _payload(line)) is not None]

    def _feed_part(self, data: bytes) -> None:
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if end:
            self._carry += data[:end]
            lines = bytes(self._carry)
            self._carry.clear()
            self._take(lines)
            data = data[end:]
        if self._skipping:
            self._line_end = (self._line_end + data)[-LINE_END:]
        elif len(self._carry) + len(data) > MAX_LINE:
            self._line_end = (bytes(self._carry[-LINE_END:]) + data)[-LINE_END:]
            self._carry.clear()
            self._skipping = True
        else:
            self._carry += data

    def _take(self, lines: bytes) -> None:
        """Whole lines, but for the first one if its beginning was skipped."""
        if self._skipping:
            self._skipping = False
            rest, _, lines = lines.replace(b"\r", b"\n").partition(b"\n")
            self._note(_report_at_end((self._line_end + rest)[-LINE_END:]))
        if not _USAGE_OBJECT.search(lines):
            return  # nothing, or the `"usage":null` of every chunk before the last
        for line in lines.splitlines():
            if _is_report(line):
                self._note(line)

    def _note(self, line: bytes) -> None:
        self._first = self._first or line
        self._last = line or self._last


def _is_report(line: bytes) -> bool:
    return line.removeprefix(_BOM).startswith(b"data:") and _USAGE_OBJECT.search(line) is not None


def _report_at_end(line: bytes) -> bytes:
    """What a line ends with from its payload's usage on, as a line of its own; empty if it has none. The usage is the
    payload's own, or that of the `response` in it: for any other, brackets do not match."""
    for match in list(_USAGE_OBJECT.finditer(line))[-TRIES:]:
        for before in (b"{", b'{"response":{'):
            payload = before + line[match.start() :]
            try:
                jsonlib.loads(payload)
            except ValueError:
                continue
            return b"data:" + payload
    return b""


def _payload(line: bytes) -> dict[str, Any] | None:
    if not _USAGE_OBJECT.search(line):
        return None
    try:
        value = jsonlib.loads(line.removeprefix(_BOM).removeprefix(b"data:"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class Marks(NamedTuple):
    """What a dialect's streams are known by. `own` stands in every stream of the dialect, `finished` where an answer
    ends; no text within an answer has them, since in JSON its quotes are escaped. What is not text may have them: the
    Responses API repeats a client's schemas as they are. So the bytes are only a hint, and `ends` reads the event.
    `answers`, where a request may have several side by side: the numbers of those in an event, and whether they end."""

    own: bytes
    finished: re.Pattern[bytes]
    ends: Callable[[Event], bool]
    answers: Callable[[Event], Mapping[int, bool]] | None = None

    def end_in(self, events: bytes) -> bool:
        """Whether an answer ends in one of these whole events."""
        if self.finished.search(events) is None:
            return False
        return any(self.ends(event) for event in _read(events))


class EndTap:
    """Tells, when the bytes of a stream have ended, whether the stream had. With `several` answers side by side it has
    not before each of them that was seen has ended; then every event is read. One that comes in pieces is not: what its
    bytes hint at has to do."""

    __slots__ = ("_answers", "_hinted", "_known", "_last", "_marks", "_whole", "_within", "ends")

    def __init__(self, marks: Marks, *, several: bool = False) -> None:
        self._marks = marks
        self._answers: dict[int, bool] | None = {} if several and marks.answers is not None else None
        self._known = False
        self._whole = False
        self._last = b""
        self._within = False  # an event of which pieces were seen
        self._hinted = False  # ... and an answer may end in it
        self.ends = False  # an answer ends in the events that were seen last

    def feed(self, events: bytes) -> None:
        """Look at the next bytes, which are whole events, or a piece of one."""
        self._last = events[-LAST_EVENTS:]
        self.ends = self._marks.end_in(events)
        if self._answers is not None:
            for event in _read(events):
                self._note(event)
        if self._within or not events.endswith(EVENT_ENDS):
            self._feed_piece(events)
        self._whole = self._whole or self.ends
        self._known = self._known or self._marks.own in events

    @property
    def seen(self) -> bool:
        """Whether an answer has ended, and none is under way."""
        return self._whole and not self._under_way

    @property
    def last(self) -> bytes:
        """The newest events, bounded."""
        return self._last

    def whole(self, rest: bytes, is_last: Callable[[Event], bool]) -> bool:
        """`rest` is an event that nobody ended. `is_last` says whether a stream may end with an event that has no
        mark of its own, such as an error. A stream of another dialect has no end that is known here, but an event of it
        may be half."""
        if self.seen or self._ends_with(rest):
            return True
        if not self._known and self._marks.own not in rest:
            return not _is_half(_split(rest)[1])
        events = _read(self._last + rest)
        for event in events:
            self._note(event)
        ends = _no_end if self._under_way else self._marks.ends
        return any(ends(event) or is_last(event) for event in events)

    def _feed_piece(self, piece: bytes) -> None:
        self._answers = None
        end = min((at for mark in EVENT_ENDS if (at := piece.find(mark)) >= 0), default=None)
        self._hinted = self._hinted or self._marks.finished.search(piece[:end]) is not None
        self._within = not piece.endswith(EVENT_ENDS)
        if not self._within:
            self.ends, self._hinted = self.ends or self._hinted, False

    def _ends_with(self, rest: bytes) -> bool:
        """Whether the bytes ended with the last piece of an event, in which an answer may end."""
        if not self._within or not (self._hinted or self._marks.finished.search(rest)):
            return False
        return (self._last + rest).rstrip().endswith(b"}")

    @property
    def _under_way(self) -> bool:
        return self._answers is not None and not all(self._answers.values())

    def _note(self, event: Event) -> None:
        """Which of several answers it is about."""
        if self._answers is None:
            return
        assert self._marks.answers is not None
        for number, ended in self._marks.answers(event).items():
            self._answers[number] = ended or self._answers.get(number, False)


def _no_end(event: Event) -> bool:
    return False


def _read(events: bytes) -> list[Event]:
    """All events in these bytes. The last one may lack its blank line, but not half of its JSON."""
    found, rest = _split(events)
    return found if rest is None or _is_half(rest) else [*found, rest]


def _split(events: bytes) -> tuple[list[Event], Event | None]:
    """Whole events, and what stands behind them."""
    reader = EventReader(len(events) + 1)
    return reader.feed(events), reader.rest()


def _is_half(event: Event | None) -> bool:
    """Whether it is a JSON object that nobody ended."""
    if event is None or not event.data.startswith("{"):
        return False
    try:
        jsonlib.loads(event.data)
    except ValueError:
        return True
    return False


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `event` is its type, "message" unless the stream says otherwise; `data` has its lines joined by LF."""

    event: str
    data: str


class EventReader:
    """Parses a stream as the WHATWG specification says: LF, CRLF or CR, a BOM, comments, data over several
    lines, bytes cut anywhere. An event without data is no event, and `id` and `retry` matter to browsers alone.

    The specification drops an event that the stream's end cuts off; `rest` gives it, since some providers leave out
    the last blank line.
    """

    __slots__ = ("_after_cr", "_carry", "_data", "_event", "_max", "_size", "_started")

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._carry = bytearray()  # the unfinished line, without any line end
        self._event = b""
        self._data: list[bytes] = []
        self._size = 0  # of `_data`
        self._started = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. Raises ValueError when one grows beyond the limit."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")  # the second half of a CRLF, whose line has been taken
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        events: list[Event] = []
        if end:
            self._after_cr = data.endswith(b"\r")
            lines = data[:end]
            if self._carry:
                self._carry += lines
                lines = bytes(self._carry)
                self._carry.clear()
            for line in lines.splitlines():
                if (event := self._take(line)) is not None:
                    events.append(event)
            data = data[end:]
        self._carry += data
        if self._size + len(self._carry) > self._max:
            raise ValueError(f"an event of more than {self._max} bytes")
        return events

    def rest(self) -> Event | None:
        """What stands behind the last blank line, once the bytes have ended: an event if it has data, perhaps half a
        line of it."""
        line = bytes(self._carry)
        self._carry.clear()
        if line:
            self._take(line)
        return self._dispatch()

    def _take(self, line: bytes) -> Event | None:
        if not self._started:
            self._started = True
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        if line.startswith(b"data:"):
            self._add(line[6:] if line.startswith(b" ", 5) else line[5:])
        elif line == b"data":
            self._add(b"")
        elif line.startswith(b"event:"):
            self._event = line[6:].removeprefix(b" ")
        elif line == b"event":
            self._event = b""
        return None  # a comment, or a field that does not matter

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._size += len(value) + 1
        if self._size > self._max:
            raise ValueError(f"an event of more than {self._max} bytes")

    def _dispatch(self) -> Event | None:
        name, lines = self._event, self._data
        self._event, self._data, self._size = b"", [], 0
        if not lines:
            return None
        return Event(name.decode("utf-8", "replace") or "message", b"\n".join(lines).decode("utf-8", "replace"))
