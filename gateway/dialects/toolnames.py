"""Names of tools as providers take them.

A name that a provider would refuse is rewritten: what it does not take becomes `_`, what is too long is cut. No two
names of a request become the same, and none becomes one that stands in the request already, so that the table read
backwards (`Plan.names`) gives every tool its own name again.

Clients of the provider's own dialect are taken at their word: they know which names there are.

Sources: https://platform.openai.com/docs/api-reference/chat/create and /responses/create (tools),
https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools, https://ai.google.dev/api/caching#FunctionDeclaration
(128 characters by now; older models and Vertex AI take 64)
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from itertools import count
from typing import NamedTuple

from gateway.dialects.conversation import Request, Tool, ToolCall, ToolResult
from gateway.dialects.names import DialectName

MAX_NAME = 64
"""Characters of a name, with all four."""

_STEM = 50
"""Characters that no number behind a name replaces."""


class _Taken(NamedTuple):
    """`wrong`: a character that no name has. `begins`: what one may begin with."""

    wrong: re.Pattern[str]
    begins: re.Pattern[str]


_OPENAI = _Taken(re.compile(r"[^a-zA-Z0-9_-]"), re.compile(r"[a-zA-Z0-9_-]"))

_TAKEN: Mapping[DialectName, _Taken] = {
    "openai_chat": _OPENAI,
    "openai_responses": _OPENAI,
    "anthropic": _OPENAI,
    "gemini": _Taken(re.compile(r"[^a-zA-Z0-9_.:-]"), re.compile(r"[a-zA-Z_]")),
}


def rewritten_names(request: Request, dialect: DialectName) -> dict[str, str]:
    """What a provider of `dialect` gets for the names that it would refuse, by the client's names. Tools that were only
    called, and are not offered any more, are among them."""
    if request.dialect == dialect:
        return {}
    own = dict.fromkeys(_names_in(request))
    taken = {name for name in own if _is_taken(name, dialect)}
    numbers: dict[str, Iterator[int]] = {}  # no number is tried twice, whatever a client's names are
    rewritten: dict[str, str] = {}
    for name in [each for each in own if each not in taken]:
        fitted = _fitted(name, dialect)
        rewritten[name] = free_name(fitted, taken, numbers.setdefault(fitted[:_STEM], count(2)))
        taken.add(rewritten[name])
    return rewritten


def free_name(name: str, known: Container[str], numbers: Iterator[int] | None = None) -> str:
    """The name, or with a number behind it if it is among those that are known."""
    free, numbers = name, numbers or count(2)
    while free in known:
        end = f"_{next(numbers)}"
        free = name[: MAX_NAME - len(end)] + end
    return free


def _names_in(request: Request) -> Iterator[str]:
    yield from (tool.name for tool in request.tools if isinstance(tool, Tool))
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCall) or (isinstance(part, ToolResult) and part.name):
                yield part.name


def _is_taken(name: str, dialect: DialectName) -> bool:
    wrong, begins = _TAKEN[dialect]
    return len(name) <= MAX_NAME and begins.match(name) is not None and wrong.search(name) is None


def _fitted(name: str, dialect: DialectName) -> str:
    wrong, begins = _TAKEN[dialect]
    fitted = wrong.sub("_", name) or "tool"
    return (fitted if begins.match(fitted) else f"_{fitted}")[:MAX_NAME]
