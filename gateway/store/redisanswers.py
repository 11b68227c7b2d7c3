"""Answers that several gateways keep together, in Redis or Valkey, each until its own end.

A value begins with the era in which it was made and with its own key. An era ends when the operator clears the cache:
its answers are then no longer believed, and vanish by themselves; so clearing is one command, however many there are.

Invariants:
- An answer is given for the key that it was kept under, or none is: not even a driver that mixes up two connections
  can have it otherwise (as one did: https://openai.com/index/march-20-chatgpt-outage/).
- Every answer has an end. Nothing else is kept but the name of the era.

Whoever can read this Redis can read the answers, and whoever can write to it can answer. Deadlines, and what is done
when Redis is away, are for whoever calls.
"""

from __future__ import annotations

import os
from typing import Any

from gateway.secret import Secret
from gateway.store.redis import FAILURES, connect, unavailable

PREFIX = b"{llmgateway}:cache:"
"""The braces keep them together in a cluster, so that one command may ask for two."""

ERA = PREFIX + b"era"
ERA_LENGTH = 16


class RedisAnswers:
    """What is kept at `url`. Nothing is connected before it is needed. All raise StoreUnavailable."""

    def __init__(self, url: Secret) -> None:
        self._client = connect(url)

    async def find(self, key: bytes) -> tuple[bytes | None, bytes]:
        """What was kept under a key in this era, and the era, which `keep` wants to hear."""
        era, value = await self._do("MGET", ERA, PREFIX + key.hex().encode())
        if not isinstance(era, bytes) or len(era) != ERA_LENGTH:
            await self._do("SET", ERA, os.urandom(ERA_LENGTH // 2).hex(), "NX")
            era = await self._do("GET", ERA)
            return None, era if isinstance(era, bytes) else b""
        mark = era + key
        return value[len(mark) :] if isinstance(value, bytes) and value.startswith(mark) else None, era

    async def keep(self, key: bytes, value: bytes, ttl: float, era: bytes) -> None:
        """For `ttl` seconds. In a later era it is as if it had not been."""
        await self._do("SET", PREFIX + key.hex().encode(), b"%b%b%b" % (era, key, value), "PX", max(1, int(ttl * 1000)))

    async def clear(self) -> None:
        """Begin another era."""
        await self._do("SET", ERA, os.urandom(ERA_LENGTH // 2).hex())

    async def close(self) -> None:
        try:
            await self._client.aclose()
        except FAILURES as error:
            raise unavailable(error) from None

    async def _do(self, *command: bytes | str | int) -> Any:
        try:
            return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except FAILURES as error:
            raise unavailable(error) from None
