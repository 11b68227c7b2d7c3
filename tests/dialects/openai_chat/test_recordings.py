"""Real requests and answers of Chat Completions, recorded from providers, through the readers and back.

The recordings are not part of the project. Where their folder is absent (`../shared/traffic`, or what
`LLMGATEWAY_TRAFFIC` names), these tests are skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects.conversation import Message, Part, Request, Text, Thinking, ToolCall, ToolResult
from gateway.dialects.dialect import Plan, Scene, Target
from gateway.dialects.losses import Losses
from gateway.dialects.openai_chat import quirks
from gateway.dialects.openai_chat.answer_reader import read_answer
from gateway.dialects.openai_chat.answer_writer import write_answer
from gateway.dialects.openai_chat.events import classify_event
from gateway.dialects.openai_chat.request_reader import read_request
from gateway.dialects.openai_chat.request_writer import write_request
from gateway.dialects.openai_chat.stream_writer import StreamWriter
from gateway.errors import RequestError
from gateway.wire.sse import EventReader
from tests.dialects.openai_chat.streams import add_up, read

ROOT = Path(__file__).parent.parent.parent.parent
TRAFFIC = Path(os.environ.get("LLMGATEWAY_TRAFFIC", ROOT.parent / "shared" / "traffic"))

EVERYTHING = frozenset({
    quirks.TOP_K, quirks.CACHE_CONTROL, quirks.MESSAGE_IMAGES, quirks.DOCUMENT_URL,
    quirks.REASONING_BACK, quirks.REASONING_OBJECT,
})  # fmt: skip
SCENE = Scene(Request("openai_chat", "alias", (), stream=True), "alias", "", 7, "abc")

pytestmark = pytest.mark.skipif(not TRAFFIC.is_dir(), reason="no recordings here")


@cache
def recordings() -> list[dict[str, Any]]:
    lines = (line for path in sorted(TRAFFIC.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines())
    return [record for record in map(json.loads, lines) if record["endpoint"] == "chat"]


def answers() -> Iterator[tuple[str, bytes]]:
    for record in recordings():
        if record["status"] == 200 and record.get("response_body"):
            yield record["id"], record["response_body"].encode("utf-8", "surrogatepass")


def is_stream(body: bytes) -> bool:
    return body.lstrip().startswith((b"data:", b":", b"event:", b"id:"))


def test_every_request_that_a_provider_took_is_read_and_comes_back_the_same() -> None:
    count = 0
    for record in recordings():
        body, losses = record["request_body"], Losses()
        if not isinstance(body, dict) or "messages" not in body:
            continue
        try:
            request = read_request(body, losses)
        except RequestError:
            assert record["status"] >= 400, record["id"]
            continue
        count += 1
        written = write_request(request, Target("", "unknown", EVERYTHING), losses).body
        again = read_request(written, losses)
        request = replace(request, messages=tuple(map(without_names_of_tools, request.messages)))
        assert not any(loss.content for loss in losses.entries), record["id"]
        expected = replace(request, model="unknown", stream_usage=request.stream_usage or request.stream)
        if request.tools == ():
            expected = replace(expected, parallel_tool_calls=None, tool_choice=None)
        for name in Request.__dataclass_fields__:
            assert getattr(again, name) == getattr(expected, name), (record["id"], name)
    assert count > 600


def test_every_answer_is_read_and_comes_back_the_same() -> None:
    count = 0
    for name, body in answers():
        answer = None if is_stream(body) else json.loads(body)
        if not isinstance(answer, dict) or "choices" not in answer:
            continue
        count += 1
        read_once = read_answer(answer, Plan())
        read_twice = read_answer(write_answer(read_once, SCENE, Losses()), Plan())
        assert read_twice.usage == read_once.usage, name
        for first, second, source in zip(read_once.choices, read_twice.choices, answer["choices"], strict=True):
            assert first.parts == second.parts, name
            assert first.ending.finish == second.ending.finish, name
            message = source["message"]
            if isinstance(message.get("content"), str):
                assert text_of(first.parts) == message["content"], name
            assert len(calls_of(first.parts)) == len(message.get("tool_calls") or []), name
    assert count > 300


def without_names_of_tools(message: Message) -> Message:
    """Results have an id alone; some clients add the name."""
    unnamed = (replace(part, name="") if isinstance(part, ToolResult) else part for part in message.parts)
    return replace(message, parts=tuple(unnamed))


def text_of(parts: tuple[Part, ...] | list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def calls_of(parts: tuple[Part, ...] | list[Part]) -> list[ToolCall]:
    return [part for part in parts if isinstance(part, ToolCall)]


@pytest.mark.parametrize("cut", [1, 7, 4096])
def test_every_stream_says_what_its_chunks_say_however_it_is_cut(cut: int) -> None:
    count = 0
    for name, body in answers():
        if not is_stream(body) or (cut < 4096 and len(body) > 100_000):
            continue
        count += 1
        whole = add_up(read(body, Plan(), cut))
        failed, text, thoughts, arguments = chunks_of(body)
        assert (whole.failure is not None) == failed, name
        for number, parts in whole.parts.items():
            assert text_of(parts) == text.get(number, ""), name
            thought = "".join(part.text for part in parts if isinstance(part, Thinking))
            assert thought == thoughts.get(number, ""), name
            found = "".join(call.arguments for call in calls_of(parts) if call.arguments != "{}")
            assert found == arguments.get(number, "").replace("{}", ""), name
        again = add_up(read(StreamWriter(SCENE, Losses()).write(read(body, Plan(), 4096)), Plan()))
        assert again.parts == whole.parts, name
        assert again.usage == whole.usage, name
    assert count > 200


def chunks_of(body: bytes) -> tuple[bool, dict[int, str], dict[int, str], dict[int, str]]:
    """Whether it failed; text, thoughts and arguments of each choice, put together without the reader."""
    text, thoughts, arguments = dict[int, str](), dict[int, str](), dict[int, str]()
    failed = False
    for event in EventReader(1 << 26).feed(body + b"\n\n"):
        failed = failed or classify_event(event) == "error"
        for choice in json.loads(event.data).get("choices") or [] if event.data.strip() != "[DONE]" else ():
            number, delta = choice["index"], choice.get("delta") or {}
            content = delta.get("content")
            for part in content if isinstance(content, list) else [{"text": content}]:
                text[number] = text.get(number, "") + (part.get("text") or "")
                thought = "".join(piece["text"] for piece in part.get("thinking") or [])
                thoughts[number] = thoughts.get(number, "") + thought
            thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
            thoughts[number] = thoughts.get(number, "") + thought
            for call in delta.get("tool_calls") or []:
                said = (call.get("function") or {}).get("arguments") or ""
                arguments[number] = arguments.get(number, "") + said
    return failed, text, thoughts, arguments
