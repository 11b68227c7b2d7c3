"""What is known of Google's models by their names, and how models are listed."""

from __future__ import annotations

import pytest

from gateway.dialects.gemini.listing import EMBEDS, write_model
from gateway.dialects.gemini.models import NEWER, traits_of


@pytest.mark.parametrize(
    ("model", "levels"),
    [
        ("gemini-3-pro-preview", "LOW HIGH"),
        ("gemini-3-pro-image-preview", "LOW HIGH"),
        ("gemini-3.1-pro-preview-customtools", "LOW MEDIUM HIGH"),
        ("gemini-3-flash-preview", "MINIMAL LOW MEDIUM HIGH"),
        ("gemini-3.1-flash-lite", "MINIMAL LOW MEDIUM HIGH"),
        ("gemini-3.5-flash", "MINIMAL LOW MEDIUM HIGH"),
        ("gemini-3.6-flash", "MINIMAL LOW MEDIUM HIGH"),
        ("gemini-3.7-flash", "LOW MEDIUM HIGH"),
        ("gemini-3.8-flash", "LOW MEDIUM HIGH"),
        ("gemini-4-argon", "LOW MEDIUM HIGH"),
        ("gemini-flash-latest", "LOW MEDIUM HIGH"),
        ("gemini-pro-latest", "LOW MEDIUM HIGH"),
        ("whatever", "LOW MEDIUM HIGH"),
    ],
)
def test_models_since_gemini_3_have_levels(model: str, levels: str) -> None:
    traits = traits_of(model)
    assert (traits.thinking, " ".join(traits.levels)) == ("level", levels)
    assert traits.signed_calls and traits.media_results and traits.json_with_tools


@pytest.mark.parametrize(
    ("model", "budget"),
    [
        ("gemini-2.5-flash", (1, 24_576, True)),
        ("models/gemini-2.5-flash-preview-09-2025", (1, 24_576, True)),
        ("google/gemini-2.5-pro", (128, 32_768, False)),
        ("Gemini-2.5-Flash-Lite", (512, 24_576, True)),
    ],
)
def test_gemini_2_5_counts_in_tokens(model: str, budget: tuple[int, int, bool]) -> None:
    traits = traits_of(model)
    assert traits.thinking == "budget"
    assert (traits.budget_min, traits.budget_max, traits.can_rest) == budget
    assert traits.json_schema and traits.fetches
    assert not (traits.signed_calls or traits.media_results or traits.json_with_tools)


@pytest.mark.parametrize(
    "model", ["gemini-2.0-flash", "gemini-1.5-pro", "gemini-pro", "gemma-3-27b-it", "gemini-2.5-flash-image"]
)
def test_older_and_special_models_do_not_think(model: str) -> None:
    assert traits_of(model).thinking == "none"
    assert traits_of(model) != NEWER


@pytest.mark.parametrize("model", ["gemma-3-27b-it", "models/gemma-3n-e4b-it"])
def test_gemma_3_takes_words_alone(model: str) -> None:
    traits = traits_of(model)
    assert (traits.instructions, traits.functions, traits.json_mode) == (False, False, False)


@pytest.mark.parametrize("model", ["gemma-4-31b-it", "gemma-4-26b-a4b-it", "gemma-10-x"])
def test_gemma_4_thinks_little_or_much(model: str) -> None:
    traits = traits_of(model)
    assert (traits.thinking, traits.levels) == ("level", ("MINIMAL", "HIGH"))
    assert traits.instructions and traits.functions and traits.json_mode
    assert not (traits.signed_calls or traits.json_schema)


def test_a_model_is_listed_with_what_is_known_of_it() -> None:
    assert write_model("m", description="D.", methods=EMBEDS, input_limit=5, output_limit=0) == {
        "name": "models/m",
        "version": "001",
        "displayName": "m",
        "description": "D.",
        "inputTokenLimit": 5,
        "outputTokenLimit": 0,
        "supportedGenerationMethods": ["embedContent", "batchEmbedContents"],
    }
