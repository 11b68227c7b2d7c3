"""Usage of the Responses API."""

from __future__ import annotations

import pytest

from gateway.dialects.openai_responses.usage import read_usage
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
