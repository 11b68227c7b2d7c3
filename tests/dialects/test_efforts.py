"""How much to think: words of effort as budgets, and back."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from gateway.dialects.conversation import EFFORTS, Message, Reasoning, Request, Text
from gateway.dialects.efforts import BUDGETS, effort_of, nearest_effort, wanted_effort
from gateway.dialects.losses import Losses
from gateway.dialects.names import DialectName
from tests.dialects.pairs import NAMES, PAIRS, read, write

WORDS = EFFORTS[1:]

BUDGETED = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}
"""Models that are told how much to think in tokens, with room for all words."""

WORDED = {
    "openai_chat": "any",
    "openai_responses": "any",
    "anthropic": "claude-opus-4-8",
    "gemini": "gemini-3-flash-preview",
}
"""Models that are told so in words."""


def asked(client: DialectName, **reasoning: Any) -> Request:
    return Request(client, "m", (Message("user", (Text("Hi"),)),), reasoning=Reasoning(**reasoning))


def words_in(body: Any) -> str:
    """The word in a request of any dialect, in small letters."""
    config = body.get("generationConfig", {}).get("thinkingConfig", {})
    said = [
        body.get("reasoning_effort"),
        body.get("reasoning", {}).get("effort"),
        body.get("output_config", {}).get("effort"),
        config.get("thinkingLevel"),
    ]
    return next((str(word).lower() for word in said if word), "")


@pytest.mark.parametrize(("client", "provider"), [pair for pair in PAIRS if pair[1] in BUDGETED])
@pytest.mark.parametrize("effort", EFFORTS)
def test_an_effort_that_was_written_as_a_budget_is_read_as_the_same(
    client: DialectName, provider: DialectName, effort: str
) -> None:
    losses = Losses()
    body = write(provider, asked(client, effort=effort), losses, model=BUDGETED[provider]).body
    back = read(provider, body).reasoning
    assert back is not None
    if effort == "none" and provider == "gemini":
        assert (back.budget, [loss.name for loss in losses.entries]) == (128, ["reasoning_effort"])  # Pro always thinks
    else:
        assert (wanted_effort(back, provider), losses.entries) == (effort, [])


@pytest.mark.parametrize("provider", BUDGETED)
@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("effort", WORDS)
def test_a_budget_goes_on_as_the_word_that_it_was(provider: DialectName, target: DialectName, effort: str) -> None:
    if provider == target:
        return
    model = WORDED[target]
    body = write(provider, asked("openai_chat", effort=effort), model=BUDGETED[provider]).body
    if provider == "anthropic":
        body = {**body, "max_tokens": 64_000}
    through = write(target, read(provider, body), model=model).body
    straight = write(
        target, asked("openai_chat" if target != "openai_chat" else "anthropic", effort=effort), model=model
    )
    assert words_in(through) == words_in(straight.body) != ""


@pytest.mark.parametrize("dialect", NAMES)
def test_words_of_effort_are_further_apart_than_they_are_cut(dialect: DialectName) -> None:
    assert tuple(BUDGETS[dialect]) == WORDS
    for word, budget in BUDGETS[dialect].items():
        assert effort_of(budget, dialect) == effort_of(budget - 32, dialect) == word
    efforts = [effort_of(budget, dialect) for budget in range(40_000)]
    assert [EFFORTS.index(effort) for effort in efforts] == sorted(EFFORTS.index(effort) for effort in efforts)
    assert all(less < more for less, more in pairwise(BUDGETS[dialect].values()))


@pytest.mark.parametrize(
    ("reasoning", "dialect", "expected"),
    [
        (Reasoning(), "anthropic", ""),
        (Reasoning("max", 5), "anthropic", "max"),
        (Reasoning(budget=0), "anthropic", "none"),
        (Reasoning(budget=-1), "anthropic", ""),
        (Reasoning(budget=1), "anthropic", "minimal"),
        (Reasoning(budget=2000), "anthropic", "low"),
        (Reasoning(budget=4000), "anthropic", "medium"),
        (Reasoning(budget=10_000), "anthropic", "high"),
        (Reasoning(budget=31_999), "anthropic", "max"),
        (Reasoning(budget=99_999), "anthropic", "max"),
        (Reasoning(budget=2000), "gemini", "low"),
        (Reasoning(budget=4000), "gemini", "medium"),
        (Reasoning(budget=10_000), "openai_chat", "medium"),
        (Reasoning(budget=20_000), "openai_chat", "high"),
    ],
)
def test_a_budget_is_a_word_for_effort(reasoning: Reasoning, dialect: str, expected: str) -> None:
    assert wanted_effort(reasoning, dialect) == expected


@pytest.mark.parametrize(
    ("wanted", "efforts", "expected"),
    [
        ("low", None, "low"),
        ("low", (), ""),
        ("none", ("low", "high"), "low"),
        ("max", ("low", "high"), "high"),
        ("medium", ("low", "high"), "high"),
        ("minimal", ("none", "low"), "low"),
    ],
)
def test_the_nearest_effort_is_the_higher_of_two(wanted: str, efforts: tuple[str, ...] | None, expected: str) -> None:
    assert nearest_effort(wanted, efforts) == expected


@pytest.mark.parametrize("target", NAMES)
def test_a_word_that_is_newer_than_all_these_is_anthropics_alone(target: DialectName) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    asked = {"model": "m", "max_tokens": 9, "messages": messages, "output_config": {"effort": "ultra"}}
    losses = Losses()
    body = write(target, read("anthropic", asked), losses, model={"openai_chat": "gpt-5.1"}.get(target, "")).body
    if target == "anthropic":
        assert (body["output_config"], losses.entries) == ({"effort": "ultra"}, [])
    else:
        assert (words_in(body), "extra_field" in [loss.name for loss in losses.entries]) == ("", True)
