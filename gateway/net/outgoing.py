"""A request out and the head of its answer in, on a connection that is in our hand.

A request's head is written here: its fields come from a head that h11 has read, or are our own, and what could end a
line is refused. h11 reads the answer's. What it says becomes the exceptions of `gateway.errors`; whose connection it
is, and what becomes of it after a failure, is the client's affair (`client.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import h11

from gateway.errors import Disconnect, ProtocolError
from gateway.net.dial import MAX_HEAD, Connection, Origin
from gateway.net.head import is_well_formed

ONE_WRITE = 262144  # bytes of body that are copied behind the head to save a system call
WITH_BODY = (b"POST", b"PUT", b"PATCH")  # methods whose empty body has its length said (RFC 9110 8.6)
MAX_DETAIL = 200  # characters of h11's complaint, which quotes what the upstream sent


class Outgoing(NamedTuple):
    """A request as it goes over the wire. The method tells how its answer is to be read."""

    method: bytes
    head: bytes
    body: bytes


def write_request(
    origin: Origin, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> Outgoing:
    """With the host and the length that it lacks. Names are lower-case. Raises ValueError for what is no request of
    HTTP/1.1, or would be more than one."""
    items, names = list(headers), [name for name, _ in headers]
    if b"host" not in names:
        items.insert(0, (b"host", origin.authority))
    else:
        items.sort(key=lambda item: item[0] != b"host")  # it comes first (RFC 9112 3.2)
    if b"content-length" not in names:
        if body or method in WITH_BODY:
            items.append((b"content-length", b"%d" % len(body)))
    elif (b"content-length", b"%d" % len(body)) not in items:
        raise ValueError("the request cannot be written: its Content-Length is not that of its body")
    if b"transfer-encoding" in names:
        raise ValueError("the request cannot be written: its body has a length, not a Transfer-Encoding")
    if names.count(b"host") > 1 or names.count(b"content-length") > 1:
        raise ValueError("the request cannot be written: a field that must be alone is given twice")
    fields = b"".join([b"%b: %b\r\n" % item for item in items])
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, fields)
    if head.count(b"\n") != len(items) + 2 or not is_well_formed(head):
        raise ValueError("the request cannot be written: a line of its head is none")
    return Outgoing(method, head, body)


@lru_cache(maxsize=32)  # clients may invent methods
def _asked(method: bytes) -> h11.Request:
    """All that h11 has to know of a request whose answer it shall read."""
    return h11.Request(method=method, target=b"/", headers=[(b"host", b"any")])


async def send(connection: Connection, request: Outgoing, seconds: float, deadline: float) -> None:
    """Write a request within `seconds` without progress; `deadline` (loop time) is for the answer, too. Raises
    Disconnect and UpstreamTimeout."""
    connection.begin(deadline)
    connection.http.send(_asked(request.method))
    if len(request.body) > ONE_WRITE:
        await connection.write(request.head, request.body, seconds)
    else:
        connection.transport.write(request.head + request.body)


async def read_head(connection: Connection, seconds: float) -> h11.Response:
    """The final response's head; the interim ones before it (RFC 9110 15.2) are skipped. Raises Disconnect,
    UpstreamTimeout ("first_byte") and ProtocolError."""
    next_event = connection.http.next_event
    connection.watch("first_byte", seconds)
    size = 0
    while True:
        if not connection.unread:
            await connection.wait()
        size += connection.unread
        try:
            while type(event := next_event()) is h11.InformationalResponse:
                pass  # 101 is refused by h11: nobody asked for another protocol
        except h11.RemoteProtocolError as exc:
            raise explain(connection, exc) from exc
        if type(event) is h11.Response:
            if connection.http.their_state is h11.SWITCHED_PROTOCOL:  # a 2xx to CONNECT: h11 pauses, and we would wait
                raise ProtocolError("the upstream switches protocols, which nobody asked for")
            # h11 minds the size of a head that is incomplete; this one may have come in one large piece.
            if size > MAX_HEAD and sum(len(n) + len(v) + 4 for n, v in event.headers.raw_items()) > MAX_HEAD:
                raise ProtocolError("the head of the upstream's answer is too long")
            return event
        connection.catch_up()


def explain(connection: Connection, exc: h11.RemoteProtocolError) -> Disconnect | ProtocolError:
    """What an upstream did whose bytes h11 refuses. `exc` is in a cycle with the frame of h11's that raised it, which
    ends here: it would hold the connection until the garbage collector comes."""
    exc.__traceback__ = None
    # h11 is told of the end of file only when it has no more bytes to parse: then the message was cut short.
    if connection.http.trailing_data[1]:
        where = "in the middle of its answer" if connection.heard else "without an answer"
        return Disconnect(f"the upstream closed the connection {where}")
    return ProtocolError("the upstream's answer is not HTTP", detail=str(exc)[:MAX_DETAIL])
