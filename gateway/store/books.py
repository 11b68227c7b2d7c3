"""Reading and correcting the ledger: what a user has and did, credits and debits, what a dead gateway left behind.

What requests reserve and are charged, goes through `ledger.py`. Money is in nano-units, times are unix seconds; all
methods raise what `Database` raises. Each may be repeated: a correction is known by its charge id.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.store.database import Database, Row, Statement
from gateway.store.entries import COLUMNS, WRITE_ONCE, Account, Entry, Written, opening, read_account

BALANCE_LIMIT = 4 * 10**18
"""Nano-units, four thousand million of the currency: half of what a BIGINT holds."""

PAGE_LIMIT = 1000
"""Entries in one page: some milliseconds of the reader's time."""

BALANCES_LIMIT = 10_000
"""Users in the metrics: a megabyte of text."""

ORPHAN_AGE = 86400.0
"""Seconds after which a reservation belongs to nobody: no request lives for a day."""

# ruff: noqa: S608 - the names in SQL are ours
ADJUST = f"""
    UPDATE users SET balance = balance + $1, entries = entries + 1
    WHERE name = $2 AND balance + $1 BETWEEN -{BALANCE_LIMIT} AND {BALANCE_LIMIT}
        AND (CAST($4 AS BIGINT) = 0 OR balance + $1 >= reserved)
        AND NOT EXISTS (SELECT 1 FROM ledger WHERE charge_id = $3)"""
FIND = f"SELECT user_name, seq, balance_after, {COLUMNS} FROM ledger WHERE charge_id = $1"
PAGE = f"""
    SELECT user_name, seq, balance_after, {COLUMNS} FROM ledger
    WHERE user_name = $1 AND seq <= (SELECT entries FROM users WHERE name = $1) - $2
    ORDER BY seq DESC LIMIT $3"""
BALANCES = "SELECT name, balance FROM users WHERE entries > 0 ORDER BY name LIMIT $1"

ORPHANS = "(owner = $1 OR made_at < $2)"
UNRESERVE_ORPHANS = f"""
    UPDATE users SET reserved = reserved - (
        SELECT SUM(amount) FROM reservations WHERE user_name = users.name AND {ORPHANS})
    WHERE name IN (SELECT user_name FROM reservations WHERE {ORPHANS})"""
FORGET_ORPHANS = f"DELETE FROM reservations WHERE {ORPHANS}"
HELD = "COALESCE((SELECT SUM(amount) FROM reservations WHERE user_name = users.name), 0)"
MEND_RESERVED = f"UPDATE users SET reserved = {HELD} WHERE reserved <> {HELD}"
FORGET_UNITS = "DELETE FROM ledger_units WHERE made_at < $1"

WRONG_SUMS = f"""
    SELECT name FROM users
    WHERE balance <> COALESCE((SELECT SUM(amount) FROM ledger WHERE user_name = users.name), 0)
        OR entries <> (SELECT COUNT(*) FROM ledger WHERE user_name = users.name)
        OR reserved <> {HELD}
    ORDER BY name LIMIT 100"""
WRONG_STEPS = """
    SELECT later.user_name, later.seq FROM ledger AS later
    LEFT JOIN ledger AS earlier ON earlier.user_name = later.user_name AND earlier.seq = later.seq - 1
    WHERE later.balance_after <> COALESCE(earlier.balance_after, 0) + later.amount
        OR (earlier.seq IS NULL AND later.seq <> 1)
    ORDER BY later.user_name, later.seq LIMIT 100"""


class Books:
    """The tables `ledger` and `reservations`, and the money in `users`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account(self, user: str) -> Account | None:
        """None for a user who has no row."""
        return await read_account(self._database, user)

    async def open(self, user: str, default_balance: int, now: float) -> Account:
        """The account of a user who is seen perhaps for the first time; then he gets the default balance."""
        account = await self.account(user)
        if account is None or not account.entries:
            await self._database.transaction(opening(user, default_balance, now))
            account = await self.account(user)
        assert account is not None
        return account

    async def adjust(self, user: str, entry: Entry, default_balance: int, *, covered: bool = False) -> Written | None:
        """Write a credit or a debit; a user without an entry gets his first one before it. Returns what the ledger has
        under its charge id, which may be an earlier one; None when the balance would become absurd, or when it is to be
        `covered` by what no request has reserved, and is not."""
        await self._database.transaction(
            [
                *opening(user, default_balance, entry.made_at),
                Statement(ADJUST, args=(entry.amount, user, entry.charge_id, int(covered))),
                Statement(WRITE_ONCE, args=(user, 0, 0, *entry)),
            ],
            power_safe=True,
        )
        return await self.find(entry.charge_id)

    async def find(self, charge_id: str) -> Written | None:
        """The entry of that charge id."""
        row = await self._database.fetchrow(FIND, charge_id)
        return None if row is None else _written(row)

    async def make_up(self, charges: Sequence[tuple[str, Entry]]) -> int:
        """Write what an earlier life of this gateway still owed to the ledger, by user. The number of entries that were
        not there yet."""
        written = 0
        for start in range(0, len(charges), PAGE_LIMIT):
            statements = [
                statement
                for user, entry in charges[start : start + PAGE_LIMIT]
                for statement in (
                    Statement(ADJUST, args=(entry.amount, user, entry.charge_id, 0)),
                    Statement(WRITE_ONCE, args=(user, 0, 0, *entry)),
                )
            ]
            written += sum((await self._database.transaction(statements, power_safe=True))[1::2])
        return written

    async def page(self, user: str, limit: int, offset: int = 0) -> list[Written]:
        """Entries, the newest first."""
        rows = await self._database.fetch(PAGE, user, offset, min(limit, PAGE_LIMIT))
        return [_written(row) for row in rows]

    async def balances(self, limit: int = BALANCES_LIMIT) -> dict[str, int]:
        """What users have, of so many in the order of their names."""
        return {str(name): int(balance or 0) for name, balance in await self._database.fetch(BALANCES, limit)}

    async def end_orphans(self, owner: str | None, now: float) -> int:
        """Release the reservations that an earlier life of this gateway has left; None: of every gateway, where there
        is no other. The number of them."""
        before = now + 1 if owner is None else now - ORPHAN_AGE
        _, ended, _ = await self._database.transaction(
            [
                Statement(UNRESERVE_ORPHANS, args=(owner or "", before)),
                Statement(FORGET_ORPHANS, args=(owner or "", before)),
                Statement(FORGET_UNITS, args=(now - ORPHAN_AGE,)),
            ]
        )
        return ended

    async def mend_reserved(self) -> int:
        """Set what is reserved of users to the sum of their reservations where it is another, because of somebody's
        hand or a fault of ours. The number of users. While no other gateway lives."""
        return await self._database.execute(MEND_RESERVED)

    async def verify(self) -> list[str]:
        """What is not as it has to be: balances that are no sums of entries, gaps, reservations that do not add up."""
        sums = await self._database.fetch(WRONG_SUMS)
        steps = await self._database.fetch(WRONG_STEPS)
        return [f"sums of {name!s}" for (name,) in sums] + [f"entry {seq!s} of {name!s}" for name, seq in steps]


def _written(row: Row) -> Written:
    user, seq, balance_after, *entry = row
    return Written(str(user), int(seq or 0), int(balance_after or 0), Entry(*entry))  # type: ignore[arg-type]
