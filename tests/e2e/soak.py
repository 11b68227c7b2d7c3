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
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast

from tests.e2e.canned import BAD_KEY, Canned
from tests.e2e.load import Caller
from tests.e2e.process import GatewayProcess, gateway, write_keys
from tests.e2e.slope import Trend, draw, fit, sparkline

PROVIDERS = {
    "openai": ("/v1", ["openai_chat", "openai_responses"]),
    "anthropic": ("", ["anthropic"]),
    "gemini": ("", ["gemini"]),
}
GOOD_KEYS = 20
USERS = 1000
"""Users of JWTs, beside those of the configuration."""

SECRET = "a secret that is long enough for the signature of a JSON Web Token"
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


class Kind(NamedTuple):
    """A request of which `share` in a thousand are. Its body has NUMBER where its own number goes, `same` of them one
    and the same; `statuses` are what may come back, with `mark` in a 200."""

    name: str
    share: int
    path: str
    body: bytes
    mark: bytes = b""
    statuses: tuple[int, ...] = (200,)
    token: str = ""
    same: int = 0


NUMBER = b"0123456789"
HELLO = "Tell me about 0123456789, if you please."


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def _chat(model: str, *, stream: bool = False) -> bytes:
    messages = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": HELLO}]
    return _json(model=model, messages=messages, max_tokens=100, stream=stream)


def _generate() -> bytes:
    return _json(contents=[{"role": "user", "parts": [{"text": HELLO}]}])


CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
WHOLE, STREAM = "/v1beta/models/{}:generateContent", "/v1beta/models/{}:streamGenerateContent?alt=sse"
DONE, COMPLETED, STOP, LAST = b"[DONE]", b"response.completed", b"message_stop", b"STOP"

KINDS = (
    Kind("chat", 180, CHAT, _chat("m-openai"), b'"stop"'),
    Kind("chat, streamed", 180, CHAT, _chat("m-openai", stream=True), DONE),
    Kind("chat, cached", 80, CHAT, _chat("m-openai"), b'"stop"', same=500),
    Kind("chat, streamed, cached", 40, CHAT, _chat("m-openai", stream=True), DONE, same=500),
    Kind("chat at the built-in provider", 40, CHAT, _chat("m-echo"), b"choices"),
    Kind("chat, translated", 40, CHAT, _chat("m-anthropic"), b'"stop"'),
    Kind("chat, translated, streamed", 40, CHAT, _chat("m-gemini", stream=True), DONE),
    Kind("responses", 30, RESPONSES, _json(model="m-openai", input=HELLO), b"completed"),
    Kind("responses, streamed", 30, RESPONSES, _json(model="m-openai", input=HELLO, stream=True), COMPLETED),
    Kind("responses, translated", 20, RESPONSES, _json(model="m-anthropic", input=HELLO, stream=True), COMPLETED),
    Kind("messages", 60, MESSAGES, _chat("m-anthropic").replace(b'"system"', b'"user"'), b"end_turn"),
    Kind("messages, streamed", 60, MESSAGES, _chat("m-anthropic", stream=True).replace(b'"system"', b'"user"'), STOP),
    Kind("messages, translated", 30, MESSAGES, _chat("m-openai", stream=True).replace(b'"system"', b'"user"'), STOP),
    Kind("generate", 50, WHOLE.format("m-gemini"), _generate(), LAST),
    Kind("generate, streamed", 50, STREAM.format("m-gemini"), _generate(), LAST),
    Kind("generate, translated", 20, STREAM.format("m-openai"), _generate(), LAST),
    Kind("no JSON", 10, CHAT, b'{"model": "m-openai", "messages": 0123456789', statuses=(400,)),
    Kind("unknown model", 10, CHAT, _chat("m-0123456789"), statuses=(404,)),
    Kind("rejected token", 10, CHAT, _chat("m-openai"), statuses=(401,), token="token-0123456789"),
    Kind("limited token", 10, CHAT, _chat("m-openai"), statuses=(200, 429), token="token-of-limited"),
    Kind("client leaves", 10, CHAT, _chat("m-openai", stream=True), statuses=()),
)  # fmt: skip
"""What clients ask."""


def tokens() -> list[bytes]:
    """Credentials of all users."""
    import jwt

    until = int(time.time()) + 30 * 86400
    issued = [jwt.encode({"sub": f"user-{number}", "exp": until}, SECRET, "HS256") for number in range(USERS)]
    return [token.encode() for token in (*["token-of-ann", "token-of-bob"] * USERS, *issued)]


