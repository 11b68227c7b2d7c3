"""Keys out of whatever they were kept in: one a line, NDJSON, a JSON list, or a .env file.

    sk-first  account=team-a                    a line as key files have it
    {"value": "sk-second", "weight": 2}         an object a line; fields that are no labels are left out
    ["sk-third", {"value": "sk-fourth"}]        a whole JSON document
    OPENAI_API_KEY_1="sk-fifth"                 a variable, with or without `export`; several keys with commas between

Lines of all kinds may be mixed. A .env file holds other things, too: only variables whose names end in KEY, TOKEN or
SECRET (with an S or a number behind) are looked at. If those are of several kinds, the ones named after the provider
count, and among several of them the API_KEY; what is still anybody's guess is an error, unless the caller names them.

Pure. Nothing raises for what a line holds; no message holds a part of a value. Names of variables are no secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from gateway import jsonlib
from gateway.errors import GatewayError
from gateway.keeper.keylines import (
    LABELS,
    NO_LABELS,
    BadLineError,
    KeyEntry,
    Problems,
    check_key,
    check_labels,
    parse_line,
)
from gateway.quick import dataclass
from gateway.secret import Secret

VARIABLE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w{2,})\s*=\s*(?P<value>[^=\s].*)", re.ASCII)
NOTHING = re.compile(r"(?:export\s+)?[A-Z_][A-Z0-9_]{2,}\s*=")
"""A variable that is set to nothing. In capitals: a key that ends in = has others, too."""

NAME_OF_KEY = re.compile(r"(?P<kind>.*(?:KEY|TOKEN|SECRET))S?(?:_?\d+)?", re.IGNORECASE)
VALUE = re.compile(r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>[^\s"'#][^\s"']*))\s*(?:#.*)?""")

STEP = 1000
"""Lines between two reports of progress."""

Progress = Callable[[int, int], None]
"""Told how many lines are done, and of how many."""


class Variable(NamedTuple):
    """A line of a .env file."""

    number: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which variables hold the provider's keys: those whose names match the pattern `names`, else, where there are
    several kinds, those whose names begin with one of `prefixes`, which are in capitals."""

    names: str = ""
    prefixes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """Keys in order, each once; how many came again; problems by kind; names of variables that were left out."""

    entries: tuple[KeyEntry, ...]
    duplicates: int
    problems: tuple[str, ...]
    left_out: tuple[str, ...]


def parse_import(data: bytes, wanted: Wanted, progress: Progress = lambda done, total: None) -> Imported:
    """Raises GatewayError for what is no text, a JSON document that is no list of keys, and for variables of several
    kinds of which nobody can say which are meant."""
    text = _decode(data)
    lead = text.lstrip()[:1]
    if lead == "[" or (lead == "{" and "\n" in text.strip() and _is_one_document(text)):
        return _parse_document(text)
    return _parse_lines(text, wanted, progress)


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise GatewayError("this is no UTF-8 text", hint="save it as UTF-8")
    return text


def _is_one_document(text: str) -> bool:
    try:
        jsonlib.loads(text)
    except ValueError:
        return False
    return True


def _parse_document(text: str) -> Imported:
    """A list, an object with nothing but a list in it, such as {"keys": […]}, or one key's object over some lines."""
    try:
        document = jsonlib.loads(text)
    except ValueError:
        raise GatewayError("this begins like a JSON list, but is no JSON") from None
    if isinstance(document, dict) and "value" in document:
        document = [document]
    if isinstance(document, dict) and len(document) == 1:
        (document,) = document.values()
    if not isinstance(document, list):
        raise GatewayError("this JSON document is no list of keys", hint='write ["sk-…", {"value": "sk-…"}]')
    taken = _Taken("item")
    for number, item in enumerate(document, 1):
        taken.take(number, _parse_item, item)
    return taken.imported(())


