"""SIGKILL at random moments under load: every answer that a client has received whole has its entry, exactly once, and
no charge exists but for a request that its provider was asked, of an amount that the settlement table has for it.

    python3 -m tests.e2e.kill_ledger --times 50 [--seed 1]

Where the gateway is killed is counted in requests that arrive at the provider, or in answers that clients have; which
count it is, is drawn from the seed. Some clients leave in the middle of their streams.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from gateway.usage import tokens_of
from tests.e2e.load import Caller, Incomplete
from tests.e2e.process import GatewayProcess, one_provider, write_keys
from tests.fakes.answers import TEXT
from tests.fakes.behaviours import Stream
from tests.fakes.provider import FakeProvider

CLIENTS = 12
KEYS = ["sk-whole-000000000001", "sk-gap-0000000000002"]
USERS = ("ann", "bob")

BILLING = """
[auth]
required = true
[tokens.ann]
token = "token-of-ann"
[tokens.bob]
token = "token-of-bob"
[billing]
enabled = true
default_balance = 1000000
[prices."gpt-4o-mini"]
input = 10000
output = 20000
"""

TOKEN_IN, TOKEN_OUT = 10**7, 2 * 10**7
"""Nano-units, as above."""

REPORTED = 11 * TOKEN_IN + 6 * TOKEN_OUT
"""The usage that the fake provider reports."""


def asking(request_id: str) -> dict[str, Any]:
    """A request that its provider knows by its words."""
    return {"model": "gpt-4o-mini", "max_tokens": 20, "messages": [{"role": "user", "content": request_id}]}


class Rounds:
    """One folder, its gateways one after another, and what clients have had from all of them."""

    def __init__(self, folder: Path, fake: FakeProvider, rng: Random) -> None:
        self.folder = folder
        self.database = folder / "state" / "llmgateway.db"
        self.whole: set[str] = set()
        self.streamed: set[str] = set()
        self.sent = 0
        self._fake = fake
        self._rng = rng
        self._had = 0

    async def round(self) -> None:
        """Start, load, kill, check."""
        (self.folder / "config.toml").write_text(one_provider(self._fake.base_url, more=BILLING))
        running = GatewayProcess(self.folder / "config.toml", {})
        await running.start()

        def kill() -> None:
            if running.process.returncode is None:
                running.signal(signal.SIGKILL)

        count = self._rng.randrange(1, 250)
        by_answers = self._had + count if self._rng.random() < 0.5 else 0
        if not by_answers:
            self._fake.plan(count, kill)
        clients = [
            asyncio.create_task(self._client(running.address, number, by_answers, kill), name=f"client {number}")
            for number in range(CLIENTS)
        ]
        assert await running.wait() == -signal.SIGKILL, running.other_lines
        await asyncio.gather(*clients)
        self.check()

    async def _client(self, address: str, number: int, kill_at: int, kill: Callable[[], None]) -> None:
        """Asks until nobody answers any more."""
        caller = Caller(address, token=f"token-of-{USERS[number % len(USERS)]}")
        try:
            while True:
                self.sent += 1
                request_id = f"request-{self.sent}"
                stream = self._rng.random() < 0.5
                if stream:
                    self.streamed.add(request_id)
                if stream and self._rng.random() < 0.2:
                    await self._leave(address, caller.token, request_id)
                    continue
                body = {**asking(request_id), "stream": stream}
                got = await caller.post("/v1/chat/completions", body, **{"x-request-id": request_id})
                assert got.status == 200, got
                if stream:
                    assert got.body.rstrip().endswith(b"[DONE]"), got
                self.whole.add(request_id)
                self._had += 1
                if self._had == kill_at:
                    kill()
        except (OSError, Incomplete, asyncio.IncompleteReadError):
            pass  # it is dead
        finally:
            caller.close()

    async def _leave(self, address: str, token: str, request_id: str) -> None:
        """A client that hangs up when it has seen something."""
        host, _, port = address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({**asking(request_id), "stream": True}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n"
            f"x-request-id: {request_id}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await reader.read(400)
        writer.close()

    def check(self) -> None:
        """What a copy of the database says: a reader of the file itself would tidy up after the crash."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for file in self.database.parent.glob(f"{self.database.name}*"):
            shutil.copy(file, copy / file.name)
        with closing(sqlite3.connect(copy / self.database.name)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            amounts = db.execute("SELECT request_id, amount FROM ledger WHERE kind = 'charge'").fetchall()
            sums = db.execute(
                """SELECT name FROM users WHERE balance <> (SELECT SUM(amount) FROM ledger WHERE user_name = name)
                    OR entries <> (SELECT COUNT(*) FROM ledger WHERE user_name = name)
                    OR reserved <> COALESCE((SELECT SUM(amount) FROM reservations WHERE user_name = name), 0)"""
            ).fetchall()
        assert sums == []
        charges = Counter(name for name, _ in amounts)
        assert set(charges.values()) <= {1}, charges.most_common(3)
        assert self.whole <= set(charges), sorted(self.whole - set(charges))[:3]
        asked = {seen.json["messages"][0]["content"] for seen in self._fake.requests}
        assert set(charges) <= asked
        assert [one for one in amounts if -one[1] not in self._allowed(one[0])] == []

    def _allowed(self, request_id: str) -> Collection[int]:
        """What may be charged for. The fake provider reports usage, but for what it streams though nobody asked; of a
        stream that was left before its end the prompt counts, and as much of the text as came."""
        streamed = request_id in self.streamed
        prompt = tokens_of(len(json.dumps({**asking(request_id), "stream": streamed}))) * TOKEN_IN
        text = tokens_of(len(TEXT)) * TOKEN_OUT
        if not streamed:
            return REPORTED, prompt + text
        if request_id in self.whole:
            return (REPORTED,)
        return REPORTED, *range(prompt, prompt + text + 1, TOKEN_OUT)

    async def end(self) -> None:
        """A start in order: nothing stays reserved."""
        running = GatewayProcess(self.folder / "config.toml", {})
        await running.start()
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as db:
            assert db.execute("SELECT COUNT(*) FROM reservations").fetchone() == (0,)
            assert db.execute("SELECT SUM(reserved) FROM users").fetchone() == (0,)
        assert await running.stop() == 0
        self.check()


async def rounds(folder: Path, times: int, seed: int, tell: Callable[[str], None] = lambda _: None) -> None:
    write_keys(folder, KEYS)
    async with FakeProvider() as fake:
        fake.script(KEYS[1], Stream(gap=0.001))
        it = Rounds(folder, fake, Random(seed))
        for number in range(1, times + 1):
            await it.round()
            tell(f"round {number}: {it.sent} requests, {len(it.whole)} answers received whole, all charged for once")
        await it.end()
        assert it.whole


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(rounds(Path(folder), args.times, args.seed, print))
    return 0


if __name__ == "__main__":
    sys.exit(main())
