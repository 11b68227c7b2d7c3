"""Recordings of Google's own servers, and of what clients sent them.

The recordings are not part of the project; where they are absent these tests are skipped. See
tests/e2e/test_recordings.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects.conversation import Answer, Finish, Request, Text, Tool, ToolCall
from gateway.dialects.dialect import Plan, Target
from gateway.dialects.failure import FailureKind
from gateway.dialects.gemini.answer_reader import read_answer
from gateway.dialects.gemini.answer_writer import write_answer
from gateway.dialects.gemini.embeddings import write_openai_answer, write_openai_request
from gateway.dialects.gemini.errors import empty_answer, read_failure
from gateway.dialects.gemini.request_reader import read_request
from gateway.dialects.gemini.request_writer import write_request
from gateway.dialects.gemini.stream_reader import StreamReader
from gateway.dialects.gemini.stream_writer import StreamWriter
from gateway.dialects.losses import Losses
from gateway.dialects.turns import alternating
from gateway.dialects.whole import Collector, to_deltas
from gateway.wire.sse import EventReader
from tests.dialects.gemini.scenes import ask, scene

TRAFFIC = Path(os.environ.get("LLMGATEWAY_TRAFFIC", Path(__file__).resolve().parents[3].parent / "shared" / "traffic"))

pytestmark = pytest.mark.skipif(not TRAFFIC.is_dir(), reason="no recordings here")

NO_ANSWERS = {"vertex-23cc8b6f23", "vertex-32bea07695"}
"""A 200 that is JSON and nothing else, which was made for a test, and a count of tokens."""


def recordings(endpoint: str) -> Iterator[dict[str, Any]]:
    for path in (TRAFFIC / "gemini.jsonl", TRAFFIC / "vertex.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            record = json.loads(line)
            if record["endpoint"] == endpoint:
                yield record


def model_of(record: dict[str, Any]) -> str:
    name: str = record["path"].partition("models/")[2].partition(":")[0]
    return name


def normal(request: Request) -> Request:
    """Turns that alternate: Google is told so, whatever the client did."""
    return replace(request, messages=tuple(alternating(request.messages)))


def test_requests_are_read_and_written_as_they_were() -> None:
    count = 0
    for record in recordings("generateContent"):
        if not isinstance(record["request_body"], dict):
            continue
        losses, model = Losses(), model_of(record)
        request = read_request(record["request_body"], losses, model=model)
        assert {loss.name for loss in losses.entries} <= {"function_calling_validated"}, record["id"]
        body = write_request(request, Target("google", model), losses).body
        assert not [loss for loss in losses.entries if loss.content], record["id"]
        again = read_request(body, Losses(), model=model)
        assert normal(again) == normal(request), record["id"]
        count += 1
    assert count > 150


def read_stream(data: bytes, cut: int) -> Collector:
    events, reader, collector = EventReader(1 << 25), StreamReader(Plan("google")), Collector()
    for start in range(0, len(data), cut):
        for event in events.feed(data[start : start + cut]):
            collector.feed(reader.feed(event))
    if (rest := events.rest()) is not None:
        collector.feed(reader.feed(rest))
    collector.feed(reader.end())
    return collector


def texts_in(data: bytes) -> str:
    """The words of a stream's first candidate, by another way than the reader's."""
    said = []
    for line in data.splitlines():
        if line.startswith(b"data:"):
            for candidate in json.loads(line[5:]).get("candidates", ())[:1]:
                parts = ((candidate or {}).get("content") or {}).get("parts", ())
                said += [part["text"] for part in parts if "text" in part and not part.get("thought")]
    return "".join(said)


def test_streams_say_the_same_however_they_are_cut() -> None:
    count = 0
    for record in recordings("generateContent"):
        data = str(record.get("response_body")).encode()
        if record["status"] != 200 or not data.startswith(b"data:") or record["id"] in NO_ANSWERS:
            continue
        whole, *others = (read_stream(data, cut) for cut in (4096, 1, 7))
        for other in others:
            assert (other.answer, other.failure) == (whole.answer, whole.failure), record["id"]
        assert (whole.failure is None) == (b"finishReason" in data or b"blockReason" in data), record["id"]
        if whole.failure is not None:
            continue
        choices = whole.answer.choices
        assert texts_in(data) == "".join(part.text for part in choices[0].parts if isinstance(part, Text))
        assert data.count(b'"functionCall"') == sum(isinstance(part, ToolCall) for part in choices[0].parts)
        check(record, whole.answer)
        count += 1
    assert count > 50


def test_whole_answers_are_read() -> None:
    count = 0
    for record in recordings("generateContent"):
        if record["status"] != 200 or record["stream"] or record.get("response_body") is None:
            continue
        body = json.loads(record["response_body"])
        if record["id"] in NO_ANSWERS:
            continue
        assert not empty_answer(body), record["id"]
        check(record, read_answer(body, Plan("google")))
        count += 1
    assert count > 90


def check(record: dict[str, Any], answer: Answer) -> None:
    """Every answer has an end; its usage adds up; written, whole or streamed, it is the same answer."""
    body = str(record["response_body"])
    assert answer.choices, record["id"]
    assert (answer.usage is None) == ('TokenCount"' not in body), record["id"]
    if answer.usage is not None and "totalTokenCount" in body:
        total = answer.usage.input + answer.usage.output
        assert f'"totalTokenCount":{total}' in body.replace(" ", ""), record["id"]
    calls = any(isinstance(part, ToolCall) for part in answer.choices[0].parts)
    assert not calls or answer.choices[0].ending.finish is Finish.TOOL_CALLS, record["id"]
    known = replace(answer, id=answer.id or "r", model="their-model")
    for again in (read_answer(write_answer(known, scene(), Losses()), Plan("google")), streamed(known)):
        assert [choice.parts for choice in again.choices] == [choice.parts for choice in known.choices], record["id"]
        assert [choice.ending.finish for choice in again.choices] == [choice.ending.finish for choice in known.choices]
        assert again.usage == known.usage, record["id"]


def streamed(answer: Answer) -> Answer:
    """An answer that was written as a stream and read again. Pieces of one kind become one, citations count all."""
    data = StreamWriter(scene(ask()), Losses()).write(to_deltas(answer))
    again = read_stream(data, 4096).answer
    merged = [choice.parts for choice in again.choices] != [choice.parts for choice in answer.choices]
    return answer if merged and words(again) == words(answer) else again


def words(answer: Answer) -> list[str]:
    return ["".join(part.text for part in choice.parts if isinstance(part, Text)) for choice in answer.choices]


KINDS = {
    400: {FailureKind.INVALID_REQUEST, FailureKind.AUTHENTICATION, FailureKind.CONTEXT_LENGTH},
    403: {FailureKind.PERMISSION},
    404: {FailureKind.NOT_FOUND},
    429: {FailureKind.RATE_LIMIT, FailureKind.QUOTA},
}


def test_errors_are_understood() -> None:
    count = 0
    for record in recordings("generateContent"):
        if record["status"] < 400:
            continue
        body = json.loads(record["response_body"])
        failure = read_failure(record["status"], body)
        assert failure.kind in KINDS[record["status"]], record["id"]
        assert failure.message == body["error"]["message"]
        expected = FailureKind.AUTHENTICATION if "API_KEY_INVALID" in record["response_body"] else failure.kind
        assert failure.kind is expected, record["id"]
        count += 1
    assert count > 15


def test_embeddings_are_read() -> None:
    count = 0
    for record in recordings("embeddings"):
        if record["status"] != 200 or "mbedContent" not in record["path"]:
            continue
        losses = Losses()
        request = write_openai_request(record["request_body"], "e", losses)
        assert not [loss for loss in losses.entries if loss.content]
        answer = write_openai_answer(json.loads(record["response_body"]), "e", as_base64=True)
        assert len(answer["data"]) == len(request["input"])
        count += 1
    assert count == 4


def test_tools_of_recordings_are_read() -> None:
    tools = [
        tool
        for record in recordings("generateContent")
        if isinstance(record["request_body"], dict)
        for tool in read_request(record["request_body"], Losses()).tools
    ]
    assert sum(isinstance(tool, Tool) for tool in tools) > 80
