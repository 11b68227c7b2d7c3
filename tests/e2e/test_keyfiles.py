"""Key files that change under a running gateway: in effect by themselves, while requests run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import run
from tests.e2e.load import Tally, load
from tests.e2e.process import GatewayProcess, gateway, one_provider, write_keys
from tests.fakes.behaviours import unauthorized
from tests.fakes.provider import FakeProvider

ONE, TWO, THREE = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-three-00000000000003"

NOTICED = 30.0
"""Seconds until a change of a key file counts: two looks, on however busy a machine."""


@asynccontextmanager
async def under_load(running: GatewayProcess) -> AsyncIterator[Tally]:
    """Requests run meanwhile; every one of them must be answered."""
    done = False
    loading = asyncio.create_task(load(running.address, 10**6, 5, lambda: done), name="load")
    tally = Tally()
    yield tally
    done = True
    found = await loading
    tally.answers += found.answers
    assert not found.cut and not found.refused
    assert found.statuses() == {200}


async def wait_until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(NOTICED):
        while not true():
            await asyncio.sleep(0.01)


def test_keys_that_appear_and_disappear_count_without_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [ONE])
            async with gateway(tmp_path, one_provider(fake.base_url)) as running, under_load(running):
                await wait_until(lambda: fake.calls_by_key[ONE] > 0)
                write_keys(tmp_path, [ONE, TWO])
                await wait_until(lambda: fake.calls_by_key[TWO] > 0)
                write_keys(tmp_path, [TWO, THREE])
                await running.wait_log("keys_synced", 3)
                fake.script(ONE, unauthorized())  # whoever still used it would learn
                calls = fake.calls_by_key[ONE]
                await wait_until(lambda: fake.calls_by_key[THREE] > 50)
                assert fake.calls_by_key[ONE] <= calls + 5  # attempts that were under way
                assert (await running.command("keys", "list", "--json")).json[0]["status"] == "valid"

    run(scenario(), 60)


def test_labels_are_taken_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [ONE])
            async with gateway(tmp_path, one_provider(fake.base_url)) as running:
                write_keys(tmp_path, [f"{ONE} account=a note=mine"])
                async with asyncio.timeout(NOTICED):
                    while True:
                        (row,) = (await running.command("keys", "list", "--json")).json
                        if row["labels"] == {"account": "a", "note": "mine"}:
                            break

    run(scenario(), 60)


def test_a_broken_and_an_emptied_file_keep_the_keys(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            path = write_keys(tmp_path, [ONE, TWO])
            config = one_provider(fake.base_url, more="[sync]\ninterval = 3600\n")  # each reload is a look
            async with gateway(tmp_path, config) as running, under_load(running):
                path.write_bytes(b"\xff\xfe\x00")
                assert (await running.command("reload")).code == 0
                problem = (await running.wait_log("key_file"))["problem"]
                assert problem.endswith("; the 2 keys it had are kept")
                status = (await running.command("status")).out
                assert problem.partition(": ")[2] in status
                # Emptied, and full again before the next look confirms it.
                path.write_text("")
                assert (await running.command("reload")).code == 0
                await running.wait_log("keys_shrink_held")
                write_keys(tmp_path, [ONE, TWO])
                assert (await running.command("reload")).code == 0

    run(scenario(), 60)


def test_an_emptied_file_is_believed_at_the_second_look(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            path = write_keys(tmp_path, [ONE, TWO])
            async with gateway(tmp_path, one_provider(fake.base_url)) as running:
                path.write_text("")
                assert (await running.wait_log("keys_shrink_held"))["files"] == [str(path)]
                assert (await running.wait_log("keys_synced", 2))["removed"] == 2

    run(scenario(), 60)


def test_ten_thousand_keys_arrive_while_requests_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [ONE])
            async with gateway(tmp_path, one_provider(fake.base_url)) as running, under_load(running):
                write_keys(tmp_path, [ONE, *(f"sk-many-{n:016}" for n in range(10_000))])
                assert (await running.wait_log("keys_synced", 2))["keys"] == 10_001
                write_keys(tmp_path, [ONE, *(f"sk-many-{n:016}" for n in range(5000, 15_000))])
                synced = await running.wait_log("keys_synced", 3)
                assert (synced["added"], synced["removed"]) == (5000, 5000)

    run(scenario(), 60)
