"""What must be known of dialects before one is loaded: most gateways speak one or two of them, and never translate."""

from __future__ import annotations

from typing import Any, Literal

Json = dict[str, Any]
"""A JSON object as `jsonlib.loads` makes it. Nobody changes one that he was given."""

DialectName = Literal["openai_chat", "openai_responses", "anthropic", "gemini"]

SEALED = "bGxtZzE6"
"""How every seal begins (see `continuity.py`): `llmg1:` in base64, six bytes are eight characters, whatever follows."""

LEAST_SIGNATURE = 100
"""Characters of what Claude signs thoughts with, at least: the shortest that is known has 232. Others of its dialect
sign with less: DeepSeek with the id of its message (NousResearch/hermes-agent#21048), many with nothing. Whose a longer
one is nobody can tell, since Anthropic's own have no form that would last."""
