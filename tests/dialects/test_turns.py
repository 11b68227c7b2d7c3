"""Messages as turns that alternate."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.conversation import Message, Part, Text, ToolCall, ToolResult
from gateway.dialects.turns import alternating, tool_names

A, B, RESULT = Text("a"), Text("b"), ToolResult("c1", (Text("r"),))

PARTS: st.SearchStrategy[Part] = st.sampled_from([A, B, RESULT, ToolResult("c2"), ToolCall("c1", "f")])
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.lists(PARTS, max_size=3).map(tuple)),
    max_size=8,
)


def test_the_name_of_a_tool_is_found_by_its_call() -> None:
    messages = [Message("assistant", (A, ToolCall("c1", "f"), ToolCall("c2", "g"))), Message("user", (RESULT,))]
    assert tool_names(messages) == {"c1": "f", "c2": "g"}


def test_neighbours_become_one_and_results_come_first() -> None:
    messages = [
        Message("user", (A,)),
        Message("user", (B,)),
        Message("assistant", (ToolCall("c1", "f"),)),
        Message("user", (A,)),
        Message("user", (RESULT, B)),
    ]
    assert alternating(messages) == [
        Message("user", (A, B)),
        Message("assistant", (ToolCall("c1", "f"),)),
        Message("user", (RESULT, A, B)),
    ]


@given(MESSAGES)
def test_turns_alternate_and_lose_nothing(messages: list[Message]) -> None:
    turns = alternating(messages)
    assert all(one.role != other.role for one, other in pairwise(turns))
    assert alternating(turns) == turns
    assert {part for turn in turns for part in turn.parts} == {part for each in messages for part in each.parts}
    assert sum(len(turn.parts) for turn in turns) == sum(len(each.parts) for each in messages)
    for turn in turns:
        kinds = [isinstance(part, ToolResult) for part in turn.parts]
        assert kinds == sorted(kinds, reverse=True)
