"""Tables and times for people. Scripts take `--json`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway import jsonlib


def print_json(value: object) -> None:
    sys.stdout.write(jsonlib.dumps_pretty(value).decode() + "\n")


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as they need to be; the last one takes the rest."""
    lines = [tuple(head), *(tuple("" if cell is None else printable(str(cell)) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


CELL = 80
"""Characters of what a provider said: enough to recognise it in a terminal."""

DIGITS = 12
"""Of a digest: more than the eight that name a key or proxy, so that even a hundred thousand differ."""


def cut(text: str) -> str:
    """Not longer than a cell, and it shows where something was left out."""
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def names(rows: Sequence[Mapping[str, Any]], *columns: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The titles of the columns that name a thing, and what is in them for each row. The last of `columns` is how it
    looks; where different ones look alike (passwords are masked, short keys have hardly a fingerprint), digests follow.
    """
    digests: dict[str, set[str]] = {}
    for row in rows:
        digests.setdefault(row[columns[-1]], set()).add(row["digest"])
    titles = tuple(column.upper() for column in columns)
    cells = [tuple(row[column] for column in columns) for row in rows]
    if all(len(alike) == 1 for alike in digests.values()):
        return titles, cells
    return (*titles, "DIGEST"), [(*cell, row["digest"][:DIGITS]) for cell, row in zip(cells, rows, strict=True)]


def printable(text: str) -> str:
    """One line without control characters: what providers say goes to terminals, which obey them."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def in_words(until: float | None) -> str:
    """`in 3 m 20 s`, `in 9 d`, `now`; empty for None. `until` in unix seconds."""
    if until is None:
        return ""
    left = until - time.time()
    return "now" if left <= 0 else f"in {duration(left)}"


def moment(at: float) -> str:
    """`2026-11-22 08:58:55 UTC`; `at` in unix seconds. What is still to come, or short ago, is told by `in_words`."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def duration(seconds: float) -> str:
    """The two largest units of a span: `2 d 3 h`, `45 s`."""
    left = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def count(number: int, noun: str) -> str:
    """`1 key`, `2 keys`, `2 proxies`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun.removesuffix('y')}ies" if noun == "proxy" else f"{number} {noun}s"


def row_limit(text: str) -> int:
    """The value of `--limit`. Raises argparse's error."""
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 999999999")
    return int(text)


BAR = 30
"""Characters."""


def show_progress(what: str, done: int, total: int) -> None:
    """A bar on standard error, drawn over the one before. For terminals only."""
    import sys

    filled = BAR * done // max(total, 1)
    print(
        f"\r{printable(what)} [{'#' * filled}{'.' * (BAR - filled)}] {done}/{total}",
        end="",
        file=sys.stderr,
        flush=True,
    )
