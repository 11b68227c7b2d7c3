"""How much a Claude is to think, and how much it may write: `thinking`, `output_config.effort`, `max_tokens`.

A client of this dialect is taken at its word. For others, words of effort and budgets are fitted to the model:

- A model with a budget gets one, from 1,024 tokens to three quarters of `max_tokens`, so that an answer fits behind it.
- It thinks only where Anthropic lets it: not with a forced tool, and within a loop of tool calls only if the loop's
  first turn comes with its signed thoughts. Otherwise this one request goes without thinking rather than into a 400.
- A model that thinks as it sees fit ("adaptive") knows no rule but that of forced tools, and from Opus 4.8 on not that.

Source: https://platform.claude.com/docs/en/build-with-claude/thinking,
https://platform.claude.com/docs/en/build-with-claude/extended-thinking,
https://platform.claude.com/docs/en/build-with-claude/thinking-tool-workflows
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.dialects.anthropic.block_reader import DIALECT
from gateway.dialects.anthropic.block_writer import is_usable
from gateway.dialects.anthropic.models import Traits
from gateway.dialects.conversation import (
    EFFORTS,
    Message,
    Reasoning,
    RedactedThinking,
    Request,
    Signature,
    Thinking,
    ToolResult,
)
from gateway.dialects.efforts import BUDGETS, effort_of
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.turns import alternating
from gateway.quick import dataclass

LEAST_BUDGET = 1024
"""Anthropic takes no smaller one."""

_BUDGETS = BUDGETS["anthropic"]

_FORCED = "this model cannot think and be forced to call a tool."
_NO_THOUGHTS = "the turn that goes on here came without thoughts that this provider has signed."


@dataclass(frozen=True, slots=True)
class Thought:
    """`thinking` is None where it is left to the model; `on`: the request asks for thoughts."""

    thinking: Json | None
    effort: str
    max_tokens: int

    @property
    def on(self) -> bool:
        return self.thinking is not None and self.thinking["type"] in ("enabled", "adaptive")


def write_reasoning(request: Request, traits: Traits, provider: str, losses: Losses, *, forced: bool) -> Thought:
    """`forced`: a tool must be called."""
    if request.dialect == DIALECT:
        return _as_said(request, traits, provider, losses)
    bound = _max_tokens(request, traits, losses)
    wanted = request.reasoning
    if wanted is None:
        return Thought(None, "", bound)
    if wanted.effort == "none" or wanted.budget == 0:
        return _off(traits, bound, losses)
    if traits.thinking == "none":
        losses.hint("reasoning", "reasoning", "this model does not think before it answers.")
        return Thought(None, "", bound)
    if traits.thinking == "adaptive":
        effort = _effort(wanted, request.dialect, traits, losses)
        if not forced or traits.forced_thinking:
            return Thought({"type": "adaptive", **_display(wanted)}, effort, bound)
        losses.hint("reasoning", "reasoning_off", _FORCED)
        return Thought(None, effort, bound)
    why = _obstacle(request, provider, bound, forced=forced)
    if why:
        losses.hint("reasoning", "reasoning_off", why)
        return Thought(None, "", bound)
    budget = _budget(wanted)
    if request.max_tokens is None:
        bound = min(bound + budget, traits.maximum or bound + budget)
    budget = min(budget, max(LEAST_BUDGET, bound * 3 // 4))
    return Thought({"type": "enabled", "budget_tokens": budget, **_display(wanted)}, "", bound)


def _as_said(request: Request, traits: Traits, provider: str, losses: Losses) -> Thought:
    """A client of this dialect may have talked to other providers, whose thoughts are left out: then the turn begins
    otherwise than the client can know."""
    wanted = request.reasoning or Reasoning()
    bound = traits.default if request.max_tokens is None else request.max_tokens
    thinking: Json | None = None
    if wanted.effort == "none":
        return Thought({"type": "disabled", **_display(wanted)}, "", bound)
    turn = _open_turn(request.messages)
    if wanted.budget is not None and turn is not None and _loses_thoughts(turn, traits, provider):
        losses.hint("reasoning", "reasoning_off", _NO_THOUGHTS)
    elif wanted.budget is not None:
        thinking = {"type": "enabled", "budget_tokens": wanted.budget, **_display(wanted)}
    elif wanted.adaptive:
        thinking = {"type": "adaptive", **_display(wanted)}
    return Thought(thinking, wanted.effort, bound)


def _display(wanted: Reasoning) -> Json:
    shown = True if wanted.shown is None and wanted.summary else wanted.shown
    return {} if shown is None else {"display": "summarized" if shown else "omitted"}


def _off(traits: Traits, bound: int, losses: Losses) -> Thought:
    if traits.thinking == "none":
        return Thought(None, "", bound)
    if not traits.off:
        losses.hint("reasoning", "reasoning_always", "this model always thinks; it gets the least effort.")
        return Thought(None, traits.efforts[0], bound)
    return Thought({"type": traits.off}, "", bound)


def _max_tokens(request: Request, traits: Traits, losses: Losses) -> int:
    if request.max_tokens is None:
        return traits.default
    if traits.maximum and request.max_tokens > traits.maximum:
        losses.hint("max_tokens", "max_tokens", f"this model writes at most {traits.maximum} tokens.")
        return traits.maximum
    return request.max_tokens


def _effort(wanted: Reasoning, dialect: str, traits: Traits, losses: Losses) -> str:
    """The model's own word: the same one, else the next less, else its least."""
    word = wanted.effort
    if not word and wanted.budget is not None and wanted.budget > 0:
        word = effort_of(wanted.budget, dialect)
        losses.hint("reasoning.budget", "reasoning_budget", f"this model has no budget; '{word}' effort comes next.")
    if not word or word in traits.efforts:
        return word
    less = [name for name in traits.efforts if EFFORTS.index(name) <= EFFORTS.index(word)] if word in EFFORTS else []
    fitting = (less or list(traits.efforts[:1]))[-1]
    if not wanted.budget:
        losses.hint("reasoning.effort", "reasoning_effort", f"this model's next effort is '{fitting}'.")
    return fitting


