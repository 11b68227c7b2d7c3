"""What an operator's error rule is written in: a path into an error's body, and a pattern. Pure.

Both are checked here when a configuration is validated, and compiled here when it is used, so that what passes the one
works in the other. The rules themselves: `policy/error_rules.py`.

A pattern runs inside the event loop on text that strangers wrote, and Python's engine backtracks. So what can take
exponential time is refused, and the text is shortened where a pattern could take time beyond its square.
"""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

RAW_BODY = "$"

PATH_STEPS = 16
"""Steps of a path: no provider nests its errors half as deep."""

PATTERN_LIMIT = 500
"""Characters of a pattern."""

LONG_TEXT = 4096
"""Characters of a text that a pattern looks at: error messages are short. A search with one open repeat takes time with
the square of that: 50 ms at the worst."""

SHORT_TEXT = 256
"""The same for a pattern with two open repeats that can meet (".*this.*that"), whose time grows with the cube."""

REPEATS_THAT_MEET = 2


class Pattern(NamedTuple):
    """A compiled pattern and how much of a text it may look at, in characters."""

    regex: re.Pattern[str]
    limit: int

    def matches(self, text: str) -> bool:
        return self.regex.search(text[: self.limit]) is not None


def parse_path(text: str) -> tuple[str | int, ...] | None:
    """The steps of "error.details.0.reason": names, and numbers for places in an array. None for "$", the raw body.

    Raises ValueError with what is wrong.
    """
    if text == RAW_BODY:
        return None
    names = text.removeprefix("$.").split(".")
    if not all(names):
        raise ValueError("has an empty step")
    if len(names) > PATH_STEPS:
        raise ValueError(f"has more than {PATH_STEPS} steps")
    return tuple(int(name) if name.isascii() and name.isdigit() and len(name) < 6 else name for name in names)


def compile_pattern(text: str) -> Pattern:
    """A regular expression of Python's. Raises ValueError with what is wrong."""
    if len(text) > PATTERN_LIMIT:
        raise ValueError(f"is longer than {PATTERN_LIMIT} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what a later Python will read otherwise is not for a file that stays
            regex = re.compile(text)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    count = count_repeats(text)
    if count > REPEATS_THAT_MEET:
        raise ValueError(f"has {count} open repeats (such as .*) that can meet, which could take minutes")
    return Pattern(regex, LONG_TEXT if count < REPEATS_THAT_MEET else SHORT_TEXT)


_TOKEN = re.compile(
    r"(?P<wide>\.|\\[SDWw]|\[\^\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<narrow>\\.|\[\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<open>\((?:\?(?:[aiLmsux-]*:|P?<[^>=!]*>|P=\w+|<?[=!]|>|#[^)]*))?)"
    r"|(?P<close>\))"
    r"|(?P<choice>\|)"
    r"|(?P<repeat>[*+?]|\{(?:\d*,)?(?P<high>\d*)\})[?+]?"
    r"|(?P<other>.)",
    re.DOTALL,
)

FEW = 20
"""A repeat of up to that many is as good as none: it multiplies the work by a small number."""

_SAMPLE = "".join(map(chr, range(256)))
_NO_CHARACTER = frozenset(["^", "$", r"\b", r"\B", r"\A", r"\Z"])


def count_repeats(text: str) -> int:
    r"""Open repeats (`*`, `+`, `{3,}`) that can multiply each other's work. `text` is a valid expression.

    Those of nearly everything (`.*`, `[^"]+`, `\w+`, `(…)*`) all count, and those that can give what they took to what
    follows them (`\d+\d`). The others end where their characters do (`\s+of\s+\d+ tokens`): together they count as one,
    and only beside one of the former. The last thing in a pattern never has to give anything back.

    Raises ValueError where a repeated group holds repeats or alternatives, as in `(a+)+` and `(a|ab)*`: the ways to
    match such a one double with each character.
    """
    tokens = [(str(each.lastgroup) if each["repeat"] is None else "repeat", each) for each in _TOKEN.finditer(text)]
    _refuse_nested(tokens)
    free = bound = 0
    for place, (kind, token) in enumerate(tokens):
        after = tokens[place + 1 : place + 3]
        if kind == "repeat" and _is_open(token) and after:
            before = tokens[place - 1]
            if before[0] in ("wide", "close") or _can_meet(before[1][0], after):
                free += 1
            else:
                bound = 1
    return free + bound if free else 0


def _refuse_nested(tokens: list[tuple[str, re.Match[str]]]) -> None:
    branching = [False]  # per open group: whether something in it repeats, or stands to choice
    last, closed = "", False  # the item before, and whether there is a choice in it where it was a group
    for kind, token in tokens:
        if kind == "open":
            branching.append(False)
        elif kind == "close" and len(branching) > 1:
            closed = branching.pop()
            branching[-1] = branching[-1] or closed
        elif kind in ("choice", "repeat"):
            if kind == "repeat" and token["repeat"] != "?" and last == "close" and closed:
                raise ValueError("repeats a group that holds a repeat or alternatives, which could take forever")
            branching[-1] = True
        last = kind


def _is_open(repeat: re.Match[str]) -> bool:
    if repeat["repeat"] in "*+?":
        return repeat["repeat"] != "?"
    return not repeat["high"] or int(repeat["high"]) > FEW


def _can_meet(item: str, after: list[tuple[str, re.Match[str]]]) -> bool:
    """Whether what follows the repeat of an item could take the same character, as far as two tokens show."""
    kind, token = after[0]
    optional = len(after) > 1 and after[1][0] == "repeat" and after[1][1][0].startswith(("*", "?", "{0", "{,"))
    if optional or kind not in ("narrow", "other") or token[0] in _NO_CHARACTER:
        return True
    try:
        mine, next_ones = (set(re.findall(each, _SAMPLE, re.IGNORECASE | re.DOTALL)) for each in (item, token[0]))
    except re.error:  # half of something longer
        return True
    return not mine.isdisjoint(next_ones)
