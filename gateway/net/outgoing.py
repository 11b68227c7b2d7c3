"""A request out and the head of its answer in, on a connection that is in our hand.

What h11 says of either becomes the exceptions of `gateway.errors`; whose connection it is, and what becomes of it after
a failure, is the client's affair (`client.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import h11

from gateway.errors import Disconnect, ProtocolError
from gateway.net.dial import MAX_HEAD, Connection, Origin
from gateway.net.headers import trusted_headers

ONE_WRITE = 262144  # bytes of body that are copied behind the head to save a system call
WITH_BODY = (b"POST", b"PUT", b"PATCH")  # methods whose empty body has its length said (RFC 9110 8.6)
MAX_DETAIL = 200  # characters of h11's complaint, which quotes what the upstream sent


def build_request(
    origin: Origin, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> h11.Request:
    """With the host and the length that it lacks. Raises ValueError for what is no request of HTTP/1.1."""
    items = list(headers)
    names = {name for name, _ in items}
    if b"host" not in names:
        items.insert(0, (b"host", origin.authority))
    if b"content-length" not in names:
        if body or method in WITH_BODY:
            items.append((b"content-length", b"%d" % len(body)))
    elif (b"content-length", b"%d" % len(body)) not in items:
        raise ValueError("the request cannot be written: its Content-Length is not that of its body")
    if b"transfer-encoding" in names:
        raise ValueError("the request cannot be written: its body has a length, not a Transfer-Encoding")
    try:
        return h11.Request(method=method, target=target, headers=trusted_headers(items))
    except h11.LocalProtocolError as exc:
        raise ValueError(f"the request cannot be written: {exc}") from exc


async def send(connection: Connection, request: h11.Request, body: bytes, seconds: float, deadline: float) -> None:
    """Write a request within `seconds` without progress; `deadline` (loop time) is for the answer, too. Raises
    Disconnect, UpstreamTimeout, and ValueError for a header that would be more than one."""
    http = connection.http
    connection.begin(deadline)
    try:
        head = http.send(request)  # its body needs no framing beyond the length, which `build_request` saw to
    except h11.LocalProtocolError as exc:
        raise ValueError(f"the request cannot be written: {exc}") from exc
    if head.count(b"\n") != len(request.headers) + 2:
        raise ValueError("a line break inside a header")  # it would become a header of its own, or a request
    if len(body) > ONE_WRITE:
        await connection.write(head, body, seconds)
    else:
        connection.transport.write(head + body)


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
                if event.status_code == 101:
                    raise ProtocolError("the upstream switches protocols, which nobody asked for")
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