def _budget(wanted: Reasoning) -> int:
    if wanted.budget is not None and wanted.budget > 0:
        return max(wanted.budget, LEAST_BUDGET)
    return _BUDGETS.get(wanted.effort, _BUDGETS["high"])


def _obstacle(request: Request, provider: str, bound: int, *, forced: bool) -> str:
    """Why a model with a budget may not think this time, "" if nothing hinders it."""
    if forced:
        return _FORCED
    if bound <= LEAST_BUDGET:
        return f"there is no room for thinking in {bound} tokens."
    turn = _open_turn(request.messages)
    if turn is not None and not _signature(turn).is_for(DIALECT, provider):
        return _NO_THOUGHTS
    return ""


def _open_turn(messages: Sequence[Message]) -> Message | None:
    """The beginning of the assistant's turn that the model is to continue, over any number of tool calls."""
    first: Message | None = None
    for turn in reversed(alternating(message for message in messages if message.role in ("user", "assistant"))):
        if turn.role == "assistant":
            first = turn
        elif not any(isinstance(part, ToolResult) for part in turn.parts):
            break
    return first


def _loses_thoughts(turn: Message, traits: Traits, provider: str) -> bool:
    """Whether a turn begins with thoughts that are left out."""
    part = turn.parts[0] if turn.parts else None
    if isinstance(part, Thinking) and part.signature is None:
        return traits.signed
    signature = _signature(turn)
    return signature.data != "" and not is_usable(signature, provider, signed=traits.signed)


def _signature(turn: Message) -> Signature:
    """Who signed the thoughts that a turn begins with."""
    part = turn.parts[0] if turn.parts else None
    if isinstance(part, Thinking | RedactedThinking) and part.signature is not None:
        return part.signature
    return Signature("", "")
