"""A request on its way through the router: what was received, who sent it, and the record of it."""

from __future__ import annotations

import os
import re

from gateway.conductor.auth import Identity
from gateway.net.connection import Request
from gateway.observe.record import RequestRecord

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}\Z")

NOBODY = Identity("")


class Inbound:
    """`fields` are the headers by lower-case name, `path` is the raw path without its query."""

    __slots__ = ("fields", "identity", "path", "record", "request")

    def __init__(self, request: Request, fields: dict[bytes, bytes], record: RequestRecord) -> None:
        self.request = request
        self.fields = fields
        self.path = request.path
        self.identity = NOBODY
        self.record = record

    def own_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What every answer of our own carries."""
        return ((b"x-request-id", self.record.request_id.encode()),)


def read_fields(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by lower-case name. Those that came more than once are one list (RFC 9110, 5.3)."""
    fields = dict(headers)
    if len(fields) != len(headers):
        for name in fields:
            fields[name] = b", ".join([value for known, value in headers if known == name])
    return fields


class RequestIds:
    """Ids that no other process and no earlier run has given: a random beginning, then a count."""

    __slots__ = ("_beginning", "_count")

    def __init__(self) -> None:
        self._beginning = f"req_{os.urandom(8).hex()}"
        self._count = 0

    def of(self, fields: dict[bytes, bytes]) -> str:
        """The client's, if it sent a sane one, so that its logs and ours can be joined; else a new one."""
        given = fields.get(b"x-request-id")
        if given is not None and _SANE_ID.match(given):
            return given.decode("ascii")
        self._count += 1
        return f"{self._beginning}{self._count:08x}"
