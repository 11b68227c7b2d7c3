"""How much text there is in an answer that is passed on: for the estimate of one whose usage nobody reported.

In streams, whose events nobody reads, the strings count that carry output in a dialect, as they are escaped in JSON; a
repetition of the whole at the end of an item is left out where it has another name. Events with output that is no
string, such as a call's arguments, count as a whole: rather too much than too little.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_STRING = rb'"\s*:\s*"((?:[^"\\]++|\\.)*+)"'

TEXTS: Mapping[str, re.Pattern[bytes]] = {
    shape: re.compile(rb'"(?:' + names + _STRING)
    for shape, names in {
        "chat": rb"content|reasoning_content|reasoning|arguments|refusal|text|thinking)",
        "completions": rb"text)",
        "messages": rb"text|thinking|partial_json)",
        "responses": rb"delta)",
        "generate": rb"text)",
        "array": rb"text)",
    }.items()
}
"""By the shape of the call. Mistral's thoughts are lists of texts in `content`."""

_OBJECTS = re.compile(rb'"(?:functionCall|inlineData|executableCode)"\s*:\s*\{')

OBJECTS: Mapping[str, re.Pattern[bytes]] = {
    "chat": re.compile(rb'"b64_json"\s*:\s*"|"image_url"\s*:\s*\{|"audio"\s*:\s*\{'),
    "messages": re.compile(rb'"input"\s*:\s*\{\s*"'),
    "generate": _OBJECTS,
    "array": _OBJECTS,
}
"""What events count for as a whole."""

PLACES: Mapping[str, str] = {
    "chat": "choices",
    "completions": "choices",
    "messages": "content",
    "responses": "output",
    "generate": "candidates",
    "array": "candidates",
}
"""Where a whole answer has what it says."""

FRAME = frozenset(
    {
        "id", "type", "role", "status", "object", "call_id", "finish_reason", "native_finish_reason", "finishReason",
        "stop_reason",
    }
)  # fmt: skip
"""Fields there that say nothing."""

_USAGE = re.compile(rb'"usage(?:Metadata)?"\s*:\s*\{')

CARRY_LIMIT = 64 * 1024
"""Bytes of an unfinished line that are kept. A longer one counts as a whole."""

UNREAD_LIMIT = 16 * 1024
"""Bytes that wait to be looked at together: some seventy events of a word each, and no more than what an open stream
takes anyway."""


class OutputTap:
    """Events are looked at when somebody asks, and together: nobody does where a stream reports its usage before many
    have come."""

    __slots__ = ("_carry", "_objects", "_seen", "_since_report", "_size", "_texts", "_unread")

    def __init__(self, shape: str) -> None:
        self._texts = TEXTS.get(shape)
        self._objects = OBJECTS.get(shape)
        self._carry = b""
        self._unread: list[bytes] = []
        self._size = 0  # of them
        self._seen = 0
        self._since_report = 0

    @property
    def seen(self) -> int:
        """Bytes of text in all."""
        self._read()
        return self._seen

    @property
    def since_report(self) -> int:
        """Bytes of text after the last report of usage."""
        self._read()
        return self._since_report

    def feed(self, events: bytes) -> None:
        """Take the next bytes, which are whole events."""
        if self._texts is None:
            return
        self._unread.append(events)
        self._size += len(events)
        if self._size > UNREAD_LIMIT:
            self._read()

    def feed_part(self, data: bytes) -> None:
        """Look at the next bytes, cut anywhere. No string in JSON goes over the end of a line."""
        data = self._carry + data
        end = data.rfind(b"\n") + 1
        self._carry = data[end:]
        self.feed(data[:end])
        if len(self._carry) > CARRY_LIMIT:
            self.add(len(self._carry))
            self._carry = b""

    def flush(self) -> None:
        """There are no more parts."""
        rest, self._carry = self._carry, b""
        self.feed(rest)

    def add(self, size: int) -> None:
        """Text that somebody else has found."""
        self._read()
        self._seen += size
        self._since_report += size

    def report(self) -> None:
        """Somebody else has found a report of usage."""
        self._read()
        self._since_report = 0

    def _read(self) -> None:
        unread = self._unread
        if not unread or self._texts is None:
            return
        self._unread, self._size = [], 0
        together = b"".join(unread)
        if self._objects is not None and self._objects.search(together) is not None:
            for events in unread:  # of which only those count as a whole that have one
                self._look(self._texts, events)
        else:
            self._look(self._texts, together)

    def _look(self, texts: re.Pattern[bytes], events: bytes) -> None:
        self.add(self._size_of(texts, events))
        if b'"usage' in events and (reports := list(_USAGE.finditer(events))):
            self._since_report = self._size_of(texts, events[reports[-1].end() :])

    def _size_of(self, texts: re.Pattern[bytes], events: bytes) -> int:
        if self._objects is not None and self._objects.search(events) is not None:
            return len(events)
        return sum(map(len, texts.findall(events)))


def text_size(decoded: object, shape: str) -> int:
    """Bytes of all strings in what a whole answer says."""
    place, size = PLACES.get(shape, ""), 0
    rest = [one.get(place) for one in (decoded if isinstance(decoded, list) else [decoded]) if isinstance(one, dict)]
    while rest:  # JSON may be deeper than Python's stack
        value = rest.pop()
        if isinstance(value, dict):
            rest.extend(inside for name, inside in value.items() if name not in FRAME)
        elif isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, str):
            size += len(value.encode("utf-8", "replace"))
    return size
