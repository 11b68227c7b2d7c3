"""What must be known of dialects before one is loaded: most gateways speak one or two of them, and never translate."""

from __future__ import annotations

from typing import Any, Literal

Json = dict[str, Any]
"""A JSON object as `jsonlib.loads` makes it. Nobody changes one that he was given."""

DialectName = Literal["openai_chat", "openai_responses", "anthropic", "gemini"]

SEALED = "bGxtZzE6"
"""How every seal begins (see `continuity.py`): `llmg1:` in base64, six bytes are eight characters, whatever follows."""
