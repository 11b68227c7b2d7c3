"""What `users` and `tokens` have in common on the command line: limits, time spans, and how rights are shown."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping
from typing import Any

LIMITS = {
    "rpm": "requests_per_minute",
    "rph": "requests_per_hour",
    "tpm": "tokens_per_minute",
    "concurrency": "concurrency",
}
"""Short names of limits, for typing. The long ones are understood, too."""

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


DIGITS = 13
"""More are too many of anything here."""

LONGEST = 36_500 * UNITS["d"]
"""Seconds of the longest span that the admin API takes."""


def limit(text: str) -> tuple[str, int]:
    """`rpm=60`. Raises argparse's error."""
    from gateway.config.accounts import HIGHEST_LIMIT

    name, _, value = text.partition("=")
    name = LIMITS.get(name, name)
    if name not in LIMITS.values():
        raise argparse.ArgumentTypeError(f"there is no limit {name!r}; there are: {', '.join(LIMITS)}")
    if not value.isascii() or not value.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} needs a whole number, 0 for no limit: rpm=60, say")
    if len(value) > DIGITS or int(value) > HIGHEST_LIMIT:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is too large: {HIGHEST_LIMIT} at most, 0 for no limit")
    return name, int(value)


def span(text: str) -> float:
    """Seconds of `30d`, `12h`, `30m`, `90s`. Raises argparse's error."""
    match = re.fullmatch(r"([0-9]+)([smhdw])", text)
    if match is None or not match[1].strip("0"):
        unit = ", with its unit" if text.isascii() and text.isdigit() else ""
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time{unit}: 30d, 12h, 30m or 90s, say")
    seconds = float(int(match[1]) * UNITS[match[2]]) if len(match[1]) <= DIGITS else math.inf
    if seconds > LONGEST:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is too long: {LONGEST // UNITS['d']}d at most")
    return seconds


def span_ahead(text: str) -> float:
    """The same, of a time to come."""
    if text.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text!r} is in the past; it counts from now: 30d, 12h, 30m or 90s, say")
    return span(text)


def add_rights_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", action="append", type=limit, default=[], metavar="LIMIT=N", help=f"{', '.join(LIMITS)}; repeat it"
    )
    add_target_arguments(parser)


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--provider", action="append", default=[], help="that may be used, default: all; repeat it")
    parser.add_argument("--model", action="append", default=[], help="that may be used, default: all; repeat it")


def rights(args: argparse.Namespace) -> dict[str, Any]:
    """What these arguments say, for the admin API."""
    return {"limits": dict(args.limit), "providers": args.provider, "models": args.model}


def limits_in_words(limits: Mapping[str, int]) -> str:
    short = {name: word for word, name in LIMITS.items()}
    return " ".join(f"{short.get(name, name)}={value}" for name, value in limits.items())


def rights_in_words(row: Mapping[str, Any]) -> str:
    """Providers and models; empty: all."""
    return " ".join([*(f"provider:{name}" for name in row["providers"]), *(f"model:{name}" for name in row["models"])])
