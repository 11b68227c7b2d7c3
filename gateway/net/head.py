"""A look at a request's raw head before h11 parses it.

h11 is a tolerant reader: it accepts a bare LF as the end of a line, folded headers, the same Content-Length twice, and
Transfer-Encoding beside Content-Length. A proxy in front of us may read the same bytes otherwise, and what two readers
cut differently becomes a request that nobody authorised (request smuggling: RFC 9112, 11.2). So all of that is refused.
"""

from __future__ import annotations

import re

from gateway.errors import RequestError

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:", re.I)
TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.I)
SPACE_BEFORE_COLON = re.compile(rb"\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]+:")
BARE_BREAK = re.compile(rb"\r[^\n]|[^\r]\n")
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+ HTTP/1\.[01]\r\n")

TLS_HANDSHAKE = 0x16  # RFC 8446, 5.1: what a client begins with that takes this port for one with TLS


def check_head(head: bytes) -> RequestError | None:
    """What is wrong with a complete head (it ends with an empty line), or None."""
    if REQUEST_LINE.match(head) is None:
        return malformed("The request line is malformed.")
    if BARE_BREAK.search(head):
        return malformed("A line of the head does not end with CRLF.")
    if b"\r\n " in head or b"\r\n\t" in head:
        return malformed("Folded header lines are not accepted (RFC 9112, 5.2).")
    if CONTROL.search(head):
        return malformed("The head has control characters.")
    if SPACE_BEFORE_COLON.search(head):
        return malformed("White space before a header's colon is not accepted (RFC 9112, 5.1).")
    lengths = len(CONTENT_LENGTH.findall(head))
    if lengths > 1:
        return malformed("There is more than one Content-Length.")
    if lengths and TRANSFER_ENCODING.search(head):
        return malformed("Content-Length and Transfer-Encoding exclude each other (RFC 9112, 6.1).")
    return None


def check_beginning(data: bytes | bytearray) -> RequestError | None:
    """What is already wrong with a head that is not complete yet: it will not get better, so nobody waits for it."""
    if data[0] == TLS_HANDSHAKE:
        return malformed("This port speaks HTTP, not HTTPS.")
    if data.startswith(b"PRI * HTTP/2"):
        return malformed("HTTP/2 is not spoken here.")
    if data[0] <= 0x20 and not data.startswith(b"\r"):
        return malformed("The request line is malformed.")
    if b"\n\n" in data or b"\n\r\n" in data.replace(b"\r\n\r\n", b""):
        return malformed("A line of the head does not end with CRLF.")
    return None


def malformed(message: str) -> RequestError:
    return RequestError(400, "invalid_request_error", message, close=True)
