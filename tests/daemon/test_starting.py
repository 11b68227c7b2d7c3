"""The start of a gateway: what it puts right in its books."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.conftest import run
from tests.daemon.running import daemon
from tests.daemon.test_prices import BILLING
from tests.daemon.test_watchdog import ANYWHERE


def test_a_start_mends_what_is_reserved_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, ANYWHERE, BILLING) as running:
            await running.daemon._holdings.books.open("ann", 0, 0.0)
        with closing(sqlite3.connect(tmp_path / "state" / "llmgateway.db", isolation_level=None)) as hand:
            hand.execute("UPDATE users SET reserved = -900 WHERE name = 'ann'")
        async with daemon(tmp_path, ANYWHERE, BILLING) as running:
            assert [line["users"] for line in running.logged("reserved_mended")] == [1]
            account = await running.daemon._holdings.books.account("ann")
            assert account is not None and account.reserved == 0

    run(scenario(), 60)
