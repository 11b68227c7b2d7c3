"""What the demo tells people to type."""

from __future__ import annotations

import pytest

from gateway.cli import demo


@pytest.mark.parametrize(
    ("address", "curl"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("unix:/run/a b", "--unix-socket '/run/a b' http://localhost"),
    ],
)
def test_every_kind_of_address_has_words_for_curl(address: str, curl: str) -> None:
    assert demo._url(address) == curl
