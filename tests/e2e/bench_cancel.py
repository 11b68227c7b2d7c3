"""How long it takes from a client's leaving to the end of its upstream call, by phase.

    python -m tests.e2e.bench_cancel [ROUNDS]

The gateway runs as a process of its own. The time is taken from the client's close to the moment when the fake
provider, in this process, has seen its own client hang up; for a queued request, which has no upstream call, until it
has left the queue. Target: below 100 ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.load import CHAT, Caller
from tests.e2e.process import GatewayProcess, gateway, one_provider, write_keys
from tests.fakes.behaviours import Behaviour, Hang, HangAfter, Stream, rate_limited
from tests.fakes.provider import FakeProvider

KEY = "sk-bench-000000000000001"
WORD = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
TARGET_MS = 100.0

PHASES: dict[str, tuple[Behaviour, str, dict[str, object]]] = {
    "waiting for the first byte": (Hang(), "/v1/chat/completions", CHAT),
    "waiting for a stream": (Hang(), "/v1/chat/completions", {**CHAT, "stream": True}),
    "inside a plain answer": (HangAfter(100), "/v1/chat/completions", CHAT),
    "streaming": (HangAfter(len(WORD), Stream((WORD, WORD))), "/v1/chat/completions", {**CHAT, "stream": True}),
    "passing a body through": (HangAfter(1000), "/p/main/v1/audio/speech", CHAT),
}


async def connect(address: str, path: str, body: dict[str, object]) -> asyncio.StreamWriter:
    """A request on its way."""
    url = urlsplit(address)
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
    return writer


async def leave(writer: asyncio.StreamWriter, gone: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds from the close until `gone`."""
    await asyncio.sleep(0.02)  # the answer's first bytes are on their way
    started = time.perf_counter()
    writer.close()
    await gone()
    return (time.perf_counter() - started) * 1000


async def measure(running: GatewayProcess, fake: FakeProvider, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name, (behaviour, path, body) in PHASES.items():
        fake.script(KEY, behaviour)
        found[name] = []
        for _ in range(rounds):
            seen, aborted = len(fake.requests), fake.aborted
            writer = await connect(running.address, path, body)
            while len(fake.requests) == seen:
                await asyncio.sleep(0.001)
            found[name].append(await leave(writer, lambda count=aborted + 1: fake.wait_aborted(count)))  # type: ignore[misc]
    return found


async def measure_connecting(folder: Path, rounds: int) -> list[float]:
    """A provider that accepts and never answers the TLS handshake."""
    came, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        try:
            await reader.read()
        except ConnectionError:
            pass
        left.set()
        writer.close()

    found = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        write_keys(folder, [KEY])
        config = one_provider(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        async with gateway(folder, config) as running:
            for _ in range(rounds):
                came.clear()
                left.clear()
                writer = await connect(running.address, "/v1/chat/completions", CHAT)
                await came.wait()
                found.append(await leave(writer, left.wait))
    return found


async def waiting(running: GatewayProcess) -> int:
    """Requests that wait for a key, as the admin socket tells."""
    reader, writer = await asyncio.open_unix_connection(running.admin_socket)
    writer.write(b"GET /admin/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    _, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    number: int = json.loads(body)["providers"][0]["waiting"]
    return number


async def measure_queued(running: GatewayProcess, fake: FakeProvider, rounds: int) -> list[float]:
    """With the only key cooling. Asking the admin socket is part of the time."""

    async def until_waiting(number: int) -> None:
        while await waiting(running) != number:
            await asyncio.sleep(0.001)

    fake.script(KEY, rate_limited(9))
    assert (await Caller(running.address).chat()).status == 429
    found = []
    for _ in range(rounds):
        writer = await connect(running.address, "/v1/chat/completions", CHAT)
        await until_waiting(1)
        found.append(await leave(writer, lambda: until_waiting(0)))
    return found


async def main(rounds: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        async with FakeProvider() as fake:
            folder = Path(name) / "first"
            folder.mkdir()
            write_keys(folder, [KEY])
            async with gateway(folder, one_provider(fake.base_url)) as running:
                found = await measure(running, fake, rounds)
                found["queued"] = await measure_queued(running, fake, min(rounds, 20))
        second = Path(name) / "second"
        second.mkdir()
        found["connecting"] = await measure_connecting(second, rounds)
    for phase, times in found.items():
        times.sort()
        print(f"{phase:28} p50 {times[len(times) // 2]:7.2f} ms   max {times[-1]:7.2f} ms   n {len(times)}")
    late = [phase for phase, times in found.items() if times[-1] > TARGET_MS]
    if late:
        print(f"above {TARGET_MS:g} ms: {', '.join(late)}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)))
