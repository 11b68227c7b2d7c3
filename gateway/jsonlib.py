"""JSON as bytes: orjson where it can be imported, the standard library otherwise.

The two agree on what the gateway needs: compact output, UTF-8 bytes, keys in the order given, and
`ValueError` for anything that is not JSON (NaN and Infinity included).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, NoReturn

__all__ = ["dumps", "dumps_pretty", "hides_names", "loads", "repeats"]

_LETTER = re.compile(rb"\\u00(?:[46][1-9a-fA-F]|[57][0-9aA]|5[fF])")
_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*+" + _LETTER.pattern)
"""An ASCII letter or `_` as an escape; and with an even number of backslashes before, so that it is one indeed."""

loads: Callable[[bytes | bytearray | str], Any]
"""The value of a JSON document. Raises ValueError."""

dumps: Callable[[Any], bytes]
"""Compact UTF-8 JSON. Raises TypeError for what JSON cannot say."""

try:
    import orjson
except ImportError:
    import json

    def _no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    def _loads(data: bytes | bytearray | str) -> Any:
        if not isinstance(data, str):
            data = data.decode()  # bytes of UTF-16 it would read, too, in which no search finds a name
        try:
            value = json.loads(data, parse_constant=_no_constant)
        except RecursionError as exc:
            raise ValueError("JSON nested too deeply") from exc
        if "\\u" in data:
            _dumps(value)  # half a surrogate pair is no text: UnicodeEncodeError, a ValueError
        return value

    def _dumps(value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    def dumps_pretty(value: Any) -> bytes:
        """The same, for people: indented by two."""
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode()

    loads, dumps = _loads, _dumps
else:
    loads, dumps = orjson.loads, orjson.dumps  # not wrapped: they are called for every request

    def dumps_pretty(value: Any) -> bytes:
        """The same, for people: indented by two."""
        return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def hides_names(data: bytes) -> bool:
    """Whether letters stand as escapes in a JSON document, so that a search of its bytes may miss a name. Nobody who
    writes JSON does that; what is escaped is other text, `<` and `&`."""
    return data.find(b"\\u00") >= 0 and _LETTER.search(data) is not None and _ESCAPE.search(data) is not None


def repeats(data: bytes, decoded: Any, *names: str, within: Collection[str] = ()) -> bool:
    """Whether the outermost object of a JSON document has more than one member of one of these names, of which one
    reader takes the first and another the last (RFC 8259, 4); or may have, nested as deep as it is. Objects that are
    its members `within` are looked into, too. `decoded` is what `loads` has read."""
    if not hides_names(data):
        counts = {word: data.count(word) for word in map(_quoted, names)}
        several = {word: count for word, count in counts.items() if count > 1}
        if not several or _has_as_many(decoded, several):
            return False
    import json

    pairs: list[tuple[str, Any]] = []

    def note(members: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...] | None:
        pairs[:] = members  # the outermost object is read last
        return tuple(members) if within else None

    try:
        json.loads(data, object_pairs_hook=note)
    except RecursionError:  # JSON can be deeper than Python's stack
        return True
    objects = [pairs, *(value for member, value in pairs if member in within and isinstance(value, tuple))]
    said = [[member for member, _ in members] for members in objects]
    return any(members.count(name) > 1 for members in said for name in names)


@lru_cache(maxsize=256)
def _quoted(name: str) -> bytes:
    return b'"%b"' % name.encode()


def _has_as_many(decoded: Any, counts: dict[bytes, int]) -> bool:
    """Whether a document that was read has lost none of these words, as it loses all but one of several members. Tools
    have arguments called like anything, and to write all of it once more takes half of reading it member by member."""
    try:
        written = dumps(decoded)
    except (RecursionError, TypeError):  # JSON can be read deeper than it can be written
        return False
    return all(written.count(word) == count for word, count in counts.items())