def _parse_lines(text: str, wanted: Wanted, progress: Progress) -> Imported:
    lines = text.split("\n")
    taken, variables = _Taken("line"), []
    for number, line in enumerate(lines, 1):
        if number % STEP == 0:
            progress(number, len(lines))
        stripped = line.strip()
        variable = VARIABLE.fullmatch(stripped)
        if variable is not None:
            variables.append(Variable(number, variable["name"], variable["value"]))
        elif not NOTHING.fullmatch(stripped):
            taken.take(number, _parse_object if stripped.startswith("{") else _parse_words, line)
    progress(len(lines), len(lines))
    chosen, left_out = _choose(variables, wanted)
    for each in chosen:
        for value in _values(each.value):
            taken.take(each.number, _parse_item, value)
    return taken.imported(left_out)


def _choose(variables: Sequence[Variable], wanted: Wanted) -> tuple[list[Variable], tuple[str, ...]]:
    """The variables that hold keys, and the names of the others. Raises GatewayError when that is anybody's guess."""
    if wanted.names:
        chosen = [each for each in variables if fnmatchcase(each.name, wanted.names)]
    else:
        kinds: dict[str, list[Variable]] = {}
        for each in variables:
            name = NAME_OF_KEY.fullmatch(each.name)
            if name is not None:
                kinds.setdefault(name["kind"].upper(), []).append(each)
        kinds = {kind: found for kind, found in kinds.items() if kind.startswith(tuple(wanted.prefixes))} or kinds
        if len(kinds) > 1:
            kinds = {kind: found for kind, found in kinds.items() if kind.endswith(("API_KEY", "APIKEY"))} or kinds
        if len(kinds) > 1:
            raise GatewayError(
                "there are variables of several kinds",
                detail=", ".join(kinds),
                hint="say which ones hold the keys: --name 'OPENAI_API_KEY*'",
            )
        chosen = [each for found in kinds.values() for each in found]
    names = {each.name for each in chosen}
    return chosen, tuple(dict.fromkeys(each.name for each in variables if each.name not in names))


def _values(text: str) -> Iterator[str]:
    """The keys in a variable: several with commas between, quoted as shells do it; "" holds none."""
    match = VALUE.fullmatch(text)
    content = text if match is None else match["double"] or match["single"] or match["plain"] or ""
    return filter(None, (each.strip() for each in content.split(",")))


Found = tuple[str, Mapping[str, str], tuple[str, ...]]


def _parse_words(line: str) -> Found | None:
    return parse_line(line, False)


def _parse_object(line: str) -> Found:
    try:
        return _parse_item(jsonlib.loads(line))
    except ValueError as error:
        raise error if isinstance(error, BadLineError) else BadLineError("is not JSON") from None


def _parse_item(item: Any) -> Found:
    """A key's text, or its object with "value" and labels, as an export or another program wrote it."""
    if isinstance(item, str):
        check_key(item)
        return item, NO_LABELS, ()
    key = item.get("value") if isinstance(item, dict) else None
    if not isinstance(key, str):
        raise BadLineError('is neither a text nor an object with a text as "value"')
    check_key(key)
    inner = item.get("labels")
    given = {**(inner if isinstance(inner, dict) else {}), **item}
    labels, remarks = check_labels({name: given[name] for name in LABELS if given.get(name) is not None})
    return key, labels, remarks


class _Taken:
    """What was found so far."""

    def __init__(self, what: str) -> None:
        self._entries: dict[Secret, tuple[int, KeyEntry]] = {}
        self._problems = Problems(what)
        self._duplicates = 0

    def take(self, number: int, parse: Callable[[Any], Found | None], item: object) -> None:
        try:
            found = parse(item)
        except BadLineError as error:
            self._problems.add(number, str(error))
            return
        if found is None:
            return
        key, labels, remarks = found
        for remark in remarks:
            self._problems.add(number, remark)
        secret = Secret(key)
        if secret in self._entries:
            self._duplicates += 1
        else:
            self._entries[secret] = number, KeyEntry(secret, labels)

    def imported(self, left_out: tuple[str, ...]) -> Imported:
        ordered = sorted(self._entries.values(), key=lambda each: each[0])
        return Imported(tuple(entry for _, entry in ordered), self._duplicates, self._problems.listed(), left_out)
