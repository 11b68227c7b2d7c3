"""Streams that pass in their own dialect: which ones count as whole, and what is left of an error in their middle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.room import LARGE
from gateway.upstream.exchange import HOLD_LIMIT
from tests.api.harness import Got, configuration, gateway
from tests.conftest import run
from tests.fakes.answers import event
from tests.fakes.behaviours import Answer, Behaviour, SlowBytes, Stream
from tests.fakes.provider import FakeProvider

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
CONTENTS: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
GENERATE = "/v1beta/models/m:streamGenerateContent"

SURFACES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("openai", "/v1/chat/completions", CHAT),
    "completions": ("openai", "/v1/completions", {"model": "m", "prompt": "hi", "stream": True}),
    "responses": ("openai", "/v1/responses", {"model": "m", "input": "hi", "stream": True}),
    "messages": ("anthropic", "/v1/messages", {**CHAT, "max_tokens": 5}),
    "generate": ("gemini", f"{GENERATE}?alt=sse", CONTENTS),
    "array": ("gemini", GENERATE, CONTENTS),
    "choices": ("openai", "/v1/chat/completions", {**CHAT, "n": 2}),
    "candidates": ("gemini", f"{GENERATE}?alt=sse", {**CONTENTS, "generationConfig": {"candidateCount": 2}}),
}
"""Type of provider, path, body."""

BEGUN: dict[str, tuple[dict[str, Any], ...]] = {
    "chat": (
        {"choices": [{"delta": {"content": 'no "finish_reason":"stop"'}, "finish_reason": None}]},
        {"choices": [{"delta": {"annotations": [{"finish_reason": "stop"}]}, "finish_reason": None}]},
    ),
    "completions": ({"choices": [{"text": "data: [DONE]", "finish_reason": None}]},),
    "responses": (
        {"type": "response.created", "response": {"id": "resp_1", "error": None, "tools": [
            {"parameters": {"properties": {"a": {"default": {"type": "response.completed"}}}}}]}},
        {"type": "response.output_text.delta", "delta": '"type":"response.completed"'},
    ),
    "messages": (
        {"type": "message_start", "message": {"content": []}},
        {"type": "content_block_start", "content_block": {"type": "tool_use", "input": {"type": "message_stop"}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": '"type":"message_stop"'}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    ),
    "generate": (
        {"candidates": [{"content": {"parts": [{"text": '"finishReason":"STOP"'}]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"args": {"finishReason": "STOP"}}}]}}]},
    ),
    "choices": (
        {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]},
    ),
    "candidates": (
        {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [{"text": "b"}]}, "index": 1}]},
    ),
}  # fmt: skip
"""Answers that are not at their end, whatever their text says, or what they repeat."""

FINISH = {"choices": [{"delta": {}, "text": "", "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"total_tokens": 3}}
ERROR = {"error": {"message": "it broke", "type": "server_error"}}

ENDS: list[tuple[str, tuple[dict[str, Any] | str | bytes, ...]]] = [
    ("chat", ("[DONE]",)),
    ("chat", (FINISH,)),
    ("chat", (FINISH, USAGE, b": that was it\n\n")),
    ("chat", (b'data: {"choices": [{"finish_reason" : "eos"}]}\n\n', "[DONE]")),
    ("chat", (b'data: {"choices": [{"finish_reason" : "eos"}]}',)),
    ("chat", (b"data: [DONE]",)),
    ("completions", (FINISH,)),
    ("responses", ({"type": "response.completed", "response": {}},)),
    ("responses", ({"type": "response.incomplete", "response": {}},)),
    ("responses", ({"type": "response.failed", "response": {"error": {"code": "x"}}},)),
    ("responses", ("[DONE]",)),
    ("messages", ({"type": "message_stop"},)),
    ("generate", ({"candidates": [{"finishReason": "STOP"}]},)),
    ("generate", ({"candidates": [{"finishReason": 1}]}, {"usageMetadata": {"totalTokenCount": 3}})),
    ("choices", ({"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}, USAGE)),
    ("choices", ("[DONE]",)),
    ("candidates", ({"candidates": [{"finishReason": "STOP", "index": 1}]}, {"usageMetadata": {"totalTokenCount": 3}})),
    ("candidates", (b'data: {"candidates": [{"finishReason": "STOP", "index": 1}]}',)),
]

ERRORS: list[tuple[str, dict[str, Any]]] = [
    ("chat", ERROR),
    ("responses", {"type": "error", "message": "it broke"}),
    ("messages", {"type": "error", "error": {"type": "overloaded_error", "message": "it broke"}}),
    ("generate", {"error": {"code": 500, "message": "it broke"}}),
]


async def ask(
    folder: Path, surface: str, behaviour: Behaviour, key: str = "sk-key-00000001", room: int = 1 << 30
) -> tuple[Got, Any]:
    """What the client gets, and the gateway's line about it. `room` in bytes is for what is large."""
    kind, path, body = SURFACES[surface]
    async with FakeProvider() as fake:
        config = configuration(fake.base_url, provider='models = ["m"]').replace('"openai"', f'"{kind}"')
        async with gateway(folder, config, [key]) as running:
            fake.script(key, behaviour)
            running.room.limit = room
            got = await running.ask("POST", path, body)
            line = await running.logged()
            return got, line


