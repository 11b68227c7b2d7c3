"""What requests cost in instructions: those of the gateway's own process, counted by valgrind. Load does not change
them, so that two versions can be compared on a busy machine, to a percent or so. The kernel's are not in it.

    python3 -m tests.e2e.count_instructions [--requests 320] [--streams 16] [--yardstick FILE] [plain billed …]

Prints thousands of instructions for a request that is not streamed, with 32 under way, and for an event of a stream,
with 8 under way; each event reaches the gateway by itself. The difference between long streams and short ones is the
events'. `--yardstick` is a proxy to compare with, run as `FILE PORT UPSTREAM_PORT`. Without valgrind it says so, and
ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.process import ROOT, one_provider, write_keys
from tests.ports import free_port

WARM_UP = 3
"""Rounds before the counting begins: caches fill, functions are specialised."""

REQUESTS_AT_ONCE = 32
STREAMS_AT_ONCE = 8
LONG, SHORT = 200, 20
"""Events of a stream."""

AUTH = """
[auth]
required = true
[tokens.bench]
token = "sk-bench"
user = "bench"
"""
BILLING = """
[billing]
enabled = true
default_balance = 1000000
"""
SETTINGS: Mapping[str, str] = {"plain": AUTH, "billed": AUTH + BILLING}

BODY = json.dumps(
    {
        "id": "chatcmpl-123", "object": "chat.completion", "created": 1677652288, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there, how may I assist you? " * 3},
                     "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
    }
).encode()  # fmt: skip
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nx-request-id: req_1\r\n%b\r\n\r\n"
ANSWER = HEAD % (b"application/json", b"content-length: %d" % len(BODY)) + BODY
STREAM_HEAD = HEAD % (b"text/event-stream; charset=utf-8", b"transfer-encoding: chunked")
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Write one sentence about the sea, and nothing else than that one sentence, please."},
]


def chunk(delta: object, finish: str | None = None, **more: object) -> bytes:
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    payload = {
        "id": "chatcmpl-123", "object": "chat.completion.chunk", "created": 1677652288, "model": "gpt-4o-mini",
        "system_fingerprint": "fp_1", "choices": choices, **more,
    }  # fmt: skip
    event = b"data: %b\n\n" % json.dumps(payload, separators=(",", ":")).encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


USAGE = chunk({}, choices=[], usage={"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21})
END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Answers at once. Of a stream it sends an event when its client has got the one before: see `Pace`."""

    def __init__(self, paces: dict[str, asyncio.Event]) -> None:
        self._paces = paces
        self._received = b""
        self._streaming: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if not found or length is None or len(body) < int(length[1]):
            return
        self._received = b""
        asked = json.loads(body)
        if asked.get("stream"):
            self._streaming = asyncio.create_task(self._stream(asked), name="stream")
        else:
            self._transport.write(ANSWER)

    async def _stream(self, asked: dict[str, str]) -> None:
        name, _, events = asked["user"].partition(" ")
        pace = self._paces[name]
        self._transport.write(STREAM_HEAD + chunk({"role": "assistant", "content": ""}))
        for n in range(int(events)):
            self._transport.write(chunk({"content": f" tok{n}"}))
            await pace.wait()
            pace.clear()
        self._transport.write(chunk({}, "stop") + (USAGE if "stream_options" in asked else b"") + END)


