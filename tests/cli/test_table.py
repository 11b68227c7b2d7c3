"""Tables and times as people see them."""

from __future__ import annotations

import pytest

from gateway.cli.table import count, cut, duration, in_words, moment, names, print_table


def test_columns_are_as_wide_as_they_need_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "LONGER", "C"), [("long cell", 1, None), ("x", "y", "the rest")])
    assert capsys.readouterr().out == "A          LONGER  C\nlong cell  1\nx          y       the rest\n"


def test_what_a_provider_says_does_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A",), [("one\ntwo\x1b[2J\x07\u202e",)])
    assert capsys.readouterr().out == "A\none two [2J\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.4, "0 s"), (59.6, "1 m"), (61, "1 m 1 s"), (3600, "1 h"), (90061, "1 d 1 h"), (864000, "10 d")],
)
def test_durations_have_two_units_at_the_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_times_are_told_from_now() -> None:
    assert in_words(None) == ""
    assert in_words(1.0) == "now"
    assert in_words(4e9).startswith("in ")


def test_moments_are_in_utc_and_say_so() -> None:
    assert moment(1_795_338_185.9) == "2026-11-22 09:03:05 UTC"


def test_what_is_cut_shows_that_it_is() -> None:
    assert cut("x" * 80) == "x" * 80
    assert cut("x" * 81) == "x" * 79 + "…"


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "key", "1 key"), (2, "key", "2 keys"), (0, "proxy", "0 proxies"), (1, "proxy", "1 proxy")],
)
def test_things_are_counted(number: int, noun: str, text: str) -> None:
    assert count(number, noun) == text


def test_digests_stand_where_different_ones_look_alike() -> None:
    one, two = {"proxy": "a", "digest": "1" * 16}, {"proxy": "a", "digest": "2" * 16}
    assert names([one, one], "proxy") == (("PROXY",), [("a",), ("a",)])
    assert names([one, two], "proxy") == (("PROXY", "DIGEST"), [("a", "1" * 12), ("a", "2" * 12)])
