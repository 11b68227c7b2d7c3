"""A client that leaves, in every phase, and what the record of a request says in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.api.harness import CHAT, KEYS, STREAM, Gateway, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import Behaviour, Hang, HangAfter, Held, Stream, rate_limited, server_error
from tests.fakes.provider import FakeProvider

CHAT_PATH = "/v1/chat/completions"
WORD = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'


async def record_of_one_who_left(running: Gateway) -> dict[str, object]:
    line = await running.logged()
    assert (line["status"], line["outcome"]) == (499, "client_gone")
    assert running.metric("llm_requests_in_flight") == 0
    assert running.metric(f'llm_client_disconnects_total{{phase="{line["phase"]}"}}') == 1
    return line


def nobody_was_blamed(running: Gateway) -> bool:
    return running.pool.usable == len(running.pool.standings.keys) and all(
        key.standing.streak == 0 and not key.standing.reason for key in running.pool.standings.keys.values()
    )


@pytest.mark.parametrize(
    ("behaviour", "path", "body", "phase"),
    [
        (Hang(), CHAT_PATH, CHAT, "waiting"),
        (Hang(), CHAT_PATH, STREAM, "waiting"),
        (Hang(), "/p/main/v1/chat/completions", CHAT, "waiting"),
        (HangAfter(100), CHAT_PATH, CHAT, "waiting"),
        (HangAfter(10, Stream((WORD,))), CHAT_PATH, STREAM, "waiting"),
        (HangAfter(len(WORD), Stream((WORD, WORD))), CHAT_PATH, STREAM, "streaming"),
        (HangAfter(1000), "/v1/audio/speech", CHAT, "streaming"),
        (HangAfter(1000), "/p/main/v1/audio/speech", CHAT, "streaming"),
    ],
)
def test_a_client_that_leaves_cancels_the_call_and_no_key_is_blamed(
    tmp_path: Path, behaviour: Behaviour, path: str, body: object, phase: str
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(KEYS[0], behaviour)
            async with running.talk() as talk:
                await talk.send("POST", path, body)
                await until(lambda: len(fake.requests) == 1)
                if phase == "streaming":
                    await talk.head()
            await fake.wait_aborted()
            assert (await record_of_one_who_left(running))["phase"] == phase
            assert nobody_was_blamed(running) and running.in_flight == 0
            assert len(fake.requests) == 1

    run(scenario())


def test_a_client_that_leaves_the_queue_leaves_no_trace_in_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), KEYS[:1]) as running:
            fake.script(KEYS[0], rate_limited(9))
            await running.chat()
            async with running.talk() as talk:
                await talk.send("POST", CHAT_PATH, CHAT)
                await until(lambda: len(running.pool.waiters) == 1)
            await until(lambda: len(running.pool.waiters) == 0)
            line = await running.logged(count=2)
            assert (line["outcome"], line["phase"]) == ("client_gone", "queued")
            assert len(fake.requests) == 1

    run(scenario())


def test_a_client_that_leaves_the_queue_for_one_key_leaves(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await running.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "x"})
            ((made, owner),) = fake.response_owner.items()
            fake.script(owner, rate_limited(9))
            await running.ask("GET", f"/v1/responses/{made}")
            async with running.talk() as talk:
                await talk.send("GET", f"/v1/responses/{made}")
                await until(lambda: running.metric("llm_requests_in_flight") == 1)
            assert (await running.logged(count=3))["phase"] == "queued"

    run(scenario())


def test_a_client_that_leaves_during_a_backoff_is_not_called_for_again(tmp_path: Path) -> None:
    retry = "on_server_error = {attempts = 2, backoff = 3600}"
    more = "[providers.main.timeouts]\ntotal = 100000"

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, retry=retry, more=more)
            async with gateway(tmp_path, config) as running:
                fake.script(KEYS[0], server_error())
                async with running.talk() as talk:
                    await talk.send("POST", CHAT_PATH, CHAT)
                    await until(
                        lambda: running.metric('llm_attempts_total{provider="main",outcome="server_error"}') == 1
                    )
                await record_of_one_who_left(running)
                assert len(fake.requests) == 1

    run(scenario())


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """Accepts connections and never says a word: no TLS handshake gets anywhere. Its URL, "came", "left"."""
    came, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        try:
            await reader.read()
        except ConnectionError:
            pass
        left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", came, left
    finally:
        server.close()
        await server.wait_closed()


def test_a_client_that_leaves_while_a_connection_is_being_made_ends_that(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with silent_server() as (url, came, left), gateway(tmp_path, configuration(url)) as running:
            async with running.talk() as talk:
                await talk.send("POST", CHAT_PATH, CHAT)
                await came.wait()
            await left.wait()
            await record_of_one_who_left(running)
            assert nobody_was_blamed(running)

    run(scenario())


def test_a_client_that_leaves_while_waiting_for_a_connection_gives_its_place_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            provider = 'models = ["gpt-4o-mini"]\nmax_connections = 1'
            async with gateway(tmp_path, configuration(fake.base_url, provider=provider)) as running:
                fake.script(KEYS[0], Held())
                async with running.talk() as first, running.talk() as last:
                    await first.send("POST", CHAT_PATH, CHAT)
                    await until(lambda: len(fake.requests) == 1)
                    async with running.talk() as talk:
                        await talk.send("POST", CHAT_PATH, CHAT)
                        await until(lambda: running.metric("llm_requests_in_flight") == 2)
                    await until(lambda: running.metric("llm_requests_in_flight") == 1)
                    await last.send("POST", CHAT_PATH, CHAT)
                    await until(lambda: running.metric("llm_requests_in_flight") == 2)
                    fake.let_go()
                    assert {(await first.answer()).status, (await last.answer()).status} == {200}
                assert len(fake.requests) == 2

    run(scenario())


def test_many_clients_that_leave_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            behaviours: tuple[Behaviour, ...] = (Hang(), HangAfter(400, Stream()), HangAfter(50))
            for key, behaviour in zip(KEYS, behaviours, strict=True):
                fake.script(key, behaviour)

            async def come_and_go() -> None:
                async with running.talk() as talk:
                    await talk.send("POST", CHAT_PATH, STREAM)
                    await until(lambda: len(fake.requests) >= 30)

            await asyncio.gather(*(come_and_go() for _ in range(30)))
            await fake.wait_aborted(30)
            await until(lambda: running.metric("llm_requests_in_flight") == 0)
            assert running.in_flight == 0 and nobody_was_blamed(running)

    run(scenario())


def test_the_record_of_a_request_tells_its_story(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(KEYS[0], rate_limited(30))
            got = await running.ask("POST", f"{CHAT_PATH}?x=1", CHAT, {"x-request-id": "mine-1"})
            line = await running.logged()
            assert line["duration_ms"] >= line["overhead_ms"] >= 0
            for name in ("time", "duration_ms", "overhead_ms", "first_byte_ms"):
                del line[name]
            assert line == {
                "level": "info",
                "event": "request",
                "request_id": "mine-1",
                "surface": "openai",
                "method": "POST",
                "path": CHAT_PATH,
                "status": 200,
                "outcome": "ok",
                "client": "127.0.0.1",
                "bytes_in": len('{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}'),
                "bytes_out": len(got.body),
                "model": "gpt-4o-mini",
                "provider": "main",
                "attempts": 2,
                "key": "sk-…0002",
                "input_tokens": 11,
                "output_tokens": 6,
                "cache_read_tokens": 4,
                "reasoning_tokens": 2,
                "user": "127.0.0.1",
            }
            series = 'llm_requests_total{surface="openai",provider="main",model="gpt-4o-mini",status="200"}'
            assert running.metric(series) == 1
            assert running.metric('llm_attempts_total{provider="main",outcome="rate_limited"}') == 1
            assert running.metric('llm_attempts_total{provider="main",outcome="success"}') == 1

    run(scenario())


def test_the_time_a_body_takes_to_arrive_is_no_overhead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client takes ten seconds, of the loop's clock alone."""
    taken = 10.0

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        real, ahead = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: real() + ahead)
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            host = running.server.addresses()[0]
            reader, writer = await asyncio.open_connection(*host.split(":"))
            body = b'{"model":"gpt-4o","messages":[]}'
            head = f"POST {CHAT_PATH} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n"
            writer.write(head.encode() + b"expect: 100-continue\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
            ahead = taken
            writer.write(body)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            line = await running.logged()
            assert line["status"] == 200
            assert line["duration_ms"] >= taken * 1000 > line["overhead_ms"]
            assert fake.requests[0].body == body

    run(scenario())
