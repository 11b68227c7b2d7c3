"""Usage in a body that passes by as it is, found at its ends.

In Gemini's stream as one JSON array the last `usageMetadata` counts, which is within the last few hundred bytes; the
text of the last piece may stand behind it only in answers that nobody has seen. And whether that was the end is known.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any

from gateway import jsonlib

TAIL = 64 * 1024
"""Bytes that are kept."""

MARK = '"usageMetadata"'


class UsageTail:
    """Keeps the end of what passes by."""

    __slots__ = ("_begin", "_tail")

    def __init__(self) -> None:
        self._begin = b""
        self._tail = b""

    def feed(self, data: bytes) -> None:
        self._begin = self._begin or data.lstrip()[:1]
        self._tail = (self._tail + data)[-TAIL:]

    @property
    def whole(self) -> bool:
        """Whether an array has been closed; whatever else came has no end that is known here."""
        return self._begin != b"[" or self._tail.rstrip().endswith(b"]")

    @property
    def payloads(self) -> list[dict[str, Any]]:
        """`{"usageMetadata": …}`, the last one, or nothing."""
        text = self._tail.decode("utf-8", "replace")
        at = text.rfind(MARK)
        begin = text.find("{", at)
        if at < 0 or begin < 0:
            return []
        try:
            usage, _ = json.JSONDecoder().raw_decode(text, begin)
        except ValueError:
            return []
        return [{"usageMetadata": usage}]


_USAGE = re.compile(r'"(usage(?:Metadata)?)"\s*:\s*(?=\{)')

TRIES = 16
"""Places that are looked at from each side. Others than the answer's own are what it repeats of a request."""


class UsageAround:
    """Usage in one JSON object that is too long to be read: its own field `usage` or `usageMetadata`, near its end
    (OpenAI, Anthropic, Gemini) or near its beginning (Mistral)."""

    __slots__ = ("_head", "_tail")

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""

    def feed(self, data: bytes) -> None:
        if len(self._head) < TAIL:
            self._head += data[: TAIL - len(self._head)]
        self._tail = (self._tail + data)[-TAIL:]

    @property
    def whole(self) -> bool:
        """What such a body ends with is not known here."""
        return True

    @property
    def payloads(self) -> list[dict[str, Any]]:
        """`{"usage": …}` or `{"usageMetadata": …}`, or nothing. What stands deeper within the object is not taken: then
        brackets do not match."""
        tail = self._tail.decode("utf-8", "replace")
        for match in list(_USAGE.finditer(tail))[-TRIES:]:
            if (usage := _field("{" + tail[match.start() :], match[1])) is not None:
                return [usage]
        head = self._head.decode("utf-8", "replace")
        for match in islice(_USAGE.finditer(head), TRIES):
            try:
                _, end = json.JSONDecoder().raw_decode(head, match.end())
            except ValueError:
                continue
            if (usage := _field(head[:end] + "}", match[1])) is not None:
                return [usage]
        return []


def _field(text: str, name: str) -> dict[str, Any] | None:
    """The object with this field alone. None if the text is no object, or the field is no object in it."""
    try:
        decoded = jsonlib.loads(text)
    except ValueError:
        return None
    value = decoded.get(name) if isinstance(decoded, dict) else None
    return {name: value} if isinstance(value, dict) else None
