"""A few fields out of a multipart body, without touching the rest.

Audio and images come as `multipart/form-data` (RFC 7578). The gateway needs the `model` field to know where they
go, and its place in the bytes in case the provider calls the model otherwise; the files pass through unread.

A form that can be read in two ways is refused: a token may be for certain models, and the provider must not see another
one than the gateway did.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from gateway.errors import RequestError

FIELD_LIMIT = 1000
"""Bytes of a field's value; a model's name is short, and a file is not what is asked for."""

PARTS_LIMIT = 200
"""Parts in a form; an edit of images has twenty."""

HEAD_LIMIT = 8192
"""Bytes of a part's head, which is a name and a type."""

_FILE = re.compile(rb"[;\s]filename\*?\s*=", re.I)

_NAME = re.compile(rb'[;\s]name\s*=\s*(?:"([^"]*)"|([^\s;"]+))', re.I)

_BOUNDARY = re.compile(rb'[;\s,]boundary=(?:"([^"]+)"|([^\s;,"]+))', re.I)


class Field(NamedTuple):
    """A form field: its value, and where that stands in the body."""

    value: str
    start: int
    end: int


def read_fields(body: bytes, content_type: bytes, names: Collection[str]) -> dict[str, Field]:
    """Those of the fields called `names` that are there, and are no files.

    Raises RequestError 400 for a body that is no form, and for a second part of one of these names.
    """
    delimiter = b"\r\n--" + _read_boundary(content_type)
    fields: dict[str, Field] = {}
    seen: set[str] = set()
    at = -2 if body.startswith(delimiter[2:]) else body.find(delimiter)
    for _ in range(PARTS_LIMIT + 1):
        head_start = at + len(delimiter)
        if at != -1 and body.startswith(b"--", head_start):
            return fields
        start = body.find(b"\r\n\r\n", head_start, head_start + HEAD_LIMIT) + 4
        end = body.find(delimiter, head_start)
        if at == -1 or start < 4 or end < start or not body.startswith(b"\r\n", head_start):
            raise _unreadable("it is cut short, or not in parts between its boundary")
        head = body[head_start : start - 4]
        for name in _names(head, names):
            if name in seen:
                raise RequestError(400, "invalid_request_error", f"'{name}' is given more than once.", param=name)
            seen.add(name)
            if end - start <= FIELD_LIMIT and not _FILE.search(head):
                fields[name] = Field(body[start:end].decode("utf-8", "replace"), start, end)
        at = end
    raise _unreadable(f"it has more than {PARTS_LIMIT} parts")


def _names(head: bytes, wanted: Collection[str]) -> list[str]:
    """What a part is called, if it is one of `wanted`; in whichever way its reader looks for it."""
    names = {(quoted or plain).decode("latin-1").lower() for quoted, plain in _NAME.findall(head)}
    return [name for name in wanted if name in names]


def _read_boundary(content_type: bytes) -> bytes:
    found = _BOUNDARY.findall(content_type)
    if len(found) != 1:
        raise _unreadable("its Content-Type must name one boundary")
    quoted, plain = found[0]
    boundary: bytes = quoted or plain
    return boundary


def _unreadable(why: str) -> RequestError:
    return RequestError(400, "invalid_request_error", f"The body is not a form that can be read: {why}.")
