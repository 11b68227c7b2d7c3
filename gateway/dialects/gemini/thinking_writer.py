"""How much a model of Google is to think: `thinkingConfig`, from whatever words the client used.

Gemini 2.5 takes a number of tokens, later models a level; both together, or the wrong one, are a 400. Where the model
has no such amount the nearest one is taken and noted, as hint. "none" is written where thinking can be turned off, and
as the least there is where it cannot: to leave it out would be to think as much as the model likes.

Source: https://ai.google.dev/gemini-api/docs/generate-content/thinking
"""

from __future__ import annotations

from gateway.dialects.conversation import Reasoning, Request
from gateway.dialects.efforts import BUDGETS, wanted_effort
from gateway.dialects.gemini.models import Traits
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json

_LEVELS = {"none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 3, "xhigh": 4, "max": 4}
_PLACES = {"MINIMAL": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3, "XHIGH": 4}


def write_thinking(request: Request, traits: Traits | None, losses: Losses) -> Json:
    """`thinkingConfig`, empty where nothing is to be said. `traits` are the model's, None where the client used
    Google's own words."""
    reasoning = request.reasoning
    if reasoning is None:
        return {}
    if traits is None:
        return _as_said(reasoning)
    if traits.thinking == "none":
        if reasoning.effort not in ("", "none") or reasoning.budget or reasoning.adaptive:
            losses.hint("reasoning", "reasoning", "this model does not think.")
        return {}
    if traits.thinking == "budget":
        config = _budget(reasoning, traits, losses)
    else:
        config = _level(reasoning, wanted_effort(reasoning, request.dialect), traits, losses)
    shown = request.thoughts_shown
    return config if shown is None else {**config, "includeThoughts": shown}


def _as_said(reasoning: Reasoning) -> Json:
    budget = -1 if reasoning.adaptive else 0 if reasoning.effort == "none" else reasoning.budget
    fields = {
        "thinkingBudget": budget,
        "thinkingLevel": reasoning.effort.upper() if reasoning.effort != "none" else None,
        "includeThoughts": reasoning.shown,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _budget(reasoning: Reasoning, traits: Traits, losses: Losses) -> Json:
    wanted = reasoning.budget
    if wanted is None and reasoning.effort:
        wanted = BUDGETS["gemini"].get(reasoning.effort, 0)
    elif wanted is None:
        return {"thinkingBudget": -1} if reasoning.adaptive else {}
    if wanted == 0 and traits.can_rest:
        return {"thinkingBudget": 0}
    budget = max(traits.budget_min, min(wanted, traits.budget_max))
    if budget != wanted:
        said = "budget" if reasoning.budget is not None else "effort"
        losses.hint(f"reasoning.{said}", f"reasoning_{said}", f"this model thinks within {budget} tokens.")
    return {"thinkingBudget": budget}


def _level(reasoning: Reasoning, effort: str, traits: Traits, losses: Losses) -> Json:
    """`effort`: the word for what is wanted."""
    if not effort:
        return {}
    wanted = _LEVELS[effort]
    level = min(traits.levels, key=lambda each: abs(_PLACES[each] - wanted))
    if not reasoning.effort:
        losses.hint("reasoning.budget", "reasoning_budget", "this model has levels and no number of tokens.")
    elif effort == "none" or _PLACES[level] != wanted:
        losses.hint("reasoning.effort", "reasoning_effort", f"the nearest that this model has is {level}.")
    return {"thinkingLevel": level}
