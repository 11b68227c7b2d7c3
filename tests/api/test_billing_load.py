"""Many clients on one balance: never below zero where answers are limited, and every nano-unit accounted for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from gateway.store.entries import Entry, Refusal
from tests.api.billed import CENT, SHORT, charges, charging
from tests.api.harness import AS_ANN, CHAT, KEYS, Got
from tests.conftest import run
from tests.fakes.behaviours import Answer
from tests.fakes.provider import FakeProvider
from tests.store.money import NOW, till

CLIENTS = 200
ROUNDS = 100
ONE = 10**9


def test_two_hundred_clients_at_once_never_overspend_what_was_reserved(tmp_path: Path) -> None:
    """A balance of 1.00 and requests of about 0.05, a hundred rounds. In every other round the answers are not limited:
    they cost up to twice what was reserved."""
    rng = Random(1)

    async def scenario() -> None:
        async with till(tmp_path, balance=0) as it:
            for number in range(ROUNDS):
                user, limited = f"user{number}", number % 2 == 0
                await it.books.adjust(user, Entry(f"start {number}", "credit", ONE, NOW), 0)
                beyond = 0

                async def request(user: str, limited: bool) -> int:
                    """What it cost beyond its reservation; -1: it was refused."""
                    reserved = rng.randrange(45_000_001, 55_000_001)
                    found = await it.ledger.reserve(user, reserved)
                    if isinstance(found, Refusal):
                        return -1
                    await asyncio.sleep(0)
                    cost = rng.randrange(40_000_001, reserved) if limited else rng.randrange(reserved, 2 * reserved)
                    await it.ledger.settle(found, Entry(found.id, "charge", -cost, NOW))
                    return max(0, cost - reserved)

                over = await asyncio.gather(*(request(user, limited) for _ in range(CLIENTS)))
                beyond = sum(one for one in over if one > 0)
                served = sum(one >= 0 for one in over)
                await it.rest()
                account = await it.books.account(user)
                assert account is not None
                assert account.reserved == 0
                assert account.balance >= (0 if limited else -beyond)
                assert served >= 18
                total = await it.database.fetchval("SELECT SUM(amount) FROM ledger WHERE user_name = $1", user)
                assert total == account.balance

    run(scenario(), 120)


@pytest.mark.parametrize("tokens", [10, 60], ids=["as long as allowed", "longer than reserved"])
def test_requests_over_the_network_stop_where_the_balance_does(tmp_path: Path, tokens: int) -> None:
    """Where answers are longer than reserved, no more are served than the balance has reservations for."""
    usage = {"prompt_tokens": 150, "completion_tokens": tokens, "total_tokens": 150 + tokens}
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    asking = SHORT if tokens == 10 else CHAT
    cost = (150 + 2 * tokens) * CENT

    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            charging(tmp_path, fake, balance="20", billing="reserve_output_tokens = 10") as running,
        ):
            for key in KEYS:
                fake.script(key, Answer(200, {**body, "usage": usage}))

            async def client() -> Got:
                async with running.talk() as talk:
                    await talk.send("POST", "/v1/chat/completions", asking, AS_ANN)
                    return await talk.answer()

            asked = await asyncio.gather(*(client() for _ in range(CLIENTS)))
            statuses = [got.status for got in asked]
            assert set(statuses) == {200, 402}
            made = await charges(running)
            assert len(made) == statuses.count(200) == len(fake.requests)
            account = await running.books.account("ann")
            assert account is not None
            assert account.balance == 2000 * CENT - len(made) * cost
            reserved = round(next(got for got in asked if got.status == 402).error["required"] * ONE)
            if asking is SHORT:
                assert account.balance >= 0
            else:
                assert cost > reserved
                assert len(made) <= 2000 * CENT // reserved

    run(scenario(), 60)
