"""Paths and patterns of error rules: what they mean, and what is refused before it can hang the gateway."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.rules import LONG_TEXT, SHORT_TEXT, compile_pattern, count_repeats, parse_path


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
    ("pattern", "repeats"),
    [
        ("quota", 0),
        ("^(?:foo|bar) x", 0),
        ("(foo|ba?r)?x", 0),
        ("a{0,20}.{1,20}.{3}x", 0),
        (r"limit\s+of\s+\d+\s+tokens", 0),
        (r'"code":\s*"(?:plan|trial)_ended"', 0),
        (r"[.*+]\.\*[^.]", 0),
        ("(?i)quota.*day", 1),
        (".*quota.*", 1),
        ("(?P<n>ab)+c", 1),
        (r"\(.*\)+", 1),
        (r"[^]a]*[]*+]{2}\*", 1),
        (".{1,200}x", 1),
        (r"\d+\d", 1),
        ("a+$", 1),
        (".*this.*that", 2),
        (r"quota.*\d+\s+tokens", 2),
        (".*a+$", 2),
        ("a*b?a*c", 2),
        (r"(.*)\1.{3,}x", 2),
    ],
)
def test_repeats_that_can_meet_are_counted(pattern: str, repeats: int) -> None:
    assert count_repeats(pattern) == repeats
    assert compile_pattern(pattern).limit == (SHORT_TEXT if repeats == 2 else LONG_TEXT)


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
        ("a+a+a+b", "3 open repeats"),
        (r"\w+.*[^x]+(?:ab)*y", "4 open repeats"),
    ],
)
def test_a_pattern_that_could_hang_the_gateway_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        compile_pattern(pattern)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of classes such as "[[", which are for the operator to see
@given(st.text(alphabet="ab.*+?{}()[]|\\^$0,1", max_size=20))
def test_whatever_is_written_is_taken_or_refused(text: str) -> None:
    try:
        compile_pattern(text).matches("abab")
    except ValueError as refused:
        assert str(refused)
