"""Usage at the end of a body that passes by as it is, and whether that was the end: Gemini's stream as one JSON array.

The last `usageMetadata` counts, which is within the last few hundred bytes; the text of the last piece may stand
behind it only in answers that nobody has seen.
"""

from __future__ import annotations

import json
from typing import Any

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
