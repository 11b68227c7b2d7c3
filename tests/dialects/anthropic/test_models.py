"""Which row of the table a model's name finds."""

from __future__ import annotations

import pytest

from gateway.dialects.anthropic.models import traits_of


@pytest.mark.parametrize(
    ("model", "maximum", "thinking", "off", "sampling"),
    [
        ("claude-3-haiku-20240307", 4_096, "none", "disabled", "both"),
        ("claude-3-5-sonnet-20241022", 8_192, "none", "disabled", "both"),
        ("claude-3-7-sonnet-latest", 64_000, "budget", "disabled", "both"),
        ("claude-sonnet-4-20250514", 64_000, "budget", "disabled", "both"),
        ("claude-opus-4-20250514", 32_000, "budget", "disabled", "both"),
        ("claude-opus-4-1-20250805", 32_000, "budget", "disabled", "one"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 64_000, "budget", "disabled", "one"),
        ("claude-4.5-sonnet", 64_000, "budget", "disabled", "one"),
        ("claude-4-opus", 32_000, "budget", "disabled", "both"),
        ("anthropic/claude-3.5-haiku:beta", 8_192, "none", "disabled", "both"),
        ("claude-instant-1.2", 4_096, "none", "disabled", "both"),
        ("anthropic/claude-haiku-4.5", 64_000, "budget", "disabled", "one"),
        ("claude-opus-4-6", 128_000, "adaptive", "disabled", "one"),
        ("claude-opus-4-8", 128_000, "adaptive", "disabled", "none"),
        ("claude-sonnet-5", 128_000, "adaptive", "disabled", "none"),
        ("claude-sonnet-5@20260630", 128_000, "adaptive", "disabled", "none"),
        ("claude-sonnet-5-20260630", 128_000, "adaptive", "disabled", "none"),
        ("claude-sonnet-5-5", 128_000, "adaptive", "between_tools", "none"),
        ("claude-haiku-5-5", 128_000, "adaptive", "disabled", "none"),
        ("claude-opus-5", 128_000, "adaptive", "disabled", "none"),
        ("claude-opus-5-5", 128_000, "adaptive", "", "none"),
        ("claude-fable-5", 128_000, "adaptive", "", "none"),
        ("claude-fable-5-2", 128_000, "adaptive", "", "none"),
        ("claude-opus-7", 128_000, "adaptive", "", "none"),
        ("deepseek-chat", 0, "budget", "disabled", "both"),
    ],
)
def test_a_model_is_known_by_every_name_it_has(
    model: str, maximum: int, thinking: str, off: str, sampling: str
) -> None:
    traits = traits_of(model)
    assert (traits.maximum, traits.thinking, traits.off, traits.sampling) == (maximum, thinking, off, sampling)


@pytest.mark.parametrize(
    ("model", "forced", "structured"),
    [
        ("claude-3-opus-20240229", True, False),
        ("claude-opus-4-1", True, False),
        ("claude-haiku-4-5", True, True),
        ("claude-fable-5", True, True),
        ("claude-fable-5-1", False, True),
        ("claude-mythos-5-2", False, True),
        ("claude-haiku-5-5", True, True),
        ("claude-sonnet-5-5", False, True),
        ("kimi-k2", True, False),
    ],
)
def test_forced_tools_and_structured_output_depend_on_the_model(model: str, forced: bool, structured: bool) -> None:
    traits = traits_of(model)
    assert (traits.forced, traits.structured) == (forced, structured)


def test_an_effort_of_a_model_is_none_that_it_refuses() -> None:
    assert traits_of("claude-opus-4-6").efforts == ("low", "medium", "high", "max")
    assert traits_of("claude-opus-4-7").efforts == ("low", "medium", "high", "xhigh", "max")


@pytest.mark.parametrize(
    ("model", "amid"),
    [
        ("claude-opus-4-7", False),
        ("claude-opus-4.8", True),
        ("claude-sonnet-4-6", False),
        ("claude-sonnet-5", False),
        ("claude-sonnet-5-20260630", False),
        ("claude-sonnet-5-5", True),
        ("claude-haiku-4-5", False),
        ("claude-haiku-5-5", True),
        ("claude-opus-5", True),
        ("claude-fable-5", True),
        ("claude-mythos-5-1", True),
        ("claude-mythos-preview", False),
        ("claude-opus-7", True),
        ("deepseek-chat", False),
    ],
)
def test_which_models_take_instructions_amid_the_conversation(model: str, amid: bool) -> None:
    assert traits_of(model).system_amid is amid
