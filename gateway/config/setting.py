"""One setting of a configuration: a dataclass field with what operators and the reader of files must know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from functools import cache
from typing import Any, get_type_hints

from gateway.quick import dataclass

YEARS = 10 * 366 * 86400.0
"""The upper bound of every time: beyond it a typing error is likelier than a wish, and timers overflow."""


def setting(
    default: Any,
    help: str,  # noqa: A002 - the word that argparse made customary
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float = YEARS,
    choices: tuple[str, ...] = (),
    secret: bool = False,
    inline: bool = False,
) -> Any:
    """A dataclass field with its default, the comment that explains it to operators, and its rules.

    Numbers: `minimum` (inclusive) or `above` (exclusive), and `maximum`. Texts: `choices`, of which "true"
    and "false" may also be written as TOML booleans. `secret` is never shown; `inline` is a table that is
    written on one line. A callable default is a factory.
    """
    metadata = {
        "help": help,
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
        "choices": choices,
        "secret": secret,
        "inline": inline,
    }
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a file may say about one field, and what that is called here, where Python keeps a word for itself. `type`
    is the annotation, `rules` what `setting()` was given."""

    name: str
    field: str
    type: Any
    rules: Mapping[str, Any]


def settings_of(table: object) -> Mapping[str, Setting]:
    """The settings of a table, given as its dataclass or an instance, in the order of its fields."""
    return _settings_of(table if isinstance(table, type) else type(table))


@cache  # resolving annotations is slow, and a file may have thousands of tables
def _settings_of(table: type) -> Mapping[str, Setting]:
    types = get_type_hints(table)
    return {
        each.name.rstrip("_"): Setting(each.name.rstrip("_"), each.name, types[each.name], each.metadata)
        for each in fields(table)
        if "internal" not in each.metadata
    }
