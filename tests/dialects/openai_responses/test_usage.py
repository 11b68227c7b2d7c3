"""Usage of the Responses API."""

from __future__ import annotations

import pytest

from gateway.dialects.openai_responses.usage import read_usage, write_usage
from gateway.usage import Usage

USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 10},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 39,
}


@pytest.mark.parametrize("obj", [{"usage": USAGE}, {"type": "response.completed", "response": {"usage": USAGE}}])
def test_usage_stands_in_the_answer_or_in_its_last_event(obj: dict[str, object]) -> None:
    assert read_usage(obj) == Usage(20, 10, output_text=5, reasoning=4)


@pytest.mark.parametrize("obj", [None, [], {}, {"response": None}, {"response": {"usage": None}}, {"usage": {"x": 1}}])
def test_what_is_missing_is_none(obj: object) -> None:
    assert read_usage(obj) is None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(20, 10, cache_write_5m=0, output_text=5, reasoning=4),
        Usage(0, 0, cache_write_5m=0, output_text=0, reasoning=0),
        Usage(1, 2, cache_write_5m=3, output_text=4, reasoning=5),
    ],
)
def test_usage_that_is_written_is_read_as_the_same(usage: Usage) -> None:
    assert read_usage({"usage": write_usage(usage)}) == usage


def test_wholes_include_their_details_and_details_are_always_said() -> None:
    usage = Usage(1, None, 2, 3, 4, 5, None, 6, 7, 8, 9)
    assert write_usage(usage) == {
        "input_tokens": 26,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 5},
        "output_tokens": 19,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 45,
    }
