"""The lines of a key file: `key  label=value …`, or one JSON object a line.

    # a comment
    sk-first
    sk-second   account=team-a  weight=2  note="bought in May"   # so is this
    {"value": "sk-third", "account": "team-a"}                     in files named .ndjson

A line that cannot be understood is a problem with a number; the other lines still count. So is a line that is
certainly something else than a key (`JUNK`): as a key it would cost requests until the provider has rejected it. A
file that is no UTF-8 text is broken as a whole, since nobody knows what else is wrong with it. Nothing raises for what
a file may hold.

Invariant: no message ever holds a part of a line, because any part of it may be a part of a key; but for a label's name
that is nearly one of ours.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from gateway import jsonlib
from gateway.config.problems import did_you_mean
from gateway.keeper.pace import paced
from gateway.quick import dataclass
from gateway.secret import Secret
from gateway.upstream.concealment import MASKED_FROM

LABELS = ("account", "weight", "note")
"""Keys of one account share their quota, weights are for `selection = "weighted"`, a note is for people."""

LONGEST_MISSPELT = 10
"""Characters: longer than any label by some letters too many."""

LEAST_WEIGHT, GREATEST_WEIGHT = 0.001, 1_000_000.0
"""Turns are counted in steps of 1/weight; beyond a thousand million to one nobody would see the difference."""

NO_LABELS: Mapping[str, str] = MappingProxyType({})
"""Shared by all keys without labels, which are nearly all of them."""

MAX_KEY_LENGTH = 4096
"""Characters of a key. The longest in use are tokens of some 2,000; a header line has to hold it."""

MAX_LABEL_LENGTH = 200
"""Characters of a label's value: it goes into tables for people."""

FIRST_LINES = 5
"""Line numbers named of one kind of problem. Whoever sees five knows what is wrong with the rest."""

SLICE = 1000
"""Lines parsed between two pauses: about two milliseconds. More pauses would take longer than the parsing."""

KEY = re.compile(r"[\x21-\x7e]+")
LABEL = re.compile(r"""\s+(?P<name>[A-Za-z][\w-]*)=(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"]*))(?=\s|$)""", re.ASCII)
COMMENT = re.compile(r"\s+(?:#.*)?|$", re.DOTALL)
PLAIN = re.compile(r"[\w.~+/:-]+=*", re.ASCII)
"""What nearly all keys are made of: RFC 6750, section 2.1, and the colon between the halves of some."""

PLAIN_LINES = re.compile(rb"(?:[\w.~+/:-]{1,%d}+={0,2}+\r?\n)++" % (MAX_KEY_LENGTH - 2))
"""Lines of nothing but such keys, of a length that is in order. They need not be looked at one by one."""

PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]+-----")
PEM_BODY = re.compile(r"[A-Za-z0-9+/=]{,76}|[A-Z][A-Za-z-]+: .*")
"""A line within a PEM block (RFC 7468; encrypted ones begin with headers as in RFC 1421)."""

JUNK: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----(?:BEGIN|END)"), "is part of a PEM block, such as a certificate or an SSH key"),
    (re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://"), "is a URL"),
    (
        re.compile(r"[A-Za-z_]\w{2,}=[^=]", re.ASCII),
        "is NAME=value; write the value alone, or let 'llmgateway keys import' read the file",
    ),
    (re.compile(r"[{}\[\]]"), "is JSON, which belongs into a file named .ndjson, an object a line"),
    (re.compile(r".*[\"'`]"), "has quotation marks; write the key without them"),
    (re.compile(r"[$<]"), "is a placeholder for a key"),
    (re.compile(r".*[,;]"), "has a comma or a semicolon; write one key a line"),
    (re.compile(r".*(?:\.\.\.|…|\*\*\*)"), "is a key that was shortened or masked to be shown"),
)
"""What is certainly no key, by how its first word begins. No provider's key looks like any of these."""


class KeyEntry(NamedTuple):
    """A key and what its file says of it. `labels` have the names in `LABELS`. A tuple, which is made in half the time
    of a dataclass: there are many."""

    secret: Secret
    labels: Mapping[str, str] = NO_LABELS


