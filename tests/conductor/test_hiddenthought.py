"""Which requests may be thought about where nobody sees it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.conductor.ask import Ask
from gateway.conductor.hiddenthought import may_think_unseen
from gateway.conductor.identity import Identity


@pytest.mark.parametrize(
    ("shape", "model", "fields", "thinks"),
    [
        ("chat", "gpt-4o-mini", {}, False),
        ("chat", "gpt-4o-mini", {"reasoning_effort": None}, False),
        ("chat", "unknown", {}, False),
        ("chat", "unknown", {"reasoning_effort": "low"}, True),
        ("chat", "unknown", {"reasoning": {"max_tokens": 100}}, True),
        ("chat", "unknown", {"reasoning": {"enabled": False}}, False),
        ("chat", "unknown", {"thinking": {"type": "enabled"}}, True),
        ("chat", "unknown", {"thinking": {"type": "disabled"}}, False),
        ("chat", "o1", {}, True),
        ("chat", "openai/o3", {}, True),
        ("chat", "gpt-5", {"reasoning_effort": "minimal"}, True),
        ("chat", "gpt-5.2", {"reasoning_effort": "none"}, False),
        ("chat", "grok-4", {}, True),
        ("chat", "google/gemini-2.5-flash", {}, True),
        ("chat", "gemini-2.0-flash", {}, False),
        ("responses", "gpt-5", {}, True),
        ("responses", "gpt-5.2", {"reasoning": {"effort": "none"}}, False),
        ("responses", "gpt-4o", {"reasoning": {"effort": "low"}}, True),
        ("messages", "claude", {}, False),
        ("messages", "claude", {"thinking": {"type": "adaptive"}}, True),
        ("messages", "claude", {"thinking": {"type": "disabled"}}, False),
        ("messages", "claude", {"thinking": "odd"}, False),
        ("generate", "gemini-2.5-pro", {}, False),
        ("completions", "o1", {}, False),
    ],
)
def test_thought_is_possible_where_it_is_asked_for_or_the_model_is_known_for_it(
    shape: str, model: str, fields: dict[str, Any], thinks: bool
) -> None:
    identity = Identity("ann", "ann", frozenset({"use"}))
    ask = Ask(b"POST", None, "", "", (), b"", model, shape, identity, fields=fields)
    assert may_think_unseen(ask, model) == thinks
