"""Header fields that h11 takes without validating them again."""

from __future__ import annotations

import h11
import pytest

from gateway.net.headers import is_field_value, trusted_headers


def test_trusted_headers_are_written_as_they_are_given() -> None:
    headers = trusted_headers([(b"content-type", b"text/plain"), (b"x-a", b"1"), (b"x-a", b"2")])
    assert headers.raw_items() == [(b"content-type", b"text/plain"), (b"x-a", b"1"), (b"x-a", b"2")]
    response = h11.Response(status_code=200, headers=headers, reason=b"OK")
    assert response.headers is headers


@pytest.mark.parametrize("value", [b"", b"a", b"text/event-stream; charset=utf-8", b"a\tb c", "é".encode(), b"\xff"])
def test_a_legal_value_is_recognised(value: bytes) -> None:
    assert is_field_value(value)


@pytest.mark.parametrize(
    "value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"\0", b"a\x1fb", b"a\x7f", b" a", b"a ", b"\ta", b"\n"]
)
def test_a_value_that_could_end_its_line_or_is_padded_is_not(value: bytes) -> None:
    assert not is_field_value(value)
