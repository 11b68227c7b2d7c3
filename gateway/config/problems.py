"""Collecting what is wrong with a configuration, so that an operator hears of everything at once.

Each problem is filed under the setting it is about, and says whether the file or an environment variable
set it. A setting has at most one problem: what follows from a value that was refused is not news.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from gateway.errors import ConfigError, Problem


class Problems:
    """The problems of one configuration; `where` is its file."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.variables: dict[str, str] = {}  # setting -> the environment variable that set it
        self._found: dict[str, Problem] = {}

    def add(self, key: str, message: str, hint: str = "") -> None:
        """File one problem of the setting `key`, such as `providers.main.base_url` or `server.listen[1]`."""
        self._found.setdefault(key, Problem(self.variable_of(key) or self.where, key, message, hint))

    def has(self, key: str) -> bool:
        return key in self._found

    def variable_of(self, key: str) -> str:
        """The environment variable that set `key` or a table around it; empty: none did."""
        if not self.variables:
            return ""
        while key and key not in self.variables:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.variables.get(key, "")

    def raise_if_any(self) -> None:
        if self._found:
            raise ConfigError(tuple(self._found.values()))


def items(key: str, values: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The items of a list with the path of each."""
    return ((f"{key}[{index}]", value) for index, value in enumerate(values))


NEAR = 0.65
"""How much of a short word has to agree: "xia" is near "xai", "nope" is not near "openai"."""


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """A hint with the candidate nearest to a misspelt word; empty when nothing is near."""
    from difflib import get_close_matches

    # A thousand names are compared in milliseconds; more would make a check of many mistakes crawl.
    near = get_close_matches(word.lower(), islice(candidates, 1000), n=1, cutoff=NEAR)
    return f'did you mean "{near[0]}"?' if near else ""
