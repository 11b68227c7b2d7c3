"""Data URLs, bare base64, and files that nobody named a type for."""

from __future__ import annotations

import base64

import pytest

from gateway.dialects.conversation import Source
from gateway.dialects.media import decoded, read_data, read_url, sniff, text_of, write_url


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://x.y/a.png", Source("url", "https://x.y/a.png")),
        ("data:image/png;base64,AAAA", Source("base64", "AAAA", "image/png")),
        ("DATA:text/plain;charset=utf-8;BASE64,AAAA", Source("base64", "AAAA", "text/plain")),
        ("data:,a%20b", Source("base64", "YSBi", "")),
        ("data:", Source("base64", "", "")),
    ],
)
def test_a_data_url_holds_its_data(url: str, source: Source) -> None:
    assert read_url(url) == source


@pytest.mark.parametrize(
    ("data", "source"),
    [
        ("AAAA", Source("base64", "AAAA", "audio/wav")),
        ("https://x.y/a.wav", Source("url", "https://x.y/a.wav")),
        ("Data:audio/mpeg;base64,AAAA", Source("base64", "AAAA", "audio/mpeg")),
    ],
)
def test_base64_may_be_a_url_in_the_wild(data: str, source: Source) -> None:
    assert read_data(data, "audio/wav") == source


def test_a_data_url_is_written_as_it_is_read() -> None:
    assert write_url(read_url("data:image/png;base64,AAAA"), "image/jpeg") == "data:image/png;base64,AAAA"
    assert write_url(Source("base64", "AAAA"), "image/jpeg") == "data:image/jpeg;base64,AAAA"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (Source("text", "ü"), "ü"),
        (Source("base64", "w7w=", "text/plain"), "ü"),
        (Source("base64", "w7\nw=\n", "text/plain"), "ü"),
        (Source("base64", "w7w=", "application/pdf"), None),
        (Source("base64", "/w==", "text/plain"), None),
        (Source("base64", "no base64", "text/plain"), None),
        (Source("url", "https://x.y", "text/plain"), None),
    ],
)
def test_a_document_that_is_a_text_is_one(source: Source, text: str | None) -> None:
    assert text_of(source) == text


def test_what_is_no_text_is_not_decoded() -> None:
    assert (decoded("w7w="), decoded("/w=="), decoded("%")) == ("ü", None, None)


@pytest.mark.parametrize(
    ("beginning", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"%PDF-1.7", "application/pdf"),
        (b"ID3\x04", "audio/mpeg"),
        (b"hello", ""),
    ],
)
def test_a_file_is_known_by_its_beginning(beginning: bytes, media_type: str) -> None:
    assert sniff(base64.b64encode(beginning + bytes(20)).decode()) == media_type
