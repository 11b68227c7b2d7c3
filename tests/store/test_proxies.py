"""What is known of proxies: the round trip, and what is forgotten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.store.proxies import DIGESTS, ProxyStatusRow, ProxyStore
from tests.conftest import run
from tests.store.conftest import opened

DEAD = ProxyStatusRow(
    "a" * 64, "__ALL_PROVIDERS__", "network_error", 2e9 + 0.1, "proxy_failed", "refused", 1e9, 3, 1.5e9, 1e9
)
BLOCKED = replace(DEAD, provider="main", status="no_access", until=None, checked_at=None, failing_since=None)


def test_rows_come_back_as_they_were_saved(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = ProxyStore(database)
            await store.save_statuses([DEAD, BLOCKED], [])
            assert await store.load_statuses([DEAD.digest, "b" * 64]) == [DEAD, BLOCKED]
            again = replace(DEAD, status="valid", until=None, streak=0, saved_at=2e9)
            await store.save_statuses([again], [(BLOCKED.digest, "main"), ("c" * 64, "main")])
            assert await store.load_statuses([DEAD.digest]) == [again]

    run(scenario())


def test_many_are_loaded_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = ProxyStore(database)
            rows = [replace(DEAD, digest=f"{n:064}") for n in range(2 * DIGESTS + 1)]
            await store.save_statuses(rows, [])
            assert await store.load_statuses([row.digest for row in rows]) == rows

    run(scenario())


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = ProxyStore(database)
            await store.save_statuses([DEAD, replace(BLOCKED, saved_at=2e9)], [])
            assert await store.forget_before(1.5e9) == 1
            assert [row.provider for row in await store.load_statuses([DEAD.digest])] == ["main"]

    run(scenario())
