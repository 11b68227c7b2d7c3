"""What each Claude model takes: how much it may write, how it thinks, how its answer gets a shape.

The table is for requests that came in another dialect: what their client could not know is fitted to the model here. A
client that speaks Messages chose its fields for its model, and keeps them.

Rows are tried in order on the lower-cased name, with `.` read as `-` and the version behind the family, so that the
names of Bedrock, Vertex and OpenRouter match, too. A Claude that is newer than the table counts as its newest kind,
which refuses the most; what is no Claude (others serve this dialect, too) counts as an old model without limits.

Sources: https://platform.claude.com/docs/en/models/overview (output tokens),
https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting (thinking by model),
https://platform.claude.com/docs/en/build-with-claude/effort,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs,
https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5 and the same page of each model (forced tools),
https://platform.claude.com/docs/en/build-with-claude/thinking-tool-workflows, langchain-aws#1141 and pydantic-ai#4216
(forced tools beside adaptive thinking: from Opus 4.8 on),
https://platform.claude.com/docs/en/about-claude/models/migration-guide (temperature and top_p, sampling),
https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages (from Opus 4.8 on, not Sonnet 5)
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from gateway.quick import dataclass

_ALL = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Traits:
    """`default` are the output tokens for a request that names no bound, `maximum` what the model accepts (0: unknown).

    `thinking`: none at all, with a fixed budget ("enabled"), or as the model sees fit ("adaptive"). `off` is the word
    that turns it off, "" where nothing does. `efforts` are those of `output_config.effort`. `structured`: whether there
    is `output_config.format`. `forced`: whether a tool can be forced, `forced_thinking`: also while it
    thinks. `sampling`: both of temperature and top_p, one of
    them, or none. `signed`: takes back no thoughts but those that it has signed. `system_amid`: takes instructions amid
    the conversation.
    """

    default: int
    maximum: int
    thinking: Literal["none", "budget", "adaptive"]
    off: Literal["", "disabled", "between_tools"] = "disabled"
    efforts: tuple[str, ...] = ()
    structured: bool = False
    forced: bool = True
    forced_thinking: bool = False
    sampling: Literal["both", "one", "none"] = "none"
    signed: bool = True
    system_amid: bool = False


# The default leaves room for the prompt: models of the 4 series and before refuse a prompt that, with `max_tokens`, is
# larger than their window of 200,000.
_NEWEST = Traits(64_000, 128_000, "adaptive", "", _ALL, structured=True, forced=False, system_amid=True)
_FIVE = Traits(64_000, 128_000, "adaptive", efforts=_ALL, structured=True, forced_thinking=True)
_MODELS: tuple[tuple[str, Traits], ...] = (
    (r"(fable|mythos)-5-\d(?!\d)|opus-5-5", _NEWEST),
    (r"sonnet-5-5", replace(_NEWEST, off="between_tools")),
    (r"(fable|mythos)-5", replace(_FIVE, off="", system_amid=True)),
    (
        r"mythos-preview",
        Traits(
            64_000, 128_000, "adaptive", "", ("low", "medium", "high", "max"), structured=True, forced_thinking=True
        ),
    ),
    (r"opus-5(?!-\d(?!\d))|haiku-5-5|opus-4-8", replace(_FIVE, system_amid=True)),
    (r"sonnet-5(?!-\d(?!\d))", _FIVE),
    (r"opus-4-7", Traits(64_000, 128_000, "adaptive", efforts=_ALL, structured=True)),
    (
        r"(opus|sonnet)-4-6",
        Traits(
            64_000, 128_000, "adaptive", efforts=("low", "medium", "high", "max"), structured=True, sampling="one"
        ),
    ),
    (
        r"opus-4-5",
        Traits(32_000, 64_000, "budget", efforts=("low", "medium", "high"), structured=True, sampling="one"),
    ),
    (r"(sonnet|haiku)-4-5", Traits(32_000, 64_000, "budget", structured=True, sampling="one")),
    (r"opus-4-1", Traits(32_000, 32_000, "budget", sampling="one")),
    (r"opus-4", Traits(32_000, 32_000, "budget", sampling="both")),
    (r"sonnet-(4|3-7)", Traits(32_000, 64_000, "budget", sampling="both")),
    (r"(sonnet|haiku)-3-5", Traits(8_192, 8_192, "none", sampling="both")),
    (r"(opus|sonnet|haiku)-3|claude-(2|instant)", Traits(4_096, 4_096, "none", sampling="both")),
    (r"claude", _NEWEST),
)  # fmt: skip
_TABLE = tuple((re.compile(pattern), traits) for pattern, traits in _MODELS)
_VERSION_FIRST = re.compile(r"(\d(?:-\d)?)-(opus|sonnet|haiku)")
_OTHERS = Traits(8_192, 0, "budget", sampling="both", signed=False)


def traits_of(model: str) -> Traits:
    """What a model takes, by the provider's name for it."""
    name = _VERSION_FIRST.sub(r"\2-\1", model.lower().replace(".", "-"))
    if "claude" not in name:
        return _OTHERS
    return next(traits for pattern, traits in _TABLE if pattern.search(name))
