"""What comes between a key file and the pool: cancelled looks, a database that is away, files nobody can read."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway.keeper import look as look_module
from gateway.keeper import sync as sync_module
from gateway.keeper.keyfiles import SourceReading
from gateway.keeper.sync import SLICE, SyncResult
from gateway.policy.verdict import Status
from gateway.store.keys import KeyStatusRow
from tests.conftest import run
from tests.keeper.rig import FILE, NOW, Rig, cancelled, locked, rig, scenario_test

ONE, TWO, THREE = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-three-00000000000003"


UTF_16 = b"\xff\xfe" + "sk-three\n".encode("utf-16-le")


@pytest.mark.parametrize("save", [True, False])
@pytest.mark.parametrize("broken", ["file", "folder"])
def test_a_start_with_what_cannot_be_read_marks_no_key_as_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, save: bool
) -> None:
    def no_listing(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    async def scenario() -> None:
        async with rig(tmp_path, keys="keys") as r:
            r.write(ONE, TWO, name="a.txt")
            r.write(THREE, name="b.txt")
            await r.sync.sync()
        async with rig(tmp_path, keys="keys") as r:
            if broken == "file":
                (r.path / "a.txt").write_bytes(UTF_16)
            else:
                monkeypatch.setattr("os.scandir", no_listing)
            await r.sync.sync(save=save)
            for _ in range(2):
                await r.sync.sync(force=True)
                assert {removed for _, removed in (await r.stored()).values()} == {False}
            monkeypatch.undo()
            r.write(ONE, name="a.txt")
            await r.sync.sync()
            assert r.secrets() == sorted([ONE, THREE])
            assert [fingerprint for fingerprint, (_, removed) in (await r.stored()).items() if removed] == ["sk-…0002"]

    run(scenario())


def test_a_file_that_could_never_be_read_holds_up_no_change_of_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path, keys="keys") as r:
            r.write(ONE, TWO, name="a.txt")
            (r.path / "b.txt").write_bytes(UTF_16)
            await r.sync.sync()
            r.write(TWO, THREE, name="a.txt")
            assert await r.sync.sync() == SyncResult(2, added=1, removed=1, problems=r.source.read().problems)
            assert await r.stored() == {
                "sk-…0001": ("{}", True), "sk-…0002": ("{}", False), "sk-…0003": ("{}", False)
            }  # fmt: skip
            assert await r.sync.sync() == SyncResult(2)  # and is not read again and again

    run(scenario())


MANY = [f"sk-many-{n:011}" for n in range(9)]


@pytest.mark.parametrize("save", [True, False])
def test_a_look_that_is_cancelled_anywhere_is_finished_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: bool
) -> None:
    monkeypatch.setattr(sync_module, "SLICE", 2)
    monkeypatch.setattr(sync_module, "SAVED_AT_ONCE", 2)

    async def scenario() -> None:
        async with rig(tmp_path, shrink_guard=False) as r:
            for at in count(1):
                labels = f"note=round{at}"
                left, right = (MANY[:4], MANY[5:]) if at % 2 else (MANY[5:], MANY[:4])
                r.write(*left, f"{MANY[4]} {labels}")
                await r.sync.sync()
                r.write(*right, MANY[4])
                stopped = await cancelled(r.sync.sync(save=save), at)
                await r.sync.sync()
                assert r.secrets() == sorted([*right, MANY[4]])
                assert r.key(MANY[4]).labels == {}
                stored = await r.stored()
                assert {name for name, (_, removed) in stored.items() if not removed} == {
                    key.fingerprint for key in r.pool.standings.keys.values()
                }
                assert {labels for labels, _ in stored.values()} == {"{}"}
                assert await r.sync.sync() == SyncResult(5)
                if not stopped:
                    break
            assert at > 8

    run(scenario())


@scenario_test()
async def test_what_a_cancelled_look_has_read_is_not_taken_for_news(r: Rig) -> None:
    r.write(ONE)
    read, reading, slow = r.source.read, threading.Event(), threading.Event()

    def reads() -> SourceReading:
        found = read()
        reading.set()
        slow.wait()
        return found

    r.source.read = reads  # type: ignore[method-assign]
    looking = asyncio.create_task(r.sync.sync(), name="look")
    await asyncio.to_thread(reading.wait)
    looking.cancel()
    await asyncio.wait({looking})
    r.write(ONE, TWO)
    slow.set()
    assert (await r.sync.sync()).added == 2


def test_a_loss_that_was_confirmed_is_not_doubted_again_when_it_was_cancelled_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_module, "SLICE", 2)

    async def scenario() -> None:
        async with rig(tmp_path) as r:
            for at in count(1):
                r.write(*MANY)
                await r.sync.sync()
                r.write(MANY[0])
                assert (await r.sync.sync()).held
                stopped = await cancelled(r.sync.sync(), at)
                assert not (await r.sync.sync()).held
                assert r.secrets() == [MANY[0]]
                if not stopped:
                    break
            assert at > 5

    run(scenario())


@scenario_test()
async def test_a_look_that_failed_half_way_is_finished_by_the_next_one(r: Rig) -> None:
    add = r.pool.standings.add

    def failing(keys: Any) -> None:
        r.pool.standings.add = add  # type: ignore[method-assign]
        raise RuntimeError("a bug")

    r.write(ONE)
    await r.sync.sync()
    r.pool.standings.add = failing  # type: ignore[method-assign]
    r.write(ONE, TWO)
    with pytest.raises(RuntimeError):
        await r.sync.sync()
    assert await r.sync.sync() == SyncResult(2, added=1)
    assert len(await r.stored()) == 2


def test_while_the_database_is_away_memory_goes_on_and_the_next_look_catches_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE, TWO)
            await r.sync.sync()
            with locked(r.database):
                r.write(TWO, f"{THREE} account=a")
                assert await r.sync.sync() == SyncResult(2, added=1, removed=1)
                assert r.secrets() == sorted([TWO, THREE])
                r.write(f"{TWO} note=x", f"{THREE} account=a")
                await r.sync.sync()
                assert r.key(TWO).labels == {"note": "x"}
            assert await r.stored() == {"sk-…0001": ("{}", False), "sk-…0002": ("{}", False)}
            assert await r.sync.sync() == SyncResult(2)
            assert await r.stored() == {
                "sk-…0001": ("{}", True),
                "sk-…0002": ('{"note":"x"}', False),
                "sk-…0003": ('{"account":"a"}', False),
            }
            assert r.logged("keys_not_stored")

    run(scenario())


def test_a_first_look_with_the_database_away_still_fills_the_pool(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE, TWO)
            with locked(r.database):
                assert (await r.sync.sync()).added == 2
            assert r.secrets() == sorted([ONE, TWO])
            await r.sync.sync()
            assert set(await r.stored()) == {"sk-…0001", "sk-…0002"}

    run(scenario())


@scenario_test()
async def test_what_was_not_saved_is_saved_at_the_next_look(r: Rig) -> None:
    r.write(ONE)
    assert (await r.sync.sync(save=False)).added == 1
    assert await r.stored() == {}
    assert await r.sync.sync() == SyncResult(1)
    assert await r.stored() == {"sk-…0001": ("{}", False)}


@contextmanager
def unreadable(folder: Path) -> Iterator[None]:
    """Nobody can read what is known of keys."""
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as other:
        other.execute("ALTER TABLE key_status RENAME TO hidden")
        yield
        other.execute("ALTER TABLE hidden RENAME TO key_status")


@pytest.mark.parametrize("restart", [True, False])
def test_no_key_comes_without_its_history(tmp_path: Path, restart: bool) -> None:
    async def look_in_vain(r: Rig) -> None:
        with unreadable(tmp_path):
            for _ in range(2):
                result = await r.sync.sync()
                assert (result.keys, result.added) == (0, 0)
                assert result.problems == ("2 new keys wait until the database can be read",)
        assert len(r.logged("statuses_not_restored")) == 1

    async def look_again(r: Rig) -> None:
        assert await r.sync.sync() == SyncResult(2, added=2)
        assert r.key(ONE).standing.status is Status.DISABLED
        assert r.key(TWO).standing.until == NOW + 1000
        await r.writer.flush()
        rows = await r.database.fetch("SELECT status FROM key_status ORDER BY status")
        assert rows == [("disabled",), ("rate_limited",)]
        assert {removed for _, removed in (await r.stored()).values()} == {False}

    async def scenario() -> None:
        async with rig(tmp_path, shrink_guard=False) as r:
            r.write(ONE, TWO)
            await r.sync.sync()
            r.pool.standings.disable(r.key(ONE))
            r.bench(TWO, NOW + 1000)
            await r.writer.flush()
            if not restart:
                r.write()
                await r.sync.sync()
                r.write(ONE, TWO)
                await look_in_vain(r)
                await look_again(r)
        if restart:
            async with rig(tmp_path) as r:
                await look_in_vain(r)
                await look_again(r)

    run(scenario())


def test_a_database_that_cannot_be_read_is_waited_for_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path, shrink_guard=False) as r:
            r.write(ONE, TWO)
            await r.sync.sync()
            r.write(TWO, *(f"sk-many-{n:011}" for n in range(3 * SLICE)))
            reads = []
            load = r.store.load_statuses

            async def counted(provider: str, digests: Sequence[str]) -> list[KeyStatusRow]:
                reads.append(1)
                return await load(provider, digests)

            r.store.load_statuses = counted  # type: ignore[method-assign]
            with unreadable(tmp_path):
                result = await r.sync.sync()
                assert (result.keys, result.added, result.removed) == (1, 0, 1)  # what leaves does not wait
            assert len(reads) == 1
            assert (await r.sync.sync()).added == 3 * SLICE

    run(scenario())


def test_files_that_take_too_long_are_told_at_once_and_read_to_their_end_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_module, "READ_SECONDS", 0.01)

    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE)
            slow = threading.Event()
            reads = []
            read = r.source.read

            def reading() -> SourceReading:
                reads.append(1)
                slow.wait()
                return read()

            r.source.read = reading  # type: ignore[method-assign]
            (problem,) = (await r.sync.sync()).problems
            assert problem == "the key files could not be read within 0.01 s"
            monkeypatch.setattr(look_module, "READ_SECONDS", 3600.0)
            assert (await r.sync.sync()).problems  # at once: nobody waits for it again
            slow.set()
            while not (await r.sync.sync()).added:
                pass
            assert reads == [1]

    run(scenario())


def test_files_that_hang_take_no_thread_of_the_loop_and_hold_up_no_end(tmp_path: Path) -> None:
    hung = threading.Event()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        async with rig(tmp_path) as r:
            r.source.stamp = hung.wait  # type: ignore[method-assign,assignment]
            looking = asyncio.create_task(r.sync.sync(), name="look")
            assert await asyncio.to_thread(threading.current_thread) is not threading.current_thread()
            looking.cancel()

    run(scenario())  # which waits for the loop's own threads
    hung.set()
