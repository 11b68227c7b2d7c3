"""Bodies that are not as their header says: packed, and of another type."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence

import pytest

from gateway.errors import Disconnect, ProtocolError
from gateway.upstream.answer import UpstreamAnswer
from gateway.upstream.bodies import LONGEST_BLANK, PIECE, type_of, typed, unpacked
from tests.conftest import run

TEXT = b'{"choices": [1, 2, 3]}' * 100
PAGE = b"<!doctype html><p>Sign in."


class Said:
    """An answer in these pieces."""

    def __init__(self, *pieces: bytes, **headers: str) -> None:
        self.status = 200
        self.headers: Sequence[tuple[bytes, bytes]] = [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ]
        self.closed = False
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def read_all(self, limit: int) -> bytes:
        return b"".join(self._pieces)

    def close(self) -> None:
        self.closed = True


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def whole(answer: UpstreamAnswer) -> bytes:
    return run(answer.read_all(1 << 24))


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("gzip", gzip.compress(TEXT) + b"rubbish"),
        ("identity", TEXT),
    ],
    ids=["gzip", "x-gzip", "GZIP", "zlib", "deflate", "rubbish behind", "identity"],
)
def test_what_is_packed_is_unpacked_however_it_is_cut(coding: str, packed: bytes, size: int) -> None:
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    answer = unpacked(Said(*pieces, content_encoding=coding, content_length=str(len(packed)), x_other="stays"))
    assert whole(answer) == TEXT
    if coding != "identity":
        assert list(answer.headers) == [(b"x-other", b"stays")]


@pytest.mark.parametrize("beyond", [0, 1, 9, 258, 259])
def test_what_comes_to_a_little_more_than_a_piece_is_whole(beyond: int) -> None:
    """Packed without a header, its last bytes may all be with zlib when the piece is full."""
    body = bytes(PIECE + beyond)
    assert whole(unpacked(Said(raw_deflate(body), content_encoding="deflate"))) == body


def test_a_packed_stream_comes_event_by_event() -> None:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    answer = unpacked(Said(first, packer.compress(b"data: 2\n\n") + packer.flush(), content_encoding="gzip"))

    async def scenario() -> None:
        assert await answer.read() == b"data: 1\n\n"
        assert await answer.read() == b"data: 2\n\n"
        assert await answer.read() == b""

    run(scenario())


def test_what_unpacks_to_very_much_does_so_in_pieces_and_up_to_a_limit() -> None:
    bomb = gzip.compress(bytes(40 * PIECE))
    assert len(bomb) < PIECE // 10
    assert len(run(unpacked(Said(bomb, content_encoding="gzip")).read())) <= PIECE
    said = Said(bomb, content_encoding="gzip")
    with pytest.raises(ProtocolError, match="too long"):
        run(unpacked(said).read_all(2 * PIECE))
    assert said.closed


def test_an_empty_body_needs_no_packing() -> None:
    assert whole(unpacked(Said(content_encoding="gzip"))) == b""


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
def test_a_coding_that_nobody_can_undo_is_refused(coding: str) -> None:
    with pytest.raises(ProtocolError, match="compressed"):
        unpacked(Said(b"anything", content_encoding=coding))


@pytest.mark.parametrize(
    ("data", "failure"),
    [(TEXT, ProtocolError), (gzip.compress(TEXT)[:-20], Disconnect), (b"\x1f\x8b", Disconnect)],
    ids=["not packed", "cut", "cut early"],
)
def test_what_is_not_packed_as_it_says_fails(data: bytes, failure: type[Exception]) -> None:
    with pytest.raises(failure):
        whole(unpacked(Said(data, content_encoding="gzip")))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a": 1}', b"application/json"),
        (b"\xef\xbb\xbf \r\n[1]", b"application/json"),
        (b"data: 1\n\n", b"text/event-stream; charset=utf-8"),
        (b": hello\n\n", b"text/event-stream; charset=utf-8"),
        (b"\nevent: ping\n", b"text/event-stream; charset=utf-8"),
        (PAGE, None),
        (b"Hello!", None),
        (b"", None),
    ],
)
def test_a_body_is_known_by_how_it_begins(body: bytes, found: bytes | None) -> None:
    assert type_of(body) == found


@pytest.mark.parametrize(
    ("named", "stream", "body", "becomes"),
    [
        ("application/json", False, b"{}", "application/json"),
        ("text/plain", False, b"{}", "application/json"),
        ("application/json", True, b"data: 1\n\n", "text/event-stream; charset=utf-8"),
        ("text/event-stream", False, b"{}", "application/json"),
        ("text/event-stream", True, PAGE, "text/event-stream"),  # not looked at: no event will be found in it
        ("", False, b"", "application/json"),
    ],
)
def test_an_answer_gets_the_type_that_its_body_has(named: str, stream: bool, body: bytes, becomes: str) -> None:
    async def scenario() -> None:
        answer = await typed(Said(body, content_type=named), stream=stream)
        assert dict(answer.headers)[b"content-type"] == becomes.encode()
        assert await answer.read_all(100) == body

    run(scenario())


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        (b'\n\n  {"a": 1}', b"application/json"),
        (b'\xef\xbb\xbf{"a": 1}', b"application/json"),
        (b"\xef\xbb\xbfevent: ping\ndata: 1\n\n", b"text/event-stream; charset=utf-8"),
        (b"retry: 9\n\n", b"text/event-stream; charset=utf-8"),
        (b"", b"text/plain"),
    ],
)
def test_a_type_is_found_however_the_body_is_cut(body: bytes, becomes: bytes, size: int) -> None:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    async def scenario() -> None:
        answer = await typed(Said(*pieces, content_type="text/plain"), stream=False)
        assert dict(answer.headers)[b"content-type"] == becomes
        assert await answer.read_all(100) == body

    run(scenario())


def test_nobody_waits_for_ever_behind_white_space_for_what_a_body_is() -> None:
    said = Said(*[b" "] * (LONGEST_BLANK + 9), content_type="text/plain")
    with pytest.raises(ValueError, match="neither JSON nor"):
        run(typed(said, stream=False))
    assert run(said.read()) == b" "


@pytest.mark.parametrize(("body", "words"), [(PAGE, "a page"), (b"Hello!", "neither JSON nor")])
def test_what_is_neither_json_nor_events_is_no_answer(body: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run(typed(Said(body, content_type="text/html"), stream=False))