def code_in(event: dict[str, Any]) -> object:
    """The stable word of the gateway in an error event of any surface."""
    error = event.get("error") or event["response"]["error"]
    details = error.get("details")
    if isinstance(details, list):
        return details[0]["reason"].lower()
    return details["error_code"] if details else error["code"]


@pytest.mark.parametrize("cut", [1, 50, 4096])
@pytest.mark.parametrize(("surface", "ends"), ENDS)
def test_a_stream_that_came_to_its_end_is_whole(tmp_path: Path, surface: str, ends: tuple[Any, ...], cut: int) -> None:
    got, line = run(ask(tmp_path, surface, SlowBytes(cut, 0, Stream((*BEGUN[surface], *ends)))))
    assert (got.status, got.complete, line["outcome"]) == (200, True, "ok")
    assert b"incomplete" not in got.body.lower().replace(b"response.incomplete", b"")


@pytest.mark.parametrize("cut", [1, 50, 4096])
@pytest.mark.parametrize(("surface", "error"), ERRORS)
def test_a_stream_that_ends_with_an_error_passes_whole_and_counts_as_one(
    tmp_path: Path, surface: str, error: dict[str, Any], cut: int
) -> None:
    got, line = run(ask(tmp_path, surface, SlowBytes(cut, 0, Stream((*BEGUN[surface], error)))))
    assert (got.status, got.complete, line["outcome"], line["error"]) == (200, True, "error", "stream_failed")
    assert got.body.endswith(event(error))


@pytest.mark.parametrize("cut", [1, 50, 4096])
@pytest.mark.parametrize("surface", BEGUN)
@pytest.mark.parametrize("half", [b"", b'data: {"half'])
def test_a_stream_that_ends_before_its_answer_is_broken(tmp_path: Path, surface: str, half: bytes, cut: int) -> None:
    got, line = run(ask(tmp_path, surface, SlowBytes(cut, 0, Stream((*BEGUN[surface], half)))))
    assert (got.status, got.complete) == (200, False)
    assert (line["status"], line["outcome"], line["error"]) == (200, "error", "stream_incomplete")
    assert b"half" not in got.body
    assert b"ended before the answer did" in got.body
    assert code_in(json.loads(got.body.decode().strip().rpartition("data: ")[2])) == "stream_incomplete"


LONG_EVENT = 8 * LARGE
"""Some pieces, however they are read."""

LONG: dict[str, dict[str, Any]] = {
    "chat": {**FINISH, "x": "long" * LONG_EVENT},
    "responses": {"type": "response.completed", "response": {"output": "long" * LONG_EVENT}},
    "generate": {"candidates": [{"content": {"parts": [{"text": "long" * LONG_EVENT}]}, "finishReason": "STOP"}]},
    "candidates": {"candidates": [{"finishReason": "STOP", "index": 1}], "x": "long" * LONG_EVENT},
}


@pytest.mark.parametrize("blank", [b"\n\n", b"\n", b""])
@pytest.mark.parametrize("surface", LONG)
def test_a_stream_whose_last_event_comes_in_pieces_is_whole(tmp_path: Path, surface: str, blank: bytes) -> None:
    end = event(LONG[surface]).rstrip() + blank
    stream = Stream((*BEGUN[surface], end))
    got, line = run(ask(tmp_path, surface, stream, room=0))
    assert (got.complete, line["outcome"], line.get("error")) == (True, "ok", None)
    assert got.body.endswith(end)


@pytest.mark.parametrize("surface", ["chat", "responses", "generate"])
def test_a_stream_whose_last_event_comes_in_pieces_but_not_all_of_them_is_broken(tmp_path: Path, surface: str) -> None:
    stream = Stream((*BEGUN[surface], event(LONG[surface]).rstrip()[:-10]))
    got, line = run(ask(tmp_path, surface, stream, room=0))
    assert (got.complete, line["outcome"], line.get("error")) == (False, "error", "stream_incomplete")


def test_an_event_in_pieces_is_not_the_end_of_those_behind_it(tmp_path: Path) -> None:
    begun = {"candidates": [{"content": {"parts": [{"text": "long" * LONG_EVENT}]}}]}
    stream = Stream((begun, *BEGUN["generate"]))
    got, line = run(ask(tmp_path, "generate", stream, room=0))
    assert (got.complete, line.get("error")) == (False, "stream_incomplete")


