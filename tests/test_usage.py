"""Tokens, where nobody has counted them."""

from __future__ import annotations

from gateway.usage import tokens_of


def test_four_bytes_are_a_token_and_a_part_of_one_is_one() -> None:
    assert [tokens_of(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]
