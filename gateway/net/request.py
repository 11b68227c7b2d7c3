"""Requests out of received bytes. Sans-I/O: bytes in (`received`), `Request`s out (`next_request`).

Every head is looked at by `head.py`; one that is not plain is parsed by an `h11.Connection` of its own. A body with a
Content-Length is then only a matter of counting, and does not pass through h11, which would copy it three times; a
chunked one is read by `chunks.py`. Waiting, time limits and answering are left to `connection.py`.

Invariants:
- Limits act on what is announced, before it is read where that is possible; `received` never needs to hold more than
  a head, or a body within its limit, and what one read brings.
- Bytes behind a request stay in `received`: they are the next request's, and are looked at in the same way.
- After a RequestError nothing more is read: where the next request would begin is not known.
"""

from __future__ import annotations

from typing import Final

import h11

from gateway.config.model import ServerConfig
from gateway.errors import RequestError
from gateway.net.chunks import ChunkReader
from gateway.net.head import CHUNKED, RequestHead, check_authority, check_head, check_partial_head, read_plain
from gateway.policy.room import LARGE

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

NOTHING_YET: Final = (b"", b"\r", b"\r\n")
"""What may lie before a request line (RFC 9112, 2.2). It does not make the connection busy."""


class Request:
    """A request with its whole body. Header names are lower-case, in the order received.

    `path` and `query` are the raw target, cut at the first "?" and decoded as Latin-1; that of an absolute-form
    target (RFC 9112, 3.2.2) has no scheme and authority, which a Host header says instead. `peer` is the client's
    address, or "unix". `received_at` is the `loop.time()` when the head was complete. `context` is what the server's
    `admit` and handler have to tell each other and `refuse`; nothing that refers to the request, or it outlives both.
    """

    __slots__ = (
        "body", "context", "headers", "http_version", "keep_alive", "method", "path", "peer", "query",
        "received_at", "secure", "target",
    )  # fmt: skip

    def __init__(self, head: RequestHead, peer: str, secure: bool, received_at: float) -> None:
        """Raises RequestError 400 for a target with a host that is none."""
        self.method = head.method.decode("ascii")
        self.target = head.target
        self.http_version = head.http_version
        self.headers = head.headers
        self.body = b""
        self.context: object = None
        self.peer = peer
        self.secure = secure
        self.received_at = received_at
        if self.target[0] != 0x2F:
            self._read_other_forms()
        else:
            self.path, _, self.query = self.target.decode("latin-1").partition("?")
        self.keep_alive = self.http_version >= b"1.1" and self.method != "CONNECT"
        for name, value in self.headers:
            if name == b"connection" and b"close" in [option.strip() for option in value.lower().split(b",")]:
                self.keep_alive = False

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path} from {self.peer}>"

    def _read_other_forms(self) -> None:
        """Targets that are no path: `http://host/path`, `host:port` of CONNECT, `*` of OPTIONS."""
        scheme, found, rest = self.target.decode("latin-1").partition("://")
        if not found or scheme.lower() not in ("http", "https"):
            self.path, _, self.query = self.target.decode("latin-1").partition("?")
            return
        end = min((at for at in map(rest.find, "/?") if at >= 0), default=len(rest))
        host = rest[:end].encode("latin-1")
        check_authority(host)
        self.headers = [(name, host if name == b"host" else value) for name, value in self.headers]
        self.path, _, self.query = rest[end:].partition("?")
        self.path = self.path or "/"


