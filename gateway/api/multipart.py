"""One field out of a multipart body, without touching the rest.

Audio and images come as `multipart/form-data` (RFC 7578). The gateway needs the `model` field to know where they
go, and its place in the bytes in case the provider calls the model otherwise; the files pass through unread.
"""

from __future__ import annotations

import re
from typing import NamedTuple

FIELD_LIMIT = 1000
"""Bytes of a field's value; a model's name is short, and a file is not what is asked for."""

PARTS_LIMIT = 200
"""Parts looked at."""

_FILE = re.compile(rb"[;\s]filename\*?=", re.I)

_BOUNDARY = re.compile(rb'boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.I)


class Field(NamedTuple):
    """A form field: its value, and where that stands in the body."""

    value: str
    start: int
    end: int


def read_field(body: bytes, content_type: bytes, name: str) -> Field | None:
    """The first part called `name` that is no file. None if there is none or the body is malformed."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    delimiter = b"--" + (found[1] or found[2])
    wanted = re.compile(rb'(?:^|[;\s])name="?' + re.escape(name.encode()) + rb'"?(?:[;\r\s]|$)', re.I)
    at = body.find(delimiter)
    for _ in range(PARTS_LIMIT):
        if at < 0:
            return None
        head_start = at + len(delimiter)
        head_end = body.find(b"\r\n\r\n", head_start, head_start + 8192)
        following = body.find(b"\r\n" + delimiter, head_start)
        if head_end < 0 or following < head_end:
            return None
        head = body[head_start:head_end]
        start = head_end + 4
        if not _FILE.search(head) and wanted.search(head) and following - start <= FIELD_LIMIT:
            return Field(body[start:following].decode("utf-8", "replace"), start, following)
        at = following + 2
    return None
