"""Header fields for h11 without a second validation.

h11 validates every name and value it is given, about 5 µs a field. What this gateway sends it has written itself or
received through h11, which checked it then; so the fields are put straight into h11's own container. Who cannot be
sure of a value asks `is_field_value` first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import h11

if TYPE_CHECKING:
    from h11._headers import Headers

Header = tuple[bytes, bytes]

_Headers: Final = type(h11.Request(method=b"GET", target=b"/", headers=[(b"host", b"x")]).headers)
"""The class that h11 keeps fields in. It is public as a type of value, but not exported by name."""

_FIELD_VALUE: Final = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")


def trusted_headers(items: Iterable[Header]) -> Headers:
    """The fields for an h11 event. Names are lower-case tokens, values legal; neither is checked."""
    return _Headers([(name, name, value) for name, value in items])


def is_field_value(value: bytes) -> bool:
    """Whether a value is legal in a header: no control characters, no blanks around it (RFC 9110, 5.5)."""
    return _FIELD_VALUE.fullmatch(value) is not None
