"""Limits and spans of time as they are typed."""

from __future__ import annotations

import argparse

import pytest

from gateway.cli.rights import limit, limits_in_words, span


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("36500d", 36500 * 86400), ("30m", 1800), ("12h", 43200), ("30d", 2592000), ("2w", 1209600)],
)
def test_a_span_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert span(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0d", "d", "1.5h", "-1d", "1y", "30 d", "30", "9" * 10, "٣d"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="30d"):
        span(text)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="with its unit"):
        span("30")
    for text in ("36501d", "99999999w", "9" * 5000 + "d"):
        with pytest.raises(argparse.ArgumentTypeError, match="too long: 36500d at most"):
            span(text)
    with pytest.raises(argparse.ArgumentTypeError, match="too large: 1000000000000 at most"):
        limit("rpm=" + "9" * 5000)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("rpm=60", ("requests_per_minute", 60)),
        ("rph=0", ("requests_per_hour", 0)),
        ("tpm=100000", ("tokens_per_minute", 100000)),
        ("tokens_per_minute=1", ("tokens_per_minute", 1)),
        ("concurrency=4", ("concurrency", 4)),
    ],
)
def test_limits_have_short_names_and_long_ones(text: str, meant: tuple[str, int]) -> None:
    assert limit(text) == meant
    name, value = limit(text)
    assert limit(limits_in_words({name: value})) == meant


@pytest.mark.parametrize(
    "text", ["", "rpm", "rpm=", "rpm=-1", "rpm=x", "rpm=1.5", "rps=1", "=1", "rpm=²", "rpm=" + "9" * 13]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        limit(text)
