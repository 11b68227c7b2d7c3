"""Answers with status 200 that a provider's filter took, in each shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.filtered import ENDS, FILTERED, is_filtered

MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "No"}]}
THOUGHT = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}


def choices(*reasons: str | None) -> dict[str, Any]:
    return {"choices": [{"index": n, "finish_reason": reason} for n, reason in enumerate(reasons)]}


def incomplete(reason: str, *output: object) -> dict[str, Any]:
    return {"object": "response", "incomplete_details": {"reason": reason}, "output": list(output)}


TAKEN = [
    ("chat", choices("content_filter")),
    ("chat", choices("content_filter", "content_filter")),
    ("completions", choices("content_filter")),
    ("responses", incomplete("content_filter")),
    ("responses", incomplete("content_filter", THOUGHT)),
    ("responses", {"type": "response.incomplete", "response": incomplete("content_filter")}),
    ("messages", {"type": "message", "content": [], "stop_reason": "refusal"}),
    ("messages", {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {}}),
    ("generate", {"promptFeedback": {"blockReason": "SAFETY"}}),
    ("generate", {"promptFeedback": {"blockReason": "OTHER"}, "candidates": []}),
    *[("generate", {"candidates": [{"finishReason": reason}]}) for reason in sorted(FILTERED)],
]
GIVEN = [
    ("chat", choices("stop")),
    ("chat", choices("length")),
    ("chat", choices(None)),
    ("chat", choices("content_filter", "stop")),
    ("chat", choices()),
    ("chat", {"choices": None}),
    ("chat", {"choices": ["content_filter"]}),
    ("responses", incomplete("max_output_tokens")),
    ("responses", incomplete("content_filter", MESSAGE)),
    ("responses", {"type": "response.incomplete", "response": incomplete("content_filter", THOUGHT, MESSAGE)}),
    ("responses", {"incomplete_details": None, "output": []}),
    ("messages", {"type": "message", "content": [], "stop_reason": "end_turn"}),
    ("messages", {"type": "message_delta", "delta": {"stop_reason": None}}),
    ("messages", {"type": "message_delta", "delta": {}}),
    ("generate", {"promptFeedback": {"safetyRatings": []}, "candidates": [{"finishReason": "STOP"}]}),
    ("generate", {"candidates": [{"finishReason": "MAX_TOKENS"}]}),
    ("generate", {"candidates": [{"finishReason": "SAFETY"}, {"finishReason": "STOP"}]}),
    ("generate", {"candidates": [{}]}),
    ("generate", {"candidates": [{"finishReason": ["SAFETY"]}]}),
    ("generate", {"candidates": [{"finishReason": {}}]}),
    ("generate", {"candidates": []}),
    ("embeddings", choices("content_filter")),
    ("raw", choices("content_filter")),
]


@pytest.mark.parametrize(("shape", "payload"), TAKEN)
def test_what_a_filter_ended_is_known(shape: str, payload: object) -> None:
    assert is_filtered(shape, payload)


@pytest.mark.parametrize(("shape", "payload"), GIVEN)
def test_what_ended_otherwise_is_an_answer(shape: str, payload: object) -> None:
    assert not is_filtered(shape, payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "finish_reason", "delta", "stop_reason", "response", "incomplete_details", "reason", "output",
             "type", "promptFeedback", "blockReason", "candidates", "finishReason"]
        ),
        inside,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.sampled_from([*ENDS, "other"]), JSON)
def test_no_json_is_too_strange(shape: str, payload: object) -> None:
    assert is_filtered(shape, payload) in (True, False)
