"""What is found out about a raw head before it is parsed. How refusals reach clients is in test_request.py."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.net.head import CHUNKED, MAX_LINES, check_head, check_partial_head, fields_of


def head(*lines: bytes, start: bytes = b"POST /v1?a=b HTTP/1.1") -> bytes:
    return b"\r\n".join([start, b"Host: a", *lines, b"", b""])


@pytest.mark.parametrize(
    "raw, length",
    [
        (head(), 0),
        (head(b"Content-Length: 0"), 0),
        (head(b"Content-Length: 5"), 5),
        (head(b"content-length:5"), 5),
        (head(b"CONTENT-LENGTH: \t 5 \t "), 5),
        (head(b"Content-Length: 0005"), 5),
        (head(b"X-Content-Length: 7", b"Content-Length: 5"), 5),
        (head(b"X: content-length: 7"), 0),
        (head(b"Transfer-Encoding: chunked"), CHUNKED),
        (head(b"TRANSFER-ENCODING:Chunked"), CHUNKED),
        (head(start=b"GET * HTTP/1.0"), 0),
        (head(b"X:"), 0),
        (head(b"X: \t a\tb  c \t"), 0),
        (head("X: é".encode(), b"Y: \x80\xff"), 0),
        (head(b"!#$%&'*+-.^_`|~09azAZ: a"), 0),
        (head(*[b"X: a"] * (MAX_LINES - 3)), 0),
    ],
)
def test_a_legal_head_tells_the_length_of_its_body(raw: bytes, length: int) -> None:
    assert check_head(raw)[0] == length


@pytest.mark.parametrize(
    "host", [b"a", b"a:80", b"127.0.0.1:8000", b"[::1]:8000", b"", b"xn--bcher-kva.example", b"a_b.c", b"%41"]
)
def test_what_may_be_a_host_passes(host: bytes) -> None:
    assert check_head(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host) == (0, True)


@pytest.mark.parametrize(
    "raw, words",
    [
        (b"PRI * HTTP/2.0\r\n\r\n", "HTTP/2"),
        (head().replace(b"\r\nH", b"\nH"), "bare LF"),
        (head(b"X: a\rb"), "bare CR"),
        (head(b"X: a\0b"), "control character"),
        (head(b" a"), "folded"),
        (head(b"X : a"), "before the colon"),
        (head(start=b"GET /"), "request line"),
        (head(b"X"), "name: value"),
        (head(b"Host: a/b").replace(b"Host: a\r\n", b""), "Host"),
        (head(b"Content-Length: 5", b"Transfer-Encoding: chunked"), "Both"),
        (head(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"), "HTTP/1.0"),
        (head(b"Content-Length: five"), "not a number"),
        (head(b"Content-Length: 5", b"content-length: 5"), "more than once"),
    ],
)
def test_a_refusal_says_what_is_wrong(raw: bytes, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_head(raw)
    assert words in str(caught.value)
    assert (caught.value.status, caught.value.close) == (400, True)


def test_a_head_of_too_many_lines_is_too_large() -> None:
    with pytest.raises(RequestError) as caught:
        check_head(head(*[b"X: a"] * MAX_LINES))
    assert caught.value.status == 431


@pytest.mark.parametrize("received", [b"G", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r", b"\r\nGET", b"GET / HTTP/1.1\r\n"])
def test_what_may_become_a_head_is_waited_for(received: bytes) -> None:
    for since in range(len(received) + 1):
        check_partial_head(received, since)


@pytest.mark.parametrize(
    "received, words",
    [
        (b"\x16\x03\x01", "TLS"),
        (b"\x00", "not HTTP"),
        (b" GET", "not HTTP"),
        (b"\nGET", "not HTTP"),
        (b"GET / HTTP/1.1\nHost", "bare LF"),
    ],
)
def test_what_can_never_become_a_head_is_not(received: bytes, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_partial_head(received, 0)
    assert words in str(caught.value)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_a_head_or_are_refused(junk: bytes, at: int) -> None:
    legal = head(b"Content-Length: 5", b"Content-Type: application/json")
    for raw in (junk + b"\r\n\r\n", legal[:at] + junk + legal[at:]):
        try:
            assert check_head(raw)[0] >= CHUNKED
        except RequestError as error:
            assert error.status in (400, 431)
            assert error.close


@given(st.binary(min_size=1, max_size=100), st.integers(0, 100))
def test_any_bytes_may_become_a_head_or_are_refused(received: bytes, since: int) -> None:
    try:
        check_partial_head(received, min(since, len(received)))
    except RequestError as error:
        assert error.status == 400


@pytest.mark.parametrize(
    "raw",
    [
        head(b"Expect: 100-continue", b"Content-Length: 5"),
        head(b"Transfer-Encoding: chunked"),
        head(b"Host: b"),
        head(b"Content-Length: 0000000000000000005"),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_only_h11_knows_how_to_take_is_not_plain(raw: bytes) -> None:
    _, plain = check_head(raw)
    assert not plain


LINES = st.tuples(
    st.sampled_from(
        (b"Host", b"host", b"Content-Length", b"Transfer-Encoding", b"Expect", b"Connection", b"X", b"Upgrade")
    ),
    st.sampled_from((b":", b": ", b":\t", b" :")),
    st.sampled_from(
        (b"a", b"5", b"005", b"5, 5", b"chunked", b"100-continue", b"close", b"", b"a:b  c", b"\xe9", b"a\x00")
    ),
    st.sampled_from((b"", b" ", b" \t ")),
).map(b"".join)

STARTS = st.sampled_from(
    (b"POST /v1?a=b HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"GET * HTTP/1.0", b"get http://a/ HTTP/1.9")
)


@given(STARTS, st.lists(LINES, max_size=5))
def test_the_fields_of_a_plain_head_are_those_that_h11_reads(start: bytes, lines: list[bytes]) -> None:
    raw = head(*lines, start=start)
    try:
        length, plain = check_head(raw)
    except RequestError:
        return
    if not plain:
        return
    http = h11.Connection(h11.SERVER)
    http.receive_data(raw)
    event = http.next_event()
    assert type(event) is h11.Request
    assert fields_of(raw) == [(name.lower(), value) for name, value in event.headers.raw_items()]
    assert not http.they_are_waiting_for_100_continue
    assert length == int(dict(event.headers).get(b"content-length", b"0"))
