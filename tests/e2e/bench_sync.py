"""What a change of a hundred thousand keys costs the requests that run meanwhile.

    python3 -m tests.e2e.bench_sync [--keys 100000] [--rate 200]

Some 200 requests a second run against a fake provider in this process. Then a file of 100,000 keys appears, then half
of it is replaced, then the gateway starts anew with all of them and their statuses. Prints p50, p99 and maximum of the
requests' latency in milliseconds in each phase, and the seconds until the keys are in. The provider and the callers
share a core with nothing but each other, so give the gateway one of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.e2e.load import CHAT, Caller
from tests.e2e.process import GatewayProcess, gateway, one_provider, write_keys

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}'
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
WHOLE = HEAD % len(ANSWER) + ANSWER


class Upstream(asyncio.Protocol):
    """Answers every request at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(WHOLE * data.count(b"POST /"))


class Load:
    """Requests at a steady rate, whether or not the earlier ones were answered; latencies of the current phase."""

    def __init__(self, address: str, rate: float) -> None:
        self._address = address
        self._gap = 1 / rate
        self._idle: deque[Caller] = deque()  # in turn, so that none is idle until the gateway closes it
        self._running: set[asyncio.Task[None]] = set()
        self.latencies: list[float] = []
        self.failed = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            task = loop.create_task(self._call(due), name="call")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            due += self._gap
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _call(self, due: float) -> None:
        caller = self._idle.popleft() if self._idle else Caller(self._address)
        answer = await caller.post("/v1/chat/completions", CHAT)
        self.failed += answer.status != 200
        self.latencies.append(asyncio.get_running_loop().time() - due)
        self._idle.append(caller)

    async def phase(self, name: str, work: Callable[[], Awaitable[object]], settle: float = 1.0) -> None:
        """Do something and print what requests saw meanwhile, and for a moment after."""
        self.latencies.clear()
        started = time.monotonic()
        await work()
        took = time.monotonic() - started
        await asyncio.sleep(settle)
        found = sorted(self.latencies)
        p50, p99 = (found[int(len(found) * share)] * 1000 for share in (0.5, 0.99))
        print(
            f"{name:34} {took:6.2f} s   p50 {p50:6.1f}   p99 {p99:6.1f}   max {found[-1] * 1000:6.1f} ms"
            f"   ({len(found)} requests, {self.failed} failed)",
            flush=True,
        )


async def main(keys: int, rate: float) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = [f"sk-first-{n:032}" for n in range(10)]
        old = [f"sk-old-{n:032}" for n in range(keys)]
        new = [f"sk-new-{n:032}" for n in range(keys // 2)]
        config = one_provider(base_url, server="drain_timeout = 1").replace("keys/main.txt", "keys")
        write_keys(folder, first, "first.txt")
        async with gateway(folder, config) as running:
            load = Load(running.address, rate)
            loading = asyncio.create_task(load.run(), name="load")
            await asyncio.sleep(1)
            await load.phase("nothing else", lambda: asyncio.sleep(4))
            await load.phase(f"{keys} keys added", lambda: change(running, folder, old))
            half = old[: keys // 2] + new
            await load.phase(f"{keys // 2} of them replaced", lambda: change(running, folder, half))
            loading.cancel()
        give_statuses(folder / "state" / "llmgateway.db")
        started = time.monotonic()
        async with gateway(folder, config) as running:
            print(f"{'start with all of them':34} {time.monotonic() - started:6.2f} s")
            load = Load(running.address, rate)
            loading = asyncio.create_task(load.run(), name="load")
            await asyncio.sleep(1)
            await load.phase("a tenth of them wakes up", lambda: asyncio.sleep(12))
            await load.phase("one key added", lambda: change(running, folder, [*half, "sk-" + "x" * 40]))
            loading.cancel()
    server.close()


async def change(running: GatewayProcess, folder: Path, keys: list[str]) -> None:
    await asyncio.to_thread(write_keys, folder, keys, "many.txt")
    before = sum(line["event"] == "keys_synced" for line in running.logs)
    await running.wait_log("keys_synced", before + 1)


def give_statuses(path: Path) -> None:
    """As if every key had answered once, and a tenth had been rate limited."""
    with sqlite3.connect(path) as database:
        database.execute(
            """INSERT OR REPLACE INTO key_status SELECT provider, digest, '__ALL_MODELS__',
                CASE WHEN rowid % 10 THEN 'valid' ELSE 'rate_limited' END,
                CASE WHEN rowid % 10 THEN NULL ELSE unixepoch() + 8 + rowid % 50 / 10 END,
                'authoritative', '', '', NULL, NULL, 1.0, 0, 1 FROM keys WHERE removed_at IS NULL"""
        )
    database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=200.0)
    args = parser.parse_args()
    asyncio.run(main(args.keys, args.rate))
