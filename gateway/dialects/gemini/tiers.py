"""Service tiers: Google's words and OpenAI's, which all dialects share.

Source: https://ai.google.dev/gemini-api/docs/priority-inference, https://ai.google.dev/gemini-api/docs/flex-inference
"""

from __future__ import annotations

_WORDS = {"default": "standard", "flex": "flex", "priority": "priority"}
_READ = {google: shared for shared, google in _WORDS.items()}


def read_tier(word: str) -> str:
    """A tier of Google's in the shared words; another stays as it is."""
    return _READ.get(word.lower(), word.lower())


def write_tier(word: str) -> str:
    """A tier as Google calls it, "" where it has none of that name."""
    return _WORDS.get(word, "")
