"""Answers that are read whole before the client gets a byte: what is one, and whose fault it is when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import jsonlib
from gateway.policy.verdict import Scope, Status
from gateway.upstream import reading as module
from gateway.upstream.exchange import PLAIN_LIMIT
from gateway.upstream.reading import judge_stream
from tests.conftest import run
from tests.fakes.behaviours import Answer, Behaviour, Cut, SlowBytes, Stream, rate_limited
from tests.upstream.wire import SECRET, wired

ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
WORD = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
TOO_MANY = {"error": {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}}
FAILED = (Scope.PROVIDER, Status.SERVER_ERROR)
LONG = {"choices": [{"index": 0, "message": {"content": "x" * PLAIN_LIMIT}, "finish_reason": "stop"}]}


class Reader:
    """Keeps what it is given; `mistake` is what it says of that."""

    def __init__(self, mistake: str = "") -> None:
        self.decoded: Any = None
        self.body = b""
        self.mistake = mistake

    def read(self, decoded: object) -> None:
        self.decoded = decoded
        if self.mistake:
            raise ValueError(self.mistake)

    def read_stream(self, body: bytes) -> None:
        self.body = body
        if self.mistake:
            raise ValueError(self.mistake)


async def read(behaviour: Behaviour, reader: Reader, *, stream: bool = False) -> Any:
    async with wired() as wire:
        wire.fake.script(SECRET, behaviour)
        outcome = await wire.call(stream=stream, reading=reader)
        outcome.close()
        return outcome


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_longer_than_those_that_are_looked_into_is_read_whole(stream: bool) -> None:
    reader = Reader()
    outcome = run(read(SlowBytes(1 << 20, 0, Answer(200, LONG)), reader, stream=stream))
    assert (outcome.verdict, outcome.answer, outcome.decoded) == (None, None, LONG)
    assert reader.decoded == LONG


def test_a_stream_that_nobody_asked_for_is_read_whole() -> None:
    reader = Reader()
    outcome = run(read(Stream((ROLE, WORD, END, "[DONE]")), reader))
    assert (outcome.verdict, outcome.answer, outcome.streamed) == (None, None, True)
    assert reader.body == outcome.body and reader.body.endswith(b"data: [DONE]\n\n")


def test_a_stream_that_was_asked_for_is_not() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            reader = Reader()
            wire.fake.script(SECRET, Stream((ROLE, WORD, END)))
            outcome = await wire.call(stream=True, reading=reader)
            assert outcome.answer is not None
            outcome.close()
            assert (outcome.verdict, outcome.streamed, reader.body) == (None, True, b"")

    run(scenario())


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Answer(200, b"{", {"content-type": "application/json"}), "unreadable_answer"),
        (Answer(200, b"<html>", {"content-type": "text/html"}), "unreadable_answer"),
        (Answer(200, {"choices": []}), "empty_answer"),
        (Stream((ROLE, WORD)), "incomplete_stream"),
        (Stream((ROLE, "[DONE]")), "empty_stream"),
        (Stream(()), "empty_stream"),
    ],
)
def test_what_is_no_answer_is_the_providers_failure(behaviour: Behaviour, reason: str) -> None:
    outcome = run(read(behaviour, Reader()))
    assert outcome.verdict is not None and outcome.answer is None
    assert (outcome.verdict.scope, outcome.verdict.status, outcome.verdict.reason) == (*FAILED, reason)
    assert not outcome.unanswered


@pytest.mark.parametrize("behaviour", [Answer(200, LONG), Stream((ROLE, WORD, END))])
def test_what_the_reader_cannot_read_is_none_either(behaviour: Behaviour) -> None:
    outcome = run(read(behaviour, Reader(f"no answer, but {SECRET}")))
    assert outcome.verdict is not None and (outcome.verdict.scope, outcome.verdict.status) == FAILED
    assert outcome.verdict.evidence.startswith("its answer cannot be read: no answer, but ")
    assert SECRET not in outcome.verdict.evidence and SECRET not in str(outcome.error)
    assert (outcome.body, outcome.decoded) == (b"", None)


@pytest.mark.parametrize("behaviour", [Stream((ROLE, WORD, TOO_MANY)), Answer(200, TOO_MANY), rate_limited()])
def test_an_error_is_judged_wherever_it_stands(behaviour: Behaviour) -> None:
    outcome = run(read(behaviour, Reader()))
    assert outcome.verdict is not None
    assert (outcome.verdict.scope, outcome.verdict.status) == (Scope.KEY, Status.RATE_LIMITED)


@pytest.mark.parametrize("of", [Answer(200, LONG), Stream((ROLE, WORD, END))])
def test_a_cut_is_a_failed_attempt_that_may_have_been_carried_out(of: Answer | Stream) -> None:
    outcome = run(read(Cut(100, of), Reader()))
    assert outcome.verdict is not None and outcome.unanswered
    assert (outcome.verdict.scope, outcome.verdict.reason) == (Scope.PROVIDER, "disconnect")


def test_an_answer_beyond_all_bounds_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_LIMIT", 1000)
    outcome = run(read(Answer(200, LONG), Reader()))
    assert outcome.verdict is not None and outcome.verdict.reason == "protocolerror"


@pytest.mark.parametrize(
    ("shape", "event"),
    [
        ("messages", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
        ("responses", {"type": "response.output_text.delta", "delta": "Hi"}),
        ("generate", {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}),
        ("completions", {"choices": [{"index": 0, "text": "Hi", "finish_reason": None}]}),
    ],
)
def test_a_stream_of_any_dialect_must_come_to_its_end(shape: str, event: dict[str, Any]) -> None:
    own = b'data: {"type":"message_start","message":{}}\n\n' if shape == "messages" else b""
    verdict, _ = judge_stream(shape, own + b"data: %b\n\n" % jsonlib.dumps(event))
    assert verdict is not None and verdict.reason == "incomplete_stream"


def test_of_shapes_that_nobody_knows_nothing_is_said() -> None:
    assert judge_stream("other", b"data: 1\n\n") == (None, None)
