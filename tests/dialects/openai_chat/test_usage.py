"""Usage objects as providers write them, and the disjoint buckets that come out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.openai_chat.usage import MAX_TOKENS, read_usage, write_usage
from gateway.usage import Usage


def tokens(prompt: object, completion: object, total: object = None, **more: object) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


def details(prompt: dict[str, Any], completion: dict[str, Any]) -> dict[str, object]:
    return {"prompt_tokens_details": prompt, "completion_tokens_details": completion}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(tokens(12, 5, 17), Usage(input_uncached=12, output_text=5), id="plain"),
        pytest.param(
            tokens(
                100, 50, 150,
                **details({"cached_tokens": 60, "audio_tokens": 10}, {"reasoning_tokens": 30, "audio_tokens": 5}),
            ),
            Usage(30, 60, None, None, 10, 15, 30, 5),
            id="OpenAI: details are inside their wholes",
        ),
        pytest.param(
            tokens(9, 0, 9, **details({"cached_tokens": 0}, {"reasoning_tokens": 0})),
            Usage(input_uncached=9, cache_read=0, output_text=0, reasoning=0),
            id="an explicit zero is kept",
        ),
        pytest.param(
            tokens(90, 7, 97, prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=26),
            Usage(input_uncached=26, cache_read=64, output_text=7),
            id="DeepSeek",
        ),
        pytest.param(tokens(90, 7, cached_tokens=40), Usage(50, 40, output_text=7), id="Together"),
        pytest.param(tokens(90, 7, num_cached_tokens=40), Usage(50, 40, output_text=7), id="Mistral"),
        pytest.param(
            tokens(30, None, None, cache_read_input_tokens=10),
            Usage(input_uncached=20, cache_read=10),
            id="Databricks before the end",
        ),
        pytest.param(tokens(20, 9, 29, reasoning_tokens=4), Usage(20, output_text=5, reasoning=4), id="Copilot"),
        pytest.param(
            tokens(100, 1, 101, prompt_tokens_details={"cached_tokens": 20, "cache_write_tokens": 70}),
            Usage(10, 20, 70, output_text=1),
            id="OpenRouter: cache writes",
        ),
        pytest.param(
            tokens(
                100, 1, 101, cache_creation_input_tokens=70, cache_creation={"ephemeral_1h_input_tokens": 50}
            ),
            Usage(30, None, 20, 50, output_text=1),
            id="cache writes for an hour",
        ),
        pytest.param(
            tokens(60, 25, 137, **details({"cached_tokens": 52}, {"reasoning_tokens": 52})),
            Usage(8, 52, output_text=25, reasoning=52),
            id="xAI: the total counts reasoning beside",
        ),
        pytest.param(
            tokens(9, 52, 61, **details({}, {"reasoning_tokens": 232})),
            Usage(9, output_text=52, reasoning=232),
            id="Vercel: reasoning larger than its whole",
        ),
        pytest.param(
            tokens(9, 201, 585, prompt_tokens_details={"cached_tokens": 0, "audio_tokens": 375}),
            Usage(9, 0, input_audio=375, output_text=201),
            id="Mistral: the total counts audio beside",
        ),
        pytest.param(
            tokens(7, 8, 15, prompt_tokens_details={"cached_tokens": 161}),
            Usage(0, 7, output_text=8),
            id="Azure: more cached than there was",
        ),
        pytest.param(
            tokens(120, 1, 121, prompt_tokens_details={"cached_tokens": 100, "audio_tokens": 50}),
            Usage(0, 100, input_audio=20, output_text=1),
            id="cached audio counts once",
        ),
        pytest.param(tokens(35, 12, 109), Usage(35, output_text=12, reasoning=62), id="Google: hidden thinking"),
        pytest.param({"prompt_tokens": 4, "total_tokens": 4}, Usage(input_uncached=4), id="embeddings"),
        pytest.param(
            tokens(-1000, 50, 1050, prompt_tokens_details={"cached_tokens": 400}),
            Usage(600, 400, output_text=50),
            id="a prompt below zero",
        ),
        pytest.param(tokens("1000", 50.0, 1050), Usage(1000, output_text=50), id="a prompt in letters"),
        pytest.param(
            {"prompt_tokens": 9, "total_tokens": 100}, Usage(9, output_text=91), id="output in the total alone"
        ),
        pytest.param({"total_tokens": 3}, Usage(input_uncached=3), id="Voyage: a total alone"),
        pytest.param(
            {"input_tokens": 50, "output_tokens": 1000, "input_tokens_details": {"image_tokens": 40}},
            Usage(input_uncached=50, output_text=1000),
            id="images",
        ),
        pytest.param(
            tokens(5, 6, 11, prompt_tokens_details=None, completion_tokens_details=None),
            Usage(5, output_text=6),
            id="details that are null",
        ),
    ],
)  # fmt: skip
def test_usage_is_read_into_disjoint_buckets(usage: dict[str, object], expected: Usage) -> None:
    assert read_usage({"usage": usage}) == expected


def test_groq_streams_had_it_elsewhere() -> None:
    assert read_usage({"x_groq": {"usage": tokens(2, 3)}}) == Usage(2, output_text=3)


@pytest.mark.parametrize(
    "obj",
    [
        {}, {"usage": None}, {"usage": {}}, {"usage": "12"}, {"usage": [1]}, [], None, "text", 7,
        {"usage": {"cost": 1.5}},
        {"usage": tokens("12", 3.5, -4)},
        {"usage": tokens(True, MAX_TOKENS + 1)},
        {"x_groq": []},
    ],
)  # fmt: skip
def test_what_is_malformed_or_missing_is_none(obj: object) -> None:
    assert read_usage(obj) is None


NUMBER = st.one_of(st.none(), st.integers(-2, 50), st.floats(), st.text(max_size=2))
DETAILS = st.one_of(
    NUMBER, st.dictionaries(st.sampled_from(["cached_tokens", "audio_tokens", "reasoning_tokens"]), NUMBER)
)
FIELDS = ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_creation_input_tokens"]


@given(
    st.dictionaries(st.sampled_from(FIELDS), NUMBER),
    st.dictionaries(st.sampled_from(["prompt_tokens_details", "completion_tokens_details", "cache_creation"]), DETAILS),
)
def test_no_usage_makes_it_fail_or_count_below_zero(numbers: dict[str, object], more: dict[str, object]) -> None:
    usage = read_usage({"usage": {**numbers, **more}})
    if usage is not None:
        assert all(getattr(usage, name) is None or getattr(usage, name) >= 0 for name in Usage._fields)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(), {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        (Usage(3, output_text=2), {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
        (
            Usage(1, cache_read=0, cache_write_5m=4, output_text=1, reasoning=0),
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "total_tokens": 6,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
        ),
        (
            Usage(1, cache_read=2, cache_write_5m=3, cache_write_1h=4, input_image=5, tool_prompt=6, output_image=7),
            {
                "prompt_tokens": 21,
                "completion_tokens": 7,
                "total_tokens": 28,
                "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7, "image_tokens": 5},
                "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            },
        ),
    ],
)
def test_usage_is_written_with_details_inside_their_wholes(usage: Usage, expected: dict[str, object]) -> None:
    assert write_usage(usage) == expected


BUCKETS = (
    "input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "output_text", "reasoning",
    "output_audio",
)  # fmt: skip


@given(
    st.fixed_dictionaries({name: st.none() | st.integers(0, 1000) for name in BUCKETS}).map(
        lambda found: Usage(**found)
    )
)
def test_written_usage_is_read_back_in_the_same_buckets(usage: Usage) -> None:
    read = read_usage({"usage": write_usage(usage)})
    assert read is not None
    normal = usage._replace(input_uncached=usage.input_uncached or 0, output_text=usage.output_text or 0)
    if normal.cache_write_1h is not None:
        normal = normal._replace(
            cache_write_5m=normal.cache_write_5m or 0, cache_write_1h=normal.cache_write_1h or None
        )
    assert read == normal
