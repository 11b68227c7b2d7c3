"""JSON as bytes: orjson where it can be imported, the standard library otherwise.

The two agree on what the gateway needs: compact output, UTF-8 bytes, keys in the order given, and
`ValueError` for anything that is not JSON (NaN and Infinity included).
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
        try:
            value = json.loads(data, parse_constant=_no_constant)
        except RecursionError as exc:
            raise ValueError("JSON nested too deeply") from exc
        if (b"\\u" if isinstance(data, bytes | bytearray) else "\\u") in data:  # type: ignore[operator]
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
    return b"\\u00" in data and _LETTER.search(data) is not None and _ESCAPE.search(data) is not None


def repeats(data: bytes, name: str) -> bool:
    """Whether the outermost object of a JSON document has more than one member of that name, of which one reader takes
    the first and another the last (RFC 8259, 4). The document is one that `loads` reads."""
    if data.count(b'"%b"' % name.encode()) < 2 and not hides_names(data):
        return False
    import json

    pairs: list[tuple[str, Any]] = []

    def note(members: list[tuple[str, Any]]) -> None:
        pairs[:] = members  # the outermost object is read last

    json.loads(data, object_pairs_hook=note)
    return sum(member == name for member, _ in pairs) > 1
