"""Several processes, and processes that die: what was acknowledged is there, and the file is whole."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import run
from tests.store.conftest import FILE, opened

PROLOGUE = """
import asyncio, sys
from pathlib import Path
from gateway.store import open_store
from gateway.store.database import Statement

INSERT = "INSERT INTO responses (id, provider, digest, model, made_at) VALUES ($1, 'main', 'd', 'm', 0.0)"

"""

WRITE_FOR_EVER = (
    PROLOGUE
    + """
async def write(database, lane):
    number = 0
    while True:
        ids = [f"{lane}-{number}-{part}" for part in range(3)]
        await database.transaction([Statement(INSERT, args=(id,)) for id in ids])
        print(" ".join(ids), flush=True)
        number += 1

async def main():
    database = await open_store("sqlite:store.db", Path(sys.argv[1]))
    await asyncio.gather(*(write(database, lane) for lane in range(8)))

asyncio.run(main())
"""
)

WRITE_SOME = (
    PROLOGUE
    + """
async def main():
    print("started", flush=True)
    sys.stdin.readline()
    database = await open_store("sqlite:store.db", Path(sys.argv[1]))
    for number in range(200):
        await database.execute(INSERT, f"{sys.argv[2]}-{number}")
    await database.close()

asyncio.run(main())
"""
)


@pytest.mark.parametrize("acknowledged", [1, 100, 1500])
def test_a_killed_process_leaves_every_acknowledged_write(tmp_path: Path, acknowledged: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledged)]
        process.kill()
        lines += process.stdout.readlines()
    expected = {name for line in lines if line.endswith("\n") for name in line.split()}
    assert len(expected) >= 3 * acknowledged

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            found = {str(name) for (name,) in await database.fetch("SELECT id FROM responses")}
            assert expected <= found
            assert len(found) % 3 == 0  # whole transactions only
            assert await database.fetchval("PRAGMA integrity_check") == "ok"
            await database.ping()

    run(scenario())


def test_two_processes_may_create_and_write_the_same_database(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_SOME, str(tmp_path)]
    processes = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in "abc"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
    for process in processes:  # all at once
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=20)
        assert process.returncode == 0
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("SELECT COUNT(*) FROM responses").fetchone() == (600,)
