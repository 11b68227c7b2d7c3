"""The end of a stream waits for its entry; nothing else does."""

from __future__ import annotations

import pytest

from gateway.conductor import lastword
from gateway.conductor.lastword import LastWord, without_usage_chunk
from gateway.upstream.grammars import grammar_of
from gateway.wire.output_tap import OutputTap
from gateway.wire.sse import EndTap
from tests.conftest import run

WORD = b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"
FIRST = b'data: {"candidates":[{"finishReason":"STOP"}]}\n\n'
SECOND = b'data: {"candidates":[{"index":1,"finishReason":"STOP"}]}\n\n'


class Stream:
    """A stream's last word, and who looks at the events before it."""

    def __init__(self, shape: str, settled: Settled, *, unasked: bool = False) -> None:
        grammar = grammar_of(shape)
        self._end = None if grammar is None else EndTap(grammar.marks)
        self._last = LastWord(shape, self._end, OutputTap(shape), settled, unasked=unasked)

    async def let_pass(self, events: bytes) -> bytes:
        if self._end is not None:
            self._end.feed(events)
        return await self._last.let_pass(events)

    async def end(self, rest: bytes) -> bytes:
        return await self._last.end(rest)


class Settled:
    """Counts how often it was asked to settle."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


@pytest.mark.parametrize(
    ("shape", "end"),
    [
        ("chat", DONE),
        ("completions", b"data:[DONE]\r\n\r\n"),
        ("messages", b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
        ("responses", b'data: {"type":"response.incomplete","response":{}}\n\n'),
        ("unknown", DONE),
    ],
)
def test_a_stream_is_settled_once_before_what_ends_it(shape: str, end: bytes) -> None:
    async def scenario() -> None:
        settled = Settled()
        last = Stream(shape, settled)
        assert (await last.let_pass(WORD), settled.count) == (WORD, 0)
        assert (await last.let_pass(end), settled.count) == (end, 1)
        assert (await last.let_pass(b": more\n\n"), settled.count) == (b": more\n\n", 1)
        assert (await last.end(b""), settled.count) == (b"", 1)

    run(scenario())


def test_a_stream_that_ends_without_a_word_is_settled_at_its_end() -> None:
    async def scenario() -> None:
        settled = Settled()
        last = Stream("chat", settled)
        assert await last.let_pass(WORD) == WORD
        assert (await last.end(b"data: {}"), settled.count) == (b"data: {}", 1)

    run(scenario())


def test_of_several_candidates_all_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        settled = Settled()
        last = Stream("generate", settled)
        assert await last.let_pass(FIRST) + await last.let_pass(SECOND) == b""
        assert (await last.end(b""), settled.count) == (FIRST + SECOND, 1)
        monkeypatch.setattr(lastword, "HELD_LIMIT", len(FIRST))
        last = Stream("generate", settled)
        assert await last.let_pass(FIRST) == b""
        assert await last.let_pass(SECOND) == FIRST + SECOND  # it is no end, with so much behind it
        assert await last.end(b"") == b""

    run(scenario())


@pytest.mark.parametrize(
    ("events", "left"),
    [
        (USAGE, b""),
        (WORD + USAGE + DONE, WORD + DONE),
        (USAGE.replace(b"\n", b"\r\n") + DONE, DONE),
        (b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}\n\n', None),
        (b'data: {"choices":[],"usage":null}\n\n', None),
        (b'data: {"usage":{broken}\n\n', None),
        (b'data: {"prompt_filter_results":[],"choices":[]}\n\n', None),
    ],
)
def test_only_a_chunk_with_usage_and_nothing_else_is_taken_out(events: bytes, left: bytes | None) -> None:
    assert without_usage_chunk(events) == (events if left is None else left)


def test_a_client_that_asked_for_usage_gets_it() -> None:
    async def scenario() -> None:
        for unasked, left in ((False, USAGE), (True, b"")):
            last = Stream("chat", Settled(), unasked=unasked)
            assert await last.let_pass(USAGE) == left

    run(scenario())
