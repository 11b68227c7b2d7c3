"""Whether a model may think where nobody sees it: such tokens are charged for, and only the usage at the end has them.

What matters is a stream that its client leaves before that. Thought that passes by in the stream is hidden all the same
where providers show a summary of it. In Gemini's own dialect nothing is hidden: each event reports the thoughts so far.
"""

from __future__ import annotations

import re

from gateway.conductor.ask import Ask
from gateway.dialects.openai_chat.models import traits_of

_THINKS = re.compile(r"(?:^|/)gemini-(?:2\.5|[3-9])")
"""Other models than OpenAI's and xAI's that think without being asked, and hide it in OpenAI's dialect.
https://ai.google.dev/gemini-api/docs/openai#thinking"""

_OFF = frozenset({"none", "disabled"})


def may_think_unseen(ask: Ask, model: str) -> bool:
    """By what the request asks for; where it says nothing, by the model. Rather yes than no."""
    if ask.shape == "messages":
        return _said(ask, "thinking", "type") not in (None, *_OFF)
    if ask.shape not in ("chat", "responses"):
        return False
    effort = (ask.fields or {}).get("reasoning_effort")
    for said in (effort, _said(ask, "reasoning", "effort"), _said(ask, "thinking", "type")):
        if said is not None:
            return said not in _OFF
    if isinstance((ask.fields or {}).get("reasoning"), dict):  # OpenRouter: enabled, max_tokens
        return _said(ask, "reasoning", "enabled") is not False
    traits = traits_of(model)
    return traits.max_completion_tokens or not traits.stop or _THINKS.search(model) is not None


def _said(ask: Ask, name: str, part: str) -> object:
    holder = (ask.fields or {}).get(name)
    said: object = holder.get(part) if isinstance(holder, dict) else None
    return said
