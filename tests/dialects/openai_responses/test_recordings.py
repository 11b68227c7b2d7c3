"""Real Responses traffic: every request, answer and stream is read, and says the same when it is written again.

Skipped where the recordings are absent, see `tests/e2e/test_recordings.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from openai.types.responses import Response

from gateway.dialects.continuity import show_signature, unsigned
from gateway.dialects.conversation import Answer, Choice, Message, Request, Text, Thinking, ToolCall
from gateway.dialects.dialect import Plan, Scene, Target
from gateway.dialects.losses import Losses
from gateway.dialects.openai_responses.answer_reader import read_answer
from gateway.dialects.openai_responses.answer_writer import write_answer
from gateway.dialects.openai_responses.errors import read_failure
from gateway.dialects.openai_responses.request_reader import read_request
from gateway.dialects.openai_responses.request_writer import write_request
from gateway.dialects.openai_responses.stream_reader import StreamReader
from gateway.dialects.openai_responses.stream_writer import StreamWriter
from gateway.dialects.whole import Collector
from gateway.wire.sse import EventReader
from tests.e2e.test_recordings import TRAFFIC

pytestmark = pytest.mark.skipif(not TRAFFIC.is_dir(), reason="no recordings here")

PLAN = Plan("main")


@cache
def recordings() -> tuple[dict[str, Any], ...]:
    """All calls that make a response."""
    lines = (line for path in sorted(TRAFFIC.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines())
    records = (json.loads(line) for line in lines if '"endpoint": "responses"' in line)
    return tuple(record for record in records if record["method"] == "POST" and record["path"].endswith("/responses"))


def answers() -> Iterator[tuple[str, dict[str, Any]]]:
    for record in recordings():
        if record["status"] == 200 and not record["stream"]:
            yield record["id"], json.loads(record["response_body"])


def streams() -> Iterator[tuple[str, bytes]]:
    for record in recordings():
        if record["status"] == 200 and record["stream"]:
            yield record["id"], record["response_body"].encode()


def read(body: dict[str, Any]) -> Request:
    return read_request(body, Losses())


def items(body: dict[str, Any]) -> list[dict[str, Any]]:
    given = body.get("input")
    return given if isinstance(given, list) else []


def signed(request: Request) -> Request:
    """Without thoughts that nobody has encrypted, which OpenAI does not take back."""
    messages = (
        Message(message.role, tuple(part for part in message.parts if not _unsigned(part)), message.name)
        for message in request.messages
    )
    return replace(request, messages=tuple(message for message in messages if message.parts))


def _unsigned(part: object) -> bool:
    return isinstance(part, Thinking) and part.signature is None


def test_every_request_is_read_and_reads_the_same_when_it_was_written_again() -> None:
    bodies = [record["request_body"] for record in recordings() if isinstance(record["request_body"], dict)]
    assert len(bodies) > 90
    for body in bodies:
        request = signed(read(body))
        written = write_request(request, Target("main", request.model), Losses()).body
        again = read(written)
        assert again == request
        assert (again.tools, again.extra, again.metadata) == (request.tools, request.extra, request.metadata)
        added = {"tools"} if any(item.get("type") == "additional_tools" for item in items(body)) else set()
        assert written.keys() - body.keys() <= {"include", "instructions", "model", "input"} | added
        assert {name for name, value in body.items() if value} - written.keys() <= {"include"}


def test_every_answer_is_read_and_reads_the_same_when_it_was_written_again() -> None:
    scene = Scene(read({"model": "m", "input": ""}), "alias", "main", 1700000000, "ab12")
    count = 0
    for name, body in answers():
        count += 1
        answer = read_answer(body, PLAN)
        written = write_answer(answer, scene, Losses())
        Response.model_validate(written)
        assert unmarked(read_answer(written, PLAN)) == unmarked(answer), name
        assert said(answer.choices[0]) == raw(body), name
        assert answer.usage is not None, name
        assert answer.usage.input == body["usage"]["input_tokens"], name
        assert answer.usage.output == body["usage"]["output_tokens"], name
    assert count > 40


def unmarked(answer: Answer) -> list[Choice]:
    """The choices; thoughts that nobody signed are written with a seal that says so."""
    seal = show_signature(unsigned("main"), "openai_responses", "main")
    return [
        replace(
            choice,
            parts=tuple(
                replace(part, signature=None)
                if isinstance(part, Thinking) and part.signature is not None and part.signature.data == seal
                else part
                for part in choice.parts
            ),
        )
        for choice in answer.choices
    ]


def said(choice: Choice) -> tuple[str, list[tuple[str, str]]]:
    """The text of an answer, and its calls."""
    text = "".join(part.text for part in choice.parts if isinstance(part, Text))
    return text, [(part.name, part.arguments) for part in choice.parts if isinstance(part, ToolCall)]


def raw(body: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    messages = [item for item in body["output"] if item["type"] == "message"]
    texts = [part["text"] for item in messages for part in item["content"] if part["type"] == "output_text"]
    calls = [item for item in body["output"] if item["type"] in ("function_call", "custom_tool_call")]
    return "".join(texts), [(item["name"], item.get("arguments") or item["input"]) for item in calls]


def collect(data: bytes, cut: int) -> Collector:
    events, reader, collector = EventReader(), StreamReader(PLAN), Collector()
    for start in range(0, len(data), cut):
        for event in events.feed(data[start : start + cut]):
            collector.feed(reader.feed(event))
    collector.feed(reader.end())
    return collector


def test_every_stream_is_read_the_same_however_it_is_cut() -> None:
    count = 0
    for name, data in streams():
        count += 1
        outcomes = [(each.answer, each.failure) for each in (collect(data, cut) for cut in (1, 7, 4096))]
        assert outcomes[0] == outcomes[1] == outcomes[2], name
        answer, failure = outcomes[0]
        last = [json.loads(event.data) for event in EventReader().feed(data) if event.data != "[DONE]"][-1]
        if failure is not None:
            assert last["type"] == "response.failed", name
            continue
        assert answer.usage is not None, name
        assert answer.usage.output == last["response"]["usage"]["output_tokens"], name
        if last["response"]["output"]:
            whole = read_answer(last["response"], PLAN)
            assert unsealed(answer) == unsealed(whole), name
    assert count > 35


def unsealed(answer: Answer) -> tuple[object, ...]:
    """What a stream's deltas and its last event have in common: what is encrypted is so anew each time, and log
    probabilities are the last event's alone with some."""
    (choice,) = answer.choices
    parts = [replace(part, signature=None) if isinstance(part, Thinking) else part for part in choice.parts]
    return answer.id, answer.model, parts, choice.ending


def test_every_stream_reads_the_same_when_it_was_written_again() -> None:
    scene = Scene(read({"model": "m", "input": ""}), "alias", "main", 1700000000, "ab12")
    for name, data in streams():
        events, reader, writer, first = EventReader(), StreamReader(PLAN), StreamWriter(scene, Losses()), Collector()
        written = b""
        for event in events.feed(data):
            deltas = reader.feed(event)
            first.feed(deltas)
            written += writer.write(deltas)
        again = collect(written, 4096)
        assert unmarked(again.answer) == unmarked(first.answer), name
        assert again.answer.usage is None or again.answer.usage.output == first.answer.usage.output, name  # type: ignore[union-attr]
        assert (again.failure is None) == (first.failure is None), name


def test_every_error_is_read() -> None:
    errors = [record for record in recordings() if record["status"] != 200]
    assert len(errors) > 10
    for record in errors:
        failure = read_failure(record["status"], json.loads(record["response_body"]))
        assert failure.status == record["status"]
        assert failure.message in record["response_body"]
