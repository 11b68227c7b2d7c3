"""SIGKILL in the middle of a batch of probes, of a look at the key files, or after a word of the operator: the next
start finds everything as it was.

Where the daemon is killed is counted in what it does (probes sent, keys taken over, rows written), never in seconds;
which count it is, is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.policy.health import ALL_MODELS
from gateway.secret import Secret
from tests.conftest import run
from tests.e2e.process import GatewayProcess, one_provider, write_keys
from tests.fakes.behaviours import quota, rate_limited, server_error, unauthorized
from tests.fakes.provider import FakeProvider

RESTS = 3600
"""Seconds that the provider asks for, by the number of the key a little more: no rest ends during a test."""

HELD = {"rate_limited", "no_quota"}
"""Statuses that no probe looks at before their end."""

HEALTH = "[providers.main.health]\nguard_window = 0\nbatch_size = 5000\n"
"""All keys are one batch, and bad ones are not taken for a common cause."""

PROVIDER = "probe.min_interval = 0\ncircuit_breaker.enabled = false"
"""In the end only keys with server errors are left to be probed, for which the circuit would open."""

SYNC = "[sync]\ninterval = 0.1\nshrink_guard = false\n"

Rows = Mapping[tuple[str, str], Mapping[str, Any]]


class Box:
    """A folder with a gateway's files, and the gateway that has them just now."""

    def __init__(self, folder: Path, fake: FakeProvider) -> None:
        self.folder = folder
        self.database = folder / "state" / "llmgateway.db"
        self.running: GatewayProcess
        self._fake = fake

    async def start(self, *, probe: str = "none", ready: bool = True) -> None:
        config = self.folder / "config.toml"
        config.write_text(one_provider(self._fake.base_url, provider=PROVIDER, more=HEALTH + SYNC, probe=probe))
        self.running = GatewayProcess(config, {})
        await self.running.start(ready=ready)

    def kill(self) -> None:
        self.running.signal(signal.SIGKILL)

    async def killed(self) -> None:
        async with asyncio.timeout(30):
            assert await self.running.wait() == -signal.SIGKILL

    def remembered(self) -> Rows:
        """What the database knows of keys, read from a copy: a reader of the file itself would tidy up after the crash.
        The copy is whole, and no status is of a key that the database does not have."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for file in self.database.parent.glob(f"{self.database.name}*"):
            shutil.copy(file, copy / file.name)
        with closing(sqlite3.connect(copy / self.database.name)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            cursor = db.execute("SELECT * FROM key_status")
            names = [column for column, *_ in cursor.description]
            rows = [dict(zip(names, values, strict=True)) for values in cursor]
        return {(row["digest"], row["model"]): row for row in rows}

    def present(self) -> set[str]:
        """Digests of the keys that are not marked as removed; the gateway may be running."""
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as db:
            return {digest for (digest,) in db.execute("SELECT digest FROM keys WHERE removed_at IS NULL")}

    async def keys(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.running.command("keys", "list", "--json", "--limit", "99999")).json
        return rows

    async def answers(self) -> dict[str, Any] | None:
        """`GET /admin/status`; None as long as it cannot tell."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.database.with_name("admin.sock")))
        except OSError:
            return None
        try:
            writer.write(b"GET /admin/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer: dict[str, Any] = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
        finally:
            writer.close()
        return answer

    async def check_start(self, before: Rows, keys: Iterable[str]) -> Rows:
        """Start it where nothing but time can change a status, and stop it in order. It has these keys, and says of
        them what the rows say; the rows afterwards."""
        await self.start()
        await until(lambda: self.present() == digests(keys))
        now = {(row["digest"], row["model"]): row["until"] for row in await self.keys()}
        assert {digest for digest, _ in now} == {digest[:16] for digest in digests(keys)}
        for (digest, model), row in before.items():
            if (place := (digest[:16], None if model == ALL_MODELS else model)) in now:
                assert now[place] == row["until"]
        assert await self.running.stop() == 0
        return self.remembered()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def box(folder: Path) -> AsyncIterator[tuple[Box, FakeProvider]]:
    async with FakeProvider() as fake:
        made = Box(folder, fake)
        try:
            yield made, fake
        finally:
            if made.running.process.returncode is None:
                made.kill()
                await made.killed()


def digests(keys: Iterable[str]) -> set[str]:
    return {Secret(key).digest.hex() for key in keys}


def script(fake: FakeProvider, rng: Random, keys: Iterable[str]) -> None:
    """Some keys are bad, each in a way of its own."""
    for number, key in enumerate(keys):
        behaviour = rng.choice([rate_limited(RESTS + number), quota(), unauthorized(), server_error(), *[None] * 4])
        if behaviour is not None:
            fake.script(key, behaviour)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_kill_among_probes_loses_no_deadline_and_prolongs_none(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    keys = [f"sk-probed-{n:012}" for n in range(1500)]

    async def scenario() -> None:
        async with box(tmp_path) as (it, fake):
            script(fake, rng, keys)
            write_keys(tmp_path, keys)
            known: Rows = {}
            for _ in range(5):
                fake.plan(rng.randrange(1, 300), it.kill)
                await it.start(probe="request", ready=False)
                await it.killed()
                found = it.remembered()
                for place, row in known.items():
                    if row["status"] in HELD:
                        assert found[place] == row
                assert await it.check_start(found, keys) == found
                known = found
            assert {row["status"] for row in known.values()} >= {"rate_limited", "no_quota", "suspect", "valid"}

    run(scenario(), 120)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_kill_in_a_look_at_the_files_loses_no_key_and_no_deadline(tmp_path: Path, seed: int) -> None:
    """While it starts, while keys join the pool, while they are written."""
    rng = Random(seed)
    probed = [f"sk-probed-{n:012}" for n in range(400)]
    step = 3000

    async def scenario() -> None:
        async with box(tmp_path) as (it, fake):
            script(fake, rng, probed)
            write_keys(tmp_path, keys := probed)
            fake.plan(300, it.kill)
            await it.start(probe="request", ready=False)
            await it.killed()
            known = it.remembered()
            for moment, kill in enumerate(rng.sample([killed_at_start, killed_among_keys, killed_among_rows], 3), 1):
                before = len(keys)
                keys = [*rng.sample(probed, 200), *(f"sk-many-{n:014}" for n in range(moment * step))]
                await kill(it, keys, before + rng.randrange(1, step // 2), rng)
                await it.killed()
                assert it.remembered() == known
                assert await it.check_start(known, keys) == known
            assert {row["status"] for row in known.values()} >= HELD

    run(scenario(), 120)


async def killed_at_start(it: Box, keys: list[str], count: int, rng: Random) -> None:
    """When it answers on the admin socket for the n-th time, which is before it has read its files."""
    write_keys(it.folder, keys)
    await it.start(ready=False)
    for _ in range(rng.randrange(1, 20)):
        while await it.answers() is None:
            await asyncio.sleep(0)
    it.kill()


async def killed_among_keys(it: Box, keys: list[str], count: int, rng: Random) -> None:
    """When the pool has so many keys."""
    await it.start()
    write_keys(it.folder, keys)
    while (status := await it.answers()) is None or status["providers"][0]["keys"] < count:
        pass
    it.kill()


async def killed_among_rows(it: Box, keys: list[str], count: int, rng: Random) -> None:
    """When the database has so many keys."""
    await it.start()
    write_keys(it.folder, keys)
    await until(lambda: len(it.present()) >= count)
    it.kill()


def test_a_kill_right_after_the_operators_word_does_not_unsay_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with box(tmp_path) as (it, _):
            write_keys(tmp_path, keys := [f"sk-key-{n:012}" for n in range(3)])
            for verb, status in (("disable", "disabled"), ("enable", "untested"), ("disable", "disabled")):
                await it.start()
                assert (await it.running.command("keys", verb, "*")).code == 0
                it.kill()
                await it.killed()
                found = it.remembered()
                assert [row["status"] for row in found.values()] == [status] * len(keys)
                assert await it.check_start(found, keys) == found

    run(scenario(), 60)
