"""Heads of answers: what is plain is read as h11 reads it, and h11 has the word on all else. How failures reach those
who asked is in test_client.py."""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import Disconnect, ProtocolError
from gateway.net.answerhead import MAX_HEAD, AnswerHead, AnswerReader, read_plain
from tests.garbage import leaving_no_cycle

PLAIN = (
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1 429 Too Many\tR\xe9quests\r\nRetry-After: 1\r\nretry-after:  2 \t\r\n\r\n",
    b"HTTP/1.1 204 \r\nContent-Length: 0\r\nX:\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0005\r\n\r\nhello",
    b"HTTP/1.1 999 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 000000000000000005\r\nConnection: close\r\n\r\nhello",
)

OTHERS = (
    b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN[0],
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody",
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200 OK\r\nX: a\r\n  b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 00000000000000000005\r\n\r\nhello",
)

REFUSED = (
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\nhello" % (b"9" * 21),
    b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\nhello" % (b"9" * 5000),  # `int` refuses so many
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"<html>\r\n\r\n",
)


def by_h11(data: bytes) -> AnswerHead | None:
    """None: not whole, or refused."""
    http = h11.Connection(h11.CLIENT, MAX_HEAD)
    http.send(h11.Request(method=b"POST", target=b"/", headers=[(b"host", b"a"), (b"content-length", b"0")]))
    http.receive_data(data)
    try:
        while type(event := http.next_event()) is h11.InformationalResponse:
            pass
    except h11.RemoteProtocolError:
        return None
    if type(event) is not h11.Response:
        return None
    headers = [(name.lower(), value) for name, value in event.headers.raw_items()]
    fields = dict(headers)
    lasting = event.http_version >= b"1.1" and b"close" not in fields.get(b"connection", b"").lower()
    lasting = lasting and not (b"content-length" in fields and b"transfer-encoding" in fields)
    return AnswerHead(event.status_code, lasting, headers, http.trailing_data[0])


@pytest.mark.parametrize("data", PLAIN)
def test_what_is_plain_is_read_at_once_as_h11_reads_it(data: bytes) -> None:
    assert read_plain(data) == by_h11(data) is not None


@pytest.mark.parametrize("data", OTHERS)
def test_what_is_not_plain_is_read_by_h11(data: bytes) -> None:
    assert read_plain(data) is None
    assert AnswerReader(b"POST").read(data) == by_h11(data) is not None


@pytest.mark.parametrize("data", REFUSED)
def test_what_h11_refuses_is_refused(data: bytes) -> None:
    assert read_plain(data) is None
    with pytest.raises(ProtocolError):
        AnswerReader(b"POST").read(data)


@given(st.sampled_from(PLAIN + OTHERS + REFUSED), st.integers(0, 80), st.integers(0, 4), st.binary(max_size=6))
@example(PLAIN[0], 13, 0, b" \x0b")
@example(PLAIN[-1], PLAIN[-1].index(b"close"), 0, b"x")
def test_whatever_counts_as_plain_h11_reads_in_the_same_way(data: bytes, at: int, gone: int, junk: bytes) -> None:
    data = data[:at] + junk + data[at + gone :]
    head = read_plain(data)
    assert head is None or head == by_h11(data)


@given(st.sampled_from(PLAIN + OTHERS), st.lists(st.integers(1, 120), max_size=5))
def test_pieces_make_the_same_head_as_the_whole(data: bytes, cuts: list[int]) -> None:
    reader, rest = AnswerReader(b"POST"), b""
    edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    head = None
    for start, end in pairwise(edges):
        if head is None:
            head = reader.read(data[start:end])
        else:
            rest += data[start:end]
    assert head is not None
    assert head._replace(rest=head.rest + rest) == by_h11(data)


@pytest.mark.parametrize(
    "said, where", [(b"", "without an answer"), (b"HTTP/1.1 200 O", "in the middle of its answer")]
)
def test_the_end_of_file_tells_how_far_the_answer_came(said: bytes, where: str) -> None:
    reader = AnswerReader(b"POST")
    if said:
        assert reader.read(said) is None
    with pytest.raises(Disconnect, match=where):
        reader.read(b"")


def test_a_head_that_came_in_one_large_piece_is_too_long_all_the_same() -> None:
    fields = b"".join(b"X-%d: %b\r\n" % (n, b"a" * 1000) for n in range(70))
    with pytest.raises(ProtocolError, match="too long"):
        AnswerReader(b"POST").read(b"HTTP/1.1 200 OK\r\n%b\r\n" % fields)


def test_nobody_opens_a_tunnel_by_an_answer() -> None:
    with pytest.raises(ProtocolError, match="switches protocols"):
        AnswerReader(b"CONNECT").read(PLAIN[0])


@pytest.mark.usefixtures("young")
@pytest.mark.parametrize("data", [b"", b"<html>\r\n\r\n"], ids=["end of file", "not HTTP"])
def test_an_answer_that_is_refused_leaves_no_cycle(data: bytes) -> None:
    with leaving_no_cycle():
        try:
            AnswerReader(b"POST").read(data)
        except (Disconnect, ProtocolError):
            return
    raise AssertionError("it was read")
