"""Which ends are good ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conductor.endings import StreamEnd, ended_well


def chat(*reasons: str | None) -> dict[str, Any]:
    return {"choices": [{"message": {"content": "hi"}, "finish_reason": reason} for reason in reasons]}


def response(status: str, reason: str | None = None) -> dict[str, Any]:
    details = None if reason is None else {"reason": reason}
    return {"object": "response", "status": status, "incomplete_details": details, "error": None, "output": []}


def generated(*reasons: str | None) -> dict[str, Any]:
    return {"candidates": [{"content": {}, **({"finishReason": reason} if reason else {})} for reason in reasons]}


GOOD: list[tuple[str, Any]] = [
    *(("chat", chat(reason)) for reason in ("stop", "length", "tool_calls", "function_call")),
    ("chat", chat("stop", "length")),
    ("completions", chat("stop")),
    ("responses", response("completed")),
    ("responses", response("incomplete", "max_output_tokens")),
    *(("messages", {"stop_reason": reason}) for reason in ("end_turn", "max_tokens", "stop_sequence", "tool_use")),
    ("generate", generated("STOP")),
    ("generate", generated("MAX_TOKENS", "STOP")),
    ("generate", [generated(None), generated(None), generated("STOP")]),
    ("embeddings", {"data": []}),
    ("embed", {"embedding": {}}),
    ("embed", {"embeddings": []}),
]

BAD: list[tuple[str, Any]] = [
    ("chat", chat("content_filter")),
    ("chat", chat("stop", "content_filter")),
    ("chat", chat("stop", None)),
    ("chat", chat("error")),
    ("chat", chat()),
    ("chat", {}),
    ("chat", {"choices": "none"}),
    ("chat", {"choices": ["x"]}),
    ("chat", {**chat("stop"), "error": {"message": "no"}}),
    ("chat", []),
    ("chat", "text"),
    ("responses", response("failed")),
    ("responses", response("in_progress")),
    ("responses", response("incomplete", "content_filter")),
    ("responses", {"status": "completed"}),
    ("messages", {"stop_reason": None}),
    ("messages", {"stop_reason": "refusal"}),
    ("messages", {"stop_reason": "pause_turn"}),
    ("messages", {"stop_reason": ["end_turn"]}),
    ("generate", generated("SAFETY")),
    ("generate", generated("STOP", "RECITATION")),
    ("generate", generated(None)),
    ("generate", {"promptFeedback": {"blockReason": "SAFETY"}}),
    ("generate", [generated(None), generated("SAFETY")]),
    ("generate", [generated("STOP"), {"promptFeedback": {"blockReason": "OTHER"}}]),
    ("generate", []),
    ("embeddings", {"object": "list"}),
    ("embed", []),
]


@pytest.mark.parametrize(("shape", "said"), GOOD)
def test_a_whole_answer_that_ended_well(shape: str, said: object) -> None:
    assert ended_well(shape, json.dumps(said).encode())


@pytest.mark.parametrize(("shape", "said"), BAD)
def test_a_whole_answer_that_did_not(shape: str, said: object) -> None:
    assert not ended_well(shape, json.dumps(said).encode())


def test_what_is_no_json_has_no_good_end() -> None:
    assert not ended_well("chat", b'{"choices":[{"finish_reason":"stop"}]')


def events(*payloads: dict[str, Any] | str) -> list[bytes]:
    lines = []
    for payload in payloads:
        name = f"event: {payload['type']}\n" if isinstance(payload, dict) and "type" in payload else ""
        data = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"))
        lines.append(f"{name}data: {data}\n\n".encode())
    return lines


WORD = {"choices": [{"delta": {"content": 'say [DONE], "finish_reason":"stop"'}, "finish_reason": None}]}
STOP = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 1}}
CREATED = {"type": "response.created", "response": response("in_progress")}
PIECE = {"type": "content_block_delta", "delta": {"text": "x"}}
ENDED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
STOPPED = {"type": "message_stop"}

GOOD_STREAMS: list[tuple[str, list[bytes]]] = [
    ("chat", events(WORD, STOP, USAGE, "[DONE]")),
    ("chat", events(WORD, STOP, STOP, " [DONE] ")),
    ("completions", events(STOP, "[DONE]")),
    ("responses", events(CREATED, {"type": "response.completed", "response": response("completed")})),
    (
        "responses",
        events(CREATED, {"type": "response.incomplete", "response": response("incomplete", "max_output_tokens")}),
    ),
    ("messages", events({"type": "message_start", "message": {"stop_reason": None}}, PIECE, ENDED, STOPPED)),
    ("generate", events(generated(None), generated("STOP"))),
]

BAD_STREAMS: list[tuple[str, list[bytes]]] = [
    ("chat", events(WORD, "[DONE]")),
    ("chat", events(WORD, STOP)),
    ("chat", events(WORD, STOP, {"error": {"message": "x"}}, "[DONE]")),
    ("chat", events({"choices": [{"finish_reason": "content_filter"}]}, "[DONE]")),
    ("chat", []),
    ("responses", events(CREATED)),
    ("responses", events(CREATED, {"type": "response.failed", "response": response("failed")})),
    (
        "responses",
        events(CREATED, {"type": "response.incomplete", "response": response("incomplete", "content_filter")}),
    ),
    (
        "responses",
        events({"type": "error", "code": "x"}, {"type": "response.completed", "response": response("completed")}),
    ),
    ("messages", events(PIECE, STOPPED)),
    ("messages", events(PIECE, ENDED)),
    ("messages", events(PIECE, {"type": "message_delta", "delta": {"stop_reason": "refusal"}}, STOPPED)),
    ("messages", events(PIECE, ENDED, {"type": "error", "error": {"type": "overloaded_error"}}, STOPPED)),
    ("generate", events(generated(None))),
    ("generate", events(generated("STOP"), generated("SAFETY"))),
    ("generate", events({"promptFeedback": {"blockReason": "SAFETY"}})),
    ("generate", events("[DONE]")),
    ("embeddings", events(STOP, "[DONE]")),
]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("shape", "stream"), GOOD_STREAMS)
def test_a_stream_that_ended_well(shape: str, stream: list[bytes], together: bool) -> None:
    assert fed(shape, [b"".join(stream)] if together else stream).is_good


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("shape", "stream"), BAD_STREAMS)
def test_a_stream_that_did_not(shape: str, stream: list[bytes], together: bool) -> None:
    assert not fed(shape, [b"".join(stream)] if together else stream).is_good


FIELDS = (
    "type", "error", "choices", "finish_reason", "stop_reason", "delta", "response", "status", "object",
    "incomplete_details", "reason", "candidates", "finishReason", "promptFeedback", "blockReason",
)  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["stop", "error", "response.completed", "completed"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(sorted({shape for shape, _ in GOOD})))
def test_no_json_can_break_the_readers(said: object, shape: str) -> None:
    data = json.dumps(said).encode()
    ended_well(shape, data)
    fed(shape, [b"event: error\ndata: " + data + b'\n\ndata: "message_stop"[DONE]"error"Reason":"response.failed"\n\n'])


@given(st.binary(max_size=100), st.sampled_from(sorted({shape for shape, _ in GOOD})))
def test_no_bytes_can_break_the_readers(data: bytes, shape: str) -> None:
    ended_well(shape, data)
    fed(shape, [b'"error"[DONE]Reason":' + data])


def test_the_last_event_needs_no_blank_line() -> None:
    stream = events(WORD, STOP, "[DONE]")
    assert fed("chat", [*stream[:2], b"data: [DONE]"]).is_good


def fed(shape: str, pieces: list[bytes]) -> StreamEnd:
    end = StreamEnd(shape)
    for piece in pieces:
        end.feed(piece)
    return end
