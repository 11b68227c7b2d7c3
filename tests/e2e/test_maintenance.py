"""`llmgateway maintenance` against a gateway that runs: it does the work, and its metrics and log say so."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.request import urlopen

from tests.conftest import run
from tests.e2e.process import Ended, GatewayProcess, command, gateway, one_provider, write_keys
from tests.fakes.provider import FakeProvider

KEYS = [f"sk-key-{number:016}" for number in range(3)]


@asynccontextmanager
async def running_gateway(folder: Path, more: str = "") -> AsyncIterator[GatewayProcess]:
    async with FakeProvider() as fake:
        write_keys(folder, KEYS)
        async with gateway(folder, one_provider(fake.base_url, more=more)) as running:
            yield running


async def maintain(running: GatewayProcess, *words: str) -> Ended:
    return await running.command("maintenance", *words, "--config", str(running.config))


async def metrics(running: GatewayProcess) -> list[str]:
    def fetch() -> str:
        with urlopen(f"{running.address}/metrics", timeout=10) as answer:
            return str(answer.read(), "utf-8")

    return (await asyncio.to_thread(fetch)).splitlines()


def add_old_answer(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "state" / "llmgateway.db", isolation_level=None)) as db:
        db.execute("INSERT INTO responses VALUES ('resp_old', 'main', 'digest', 'model', 1.0, 'ann')")


def test_the_gateway_does_the_work_and_shows_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as running:
            add_old_answer(tmp_path)
            purged = await maintain(running, "purge", "--json")
            assert (purged.code, purged.err) == (0, "")
            assert purged.json["purged"]["responses"] == 1
            vacuumed = await maintain(running, "vacuum", "--json")
            assert vacuumed.json["database"] == str(tmp_path / "state" / "llmgateway.db")
            assert vacuumed.json["before"] >= vacuumed.json["after"] > 0
            assert (await maintain(running, "checkpoint")).code == 0
            lines = await metrics(running)
            for task in ("purge", "vacuum", "checkpoint"):
                assert f'llm_gateway_maintenance_total{{task="{task}",outcome="done"}} 1' in lines
            assert 'llm_gateway_purged_total{kind="responses"} 1' in lines
            assert any(line.startswith('llm_gateway_store_bytes{part="database"} ') for line in lines)
            assert (await running.wait_log("maintained"))["purged"]["responses"] == 1

    run(scenario(), 60)


def test_a_backup_is_made_by_the_command_while_the_gateway_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        target = tmp_path / "copy.db"
        async with running_gateway(tmp_path) as running:
            add_old_answer(tmp_path)
            ended = await command(
                *("maintenance", "backup", str(target), "--config", str(running.config)),
                LLMGATEWAY_SOCKET=running.admin_socket,
                STATE_DIRECTORY=str(tmp_path / "elsewhere"),  # the gateway knows better
            )
            assert (ended.code, ended.err) == (0, "")
            with closing(sqlite3.connect(target)) as db:
                assert db.execute("SELECT COUNT(*) FROM keys").fetchone() == (len(KEYS),)
                assert db.execute("SELECT id FROM responses").fetchall() == [("resp_old",)]
            assert stat.S_IMODE(target.stat().st_mode) == 0o600
            again = await maintain(running, "backup", str(target))
            assert (again.code, "exists already" in again.err) == (1, True)

    run(scenario(), 60)


def test_rounds_come_by_themselves(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = "[store]\nmaintenance_interval = 1\n"
        async with running_gateway(tmp_path, more) as running:
            add_old_answer(tmp_path)
            count = 1
            while (await running.wait_log("maintained", count))["task"] != "purge":
                count += 1
            (line,) = (line for line in running.logs if line.get("task") == "purge")
            assert line["purged"]["responses"] == 1

    run(scenario(), 60)


def test_a_gateway_with_another_configuration_is_left_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as running:
            (tmp_path / "other").mkdir()
            other = tmp_path / "other" / "config.toml"
            other.write_text(one_provider("http://127.0.0.1:1"))
            ended = await command(
                "maintenance", "purge", "--config", str(other), LLMGATEWAY_SOCKET=running.admin_socket
            )
            assert ended.code == 1
            assert "no gateway that runs uses this configuration" in ended.err
            assert f"there is no database at {tmp_path}/other/state" in ended.err

    run(scenario(), 60)
