"""What a flood of large requests, or of large answers, makes of the gateway's memory while its provider stalls.

    python3 -m tests.e2e.bench_overload [--clients 500] [--kb 1024]

For each kind of load, once as configured by default and once without a bound on what is held: the gateway's resident
memory at its peak, and how the clients were answered. Those without an answer were still waiting for the provider.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.e2e.bench_streams import CHUNK, HEAD
from tests.e2e.load import CHAT
from tests.e2e.process import gateway, one_provider, write_keys

SETTLED = 3.0  # seconds in which nothing has changed
UNBOUNDED = "max_buffered_bytes = 1099511627776"


class Load(NamedTuple):
    """What clients do, and what the provider does with it. Sizes in bytes."""

    name: str
    path: str = "/v1/chat/completions"
    sent: bool = True  # the requests are large, or the answers
    stream: bool = False  # the provider begins a stream
    read: bool = True  # the provider reads what it is sent


LOADS = (
    Load("requests that wait for an answer"),
    Load("requests that the provider does not read", read=False),
    Load("requests that are translated", path="/v1/messages"),
    Load("requests whose streams have begun", stream=True),
    Load("answers that do not end", sent=False),
    Load("answers that are translated and do not end", path="/v1/messages", sent=False),
)


class Upstream(asyncio.Protocol):
    """Takes requests, or leaves them in the line; begins an answer of `size` bytes of JSON, or a stream, and never ends
    it."""

    def __init__(self, size: int, *, read: bool, stream: bool) -> None:
        self.size = size
        self.read = read
        self.stream = stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if not self.read:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self.stream and b"\r\n\r\n" in data:
            self.transport.write(HEAD + CHUNK)
        if self.size and b"\r\n\r\n" in data:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % self.size
            self.transport.write(head + b'{"choices": [{"message": {"content": "'.ljust(self.size - 1, b"x"))


async def ask(address: str, load: Load, size: int, answers: Counter[str]) -> None:
    """One request of that size; its status is counted, or that there was none."""
    host, _, port = address.removeprefix("http://").partition(":")
    status = "no answer"
    writer = None
    try:
        reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
        message = {"role": "user", "content": "x" * size}
        body = json.dumps({**CHAT, "max_tokens": 9, "stream": load.stream, "messages": [message]}).encode()
        head = f"POST {load.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        status = (await reader.readuntil(b"\r\n"))[9:12].decode()
        await asyncio.Event().wait()
    except OSError:
        status = "connection lost"
    finally:
        answers[status] += 1
        if writer is not None:
            writer.transport.abort()


def memory(pid: int, what: str) -> float:
    """In MB: VmRSS, or VmHWM for its peak."""
    found = re.search(rf"^{what}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) / 1024


async def wait_settled(pid: int) -> None:
    """Until the gateway has used no processor time for a while."""
    used: list[str] = []
    while (now := Path(f"/proc/{pid}/stat").read_text().split()[13:15]) != used:
        used = now
        await asyncio.sleep(SETTLED)


async def flood(load: Load, server: str, clients: int, size: int) -> None:
    upstream = partial(Upstream, 0 if load.sent else size, read=load.read, stream=load.stream)
    listener = await asyncio.get_running_loop().create_server(upstream, "127.0.0.1", 0, backlog=4096)
    base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_keys(folder, [f"sk-bench-{n:016}" for n in range(50)])
        config = one_provider(base_url, server=f"drain_timeout = 1\n{server}")
        async with gateway(folder, config) as running:
            pid = running.process.pid
            answers: Counter[str] = Counter()
            sent = size if load.sent else 0
            tasks = [
                asyncio.create_task(ask(running.address, load, sent, answers), name=f"client {n}")
                for n in range(clients)
            ]
            await wait_settled(pid)
            peak, held = memory(pid, "VmHWM"), memory(pid, "VmRSS")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            said = ", ".join(f"{count} × {status}" for status, count in sorted(answers.items()))
            print(f"    {'unbounded' if server else 'default':9}  peak {peak:6.0f} MB, then {held:6.0f} MB; {said}")
    listener.close()


async def main(clients: int, size: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    for load in LOADS:
        print(f"{clients} {load.name}, {size // 1024} KB each")
        for server in ("", UNBOUNDED):
            await flood(load, server, clients, size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--kb", type=int, default=1024)
    given = parser.parse_args()
    asyncio.run(main(given.clients, given.kb * 1024))
