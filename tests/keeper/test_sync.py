"""Key files on disk on the left, what the pool and the database have on the right."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway.keeper import look as look_module
from gateway.keeper import sync as sync_module
from gateway.keeper.keyfiles import SourceReading
from gateway.keeper.sync import LOST, SLICE, SyncResult
from gateway.policy.health import UNTESTED, VALID
from gateway.policy.verdict import Scope, Status
from gateway.store.keys import KeyStatusRow
from tests.conftest import run
from tests.keeper.rig import FILE, MODEL, NOW, Rig, cancelled, locked, rig

ONE, TWO, THREE = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-three-00000000000003"


def scenario_test(
    keys: str = "main.txt", *, shrink_guard: bool = True
) -> Callable[[Callable[[Rig], Awaitable[None]]], Callable[[Path], None]]:
    """A test that plays in a rig of its own."""

    def wrap(play: Callable[[Rig], Awaitable[None]]) -> Callable[[Path], None]:
        def test(tmp_path: Path) -> None:
            async def scenario() -> None:
                async with rig(tmp_path, keys=keys, shrink_guard=shrink_guard) as r:
                    await play(r)

            run(scenario())

        return test

    return wrap


@scenario_test()
async def test_keys_are_added_and_removed_as_the_file_says(r: Rig) -> None:
    r.write(ONE, TWO)
    assert await r.sync.sync() == SyncResult(2, added=2)
    r.write(TWO, THREE)
    assert await r.sync.sync() == SyncResult(2, added=1, removed=1)
    assert r.secrets() == sorted([TWO, THREE])
    assert await r.stored() == {"sk-…0001": ("{}", True), "sk-…0002": ("{}", False), "sk-…0003": ("{}", False)}
    assert await r.sync.sync() == SyncResult(2)


@scenario_test()
async def test_an_unchanged_file_is_not_read_again_unless_it_is_asked_for(r: Rig) -> None:
    r.write(ONE)
    await r.sync.sync()
    reads = []
    read = r.source.read

    def counted() -> SourceReading:
        reads.append(1)
        return read()

    r.source.read = counted  # type: ignore[method-assign]
    await r.sync.sync()
    assert not reads
    await r.sync.sync(force=True)
    assert reads


@scenario_test()
async def test_a_removed_key_is_not_leased_again_and_its_attempt_ends_quietly(r: Rig) -> None:
    r.write(ONE, TWO)
    await r.sync.sync()
    lease = r.pool.lease_key(r.key(ONE), MODEL)
    assert lease is not None
    r.write(TWO)
    await r.sync.sync()
    r.pool.succeed(lease)
    again = [r.pool.lease(MODEL) for _ in range(3)]
    assert {each.key.secret.reveal() for each in again if each is not None} == {TWO}


@scenario_test()
async def test_changed_labels_reach_the_key_and_the_database_and_disturb_nothing_else(r: Rig) -> None:
    r.write(ONE, TWO)
    await r.sync.sync()
    r.succeed(ONE)
    key = r.key(ONE)
    r.write(f"{ONE} account=a weight=2", TWO)
    assert await r.sync.sync() == SyncResult(2)
    assert r.key(ONE) is key
    assert key.labels == {"account": "a", "weight": "2"}
    assert key.standing is VALID
    assert await r.stored() == {"sk-…0001": ('{"account":"a","weight":"2"}', False), "sk-…0002": ("{}", False)}
    r.write(ONE, TWO)
    await r.sync.sync()
    assert key.labels == {}
    assert (await r.stored())["sk-…0001"] == ("{}", False)


@scenario_test()
async def test_a_broken_file_keeps_the_last_set_and_says_so_once(r: Rig) -> None:
    r.write(ONE, TWO)
    await r.sync.sync()
    r.path.write_bytes(b"\xff\xfe" + "sk-three\n".encode("utf-16-le"))
    result = await r.sync.sync()
    assert (result.keys, result.removed, result.held) == (2, 0, False)
    (problem,) = result.problems
    assert problem.endswith("is UTF-16, as Windows editors write it; save it as UTF-8; the 2 keys it had are kept")
    assert r.sync.files[0]["broken"]
    await r.sync.sync(force=True)
    assert r.secrets() == sorted([ONE, TWO])
    assert [line["problem"] for line in r.logged("key_file")] == [problem]


@scenario_test()
async def test_a_problem_that_comes_back_is_told_again(r: Rig) -> None:
    for line in ("sk-ä", ONE, "sk-ä"):
        r.write(line, TWO)
        await r.sync.sync()
    assert len(r.logged("key_file")) == 2


def test_a_returning_key_gets_its_history_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path, shrink_guard=False) as r:
            r.write(ONE, TWO)
            await r.sync.sync()
            r.bench(ONE, NOW + 1234.5678)
            r.bench(TWO, NOW + 50, Scope.KEY_MODEL)
            before = [r.key(ONE).standing, r.key(TWO).models]
            await r.writer.flush()
            r.write(THREE)
            await r.sync.sync()
            assert r.pool.standings.counts == {Status.RATE_LIMITED: 0, Status.UNTESTED: 1}
            r.now += 100
            r.write(ONE, TWO, THREE)
            await r.sync.sync()
            assert [r.key(ONE).standing, r.key(TWO).models] == before
            assert r.pool.lease_key(r.key(ONE), MODEL) is None
            assert r.key(THREE).standing is UNTESTED

    run(scenario())


def test_a_restart_brings_standings_back_with_their_deadlines_to_the_last_digit(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE, TWO, THREE, "sk-four-0000000004")
            await r.sync.sync()
            r.bench(ONE, NOW + 0.1 + 1000)
            r.bench(TWO, NOW + 10, Scope.KEY_MODEL)
            r.succeed(THREE)
            r.pool.standings.disable(r.key("sk-four-0000000004"))
            before = {secret: (r.key(secret).standing, r.key(secret).models) for secret in r.secrets()}
            checked = r.key(THREE).checked_at
            await r.writer.flush()
        async with rig(tmp_path) as r:
            await r.sync.sync()
            assert {secret: (r.key(secret).standing, r.key(secret).models) for secret in r.secrets()} == before
            assert r.key(THREE).checked_at == checked == NOW
            assert r.pool.standings.next_wake() == NOW + 10
            assert r.pool.standings.take_changes() == []

    run(scenario())


def test_a_status_in_words_of_another_version_counts_as_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE)
            await r.sync.sync()
            r.bench(ONE, NOW + 99)
            await r.writer.flush()
            await r.database.execute("UPDATE key_status SET status = 'dizzy'")
        async with rig(tmp_path) as r:
            await r.sync.sync()
            assert r.key(ONE).standing is UNTESTED

    run(scenario())


OTHERS = [f"sk-other-{n:011}" for n in range(3)]


@pytest.mark.parametrize(
    "after", [[], [ONE], OTHERS], ids=["emptied", "shrunk by more than half", "as many keys, but others"]
)
def test_a_sudden_loss_waits_for_the_next_look(tmp_path: Path, after: list[str]) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE, TWO, THREE)
            await r.sync.sync()
            r.write(*after)
            result = await r.sync.sync()
            assert result == SyncResult(3, held=True, problems=(f"{r.path}: {LOST}",))
            assert r.sync.files[0]["problems"] == [LOST]
            assert (await r.sync.sync()).removed == len({ONE, TWO, THREE} - set(after))
            assert r.secrets() == after
            assert r.sync.files[0]["problems"] == []
            (line,) = r.logged("keys_shrink_held")
            assert (line["keys"], line["reading"], line["files"]) == (3, len(after), [str(r.path)])

    run(scenario())


@scenario_test()
async def test_a_loss_that_is_made_good_before_the_next_look_was_none(r: Rig) -> None:
    r.write(ONE, TWO, THREE)
    await r.sync.sync()
    for _ in range(2):
        r.write()
        assert (await r.sync.sync()).held
        r.write(ONE, TWO, THREE)
        assert await r.sync.sync() == SyncResult(3)


@scenario_test("keys")
async def test_a_small_file_emptied_beside_a_big_one_is_a_loss(r: Rig) -> None:
    many = [f"sk-many-{n:011}" for n in range(100)]
    r.write(*many, name="big.txt")
    r.write(ONE, name="small.txt")
    await r.sync.sync()
    r.write(name="small.txt")
    result = await r.sync.sync()
    assert (result.held, result.keys) == (True, 101)
    assert (await r.sync.sync()).removed == 1
    assert r.secrets() == many


@scenario_test("keys")
async def test_a_file_gone_from_a_folder_is_a_loss(r: Rig) -> None:
    r.write(ONE, TWO, name="a.txt")
    r.write(THREE, name="b.txt")
    await r.sync.sync()
    (r.path / "b.txt").unlink()
    assert (await r.sync.sync()).held
    assert (await r.sync.sync()).removed == 1


@scenario_test("keys")
async def test_a_file_renamed_inside_a_folder_is_no_loss(r: Rig) -> None:
    r.write(ONE, TWO, name="a.txt")
    r.write(THREE, name="b.txt")
    await r.sync.sync()
    key = r.key(ONE)
    (r.path / "a.txt").rename(r.path / "c.txt")
    assert await r.sync.sync() == SyncResult(3)
    assert r.key(ONE) is key
    (r.path / "c.txt").unlink()  # the new name is guarded like the old one
    assert (await r.sync.sync()).held


@scenario_test("keys")
async def test_keys_that_move_to_another_file_are_not_lost(r: Rig) -> None:
    r.write(ONE, TWO, name="a.txt")
    r.write(THREE, name="b.txt")
    await r.sync.sync()
    r.write(name="a.txt")
    r.write(ONE, TWO, name="b.txt")
    assert (await r.sync.sync()).held  # b.txt lost its only key, a.txt none
    assert r.logged("keys_shrink_held")[0]["files"] == [str(r.path / "b.txt")]


@scenario_test(shrink_guard=False)
async def test_without_the_guard_a_loss_counts_at_once(r: Rig) -> None:
    r.write(ONE, TWO, THREE)
    await r.sync.sync()
    r.write()
    assert await r.sync.sync() == SyncResult(0, removed=3)


@scenario_test(shrink_guard=False)
async def test_the_guard_can_be_switched_on_later(r: Rig) -> None:
    r.write(ONE, TWO, THREE)
    await r.sync.sync()
    r.sync.shrink_guard = True
    r.write()
    assert (await r.sync.sync()).held


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
    r.pool.standings.add = failing  # type: ignore[method-assign,assignment]
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
            with locked(tmp_path):
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
            with locked(tmp_path):
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


def test_a_hundred_thousand_keys_are_applied_in_slices_with_a_turn_of_the_loop_between(tmp_path: Path) -> None:
    count = 100_000

    async def scenario() -> None:
        async with rig(tmp_path, shrink_guard=False) as r:
            sizes: list[int] = []
            waiting: list[str] = []

            def watched(name: str, act: Callable[[Any], None]) -> Callable[[Any], None]:
                def acted(items: Any) -> None:
                    assert not waiting, "two slices in one turn"
                    waiting.append(name)
                    asyncio.get_running_loop().call_soon(waiting.clear)
                    sizes.append(len(items))
                    act(items)

                return acted

            r.pool.standings.add = watched("add", r.pool.standings.add)  # type: ignore[method-assign,assignment]
            r.pool.standings.remove = watched("remove", r.pool.standings.remove)  # type: ignore[method-assign,assignment]
            r.write(*(f"sk-many-{n:011}" for n in range(count)))
            await r.sync.sync()
            assert len(r.pool.standings.keys) == count
            r.write(*(f"sk-many-{n:011}" for n in range(count // 2, count + count // 2)))
            result = await r.sync.sync()
            assert (result.added, result.removed) == (count // 2, count // 2)
            assert set(sizes) == {SLICE}
            assert sum(sizes) == 2 * count
            assert await r.database.fetchval("SELECT COUNT(*) FROM keys WHERE removed_at IS NULL") == count

    run(scenario(), 60)


def test_files_that_take_too_long_are_told_and_read_to_their_end_later(
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
            for _ in range(2):
                result = await r.sync.sync()
                assert result.problems == ("the key files could not be read within 0.01 s",)
            slow.set()
            monkeypatch.setattr(look_module, "READ_SECONDS", 60.0)
            assert (await r.sync.sync()).added == 1
            assert reads == [1]

    run(scenario())
