"""What the admin API asks for goes on, whatever becomes of who asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.daemon.control import Control
from gateway.errors import StoreUnavailable
from gateway.store.responses import ResponseRow, ResponseStore
from tests.conftest import run
from tests.daemon.running import MANY, Running, daemon


def control_of(running: Running) -> Control:
    holdings, supervisor = running.daemon._holdings, running.daemon._supervisor
    return Control(holdings.keeper, holdings.proxy_prober, holdings.maintenance, supervisor, running.daemon.reload)


def test_maintenance_goes_on_when_who_asked_for_it_has_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, "127.0.0.1:0") as running:
            control, holdings = control_of(running), running.daemon._holdings
            await ResponseStore(holdings.database).remember([ResponseRow("old", "main", "digest", "model", "ann", 1.0)])
            asking = asyncio.create_task(control.maintain("purge"), name="asking")
            await asyncio.sleep(0)
            asking.cancel()
            assert (await running.wait_log("maintained"))["purged"]["responses"] == 1

    run(scenario())


def test_what_cannot_be_saved_is_not_said_to_be(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, "127.0.0.1:0") as running:
            (pool,) = running.daemon._holdings.pools
            (key,) = pool.standings.keys.values()
            pool.standings.disable(key)
            await control_of(running).save()
            assert await running.daemon._holdings.database.fetchval("SELECT status FROM key_status") == "disabled"
            await running.daemon._holdings.database.close()
            pool.standings.enable(key)
            with pytest.raises(StoreUnavailable):
                await control_of(running).save()

    run(scenario())


def test_a_look_at_the_files_is_finished_when_who_asked_for_it_has_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, "127.0.0.1:0") as running:
            running.daemon._supervisor._tasks["key files"].cancel()  # nobody else looks
            running.write_keys("a", ["sk-first-000000000001", *MANY])
            asking = asyncio.create_task(control_of(running).sync_now(), name="asking")
            await asyncio.sleep(0)
            asking.cancel()
            while running.keys < len(MANY):
                await asyncio.sleep(0)

    run(scenario())