class Deck:
    """The requests, one after the other, and what came of them. `left`: how many are still to be asked."""

    def __init__(self, requests: int, host: str, seed: int) -> None:
        self.left = requests
        self.asked = 0
        self.outcomes: Counter[tuple[str, int]] = Counter()
        self.odd: Counter[str] = Counter()
        self.broken = 0  # streams: by the provider
        self._rng = Random(seed)
        self._order = [kind for kind in KINDS for _ in range(kind.share)]
        self._rng.shuffle(self._order)
        self._tokens = tokens()
        self._heads = {kind: self._head(kind, host) for kind in KINDS}

    def _head(self, kind: Kind, host: str) -> tuple[bytes, bytes]:
        before = f"POST {kind.path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {kind.token}".encode()
        after = f"\r\ncontent-type: application/json\r\ncontent-length: {len(kind.body)}\r\n\r\n".encode()
        return before, after + kind.body

    def draw(self) -> tuple[Kind, bytes] | None:
        """The next request, in bytes; None after the last."""
        if not self.left:
            return None
        self.left -= 1
        self.asked = number = self.asked + 1
        kind = self._order[number % len(self._order)]
        before, after = self._heads[kind]
        if kind.token:
            request = before + after
        else:
            request = b"%b%b%b" % (before, self._tokens[number * 7919 % len(self._tokens)], after)
        return kind, request.replace(NUMBER, b"%010d" % (number % kind.same if kind.same else number))

    def note(self, kind: Kind, status: int, answer: bytes) -> None:
        """A whole answer."""
        self.outcomes[kind.name, status] += 1
        if status not in kind.statuses or (status == 200 and kind.mark not in answer):
            if status == 200 and b'"error"' in answer:
                self.broken += 1
            else:
                self.odd[f"{kind.name}: {answer[9:12]!r} … {answer[-300:]!r}"] += 1


class Connection(asyncio.Protocol):
    """A client: one request after the other over one connection, or over as many as it takes. `ended` is set with the
    last answer."""

    def __init__(self, deck: Deck, address: tuple[str, int]) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._deck = deck
        self._address = address
        self._received = b""
        self._whole = 0  # bytes of an answer with a length; -1: it has chunks
        self._kind: Kind | None = None
        self._opening: asyncio.Task[Any] | None = None
        self._transport: asyncio.Transport

    async def open(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, *self._address)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        self._ask()

    def _ask(self) -> None:
        drawn = self._deck.draw()
        if drawn is None:
            self._kind = None
            self._transport.close()
            return
        self._kind, request = drawn
        self._received, self._whole = b"", 0
        self._transport.write(request)
        if not self._kind.statuses:  # it leaves, sometimes before the gateway has done anything
            asyncio.get_running_loop().call_later(0.0005, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        if not self._whole:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            begin = received.find(b"content-length: ", 0, end)
            length = -1 if begin < 0 else int(received[begin + 16 : received.find(b"\r", begin)])
            self._whole = -1 if length < 0 else end + 4 + length
        if len(received) < self._whole if self._whole > 0 else not received.endswith(b"\r\n0\r\n\r\n"):
            return
        kind = self._kind
        if kind is not None and kind.statuses:
            self._deck.note(kind, int(received[9:12]), received)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        kind = self._kind
        if kind is None:
            self.ended.set_result(None)
            return
        if not kind.statuses:
            self._deck.outcomes[kind.name, 0] += 1
        elif self._received:
            self._deck.broken += 1
        else:
            self._deck.odd[f"{kind.name}: closed without an answer"] += 1
        self._opening = asyncio.get_running_loop().create_task(self.open(), name="client opens")


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
    """The run itself, with the seconds that it took."""
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
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=_new_loop()) as runner:
        deck, samples, seconds = runner.run(soak(Path(folder), args.requests, args.connections, args.seed))
    flat, lines = judge(samples)
    odd = deck.odd.total() / deck.asked
    print(
        f"{deck.asked} requests in {seconds:.0f} s, {deck.asked / seconds:.0f} a second; {deck.broken} broken streams"
    )
    print(", ".join(f"{name} {status}: {count}" for (name, status), count in sorted(deck.outcomes.items())))
    for what, count in deck.odd.most_common(10):
        print(f"  {count} x not expected: {what}")
    print("\n".join(lines))
    if args.out:
        args.out.write_text(
            picture(samples, f"{deck.asked:,} requests at {deck.asked / seconds:.0f} a second. {lines[1]}")
        )
    return 2 if odd > ODD else 0 if flat else 1


def _new_loop() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
