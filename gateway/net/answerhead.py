"""The head of an upstream's answer (RFC 9112, 4). Sans-I/O: bytes in, head and what follows it out.

Nearly all heads are *plain*: whole in the first piece that arrives, each line in its CRLF, final, and with one framing
at most. Those are read by a pattern. Whatever else an upstream sends is h11's to read or to refuse: it takes ten times
as long, and knows of interim answers, folded lines, bare LFs, lengths that contradict each other. Both give the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

import h11

from gateway.errors import Disconnect, ProtocolError
from gateway.net.head import FIELD_LINES, MAX_DIGITS, Header, fields_of

MAX_HEAD: Final = 65536
"""Bytes. Providers send 2 to 4 KB, CDN cookies and policies add some more."""

MAX_DETAIL: Final = 200
"""Characters of h11's complaint, which quotes what the upstream sent."""

_PLAIN: Final = re.compile(rb"HTTP/1\.1 ([2-9][0-9][0-9])(?: [\t -~\x80-\xff]*+)?(?=\r\n)" + FIELD_LINES + rb"\r\n\r\n")


class AnswerHead(NamedTuple):
    """The final head of an answer. Names of `headers` are lower-case, in the order received; `rest` is what has come of
    the body. `lasting`: another request may follow on the connection."""

    status: int
    lasting: bool
    headers: list[Header]
    rest: bytes


class AnswerReader:
    """Reads the head of one answer, to a request of `method`."""

    __slots__ = ("_http", "_method", "_size")

    def __init__(self, method: bytes) -> None:
        self._method = method
        self._http: h11.Connection | None = None  # until a piece was not plain
        self._size = 0

    def read(self, data: bytes) -> AnswerHead | None:
        """The head, once it is whole. `data` is what has arrived since the last call, b"" for the end of file.

        Raises Disconnect and ProtocolError.
        """
        http = self._http
        if http is None:
            head = read_plain(data) if self._method != b"CONNECT" else None
            if head is not None:
                return head
            http = self._http = h11.Connection(h11.CLIENT, MAX_HEAD)
            http.send(_asked(self._method))
        self._size += len(data)
        http.receive_data(data)
        try:
            while type(event := http.next_event()) is h11.InformationalResponse:
                pass  # 101 is refused by h11: nobody asked for another protocol
        except h11.RemoteProtocolError as exc:
            raise self._explain(exc, http) from exc
        if type(event) is not h11.Response:
            return None
        if http.their_state is h11.SWITCHED_PROTOCOL:  # a 2xx to CONNECT: h11 pauses, and we would wait
            raise ProtocolError("the upstream switches protocols, which nobody asked for")
        items = event.headers.raw_items()
        # h11 minds the size of a head that is incomplete; this one may have come in one large piece.
        if self._size > MAX_HEAD and sum(len(n) + len(v) + 4 for n, v in items) > MAX_HEAD:
            raise ProtocolError("the head of the upstream's answer is too long")
        headers = [(name.lower(), value) for name, value in items]
        lasting = event.http_version >= b"1.1" and _lasting(headers) and not _framed_twice(headers)
        return AnswerHead(event.status_code, lasting, headers, http.trailing_data[0])

    def _explain(self, exc: h11.RemoteProtocolError, http: h11.Connection) -> Disconnect | ProtocolError:
        """What an upstream did whose bytes h11 refuses. `exc` is in a cycle with the frame of h11's that raised it,
        which ends here: it would hold the connection until the garbage collector comes."""
        exc.__traceback__ = None
        # h11 is told of the end of file only when it has no more bytes to parse: then the message was cut short.
        if http.trailing_data[1]:
            where = "in the middle of its answer" if self._size else "without an answer"
            return Disconnect(f"the upstream closed the connection {where}")
        return ProtocolError("the upstream's answer is not HTTP", detail=str(exc)[:MAX_DETAIL])


def read_plain(data: bytes) -> AnswerHead | None:
    """A plain head, and what follows it; None if there is none in `data`."""
    match = _PLAIN.match(data)
    if match is None or match.end() > MAX_HEAD:
        return None
    headers = fields_of(match[0])
    framing = [field for field in headers if field[0] in (b"content-length", b"transfer-encoding")]
    if framing:
        name, value = framing[0]
        if len(framing) > 1 or not (
            value == b"chunked" if name == b"transfer-encoding" else value.isdigit() and len(value) <= MAX_DIGITS
        ):
            return None
    return AnswerHead(int(match[1]), _lasting(headers), headers, data[match.end() :])


def _lasting(headers: list[Header]) -> bool:
    return not any(name == b"connection" and b"close" in value.lower() for name, value in headers)


def _framed_twice(headers: list[Header]) -> bool:
    """Where such an answer ends somebody on the way may see differently (RFC 9112, 6.3): nothing of ours may follow."""
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}


@lru_cache(maxsize=32)  # clients may invent methods
def _asked(method: bytes) -> h11.Request:
    """All that h11 has to know of a request whose answer it shall read."""
    return h11.Request(method=method, target=b"/", headers=[(b"host", b"any")])
