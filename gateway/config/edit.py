"""Cutting a table out of a TOML text, or numbers into it, without touching anything else in it.

A text that tomllib has accepted is split into statements (a header, or a key with its value) by the few rules
that decide where a statement ends: strings, brackets, comments. Whoever edits compares the outcome with what
tomllib makes of it, so that a mistake here could not reach a file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import takewhile

from gateway.config.tomltext import key_path
from gateway.quick import dataclass

TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # up to two quotes may stand before the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*|[\[{]|[\]}]|=|\n"
    r"|[^\"'#\[\]{}=\n]+",
    re.DOTALL,
)

VALUE = re.compile(r"""(=\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s#"']+)""")
"""The first `=` of a statement whose key has none, with a number, or a text that holds one."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A header or a key with its value: whole lines `text[start:end]`; `path` includes the table it stands in."""

    start: int
    end: int
    path: tuple[str, ...]
    is_header: bool


def cut(text: str, prefix: tuple[str, ...]) -> str:
    """The text without the statements whose path starts with `prefix`.

    Comments within go with them, as do those that follow directly, and the blank lines after. Comments right
    above the next header belong to that header, those above the cut stay.
    """
    pieces = []
    position = 0
    statements = list(_statements(text))
    for index, statement in enumerate(statements):
        if statement.path[: len(prefix)] != prefix:
            continue
        pieces.append(text[position : statement.start])
        if index + 1 == len(statements):
            position = statement.end + _own_lines(text[statement.end :], at_end=True)
        else:
            following = statements[index + 1]
            position = following.start
            if following.path[: len(prefix)] != prefix:
                position = statement.end + _own_lines(text[statement.end : following.start], at_end=False)
    return "".join(pieces) + text[position:]


def put(text: str, table: tuple[str, ...], numbers: Mapping[str, str]) -> str:
    """The text with `name = number` in the table for each of `numbers`, in place of the number that is there; what is
    new comes first in the table, which is appended if there is none. Comments stay.

    The outcome is no valid TOML, or another one than was meant, where the table is written inline.
    """
    statements = list(_statements(text))
    there = {each.path: each for each in statements if not each.is_header}
    header = next((each for each in statements if each.is_header and each.path == table), None)
    new = "".join(f"{name} = {number}\n" for name, number in numbers.items() if (*table, name) not in there)
    pieces = [(header.end, header.end, new)] if header is not None else []
    for name, number in numbers.items():
        each = there.get((*table, name))
        if each is not None:
            pieces.append((each.start, each.end, VALUE.sub(rf"\g<1>{number}", text[each.start : each.end], count=1)))
    for start, end, piece in sorted(pieces, reverse=True):
        text = text[:start] + piece + text[end:]
    if header is None and new:
        text = text.rstrip("\n") + ("\n\n" if text.strip() else "") + f"[{key_path(*table)}]\n{new}"
    return text


def _own_lines(between: str, *, at_end: bool) -> int:
    """How much of the comments and blank lines after a statement goes with it, in characters."""
    lines = between.splitlines(keepends=True)
    comments = list(takewhile(str.strip, lines))
    if len(comments) == len(lines) and not at_end:
        return 0
    blank = takewhile(lambda line: not line.strip(), lines[len(comments) :])
    return len("".join(comments)) + len("".join(blank))


def _statements(text: str) -> Iterator[Statement]:
    """The statements of a valid TOML text, in order."""
    table: tuple[str, ...] = ()
    for start, end, equals in _extents(text):
        if text[start:end].lstrip().startswith("["):
            table = _path(text[start:end])
            yield Statement(start, end, table, is_header=True)
        else:
            yield Statement(start, end, table + _path(f"{text[start:equals]} = 0"), is_header=False)


def _extents(text: str) -> Iterator[tuple[int, int, int]]:
    """Start, end and the first `=` of each statement, from the start of its first line to the end of its last."""
    start = depth = 0
    equals, filled = -1, False
    for token in TOKEN.finditer(text):
        kind = token[0]
        if kind == "\n" and depth == 0:
            if filled:
                yield start, token.end(), equals
            start, equals, filled = token.end(), -1, False
        elif kind == "=" and equals < 0:
            equals = token.start()
        elif kind in "[{":
            depth, filled = depth + 1, True
        elif kind in "]}":
            depth -= 1
        elif not kind.startswith("#") and not kind.isspace():
            filled = True
    if filled:
        yield start, len(text), equals


def _path(statement: str) -> tuple[str, ...]:
    """The path of `[a.b]`, `[[a.b]]` or `a.b = 0`."""
    node: object = tomllib.loads(statement)
    path = []
    while node:
        if isinstance(node, dict):
            name, node = next(iter(node.items()))
            path.append(name)
        elif isinstance(node, list):
            node = node[0]
    return tuple(path)
