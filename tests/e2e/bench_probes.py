"""What probes cost: the gateway's processor time for each, and the latency of the requests beside them.

    python3 -m tests.e2e.bench_probes [--keys 2000] [--rate 200]

First as many requests as keys, then a probe of every key (`keys check`, both kinds), against a provider in this process
that answers at once: processor time of the gateway for one of them. Target: a probe costs at most two requests. Then
requests at a steady rate, without probes and with 200 of them always in flight, in turns. Target: p99 within 20 %.

On a virtual machine the host takes the processors away now and then, which proc(5) shows as stolen time, and a
hundredth of the requests is a p99. So there are more turns than are judged, which are those with the least of it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import cast

from tests.e2e.bench_sync import WHOLE, Load
from tests.e2e.load import load
from tests.e2e.process import GatewayProcess, gateway, one_provider, write_keys

LISTED = b'{"object":"list","data":[{"id":"gpt-4o-mini","object":"model","created":1,"owned_by":"provider"}]}'
LIST = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(LISTED) + LISTED
AT_ONCE = 200
SECONDS = 4.0
TURNS = 24
"""Short ones, one after the other, so that what else the machine does meets both alike."""
JUDGED = 9
TICKS = os.sysconf("SC_CLK_TCK")
PACE = """
probe.concurrency = 200
probe.min_interval = 0
health.batch_size = 1
health.batch_interval = 3600
"""  # nothing is probed but what we ask for


class Upstream(asyncio.Protocol):
    """Answers requests at once and lists of models after `delay` seconds."""

    delay = 0.0
    waiting = 0
    most_waiting = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"GET "):
            self.transport.write(WHOLE * data.count(b"POST /"))
            return
        Upstream.waiting += 1
        Upstream.most_waiting = max(Upstream.most_waiting, Upstream.waiting)
        asyncio.get_running_loop().call_later(Upstream.delay, self.answer)

    def answer(self) -> None:
        Upstream.waiting -= 1
        self.transport.write(LIST)


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def check_all(running: GatewayProcess) -> None:
    ended = await running.command("keys", "check", "*")
    assert ended.code == 0, ended.err


async def measure_cost(folder: Path, base_url: str, keys: int) -> bool:
    """Whether a probe costs at most two requests."""
    found: dict[str, float] = {}
    for kind in ("models", "request"):
        config = one_provider(base_url, provider=PACE, probe=kind)
        async with gateway(folder, config) as running:
            pid = running.process.pid
            await load(running.address, 500, 8)  # connections, caches
            before = processor_seconds(pid)
            await load(running.address, keys, 8)
            found.setdefault("request", processor_seconds(pid) - before)
            before = processor_seconds(pid)
            await check_all(running)
            found[f"probe, kind {kind}"] = processor_seconds(pid) - before
    for name, seconds in found.items():
        ratio = seconds / found["request"]
        print(f"{name:28} {seconds / keys * 1e6:6.0f} µs of processor time   {ratio:4.2f} requests")
    return max(found.values()) <= 2 * found["request"]


async def measure_latency(folder: Path, base_url: str, rate: float) -> bool:
    """Whether the requests' p99 is within 20 % of that without probes, by the medians of the turns."""
    config = one_provider(base_url, provider=PACE, probe="models")
    async with gateway(folder, config) as running:
        requests = Load(running.address, rate)
        loading = asyncio.create_task(requests.run(), name="load")
        await asyncio.sleep(1)
        turns: list[tuple[float, float, float]] = []  # stolen time, p99 without probes, p99 beside them
        for _ in range(TURNS):
            stolen = stolen_seconds()
            await requests.phase("no probes", lambda: asyncio.sleep(SECONDS), settle=0)
            alone = p99(requests.latencies)
            Upstream.most_waiting = 0
            checking = asyncio.create_task(check_all(running), name="probes")
            while Upstream.waiting < AT_ONCE:
                await asyncio.sleep(0.01)
            await requests.phase(f"{AT_ONCE} probes in flight", lambda: asyncio.sleep(SECONDS), settle=0)
            turns.append((stolen_seconds() - stolen, alone, p99(requests.latencies)))
            await checking
            assert Upstream.most_waiting == AT_ONCE
        loading.cancel()
    turns = sorted(turns)[:JUDGED]
    for stolen, alone, beside in turns:
        print(f"p99 {alone * 1000:5.1f} ms alone, {beside * 1000:5.1f} ms beside probes; {stolen:.2f} s were stolen")
    ratio = median(beside for _, _, beside in turns) / median(alone for _, alone, _ in turns)
    print(f"p99 with {AT_ONCE} probes in flight, by the medians of {JUDGED} turns: {ratio:.2f} × that without")
    return ratio <= 1.2


def stolen_seconds() -> float:
    """Of all processors together, since the start of the machine."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / TICKS


def p99(latencies: list[float]) -> float:
    return sorted(latencies)[int(len(latencies) * 0.99)]


async def main(keys: int, rate: float) -> int:
    gc.disable()  # or this process is what is measured
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as name:
        write_keys(Path(name), [f"sk-bench-{n:032}" for n in range(keys)])
        cheap = await measure_cost(Path(name), base_url, keys)
        Upstream.delay = max(1.5 * SECONDS * AT_ONCE / keys, 1.5)  # so that the probes outlast the phase
        gentle = await measure_latency(Path(name), base_url, rate)
    server.close()
    return 0 if cheap and gentle else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--keys", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=200.0)
    args = parser.parse_args()
    sys.exit(asyncio.run(main(args.keys, args.rate)))  # uvloop's clock counts milliseconds
