"""Headers that are known to be legal, in the form that h11 writes without looking at them again.

h11 validates each name and value with regular expressions, which costs more than writing them. Values here are the
gateway's own constants, or came out of h11's parser on the other side and are legal for that reason; anything else
goes through `is_field_value` first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

import h11

Header = tuple[bytes, bytes]

_Headers = type(h11.Request(method=b"GET", target=b"/", headers=[(b"host", b"x")]).headers)
_FIELD_VALUE = re.compile(rb"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")


def trusted_headers(items: Iterable[Header]) -> list[Header]:
    """The headers for an h11 event. Names in lower case, values legal; the caller vouches for both.

    What comes back is h11's own class, which its events take as it is; the declared type is what their signature says.
    """
    return cast(list[Header], _Headers([(name, name, value) for name, value in items]))


def is_field_value(value: bytes) -> bool:
    """Whether bytes may stand as a header's value (RFC 9110, 5.5): no control characters, no space at its ends."""
    return not value or _FIELD_VALUE.fullmatch(value) is not None