NOTHING_KNOWN: Mapping[Secret, KeyEntry] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ParsedKeys:
    """What a file holds: keys in order, each once; a problem of each kind there is ("lines 3, 5: …").

    `short` counts the keys that are too short to be masked. `broken` says why the file as a whole is unusable; it then
    has no entries.
    """

    entries: tuple[KeyEntry, ...] = ()
    problems: tuple[str, ...] = ()
    duplicates: int = 0
    broken: str = ""
    short: int = 0


class BadLineError(ValueError):
    """A line without a usable key; the text says what is there instead, without quoting it."""


def parse_key_lines(
    data: bytes,
    ndjson: bool,
    known: Mapping[Secret, KeyEntry] = NOTHING_KNOWN,
    check: Callable[[str], None] | None = None,
) -> ParsedKeys:
    """The keys in the bytes of a file. May run in a thread: it gives the interpreter lock away often.

    An entry that is among the `known` ones is that very object, so that no key is in memory twice. `check` says what
    else than keys the file has, as in `parse_line`.
    """
    broken = _why_no_text(data)
    if broken:
        return ParsedKeys(broken=broken)
    parsed, problems = _Parsed(known), Problems()
    number, in_pem = 0, False
    lines = io.BytesIO(data.removeprefix(codecs.BOM_UTF8))
    for block in paced(iter(lambda: list(islice(lines, SLICE)), []), 1):
        if not (ndjson or check or in_pem) and (keys := _plain_keys(b"".join(block))):
            number += len(block)
            parsed.add(keys, NO_LABELS)
            continue
        for raw in block:
            number += 1
            try:
                line = raw.decode()
                in_pem = in_pem and PEM_BODY.fullmatch(line.strip()) is not None
                found = None if in_pem else parse_line(line, ndjson, check)
            except UnicodeDecodeError:
                return ParsedKeys(broken=f"line {number} is not UTF-8; save the file as UTF-8")
            except BadLineError as error:
                problems.add(number, str(error))
                in_pem = PEM_BEGIN.match(line.lstrip()) is not None
                continue
            if found is None:
                continue
            key, labels, remarks = found
            for remark in remarks:
                problems.add(number, remark)
            parsed.add((key,), labels)
    return ParsedKeys(tuple(parsed.entries.values()), problems.listed(), parsed.duplicates, short=parsed.short)


class _Parsed:
    """The keys of a file so far, by their text, and how many came twice or are short."""

    def __init__(self, known: Mapping[Secret, KeyEntry]) -> None:
        self.entries: dict[str, KeyEntry] = {}
        self.duplicates = 0
        self.short = 0
        self._known = known
        self._shared: dict[str, Mapping[str, str]] = {}

    def add(self, keys: Iterable[str], labels: Mapping[str, str]) -> None:
        for key in keys:
            if key in self.entries:
                self.duplicates += 1
                continue
            self.short += len(key) < MASKED_FROM
            secret = Secret(key)
            entry = self._known.get(secret) if self._known else None
            if entry is None or entry.labels != labels:
                # Thousands of keys of one account share one mapping.
                entry = KeyEntry(secret, self._shared.setdefault(repr(labels), labels) if labels else NO_LABELS)
            self.entries[key] = entry


def _plain_keys(block: bytes) -> list[str]:
    """The keys of these lines, if there is nothing else in any of them; else none."""
    if PLAIN_LINES.fullmatch(block) and b"//" not in block and b"..." not in block:
        return block.decode().split()
    return []


def parse_line(
    line: str, ndjson: bool, check: Callable[[str], None] | None = None
) -> tuple[str, Mapping[str, str], tuple[str, ...]] | None:
    """The key of a line, its labels, and what is wrong with those; None for blanks and comments.

    `check` takes the place of `check_key` in files of other things than keys. Raises BadLineError.
    """
    line = line.strip(" \t\r\n")
    if not line or line.startswith("#"):
        return None
    if ndjson:
        return _parse_object(line, check or check_key)
    if (
        check is None
        and len(line) <= MAX_KEY_LENGTH
        and PLAIN.fullmatch(line)
        and "//" not in line
        and "..." not in line
    ):
        return line, NO_LABELS, ()
    return _parse_words(line, check or check_key)


