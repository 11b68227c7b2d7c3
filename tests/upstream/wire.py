"""A provider on a fake's address, and calls to it with one key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

from gateway import jsonlib
from gateway.config.provider import ProviderConfig, StreamingConfig, TimeoutsConfig
from gateway.net.client import Client
from gateway.policy.room import Room
from gateway.secret import Secret
from gateway.upstream.exchange import Call, Exchange, Outcome
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.provider import Provider
from gateway.upstream.reading import Reading
from tests.fakes.provider import FakeProvider
from tests.upstream.pools import Clock

SECRET = "sk-wire-0123456789abcdef0123456789"
PATHS = {
    "chat": "chat/completions",
    "completions": "completions",
    "responses": "responses",
    "other": "embeddings",
    "stored": "responses",
    "raw": "audio/speech",
}


def a_provider(base_url: str, clock: Clock, **settings: Any) -> Provider:
    """One with the key SECRET."""
    config = replace(ProviderConfig(name="main", type="openai", base_url=base_url), **settings)
    pool = KeyPool(config.name, config.health, clock=clock, rng=Random(1))
    secret = Secret(SECRET)
    pool.standings.add([Key(secret, secret.digest)])
    return Provider(config, pool)


class Wire:
    """An exchange with a fake provider behind it."""

    def __init__(self, fake: FakeProvider, client: Client, clock: Clock) -> None:
        self.room = Room()
        self.fake = fake
        self.client = client
        self.clock = clock
        self.exchange = Exchange(client, clock, self.room)

    async def call(
        self,
        shape: str = "chat",
        *,
        stream: bool = False,
        seconds: float = 10.0,
        hold: float = 30.0,
        idle: float = 10.0,
        first_byte: float = 10.0,
        reading: Reading | None = None,
        **settings: Any,
    ) -> Outcome:
        provider = a_provider(
            self.fake.base_url,
            self.clock,
            streaming=StreamingConfig(hold=hold),
            timeouts=TimeoutsConfig(idle=idle, first_byte=first_byte),
            **settings,
        )
        (key,) = provider.pool.standings.keys.values()
        body = jsonlib.dumps({"model": "gpt-4o", "messages": [], "input": "x", "stream": stream})
        headers = ((b"content-type", b"application/json"),)
        path = f"{provider.endpoint('openai_chat').root}/{PATHS[shape]}"
        call = Call(b"POST", path, "", headers, body, "gpt-4o", shape, stream, reading=reading)
        return await self.exchange.call(provider, key, call, asyncio.get_running_loop().time() + seconds)


@asynccontextmanager
async def wired() -> AsyncIterator[Wire]:
    """At the end every connection is back or gone: nothing is in use."""
    client = Client()
    async with FakeProvider() as fake:
        try:
            made = Wire(fake, client, Clock())
            yield made
            statistics = client.statistics()
            assert made.room.held == 0, "an outcome was not closed"
            assert statistics.open == statistics.idle, "an answer was not closed"
        finally:
            await client.close()
