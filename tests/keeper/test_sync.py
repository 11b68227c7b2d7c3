"""Key files on disk on the left, what the pool and the database have on the right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.keeper.keyfiles import SourceReading
from gateway.keeper.sync import LOST, SLICE, SyncResult
from gateway.policy.health import UNTESTED, VALID
from gateway.policy.verdict import Scope, Status
from gateway.upstream.key import Key
from tests.conftest import run
from tests.keeper.rig import MODEL, NOW, Rig, rig, scenario_test

ONE, TWO, THREE = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-three-00000000000003"


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
async def test_a_problem_that_lasts_is_told_once_whatever_else_comes(r: Rig) -> None:
    r.write("sk-ä", ONE)
    await r.sync.sync()
    r.write("sk-ä", ONE, TWO, "https://x")
    await r.sync.sync()
    told = [str(line["problem"]) for line in r.logged("key_file")]
    assert len(told) == 2 and "ASCII" in told[0] and "URL" in told[1]


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
            empty = [] if after else ["has no keys"]
            assert result == SyncResult(3, held=True, problems=tuple(f"{r.path}: {text}" for text in [*empty, LOST]))
            assert r.sync.files[0]["problems"] == [*empty, LOST]
            assert (await r.sync.sync()).removed == len({ONE, TWO, THREE} - set(after))
            assert r.secrets() == after
            assert r.sync.files[0]["problems"] == empty
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
    assert await r.sync.sync() == SyncResult(0, removed=3, problems=(f"{r.path}: has no keys",))


@scenario_test(shrink_guard=False)
async def test_the_guard_can_be_switched_on_later(r: Rig) -> None:
    r.write(ONE, TWO, THREE)
    await r.sync.sync()
    r.sync.shrink_guard = True
    r.write()
    assert (await r.sync.sync()).held


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
            assert not r.logged("keys_not_stored")

    run(scenario(), 120)


def test_many_keys_come_in_the_order_of_their_digests_from_anywhere_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            came: list[bytes] = []
            add = r.pool.standings.add

            def noted(keys: Sequence[Key]) -> None:
                came.extend(key.digest for key in keys)
                add(keys)

            r.pool.standings.add = noted  # type: ignore[method-assign]
            r.write(*(f"sk-many-{n:011}" for n in range(3 * SLICE)))
            await r.sync.sync()
            first = came.index(min(came))
            assert first > 0
            assert came[first:] + came[:first] == sorted(r.pool.standings.keys)

    run(scenario())
