"""The lines of a key file: `key  label=value …`, or one JSON object a line.

    # a comment
    sk-first
    sk-second   account=team-a  weight=2  note="bought in May"   # so is this
    {"value": "sk-third", "account": "team-a"}                     in files named .ndjson

A line that cannot be understood is a problem with a number; the other lines still count. A file that is no UTF-8
text is broken as a whole, since nobody knows what else is wrong with it. Nothing raises for what a file may hold.

Invariant: no message ever holds a part of a line, because any part of it may be a part of a key.
"""

from __future__ import annotations

import codecs
import io
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway import jsonlib
from gateway.secret import Secret

LABELS = ("account", "weight", "note")

NO_LABELS: Mapping[str, str] = MappingProxyType({})
"""Shared by all keys without labels, which are nearly all of them."""

MAX_KEY_LENGTH = 4096
"""Characters of a key. The longest in use are tokens of some 2,000; a header line has to hold it."""

MAX_LABEL_LENGTH = 200
"""Characters of a label's value: it goes into tables for people."""

MAX_PROBLEMS = 20
"""Problems reported of one file. Whoever sees twenty knows what is wrong with the rest."""

SLICE = 500
"""Lines parsed before other threads may run: about half a millisecond, so that requests do not notice."""

KEY = re.compile(r"[\x21-\x7e]+")
LABEL = re.compile(r"""\s+(?P<name>[A-Za-z][\w-]*)=(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"]*))(?=\s|$)""", re.ASCII)
COMMENT = re.compile(r"\s+(?:#.*)?|$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key and what its file says of it. `labels` have the names in `LABELS`."""

    secret: Secret
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)


NOTHING_KNOWN: Mapping[Secret, KeyEntry] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ParsedKeys:
    """What a file holds: keys in order, each once; at most `MAX_PROBLEMS` problems ("line 3: …").

    `broken` says why the file as a whole is unusable; it then has no entries.
    """

    entries: tuple[KeyEntry, ...] = ()
    problems: tuple[str, ...] = ()
    duplicates: int = 0
    broken: str = ""


class BadLineError(ValueError):
    """A line without a usable key; the text says why without quoting it."""


def parse_key_lines(data: bytes, ndjson: bool, known: Mapping[Secret, KeyEntry] = NOTHING_KNOWN) -> ParsedKeys:
    """The keys in the bytes of a file. May run in a thread: it gives the interpreter lock away often.

    An entry that is among the `known` ones is that very object, so that no key is in memory twice.
    """
    broken = _why_no_text(data)
    if broken:
        return ParsedKeys(broken=broken)
    entries: dict[Secret, KeyEntry] = {}
    problems = _Problems()
    shared: dict[str, Mapping[str, str]] = {}
    duplicates = 0
    for number, raw in enumerate(io.BytesIO(data.removeprefix(codecs.BOM_UTF8)), 1):
        if number % SLICE == 0:
            time.sleep(0)
        try:
            found = parse_line(raw.decode(), ndjson)
        except UnicodeDecodeError:
            return ParsedKeys(broken=f"line {number} is not UTF-8; save the file as UTF-8")
        except BadLineError as error:
            problems.add(number, str(error))
            continue
        if found is None:
            continue
        key, labels, remarks = found
        for remark in remarks:
            problems.add(number, remark)
        secret = Secret(key)
        if secret in entries:
            duplicates += 1
            continue
        entry = known.get(secret)
        if entry is None or entry.labels != labels:
            # Thousands of keys of one account share one mapping.
            entry = KeyEntry(secret, shared.setdefault(repr(labels), labels) if labels else NO_LABELS)
        entries[entry.secret] = entry
    return ParsedKeys(tuple(entries.values()), problems.listed(), duplicates)


def parse_line(line: str, ndjson: bool) -> tuple[str, Mapping[str, str], tuple[str, ...]] | None:
    """The key of a line, its labels, and what is wrong with those; None for blanks and comments.

    Raises BadLineError.
    """
    line = line.strip(" \t\r\n")
    if not line or line.startswith("#"):
        return None
    if ndjson:
        return _parse_object(line)
    if len(line) <= MAX_KEY_LENGTH and KEY.fullmatch(line) and line[0] != "{":
        return line, NO_LABELS, ()
    return _parse_words(line)


def _parse_words(line: str) -> tuple[str, Mapping[str, str], tuple[str, ...]]:
    if line.startswith("{"):
        raise BadLineError("is a JSON object, which belongs into a file named .ndjson")
    key = (line.split(maxsplit=1) or [line])[0]  # a line of nothing but exotic blanks has no words
    check_key(key)
    found: dict[str, str] = {}
    at = len(key)
    while not COMMENT.fullmatch(line, at):
        label = LABEL.match(line, at)
        if label is None:
            raise BadLineError("has something after the key that is neither label=value nor a # comment")
        found[label["name"]] = label["plain"] if label["quoted"] is None else label["quoted"]
        at = label.end()
    labels, remarks = _check_labels(found)
    return key, labels, remarks


def _parse_object(line: str) -> tuple[str, Mapping[str, str], tuple[str, ...]]:
    try:
        value = jsonlib.loads(line)
    except ValueError:
        raise BadLineError("is not JSON") from None
    key = value.pop("value", None) if isinstance(value, dict) else None
    if not isinstance(key, str):
        raise BadLineError('is no JSON object with a text as "value"')
    check_key(key)
    labels, remarks = _check_labels(value)
    return key, labels, remarks


def check_key(key: str) -> None:
    """Raises BadLineError for what cannot be sent as a credential in a header (RFC 9110, section 5.5)."""
    if not key:
        raise BadLineError("has an empty key")
    if len(key) > MAX_KEY_LENGTH:
        raise BadLineError(f"has a key longer than {MAX_KEY_LENGTH} characters")
    if KEY.fullmatch(key):
        return
    if not key.isascii():
        raise BadLineError("has a character that is not ASCII in its key")
    raise BadLineError("has a blank or a control character in its key")


def _check_labels(found: Mapping[str, object]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The usable ones of these labels, and why the others are not. A bad label never costs the key."""
    labels: dict[str, str] = {}
    remarks = []
    for name, value in found.items():
        text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        if name not in LABELS:
            remarks.append(f"has an unknown label; there are {', '.join(LABELS)}")
        elif not text or len(text) > MAX_LABEL_LENGTH or not text.isprintable():
            remarks.append(f"has an empty, overlong or unprintable {name}, which is ignored")
        elif name == "weight" and not _is_weight(text):
            remarks.append("has a weight that is no positive number, which is ignored")
        else:
            labels[name] = text
    return MappingProxyType(labels), tuple(remarks)


def _is_weight(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _why_no_text(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is UTF-16, as Windows editors write it; save it as UTF-8"
    if b"\0" in data:
        return "has NUL bytes and is no text file; if it was meant to be one, save it as UTF-8"
    return ""


class _Problems:
    """The first problems in words, the others as a number."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._more = 0

    def add(self, number: int, text: str) -> None:
        if len(self._texts) < MAX_PROBLEMS - 1:
            self._texts.append(f"line {number}: {text}")
        else:
            self._more += 1

    def listed(self) -> tuple[str, ...]:
        return (*self._texts, f"and {self._more} more problems") if self._more else tuple(self._texts)
