"""The ledger's rows, and the SQL of one unit of reservations and charges.

Money is a whole number of nano-units of `billing.currency`. Entries are only ever added. What a user has, is the sum of
his entries; `users.balance` is that sum, kept along, and `users.reserved` the sum of his reservations. Every unit
leaves it so.

A unit is done once, even where nobody knows whether it was done: its first statement writes its name, on which a second
attempt fails. So its statements need not be repeatable, and what concerns the same user is put together: one update of
his row for all of his requests. That update is no lock to rely on: units are one at a time (`database.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from gateway.store.database import Database, Statement, Value
from gateway.store.purse import Ended

OPENING = "opening balance"

REVOKED = "the answer could not be given"
"""The note of a refund: the charge became durable only after its client had been told otherwise."""


ROWS_AT_ONCE = 32
"""In one statement: a millisecond of the writer's time, of which the loop notices nothing. Of arguments, of which an
entry has 16, SQLite takes 999 before its version 3.32; RHEL 8 has 3.26."""

IDS_AT_ONCE = 512
"""The same of reservations that end."""


class Reservation(NamedTuple):
    """Money that is set aside for a request in flight."""

    id: str
    user: str
    amount: int


class Refusal(NamedTuple):
    """Why there was no reservation: the user is disabled, or `balance - reserved` is less than it takes."""

    balance: int
    reserved: int
    disabled: bool


class Entry(NamedTuple):
    """A line of the ledger, as it is written. `amount` is signed: what a user pays is negative. `key` is a fingerprint,
    `usage` a JSON object of tokens by bucket, `made_at` unix seconds, `price_version` names the prices it was made by.
    """

    charge_id: str
    kind: str  # charge, credit, debit, refund, adjustment
    amount: int
    made_at: float
    request_id: str = ""
    token: str = ""
    model: str = ""
    provider: str = ""
    key: str = ""
    price_version: str = ""
    usage: str = "{}"
    estimated: int = 0
    note: str = ""


class Written(NamedTuple):
    """A line of the ledger, as it is read."""

    user: str
    seq: int
    balance_after: int
    entry: Entry


class Account(NamedTuple):
    """The money side of a user."""

    balance: int
    reserved: int
    entries: int
    disabled: bool


COLUMNS = ", ".join(Entry._fields)

NAME_UNIT = "INSERT INTO ledger_units (name, made_at) VALUES ($1, $2)"
FORGET_UNIT = "DELETE FROM ledger_units WHERE name = $1"
FIND_UNIT = "SELECT 1 FROM ledger_units WHERE name = $1"

# Casts: PostgreSQL takes a parameter of no certain type for text. It and SQLite call the columns of VALUES column1, ….

ADD_USER = "INSERT INTO users (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
OPEN = "UPDATE users SET balance = balance + $2, entries = 1 WHERE name = $1 AND entries = 0"
RESERVE = """
    UPDATE users SET reserved = reserved + $1, mark = $2
    WHERE name = $3 AND disabled = 0 AND balance - reserved >= $1"""
NOTE_RESERVATIONS = """
    INSERT INTO reservations (id, user_name, amount, owner, made_at)
    SELECT column1, $1, column2, $2, CAST($3 AS DOUBLE PRECISION) FROM (VALUES {rows}) AS noted
    WHERE EXISTS (SELECT 1 FROM users WHERE name = $1 AND mark = $4)"""
NOTED = "({}, CAST({} AS BIGINT))"
CHARGE = """
    UPDATE users SET balance = balance + $1, entries = entries + $2, reserved = reserved - (
        SELECT COALESCE(SUM(CASE WHEN id = $3 AND amount > CAST($4 AS BIGINT) THEN $4 ELSE amount END), 0)
        FROM reservations WHERE id IN ($3, {ids}))
    WHERE name = $5"""
LESSEN = """
    UPDATE reservations SET made_at = $2, amount = CASE WHEN amount > CAST($3 AS BIGINT) THEN amount - $3 ELSE 0 END
    WHERE id = $1"""
WRITE = f"""
    INSERT INTO ledger (user_name, seq, balance_after, {COLUMNS})
    SELECT name, entries - column2, balance - column3, {", ".join(f"column{n}" for n in range(4, 17))}
    FROM (VALUES {{rows}}) AS written, users WHERE name = column1"""  # noqa: S608 - names of ours
WRITTEN = (
    "({}, CAST({} AS BIGINT), CAST({} AS BIGINT), {}, {}, CAST({} AS BIGINT), CAST({} AS DOUBLE PRECISION), {}, {}, "
    "{}, {}, {}, {}, {}, CAST({} AS BIGINT), {})"
)
WRITE_ONCE = WRITE.format(rows=WRITTEN.format(*(f"${n}" for n in range(1, 17)))) + " ON CONFLICT DO NOTHING"
FORGET_RESERVATIONS = "DELETE FROM reservations WHERE id IN ({ids})"
READ_ACCOUNT = "SELECT balance, reserved, entries, disabled FROM users WHERE name = $1"


class Unit:
    """The statements of one transaction. `name` is its own, `previous` that of one that is known to be done.

    What ends reservations comes first, so that the money can be reserved again.
    """

    def __init__(self, name: str, previous: str, now: float) -> None:
        self._name = name
        self._previous = previous
        self._now = now
        self._less: list[tuple[str, float, int]] = []  # of reservations that go on
        self._ended: list[str] = []
        self._charged: list[str] = []  # users, in the order of the charges
        self._charges: list[Statement] = []
        self._entries: list[tuple[Value, ...]] = []
        self._rest: list[Statement] = []

    def end(self, user: str, ended: Sequence[Ended], entries: Sequence[Entry]) -> None:
        """All that a user gives back in this unit, and all of his entries. A reservation that there is not, or no more,
        frees nothing."""
        amounts = [entry.amount for entry in entries]
        total, count = sum(amounts), len(entries)
        gone = [row for one in ended for row in one.ids]
        all_of_it = set(gone)
        less: dict[str, int] = {}
        for row, amount in [each for one in ended for each in one.less]:
            if row not in all_of_it:
                less[row] = less.get(row, 0) + amount
        lessened = list(less.items()) or [("", 0)]
        for place in range(max(len(lessened), -(-len(gone) // IDS_AT_ONCE))):  # once, nearly always
            ids = _padded(gone[place * IDS_AT_ONCE : (place + 1) * IDS_AT_ONCE] or [""])
            row, amount = lessened[place] if place < len(lessened) else ("", 0)
            sums = (0, 0) if place else (total, count)
            self._charged.append("" if place or not entries else user)
            self._charges.append(Statement(_charging(len(ids)), args=(*sums, row, amount, user, *ids)))
        self._less += [(row, self._now, amount) for row, amount in less.items()]
        so_far = 0
        for place, entry in enumerate(entries, 1):
            so_far += entry.amount
            self._entries.append((user, count - place, total - so_far, *entry))
        self._ended += gone

    def open(self, user: str, amount: int) -> None:
        """See `opening`."""
        self._rest += opening(user, amount, self._now)

    def reserve(self, user: str, reservations: Sequence[Reservation], owner: str) -> int:
        """All of them or none. Where it is in the unit: see `granted`."""
        place, mark = len(self._rest), reservations[0].id
        self._rest.append(Statement(RESERVE, args=(sum([one.amount for one in reservations]), mark, user)))
        noted = [(one.id, one.amount) for one in reservations]
        self._rest += _several(NOTE_RESERVATIONS, NOTED, noted, (user, owner, self._now, mark))
        return place

    def statements(self) -> list[Statement]:
        ended = [self._ended[place : place + IDS_AT_ONCE] for place in range(0, len(self._ended), IDS_AT_ONCE)]
        return [
            Statement(NAME_UNIT, args=(self._name, self._now)),
            Statement(FORGET_UNIT, args=(self._previous,)),
            *self._charges,
            *([Statement(LESSEN, rows=self._less)] if self._less else ()),
            *_several(WRITE, WRITTEN, self._entries),
            *[Statement(_forgetting(len(ids)), args=ids) for ids in map(_padded, ended)],
            *self._rest,
        ]

    def is_granted(self, place: int, counts: Sequence[int]) -> bool:
        """By the row counts of `statements`."""
        return counts[len(counts) - len(self._rest) + place] == 1

    def gone(self, counts: Sequence[int]) -> set[str]:
        """Users without a row, whose entries were not written. (A charge id that is there already fails the unit.)"""
        return {user for user, count in zip(self._charged, counts[2:], strict=False) if user and not count}


def opening(user: str, amount: int, now: float) -> list[Statement]:
    """A user who has no entry yet gets his first, and a row if there is none. May be repeated."""
    entry = Entry(f"opening {user}", "credit", amount, now, note=OPENING)
    return [
        Statement(ADD_USER, args=(user, now)),
        Statement(OPEN, args=(user, amount)),
        Statement(WRITE_ONCE, args=(user, 0, 0, *entry)),
    ]


def refund_of(entry: Entry) -> Entry:
    """Takes back a charge that was written after all. Known by its own charge id, so that there is one."""
    return entry._replace(charge_id=f"{entry.charge_id} back", kind="refund", amount=-entry.amount, note=REVOKED)


# A statement for each row, or one for each number of them, would cost more than what they do: the interpreter's lock
# changes hands some four times for each that is run, and only a few stay prepared.


def _several(sql: str, row: str, rows: Sequence[tuple[Value, ...]], shared: tuple[Value, ...] = ()) -> list[Statement]:
    """`sql` for all rows, as many at a time as there are in a power of two. `row` is one of its `{rows}`; `shared` are
    the arguments before them."""
    statements, place = [], 0
    while place < len(rows):
        size = min(ROWS_AT_ONCE, 1 << (len(rows) - place).bit_length() - 1)
        args = [value for one in rows[place : place + size] for value in one]
        statements.append(Statement(_for_rows(sql, row, size, len(shared) + 1), args=[*shared, *args]))
        place += size
    return statements


@lru_cache
def _for_rows(sql: str, row: str, count: int, first: int) -> str:
    width = row.count("{}")
    numbers = [f"${number}" for number in range(first, first + width * count)]
    return sql.format(rows=", ".join([row] * count).format(*numbers))


@lru_cache
def _charging(count: int) -> str:
    """CHARGE where so many reservations end."""
    return CHARGE.format(ids=_numbers(6, count))


@lru_cache
def _forgetting(count: int) -> str:
    return FORGET_RESERVATIONS.format(ids=_numbers(1, count))


def _numbers(first: int, count: int) -> str:
    return ", ".join([f"${place}" for place in range(first, first + count)])


def _padded(ids: list[str]) -> list[str]:
    """A power of two of them, the last one again and again."""
    return ids + ids[-1:] * ((1 << (len(ids) - 1).bit_length()) - len(ids)) if ids else ids


async def read_account(database: Database, user: str) -> Account | None:
    """None for a user who has no row."""
    row = await database.fetchrow(READ_ACCOUNT, user)
    if row is None:
        return None
    balance, reserved, entries, disabled = row
    return Account(int(balance or 0), int(reserved or 0), int(entries or 0), bool(disabled))
