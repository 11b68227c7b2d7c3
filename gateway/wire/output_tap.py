"""How much text has passed by in a stream whose events nobody reads: for the estimate of one that broke off.

Counts the strings that carry output in a dialect, as they are escaped in JSON; a repetition of the whole at the end of
an item is left out where it has another name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_STRING = rb'"\s*:\s*"((?:[^"\\]++|\\.)*+)"'

TEXTS: Mapping[str, re.Pattern[bytes]] = {
    shape: re.compile(rb'"(?:' + names + _STRING)
    for shape, names in {
        "chat": rb"content|reasoning_content|reasoning|arguments|refusal)",
        "completions": rb"text)",
        "messages": rb"text|thinking|partial_json)",
        "responses": rb"delta)",
        "generate": rb"text)",
    }.items()
}
"""By the shape of the call."""

_USAGE = re.compile(rb'"usage(?:Metadata)?"\s*:\s*\{')


class OutputTap:
    """`seen` are bytes of text in all, `since_report` those after the last report of usage."""

    __slots__ = ("_texts", "seen", "since_report")

    def __init__(self, shape: str) -> None:
        self._texts = TEXTS.get(shape)
        self.seen = 0
        self.since_report = 0

    def feed(self, events: bytes) -> None:
        """Look at the next bytes, which are whole events."""
        if self._texts is None:
            return
        self.add(sum(map(len, self._texts.findall(events))))
        if b'"usage' in events and (reports := list(_USAGE.finditer(events))):
            self.since_report = sum(map(len, self._texts.findall(events, reports[-1].end())))

    def add(self, size: int) -> None:
        """Text that somebody else has found."""
        self.seen += size
        self.since_report += size
