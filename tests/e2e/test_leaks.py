"""What is still held is seen."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.store.entries import Reservation
from tests.conftest import run
from tests.daemon.running import daemon
from tests.daemon.test_watchdog import ANYWHERE
from tests.e2e.leaks import books, held, tasks
from tests.e2e.load import Caller


def test_a_gateway_at_rest_holds_nothing_and_a_lease_a_connection_and_a_task_are_seen(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, ANYWHERE) as running:
            before = tasks()
            assert not any(held(running.daemon).values())
            pool = running.daemon._holdings.pools.of["main"]
            lease = pool.lease("some-model")
            assert lease is not None
            caller = Caller(f"http://{running.addresses[0]}")
            assert (await caller.request("GET", "/health")).status == 200
            waiting = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
            found = {what: count for what, count in held(running.daemon).items() if count}
            assert found == {"leases by pool": 1, "leases by key": 1, "client connections": 1}
            assert (tasks() - before)["forgotten"] == 1
            waiting.cancel()
            pool.release(lease)
            caller.close()

    run(scenario())


def test_an_amount_that_stays_reserved_is_seen(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, ANYWHERE) as running:
            ledger = running.daemon._holdings.ledger
            ledger.default_balance = 100
            assert isinstance(await ledger.reserve("ann", 5), Reservation)

    run(scenario())

    found = books(next(tmp_path.rglob("llmgateway.db")))
    assert {what: count for what, count in found.items() if count} == {"reservations": 1, "reserved amounts": 1}
