"""What Chat Completions models refuse, by their name: which words for effort, which sampling, which name for the limit.

Names are looked at without what stands before their last slash (`openai/gpt-5`), so that resellers' names are known.
The first row that matches counts; a model that no row knows is asked as it was meant, and its provider decides.

Sources: https://developers.openai.com/api/docs/guides/reasoning,
https://developers.openai.com/api/docs/guides/latest-model (parameter compatibility), openai-openapi#541 (tools without
effort), litellm#34569 (the same without a word about effort), smolagents#1671 and #1893 (`stop`),
https://docs.x.ai/docs/guides/reasoning (grok)
"""

from __future__ import annotations

import hashlib
import re

from gateway.quick import dataclass

MAX_ID = 40
"""Characters of a call's id: "Expected a string with maximum length 40" (OpenAI, vercel/ai#5171). Others' ids are
longer, and stand in their `reasoning_details`, too, so that they must come back as they are."""

MAX_STOP = 4
"""Texts to stop at. https://platform.openai.com/docs/api-reference/chat/create"""


MAX_USER = 64
"""Characters of `user` (OpenAI; maximhq/bifrost#1000)."""


@dataclass(frozen=True, slots=True)
class Traits:
    """`efforts`: the words it takes, None where unknown. `sampling`: takes temperature, top_p and logprobs while it
    thinks; `sampling_at_none`: when asked not to think. `penalties`: also logit_bias. `tools_at_none`: tools only when
    asked not to think. `breakpoints`: takes `prompt_cache_breakpoint` on parts. `openai`: takes no
    longer ids than MAX_ID, nor more texts to stop at than MAX_STOP."""

    efforts: tuple[str, ...] | None = None
    max_completion_tokens: bool = False
    sampling: bool = True
    sampling_at_none: bool = True
    penalties: bool = True
    stop: bool = True
    tools_at_none: bool = False
    breakpoints: bool = False
    openai: bool = False


def _thinks(*efforts: str, stop: bool = False, tools_at_none: bool = False, breakpoints: bool = False) -> Traits:
    """OpenAI's reasoning models."""
    at_none = "none" in efforts
    return Traits(efforts, True, False, at_none, False, stop, tools_at_none, breakpoints, True)


UNKNOWN = Traits()
_PLAIN = Traits(efforts=(), openai=True)

_ROWS: tuple[tuple[str, Traits], ...] = (
    (r"o1-(mini|preview)", _thinks()),
    (r"o1\b", _thinks("low", "medium", "high", stop=True)),
    (r"o[34]\b", _thinks("low", "medium", "high")),
    (r"gpt-5(\.\d+)?-chat", _PLAIN),
    (r"gpt-5(?!\.)", _thinks("minimal", "low", "medium", "high")),
    (r"gpt-5\.1(?!\d)", _thinks("none", "low", "medium", "high")),
    (r"gpt-5\.[23](?!\d)", _thinks("none", "low", "medium", "high", "xhigh")),
    (r"gpt-5\.[45](?!\d)", _thinks("none", "low", "medium", "high", "xhigh", tools_at_none=True)),
    (
        r"gpt-(5\.\d|[6-9](?!\d)|\d\d(?!\d))",
        _thinks("none", "low", "medium", "high", "xhigh", "max", tools_at_none=True, breakpoints=True),
    ),
    (r"gpt-oss", Traits(efforts=("low", "medium", "high"))),
    (r"gpt-[34]|chatgpt-", _PLAIN),
    (r"grok-.*non-reasoning|grok-[23](?!-mini)", Traits(efforts=())),
    (r"grok-3-mini", Traits(efforts=("low", "high"), penalties=False, stop=False)),
    (r"grok-4\.3", Traits(efforts=("none", "low", "medium", "high"), penalties=False, stop=False)),
    (r"grok-4(?![.\d])|grok-4-|grok-code", Traits(efforts=(), penalties=False, stop=False)),
    (r"grok-", Traits(penalties=False, stop=False)),
)
_MODELS = tuple((re.compile(pattern), traits) for pattern, traits in _ROWS)


def traits_of(model: str) -> Traits:
    name = model.rpartition("/")[2].lower()
    return next((traits for pattern, traits in _MODELS if pattern.match(name)), UNKNOWN)


def short_user(user: str) -> str:
    """A client's word for its user as OpenAI takes it. Claude Code's has 150 characters; a digest tells users apart as
    well."""
    if len(user) <= MAX_USER:
        return user
    return hashlib.blake2b(user.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
