"""How much to think, in words and in tokens: one dialect has the one, another the other.

A word that was written as a budget is read as the same word again by whoever reads that dialect: a budget is the word
whose own is the nearest, by ratio, so that it stays so where a model or a bound cuts it a little.

Sources: https://platform.claude.com/docs/en/build-with-claude/extended-thinking (1,024 tokens at least),
https://ai.google.dev/gemini-api/docs/openai#thinking (Google's own words for `low` to `high`) and
https://ai.google.dev/gemini-api/docs/generate-content/thinking (32,768 at most, 512 at least with Flash-Lite)
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from gateway.dialects.conversation import EFFORTS, Reasoning

_ANTHROPIC = {"minimal": 1024, "low": 2048, "medium": 4096, "high": 8192, "xhigh": 16_384, "max": 32_768}
_GEMINI = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 28_672, "max": 32_768}

BUDGETS: Mapping[str, Mapping[str, int]] = {
    "anthropic": _ANTHROPIC,
    "gemini": _GEMINI,
    # They have words. Clients of servers that take budgets in these dialects mean what Google means.
    "openai_chat": _GEMINI,
    "openai_responses": _GEMINI,
}
"""Tokens for each word but "none", by the dialect that they are written in."""


def effort_of(budget: int, dialect: str) -> str:
    """The word for a budget of no less than 0 tokens in a request of `dialect`."""
    if budget == 0:
        return "none"
    for (word, own), (_, next_own) in pairwise(BUDGETS[dialect].items()):
        if budget * budget <= own * next_own:
            return word
    return EFFORTS[-1]


def wanted_effort(reasoning: Reasoning, dialect: str) -> str:
    """The word of EFFORTS for what a client of `dialect` wants; "" where the model is to decide."""
    if reasoning.effort or reasoning.budget is None or reasoning.budget < 0:
        return reasoning.effort
    return effort_of(reasoning.budget, dialect)


def nearest_effort(wanted: str, efforts: tuple[str, ...] | None) -> str:
    """The word that is nearest to what is wanted, the higher one of two; "" where the model takes none."""
    if efforts is None or wanted in efforts:
        return wanted
    place = EFFORTS.index(wanted)
    return min(efforts, key=lambda word: (abs(EFFORTS.index(word) - place), -EFFORTS.index(word)), default="")