@pytest.mark.parametrize(
    ("surface", "end"),
    [
        ("responses", {"type": "response.completed", "response": {"status": "completed"}}),
        ("messages", {"type": "message_stop"}),
        ("chat", {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        ("generate", {"candidates": [{"finishReason": "STOP"}]}),
    ],
)
def test_half_an_end_is_none_whatever_its_name(tmp_path: Path, surface: str, end: dict[str, Any]) -> None:
    got, line = run(ask(tmp_path, surface, Stream((*BEGUN[surface], event(end).rstrip()[:-1]))))
    assert (got.complete, line.get("error")) == (False, "stream_incomplete")


@pytest.mark.parametrize("surface", BEGUN)
def test_a_stream_that_is_half_an_event_is_broken(tmp_path: Path, surface: str) -> None:
    long = event(BEGUN[surface][0]).rstrip()[:-1] + b', "x": "' + b"half" * HOLD_LIMIT
    got, line = run(ask(tmp_path, surface, Stream((long,))))
    assert (got.status, got.complete, line["error"]) == (200, False, "stream_incomplete")
    assert b"half" not in got.body


@pytest.mark.parametrize(
    ("end", "whole"),
    [
        (b'data: {"value": "en', False),
        (b'data: {"value": "end"}', True),
        (b"data: [DONE]\n", True),
        (b"data: en", True),
    ],
)
def test_a_stream_of_another_dialect_is_broken_where_it_ends_within_an_event(
    tmp_path: Path, end: bytes, whole: bool
) -> None:
    got, line = run(ask(tmp_path, "completions", Stream(({"value": " find"}, end))))
    assert (got.complete, line.get("error")) == ((True, None) if whole else (False, "stream_incomplete"))


def test_a_stream_of_another_dialect_has_no_end_that_is_known(tmp_path: Path) -> None:
    got, line = run(ask(tmp_path, "completions", Stream(({"value": " find"}, {"value": " out"}))))
    assert (got.complete, line["outcome"]) == (True, "ok")


@pytest.mark.parametrize(("end", "whole"), [(b"]", True), (b"\n]\n", True), (b"", False), (b",\r\n", False)])
def test_an_array_is_whole_when_it_is_closed(tmp_path: Path, end: bytes, whole: bool) -> None:
    body = b"[" + json.dumps({"candidates": [{"finishReason": "STOP"}]}).encode() + end
    got, line = run(ask(tmp_path, "array", Stream((body,), headers={"content-type": "application/json"})))
    assert (got.complete, got.body) == (whole, body)
    assert (line["outcome"], line.get("error")) == (("ok", None) if whole else ("error", "stream_incomplete"))


@pytest.mark.parametrize("key", ["sk-long-0000000000001", "qwert"])
@pytest.mark.parametrize("surface", BEGUN)
def test_an_error_in_the_middle_does_not_repeat_the_key(tmp_path: Path, surface: str, key: str) -> None:
    error = {"type": "error", "error": {"message": f"Not with {key}.", "code": "x"}}
    got, _ = run(ask(tmp_path, surface, Stream((*BEGUN[surface], error)), key))
    assert key.encode() not in got.body
    assert (b"left out" in got.body) == (key == "qwert")
    assert (b"Not with" in got.body) == (key != "qwert")


@pytest.mark.parametrize("cut", [7, 4096])
def test_an_error_in_the_middle_of_an_array_does_not_repeat_the_key(tmp_path: Path, cut: int) -> None:
    key = "sk-long-0000000000001"
    said = [{"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}, {"error": {"message": f"Not with {key}."}}]
    behaviour = SlowBytes(cut, 0, Stream((json.dumps(said).encode(),), headers={"content-type": "application/json"}))
    got, _ = run(ask(tmp_path, "array", behaviour, key))
    assert key.encode() not in got.body
    assert [*json.loads(got.body)[0]] == ["candidates"]
    assert "Not with" in json.loads(got.body)[1]["error"]["message"]


def test_a_word_that_is_a_key_stays_in_what_is_no_error(tmp_path: Path) -> None:
    words = {"choices": [{"delta": {"content": "an error of qwert"}, "finish_reason": "stop"}]}
    said = {"error": {"message": "Not with qwert.", "code": "x"}}
    got, _ = run(ask(tmp_path, "chat", Stream((words, said)), "qwert"))
    assert b"an error of qwert" in got.body and b"Not with" not in got.body


def test_an_answer_without_a_stream_has_no_such_end(tmp_path: Path) -> None:
    body = {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]}
    got, line = run(ask(tmp_path, "array", Answer(200, body)))
    assert (got.complete, line["outcome"]) == (True, "ok")
