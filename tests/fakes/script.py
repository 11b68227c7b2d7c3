"""The model behind the fake APIs: it does what the user's last script says, so that a test reads as its own script.

    DO think First. | call weather {"city": "Paris"} | call weather {"city": "Rome"} // say Both are sunny.

` // ` separates the model's turns, ` | ` the parts of one. Which turn is played depends on how often the model has
spoken since that text; a user who gives no script is answered with GREETING.

| part          | what the model does                                                            |
|---------------|--------------------------------------------------------------------------------|
| `say TEXT`    | says it                                                                        |
| `think TEXT`  | thinks it, if the request lets it think                                        |
| `redact`      | thinks what nobody may see (Anthropic)                                         |
| `call NAME A` | calls a tool with the arguments A, a JSON object                               |
| `json A`      | says A if it was made to answer in JSON, else the same with prose around it    |
| `see`         | says what it was given, as JSON: a `Heard`                                     |
| `stop WHY`    | ends with one of STOPS                                                         |
| `fail HOW`    | the API answers with one of FAILURES instead                                   |
| `break`       | the API fails here, in the middle of its stream; without a stream: `fail server` |
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

GREETING = "Hello from the fake provider."
STOPS = ("length", "filter", "stop_sequence")
FAILURES = ("rate", "bad", "server", "overloaded", "context")

INPUT, CACHED, TEXT_TOKENS, THOUGHT_TOKENS = 100, 30, 40, 25
"""What every answer costs: input that was not cached, input that was, text; and thoughts where there were any."""

WRITTEN_5M, WRITTEN_1H = 15, 5
"""Anthropic alone tells what was written to its cache."""

SCRIPT = re.compile(r"\bDO (?:say|think|redact|call|json|see|stop|fail|break)\b.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Heard:
    """A request as the model understands it, whatever API it came by. `media` are (type, bytes), `results` what tools
    gave: (tool, text, whether it failed). `format` is "", "json" or the schema."""

    system: str = ""
    turns: list[tuple[str, str]] = field(default_factory=list)
    media: list[tuple[str, int]] = field(default_factory=list)
    results: list[tuple[str, str, bool]] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    choice: str = ""
    format: Any = ""
    thinking: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    stop: list[str] = field(default_factory=list)

    @property
    def prompt(self) -> str:
        """The user's last script, "" for none. Agents put words of their own before and behind it."""
        found = (SCRIPT.search(text) for role, text in reversed(self.turns) if role == "user")
        return next((script[0] for script in found if script), "")

    @property
    def spoken(self) -> int:
        """How often the model has spoken since."""
        turns = list(reversed(self.turns))
        at = next((n for n, (role, text) in enumerate(turns) if role == "user" and SCRIPT.search(text)), len(turns))
        return sum(role == "assistant" for role, _ in turns[:at])


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Think:
    text: str


@dataclass(frozen=True, slots=True)
class Redact:
    pass


@dataclass(frozen=True, slots=True)
class CallTool:
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Break:
    pass


Part = Say | Think | Redact | CallTool | Break


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model says. `stop` is "", "tools" or one of STOPS."""

    parts: tuple[Part, ...]
    stop: str = ""

    @property
    def thought_tokens(self) -> int:
        return THOUGHT_TOKENS if any(isinstance(part, Think | Redact) for part in self.parts) else 0

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Say))

    @property
    def breaks(self) -> bool:
        return any(isinstance(part, Break) for part in self.parts)


class FailingError(Exception):
    """The script wants the API to fail. `args[0]` is one of FAILURES."""


def play(heard: Heard) -> Turn:
    """What the model answers. Raises FailingError."""
    if not heard.prompt:
        return Turn((Say(GREETING),))
    turns = heard.prompt.removeprefix("DO ").split(" // ")
    if heard.spoken >= len(turns):
        raise AssertionError(f"the script ends before turn {heard.spoken + 1}: {heard.prompt!r}")
    parts: list[Part] = []
    stop = ""
    for command in turns[heard.spoken].split(" | "):
        word, _, rest = command.strip().partition(" ")
        if word == "stop":
            assert rest in STOPS, rest
            stop = rest
        elif word == "fail":
            assert rest in FAILURES, rest
            raise FailingError(rest)
        else:
            parts += _parts(word, rest, heard)
    return Turn(tuple(parts), stop or ("tools" if any(isinstance(part, CallTool) for part in parts) else ""))


def _parts(word: str, rest: str, heard: Heard) -> Iterator[Part]:
    match word:
        case "say":
            yield Say(rest)
        case "think" if heard.thinking:
            yield Think(rest)
        case "redact" if heard.thinking:
            yield Redact()
        case "think" | "redact":
            pass
        case "call":
            name, _, arguments = rest.partition(" ")
            assert name in heard.tools, f"the model knows no tool {name!r} but {heard.tools}"
            yield CallTool(name, json.loads(arguments or "{}"))
        case "json":
            wanted = rest if heard.format else f"Sure! Here is your JSON: {rest}"
            forced = heard.choice if heard.choice in heard.tools else ""
            yield CallTool(forced, json.loads(rest)) if forced else Say(wanted)
        case "see":
            yield Say(json.dumps(asdict(heard)))
        case "break":
            yield Break()
        case _:
            raise AssertionError(f"no such command: {word!r}")


def pieces(text: str, size: int = 7) -> list[str]:
    """A text as it is streamed. JSON and words are cut anywhere."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def sign(maker: str, content: str) -> str:
    """What only `maker` can have written beneath `content`: base64 with everything that base64 can have, and as long as
    theirs is."""
    digest = hashlib.sha256(f"{maker}\n{content}".encode()).digest()
    return base64.b64encode(b"\xfb\xef\xff" + digest * 4 + b"!").decode()


def canonical(value: object) -> str:
    """The same text for equal JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
