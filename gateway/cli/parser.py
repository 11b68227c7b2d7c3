"""argparse's parser, which answers a misspelt command or option with the nearest one.

A command refuses options that it does not know by itself, with its own usage, instead of leaving that to the program.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from gateway.config.problems import did_you_mean

INVALID_CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<known>.*)\)", re.DOTALL)
"""argparse's message, in which the names are quoted or not, as its version has it."""

MINUS_DIGIT = re.compile("-[0-9]")
"""What begins so is a value, which has a message of its own (`--expires -1d`): no option does."""


class Parser(argparse.ArgumentParser):
    """Parsers of commands are of this class by themselves: argparse makes them of their parent's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = MINUS_DIGIT

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        found, others = super().parse_known_args(args, namespace)
        if others and not any(each.startswith("-") for each in others):
            others = self._take(found, others)
        if others:
            given = next((each.partition("=")[0] for each in others if each.startswith("-")), "")
            near = did_you_mean(given, re.findall(r"--[\w-]+", self.format_help())) if given else ""
            self.error(f"unrecognized arguments: {' '.join(others)}{f'; {near}' if near else ''}")
        return found, others

    def _take(self, found: Any, words: list[str]) -> list[str]:
        """Words that stand behind an option, for which argparse had closed a list of words as empty. What is left."""
        lists = [each for each in self._get_positional_actions() if each.nargs == "*"]
        if not lists or getattr(found, lists[0].dest):
            return words
        try:
            setattr(found, lists[0].dest, [self._get_value(lists[0], each) for each in words])
        except argparse.ArgumentError as error:
            self.error(str(error))
        return []

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and the message."""
        choice = INVALID_CHOICE.search(message)
        near = did_you_mean(choice["given"], re.findall(r"[\w-]+", choice["known"])) if choice else ""
        super().error(f"{message}; {near}" if near else message)
