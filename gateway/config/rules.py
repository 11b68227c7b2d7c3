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
"""Characters of a text that a pattern looks at: error messages are short. One open repeat costs 20 ms at the worst."""

SHORT_TEXT = 512
"""The same for a pattern with two wide open repeats (".*this.*that"), whose cost grows with the cube: 50 ms."""

WIDE_REPEATS = 2


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
    wide = count_wide_repeats(text)
    if wide > WIDE_REPEATS:
        raise ValueError(f"has {wide} open repeats of many characters (such as .*), which could take minutes")
    return Pattern(regex, LONG_TEXT if wide < WIDE_REPEATS else SHORT_TEXT)


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


def count_wide_repeats(text: str) -> int:
    r"""Repeats without an end of what matches nearly everything: `.*`, `[^"]+`, `\w{3,}`, `(…)*`.

    `text` is a valid expression. Raises ValueError where a repeated group holds repeats or alternatives, as in `(a+)+`
    and `(a|ab)*`: the ways to match such a one double with each character.
    """
    count = 0
    branching = [False]  # per open group: whether something in it repeats, or stands to choice
    last, closed = "", False  # the item before, and whether there is a choice in it where it was a group
    for token in _TOKEN.finditer(text):
        kind = "repeat" if token["repeat"] else str(token.lastgroup)
        if kind == "open":
            branching.append(False)
        elif kind == "close" and len(branching) > 1:
            closed = branching.pop()
            branching[-1] = branching[-1] or closed
        elif kind in ("choice", "repeat"):
            if kind == "repeat" and token["repeat"] != "?" and last == "close" and closed:
                raise ValueError("repeats a group that holds a repeat or alternatives, which could take forever")
            branching[-1] = True
            count += kind == "repeat" and last in ("wide", "close") and _is_open(token)
        last = kind
    return count


def _is_open(repeat: re.Match[str]) -> bool:
    if repeat["repeat"] in "*+?":
        return repeat["repeat"] != "?"
    return not repeat["high"] or int(repeat["high"]) > FEW
