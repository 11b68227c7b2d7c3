"""Real recordings of Anthropic: every request, answer and stream is read, and what is written again is what it was.

The recordings are not part of the project; without them these tests are skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from gateway.dialects.anthropic.answer_reader import FINISHES, read_answer
from gateway.dialects.anthropic.answer_writer import write_answer
from gateway.dialects.anthropic.count_tokens import estimate_tokens
from gateway.dialects.anthropic.errors import read_failure
from gateway.dialects.anthropic.events import classify_event
from gateway.dialects.anthropic.request_reader import read_request
from gateway.dialects.anthropic.request_writer import write_request
from gateway.dialects.anthropic.stream_reader import StreamReader
from gateway.dialects.anthropic.stream_writer import StreamWriter
from gateway.dialects.conversation import Answer, Finish, Text, ToolCall
from gateway.dialects.dialect import Plan, Target
from gateway.dialects.losses import Losses
from gateway.dialects.whole import Collector
from gateway.errors import RequestError
from gateway.wire.sse import EventReader
from tests.dialects.anthropic.making import scene
from tests.e2e.test_recordings import TRAFFIC

pytestmark = pytest.mark.skipif(not TRAFFIC.is_dir(), reason="no recordings here")

REFUSED = {"messages.0.content", "tools.0.input_schema", "messages"}
"""Fields for which Anthropic, too, refused a recorded request."""

REQUEST_LOSSES = re.compile(
    r"tools\.\d+\.(defer_loading|description)"  # a hint of Anthropic's alone; an empty text
    r"|messages\.\d+\.content\.\d+\.caller"  # {"type": "direct"}, which is the default
    r"|messages\.\d+\.content\.\d+\.content|messages\.\d+\.content|system"  # a text, or one block of it
    r"|stream|tools"  # false, []
    r"|max_tokens"  # missing where tokens are counted
    r"|output_format|output_config"  # the old place and the new
    r"|messages"  # neighbours of one role
)

ANSWER_LOSSES = re.compile(
    r"content\.\d+\.caller|content\.\d+\.citations(\.\d+\.encrypted_index)?|container"
    r"|usage\.(inference_geo|server_tool_use|iterations|cache_creation\..*)|provider"
)


@cache
def records() -> list[dict[str, Any]]:
    lines = (TRAFFIC / "anthropic.jsonl").read_text("utf-8").splitlines()
    lines = [
        line.replace("signature_REDACTED", f"signature_REDACTED{'x' * 100}") for line in lines
    ]  # as long as theirs
    return [record for record in map(json.loads, lines) if record["endpoint"] in ("messages", "count_tokens")]


def differences(said: Any, written: Any, path: str = "") -> Iterator[str]:
    """The outermost paths that differ; null is like nothing."""
    if isinstance(said, dict) and isinstance(written, dict):
        for name in said.keys() | written.keys():
            yield from differences(said.get(name), written.get(name), f"{path}.{name}" if path else name)
    elif isinstance(said, list) and isinstance(written, list) and len(said) == len(written):
        for place, pair in enumerate(zip(said, written, strict=True)):
            yield from differences(*pair, f"{path}.{place}")
    elif said != written:
        yield path


def test_every_request_is_read_and_written_as_it_was() -> None:
    checked = 0
    for record in records():
        body = record["request_body"]
        if not isinstance(body, dict):
            continue
        losses = Losses()
        try:
            request = read_request(body, losses)
            written = write_request(request, Target("main", body["model"]), losses).body
        except RequestError as exc:
            assert record["status"] == 400
            assert exc.param in REFUSED
            continue
        checked += 1
        unexpected = [path for path in differences(body, written) if not REQUEST_LOSSES.fullmatch(path)]
        assert not unexpected, record["id"]
        assert all(REQUEST_LOSSES.fullmatch(loss.path) for loss in losses.entries), record["id"]
        assert read_request(written, Losses()) == read_request(write_request(
            read_request(written, Losses()), Target("main", body["model"]), Losses()).body, Losses())  # fmt: skip
    assert checked > 250


def test_every_answer_is_read_and_written_as_it_was() -> None:
    checked = 0
    for record in records():
        if record["status"] != 200 or record["stream"] or record["endpoint"] != "messages":
            continue
        body = json.loads(record["response_body"])
        answer = read_answer(body, Plan("main"))
        written = {**write_answer(answer, scene(), Losses()), "model": body["model"]}
        unexpected = [path for path in differences(body, written) if not ANSWER_LOSSES.fullmatch(path)]
        assert not unexpected, record["id"]
        checked += 1
    assert checked > 130


def collected(raw: bytes, cut: int) -> tuple[Answer, bool]:
    """What a recorded stream says, read in pieces; and whether it ended as it should."""
    wire, reader, collector = EventReader(1 << 25), StreamReader(Plan("main")), Collector()
    for place in range(0, len(raw), cut):
        for event in wire.feed(raw[place : place + cut]):
            collector.feed(reader.feed(event))
    collector.feed(reader.end())
    return collector.answer, collector.failure is None


def expected(raw: str) -> dict[str, Any]:
    """The text, calls, end and output of a recorded stream, found in a way of its own."""
    text, calls, reason, output = "", 0, "", None
    for line in raw.splitlines():
        if line.startswith("data: {"):
            payload = json.loads(line[6:])
            delta = payload.get("delta") or {}
            text += delta.get("text") or ""
            calls += (payload.get("content_block") or {}).get("type") == "tool_use"
            reason = delta.get("stop_reason") or reason
            output = (payload.get("usage") or {}).get("output_tokens", output)
    return {"text": text, "calls": calls, "reason": reason, "output": output}


@pytest.mark.parametrize("cut", [1, 7, 4096])
def test_every_stream_says_the_same_in_any_cut(cut: int) -> None:
    checked = 0
    for record in records():
        if record["status"] != 200 or not record["stream"]:
            continue
        raw = record["response_body"]
        answer, whole = collected(raw.encode("utf-8", "surrogatepass"), cut)
        assert whole, record["id"]
        (choice,) = answer.choices
        said = expected(raw)
        assert "".join(part.text for part in choice.parts if isinstance(part, Text)) == said["text"], record["id"]
        calls = [part for part in choice.parts if isinstance(part, ToolCall)]
        assert len(calls) == said["calls"], record["id"]
        if choice.ending.finish is Finish.TOOL_CALLS:
            assert all(isinstance(json.loads(call.arguments), dict) for call in calls), record["id"]
        assert choice.ending.native == said["reason"]
        assert choice.ending.finish is FINISHES[said["reason"]]
        assert answer.usage is not None
        assert answer.usage.output == said["output"], record["id"]
        assert answer.id
        assert answer.model
        checked += 1
    assert checked > 90


def test_every_stream_that_is_read_and_written_again_says_the_same() -> None:
    for record in records():
        if record["status"] != 200 or not record["stream"]:
            continue
        wire, reader, writer = EventReader(1 << 25), StreamReader(Plan("main")), StreamWriter(scene(), Losses())
        raw = record["response_body"].encode("utf-8", "surrogatepass")
        again = b"".join(writer.write(reader.feed(event)) for event in wire.feed(raw)) + writer.write(reader.end())
        first, second = collected(raw, 1 << 20)[0], collected(again, 1 << 20)[0]
        parts = [part for part in first.choices[0].parts if not (isinstance(part, Text) and not part.text)]
        assert list(second.choices[0].parts) == parts, record["id"]
        assert second.choices[0].ending == first.choices[0].ending
        assert second.usage == first.usage, record["id"]


def test_every_stream_is_committed_and_every_error_known() -> None:
    for record in records():
        raw = record["response_body"]
        if record["status"] != 200:
            try:
                body = json.loads(raw)
            except ValueError:
                body = raw
            assert read_failure(record["status"], body).message
        elif record["stream"]:
            wire = EventReader(1 << 25)
            events = [*wire.feed(raw.encode("utf-8", "surrogatepass")), wire.rest()]
            kinds = [classify_event(event) for event in events if event is not None]
            assert kinds[0] == "preamble"
            assert "meaningful" in kinds
            assert "error" not in kinds
            assert kinds[-1] == "done"


def test_estimates_of_recorded_requests_are_of_the_right_size() -> None:
    """Anthropic's own counts of prompts without tools it runs itself, whose descriptions nobody can see."""
    for record in records():
        if record["endpoint"] == "count_tokens" and "memory" not in json.dumps(record["request_body"].get("tools", "")):
            counted = json.loads(record["response_body"])["input_tokens"]
            estimate = estimate_tokens(read_request(record["request_body"], Losses()))
            assert counted / 4 <= estimate <= counted * 2, record["id"]