class RequestReader:
    """What one connection has received. Whoever adds to `received` asks for the `next_request` afterwards.

    `wanted` is the length that `received` must have for that to be of use; `request` is the one whose body is
    being read.
    """

    __slots__ = (
        "_chunks", "_length", "_scanned", "_secure", "_waits", "peer", "received", "request", "wanted",
    )  # fmt: skip

    def __init__(self, peer: str, secure: bool) -> None:
        self.peer = peer
        self.received = bytearray()  # never another object
        self.wanted = 1
        self.request: Request | None = None
        self._waits = False  # the client, for `100 Continue`
        self._secure = secure
        self._scanned = 0  # bytes of `received` in which no head ends
        self._length = 0  # of the body, or CHUNKED
        self._chunks: ChunkReader | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing of a next request has come."""
        return self.request is None and bytes(self.received[:3]) in NOTHING_YET

    @property
    def unfinished(self) -> bool:
        """Whether there is more of a body in `received` than one call of `next_request` takes."""
        return self._chunks is not None and self._chunks.more

    @property
    def body_received(self) -> int:
        """Bytes of the body that have come so far."""
        return len(self.received) + (len(self._chunks.body) if self._chunks is not None else 0)

    @property
    def held(self) -> int:
        """Bytes of a large body, as announced, or as many as have come of one in chunks; those of a small one do not
        count."""
        if self.request is None:
            return 0
        held = self._length if self._chunks is None else len(self._chunks.body) + len(self.received)
        return held if held > LARGE else 0

    def next_request(self, limits: ServerConfig, now: float) -> Request | None:
        """A whole request, or None as long as more bytes are needed.

        Raises RequestError: 400, 413, 431, 501. `request` is then the one it is about, if its head was legal.
        """
        request = self.request
        if request is None:
            request = self._read_head(limits, now)
            if request is None:
                return None
        received = self.received
        length = self._length
        if self._chunks is not None:
            if not self._chunks.read(received, limits.max_body_bytes):
                return None
            request.body = bytes(self._chunks.body)
            self._chunks = None
        elif length:
            if len(received) < length:
                self.wanted = length
                return None
            if len(received) == length:
                request.body = bytes(received)
                received.clear()
            else:
                request.body = bytes(received[:length])
                del received[:length]
        self.request = None
        self.wanted = 1
        return request

    def take_continue(self) -> bytes:
        """`100 Continue`, if the client waits for it before it sends the body (RFC 9110, 10.1.1); else b""."""
        return CONTINUE if self.request is not None and self._waits and not self.received else b""

    def _read_head(self, limits: ServerConfig, now: float) -> Request | None:
        received = self.received
        end = received.find(b"\r\n\r\n", self._scanned) + 4
        if end > limits.max_header_bytes or (end < 4 and len(received) > limits.max_header_bytes):
            raise RequestError(431, "request_too_large", "The request's head is too large.", close=True)
        if end < 4:
            self._look_at_partial_head()
            return None
        head = bytes(received[:end])
        del received[:end]
        self._scanned = 0
        if head.startswith(b"\r\n"):
            head = head[2:]
        self._length, plain = check_head(head)
        read = read_plain(head) if plain else _parse(head)
        self._waits = read.waits
        self.request = request = Request(read, self.peer, self._secure, now)
        limit = limits.max_body_bytes
        if self._length > limit:
            raise RequestError(413, "request_too_large", f"The body is larger than {limit} bytes.", close=True)
        if self._length == CHUNKED:
            self._chunks = ChunkReader()
        self.wanted = 1
        return request

    def _look_at_partial_head(self) -> None:
        received = self.received
        if received:
            check_partial_head(received, self._scanned)
        self._scanned = max(0, len(received) - 3)
        self.wanted = len(received) + 1


def _parse(head: bytes) -> RequestHead:
    """A head that is not plain. Raises RequestError: 400, 501."""
    http = h11.Connection(h11.SERVER)
    http.receive_data(head)
    try:
        event = http.next_event()
    except h11.RemoteProtocolError as exc:
        raise _misread(exc) from exc
    assert type(event) is h11.Request
    headers = [(name.lower(), value) for name, value in event.headers.raw_items()]
    if event.http_version != b"1.0" and not any(name == b"host" for name, _ in headers):  # h11 asks HTTP/1.1 alone
        raise RequestError(400, "invalid_request_error", "There is no Host.", close=True)
    waits = http.they_are_waiting_for_100_continue
    return RequestHead(event.method, event.target, event.http_version, headers, waits)


def _misread(exc: h11.RemoteProtocolError) -> RequestError:
    """What is left for h11 to refuse: no Host, or two; other transfer codings than `chunked`. Ends
    the cycle in which h11 leaves `exc`."""
    exc.__traceback__ = None
    code = "not_implemented" if exc.error_status_hint == 501 else "invalid_request_error"
    return RequestError(exc.error_status_hint, code, f"{exc}.", kind="invalid_request_error", close=True)
