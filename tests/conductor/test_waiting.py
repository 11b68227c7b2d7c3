"""Waiting for a key within a request: whose turn it is, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from gateway.conductor.attempts import Attempts
from gateway.config.model import QueueConfig
from gateway.config.provider import KeyLimitsConfig, ProviderConfig
from gateway.errors import RequestError
from gateway.net.client import Client
from gateway.observe.record import RequestRecord
from gateway.upstream.exchange import Call, Exchange
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.provider import Provider
from tests.api.harness import until
from tests.conftest import run
from tests.fakes.behaviours import rate_limited
from tests.fakes.provider import FakeProvider
from tests.upstream.pools import Clock, a_key, lease_of, limited

CALL = Call(b"POST", "/v1/chat/completions", "", (), b"{}", "m", "chat")


class Bench:
    """Attempts at a provider with one key, which serves one request at a time, and clocks to turn."""

    def __init__(self, fake: FakeProvider, client: Client) -> None:
        self.fake = fake
        self.clock = Clock()
        self.served: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._ahead = 0.0
        config = ProviderConfig(name="main", type="openai", base_url=fake.base_url)
        config = replace(config, key_limits=KeyLimitsConfig(concurrency=1))
        self.key: Key = a_key("one")
        self.pool = KeyPool("main", config.health, clock=self.clock, rng=Random(1))
        self.pool.configure(config, "none", 10)
        self.pool.standings.add([self.key])
        self._provider = Provider(config, self.pool)
        self._attempts = Attempts(Exchange(client, self.clock), QueueConfig(timeout=10), Random(1), lambda *_: None)
        self._attempts._loop = self  # type: ignore[assignment]

    def time(self) -> float:
        return self._loop.time() + self._ahead

    def pass_time(self, seconds: float) -> None:
        self._ahead += seconds
        self.clock.advance(seconds)
        self.pool.standings.wake_due()

    async def ask(self, name: str, pinned: Key | None = None, user: str = "") -> int:
        """The status of the answer; a line in `served` when a key was found."""
        record = RequestRecord(name, 0.0)
        record.user = user
        outcome, lease = await self._attempts.run(self._provider, CALL, record, pinned)
        self.served.append(name)
        outcome.close()
        self.pool.finish(lease)
        return outcome.status


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    client = Client()
    async with FakeProvider() as fake:
        try:
            made = Bench(fake, client)
            yield made
            assert made.pool.in_flight == 0 and len(made.pool.waiters) == 0
            made.pool.close()
        finally:
            await client.close()


@pytest.mark.parametrize("pinned", [False, True])
def test_a_newcomer_does_not_pass_who_waits(pinned: bool) -> None:
    async def scenario() -> None:
        async with bench() as b:
            busy = lease_of(b.pool, b.key)
            waiting = [asyncio.create_task(b.ask(name), name=name) for name in ("first", "second")]
            await until(lambda: len(b.pool.waiters) == 2)
            b.pool.succeed(busy)
            assert await b.ask("newcomer", b.key if pinned else None) == 200
            await asyncio.gather(*waiting)
            assert b.served == ["first", "second", "newcomer"]

    run(scenario())


def test_a_user_with_many_requests_does_not_keep_others_waiting_for_their_first() -> None:
    async def scenario() -> None:
        async with bench() as b:
            busy = lease_of(b.pool, b.key)
            names = ("anna 1", "anna 2", "anna 3", "ben")
            waiting = [asyncio.create_task(b.ask(name, user=name.split()[0]), name=name) for name in names]
            await until(lambda: len(b.pool.waiters) == 4)
            b.pool.succeed(busy)
            await asyncio.gather(*waiting)
            assert b.served == ["anna 1", "ben", "anna 2", "anna 3"]

    run(scenario())


def test_a_user_who_fills_the_queue_is_told_so_in_favour_of_another() -> None:
    async def scenario() -> None:
        async with bench() as b:
            b.pool.waiters.limit = 2
            busy = lease_of(b.pool, b.key)
            waiting = [asyncio.create_task(b.ask(name, user="anna"), name=name) for name in ("first", "second")]
            await until(lambda: len(b.pool.waiters) == 2)
            waiting.append(asyncio.create_task(b.ask("other", user="ben"), name="other"))
            with pytest.raises(RequestError) as refused:
                await waiting[1]
            assert (refused.value.status, refused.value.code) == (429, "keys_cooling")
            assert refused.value.retry_after is not None
            assert "is at its key_limits, and no place in the queue" in refused.value.message
            b.pool.succeed(busy)
            assert [await waiting[0], await waiting[2]] == [200, 200]

    run(scenario())


def test_a_request_has_one_time_for_all_its_waiting() -> None:
    async def scenario() -> None:
        async with bench() as b:
            later = a_key("later")
            b.pool.standings.add([later])
            b.fake.script(b.key.secret.reveal(), rate_limited(60))
            b.pool.report(lease_of(b.pool, b.key), limited(9, b.clock.now))
            b.pool.report(lease_of(b.pool, later), limited(18, b.clock.now))
            waiting = asyncio.create_task(b.ask("one"), name="one")
            await until(lambda: len(b.pool.waiters) == 1)
            b.pass_time(9)
            await until(lambda: len(b.pool.waiters) == 0)
            await until(lambda: waiting.done() or len(b.pool.waiters) == 1)
            assert waiting.done(), "the other key's nine seconds would make eighteen"
            assert await waiting == 429
            waiting = asyncio.create_task(b.ask("another"), name="another")
            await until(lambda: len(b.pool.waiters) == 1)
            b.pass_time(9)
            assert await waiting == 200

    run(scenario())
