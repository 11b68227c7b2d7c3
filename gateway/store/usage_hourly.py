"""What was used, by the hour: sums by user, provider, model and key, and by API token, for reports. The ledger is what
counts for money.

Sums are added to, so a unit that was repeated counts twice: whoever writes behind repeats only what has failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add
from typing import NamedTuple

from gateway.store.database import Database, Row, Statement, Value

HOUR = 3600

SUMS = ("requests", "errors", "input_tokens", "cached_tokens", "output_tokens", "cost")

FORGET = ("DELETE FROM usage_hourly WHERE hour < $1", "DELETE FROM usage_by_token WHERE hour < $1")

COLUMNS: Mapping[str, str] = {"user": "user_name", "provider": "provider", "model": "model", "key": "key"}
"""What a report may be by, beside `report_by_token`."""


def _adding(table: str, *place: str) -> str:
    """The SQL that adds sums to those of the place."""
    columns = (*place, *SUMS)
    numbers = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in SUMS)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({numbers}) "  # noqa: S608 - names of ours
        f"ON CONFLICT ({', '.join(place)}) DO UPDATE SET {added}"
    )


ADD = _adding("usage_hourly", "hour", "user_name", "provider", "model", "key")
ADD_BY_TOKEN = _adding("usage_by_token", "hour", "user_name", "token")


class Place(NamedTuple):
    """What is added up together. `hour` is the unix time of its beginning, `key` a fingerprint, `token` the name of an
    API token; it and `user` are empty for those without one."""

    hour: int
    user: str
    provider: str
    model: str
    key: str
    token: str


class Sums(NamedTuple):
    """`cached` tokens are among those that went in. `cost` is in nano-units."""

    requests: int
    errors: int
    input: int
    cached: int
    output: int
    cost: int


class UsageStore:
    """The tables `usage_hourly` and `usage_by_token`. Raises what `Database` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, sums: Sequence[tuple[Place, Sums]]) -> None:
        """All or nothing."""
        rows = [(*place[:5], *some) for place, some in sums]
        by_token = [(*whose, *some) for whose, some in _by_token(sums).items()]
        await self._database.transaction([Statement(ADD, rows=rows), Statement(ADD_BY_TOKEN, rows=by_token)])

    async def report(self, by: str, since: float, limit: int) -> list[tuple[str, Sums]]:
        """Sums from the hour of `since` on, by one of COLUMNS, the dearest first."""
        rows = await self._report("usage_hourly", COLUMNS[by], since, limit)
        return [(str(name), _sums(numbers)) for name, *numbers in rows]

    async def report_by_token(self, since: float, limit: int) -> list[tuple[str, str, Sums]]:
        """The same by user and name of his API token: two users may have one of that name."""
        rows = await self._report("usage_by_token", "user_name, token", since, limit)
        return [(str(user), str(token), _sums(numbers)) for user, token, *numbers in rows]

    async def _report(self, table: str, columns: str, since: float, limit: int) -> list[Row]:
        return await self._database.fetch(
            f"""SELECT {columns}, {", ".join(f"SUM({name})" for name in SUMS)} FROM {table} WHERE hour >= $1
                GROUP BY {columns} ORDER BY SUM(cost) DESC, SUM(requests) DESC, {columns} LIMIT $2""",  # noqa: S608
            int(since) // HOUR * HOUR,
            limit,
        )

    async def forget_before(self, time: float) -> int:
        """The number of sums forgotten."""
        return sum([await self._database.execute(forget, int(time)) for forget in FORGET])


def _by_token(sums: Sequence[tuple[Place, Sums]]) -> dict[tuple[int, str, str], Sums]:
    """By hour, user and token: added up here, since there are far fewer than models and keys that were used."""
    added: dict[tuple[int, str, str], Sums] = {}
    for place, some in sums:
        whose = (place.hour, place.user, place.token)
        known = added.get(whose)
        added[whose] = some if known is None else Sums(*map(add, known, some))
    return added


def _sums(numbers: Sequence[Value]) -> Sums:
    return Sums(*[int(number or 0) for number in numbers])
