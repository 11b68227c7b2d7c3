"""A look at the raw head of a request, before anybody parses it. Pure: bytes in, framing and fields out.

h11 is generous where two parsers in a row must not be (request smuggling, RFC 9112, 11.2): it takes a bare LF for an
end of line, a folded line for one, two equal Content-Length fields for one, and Transfer-Encoding beside
Content-Length. A gateway stands between such parsers, so whatever could be read in two ways is refused here. What is
left is simple where a head is *plain*: one Host, a Content-Length or no body, nobody who waits for `100 Continue`.
Nearly all are, and their fields are read by a pattern. All others are left to h11, which takes ten times as long.

Heads are bounded before they come here (`server.max_header_bytes`); every pattern reads one in a single pass.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.errors import RequestError

Header = tuple[bytes, bytes]
"""A field: its name in lower case, and its value."""

CHUNKED: Final = -1
"""Returned as length of a body whose length its chunks tell."""

MAX_LINES: Final = 200
"""SDKs send some 20 header fields, proxies on the way add as many; h11 takes 3 µs for each."""

_TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]++"

_REQUEST_LINE: Final = _TOKEN + rb" [!-~]++ HTTP/1\.[0-9](?=\r\n)"

FIELD_LINES: Final = rb"(?:\r\n" + _TOKEN + rb":[\t -~\x80-\xff]*+)*+"
"""A pattern: any number of fields, each with the end of the line before it."""

_WELL_FORMED: Final = re.compile(_REQUEST_LINE + FIELD_LINES + rb"\r\n\r\n")

_FIELD: Final = re.compile(rb"\r\n([^:\r\n]++):[ \t]*+([^\r\n]*+)")

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")

_HOST: Final = rb"[-\w.~!$&'()*+,;=%:\[\]]*+"

_HOST_LINE: Final = re.compile(rb"\r\nhost:[ \t]*+" + _HOST + rb"[ \t]*+\r\n")

_AUTHORITY: Final = re.compile(_HOST)
"""Of a target that has one. It has no user (RFC 9110, 4.2.4)."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*+([0-9]++)[ \t]*+\r\n")

MAX_DIGITS: Final = 18
"""Of a length; more are as good as infinitely many."""

_MEANINGS: Final = (
    (re.compile(rb"\APRI \* HTTP/2"), "This is HTTP/2; only HTTP/1.1 is spoken here."),
    (_BARE_LF, "A line of the head ends in a bare LF."),
    (re.compile(rb"\r(?!\n)"), "The head contains a bare CR."),
    (re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"), "The head contains a control character."),
    (re.compile(rb"\A\r\n"), "The head is empty."),
    (re.compile(rb"\r\n[ \t]"), "A header field is folded over two lines."),
    (re.compile(rb"\r\n[^\r\n:]*[ \t]:"), "There is whitespace before the colon of a header field."),
    (re.compile(rb"\A(?!" + _REQUEST_LINE + rb")"), "The request line is not `METHOD target HTTP/1.1`."),
    (re.compile(rb""), "A header line is not `name: value`."),
)
"""What may be wrong with a head: the first that is found is said."""


class RequestHead(NamedTuple):
    """`http_version` as in b"1.1"; `waits`: for `100 Continue`, before it sends the body (RFC 9110, 10.1.1)."""

    method: bytes
    target: bytes
    http_version: bytes
    headers: list[Header]
    waits: bool


def is_well_formed(head: bytes) -> bool:
    """Whether a head consists of a request line and `name: value` lines, each with its CRLF."""
    return _WELL_FORMED.fullmatch(head) is not None


def fields_of(head: bytes) -> list[Header]:
    """The fields of a well-formed head, as h11 would give them."""
    return [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(head)]


def check_head(head: bytes) -> tuple[int, bool]:
    """The length of the body that follows, or CHUNKED; and whether the head is plain. `head` ends in its empty line.

    Raises RequestError: 400, or 431 for too many fields.
    """
    if head.count(b"\n") > MAX_LINES:
        raise RequestError(431, "request_too_large", f"The head has more than {MAX_LINES} lines.", close=True)
    if not is_well_formed(head):
        raise _refusal(next(words for pattern, words in _MEANINGS if pattern.search(head)))
    lower = head.lower()
    host = lower.find(b"\r\nhost:")
    if host >= 0 and not _HOST_LINE.match(lower, host):
        raise _refusal("The Host field is not a host.")
    at = lower.find(b"\r\ncontent-length:")
    coded = lower.find(b"\r\ntransfer-encoding:")
    if coded >= 0:
        if at >= 0:
            raise _refusal("Both Content-Length and Transfer-Encoding are given.")
        if lower.find(b"\r\ntransfer-encoding:", coded + 1) >= 0:
            raise _refusal("Transfer-Encoding is given more than once.")
        if b" http/1.0\r\n" in lower:  # RFC 9112, 6.1: its framing is faulty
            raise _refusal("There is no Transfer-Encoding in HTTP/1.0.")
        return CHUNKED, False
    plain = host >= 0 and lower.find(b"\r\nhost:", host + 1) < 0 and lower.find(b"\r\nexpect:") < 0
    if at < 0:
        return 0, plain
    length = _LENGTH.match(lower, at)
    if length is None:
        raise _refusal("The Content-Length is not a number.")
    if lower.find(b"\r\ncontent-length:", at + 1) >= 0:
        raise _refusal("Content-Length is given more than once.")
    digits = length[1].lstrip(b"0")
    if len(length[1]) > MAX_DIGITS:
        plain = False
    return (int(digits or b"0") if len(digits) <= MAX_DIGITS else 10**MAX_DIGITS), plain


def read_plain(head: bytes) -> RequestHead:
    """A head that is plain, as h11 would read it."""
    method, target, version = head[: head.index(b"\r\n")].split(b" ")
    return RequestHead(method, target, version[5:], fields_of(head), False)


def check_authority(host: bytes) -> None:
    """Refuse what stands for a host in a target and is none. Raises RequestError 400."""
    if not host or not _AUTHORITY.fullmatch(host):
        raise _refusal("The target's host is not a host.")


def check_partial_head(received: bytes | bytearray, since: int) -> None:
    """Refuse at once what can never become a head, so that its sender need not wait for a timeout.

    `received` begins with the head, up to `since` it was looked at before. Raises RequestError 400.
    """
    if received[0] < 0x21 and received[0] != 0x0D:  # 0x16 begins a TLS handshake (RFC 8446, 5.1)
        raise _refusal("This is not HTTP." if received[0] != 0x16 else "This is TLS; plain HTTP is spoken here.")
    if _BARE_LF.search(received, max(0, since - 1)):
        raise _refusal("A line of the head ends in a bare LF.")


def _refusal(words: str) -> RequestError:
    return RequestError(400, "invalid_request_error", words, close=True)
