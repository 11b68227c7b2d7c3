"""What maintenance purges and what it never touches, when it gives space back, when its rounds come."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.model import Config, StoreConfig
from gateway.config.provider import HealthConfig, ProviderConfig
from gateway.errors import StoreUnavailable
from gateway.keeper import maintenance
from gateway.keeper.maintenance import DAY, MB, RESPONSES_KEPT, Maintenance
from gateway.policy.proxyhealth import ALL_PROVIDERS
from gateway.store.migrations import CREATE_VERSION
from gateway.store.proxies import ProxyStatusRow, ProxyStore
from gateway.store.responses import BATCH, ResponseRow, ResponseStore
from tests.conftest import run
from tests.keeper.rig import FILE, NOW, Rig, locked, rig

ONE, TWO, THREE = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-three-00000000000003"


class Place:
    """Maintenance over the database of a rig, and what it counted: (task, outcome)."""

    def __init__(self, r: Rig) -> None:
        self.rig = r
        self.responses = ResponseStore(r.database)
        self.proxies = ProxyStore(r.database)
        self.counted: list[tuple[str, str]] = []
        self.purged: dict[str, int] = {}
        self._more = asyncio.Event()
        self.maintenance = Maintenance(r.database, r.log, r.clock, self._note)
        self.config = Config(path=r.path, providers={"main": ProviderConfig(name="main")})
        self.arrange()

    def arrange(self, store: StoreConfig | None = None, *, health: HealthConfig | None = None) -> None:
        if store is not None:
            self.config = replace(self.config, store=store)
        if health is not None:
            self.config = replace(self.config, providers={"main": ProviderConfig(name="main", health=health)})
        self.maintenance.arrange(self.config)

    def _note(self, task: str, outcome: str, seconds: float, purged: Mapping[str, int]) -> None:
        assert seconds >= 0
        self.counted.append((task, outcome))
        self.purged.update(purged)
        self._more.set()

    async def wait_counted(self, count: int) -> None:
        while len(self.counted) < count:
            self._more.clear()
            await self._more.wait()

    async def answers(self, *made_at: float, size: int = 0) -> None:
        """Answers named after the time when they were made."""
        rows = [ResponseRow(f"{made:.0f}{'x' * size}", "main", "digest", "model", "ann", made) for made in made_at]
        await self.responses.remember(rows)

    async def remembered(self) -> list[str]:
        rows = await self.rig.database.fetch("SELECT id FROM responses ORDER BY made_at")
        return [str(name).rstrip("x") for (name,) in rows]

    async def leave_file(self, secret: str) -> None:
        """A key goes from the file, and the database notes it."""
        left = [each for each in self.rig.secrets() if each != secret]
        self.rig.write(*left)
        await self.rig.sync.sync(force=True)


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    async with rig(folder, shrink_guard=False) as r:
        r.write(ONE, TWO, THREE)
        await r.sync.sync(force=True)
        yield Place(r)


def test_keys_are_purged_when_they_are_gone_for_long_enough(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            for secret in (ONE, TWO):
                p.rig.bench(secret)
            await p.rig.writer.flush()
            p.arrange(health=HealthConfig(purge_after=10 * DAY))
            await p.leave_file(ONE)
            p.rig.now += 5 * DAY
            await p.leave_file(TWO)
            p.rig.now += 5 * DAY
            assert (await p.maintenance.purge())["purged"]["keys"] == 0
            p.rig.now += 1
            assert (await p.maintenance.purge())["purged"]["keys"] == 1
            assert len(await p.rig.stored()) == 2
            assert await p.rig.database.fetchval("SELECT COUNT(*) FROM key_status") == 1
            p.rig.now += 1000 * DAY
            assert (await p.maintenance.purge())["purged"]["keys"] == 1
            assert list((await p.rig.stored()).values()) == [("{}", False)]

    run(scenario())


def test_keys_of_a_provider_that_is_not_configured_any_more_wait_as_long(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            p.config = replace(p.config, providers={})
            p.arrange()
            assert (await p.maintenance.purge())["purged"]["keys"] == 0
            assert {removed for _, removed in (await p.rig.stored()).values()} == {True}
            p.rig.now += HealthConfig().purge_after
            assert (await p.maintenance.purge())["purged"]["keys"] == 0
            p.rig.now += 1
            assert (await p.maintenance.purge())["purged"]["keys"] == 3
            assert await p.rig.stored() == {}

    run(scenario())


def test_a_provider_that_comes_back_finds_what_was_known(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            configured = p.config
            p.config = replace(configured, providers={})
            p.arrange()
            await p.maintenance.purge()
        async with place(tmp_path) as p:
            assert {removed for _, removed in (await p.rig.stored()).values()} == {False}

    run(scenario())


@pytest.mark.parametrize(
    ("days", "kept"),
    [(90.0, RESPONSES_KEPT), (30.0, RESPONSES_KEPT), (7.0, 7 * DAY)],
)
def test_answers_are_forgotten_by_age(tmp_path: Path, days: float, kept: float) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            p.arrange(StoreConfig(retention_days=days))
            await p.answers(NOW - kept - 1, NOW - kept, NOW)
            assert (await p.maintenance.purge())["purged"]["responses"] == 1
            assert await p.remembered() == [f"{NOW - kept:.0f}", f"{NOW:.0f}"]

    run(scenario())


def test_statuses_of_proxies_are_forgotten_by_age(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            p.arrange(StoreConfig(retention_days=2))
            rows = [
                ProxyStatusRow(digest, ALL_PROVIDERS, "valid", None, "", "", None, 0, None, saved_at)
                for digest, saved_at in (("old", NOW - 2 * DAY - 1), ("new", NOW - 2 * DAY))
            ]
            await p.proxies.save_statuses(rows, [])
            assert (await p.maintenance.purge())["purged"]["proxies"] == 1
            assert [row.digest for row in await p.proxies.load_statuses(["old", "new"])] == ["new"]

    run(scenario())


def test_above_the_size_cap_the_oldest_answers_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            made = [NOW - 3 * BATCH + number for number in range(3 * BATCH)]
            await p.answers(*made, size=300)
            before = (await p.rig.database.size()).used
            assert before > 3 * MB
            cap = before // MB - 1
            p.arrange(StoreConfig(max_mb=cap))
            forgotten = (await p.maintenance.purge())["purged"]["responses"]
            assert 0 < forgotten < len(made)
            assert (await p.rig.database.size()).used <= cap * MB
            assert await p.remembered() == [f"{time:.0f}" for time in made[forgotten:]]
            assert (await p.maintenance.purge())["purged"]["responses"] == 0
            assert len(await p.rig.stored()) == 3

    run(scenario())


def test_without_a_cap_the_database_may_grow(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            await p.answers(*(NOW + number for number in range(BATCH)), size=500)
            assert (await p.rig.database.size()).used > MB
            p.arrange(StoreConfig(max_mb=0))
            assert (await p.maintenance.purge())["purged"]["responses"] == 0

    run(scenario())


def test_keys_are_never_forgotten_for_their_size(tmp_path: Path) -> None:
    many = [f"sk-many-{number:016}" for number in range(8000)]

    async def scenario() -> None:
        async with place(tmp_path) as p:
            p.rig.write(*many)
            await p.rig.sync.sync(force=True)
            await p.answers(NOW)
            assert (await p.rig.database.size()).used > MB
            p.arrange(StoreConfig(max_mb=1))
            assert (await p.maintenance.purge())["purged"] == {"keys": 0, "responses": 1, "proxies": 0, "sums": 0}
            assert sum(not removed for _, removed in (await p.rig.stored()).values()) > 0
            assert await p.rig.database.fetchval("SELECT COUNT(*) FROM keys WHERE removed_at IS NULL") == len(many)
            (line,) = p.rig.logged("store_over_cap")
            assert line["level"] == "warning"

    run(scenario())


ANSWERS = 4000
"""Of some 300 bytes each."""


async def fill_and_forget(p: Place, share: float) -> None:
    """A database of which about this share is free."""
    await p.answers(*(NOW + number for number in range(ANSWERS)), size=100)
    await p.responses.forget_before(NOW + share * ANSWERS)


def test_space_is_given_back_when_it_is_a_good_part_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "FREE_LEAST", 4096)

    async def scenario() -> None:
        async with place(tmp_path) as p:
            await fill_and_forget(p, 0.1)
            size = await p.rig.database.size()
            assert size.free > 0
            result = await p.maintenance.release()
            assert (result["before"], result["after"]) == (size.total, size.total)
            assert result["database"] == p.rig.database.place
            await p.responses.forget_before(NOW + 0.5 * ANSWERS)
            result = await p.maintenance.release()
            after = await p.rig.database.size()
            assert result["after"] == after.total < 0.8 * size.total
            assert after.free == 0
            (line,) = p.rig.logged("maintained")
            assert (line["task"], line["after"]) == ("release", after.total)

    run(scenario())


def test_little_is_not_worth_it_however_large_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            await fill_and_forget(p, 1.0)
            size = await p.rig.database.size()
            assert size.free > 0.8 * size.total
            assert (await p.maintenance.release())["after"] == size.total
            monkeypatch.setattr(maintenance, "FREE_LEAST", size.free)
            assert (await p.maintenance.release())["after"] < size.total

    run(scenario())


def test_an_older_file_gets_a_hint_until_it_is_vacuumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "FREE_LEAST", 4096)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        db.execute(CREATE_VERSION)  # pages do not leave a file that began like that

    async def scenario() -> None:
        async with place(tmp_path) as p:
            await fill_and_forget(p, 0.5)
            size = await p.rig.database.size()
            assert (await p.maintenance.release())["after"] == size.total
            result = await p.maintenance.vacuum()
            after = await p.rig.database.size()
            assert (result["before"], result["after"]) == (size.total, after.total)
            assert after.total < 0.8 * size.total
            await p.responses.forget_before(NOW + 0.9 * ANSWERS)
            assert (await p.maintenance.release())["after"] < 0.8 * after.total
            (line,) = p.rig.logged("vacuum_needed")
            assert "maintenance vacuum" in line["hint"]

    run(scenario())


def test_a_checkpoint_says_how_large_the_log_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            result = await p.maintenance.checkpoint()
            assert result["before"] > result["after"] == 0

    run(scenario())


def test_a_round_does_all_and_counts_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            await p.answers(NOW - RESPONSES_KEPT - 1)
            await p.maintenance.do_round()
            assert p.counted == [("purge", "done"), ("release", "done"), ("checkpoint", "done")]
            assert p.purged == {"keys": 0, "responses": 1, "proxies": 0, "sums": 0}

    run(scenario())


def test_a_database_that_is_away_is_logged_and_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            await p.answers(NOW - RESPONSES_KEPT - 1)
            with locked(p.rig.database):
                await p.maintenance.do_round()
                assert ("purge", "failed") in p.counted
                with pytest.raises(StoreUnavailable):
                    await p.maintenance.purge()
            await p.maintenance.do_round()
            assert await p.remembered() == []
            assert {line["task"] for line in p.rig.logged("maintenance_failed")} >= {"purge"}

    run(scenario())


def test_tasks_take_turns(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            await p.answers(*(NOW - RESPONSES_KEPT - number for number in range(1, 100)))
            results = await asyncio.gather(*(task() for task in p.maintenance.tasks.values()), p.maintenance.purge())
            assert [outcome for _, outcome in p.counted] == ["done"] * 4
            assert [task for task, _ in p.counted] == ["purge", "vacuum", "checkpoint", "purge"]
            assert [result["purged"]["responses"] for result in (results[0], results[3])] == [99, 0]

    run(scenario())


def test_rounds_come_at_the_interval_that_a_reload_sets(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as p:
            rounds = asyncio.create_task(p.maintenance.run(), name="maintenance")
            try:
                await asyncio.sleep(0)
                p.arrange(StoreConfig(max_mb=7))  # which is no reason for a round
                await asyncio.sleep(0)
                assert p.counted == []
                p.arrange(StoreConfig(maintenance_interval=0.001))
                await p.wait_counted(9)
            finally:
                rounds.cancel()

    run(scenario())
