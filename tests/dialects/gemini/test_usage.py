"""Usage of Gemini in disjoint buckets, and back."""

from __future__ import annotations

import pytest

from gateway.dialects.gemini.usage import read_usage, write_usage
from gateway.dialects.names import Json
from gateway.usage import Usage


def counted(modality: str, count: int) -> Json:
    return {"modality": modality, "tokenCount": count}


@pytest.mark.parametrize(
    ("metadata", "usage"),
    [
        ({"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}, Usage(3, output_text=2)),
        (
            {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 7, "totalTokenCount": 18},
            Usage(9, output_text=2, reasoning=7),
        ),
        (
            {"promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 2},
            Usage(5, 4, output_text=2),
        ),
        (
            {"promptTokenCount": 9, "toolUsePromptTokenCount": 100, "candidatesTokenCount": 2},
            Usage(9, output_text=2, tool_prompt=100),
        ),
        (
            {"promptTokenCount": 9, "thoughtsTokenCount": 4, "toolUsePromptTokenCount": 2, "totalTokenCount": 15},
            Usage(9, output_text=0, reasoning=4, tool_prompt=2),
        ),
        ({"promptTokenCount": 9, "candidatesTokenCount": 0}, Usage(9, output_text=0)),
        ({"promptTokenCount": 9}, Usage(9)),
        ({"totalTokenCount": 4, "candidatesTokenCount": 4}, Usage(output_text=4)),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 50,
                "promptTokensDetails": [counted("TEXT", 20), counted("AUDIO", 60), counted("IMAGE", 20)],
                "cacheTokensDetails": [counted("AUDIO", 50)],
                "candidatesTokenCount": 30,
                "candidatesTokensDetails": [counted("IMAGE", 20), counted("AUDIO", 4), counted("TEXT", 6)],
            },
            Usage(20, 50, input_audio=10, output_text=6, output_audio=4, input_image=20, output_image=20),
        ),
        (
            {"promptTokenCount": 10, "promptTokensDetails": [counted("DOCUMENT", 6), counted("VIDEO", 4)]},
            Usage(10),
        ),
        (
            {"prompt_token_count": 3, "prompt_tokens_details": [{"modality": "AUDIO", "token_count": 2}]},
            Usage(1, input_audio=2),
        ),
        ({"trafficType": "ON_DEMAND"}, None),
        ({"promptTokenCount": -1, "candidatesTokenCount": True}, None),
        ({"promptTokenCount": 1 << 60, "candidatesTokenCount": 1}, Usage(output_text=1)),
        ({"promptTokenCount": 3, "promptTokensDetails": ["x", {"modality": 1}]}, Usage(3)),
        ([], None),
        (None, None),
    ],
)
def test_usage_is_read(metadata: object, usage: Usage | None) -> None:
    assert read_usage({"usageMetadata": metadata}) == usage


@pytest.mark.parametrize("obj", [None, [], "x", {}])
def test_nothing_has_no_usage(obj: object) -> None:
    assert read_usage(obj) is None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(3, output_text=2),
        Usage(0, 0, output_text=0, reasoning=0, tool_prompt=0),
        Usage(5, 4, input_audio=3, output_text=1, reasoning=7, output_audio=2, tool_prompt=9),
        Usage(5, input_image=3, output_text=1, output_image=0),
        Usage(5, output_text=0),
    ],
)
def test_what_is_written_is_read_again(usage: Usage) -> None:
    assert read_usage({"usageMetadata": write_usage(usage)}) == usage


def test_the_total_is_the_sum_and_zeros_are_said() -> None:
    assert write_usage(Usage(1, 2, 4, 8, output_text=0, reasoning=16, tool_prompt=32)) == {
        "promptTokenCount": 15,
        "candidatesTokenCount": 0,
        "totalTokenCount": 63,
        "cachedContentTokenCount": 2,
        "thoughtsTokenCount": 16,
        "toolUsePromptTokenCount": 32,
    }
