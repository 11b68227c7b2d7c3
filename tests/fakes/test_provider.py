"""The fake provider keeps its promises."""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest

from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Cut,
    Delay,
    Garbage,
    Hang,
    HangAfter,
    Held,
    Reset,
    SlowBytes,
    Stream,
    quota,
    rate_limited,
    server_error,
    unauthorized,
)
from tests.fakes.provider import FakeProvider


def request(path: str = "chat/completions", key: str = "sk-a", body: object = None, **headers: str) -> bytes:
    raw = json.dumps({"model": "gpt-4o"} if body is None else body).encode()
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(raw)}\r\n"
    return (head + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode() + raw


async def call(fake: FakeProvider, raw: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Everything that comes back until the connection ends; asked for with `Connection: close`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port, ssl=context)
    try:
        writer.write(raw.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        return await reader.read()
    finally:
        writer.close()


def status(raw: bytes) -> int:
    return int(raw.split(b" ")[1])


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("chat/completions", b'"finish_reason":"stop"'),
        ("completions", b'"text":"Hello'),
        ("embeddings", b'"embedding":[0.1'),
        ("responses", b'"object":"response"'),
        ("moderations", b'"flagged":false'),
        ("images/generations", b'"b64_json"'),
        ("audio/transcriptions", b'{"text":'),
        ("audio/speech", bytes(range(256))),
        ("models", b'"object":"list"'),
        ("nonsense", b"unknown_url"),
    ],
)
def test_every_endpoint_answers_in_openais_shape(path: str, part: bytes) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            raw = await call(fake, request(path))
            assert part in raw
            assert fake.calls_by_key == {"sk-a": 1}
            assert (fake.requests[0].path, fake.requests[0].json) == (f"/v1/{path}", {"model": "gpt-4o"})

    run(scenario())


@pytest.mark.parametrize(
    ("path", "body", "parts"),
    [
        ("chat/completions", {"stream": True}, [b'"role":"assistant"', b"[DONE]"]),
        ("chat/completions", {"stream": True, "stream_options": {"include_usage": True}}, [b'"choices":[],"usage":{"']),
        ("completions", {"stream": True}, [b'"text":" fake"', b"[DONE]"]),
        ("responses", {"stream": True}, [b"event: response.created\n", b"event: response.completed\n"]),
    ],
)
def test_streams_have_openais_events(path: str, body: object, parts: list[bytes]) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            raw = await call(fake, request(path, body=body))
            assert b"text/event-stream" in raw
            assert raw.endswith(b"0\r\n\r\n")
            assert all(part in raw for part in parts)

    run(scenario())


def test_a_script_runs_in_order_per_key_and_its_last_behaviour_repeats() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-a", unauthorized(), rate_limited(retry_after=20), quota(), server_error())
            raws = [await call(fake, request()) for _ in range(5)]
            assert [status(raw) for raw in raws] == [401, 429, 429, 500, 500]
            assert b"retry-after: 20\r\n" in raws[1]
            assert b"insufficient_quota" in raws[2]
            assert status(await call(fake, request(key="sk-b"))) == 200

    run(scenario())


@pytest.mark.parametrize(
    ("behaviour", "received"),
    [
        (CloseBeforeAnswer(), b""),
        (Garbage(b"oops"), b"oops"),
        (Cut(5, of=Answer(body=b"0123456789")), b"01234"),
        (SlowBytes(4, 0.001, of=Answer(body=b"0123456789")), b"0123456789"),
        (Delay(0.001, then=Answer(body=b"late")), b"late"),
        (Cut(9, of=Stream(("one", "two"))), b"9\r\ndata: one\r\n"),
        (Stream((b": hi\n\n", {"type": "ping"}), gap=0.001), b'\r\n23\r\nevent: ping\ndata: {"type":"ping"}\n\n\r\n'),
    ],
)
def test_an_answer_may_go_wrong_in_many_ways(behaviour: Behaviour, received: bytes) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-a", behaviour)
            raw = await call(fake, request())
            assert received in raw
            assert received or not raw

    run(scenario())


def test_a_reset_is_a_reset() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-a", Reset())
            with pytest.raises(ConnectionResetError):
                await call(fake, request())

    run(scenario())


@pytest.mark.parametrize("behaviour", [Hang(), HangAfter(3), Delay(60), Held(), Stream(gap=60)])
def test_a_client_that_hangs_up_is_counted(behaviour: Behaviour) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-a", behaviour)
            _, writer = await asyncio.open_connection("127.0.0.1", fake.port)
            writer.write(request())
            writer.write_eof()
            await fake.wait_aborted()
            assert fake.aborted == 1
            writer.close()

    run(scenario())


def test_a_call_that_is_held_goes_on_when_it_is_let_go() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-a", Held(Answer(body=b"late")), Answer())
            asking = asyncio.create_task(call(fake, request()), name="held")
            while not fake.requests:
                await asyncio.sleep(0)
            assert b"late" not in await call(fake, request())
            assert not asking.done()
            fake.let_go()
            assert b"late" in await asking

    run(scenario())


def test_a_connection_is_kept_and_bodies_may_be_chunked() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-a", Answer(body={"n": 1}))
            reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
            chunked = (
                request().partition(b"Content-Length")[0]
                + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
            )
            for raw in (request(), chunked):
                writer.write(raw)
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(7) == b'{"n":1}'
            assert (fake.connections, fake.requests[1].json) == (1, {"a": 1})
            writer.close()

    run(scenario())


def test_a_response_is_known_to_the_key_that_made_it_alone() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            await call(fake, request("responses"))
            ((made, owner),) = fake.response_owner.items()
            follow_up = {"previous_response_id": made}
            assert owner == "sk-a"
            assert status(await call(fake, request("responses", body=follow_up))) == 200
            assert status(await call(fake, request("responses", key="sk-b", body=follow_up))) == 400

    run(scenario())


def test_it_refuses_and_resets_connections_and_comes_back() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.refuse()
            with pytest.raises(ConnectionRefusedError):
                await call(fake, request())
            await fake.listen()
            fake.resets_connections = True
            with pytest.raises(ConnectionResetError):
                await call(fake, request())
            assert fake.requests == []
            fake.resets_connections = False
            assert status(await call(fake, request())) == 200

    run(scenario())


def test_a_function_may_choose_what_any_call_meets() -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-a", Answer(400))
            fake.script_all(lambda seen: Answer(503 if seen.key == "sk-a" else 418))
            assert [status(await call(fake, request(key=key))) for key in ("sk-a", "sk-b")] == [503, 418]

    run(scenario())


def test_it_speaks_tls_well_and_badly() -> None:
    async def scenario() -> None:
        for tls in (True, "wrong_host", "broken"):
            async with FakeProvider(tls=tls) as fake:
                context = ssl.create_default_context()
                assert fake.ca is not None
                fake.ca.configure_trust(context)
                if tls is True:
                    assert status(await call(fake, request(), context)) == 200
                else:
                    with pytest.raises(ssl.SSLError):
                        await call(fake, request(), context)

    run(scenario())
