"""What the client calls the things that a request's writer speaks of.

Writers know the neutral request alone and name its fields ("sampling.top_k", "messages.3.parts.1.cache"). The client
wrote "generationConfig.topK" and "contents.5.parts.0". Where a message, part or tool stood is kept in its `where`; for
the fields each dialect has a table.

Invariant: a name exists in the client's body, wherever anything of the sort does. What the body does not have is cut
off the name's end, so that it leads to the nearest thing around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from gateway.dialects.conversation import Request
from gateway.dialects.names import Json
from gateway.quick import dataclass

Table = Mapping[str, tuple[str, ...]]
"""The client's names for a neutral one, of which the body has one; what stands below it keeps its own name."""


DIGITS = 10
"""A place in an array has fewer. Names of a client's own can be numbers that Python refuses to read."""


def _as_it_is(obj: Json) -> Json:
    return obj


@dataclass(frozen=True, slots=True)
class ClientNames:
    """Of one dialect. `fields` are those of the request; `inside` those of messages, parts and tools, by their path in
    these. `fold` gives an object's fields by the names that the tables have."""

    fields: Table = field(default_factory=dict)
    inside: Table = field(default_factory=dict)
    fold: Callable[[Json], Json] = _as_it_is


def client_name(path: str, request: Request, body: Json, names: ClientNames) -> str:
    """`path` is one of the neutral `request`, which was read from `body`."""
    where, rest = _place(request, path.split("."))
    if where:
        named = [f"{where}.{each}" if each else where for each in _translated(rest, names.inside)]
    else:
        named = _translated(path.split("."), names.fields)
    found = max((_existing(each, body, names.fold) for each in named), key=len)
    return ".".join(found) or named[0]


def _place(request: Request, path: list[str]) -> tuple[str, list[str]]:
    """Where the innermost message, part or tool of a path stood, and what of the path is behind it."""
    holder: Any = request
    where, rest = "", path
    while len(rest) > 1 and rest[0] in ("messages", "parts", "tools") and rest[1].isdecimal():
        holders = getattr(holder, rest[0], ())
        if int(rest[1]) >= len(holders):
            break
        holder, rest = holders[int(rest[1])], rest[2:]
        where = holder.where
    return where, rest


def _translated(path: list[str], table: Table) -> list[str]:
    for cut in range(len(path), 0, -1):
        if named := table.get(".".join(path[:cut])):
            return [".".join(filter(None, (each, *path[cut:]))) for each in named]
    return [".".join(path)]


def _existing(path: str, body: Json, fold: Callable[[Json], Json]) -> list[str]:
    """As much of a path as leads to something."""
    found: list[str] = []
    here: Any = body
    for name in path.split("."):
        if isinstance(here, dict):
            here = here[name] if name in here else fold(here).get(name)
        elif isinstance(here, list) and name.isdecimal() and len(name) < DIGITS and int(name) < len(here):
            here = here[int(name)]
        else:
            break
        if here is None:
            break
        found.append(name)
    return found
