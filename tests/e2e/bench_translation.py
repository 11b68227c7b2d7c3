"""What translating a stream costs: CPU time of the gateway per event, in each dialect of clients, against one provider.

    python3 -m tests.e2e.bench_translation [--seconds 4]

The provider speaks Chat Completions, so the first row passes its bytes on and the others translate them. The last
column is the ratio to the first row of the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.e2e.process import gateway, one_provider, write_keys

EVENTS = 200
STREAMS = 8

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SAY = "Say something long."


class Ask(NamedTuple):
    name: str
    path: str
    body: dict[str, object]


ASKS = (
    Ask("openai_chat (passed on)", "/v1/chat/completions", {"messages": [{"role": "user", "content": SAY}]}),
    Ask("anthropic", "/v1/messages", {"max_tokens": 500, "messages": [{"role": "user", "content": SAY}]}),
    Ask(
        "gemini",
        "/v1beta/models/gpt-4o-mini:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": SAY}]}]},
    ),
    Ask("openai_responses", "/v1/responses", {"input": SAY}),
)


def chunk(**delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if delta else "stop"}
    payload = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini",
        "choices": [choice],
    }  # fmt: skip
    event = b"data: %b\n\n" % json.dumps(payload, separators=(",", ":")).encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


PIECES = [
    chunk(role="assistant", content=""),
    *[chunk(content=" word")] * EVENTS,
    chunk(),
    b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n",
]


class Upstream(asyncio.Protocol):
    """Streams EVENTS words for every request, a write for each, and lets others in between."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if end and len(body) >= length:
            self.received = b""
            self.transport.write(HEAD)
            asyncio.get_running_loop().call_soon(self.write, 0)

    def write(self, number: int) -> None:
        self.transport.write(PIECES[number])
        if number + 1 < len(PIECES) and not self.transport.is_closing():
            asyncio.get_running_loop().call_soon(self.write, number + 1)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def read_streams(address: str, ask: Ask, until: float) -> int:
    """Ask again and again on one connection. How many streams came to their end."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
    body = json.dumps({"model": "gpt-4o-mini", "stream": True, **ask.body}).encode()
    if "gemini" in ask.name:
        body = json.dumps(ask.body).encode()
    head = (
        f"POST {ask.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    )
    request = f"{head}\r\n\r\n".encode() + body
    streams = 0
    while time.monotonic() < until:
        writer.write(request)
        answer = await reader.readuntil(b"\r\n0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200") and answer.count(b" word") >= EVENTS, answer[:500]
        streams += 1
    writer.close()
    return streams


async def main(seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=4096)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_keys(folder, [f"sk-bench-{n:016}" for n in range(50)])
        config = one_provider(base_url, provider='dialects = ["openai_chat"]')
        async with gateway(folder, config) as running:
            pid, passed = running.process.pid, 0.0
            for ask in ASKS:
                await read_streams(running.address, ask, time.monotonic() + 0.3)
                before = cpu_seconds(pid)
                until = time.monotonic() + seconds
                streams = sum(
                    await asyncio.gather(*(read_streams(running.address, ask, until) for _ in range(STREAMS)))
                )
                micros = (cpu_seconds(pid) - before) / streams / (EVENTS + 2) * 1e6
                passed = passed or micros
                print(f"{ask.name:24} {streams:6} streams  {micros:6.1f} us of CPU an event  {micros / passed:5.2f} x")
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=4.0)
    asyncio.run(main(parser.parse_args().seconds))
