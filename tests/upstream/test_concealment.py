"""What is left of a provider's error that repeats the key it was asked with."""

from __future__ import annotations

import pytest

from gateway.secret import Secret
from gateway.upstream.concealment import WITHHELD, conceal_body, conceal_headers, conceal_text
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
