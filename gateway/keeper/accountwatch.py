"""Hears of what other processes change about users and API tokens, so that a revocation counts within a second."""

from __future__ import annotations

import asyncio

from gateway.errors import StoreError
from gateway.observe.logs import Log
from gateway.store.accounts import AccountStore

POLL_SECONDS = 0.5
"""Between two reads of one number, which take some hundred microseconds."""


class AccountWatch:
    """`run` is a task of the daemon's. While the database is away, what is known stays."""

    def __init__(self, accounts: AccountStore, log: Log) -> None:
        self._accounts = accounts
        self._log = log
        self._away = False

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        try:
            await self._accounts.poll()
        except StoreError as error:
            if not self._away:
                self._log.warning("accounts_unwatched", detail=str(error))
            self._away = True
        else:
            self._away = False