class Driver:
    """Clients of the proxy on `port`, and the upstream behind it."""

    def __init__(self) -> None:
        self.port = 0
        self._paces: dict[str, asyncio.Event] = {}
        self._server: asyncio.Server

    async def listen(self) -> int:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Upstream(self._paces), "127.0.0.1", 0, backlog=1024)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def requests(self, count: int) -> None:
        await asyncio.gather(*[self._client(count // REQUESTS_AT_ONCE, "", 0) for _ in range(REQUESTS_AT_ONCE)])

    async def streams(self, count: int, events: int) -> None:
        clients = [self._client(count // STREAMS_AT_ONCE, f"c{n}", events) for n in range(STREAMS_AT_ONCE)]
        await asyncio.gather(*clients)

    async def _client(self, count: int, name: str, events: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = json.dumps({"model": "gpt-4o-mini", "messages": MESSAGES, "stream": bool(name)})
        if name:
            self._paces[name] = asyncio.Event()
            body = json.dumps({**json.loads(body), "user": f"{name} {events}"})
        request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer sk-bench\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        for _ in range(count):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            if length is not None:
                await reader.readexactly(int(length[1]))
                continue
            while not (data := await reader.readuntil(b"\n\r\n")).endswith(b"0\r\n\r\n"):
                if b" tok" in data:
                    self._paces[name].set()
                elif b"[DONE]" in data:
                    await reader.readuntil(b"0\r\n\r\n")
                    break
        writer.close()


class Counted:
    """A process under valgrind, whose instructions are counted between `begin` and `end`."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid = pid
        self._folder = folder
        self._parts = 0

    async def begin(self) -> None:
        await self._control("--instr=on")
        await self._control("--zero")

    async def end(self) -> int:
        await self._control("--dump")
        await self._control("--instr=off")
        self._parts += 1
        text = (self._folder / f"callgrind.{self._parts}").read_text()
        found = re.search(r"^totals: (\d+)", text, re.M)
        assert found is not None
        return int(found[1])

    async def _control(self, *words: str) -> None:
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            "callgrind_control", *words, str(self._pid), stdout=quiet, stderr=quiet
        )
        assert await process.wait() == 0


@asynccontextmanager
async def counted(folder: Path, port: int, *words: str) -> AsyncIterator[Counted]:
    """A Python command that listens on `port`."""
    out = folder / "callgrind"
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", "-q"]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *valgrind, sys.executable, *words, cwd=ROOT, stdout=log, stderr=log,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
    try:
        while True:
            assert process.returncode is None, (folder / "log").read_text()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                break
        yield Counted(process.pid, folder)
    finally:
        process.terminate()
        await process.wait()


async def count(driver: Driver, process: Counted, requests: int, streams: int) -> tuple[float, float]:
    """Instructions for a request, and for an event."""
    for _ in range(WARM_UP):
        await driver.requests(REQUESTS_AT_ONCE * 4)
        await driver.streams(STREAMS_AT_ONCE, SHORT)
    await process.begin()
    await driver.requests(requests)
    whole = await process.end()
    totals = []
    for events in (SHORT, LONG):
        await process.begin()
        await driver.streams(streams, events)
        totals.append(await process.end())
    return whole / requests, (totals[1] - totals[0]) / streams / (LONG - SHORT)


async def main(cases: list[str], yardstick: str, requests: int, streams: int) -> None:
    driver = Driver()
    upstream = await driver.listen()
    first: tuple[float, float] | None = None
    for case in (["yardstick"] if yardstick else []) + cases:
        driver.port = free_port()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if case == "yardstick":
                words = [yardstick, str(driver.port), str(upstream)]
            else:
                write_keys(folder, [f"sk-bench-{n:016}" for n in range(200)])
                config = one_provider(f"http://127.0.0.1:{upstream}/v1", more=SETTINGS[case])
                (folder / "config.toml").write_text(config.replace(':0"', f':{driver.port}"'))
                words = ["-m", "gateway", "serve", "--config", str(folder / "config.toml")]
            async with counted(folder, driver.port, *words) as process:
                found = await count(driver, process, requests, streams)
        ratios = "" if first is None else f"   {found[0] / first[0]:.2f} x, {found[1] / first[1]:.2f} x"
        first = first or (found if yardstick else None)
        print(f"{case:10} {found[0] / 1000:8.1f} a request, {found[1] / 1000:6.1f} an event{ratios}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("cases", nargs="*", metavar="case", help=" or ".join(SETTINGS))
    parser.add_argument("--requests", type=int, default=320)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--yardstick", default="")
    said = parser.parse_args()
    if shutil.which("callgrind_control") is None:
        sys.exit("valgrind is not installed: nothing can be counted")
    asyncio.run(main(said.cases or list(SETTINGS), said.yardstick, said.requests, said.streams))
