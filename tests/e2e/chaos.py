"""Chaos: 200 clients at once, three providers that list the same model, of which one is always sick.

    python3 -m tests.e2e.chaos --minutes 10 [--seed 1] [--clients 200] [--phase 30]

The sick one answers with nothing but faults from `faults.py`, refuses connections or resets them; after each phase it
is the next one's turn. The two others answer well, but each has keys that are rejected, limited and without quota.
Clients speak four APIs, with and without a stream; some leave in the middle. The providers speak three.

What must hold, while two of three providers are well:

- At least 99.9 % of the requests are answered: whole, and with their own words. Clients that left do not count. A
  stream that broke off after its client had seen a part of it cannot be answered by anybody any more; it must have been
  told, and only where the provider broke it.
- Afterwards nothing is left (`leaks.py`): no connection, task, lease, place in a queue, reservation.
- The gateway has found no error of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random

from tests.daemon.running import Running, living
from tests.e2e.faults import FAULTS, WORDS, error_body
from tests.e2e.leaks import books, held, tasks
from tests.e2e.load import Caller, Incomplete
from tests.e2e.surfaces import SURFACES, Surface, UnfinishedError
from tests.fakes.anthropic_api import AnthropicApi
from tests.fakes.api import FakeApi
from tests.fakes.behaviours import Answer, Behaviour
from tests.fakes.gemini_api import GeminiApi
from tests.fakes.openai_api import OpenAIApi
from tests.fakes.provider import FakeProvider, Seen

MODEL = "gpt-4o"
SUCCESS = 0.999
"""Of the requests that count; see above."""

USERS = ("ann", "bob", "cem", "dee")
GOOD_KEYS = 10
BAD_KEYS = {"sk-rejected-00000001": 401, "sk-unpaid-0000000001": 402, "sk-limited-000000001": 429}

LEAVING = 0.05
"""The part of the clients that leave, and the longest time that they wait before they do."""
PATIENCE = 0.5

LONG, MANY_WORDS = 50, 12_000
"""Every so manieth request that is no stream has a prompt and an answer of so many words: 100 KB, which count against
`server.max_buffered_bytes`."""

HANGING = 60.0
"""Seconds after which an answer is missed: twice of what the gateway allows itself."""

SETTLING = 10.0
"""Seconds in which everything is given back, at the end."""

DIALECTS = {
    "openai": ["openai_chat", "openai_responses"],
    "anthropic": ["anthropic"],
    "gemini": ["gemini"],
}
"""What the fakes speak."""

CONFIG = """
[server]
listen = ["127.0.0.1:0"]
[logging]
level = "error"
[auth]
required = true
[billing]
enabled = true
default_balance = 1000000
[limits.user]
concurrency = 1000
tokens_per_minute = 1000000000
[queue]
timeout = 1
"""

PROVIDER = """
[providers.{name}]
type = "{name}"
base_url = "{url}"
keys = "keys/{name}.txt"
models = ["{model}"]
dialects = {dialects}
probe.kind = "none"
timeouts = {{ connect = 5, write = 5, first_byte = 5, idle = 5, total = 30 }}
streaming.hold = 10
retry.on_server_error = {{ attempts = 1, backoff = 0.05, factor = 1 }}
circuit_breaker = {{ open_for = 1, max_open_for = 2 }}
[providers.{name}.health]
rate_limit = 1
server_error = 1
no_quota = 1
no_model = 1
invalid = 1
verification_delay = 1
guard_window = 5
"""
"""A provider that stalls is given up soon; 5 s are twice what a healthy one takes for 200 at once on a busy machine."""


@dataclass(slots=True)
class Tally:
    """What requests came to. `broken`: streams that their provider broke, and whose clients were told; `met`: the
    faults that a request met, by its word."""

    asked: int = 0
    answered: int = 0
    left: int = 0
    broken: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    met: dict[str, list[str]] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        return self.asked - self.left - self.broken

    def fail(self, word: str, why: str) -> None:
        self.failures[f"{why} (met {', '.join(self.met.get(word, ['no fault']))})"] += 1

    def fail_or_broken(self, word: str, why: str, *, told: bool) -> None:
        """A stream that began and did not end well."""
        if told and any(FAULTS[name].late for name in self.met.get(word, ())):
            self.broken += 1
        else:
            self.fail(word, why)

    @property
    def success(self) -> float:
        return self.answered / self.counted if self.counted else 0.0


class Patient:
    """One provider. While it is `sick`, its answers are faults."""

    def __init__(self, name: str, api: FakeApi, rng: Random, tally: Tally, faults: list[str]) -> None:
        self.name = name
        self.fake = FakeProvider(api=api)
        self.sick = False
        self._rng = rng
        self._tally = tally
        self._faults = faults
        self.fake.script_all(self._choose)

    def config(self) -> str:
        url = self.fake.base_url if self.name == "openai" else self.fake.origin
        return PROVIDER.format(name=self.name, url=url, model=MODEL, dialects=DIALECTS[self.name])

    def write_keys(self, folder: Path) -> None:
        keys = [*BAD_KEYS, *(f"sk-{self.name}-good-{number:06}" for number in range(GOOD_KEYS))]
        path = folder / "keys" / f"{self.name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{key}\n" for key in keys))
        path.chmod(0o600)

    def _choose(self, seen: Seen) -> Behaviour:
        if not self.sick:
            status = BAD_KEYS.get(seen.key)
            return Answer() if status is None else Answer(status, error_body(self.name, status))
        name = self._rng.choice(self._faults)
        self._tally.met.setdefault(word_in(seen.body.decode()), []).append(name)
        return FAULTS[name].play(self.name, "streamGenerate" in seen.path or bool(seen.json.get("stream")))

    async def suffer(self, seconds: float) -> None:
        """Be sick for so long: with an open door, with one that slams, and with none."""
        self.sick = True
        for closed, resets in ((False, False), (False, True), (False, False), (True, False)):
            self.fake.resets_connections = resets
            if closed:
                self.fake.refuse()
            await asyncio.sleep(seconds / 4)
        self.sick = self.fake.resets_connections = False
        await self.fake.listen()


def words_of(number: int, count: int) -> str:
    """What the model is to say: a word that no other request has, and so many besides."""
    return " ".join([f"request-{number}.", *(f"word{n}" for n in range(count))])


def word_in(text: str) -> str:
    """The word of the request that a text belongs to."""
    begin = text.index("request-")
    return text[begin : text.index(".", begin)]


class Clients:
    """Those who ask, until `deadline` in loop time."""

    def __init__(self, address: str, deadline: float, seed: int, tally: Tally) -> None:
        self.tally = tally
        self._address = address
        self._deadline = deadline
        self._seed = seed

    async def run(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.create_task(self._client(n), name=f"client {n}") for n in range(count)))

    async def _client(self, number: int) -> None:
        rng = Random(self._seed * 1_000_003 + number)
        caller = Caller(self._address, token=f"token-of-{rng.choice(USERS)}")
        while asyncio.get_running_loop().time() < self._deadline:
            self.tally.asked += 1
            surface, stream = rng.choice(SURFACES), rng.random() < 0.5
            leaves = rng.random() < LEAVING
            try:
                async with asyncio.timeout(rng.uniform(0, PATIENCE) if leaves else HANGING):
                    await self._ask(caller, surface, self.tally.asked, stream)
            except TimeoutError:
                if leaves:
                    self.tally.left += 1
                else:
                    self.tally.failures[f"{surface.name}: no end within {HANGING:g} s"] += 1
        caller.close()

    async def _ask(self, caller: Caller, surface: Surface, number: int, stream: bool) -> None:
        tally, how = self.tally, f"{surface.name} {'streamed' if stream else 'whole'}"
        words = words_of(number, MANY_WORDS if not stream and number % LONG == 0 else WORDS)
        word = word_in(words)
        body = surface.body(MODEL, f"DO say {words}", stream=stream)
        try:
            got = await caller.request("POST", surface.path[stream].format(model=MODEL), body)
        except (OSError, Incomplete) as error:
            told = stream and isinstance(error, Incomplete)
            tally.fail_or_broken(word, f"{how}: {type(error).__name__}", told=told)
            return
        if got.status != 200:
            tally.fail(word, f"{how}: {got.status} {got.body[:200]!r}")
            return
        how = f"{how}: {got.headers.get('x-llmgateway-provider')}"
        try:
            text = surface.read(got.body, stream=stream)
        except UnfinishedError as error:
            tally.fail_or_broken(word, f"{how}: {error}", told=stream and error.told)
            return
        if text == words:
            tally.answered += 1
        else:
            tally.fail(word, f"{how}: other words: {text[:200]!r}")


@dataclass(slots=True)
class Chaos:
    """One run. `folder` is empty at first."""

    folder: Path
    seconds: float
    seed: int = 1
    clients: int = 200
    phase: float = 30.0
    success: float = SUCCESS
    faults: list[str] = field(default_factory=lambda: list(FAULTS))
    tally: Tally = field(default_factory=Tally)
    wrong: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Everything that is wrong is in `wrong`, in words."""
        rng = Random(self.seed)
        apis: dict[str, FakeApi] = {"openai": OpenAIApi(), "anthropic": AnthropicApi(), "gemini": GeminiApi()}
        patients = [Patient(name, api, rng, self.tally, self.faults) for name, api in apis.items()]
        async with AsyncExitStack() as stack:
            for patient in patients:
                await stack.enter_async_context(patient.fake)
                patient.write_keys(self.folder)
            running = Running(self.folder)
            running.path.write_text(self._config(patients))
            async with living(running):
                await self._storm(running, patients)
            self.wrong += [f"the gateway's own error: {line}" for line in running.logged("internal_error")[:3]]
        self.wrong += [f"{what}: {count}" for what, count in books(self._database()).items() if count]
        if self.tally.success < self.success:
            self.wrong.append(f"{self.tally.success:.3%} of the requests were answered")

    def _config(self, patients: list[Patient]) -> str:
        tokens = (f'[tokens.{user}]\ntoken = "token-of-{user}"\n' for user in USERS)
        prices = f'[prices."{MODEL}"]\ninput = 1\noutput = 2\n'
        return "\n".join([CONFIG, *tokens, prices, *(patient.config() for patient in patients)])

    def _database(self) -> Path:
        return next(self.folder.rglob("llmgateway.db"))

    async def _storm(self, running: Running, patients: list[Patient]) -> None:
        before = tasks()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.seconds
        clients = Clients(f"http://{running.addresses[0]}", deadline, self.seed, self.tally)
        illness = loop.create_task(self._illness(cycle(patients)), name="illness")
        try:
            await clients.run(self.clients)
        finally:
            illness.cancel()
            await asyncio.wait([illness])
            if not illness.cancelled():
                illness.result()  # it never ends by itself, but by an error of ours
        await self._settle(running, before)

    async def _illness(self, patients: Iterator[Patient]) -> None:
        for patient in patients:
            await patient.suffer(self.phase)

    async def _settle(self, running: Running, before: Counter[str]) -> None:
        """Wait until nothing is held any more, and say what is in the end."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLING
        while True:
            left = {what: count for what, count in held(running.daemon).items() if count}
            left |= {f"task {name!r}": count for name, count in (tasks() - before).items()}
            if not left or loop.time() > deadline:
                break
            await asyncio.sleep(0.02)
        self.wrong += [f"left: {what}: {count}" for what, count in left.items()]

    def report(self) -> str:
        """What happened, in lines."""
        tally = self.tally
        played = Counter(name for names in tally.met.values() for name in names)
        lines = [
            f"{tally.asked} requests, {tally.left} clients left, {tally.broken} streams broken by their provider and "
            f"told; of the others {tally.success:.3%} answered",
            f"{played.total()} faults of {len(played)} kinds met: {dict(played.most_common())}",
            *(f"  {count} x {what}" for what, count in tally.failures.most_common(20)),
            *(f"WRONG: {what}" for what in self.wrong),
        ]
        return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--phase", type=float, default=30.0, help="seconds that a provider is sick")
    args = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder), args.minutes * 60, args.seed, args.clients, args.phase)
        asyncio.run(chaos.run())
    print(chaos.report())
    print(f"{time.monotonic() - started:.0f} s: {'FAILED' if chaos.wrong else 'passed'}")
    return 1 if chaos.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
