"""What the ledger's tests share: a ledger that runs, and a database that fails when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.errors import StoreUnavailable
from gateway.store.books import Books
from gateway.store.database import Database, Row, Statement, Value
from gateway.store.entries import Entry, Refusal, Reservation
from gateway.store.ledger import Ledger
from tests.store.conftest import opened

NOW = 1_800_000_000.0
HERE = "this gateway"


class Unsteady:
    """A real database that fails before or after it has done what it was asked, as often as `failures` says."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.failures: list[str] = []  # "before", "after", in turn; "" for none
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0  # units that wait at the gate
        self.units = 0
        self.done: Callable[[], object] = lambda: None  # what else happens in the turn in which a unit is done

    async def transaction(self, statements: Sequence[Statement], *, power_safe: bool = False) -> list[int]:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        self.units += 1
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "before":
            raise StoreUnavailable("the disk is full")
        counts = await self._database.transaction(statements, power_safe=power_safe)
        if failure == "after":
            raise StoreUnavailable("no answer")
        self.done()
        return counts

    async def fetchrow(self, sql: str, *args: Value) -> Row | None:
        return await self._database.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Value) -> Value:
        return await self._database.fetchval(sql, *args)


class Till:
    """A ledger with everything around it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.unsteady = Unsteady(database)
        self.events: list[str] = []
        self.ledger = Ledger(self.unsteady, HERE, lambda: NOW, self._note)  # type: ignore[arg-type]
        self.books = Books(database)

    def _note(self, event: str, **facts: object) -> None:
        self.events.append(event)

    async def reserve(self, user: str, amount: int) -> Reservation:
        granted = await self.ledger.reserve(user, amount)
        assert isinstance(granted, Reservation), granted
        return granted

    async def refused(self, user: str, amount: int) -> Refusal:
        refused = await self.ledger.reserve(user, amount)
        assert isinstance(refused, Refusal), refused
        return refused

    async def funds(self, user: str) -> tuple[int, int]:
        """What the user has, and how much of that is reserved."""
        account = await self.books.account(user)
        assert account is not None
        return account.balance, account.reserved

    async def given(self) -> None:
        """Until a unit waits at the gate of the database."""
        while not self.unsteady.waiting:
            await asyncio.sleep(0)

    async def rest(self) -> None:
        """Until everything is written that was asked for."""
        while await self.ledger.flush(10):
            pass


def set_patience(ledger: Ledger, seconds: float = 0.01) -> None:
    """How long orders are waited for from now on: a moment, when the database is known not to answer."""
    ledger._patience = seconds
    if ledger._timer is not None:  # set with another patience
        ledger._timer.cancel()
        ledger._timer = None


def charge(reservation: Reservation, amount: int, **more: Any) -> Entry:
    return Entry(reservation.id, "charge", -amount, NOW, **more)


@asynccontextmanager
async def till(folder: Path, balance: int = 0) -> AsyncIterator[Till]:
    """A till whose ledger runs, and whose users begin with `balance`. In the end all sums must be right."""
    async with opened(folder) as database:
        made = Till(database)
        made.ledger.default_balance = balance
        task = asyncio.get_running_loop().create_task(made.ledger.run(), name="ledger")
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.wait([task])
        await made.rest()
        assert await made.books.verify() == []
