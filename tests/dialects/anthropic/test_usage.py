"""Usage objects as Anthropic writes them, and the disjoint buckets that come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic.usage import (
    later_usage,
    read_service_tier,
    read_usage,
    write_delta_usage,
    write_usage,
)
from gateway.usage import Usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"input_tokens": 12, "output_tokens": 5}, Usage(12, output_text=5), id="plain"),
        pytest.param(
            {
                "input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            },
            Usage(0, 0, 0, 0, output_text=0),
            id="zeros are said",
        ),
        pytest.param(
            {
                "input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 70, "output_tokens": 1,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 50},
            },
            Usage(3, 10, 20, 50, output_text=1),
            id="cache writes by duration",
        ),
        pytest.param(
            {"cache_creation_input_tokens": 70, "output_tokens": 1},
            Usage(cache_write_5m=70, output_text=1),
            id="cache writes in one sum",
        ),
        pytest.param(
            {
                "cache_creation_input_tokens": 70,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            },
            Usage(cache_write_5m=70, cache_write_1h=0),
            id="a sum that the durations do not explain",
        ),
        pytest.param(
            {"input_tokens": 3, "output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}},
            Usage(3, output_text=20, reasoning=30),
            id="thinking is part of the output",
        ),
        pytest.param(
            {"input_tokens": 3, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 30}},
            Usage(3, output_text=0, reasoning=30),
            id="more thinking than output",
        ),
        pytest.param({"input_tokens": -1, "output_tokens": "5", "cache_read_input_tokens": True}, None, id="nonsense"),
    ],
)  # fmt: skip
def test_usage_is_read_into_disjoint_buckets(usage: dict[str, object], expected: Usage | None) -> None:
    assert read_usage({"usage": usage}) == expected
    assert read_usage({"type": "message_start", "message": {"usage": usage}}) == expected


@pytest.mark.parametrize("obj", [{}, {"usage": None}, {"usage": [1]}, {"message": 7}, [], None, "text", 7])
def test_what_has_no_usage_is_none(obj: object) -> None:
    assert read_usage(obj) is None
    assert read_service_tier(obj) == ""


def test_a_streams_end_adds_to_its_start() -> None:
    start = Usage(25, 7, 20, 50, output_text=1)
    assert later_usage(start, Usage(output_text=15)) == Usage(25, 7, 20, 50, output_text=15)
    assert later_usage(start, Usage(0, 0, output_text=0)) == Usage(0, 0, 20, 50, output_text=0)
    assert later_usage(start, Usage(cache_write_5m=90)) == Usage(25, 7, 40, 50, output_text=1)
    assert later_usage(None, start) == later_usage(start, None) == start


@pytest.mark.parametrize(
    "usage",
    [
        Usage(3, 10, 20, 50, output_text=1, reasoning=4),
        Usage(0, 0, 0, output_text=0),
        Usage(3, output_text=1),
        Usage(3, 1, 2, output_text=1, reasoning=0),
    ],
)
def test_what_is_written_is_read_again(usage: Usage) -> None:
    assert read_usage({"usage": write_usage(usage)}) == usage


def test_tokens_without_a_count_of_their_own_are_input_or_output() -> None:
    usage = Usage(3, 10, input_audio=100, input_image=1000, tool_prompt=10000, output_text=2, output_audio=20)
    written = write_usage(usage)
    assert (written["input_tokens"], written["cache_read_input_tokens"], written["output_tokens"]) == (11103, 10, 22)


def test_the_totals_are_there_even_if_nobody_reported_them() -> None:
    assert write_usage(None) == {
        "input_tokens": 0,
        "cache_creation_input_tokens": None,
        "cache_read_input_tokens": None,
        "output_tokens": 0,
    }


def test_the_end_of_a_stream_keeps_silent_on_what_is_not_known() -> None:
    assert write_delta_usage(None) == {"output_tokens": 0}
    assert write_delta_usage(Usage(3, 0, output_text=2)) == {
        "input_tokens": 3,
        "cache_read_input_tokens": 0,
        "output_tokens": 2,
    }


@pytest.mark.parametrize(("tier", "word"), [("standard", "default"), ("priority", "priority"), (None, "")])
def test_the_tier_that_served(tier: str | None, word: str) -> None:
    assert read_service_tier({"usage": {"service_tier": tier}}) == word
    assert write_usage(None, word).get("service_tier") == tier


NUMBER = st.one_of(st.none(), st.integers(-2, 50), st.floats(), st.text(max_size=2), st.lists(st.none(), max_size=1))
NAMES = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "service_tier"]
INNER = st.dictionaries(
    st.sampled_from(["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "thinking_tokens"]), NUMBER
)


@given(
    st.dictionaries(st.sampled_from(NAMES), NUMBER),
    st.dictionaries(st.sampled_from(["cache_creation", "output_tokens_details"]), st.one_of(NUMBER, INNER)),
)
def test_no_usage_makes_it_fail_or_count_below_zero(numbers: dict[str, object], more: dict[str, object]) -> None:
    usage = read_usage({"usage": {**numbers, **more}})
    if usage is not None:
        assert all(value is None or value >= 0 for value in usage)
