"""What models refuse, by their name."""

from __future__ import annotations

import pytest

from gateway.dialects.conversation import EFFORTS
from gateway.dialects.efforts import nearest_effort
from gateway.dialects.openai_chat.models import UNKNOWN, traits_of


@pytest.mark.parametrize(
    ("models", "efforts"),
    [
        ("o1-mini o1-preview gpt-4o gpt-4.1-nano gpt-3.5-turbo chatgpt-4o-latest gpt-5-chat-latest grok-4", ""),
        ("o1 o1-2024-12-17 o3 o3-mini o4-mini openai/o3 gpt-oss-120b", "low medium high"),
        ("gpt-5 gpt-5-mini gpt-5-nano-2025-08-07 openai/GPT-5", "minimal low medium high"),
        ("gpt-5.1 gpt-5.1-2025-11-13 grok-4.3", "none low medium high"),
        ("gpt-5.2 gpt-5.3 gpt-5.4-mini gpt-5.5", "none low medium high xhigh"),
        ("gpt-5.6 gpt-5.6-terra gpt-6-astra gpt-10", "none low medium high xhigh max"),
        ("grok-3-mini", "low high"),
    ],
)
def test_efforts_are_those_that_the_model_takes(models: str, efforts: str) -> None:
    for model in models.split():
        assert traits_of(model).efforts == tuple(efforts.split()), model


@pytest.mark.parametrize("model", ["deepseek-chat", "claude-sonnet-4-5", "o", "llama-4", "my-gpt-5", "grok"])
def test_a_model_that_no_row_knows_is_asked_as_it_was_meant(model: str) -> None:
    assert traits_of(model) == UNKNOWN


@pytest.mark.parametrize("model", ["o1", "o3-mini", "gpt-5", "gpt-5.2", "gpt-6-astra"])
def test_reasoning_models_of_openai_have_another_name_for_the_limit(model: str) -> None:
    traits = traits_of(model)
    assert traits.max_completion_tokens
    assert not traits.sampling
    assert not traits.penalties


def test_every_effort_has_a_nearest_one_everywhere() -> None:
    for effort in EFFORTS:
        for model in ("o3", "gpt-5", "gpt-5.1", "grok-3-mini"):
            efforts = traits_of(model).efforts
            assert nearest_effort(effort, efforts) in (efforts or ())
