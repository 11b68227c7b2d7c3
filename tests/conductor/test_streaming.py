"""Streams after the commit point: whole events, keepalives between them, and what follows when the upstream breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.conductor.streaming import EVENT_LIMIT, EventGate, ResponseIdReader
from gateway.policy.room import LARGE, Room, Share
from tests.api.harness import CHAT, STREAM, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    Cut,
    Delay,
    HangAfter,
    SlowBytes,
    Stream,
    rate_limited,
    server_error,
)
from tests.fakes.provider import FakeProvider

ROLE = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
WORD = {"choices": [{"delta": {"content": "word"}}]}
ERROR = {"error": {"message": "it broke", "type": "server_error", "code": None}}
SMALL_KEEPALIVE = "[providers.main.streaming]\nkeepalive = 0.02"
SHORT = "[providers.main.timeouts]\nidle = 0.2"


@pytest.mark.parametrize(
    ("pieces", "passed"),
    [
        ([b"data: a\n\n"], [b"data: a\n\n"]),
        ([b"data: a\n", b"\n"], [b"", b"data: a\n\n"]),
        ([b"data: a\n\ndata: b", b"\n\n"], [b"data: a\n\n", b"data: b\n\n"]),
        ([b"data: a\r\n\r", b"\ndata: b\r\n\r\n"], [b"", b"data: a\r\n\r\ndata: b\r\n\r\n"]),
        ([b"data: a\r", b"\rdata: b"], [b"", b"data: a\r\r"]),
        ([b"data: a\n\r\ndata"], [b"data: a\n\r\n"]),
        ([b"data: a\n\n", b"", b"\n"], [b"data: a\n\n", b"", b""]),
    ],
)
def test_only_whole_events_pass(pieces: list[bytes], passed: list[bytes]) -> None:
    gate = EventGate(Share(Room()))
    assert [gate.feed(piece) for piece in pieces] == passed
    assert b"".join(passed) + gate.rest() == b"".join(pieces)
    assert gate.between_events


def test_an_endless_event_passes_in_pieces() -> None:
    gate = EventGate(Share(Room()))
    assert gate.feed(b"x" * EVENT_LIMIT) == b""
    assert gate.feed(b"y") == b"x" * EVENT_LIMIT + b"y"
    assert not gate.between_events
    assert gate.feed(b"z\n\n") == b"z\n\n"
    assert gate.between_events


def test_a_large_event_waits_where_there_is_room_and_else_passes_in_pieces() -> None:
    room = Room(limit=3 * LARGE)
    first, second = EventGate(Share(room)), EventGate(Share(room))
    large = b"x" * 2 * LARGE
    assert (first.feed(large), room.held) == (b"", 2 * LARGE)
    assert (second.feed(b"y" * LARGE), room.held) == (b"", 2 * LARGE)  # what is small does not count
    assert second.feed(b"y" * LARGE) == b"y" * 2 * LARGE
    assert not second.between_events
    assert first.feed(b"\n\n") == large + b"\n\n"
    assert room.held == 0
    assert (second.feed(large), room.held) == (b"", 2 * LARGE)


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_a_responses_id_is_found_in_its_first_event(size: int) -> None:
    stream = b': hello\n\ndata: nonsense\n\nevent: response.created\ndata: {"response": {"id": "resp_1"}}\n\n'
    stream += b'data: {"response": {"id": "resp_2"}}\n\n'
    found: list[str] = []
    reader = ResponseIdReader(found.append)
    for at in range(0, len(stream), size):
        reader.feed(stream[at : at + size])
    assert found == ["resp_1"]


@pytest.mark.parametrize(
    "behaviour",
    [
        Stream((ROLE, ERROR)),
        Stream((ERROR,)),
        Stream(()),
        Stream(("[DONE]",)),
        Cut(30, Stream((ROLE, WORD))),
        Cut(0, Stream()),
        server_error(),
        rate_limited(5),
        Answer(200, ERROR),
    ],
)
def test_a_failure_before_the_first_meaningful_event_is_tried_elsewhere(tmp_path: Path, behaviour: Behaviour) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1", "sk-2"]) as running:
            fake.script("sk-1", behaviour)
            got = await running.chat(stream=True)
            assert (got.status, got.complete) == (200, True)
            assert got.body.endswith(b"data: [DONE]\n\n") and b"error" not in got.body
            assert got.header("x-llmgateway-attempts") == "2"
            assert [seen.key for seen in fake.requests] == ["sk-1", "sk-2"]

    run(scenario())


def test_a_preamble_is_held_until_something_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", SlowBytes(100, 0.01, Stream((ROLE, ROLE, ROLE, WORD, "[DONE]"))))
            async with running.talk() as talk:
                await talk.send("POST", "/v1/chat/completions", STREAM)
                await talk.head()
                assert (await talk.piece()).count(b"assistant") == 3

    run(scenario())


def test_a_stream_that_says_nothing_is_committed_when_the_hold_is_over(tmp_path: Path) -> None:
    more = "[providers.main.streaming]\nhold = 0.05"

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more=more)
            async with gateway(tmp_path, config, ["sk-1", "sk-2"]) as running:
                fake.script("sk-1", HangAfter(75, Stream((ROLE, WORD))))
                async with running.talk() as talk:
                    await talk.send("POST", "/v1/chat/completions", STREAM)
                    assert (await talk.head()).status == 200
                    assert await talk.piece()
                await fake.wait_aborted()
                assert len(fake.requests) == 1

    run(scenario())


def test_an_error_event_after_the_commit_point_is_passed_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1", "sk-2"]) as running:
            fake.script("sk-1", Stream((WORD, ERROR)))
            got = await running.chat(stream=True)
            assert got.complete and b"it broke" in got.body
            assert len(fake.requests) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("path", "body", "size"),
    [
        ("/v1/chat/completions", STREAM, 700),
        ("/v1/completions", {"model": "gpt-4o", "prompt": "x", "stream": True}, 700),
        ("/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True}, 1500),
    ],
)
@pytest.mark.parametrize(("behaviour", "code"), [(Cut, "upstream_error"), (HangAfter, "upstream_timeout")])
def test_a_stream_that_breaks_ends_with_an_error_event_and_without_an_end(
    tmp_path: Path, path: str, body: object, size: int, behaviour: type[Cut | HangAfter], code: str
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more=SHORT)
            async with gateway(tmp_path, config, ["sk-1", "sk-2"]) as running:
                fake.script("sk-1", behaviour(size, Stream()))
                got = await running.ask("POST", path, body)
                assert (got.status, got.complete) == (200, False)
                assert b"[DONE]" not in got.body and got.body.endswith(b"\n\n")
                lines = [line for line in got.body.decode().splitlines() if line.startswith("data:")]
                if path == "/v1/responses":
                    assert '"type":"error"' in lines[-2] and code in lines[-2]
                    assert '"type":"response.failed"' in lines[-1]
                else:
                    assert lines[-1].startswith('data: {"error":{"message":"The provider broke off')
                    assert f'"code":"{code}"' in lines[-1]
                assert len(fake.requests) == 1  # never a replay
                line = await running.logged()
                assert (line["status"], line["outcome"], line["error"]) == (200, "error", "stream_disconnect")
                assert 0 < line["bytes_out"] < len(got.body)

    run(scenario())


def test_an_event_that_was_cut_never_reaches_the_client(tmp_path: Path) -> None:
    whole = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Cut(len(whole) + 20, Stream((whole, whole))))
            got = await running.chat(stream=True)
            assert got.body.startswith(whole + b'data: {"error"')

    run(scenario())


def test_the_last_event_may_lack_its_end(tmp_path: Path) -> None:
    events = (WORD, b"data: [DONE]")

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Stream(events))
            got = await running.chat(stream=True)
            assert got.complete and got.body.endswith(b"\n\ndata: [DONE]")

    run(scenario())


def test_silence_is_filled_with_comments_between_events_only(tmp_path: Path) -> None:
    first = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more=SMALL_KEEPALIVE)
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                fake.script("sk-1", SlowBytes(len(first) + 9, 0.2, Stream((first, first, b"data: [DONE]\n\n"))))
                got = await running.chat(stream=True)
                events = got.body.split(b"\n\n")
                assert events.count(b": keepalive") >= 2
                assert [each for each in events if each != b": keepalive"] == [
                    first[:-2], first[:-2], b"data: [DONE]", b"",
                ]  # fmt: skip
                assert got.complete

    run(scenario())


def test_a_stream_through_the_passthrough_gets_neither_comments_nor_error_events(tmp_path: Path) -> None:
    first = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more=f"{SMALL_KEEPALIVE}\n{SHORT}")
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                fake.script("sk-1", HangAfter(len(first) + 3, Stream((first, first))))
                got = await running.ask("POST", "/p/main/v1/chat/completions", STREAM)
                assert (got.body, got.complete) == (first + first[:3], False)

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/p/main/v1/audio/speech"])
def test_a_body_of_known_length_that_is_cut_is_no_whole_message(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Cut(1000))
            got = await running.ask("POST", path, {"model": "gpt-4o", "input": "x", "voice": "alloy"})
            assert (got.status, got.header("content-length"), len(got.body)) == (200, "4096", 1000)
            assert not got.complete
            assert (await running.logged())["error"] == "stream_disconnect"

    run(scenario())


def test_an_answer_in_one_piece_that_is_cut_is_tried_elsewhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1", "sk-2"]) as running:
            fake.script("sk-1", Cut(100))
            got = await running.chat()
            assert (got.status, got.header("x-llmgateway-attempts")) == (200, "2")

    run(scenario())


def test_overhead_is_the_gateways_own_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Delay(0.3), SlowBytes(400, 0.05, Stream()))
            async with running.talk() as talk:
                for body in (CHAT, STREAM):
                    await talk.send("POST", "/v1/chat/completions", body)
                    await talk.answer()
            for count in (1, 2):
                line = await running.logged(count=count)
                assert line["duration_ms"] >= 100 and line["overhead_ms"] < line["duration_ms"] / 2

    run(scenario())
