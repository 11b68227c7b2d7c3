"""One conversation of one SDK, whichever it is: what a test wishes for, says and hears.

What the SDK gave is put into the history as its users put it there, as the SDK's own objects; of streams those that the
SDK's helper puts together.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Protocol

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
BUDGET = 2048
MAX_TOKENS = 8000


@dataclass(frozen=True, slots=True)
class Called:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `finish` is the SDK's word; `usage` is (input, of it cached, output, of it thoughts)."""

    text: str = ""
    thoughts: str = ""
    calls: tuple[Called, ...] = ()
    finish: str = ""
    usage: tuple[int, int, int, int] = (0, 0, 0, 0)
    model: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a test asks for beside words. `choice` is "", "required", "none" or a tool's name."""

    system: str = ""
    tools: tuple[str, ...] = ()
    choice: str = ""
    schema: dict[str, Any] | None = None
    thinking: bool = False
    adaptive: bool = False
    stop: tuple[str, ...] = ()
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave: a text, or an image."""

    call: Called
    text: str = ""
    image: bytes = b""
    failed: bool = False


def tool_schema(name: str) -> dict[str, Any]:
    """With what plain JSON Schema has and some providers have not."""
    return {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": f"for {name}"},
            "days": {"type": ["integer", "null"], "minimum": 1},
            "unit": {"$ref": "#/$defs/unit"},
        },
        "required": ["city"],
        "additionalProperties": False,
        "$defs": {"unit": {"type": "string", "enum": ["C", "F"]}},
    }


class Talk(Protocol):
    """One conversation. `model` may be changed between turns."""

    model: str

    async def say(self, text: str, *, image: bytes = b"", pdf: bytes = b"") -> Said:
        """The user's turn."""
        ...

    async def give(self, *results: Result) -> Said:
        """What the tools of the last answer gave."""
        ...
