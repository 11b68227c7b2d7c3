"""The database locked by somebody else, or its disk full: 503 before anything is asked, and it heals by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.billed import ask, charges, charging
from tests.api.harness import Gateway, Got
from tests.conftest import run
from tests.fakes.provider import FakeProvider
from tests.store.money import set_patience

LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
db.execute("ROLLBACK")
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def until_refused(running: Gateway) -> tuple[Got, int]:
    """The first refusal, and how many answers came before it."""
    answered = 0
    while (got := await ask(running)).status == 200:
        answered += 1
    return got, answered


def test_while_another_process_holds_the_database_locked_nothing_is_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            assert (await ask(running)).status == 200
            before = len(fake.requests)
            with subprocess.Popen(
                [sys.executable, "-c", LOCK, running.database.place],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as other:
                assert other.stdout is not None and other.stdin is not None
                assert other.stdout.readline() == "locked\n"
                set_patience(running.ledger, 0.2)
                for _ in range(3):
                    got = await ask(running)
                    assert (got.status, got.code) == (503, "store_unavailable")
                    assert got.header("retry-after")
                assert len(fake.requests) == before
                other.stdin.write("go\n")
                other.stdin.flush()
            set_patience(running.ledger, 10)
            got = await ask(running)
            while got.status == 503:  # what is being written is not yet done
                got = await ask(running)
            assert got.status == 200
            assert len(await charges(running)) == 2

    run(scenario(), 60)


def test_on_a_full_disk_nothing_is_asked_and_no_charge_is_lost(tmp_path: Path, small_disk: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(small_disk, fake) as running:
            assert (await ask(running)).status == 200
            filler = small_disk / "filler"
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            got, answered = await until_refused(running)
            assert (got.status, got.code) == (503, "store_unavailable")
            before = len(fake.requests)
            assert (await ask(running)).status == 503
            assert len(fake.requests) == before
            filler.unlink()
            while (await ask(running)).status != 200:
                pass
            made = await charges(running)
            refunds = [one for one in await running.books.page("ann", 1000) if one.entry.kind == "refund"]
            assert len(made) - len(refunds) == answered + 2

    run(scenario(), 60)
