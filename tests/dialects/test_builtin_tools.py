"""Built-in tools for a provider that has none like them: which offers may be left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.dialects.builtin_tools import is_dispensable
from gateway.dialects.conversation import Message, Opaque, Request, Text, Tool, ToolChoice
from gateway.dialects.losses import Losses
from tests.dialects.pairs import NAMES, write

SEARCH = Opaque("anthropic", {"type": "web_search_20250305", "name": "web_search"})
BESIDE = Request("anthropic", "m", (Message("user", (Text("hi"),)),), (Tool("f"), SEARCH))


@pytest.mark.parametrize(
    ("dialect", "value", "dispensable"),
    [
        ("openai_responses", {"type": "web_search"}, True),
        ("openai_responses", {"type": "web_search_preview_2025_03_11"}, True),
        ("openai_responses", {"type": "tool_search", "execution": "client"}, True),
        ("openai_responses", {"type": "file_search", "vector_store_ids": ["vs_1"]}, False),
        ("openai_responses", {"type": "mcp", "server_label": "s"}, False),
        ("openai_responses", {"type": "local_shell"}, False),
        ("anthropic", {"type": "code_execution_20250825", "name": "code_execution"}, True),
        ("anthropic", {"type": "bash_20250124", "name": "bash"}, False),
        ("gemini", {"googleSearch": {}}, True),
        ("gemini", {"fileSearch": {}}, False),
        ("openai_chat", {"type": "web_search"}, False),
        ("anthropic", {"type": 1}, False),
        ("gemini", {}, False),
    ],
)
def test_tools_that_only_widen_what_a_model_can_do_are_dispensable(
    dialect: Any, value: dict[str, Any], dispensable: bool
) -> None:
    tool = Opaque(dialect, value)
    assert is_dispensable(tool, replace(BESIDE, tools=(Tool("f"), tool))) is dispensable


@pytest.mark.parametrize(
    ("request_", "dispensable"),
    [
        (BESIDE, True),
        (replace(BESIDE, tool_choice=ToolChoice("required")), True),
        (replace(BESIDE, tool_choice=ToolChoice("required", ("f",))), True),
        (replace(BESIDE, tool_choice=ToolChoice("required", ("web_search",))), False),
        (replace(BESIDE, tools=(SEARCH,)), False),
    ],
)
def test_the_only_tool_and_a_forced_one_are_not(request_: Request, dispensable: bool) -> None:
    assert is_dispensable(SEARCH, request_) is dispensable


@pytest.mark.parametrize("provider", [name for name in NAMES if name != "anthropic"])
@pytest.mark.parametrize(("tools", "content"), [((Tool("f"), SEARCH), False), ((SEARCH,), True)])
def test_every_dialect_leaves_out_what_is_dispensable_and_names_it(
    provider: Any, tools: tuple[Tool | Opaque, ...], content: bool
) -> None:
    losses = Losses()
    body = write(provider, replace(BESIDE, tools=tools), losses).body
    assert [(loss.path, loss.content) for loss in losses.entries] == [(f"tools.{len(tools) - 1}", content)]
    assert "web_search" not in str(body)
