"""Names of tools for each dialect's providers, and the way back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.conversation import Message, Request, Tool, ToolCall, ToolResult
from gateway.dialects.names import DialectName
from gateway.dialects.toolnames import free_name, rewritten_names
from tests.dialects.pairs import NAMES, PAIRS

DOCUMENTED: dict[str, str] = {
    "openai_chat": r"[a-zA-Z0-9_-]{1,64}",
    "openai_responses": r"[a-zA-Z0-9_-]{1,64}",
    "anthropic": r"[a-zA-Z0-9_-]{1,64}",
    "gemini": r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}",
}
"""What the providers' own pages say."""


def other_than(dialect: DialectName) -> DialectName:
    return next(name for name in NAMES if name != dialect)


def offering(dialect: DialectName, *names: str) -> Request:
    return Request(other_than(dialect), "m", (), tuple(map(Tool, names)))


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize(
    ("names", "rewritten"),
    [
        (("plain", "with-dash", "X_1", "n" * 64), {}),
        (("my tool", "ü"), {"my tool": "my_tool", "ü": "_"}),
        (("", "tool"), {"": "tool_2"}),
        (("n" * 70,), {"n" * 70: "n" * 64}),
        (("n" * 70, "n" * 71, "n" * 64), {"n" * 70: "n" * 62 + "_2", "n" * 71: "n" * 62 + "_3"}),
        (("a b", "a/b", "a_b", "a_b_2"), {"a b": "a_b_3", "a/b": "a_b_4"}),
    ],
)
def test_a_name_that_is_refused_becomes_one_that_is_free(
    dialect: DialectName, names: tuple[str, ...], rewritten: dict[str, str]
) -> None:
    assert rewritten_names(offering(dialect, *names), dialect) == rewritten


@pytest.mark.parametrize(
    ("dialect", "name", "rewritten"),
    [
        ("openai_chat", "a.b:c", "a_b_c"),
        ("openai_responses", "a.b:c", "a_b_c"),
        ("anthropic", "a.b:c", "a_b_c"),
        ("gemini", "a.b:c", "a.b:c"),
        ("openai_chat", "1st", "1st"),
        ("gemini", "1st", "_1st"),
        ("gemini", "-" + "n" * 63, "_-" + "n" * 62),
    ],
)
def test_what_stays_is_the_providers_matter(dialect: DialectName, name: str, rewritten: str) -> None:
    assert rewritten_names(offering(dialect, name), dialect).get(name, name) == rewritten


@pytest.mark.parametrize("dialect", NAMES)
def test_a_client_of_the_same_dialect_is_taken_at_its_word(dialect: DialectName) -> None:
    assert rewritten_names(Request(dialect, "m", (), (Tool("my tool"), Tool("n" * 100))), dialect) == {}


@pytest.mark.parametrize("dialect", NAMES)
def test_tools_that_were_only_called_are_renamed_too(dialect: DialectName) -> None:
    messages = (
        Message("assistant", (ToolCall("c", "gone by"),)),
        Message("user", (ToolResult("c", name="gone by"), ToolResult("d", name="of nobody"))),
    )
    rewritten = rewritten_names(Request(other_than(dialect), "m", messages, (Tool("gone_by"),)), dialect)
    assert rewritten == {"gone by": "gone_by_2", "of nobody": "of_nobody"}


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@given(names=st.lists(st.text(st.sampled_from("ab_.:- /1ü"), max_size=4) | st.text(max_size=70), max_size=8))
def test_all_names_fit_and_every_one_comes_back(client: DialectName, provider: DialectName, names: list[str]) -> None:
    rewritten = rewritten_names(Request(client, "m", (), tuple(map(Tool, names))), provider)
    told = {name: rewritten.get(name, name) for name in names}
    assert all(re.fullmatch(DOCUMENTED[provider], name) for name in told.values())
    assert all(told[name] == name for name in names if re.fullmatch(DOCUMENTED[provider], name))
    back = {theirs: ours for ours, theirs in rewritten.items()}
    assert [back.get(told[name], told[name]) for name in names] == names


class Looked(set[str]):
    """A set that counts how often it is looked into."""

    looks = 0

    def __contains__(self, name: object) -> bool:
        self.looks += 1
        return super().__contains__(name)


def test_a_name_is_taken_without_trying_a_number_twice() -> None:
    known, numbers = Looked(), iter(range(2, 10_000))
    for _ in range(1000):
        known.add(free_name("same", known, numbers))
    assert (len(known), known.looks) == (1000, 1999)
