"""What other processes change about users and tokens is heard of, and a database that is away changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.keeper.accountwatch import AccountWatch
from gateway.observe.logs import Log
from gateway.store.accounts import AccountStore, UserRow
from tests.conftest import run
from tests.store.conftest import opened


def test_changes_of_another_process_are_heard_of(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database, opened(tmp_path) as another:
            accounts = AccountStore(database)
            watch = AccountWatch(accounts, Log(write=lambda data: None, human=False))
            await watch.look()
            known = accounts.changes
            await watch.look()
            assert accounts.changes == known
            await AccountStore(another).create_user(UserRow("ann", 1.0))
            await watch.look()
            assert accounts.changes == known + 1

    run(scenario())


def test_a_database_that_is_away_is_said_once_and_nothing_is_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        lines: list[dict[str, Any]] = []
        log = Log(write=lambda data: lines.extend(map(json.loads, data.splitlines())), human=False)
        async with opened(tmp_path) as database:
            accounts = AccountStore(database)
            watch = AccountWatch(accounts, log)
            await watch.look()
            known = accounts.changes
        await watch.look()
        await watch.look()
        log.close()
        assert [line["event"] for line in lines] == ["accounts_unwatched"]
        assert accounts.changes == known

    run(scenario())
