"""Chunked bodies, however they are cut on their way."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.net.chunks import CHUNKS_AT_ONCE, MAX_FRAMING, MAX_LINE, ChunkReader

LIMIT = 1000


def read(*parts: bytes, limit: int = LIMIT) -> tuple[bytes, bytes] | None:
    """The body and what is behind it; None if there is more to come. Once whole, nothing more is read."""
    reader = ChunkReader()
    received = bytearray()
    for n, part in enumerate(parts):
        received += part
        if reader.read(received, limit):
            return bytes(reader.body), bytes(received) + b"".join(parts[n + 1 :])
    return None


def encoded(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "sent, body",
    [
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b"hello"),
        (b'5 ; a="b;c"\r\nhello\r\n0\r\n\r\n', b"hello"),
        (b"8\r\n\r\n0\r\n\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r\n\r"),
        (b"5;" + b"x" * (MAX_LINE - 4) + b"\r\nhello\r\n0\r\n\r\n", b"hello"),
        (encoded(bytes(LIMIT)), bytes(LIMIT)),
    ],
)
def test_a_body_is_read_whole_in_pieces_and_byte_by_byte(sent: bytes, body: bytes) -> None:
    rest = b"GET / HTTP/1.1\r\n"
    assert read(sent + rest) == (body, rest)
    assert read(*(bytes([byte]) for byte in sent + rest)) == (body, rest)
    for at in range(len(sent)):
        assert read(sent[:at], sent[at:] + rest) == (body, rest)
        assert read(sent[:at]) is None


def test_so_many_chunks_are_read_in_one_go_and_the_rest_in_the_next() -> None:
    reader, sent = ChunkReader(), encoded(*[b"12345678"] * (2 * CHUNKS_AT_ONCE + 1))
    received = bytearray(sent)
    for goes in range(1, 3):
        assert not reader.read(received, 10**6)
        assert reader.more and goes * CHUNKS_AT_ONCE - 1 <= len(reader.body) / 8 <= goes * CHUNKS_AT_ONCE
    assert reader.read(received, 10**6)
    assert not reader.more and len(reader.body) == 8 * (2 * CHUNKS_AT_ONCE + 1)


def test_chunks_that_are_mostly_framing_are_refused() -> None:
    reader, received = ChunkReader(), bytearray(encoded(*[b"1"] * MAX_FRAMING))
    with pytest.raises(RequestError, match="too small") as refused:
        while not reader.read(received, 10**6):
            assert reader.more
    assert refused.value.status == 400 and refused.value.close
    assert len(reader.body) < MAX_FRAMING / 3


@pytest.mark.parametrize(
    "sent, status",
    [
        (b"\r\n", 400),
        (b"\n", 400),
        (b"5\n", 400),
        (b"5\r\r\n", 400),
        (b"5;a\n", 400),
        (b"5;a\rb\r\n", 400),
        (b"5;a\0\r\n", 400),
        (b"5 \r\n", 400),
        (b" 5\r\n", 400),
        (b"-5\r\n", 400),
        (b"+5\r\n", 400),
        (b"0x5\r\n", 400),
        (b"5_0\r\n", 400),
        (b"g\r\n", 400),
        (b"0" * 17 + b"\r\n", 400),
        ("٥\r\n".encode(), 400),
        (b"5" * MAX_LINE, 400),
        (b"5;" + b"x" * MAX_LINE, 400),
        (b"5\r\nhello!", 400),
        (b"5\r\nhello0\r\n", 400),
        (b"5\r\nhello\n0", 400),
        (b"5\r\nhello\r0", 400),
        (b"0\r\n\n\n", 400),
        (b"0\r\nX: a\r\n\r\n", 400),
        (b"3e9\r\n", 413),
        (b"ffffffffffffffff\r\n", 413),
        (b"3e8\r\n" + bytes(1000) + b"\r\n1\r\n", 413),
    ],
)
def test_what_is_no_chunked_body_is_refused_as_soon_as_it_shows(sent: bytes, status: int) -> None:
    for parts in ([sent], [bytes([byte]) for byte in sent]):
        with pytest.raises(RequestError) as caught:
            read(*parts)
        assert (caught.value.status, caught.value.close) == (status, True)


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=20), st.lists(st.integers(0, 700)), st.binary(max_size=20))
def test_any_chunks_cut_anywhere_are_one_body(chunks: list[bytes], cuts: list[int], rest: bytes) -> None:
    sent = encoded(*chunks) + rest
    places = [0, *sorted(cuts), len(sent)]
    parts = [sent[a:b] for a, b in itertools.pairwise(places)]
    assert read(*parts) == (b"".join(chunks), rest)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(sent: bytes) -> None:
    try:
        read(sent)
    except RequestError as error:
        assert error.status in (400, 413)
