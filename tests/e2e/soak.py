"""Soak: a day's requests in one go, and whether the gateway's memory grows.

    python3 -m tests.e2e.soak --requests 2000000 [--out memory.svg] [--connections 64]

A gateway process of its own, with API tokens and JWTs, limits, billing and cache; four APIs, native and translated,
whole and streamed; mistakes, rejected tokens, clients that leave, bad keys, and a provider with troubles (`canned.py`,
in this process, as the clients are). Every few thousand requests its memory, files and tasks are read.

The verdict is about the second half of the requests; the first fills what is bounded (caches, owners of answers,
windows of limits, the database's pages). Memory grows if the line through its samples rises by more than 1 % or 1 MB
over that half, whichever is more, and by more than three of its standard errors. A byte a request is a megabyte in a
million: fewer than that cannot be told from noise. Files and tasks must not grow by more than GROWTH of them.

Exit code: 0 flat, 1 grows, 2 answers were not those expected.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.canned import BAD_KEY, Canned
from tests.e2e.deck import SECRET, Connection, Deck
from tests.e2e.load import Caller
from tests.e2e.process import GatewayProcess, gateway, write_keys
from tests.e2e.slope import Trend, draw, fit, sparkline

PROVIDERS = {
    "openai": ("/v1", ["openai_chat", "openai_responses"]),
    "anthropic": ("", ["anthropic"]),
    "gemini": ("", ["gemini"]),
}
GOOD_KEYS = 20
SAMPLES = 400
ODD = 0.001
"""The part of the answers that may be others than expected."""

MEGABYTE = 1 << 20
GROWTH = 8

CONFIG = """
[server]
listen = ["127.0.0.1:0"]
[logging]
requests = false
[auth]
required = true
[auth.jwt]
secret = "{secret}"
[tokens.ann]
token = "token-of-ann"
[tokens.bob]
token = "token-of-bob"
[tokens.limited]
token = "token-of-limited"
limits = {{ requests_per_minute = 60 }}
[tokens.root]
token = "token-of-root"
scopes = ["admin"]
[limits.user]
requests_per_minute = 100000000
tokens_per_minute = 100000000000
concurrency = 10000
[billing]
enabled = true
default_balance = 300000000
[cache]
enabled = true
max_mb = 8
ttl = 60
[providers.echo]
type = "echo"
models = ["m-echo"]
[prices."m-echo"]
input = 1
output = 2
"""

PROVIDER = """
[providers.{name}]
type = "{name}"
base_url = "{url}"
dialects = {dialects}
keys = "keys/{name}.txt"
models = ["m-{name}"]
probe.kind = "none"
timeouts.first_byte = 20
retry.on_server_error = {{ attempts = 3, backoff = 0.01, factor = 2 }}
health = {{ server_error = 1, rate_limit = 1, verification_delay = 5, invalid = 60 }}
[prices."m-{name}"]
input = 1
output = 2
"""


@dataclass(slots=True)
class Samples:
    """What was read of the gateway, at so many requests."""

    requests: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    tasks: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)  # seconds that the gateway has used

    def trend(self, values: list[float]) -> Trend:
        """Over the second half."""
        half = len(values) // 2
        return fit(self.requests[half:], values[half:])


class Watch:
    """Reads the gateway: memory and files from proc(5), tasks from its metrics."""

    def __init__(self, running: GatewayProcess) -> None:
        self.samples = Samples()
        self._pid = running.process.pid
        self._caller = Caller(running.address, "token-of-root")

    async def look(self, requests: int) -> None:
        samples = self.samples
        page = (await self._caller.request("GET", "/metrics")).body
        samples.requests.append(requests)
        samples.tasks.append(_value(page, b"llm_gateway_tasks"))
        samples.processor.append(_value(page, b"process_cpu_seconds_total"))
        samples.memory.append(int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
        samples.files.append(len(os.listdir(f"/proc/{self._pid}/fd")))

    def close(self) -> None:
        self._caller.close()


def _value(page: bytes, metric: bytes) -> float:
    return float(page.partition(b"\n%b " % metric)[2].partition(b"\n")[0])


async def soak(folder: Path, requests: int, connections: int, seed: int) -> tuple[Deck, Samples, float]:
    """The run itself, with the seconds that it took. Says on standard error how far it is."""
    loop = asyncio.get_running_loop()
    count = [0]
    server = await loop.create_server(lambda: Canned(count), "127.0.0.1", 0, backlog=1024)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, gateway(folder, _config(folder, origin)) as running:
        host, _, port = running.address.removeprefix("http://").partition(":")
        deck, watch = Deck(requests, host, seed), Watch(running)
        started = loop.time()
        clients = [Connection(deck, (host, int(port))) for _ in range(connections)]
        await asyncio.gather(*(client.open() for client in clients))
        every = max(requests // SAMPLES, 1)
        while deck.left:
            due = (len(watch.samples.requests) + 1) * every
            while deck.left and deck.asked < due:
                await asyncio.sleep(0.02)
            await watch.look(deck.asked)
            if len(watch.samples.requests) % (SAMPLES // 20) == 0:
                rate, memory = deck.asked / (loop.time() - started), watch.samples.memory[-1] / MEGABYTE
                print(f"{deck.asked:9} requests, {rate:.0f} a second, {memory:.1f} MB", file=sys.stderr)
        async with asyncio.timeout(60):
            await asyncio.gather(*(client.ended for client in clients))
        seconds = loop.time() - started
        watch.close()
    return deck, watch.samples, seconds


def _config(folder: Path, origin: str) -> str:
    tables = [CONFIG.format(secret=SECRET)]
    for name, (path, dialects) in PROVIDERS.items():
        good = [f"sk-{name}-{number:08}" for number in range(GOOD_KEYS)]
        write_keys(folder, [f"{BAD_KEY.decode()}-{name}", *good], f"{name}.txt")
        tables.append(PROVIDER.format(name=name, url=origin + path, dialects=json.dumps(dialects)))
    return "\n".join(tables)


def rates(deck: Deck, samples: Samples, seconds: float) -> list[str]:
    """How it went, in lines."""
    used = samples.trend(samples.processor).slope
    outcomes = (f"{name} {status}: {count}" for (name, status), count in sorted(deck.outcomes.items()))
    return [
        f"{deck.asked} requests in {seconds:.0f} s, {deck.asked / seconds:.0f} a second; {deck.broken} broken streams",
        f"processor time a request: {used * 1000:.2f} ms of the gateway, "
        f"{time.process_time() / deck.asked * 1000:.2f} ms of its clients and provider",
        ", ".join(outcomes),
        *(f"  {count} x not expected: {what}" for what, count in deck.odd.most_common(10)),
    ]


def judge(samples: Samples) -> tuple[bool, list[str]]:
    """Whether it is flat, and the lines that say so."""
    memory = samples.trend(samples.memory)
    middle = memory.at(samples.requests[-1] - memory.span / 2)
    allowed = max(MEGABYTE, middle / 100)
    grows = [memory.grows(allowed)]
    lines = [
        f"memory {min(samples.memory) / MEGABYTE:.1f}…{max(samples.memory) / MEGABYTE:.1f} MB "
        f"{sparkline(samples.memory)}",
        f"second half: {memory.slope:+.3f} ± {memory.error:.3f} bytes a request, {memory.growth / MEGABYTE:+.2f} MB in "
        f"all; {allowed / MEGABYTE:.2f} MB are allowed: {'GROWS' if grows[0] else 'flat'}",
    ]
    for name, values in (("files", samples.files), ("tasks", samples.tasks)):
        trend = samples.trend(values)
        grows.append(trend.grows(GROWTH))
        lines.append(
            f"{name} {min(values):.0f}…{max(values):.0f}, {trend.growth:+.1f} over the second half: "
            f"{'GROW' if grows[-1] else 'flat'}"
        )
    return not any(grows), lines


def picture(samples: Samples, title: str) -> str:
    memory = [value / MEGABYTE for value in samples.memory]
    return draw(samples.requests, memory, samples.trend(memory), samples.requests[len(memory) // 2], title, "MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="an SVG of the memory")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        deck, samples, seconds = runner.run(soak(Path(folder), args.requests, args.connections, args.seed))
    flat, verdict = judge(samples)
    print("\n".join([*rates(deck, samples, seconds), *verdict]))
    if args.out:
        args.out.write_text(picture(samples, f"{deck.asked:,} requests. {verdict[1]}"))
    return 2 if deck.odd.total() > ODD * deck.asked else 0 if flat else 1


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed, so that the load takes less of the machine."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
