"""A request out and the head of its answer in, on a connection that is in our hand.

A request's head is written here: its fields come from a head that was read, or are our own, and what could end a line
is refused. The answer's is read by `answerhead.py`. Whose connection it is, and what becomes of it after a failure, is
the client's affair (`client.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.net.answerhead import AnswerHead, AnswerReader
from gateway.net.dial import Connection, Origin
from gateway.net.head import is_well_formed

ONE_WRITE = 262144  # bytes of body that are copied behind the head to save a system call
WITH_BODY = (b"POST", b"PUT", b"PATCH")  # methods whose empty body has its length said (RFC 9110 8.6)


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


async def send(connection: Connection, request: Outgoing, seconds: float, deadline: float) -> None:
    """Write a request within `seconds` without progress; `deadline` (loop time) is for the answer, too. Raises
    Disconnect and UpstreamTimeout."""
    connection.begin(deadline)
    if len(request.body) > ONE_WRITE:
        await connection.write(request.head, request.body, seconds)
    else:
        connection.transport.write(request.head + request.body)


async def read_head(connection: Connection, method: bytes, seconds: float) -> AnswerHead:
    """The final response's head; the interim ones before it (RFC 9110 15.2) are skipped. From then on the connection
    has the body. Raises Disconnect, UpstreamTimeout ("first_byte") and ProtocolError."""
    connection.watch("first_byte", seconds)
    reader = AnswerReader(method)
    while True:
        if not connection.unread:
            await connection.wait()
        head = reader.read(connection.take())
        if head is not None:
            connection.put_back(head.rest)
            return head
