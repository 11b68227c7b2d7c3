"""A secret does not show."""

from __future__ import annotations

import pickle
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.secret import Secret, fingerprint

TEXT = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


def test_no_way_of_printing_shows_it() -> None:
    secret = Secret(TEXT)
    for shown in (str(secret), repr(secret), f"{secret}", f"{secret:>50}", "%s %r" % (secret, secret), str([secret])):  # noqa: UP031
        assert TEXT not in shown and "abcdef" not in shown


def test_it_cannot_be_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(TEXT))


def test_it_reveals_compares_and_hashes() -> None:
    assert Secret(TEXT).reveal() == TEXT
    assert Secret(TEXT) == Secret(TEXT) != Secret(TEXT + "x")
    assert Secret(TEXT) != TEXT
    assert Secret(TEXT).digest == sha256(TEXT.encode()).digest()
    assert not Secret("") and Secret("x")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (TEXT, "sk-…6789"),
        ("", "…"),
        ("abc", "…"),
        ("abcd", "…d"),
        ("abcdefgh", "…gh"),
        ("abcdefghijkl", "a…jkl"),
        ("a" * 16 + "bcde", "aa…bcde"),
        ("a" * 17 + "bcde", "aaa…bcde"),
    ],
)
def test_a_fingerprint_shows_the_ends(text: str, shown: str) -> None:
    assert fingerprint(text) == shown


@given(st.text(max_size=200))
def test_a_fingerprint_never_shows_more_than_a_third(text: str) -> None:
    shown = len(fingerprint(text)) - 1
    assert shown <= 7
    assert shown * 3 <= len(text)
