"""Requests off the wire: what is read of legal ones, and that of all others nothing is believed.

Each malformed request is sent whole, byte by byte, and with another request behind it that must not be answered:
where the one ends, and so where the other begins, is just what two readers could disagree about.
"""

from __future__ import annotations

from typing import Any

import h11
import pytest

from gateway.config.model import ServerConfig
from gateway.net.head import check_head
from gateway.net.request import RequestReader
from tests.net.raw import GET, Answer
from tests.net.scripted import both_loops
from tests.net.serving import serving

LIMITS: dict[str, Any] = {"max_header_bytes": 2048, "max_body_bytes": 4096}

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

# A TLS 1.3 ClientHello begins so: handshake record, version, length, client_hello.
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256))


def head(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])


MALFORMED: dict[str, tuple[int, bytes]] = {
    # line ends
    "bare LF after the request line": (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "bare LF after a header": (400, b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    "bare LF everywhere": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "bare LF as the empty line": (400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    "bare LF before the empty line": (400, b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    "bare CR after a header": (400, b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
    "bare CR inside a value": (400, head(b"X: b\rc")),
    "bare CR inside the request line": (400, head(start=b"GET /\r HTTP/1.1")),
    "CR CR LF": (400, b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    "two empty lines before the request": (400, b"\r\n\r\n" + GET),
    "bare LF before the request": (400, b"\n" + GET),
    # the request line
    "no version (HTTP/0.9)": (400, b"GET /\r\n\r\n"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "version 2.0": (400, head(start=b"GET / HTTP/2.0")),
    "version with two digits": (400, head(start=b"GET / HTTP/1.10")),
    "version in lower case": (400, head(start=b"GET / http/1.1")),
    "another protocol": (400, head(start=b"GET / RTSP/1.1")),
    "two spaces before the target": (400, head(start=b"GET  / HTTP/1.1")),
    "two spaces before the version": (400, head(start=b"GET /  HTTP/1.1")),
    "space after the version": (400, head(start=b"GET / HTTP/1.1 ")),
    "space in the target": (400, head(start=b"GET /a b HTTP/1.1")),
    "tab for a space": (400, head(start=b"GET\t/ HTTP/1.1")),
    "leading space": (400, b" " + GET),
    "leading tab": (400, b"\t" + GET),
    "no method": (400, head(start=b"/ HTTP/1.1")),
    "method that is no token": (400, head(start=b"G@T / HTTP/1.1")),
    "NUL in the target": (400, head(start=b"GET /\0 HTTP/1.1")),
    "UTF-8 in the target": (400, head(start="GET /ü HTTP/1.1".encode())),
    "TLS ClientHello": (400, CLIENT_HELLO),
    "SSH": (400, b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "SOCKS 5": (400, b"\x05\x01\x00"),
    # header fields
    "folded header": (400, head(b"X: b", b" c")),
    "folded header with a tab": (400, head(b"X: b", b"\tc")),
    "folded first header": (400, b"GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n"),
    "folded Transfer-Encoding": (400, head(b"Transfer-Encoding:", b" chunked")),
    "space before a colon": (400, head(b"X : b")),
    "tab before a colon": (400, head(b"X\t: b")),
    "space before the colon of Transfer-Encoding": (400, head(b"Transfer-Encoding : chunked")),
    "space before the colon of Content-Length": (400, head(b"Content-Length : 5")),
    "empty header name": (400, head(b": b")),
    "no colon": (400, head(b"X")),
    "header name that is no token": (400, head(b"X(: b")),
    "header name with an obs-text byte": (400, head(b"X\xff: b")),
    "NUL in a header": (400, head(b"X: b\0c")),
    "NUL in a header name": (400, head(b"X\0: b")),
    "control character in a header": (400, head(b"X: b\x01c")),
    "DEL in a header": (400, head(b"X: b\x7fc")),
    "vertical tab as white space": (400, head(b"Transfer-Encoding: \x0bchunked")),
    "no Host": (400, head(host=b"")),
    "no Host in a later version": (400, head(start=b"GET / HTTP/1.2", host=b"")),
    "user in the target": (400, head(start=b"GET http://a@localhost/ HTTP/1.1")),
    "fragment in the target's host": (400, head(start=b"GET http://a#b/ HTTP/1.1")),
    "target without its host": (400, head(start=b"GET http:///a HTTP/1.1")),
    "two Hosts": (400, head(b"Host: b")),
    "two equal Hosts": (400, head(b"Host: a")),
    "Host with a space": (400, head(host=b"Host: a b")),
    "Host with a path": (400, head(host=b"Host: a/b")),
    # the length
    "Content-Length twice, equal": (400, head(b"Content-Length: 5", b"Content-Length: 5") + b"hello"),
    "Content-Length twice, different": (400, head(b"Content-Length: 5", b"Content-Length: 6") + b"hello!"),
    "Content-Length twice in different case": (400, head(b"content-length: 5", b"CONTENT-LENGTH: 5") + b"hello"),
    "Content-Length as a list of equals": (400, head(b"Content-Length: 5, 5") + b"hello"),
    "Content-Length as a list": (400, head(b"Content-Length: 5, 6") + b"hello!"),
    "empty Content-Length": (400, head(b"Content-Length:") + b"hello"),
    "negative Content-Length": (400, head(b"Content-Length: -5") + b"hello"),
    "plus sign": (400, head(b"Content-Length: +5") + b"hello"),
    "hexadecimal Content-Length": (400, head(b"Content-Length: 0x5") + b"hello"),
    "fraction": (400, head(b"Content-Length: 5.0") + b"hello"),
    "exponent": (400, head(b"Content-Length: 1e1") + b"hello12345"),
    "underscore": (400, head(b"Content-Length: 1_0") + b"hello12345"),
    "digits of another script": (400, head("Content-Length: ٥".encode()) + b"hello"),
    "Content-Length of twenty digits": (413, head(b"Content-Length: " + b"9" * 20)),
    "Content-Length of forty digits": (400, head(b"Content-Length: " + b"9" * 40)),
    "Content-Length with an inner space": (400, head(b"Content-Length: 1 0") + b"hello12345"),
    # the transfer coding
    "TE and CL": (400, head(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n"),
    "CL and TE": (400, head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "TE identity": (501, head(b"Transfer-Encoding: identity")),
    "TE identity and CL": (400, head(b"Transfer-Encoding: identity", b"Content-Length: 5") + b"hello"),
    "TE gzip": (501, head(b"Transfer-Encoding: gzip")),
    "TE gzip, chunked": (501, head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
    "TE chunked, identity": (501, head(b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n"),
    "TE chunked twice": (400, head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "TE chunked, chunked": (501, head(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n"),
    "TE xchunked": (501, head(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n"),
    "TE quoted": (501, head(b'Transfer-Encoding: "chunked"') + b"0\r\n\r\n"),
    "empty TE": (501, head(b"Transfer-Encoding:")),
    "TE in HTTP/1.0": (400, head(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0") + b"0\r\n\r\n"),
    # chunks
    "chunk size that is no number": (400, CHUNKED + b"x\r\n"),
    "chunk size with 0x": (400, CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    "negative chunk size": (400, CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with a plus sign": (400, CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with leading space": (400, CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n"),
    "empty chunk size": (400, CHUNKED + b"\r\nhello\r\n0\r\n\r\n"),
    "space after the chunk size": (400, CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    "NUL in a chunk extension": (400, CHUNKED + b"5;\0\r\nhello\r\n0\r\n\r\n"),
    "huge chunk size": (400, CHUNKED + b"f" * 21 + b"\r\n"),
    "huge chunk-size line": (400, CHUNKED + b"5;" + b"x" * 40000 + b"\r\nhello\r\n0\r\n\r\n"),
    "huge chunk-size line without end": (400, CHUNKED + b"5;" + b"x" * 40000),
    "chunk without CRLF": (400, CHUNKED + b"5\r\nhello0\r\n\r\n"),
    "chunk longer than its size": (400, CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n"),
    "bare LF after the chunk size": (400, CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    "bare LF in a chunk extension": (400, CHUNKED + b"5;\nhello\r\n0\r\n\r\n"),
    "bare CR in a chunk extension": (400, CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "bare LF after a chunk": (400, CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    "bare LF after the last chunk": (400, CHUNKED + b"5\r\nhello\r\n0\n\r\n"),
    "bare LF at the end": (400, CHUNKED + b"5\r\nhello\r\n0\r\n\n"),
    "trailers": (400, CHUNKED + b"5\r\nhello\r\n0\r\nX: b\r\n\r\n"),
    "trailer with a Content-Length": (400, CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n"),
    "malformed trailers": (400, CHUNKED + b"0\r\nX\r\n\r\n"),
    # size
    "oversized head": (431, head(b"X: " + b"x" * 3000)),
    "oversized head without end": (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 3000),
    "oversized target": (431, head(start=b"GET /" + b"x" * 3000 + b" HTTP/1.1")),
    "too many fields": (431, head(*[b"X: b"] * 330)),
    "oversized body": (413, head(b"Content-Length: 4097") + bytes(4097)),
    "oversized body that does not come": (413, head(b"Content-Length: 1000000000000000000")),
    "oversized chunk": (413, CHUNKED + b"1001\r\n" + b"x" * 4097 + b"\r\n0\r\n\r\n"),
    "oversized chunk that does not come": (413, CHUNKED + b"1001\r\n"),
    "gigantic chunk that does not come": (413, CHUNKED + b"ffffffffffffffff\r\n"),
    "chunks that are oversized together": (413, CHUNKED + b"800\r\n" + b"x" * 2048 + (b"\r\n801\r\n" + b"y" * 2049)),
}

EACH = pytest.mark.parametrize("status, sent", MALFORMED.values(), ids=MALFORMED.keys())

SHORT_ONES = {name: case for name, case in MALFORMED.items() if len(case[1]) < 10_000}


def assert_refused(answer: Answer, status: int, rest: bytes) -> None:
    assert answer.status == status
    assert answer.error
    assert answer.closes
    assert rest == b"", "something came after the last answer"


@EACH
@both_loops
async def test_a_malformed_request_is_refused(status: int, sent: bytes) -> None:
    async with serving(**LIMITS) as served, served.connecting() as client:
        await client.send(sent)
        assert_refused(await client.read_answer(), status, await client.read_to_end())
        client.close()
        await served.wait_quiet()


@pytest.mark.parametrize("status, sent", SHORT_ONES.values(), ids=SHORT_ONES.keys())
@both_loops
async def test_a_malformed_request_is_refused_when_it_comes_byte_by_byte(status: int, sent: bytes) -> None:
    async with serving(**LIMITS) as served, served.connecting() as client:
        await client.send_by_bytes(sent)
        assert_refused(await client.read_answer(), status, await client.read_to_end())


@EACH
@both_loops
async def test_what_follows_a_malformed_request_is_not_answered(status: int, sent: bytes) -> None:
    async with serving(**LIMITS) as served, served.connecting() as client:
        await client.send(GET + sent + GET + GET)
        assert (await client.read_answer()).status == 200
        assert_refused(await client.read_answer(), status, await client.read_to_end())


@pytest.mark.parametrize(
    "start", [b"POST /v1?a=b HTTP/1.1", b"OPTIONS * HTTP/1.0", b"get http://a/ HTTP/1.9", b"CONNECT a:1 HTTP/1.1"]
)
def test_a_plain_request_is_what_h11_would_make_of_it(start: bytes) -> None:
    raw = head(b"X-Y:  a b \t", b"Z:", start=start)
    assert check_head(raw) == (0, True)
    reader = RequestReader("unix", secure=False)
    reader.received += raw
    request = reader.next_request(ServerConfig(), 0.0)
    http = h11.Connection(h11.SERVER)
    http.receive_data(raw)
    event = http.next_event()
    assert type(event) is h11.Request and request is not None
    read = (request.method.encode(), request.target, request.http_version, request.headers)
    assert read == (event.method, event.target, event.http_version, list(event.headers))
