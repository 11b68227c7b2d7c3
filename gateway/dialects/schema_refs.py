"""References of a JSON Schema: what they name, how much a copy of it adds, and which of them lead in no circle.

Only pointers into the same document are known ("#/$defs/Name"); nothing is ever fetched.

Source: https://json-schema.org/draft/2020-12/json-schema-core#section-8.2, RFC 6901 (JSON Pointer).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

PLACES = ("$defs", "definitions")
"""Where a root keeps its definitions; the latter until draft 7."""


def weight(value: Any) -> int:
    """Roughly the characters of some JSON. Not recursive: clients nest as deep as they like."""
    total = 0
    pending = [value]
    while pending:
        each = pending.pop()
        total += 1
        if isinstance(each, str):
            total += len(each)
        elif isinstance(each, dict):
            total += sum(len(name) for name in each)
            pending += each.values()
        elif isinstance(each, list):
            pending += each
    return total


class References:
    """All references that can be made to `root`."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._weights: dict[str, int] = {}
        self._acyclic: frozenset[str] | None = None

    def find(self, ref: Any) -> Any:
        """The schema that a reference names: an object or a boolean; None where there is none."""
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            return None
        found = self._root
        for step in unquote(ref).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(name)
            elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(found):
                found = found[int(name[:9])]
            else:
                return None
        return found if isinstance(found, dict | bool) else None

    def weight(self, ref: str, target: Any) -> int:
        """What a copy of a reference's target adds."""
        if ref not in self._weights:
            self._weights[ref] = weight(target)
        return self._weights[ref]

    def definitions(self) -> Iterator[tuple[str, str, Any]]:
        """Place and name of each definition of the root, and its schema."""
        for place in PLACES:
            found = self._root.get(place) if isinstance(self._root, dict) else None
            for name, schema in found.items() if isinstance(found, dict) else ():
                yield place, name, schema

    @property
    def acyclic(self) -> frozenset[str]:
        """References to definitions from which none but such definitions are reached."""
        if self._acyclic is None:
            self._acyclic = frozenset(_peeled({pointer(p, n): _refs(s) for p, n, s in self.definitions()}))
        return self._acyclic


def pointer(place: str, name: str) -> str:
    """How one of the root's definitions is referred to."""
    return f"#/{place}/{name.replace('~', '~0').replace('/', '~1')}"


def _refs(schema: Any) -> set[str]:
    """All references in a schema, and what looks like one in a default or an example."""
    found: set[str] = set()
    pending = [schema]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if isinstance(ref := each.get("$ref"), str):
                found.add(ref)
            pending += each.values()
        elif isinstance(each, list):
            pending += each
    return found


def _peeled(named: dict[str, set[str]]) -> Iterator[str]:
    """Those that name none but those that came before."""
    waits = {name: len(refs) for name, refs in named.items()}
    wanted: dict[str, list[str]] = {}
    for name, refs in named.items():
        for ref in refs:
            wanted.setdefault(ref, []).append(name)
    ready = [name for name, count in waits.items() if not count]
    while ready:
        name = ready.pop()
        yield name
        for other in wanted.get(name, ()):
            waits[other] -= 1
            if not waits[other]:
                ready.append(other)