def _parse_words(line: str, check: Callable[[str], None]) -> tuple[str, Mapping[str, str], tuple[str, ...]]:
    words = line.split(maxsplit=2)
    key = words[0] if words else line  # a line of nothing but exotic blanks has no words
    if key == "export" and len(words) > 1:
        refuse_junk(words[1])
    check(key)
    found: dict[str, str] = {}
    at = len(key)
    while not COMMENT.fullmatch(line, at):
        label = LABEL.match(line, at)
        if label is None:
            raise BadLineError("has something after the key that is neither label=value nor a # comment")
        found[label["name"]] = label["plain"] if label["quoted"] is None else label["quoted"]
        at = label.end()
    labels, remarks = check_labels(found)
    return key, labels, remarks


def _parse_object(line: str, check: Callable[[str], None]) -> tuple[str, Mapping[str, str], tuple[str, ...]]:
    try:
        value = jsonlib.loads(line)
    except ValueError:
        raise BadLineError("is not JSON") from None
    key = value.pop("value", None) if isinstance(value, dict) else None
    if not isinstance(key, str):
        raise BadLineError('is no JSON object with a text as "value"')
    check(key)
    labels, remarks = check_labels(value)
    return key, labels, remarks


def check_key(key: str) -> None:
    """Raises BadLineError for junk, and for what no header can carry as a credential (RFC 9110, section 5.5)."""
    refuse_junk(key)
    if not key:
        raise BadLineError("has an empty key")
    if len(key) > MAX_KEY_LENGTH:
        raise BadLineError(f"has a key longer than {MAX_KEY_LENGTH} characters")
    if KEY.fullmatch(key):
        return
    if not key.isascii():
        raise BadLineError("has a character that is not ASCII in its key")
    raise BadLineError("has a blank or a control character in its key")


def refuse_junk(word: str) -> None:
    """Raises BadLineError for what is certainly something else than a key."""
    for pattern, text in JUNK:
        if pattern.match(word):
            raise BadLineError(text)


def check_labels(found: Mapping[str, object]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The usable ones of these labels, and why the others are not. A bad label never costs the key."""
    labels: dict[str, str] = {}
    remarks = []
    for name, value in found.items():
        text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        if name not in LABELS:
            remarks.append(f"has an unknown label{_misspelt(name)}; there are {', '.join(LABELS)}")
        elif not text or len(text) > MAX_LABEL_LENGTH or not text.isprintable():
            remarks.append(f"has an empty, overlong or unprintable {name}, which is ignored")
        elif name == "weight" and not _is_weight(text):
            remarks.append("has a weight that is no number from 0.001 to 1000000, which is ignored")
        else:
            labels[name] = text
    return MappingProxyType(labels), tuple(remarks)


def _misspelt(name: str) -> str:
    """The name, if it is nearly a label's, and that one. Any other may be a part of a key."""
    if not 3 <= len(name) <= LONGEST_MISSPELT:
        return ""
    near = did_you_mean(name, LABELS)
    return f" {name!r} ({near})" if near else ""


def _is_weight(text: str) -> bool:
    try:
        return LEAST_WEIGHT <= float(text) <= GREATEST_WEIGHT
    except ValueError:
        return False


def _why_no_text(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is UTF-16, as Windows editors write it; save it as UTF-8"
    if b"\0" in data:
        return "has NUL bytes and is no text file; if it was meant to be one, save it as UTF-8"
    return ""


class Problems:
    """Problems by kind, of which there are few: how many lines have it, and the numbers of the first ones.

    `what` is numbered: a line, unless somebody says otherwise.
    """

    def __init__(self, what: str = "line") -> None:
        self._what = what
        self._found: dict[str, tuple[int, list[int]]] = {}

    def add(self, number: int, text: str) -> None:
        count, first = self._found.get(text, (0, []))
        self._found[text] = (count + 1, [*first, number] if count < FIRST_LINES else first)

    def listed(self) -> tuple[str, ...]:
        return tuple(self._describe(text, count, first) for text, (count, first) in self._found.items())

    def _describe(self, text: str, count: int, first: list[int]) -> str:
        if count == 1:
            return f"{self._what} {first[0]}: {text}"
        more = f" and {count - len(first)} more" if count > len(first) else ""
        return f"{self._what}s {', '.join(map(str, first))}{more}: each {text}"
