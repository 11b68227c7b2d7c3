"""How much to think, as each kind of model takes it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.conversation import (
    EFFORTS,
    Message,
    Reasoning,
    RedactedThinking,
    ResponseFormat,
    Sampling,
    Signature,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from tests.dialects.anthropic.making import MIDDLE, NEW, NEWEST, OLD, ask, assistant, user, write

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 4096, "high": 8192, "xhigh": 16384, "max": 32768}


@pytest.mark.parametrize("effort", EFFORTS)
def test_an_effort_is_a_budget_for_models_that_have_one(effort: str) -> None:
    body, lost, _ = write(ask(reasoning=Reasoning(effort=effort)), MIDDLE)
    if effort == "none":
        assert body["thinking"] == {"type": "disabled"}
    else:
        assert body["thinking"] == {"type": "enabled", "budget_tokens": BUDGETS[effort]}
        assert body["max_tokens"] == min(32_000 + BUDGETS[effort], 64_000)
    assert lost == []


@pytest.mark.parametrize(
    ("model", "effort", "written", "lost"),
    [
        (NEW, "low", "low", []),
        (NEW, "xhigh", "xhigh", []),
        (NEW, "minimal", "low", ["reasoning_effort"]),
        ("claude-opus-4-6", "xhigh", "high", ["reasoning_effort"]),
        ("claude-opus-4-6", "max", "max", []),
        (NEW, "brand_new", "low", ["reasoning_effort"]),
    ],
)
def test_an_effort_is_the_next_that_an_adaptive_model_has(
    model: str, effort: str, written: str, lost: list[str]
) -> None:
    body, names, _ = write(ask(reasoning=Reasoning(effort=effort)), model)
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": written})
    assert names == lost


@pytest.mark.parametrize(
    ("budget", "effort"), [(1, "low"), (1024, "low"), (4000, "medium"), (10_000, "medium"), (99_999, "max")]
)
def test_a_budget_is_an_effort_for_adaptive_models(budget: int, effort: str) -> None:
    body, lost, _ = write(ask(dialect="gemini", reasoning=Reasoning(budget=budget)), NEW)
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": effort})
    assert lost == ["reasoning_budget"]


@pytest.mark.parametrize(
    ("reasoning", "max_tokens", "budget"),
    [
        (Reasoning(effort="high"), 4000, 3000),
        (Reasoning(effort="high"), 1100, 1024),
        (Reasoning(budget=500), 4000, 1024),
        (Reasoning(budget=2000), 4000, 2000),
        (Reasoning(adaptive=True), 64_000, 8192),
        (Reasoning(adaptive=True, effort="low"), 64_000, 2048),
        (Reasoning(budget=-1), 64_000, 8192),
    ],
)
def test_a_budget_leaves_room_for_the_answer(reasoning: Reasoning, max_tokens: int, budget: int) -> None:
    body, _, _ = write(ask(reasoning=reasoning, max_tokens=max_tokens), MIDDLE)
    assert body["thinking"]["budget_tokens"] == budget
    assert 1024 <= budget < body["max_tokens"] == max_tokens


@pytest.mark.parametrize(
    ("model", "thinking", "config", "lost"),
    [
        ("claude-3-haiku-20240307", None, None, []),
        (OLD, {"type": "disabled"}, None, []),
        (NEW, {"type": "disabled"}, None, []),
        ("claude-sonnet-5-5", {"type": "between_tools"}, None, []),
        (NEWEST, None, {"effort": "low"}, ["reasoning_always"]),
    ],
)
@pytest.mark.parametrize("reasoning", [Reasoning(effort="none"), Reasoning(budget=0)])
def test_not_to_think_is_said_in_the_models_own_word(
    reasoning: Reasoning, model: str, thinking: Any, config: Any, lost: list[str]
) -> None:
    body, names, _ = write(ask(reasoning=reasoning), model)
    assert (body.get("thinking"), body.get("output_config"), names) == (thinking, config, lost)


def test_a_model_that_does_not_think_is_not_asked_to() -> None:
    body, lost, _ = write(ask(reasoning=Reasoning(effort="high")), "claude-3-5-haiku-20241022")
    assert ("thinking" in body, lost) == (False, ["reasoning"])


@pytest.mark.parametrize(
    ("reasoning", "display"),
    [
        (Reasoning(effort="low"), None),
        (Reasoning(effort="low", summary="auto"), "summarized"),
        (Reasoning(effort="low", shown=True), "summarized"),
        (Reasoning(effort="low", shown=False, summary="auto"), "omitted"),
    ],
)
@pytest.mark.parametrize("model", [MIDDLE, NEW])
def test_thoughts_are_shown_to_those_who_want_to_see_them(
    model: str, reasoning: Reasoning, display: str | None
) -> None:
    assert write(ask(reasoning=reasoning), model)[0]["thinking"].get("display") == display


SIGNED = Thinking("", Signature("EqQB", "anthropic", "main"))
FOREIGN = Thinking("Hm", Signature("CiQB", "gemini", "google"))
CALL, RESULT = ToolCall("c", "f"), ToolResult("c", (Text("1"),))


@pytest.mark.parametrize(
    ("messages", "on"),
    [
        ((user("Hi"), assistant("Ho"), user("So?")), True),
        ((user("Hi"), assistant(SIGNED, CALL), user(RESULT)), True),
        ((user("Hi"), assistant(SIGNED, CALL), user(RESULT), user("Go on")), True),
        ((user("Hi"), assistant(RedactedThinking(Signature("E", "anthropic")), CALL), user(RESULT)), True),
        ((user("Hi"), assistant(SIGNED, CALL), user(RESULT), assistant(CALL), user(RESULT)), True),
        ((user("Hi"), assistant(SIGNED), assistant(CALL), user(RESULT)), True),
        ((user("Hi"), assistant(CALL), user(RESULT), assistant("Done"), user("So?")), True),
        ((user("Hi"), assistant(CALL), user(RESULT)), False),
        ((user("Hi"), assistant(CALL), user(RESULT), user("Go on")), False),
        ((user("Hi"), assistant(FOREIGN, CALL), user(RESULT)), False),
        ((user("Hi"), assistant(Thinking("unsigned"), CALL), user(RESULT)), False),
        ((user("Hi"), assistant("Let me see", SIGNED, CALL), user(RESULT)), False),
        ((user("Hi"), assistant(CALL), user(RESULT), assistant(SIGNED, CALL), user(RESULT)), False),
        ((user("Hi"), assistant(CALL), Message("system", (Text("S"),)), user(RESULT)), False),
        ((user("Hi"), assistant("The answer is")), False),
    ],
)
def test_a_budget_is_spent_only_on_turns_that_began_with_signed_thoughts(
    messages: tuple[Message, ...], on: bool
) -> None:
    body, lost, _ = write(ask(*messages, reasoning=Reasoning(effort="low")), MIDDLE)
    assert ("thinking" in body) is on
    assert ("reasoning_off" in lost) is not on


@pytest.mark.parametrize(
    ("thought", "model", "on"),
    [
        (SIGNED, MIDDLE, True),
        (FOREIGN, MIDDLE, False),
        (Thinking("unsigned"), MIDDLE, False),
        (Thinking("unsigned"), "kimi-k2", True),
    ],
)
def test_a_client_of_this_dialect_does_not_stumble_over_thoughts_of_others(
    thought: Thinking, model: str, on: bool
) -> None:
    messages = (user("Hi"), assistant(thought, CALL), user(RESULT))
    body, lost, _ = write(ask(*messages, dialect="anthropic", reasoning=Reasoning(budget=2000)), model)
    assert ("thinking" in body, "reasoning_off" in lost) == (on, not on)


def test_an_adaptive_model_goes_on_without_signed_thoughts() -> None:
    body, lost, _ = write(ask(user("Hi"), assistant(CALL), user(RESULT), reasoning=Reasoning(effort="low")), NEW)
    assert (body["thinking"], lost) == ({"type": "adaptive"}, [])


@pytest.mark.parametrize(
    ("model", "on"),
    [
        (MIDDLE, False),
        ("claude-opus-4-6", False),
        ("us.anthropic.claude-sonnet-4-6", False),
        ("claude-opus-4-7", False),
        (NEW, True),
        ("claude-sonnet-5", True),
        ("claude-fable-5", True),
    ],
)
@pytest.mark.parametrize(
    "forcing",
    [{"tools": (Tool("f"),), "tool_choice": ToolChoice("required")}, {"response_format": ResponseFormat("json")}],
)
def test_a_forced_tool_keeps_older_models_from_thinking(model: str, on: bool, forcing: dict[str, Any]) -> None:
    body, noted, _ = write(ask(**forcing, reasoning=Reasoning(effort="low")), model)
    assert body["tool_choice"]["type"] in ("any", "tool")
    assert ("thinking" in body, noted) == (on, [] if on else ["reasoning_off"])


def test_there_is_no_thinking_in_a_thousand_tokens() -> None:
    body, lost, _ = write(ask(max_tokens=1024, reasoning=Reasoning(effort="low")), MIDDLE)
    assert (body["max_tokens"], "thinking" in body, lost) == (1024, False, ["reasoning_off"])


def test_who_thinks_takes_no_sampling() -> None:
    request = ask(reasoning=Reasoning(effort="low"), sampling=Sampling(temperature=0.2))
    body, lost, _ = write(request, OLD)
    assert ("temperature" in body, lost) == (False, ["temperature"])


@pytest.mark.parametrize(
    ("model", "max_tokens", "written", "lost"),
    [
        (OLD, None, 32_000, []),
        ("claude-3-haiku-20240307", None, 4_096, []),
        ("claude-3-haiku-20240307", 9_000, 4_096, ["max_tokens"]),
        (NEWEST, None, 64_000, []),
        (NEWEST, 100_000, 100_000, []),
        ("deepseek-chat", None, 8_192, []),
        ("deepseek-chat", 999_999, 999_999, []),
        (OLD, 0, 0, []),
    ],
)
def test_the_bound_is_the_clients_or_the_models(
    model: str, max_tokens: int | None, written: int, lost: list[str]
) -> None:
    body, names, _ = write(ask(max_tokens=max_tokens), model)
    assert (body["max_tokens"], names) == (written, lost)
