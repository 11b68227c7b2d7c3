"""Paths and patterns of error rules: what they mean, and what is refused before it can hang the gateway."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.rules import LONG_TEXT, SHORT_TEXT, compile_pattern, count_wide_repeats, parse_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("$", None),
        ("error", ("error",)),
        ("$.error.code", ("error", "code")),
        ("error.details.0.reason", ("error", "details", 0, "reason")),
        ("0.error", (0, "error")),
        ("a b.c-d", ("a b", "c-d")),
        ("123456789", ("123456789",)),
    ],
)
def test_a_path_is_names_and_places(text: str, path: tuple[str | int, ...] | None) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize("text", ["", ".", "a..b", ".a", "a.", "$.", ".".join("a" * 17)])
def test_a_path_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="step"):
        parse_path(text)


@pytest.mark.parametrize(
    ("pattern", "limit"),
    [
        ("quota", LONG_TEXT),
        ("(?i)quota.*day", LONG_TEXT),
        (r"limit\s+of\s+\d+\s+tokens", LONG_TEXT),
        ("^(?:foo|bar) x", LONG_TEXT),
        ("(foo|ba+r)?x", LONG_TEXT),
        ("(?P<n>ab)+c", LONG_TEXT),
        (r"\(.*\)+", LONG_TEXT),
        ("a{0,20}.{1,20}.{3}", LONG_TEXT),
        (r"[^]a]*[]*+]{2}\*", LONG_TEXT),
        ("a*b*c*d*", LONG_TEXT),
        ("(?=.*a)b+?", LONG_TEXT),
        (".*a.*b", SHORT_TEXT),
        (r"\S+@[^ ]+", SHORT_TEXT),
        (".{1,200}x.{3,}", SHORT_TEXT),
    ],
)
def test_a_pattern_looks_at_as_much_as_it_can_bear(pattern: str, limit: int) -> None:
    assert compile_pattern(pattern).limit == limit


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is no regular expression"),
        ("a{2,1}", "is no regular expression"),
        ("x" * 501, "longer than 500"),
        ("(a+)+b", "repeats a group"),
        ("(a|a)*b", "repeats a group"),
        ("(?:a|ab)*", "repeats a group"),
        ("(?:(?:a*)b)*", "repeats a group"),
        ("(?:a?){30}", "repeats a group"),
        (r"(\w+\s?)*$", "repeats a group"),
        (".*.*.*x", "3 open repeats"),
        (r"\w+.*[^x]+(?:ab)*", "4 open repeats"),
    ],
)
def test_a_pattern_that_could_hang_the_gateway_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        compile_pattern(pattern)


@given(st.text(alphabet="ab.*+?{}()[]|\\^$0,1", max_size=20))
def test_whatever_is_written_is_taken_or_refused(text: str) -> None:
    try:
        compile_pattern(text).matches("abab")
    except ValueError as refused:
        assert str(refused)


def test_classes_and_escapes_are_read_as_one_thing() -> None:
    assert count_wide_repeats(r"[.*+]\.\*[^.]") == 0
    assert count_wide_repeats(r"[^)]+[(]+") == 1
