"""Keys and their statuses: syncing with the files, the history of removed keys, the round trip of statuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.store.database import Database
from gateway.store.keys import BATCH, KEY_STATUS_COLUMNS, PURGED_AT_ONCE, TOGETHER, KeyStatusRow, KeyStore
from tests.conftest import run
from tests.store.conftest import opened

A, B, C = (("a" * 64, "sk-…aaaa", "{}"), ("b" * 64, "sk-…bbbb", "{}"), ("c" * 64, "sk-…cccc", '{"account":"x"}'))

VALID = KeyStatusRow("main", A[0], "__ALL_MODELS__", "valid", None, "heuristic", "", "", None, 2e9, 1e9, 0, True)


async def keys(database: Database, provider: str = "main") -> dict[str, list[object]]:
    """First letter of the digest: fingerprint, labels, added_at, removed_at."""
    rows = await database.fetch(
        "SELECT digest, fingerprint, labels, added_at, removed_at FROM keys WHERE provider = $1", provider
    )
    return {str(digest)[0]: rest for digest, *rest in ((row[0], *row[1:]) for row in rows)}  # type: ignore[misc]


def test_a_sync_adds_keeps_and_removes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            await store.sync_keys("main", [A, B], 1.0)
            await store.sync_keys("other", [A], 1.5)
            await store.sync_keys("main", [B, C], 2.0)
            assert await keys(database) == {
                "a": ["sk-…aaaa", "{}", 1.0, 2.0],
                "b": ["sk-…bbbb", "{}", 1.0, None],
                "c": ["sk-…cccc", '{"account":"x"}', 2.0, None],
            }
            await store.sync_keys("main", [], 3.0)
            assert [row[3] for row in (await keys(database)).values()] == [2.0, 3.0, 3.0]
            assert await keys(database, "other") == {"a": ["sk-…aaaa", "{}", 1.5, None]}

    run(scenario())


def test_a_sync_takes_new_labels_and_counts_duplicates_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            await store.sync_keys("main", [A, A, A], 1.0)
            await store.sync_keys("main", [(A[0], A[1], '{"weight":2}')], 2.0)
            assert await keys(database) == {"a": ["sk-…aaaa", '{"weight":2}', 1.0, None]}

    run(scenario())


def test_a_sync_of_what_is_known_writes_no_row(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            await store.sync_keys("main", [A, B], 1.0)
            await database.execute(
                """CREATE TRIGGER no_writes BEFORE UPDATE ON keys
                BEGIN SELECT RAISE(ABORT, 'a row was written'); END"""
            )
            await store.sync_keys("main", [B, A], 2.0)
            await store.add_and_remove("main", [A], [C[0]], 2.0)

    run(scenario())


def test_a_large_sync_is_exact(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            entries = [(f"{number:064x}", "…", "{}") for number in range(5000)]
            await store.sync_keys("main", entries, 1.0)
            await store.sync_keys("main", entries[1000:], 2.0)
            assert await database.fetchval("SELECT COUNT(*) FROM keys WHERE removed_at IS NULL") == 4000
            assert await database.fetchval("SELECT COUNT(*) FROM keys WHERE removed_at = 2.0") == 1000

    run(scenario())


def test_the_difference_alone_can_be_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            await store.sync_keys("main", [A], 1.0)
            await store.add_and_remove("main", [B], [A[0]], 2.0)
            await store.add_and_remove("main", [], [A[0]], 3.0)  # it left at 2.0
            assert await keys(database) == {
                "a": ["sk-…aaaa", "{}", 1.0, 2.0],
                "b": ["sk-…bbbb", "{}", 2.0, None],
            }

    run(scenario())


@pytest.mark.parametrize("count", [1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER + 2])
def test_a_difference_of_any_size_is_exact(tmp_path: Path, count: int) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            entries = [(f"{number:064x}", f"sk-…{number}", f'{{"note":"{number}"}}') for number in range(count)]
            await store.add_and_remove("main", [B], [], 1.0)
            await store.add_and_remove("other", entries, [], 1.0)
            await store.add_and_remove("main", entries, [], 2.0)
            found = (
                "SELECT digest, fingerprint, labels FROM keys WHERE provider = $1 AND added_at = 2.0 ORDER BY digest"
            )
            assert await database.fetch(found, "main") == entries
            await store.add_and_remove("main", [], [digest for digest, _, _ in entries], 3.0)
            assert await database.fetch(
                "SELECT provider, COUNT(*) FROM keys WHERE removed_at = 3.0 GROUP BY provider"
            ) == [("main", count)]
            assert await database.fetchval("SELECT COUNT(*) FROM keys WHERE removed_at IS NULL") == count + 1

    run(scenario())


def test_a_key_that_returns_brings_its_history(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            await store.sync_keys("main", [A], 1.0)
            await store.save_statuses([VALID])
            await store.sync_keys("main", [], 2.0)
            await store.add_and_remove("main", [A], [], 3.0)
            assert await store.load_statuses("main", [A[0]]) == [VALID]
            assert (await keys(database))["a"] == ["sk-…aaaa", "{}", 1.0, None]

    run(scenario())


def test_a_purge_forgets_what_left_before_and_its_statuses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            await store.sync_keys("main", [A, B, C], 1.0)
            await store.save_statuses([replace(VALID, digest=digest) for digest, _, _ in (A, B, C)])
            await store.add_and_remove("main", [], [A[0]], 2.0)
            await store.add_and_remove("main", [], [B[0]], 3.0)
            await store.sync_keys("other", [A], 1.0)
            await store.add_and_remove("other", [], [A[0]], 2.0)
            assert await store.purge_removed("main", 3.0) == 1
            assert await store.purge_removed("main", 3.0) == 0
            assert sorted(await store.providers()) == ["main", "other"]
            assert await store.remove_all("main", 4.0) == 1
            assert await store.remove_all("main", 5.0) == 0
            assert await store.purge_removed("other", 3.0) == 1
            assert list(await keys(database)) == ["b", "c"]
            assert await database.fetchval("SELECT COUNT(*) FROM key_status") == 2

    run(scenario())


def test_many_keys_are_purged_a_unit_at_a_time_with_all_their_statuses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            many = [(f"{number:064x}", "sk-…", "{}") for number in range(2 * PURGED_AT_ONCE + 1)]
            await store.sync_keys("main", many, 1.0)
            await store.save_statuses(
                [
                    replace(VALID, digest=digest, model=model)
                    for digest, _, _ in many
                    for model in (VALID.model, "gpt-x")
                ]
            )
            await store.sync_keys("main", many[:1], 2.0)
            commits = database.statistics().commits
            assert await store.purge_removed("main", 3.0) == 2 * PURGED_AT_ONCE
            assert database.statistics().commits - commits >= 2 + 4
            assert await database.fetchval("SELECT COUNT(*) FROM keys") == 1
            assert await database.fetchval("SELECT COUNT(*) FROM key_status") == 2

    run(scenario())


def test_statuses_are_replaced_per_key_and_model(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            await store.sync_keys("main", [A, B], 1.0)
            benched = replace(VALID, model="gpt-x", status="no_model", until=5.5, streak=3, proven=False)
            await store.save_statuses([VALID, benched])
            await store.save_statuses([replace(VALID, status="suspect", reason="401")])
            rows = await store.load_statuses("main", [A[0], B[0]])
            assert rows == [replace(VALID, status="suspect", reason="401"), benched]
            assert [type(row.proven) for row in rows] == [bool, bool]

    run(scenario())


def test_more_statuses_than_a_batch_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            digests = [f"{number:064x}" for number in range(BATCH)]
            rows = [replace(VALID, digest=digest, model=model) for digest in digests for model in ("m1", "m2", "m3")]
            for count in (0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH):
                await database.execute("DELETE FROM key_status")
                await store.save_statuses(rows[:count])
                assert await store.load_statuses("main", digests) == rows[:count]

    run(scenario())


def test_only_the_statuses_asked_for_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            rows = [replace(VALID, digest=digest) for digest, _, _ in (A, B, C)]
            await store.save_statuses([*rows, replace(VALID, provider="other")])
            assert await store.load_statuses("main", [C[0], A[0]]) == [rows[0], rows[2]]
            assert await store.load_statuses("main", []) == []
            assert await store.load_statuses("none", [A[0]]) == []

    run(scenario())


def test_the_columns_are_those_of_the_table(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            table = await database.fetch("SELECT name FROM pragma_table_info('key_status')")
            assert tuple(name for (name,) in table) == KEY_STATUS_COLUMNS

    run(scenario())


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
times = st.none() | st.floats(allow_nan=False)
rows = st.builds(
    KeyStatusRow,
    provider=st.just("main"),
    digest=st.sampled_from([A[0], B[0], C[0]]),
    model=texts.filter(bool),
    status=texts,
    until=times,
    provenance=texts,
    reason=texts,
    last_error=texts,
    failing_since=times,
    next_check_at=times,
    checked_at=times,
    streak=st.integers(-(2**63), 2**63 - 1),
    proven=st.booleans(),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, max_size=20))
def test_statuses_come_back_as_they_were_saved(tmp_path: Path, saved: list[KeyStatusRow]) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = KeyStore(database)
            await store.sync_keys("main", [A, B, C], 1.0)
            await database.execute("DELETE FROM key_status")
            await store.save_statuses(saved)
            loaded = await store.load_statuses("main", [A[0], B[0], C[0]])
            assert {(row.digest, row.model): row for row in loaded} == {(row.digest, row.model): row for row in saved}
            assert len(loaded) == len({(row.digest, row.model) for row in saved})

    run(scenario())
