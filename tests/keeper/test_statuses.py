"""What the pools learn, and when the database has it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.keeper.statuses import BATCH
from gateway.policy.verdict import Scope
from gateway.upstream.owners import Owner
from tests.conftest import run
from tests.keeper.rig import MODEL, NOW, Rig, locked, rig

ONE, TWO = "sk-one-0000000000000001", "sk-two-0000000000000002"
OWNER = Owner("main", "d" * 64, MODEL, "ann")


async def statuses(r: Rig) -> dict[tuple[str, str], tuple[object, ...]]:
    """(digest, model) to status and deadline."""
    rows = await r.database.fetch("SELECT digest, model, status, until FROM key_status")
    return {(str(digest), str(model)): tuple(rest) for digest, model, *rest in rows}


async def owners(r: Rig) -> list[str]:
    return [str(name) for (name,) in await r.database.fetch("SELECT id FROM responses ORDER BY id")]


def of(r: Rig, secret: str, model: str = "__ALL_MODELS__") -> tuple[str, str]:
    return r.key(secret).digest.hex(), model


def test_a_change_is_written_once_in_its_latest_state(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE, TWO)
            await r.sync.sync()
            r.succeed(ONE)
            r.bench(ONE, NOW + 1234.5678)
            r.bench(TWO, NOW + 60, Scope.KEY_MODEL)
            assert await r.writer.flush()
            assert await statuses(r) == {
                of(r, ONE): ("rate_limited", NOW + 1234.5678),
                of(r, TWO, MODEL): ("rate_limited", NOW + 60),
            }
            await r.database.execute("DELETE FROM key_status")
            assert await r.writer.flush()
            assert await statuses(r) == {}

    run(scenario())


def test_while_the_database_is_away_rows_wait_and_the_newest_of_each_key_is_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE, TWO)
            await r.sync.sync()
            with locked(r.database):
                r.bench(ONE, NOW + 100)
                r.succeed(TWO)
                assert not await r.writer.flush()
                r.pool.standings.clear(r.key(ONE))
                assert not await r.writer.flush()
            assert await r.writer.flush()
            assert await statuses(r) == {of(r, ONE): ("untested", None), of(r, TWO): ("valid", None)}
            assert len(r.logged("store_unavailable")) == 1  # and not twice a second
            assert len(r.logged("store_back")) == 1

    run(scenario())


def test_what_a_pool_knew_is_written_after_the_pool_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE)
            await r.sync.sync()
            r.bench(ONE, NOW + 100)
            digest = r.key(ONE).digest
            with locked(r.database):
                assert not await r.writer.flush()
            r.pool.standings.remove([digest])
            assert await r.writer.flush()
            assert list(await statuses(r)) == [(digest.hex(), "__ALL_MODELS__")]

    run(scenario())


def test_one_flush_writes_everything_however_much_it_is(tmp_path: Path) -> None:
    count = 2 * BATCH + 1

    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(*(f"sk-many-{n:011}" for n in range(count)))
            await r.sync.sync()
            for key in r.pool.standings.keys.values():
                r.pool.standings.disable(key)
            assert await r.writer.flush()
            assert await r.database.fetchval("SELECT COUNT(*) FROM key_status WHERE status = 'disabled'") == count

    run(scenario())


def test_makers_of_answers_are_written_and_wait_while_the_database_is_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.owners.remember("resp_1", OWNER)
            with locked(r.database):
                assert not await r.writer.flush()
                r.owners.remember("resp_2", OWNER)
            assert await r.writer.flush()
            assert await owners(r) == ["resp_1", "resp_2"]
            assert r.owners.take_pending() == []

    run(scenario())


def test_a_flush_that_is_cancelled_forgets_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE)
            await r.sync.sync()
            for learn in ("a standing", "a maker"):
                if learn == "a standing":
                    r.bench(ONE, NOW + 100)
                else:
                    r.owners.remember("resp_1", OWNER)
                with locked(r.database):
                    flushing = asyncio.create_task(r.writer.flush(), name="flush")
                    while not r.database.statistics().queued:
                        await asyncio.sleep(0)
                    flushing.cancel()
                    await asyncio.wait([flushing])
                    assert flushing.cancelled()
                assert await r.writer.flush()
            assert list(await statuses(r)) == [of(r, ONE)]
            assert await owners(r) == ["resp_1"]

    run(scenario())
