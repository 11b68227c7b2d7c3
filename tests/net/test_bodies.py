"""Bodies of answers, cut anywhere."""

from __future__ import annotations

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Disconnect, ProtocolError
from gateway.net.bodies import MAX_LINES, Body, Chunked, Sized, UntilClose, body_of

Headers = list[tuple[bytes, bytes]]
LENGTH: Headers = [(b"content-type", b"x/y"), (b"content-length", b"11")]
CODED: Headers = [(b"transfer-encoding", b"chunked")]

WHOLE: list[tuple[Headers, bytes]] = [
    (LENGTH, b"hello world"),
    (CODED, b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"),
    (CODED, b"6;a=b\r\nhello \r\n0005 ;c\r\nworld\r\n000\r\n\r\n"),
    (CODED, b"b\r\nhello world\r\n0\r\nx-one: 1\r\nx-two: 2\r\n\r\n"),
    (CODED, b"B\r\nhello world\r\n0\r\nx-one: 1\n\n"),
]


def read(body: Body, *pieces: bytes) -> bytes:
    return b"".join([body.read(piece) for piece in pieces])


@pytest.mark.parametrize(("headers", "sent"), WHOLE)
def test_a_body_may_be_cut_anywhere(headers: Headers, sent: bytes) -> None:
    for cut in range(1, len(sent)):
        body = body_of(b"POST", 200, headers)
        assert not body.ended
        first = body.read(sent[:cut])
        assert not body.ended
        assert first + body.read(sent[cut:]) == b"hello world"
        assert (body.ended, body.beyond) == (True, False)
    body = body_of(b"POST", 200, headers)
    assert read(body, *[bytes([each]) for each in sent]) == b"hello world"
    assert (body.ended, body.beyond) == (True, False)


@pytest.mark.parametrize(("headers", "sent"), WHOLE)
def test_what_comes_behind_the_end_is_told_and_not_read(headers: Headers, sent: bytes) -> None:
    body = body_of(b"POST", 200, headers)
    assert body.read(sent + b"HTTP/1.1 200 OK\r\n\r\n") == b"hello world"
    assert (body.ended, body.beyond) == (True, True)


@pytest.mark.parametrize(("headers", "sent"), WHOLE)
def test_a_body_that_ends_early_is_cut_short(headers: Headers, sent: bytes) -> None:
    for cut in range(len(sent)):
        body = body_of(b"POST", 200, headers)
        body.read(sent[:cut])
        with pytest.raises(Disconnect, match="middle of its answer"):
            body.close()


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    body = body_of(b"POST", 200, [(b"server", b"x")])
    assert read(body, b"hello ", b"world") == b"hello world"
    assert not body.ended
    body.close()
    assert (body.ended, body.beyond) == (True, False)


@pytest.mark.parametrize(
    "sent",
    [
        b"zz\r\n",
        b"\r\n",
        b"-1\r\n",
        b"5 5\r\n",
        b"5\nhello",
        b"5;a\rb\r\nhello",
        b"11111111111111111\r\n",
        b"2\r\n0123\r\n",
        b"2\r\n01\n\n",
        b"5;" + b"x" * (MAX_LINES + 1),
        b"0\r\n" + b"x" * (MAX_LINES + 1),
        b"0\r\n" + b"x: y\r\n" * MAX_LINES,
    ],
)
def test_what_is_no_chunk_is_refused(sent: bytes) -> None:
    for pieces in ([sent], [sent[at : at + 7] for at in range(0, len(sent), 7)]):
        with pytest.raises(ProtocolError, match="not HTTP"):
            read(Chunked(), *pieces)


@pytest.mark.parametrize(
    ("method", "status", "headers", "kind"),
    [
        (b"POST", 200, [(b"content-length", b"5")], Sized),
        (b"POST", 200, [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], Chunked),  # RFC 9112, 6.3
        (b"POST", 500, [], UntilClose),
    ],
)
def test_the_head_says_how_a_body_ends(method: bytes, status: int, headers: Headers, kind: type) -> None:
    body = body_of(method, status, headers)
    assert type(body) is kind
    assert not body.ended


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [(b"HEAD", 200, b"5"), (b"GET", 204, b"5"), (b"GET", 304, b"5"), (b"GET", 200, b"0")],
)
def test_some_answers_have_no_body(method: bytes, status: int, length: bytes) -> None:
    body = body_of(method, status, [(b"content-length", length)])
    assert body.ended
    assert body.read(b"x") == b""
    assert body.beyond


def read_by_h11(sent: bytes) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + sent)
    data = b""
    while type(event := connection.next_event()) is not h11.EndOfMessage:
        if type(event) is h11.Data:
            data += event.data
    return data


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 400), max_size=6))
def test_chunks_are_read_as_h11_reads_them(chunks: list[bytes], cuts: list[int]) -> None:
    sent = b"".join([b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]) + b"0\r\n\r\n"
    places = [0, *sorted(cuts), len(sent)]
    body = Chunked()
    found = read(body, *[sent[at:end] for at, end in itertools.pairwise(places) if sent[at:end]])
    assert found == read_by_h11(sent) == b"".join(chunks)
    assert (body.ended, body.beyond) == (True, False)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(sent: bytes) -> None:
    try:
        Chunked().read(sent)
    except ProtocolError:
        pass
