"""What is left of a provider's error that repeats the key it was asked with."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.secret import Secret
from gateway.upstream.concealment import WITHHELD, BodyMask, conceal_body, conceal_headers, conceal_text
from gateway.upstream.key import Key


def a_key(value: str) -> Key:
    secret = Secret(value)
    return Key(secret, secret.digest)


@pytest.mark.parametrize("value", ["sk-12345", "sk-123456789", "sk-123456789012345", "k" * 16, "v" * 4096])
def test_a_key_of_a_usual_length_is_masked_wherever_it_stands(value: str) -> None:
    key = a_key(value)
    assert (
        conceal_text(key, f"Incorrect key {value}, x{value}y.")
        == f"Incorrect key {key.fingerprint}, x{key.fingerprint}y."
    )
    assert conceal_body(key, f'{{"error": "{value}"}}'.encode()) == f'{{"error": "{key.fingerprint}"}}'.encode()
    assert conceal_headers(key, [(b"x-key", f"it is {value}".encode()), (b"x", b"y")]) == [
        (b"x-key", f"it is {key.fingerprint}".replace("…", "...").encode()),
        (b"x", b"y"),
    ]


@pytest.mark.parametrize("value", ["a", "4", "none", "short", "sk-1234"])
@pytest.mark.parametrize("said", ["Incorrect key {}", "{}", "key={}&x", '"{}"', "Bearer {}."])
def test_what_repeats_a_key_that_may_be_a_word_is_withheld(value: str, said: str) -> None:
    key, text = a_key(value), said.format(value)
    assert conceal_text(key, text) == WITHHELD
    assert conceal_body(key, text.encode()) is None
    assert conceal_headers(key, [(b"x-key", text.encode()), (b"x", b"y")]) == [(b"x", b"y")]


@pytest.mark.parametrize("value", ["a", "none", "sk-1234", "sk-123456789"])
def test_an_error_without_the_key_is_left_as_it_is(value: str) -> None:
    key, text = a_key(value), "400 Nonetheless: bad_nonewith sk-12345x, ask-1234"
    assert conceal_text(key, text) == text
    assert conceal_body(key, text.encode()) == text.encode()
    headers = [(b"x", text.encode())]
    assert conceal_headers(key, headers) is headers or conceal_headers(key, headers) == headers


@pytest.mark.parametrize("written", [r"ab\/cd\\ef-12345", r"ab/cd\\ef-12345"])
def test_a_key_is_found_in_json_that_escapes_it(written: str) -> None:
    key = a_key("ab/cd\\ef-12345")
    assert conceal_body(key, f'{{"error": "{written}"}}'.encode()) == f'{{"error": "{key.fingerprint}"}}'.encode()


def passed(key: Key, body: bytes, cuts: set[int]) -> list[bytes]:
    """The pieces of a body that went through a mask, which saw it cut at these places."""
    places = [0, *sorted(cuts), len(body)]
    mask = BodyMask(key)
    return [*(mask.feed(body[at:to]) for at, to in pairwise(places)), mask.rest()]


TOLD = 'sk-sk-1234/5678 [{"error": "sk-sk-1234/5678, sk-sk-1234\\/5678, sk-sk-sk-1234/5678 or sk-sk-1"}]'


@given(st.sets(st.integers(1, len(TOLD) - 1)))
def test_a_key_is_masked_behind_the_word_of_an_error_wherever_the_body_is_cut(cuts: set[int]) -> None:
    key = a_key("sk-sk-1234/5678")
    head, word, told = TOLD.partition("error")
    masked = told.replace("sk-sk-1234/5678", key.fingerprint).replace("sk-sk-1234\\/5678", key.fingerprint)
    shown = b"".join(passed(key, TOLD.encode(), cuts)).decode()
    assert shown.partition(word)[2] == masked
    assert shown.startswith(head[:2])


@given(st.binary(max_size=60), st.sets(st.integers(1, 59)))
def test_a_body_without_errors_passes_at_once(body: bytes, cuts: set[int]) -> None:
    body = body.replace(b"error", b"")
    cuts = {cut for cut in cuts if cut < len(body)}
    places = [0, *sorted(cuts), len(body)]
    expected = [body[at:to] for at, to in pairwise(places)]
    assert passed(a_key("sk-123456789"), body, cuts) == [*expected, b""]


def test_a_key_that_may_be_a_word_stays_in_a_body_that_passes_in_pieces() -> None:
    assert b"".join(passed(a_key("none"), b'[{"error": "none"}]', {9})) == b'[{"error": "none"}]'
