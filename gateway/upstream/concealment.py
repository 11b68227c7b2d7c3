"""A key that its provider repeats in an error goes no further: not into what is kept of the error, not to the client.

Wherever the key stands, its fingerprint takes its place. One shorter than `MASKED_FROM` may be a word ("none", "x"),
and replacing that would leave neither sentences nor JSON: where it stands by itself the whole text is withheld.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gateway import jsonlib
from gateway.upstream.key import Key
from gateway.wire.sse import Event, EventReader

MASKED_FROM = 8
"""Characters of a key that is replaced wherever it stands. Real ones have more than twice as many."""

ERROR = b"error"
"""Stands in every error that is JSON, before what it says."""

WITHHELD = "what the provider said is left out: it repeats the key, which is too short to be masked"

_EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\n\r\n)|(?<=\r\r)")

Header = tuple[bytes, bytes]


def conceal_text(key: Key, text: str) -> str:
    """What may be kept and logged of what the provider said."""
    secret = key.secret.reveal()
    if len(secret) >= MASKED_FROM:
        return text.replace(secret, key.fingerprint)
    return WITHHELD if _stands_in(secret.encode(), text.encode("utf-8", "replace")) else text


def conceal_body(key: Key, body: bytes) -> bytes | None:
    """What the client may have of an error's body; None: nothing of it."""
    secret = key.secret.reveal()
    for form in _written(secret):
        if len(secret) >= MASKED_FROM:
            body = body.replace(form, key.fingerprint.encode())
        elif _stands_in(form, body):
            return None
    return body


def conceal_events(key: Key, events: bytes, is_error: Callable[[Event], bool], instead: bytes) -> bytes:
    """What the client may have of a stream's whole events, among which there is an error; `instead` takes the place of
    one of which it may have nothing."""
    shown = conceal_body(key, events)
    if shown is not None:
        return shown
    return b"".join(
        instead
        if conceal_body(key, event) is None and any(map(is_error, EventReader(len(event)).feed(event)))
        else event
        for event in _EVENT_END.split(events)
    )


class BodyMask:
    """Replaces the key in a body that passes in pieces, from the first word of an error on: an error ends a stream, and
    most have none. A key that may be a word stays, since JSON has no place where the rest would be left out."""

    __slots__ = ("_end", "_forms", "_held", "_shown")

    def __init__(self, key: Key) -> None:
        secret = key.secret.reveal()
        self._shown = key.fingerprint.encode()
        self._forms = _written(secret) if len(secret) >= MASKED_FROM else set()
        self._end: bytes | None = b""  # of the last piece; None: an error has begun
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What may go out now: without what may be the beginning of the key."""
        if self._end is not None:
            if ERROR not in data and ERROR not in self._end + data[: len(ERROR)]:
                self._end = (self._end + data[-len(ERROR) :])[-len(ERROR) :]
                return data
            self._end = None
        data = self._held + data
        for form in self._forms:
            data = data.replace(form, self._shown)
        begun = max((_begun(form, data) for form in self._forms), default=0)
        self._held = data[len(data) - begun :]
        return data[: len(data) - begun]

    def rest(self) -> bytes:
        """What was held, when nothing follows: no key."""
        return self._held


def _begun(form: bytes, data: bytes) -> int:
    """How many bytes at the end of the data may be the beginning of this form."""
    at = data.find(form[:1], max(0, len(data) - len(form) + 1))
    while at >= 0 and not form.startswith(data[at:]):
        at = data.find(form[:1], at + 1)
    return 0 if at < 0 else len(data) - at


def conceal_headers(key: Key, headers: Sequence[Header]) -> Sequence[Header]:
    """The same of its header fields; one that repeats a key too short to be masked is left out."""
    secret = key.secret.reveal().encode()
    if not any(secret in value for _, value in headers):
        return headers
    if len(secret) < MASKED_FROM:
        return [(name, value) for name, value in headers if not _stands_in(secret, value)]
    shown = key.fingerprint.replace("…", "...").encode("ascii", "replace")  # a header has no other letters
    return [(name, value.replace(secret, shown)) for name, value in headers]


def _written(secret: str) -> set[bytes]:
    """As it is, and as it may stand in JSON (RFC 8259, section 7: some escape the slash as well)."""
    escaped = jsonlib.dumps(secret)[1:-1]
    return {secret.encode(), escaped, escaped.replace(b"/", rb"\/")}


def _stands_in(secret: bytes, data: bytes) -> bool:
    """Whether it is there as a word, not as a part of one."""
    return (
        secret in data and re.search(rb"(?<![A-Za-z0-9_])" + re.escape(secret) + rb"(?![A-Za-z0-9_])", data) is not None
    )
