"""One gateway in front of a provider for each case, so that no case sees another's keys and circuits.

A case is a row of the table in one dialect, whole or streamed. It is played twice, each time with a provider of its
own: *once*, where only the first call fails, and *always*, where every call does.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.policy.verdict import Status
from gateway.store.entries import Entry, Written
from tests.api.harness import AS_ANN, TOKENS, Gateway, Got, gateway
from tests.e2e.failures.acts import Row, good
from tests.e2e.failures.rows import ROWS
from tests.e2e.failures.voices import VOICES, Voice
from tests.fakes.provider import FakeProvider

KEYS = 3
SCRIPTED = ("shared", "own")
"""Places at which calls are scripted by their keys."""

NATIVE: Mapping[Voice, Voice] = {}

OWN = ("own", "warm")
"""Places with connections of the case's own; at the last a good call has left one before the case begins."""

RETRIES = 1
"""On server errors: so two calls are retries, and three are other keys."""


@dataclass(frozen=True, slots=True)
class Case:
    """`name` is the provider's, and its model's. `disabled`: the client wants a stream, but the provider is not asked
    for one."""

    row: Row
    voice: Voice
    streamed: bool
    always: bool
    disabled: bool = False
    server: Voice | None = None

    @property
    def provider(self) -> Voice:
        """Whose dialect the provider speaks."""
        return self.server or self.voice

    @property
    def name(self) -> str:
        return f"{self.voice.name}-{ROWS.index(self.row)}-{'ws'[self.streamed]}{'oa'[self.always]}"

    @property
    def keys(self) -> list[str]:
        return [f"sk-{self.name}-{n:04}" for n in range(KEYS)]


def cases_of(row: Row, voice: Voice, *, disabled: bool = False, server: Voice | None = None) -> Iterator[Case]:
    for streamed, sees in ((False, row.whole), (True, row.streamed)) if not disabled else ((True, row.whole),):
        if sees:
            for always in (True,) if row.place not in SCRIPTED else (False, True):
                yield Case(row, voice, streamed, always, disabled, server)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a case. `calls`: those that the provider saw; `outcomes`: of the attempts, in the metrics' words;
    `status`: of the first key; `failures`: what the provider's circuit counts; `charges`: in the ledger."""

    got: Got
    calls: int
    attempts: int
    outcomes: frozenset[str]
    status: Status
    failures: int
    charges: tuple[Entry, ...]


class Lab:
    """The gateway and the places where providers may be."""

    def __init__(self, shared: FakeProvider, own: Mapping[str, FakeProvider], running: Gateway) -> None:
        self._shared = shared
        self._own = own
        self.running = running

    async def play(self, cases: Sequence[Case]) -> list[Played]:
        """All at once: they share nothing."""
        answers = await asyncio.gather(*map(self._ask, cases))
        running = self.running
        lines = [await self._logged(got) for got in answers]
        while await running.ledger.flush(10):
            pass
        charged = [one for one in await running.books.page("ann", 4 * len(cases)) if one.entry.amount < 0]
        metrics = running.metrics.render().decode().splitlines()
        return [
            self._played(case, got, int(line["attempts"]), metrics, charged)
            for case, got, line in zip(cases, answers, lines, strict=True)
        ]

    async def _ask(self, case: Case) -> Got:
        streams = case.streamed and not case.disabled
        bad, fine = case.row.act(case.provider, streams), good(case.provider, streams)
        warm = case.row.place == "warm"
        for number, key in enumerate(case.keys):
            script = [bad, fine] if warm == bool(number) else [fine]
            self._fake(case).script(key, *([bad] if case.always and not warm else script))
        path, body = case.voice.ask(case.name, streamed=case.streamed)
        if warm:
            await self.running.ask("POST", path, body, AS_ANN)
        return await self.running.ask("POST", path, body, AS_ANN)

    def _fake(self, case: Case) -> FakeProvider:
        return self._own.get(case.name, self._shared)

    def _played(
        self, case: Case, got: Got, attempts: int, metrics: Sequence[str], charged: Sequence[Written]
    ) -> Played:
        pool = self.running.pools[case.name]
        first = next(iter(pool.standings.keys.values()))
        of_model = (first.models or {}).get(case.name)
        counts = f'llm_attempts_total{{provider="{case.name}",outcome="'
        return Played(
            got,
            sum(self._fake(case).calls_by_key[key] for key in case.keys),
            attempts,
            frozenset(line.removeprefix(counts).partition('"')[0] for line in metrics if line.startswith(counts)),
            first.standing.status if of_model is None else of_model.status,
            pool.breakers.circuits()[0].breaker.failures_in_row,
            tuple(one.entry for one in charged if one.entry.request_id == got.header("x-request-id")),
        )

    async def _logged(self, got: Got) -> dict[str, Any]:
        """The request's line in the log."""
        wanted, lines = got.header("x-request-id"), self.running.lines
        while True:
            for line in lines[::-1]:
                if (line["event"], line.get("request_id")) == ("request", wanted):
                    return line
            await self.running.more_lines()


@asynccontextmanager
async def laboratory(
    folder: Path, *, disabled: bool = False, servers: Mapping[Voice, Voice] = NATIVE
) -> AsyncIterator[Lab]:
    """`servers`: the dialect that providers speak, by that of clients, where it is another one."""
    async with AsyncExitStack() as stack:
        cases = [
            case
            for row in ROWS
            for voice in VOICES
            for case in cases_of(row, voice, disabled=disabled, server=servers.get(voice))
        ]
        shared = await stack.enter_async_context(FakeProvider())
        own = {case.name: await stack.enter_async_context(FakeProvider()) for case in cases if case.row.place in OWN}
        places = {
            "shared": shared.origin,
            "refused": f"http://127.0.0.1:{stack.enter_context(closed_port())}",
            "nowhere": "http://nowhere.invalid",
            "distrusted": (await stack.enter_async_context(FakeProvider(tls=True))).origin,
            "no_tls": (await stack.enter_async_context(FakeProvider(tls="broken"))).origin,
            "silent": f"http://127.0.0.1:{stack.enter_context(silent_port())}",
            "resetting": await stack.enter_async_context(resetting()),
        }
        origins = {case.name: own[case.name].origin if case.name in own else places[case.row.place] for case in cases}
        text = SERVER + TOKENS + "".join(provider(case, origins[case.name]) for case in cases)
        running = await stack.enter_async_context(gateway(folder, text, {case.name: case.keys for case in cases}))
        yield Lab(shared, own, running)


SERVER = """
[server]
listen = ["127.0.0.1:0"]
[billing]
enabled = true
default_balance = 1000000
"""


def provider(case: Case, origin: str) -> str:
    base = "/v1beta" if case.provider.kind == "gemini" else "/v1"
    mode = "disabled" if case.disabled else "auto"
    return f"""
[providers.{case.name}]
type = "{case.provider.kind}"
base_url = "{origin}{base}"
models = ["{case.name}"]
prices = "none"
[providers.{case.name}.retry]
on_server_error = {{attempts = {RETRIES}, backoff = 0}}
[providers.{case.name}.streaming]
mode = "{mode}"
[prices."{case.name}"]
input = 10000
output = 20000
{case.row.settings.format(name=f"providers.{case.name}")}
"""


@asynccontextmanager
async def resetting() -> AsyncIterator[str]:
    """The origin of a server that resets every connection at once."""

    def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is taken, and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """A port whose accept queue is full: Linux drops further connection requests."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
