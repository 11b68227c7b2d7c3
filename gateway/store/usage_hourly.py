"""What was used, by the hour: sums by user, provider, model and key, for reports. The ledger is what counts for money.

Sums are added to, so a unit that was repeated counts twice: whoever writes behind repeats only what has failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.store.database import Database, Statement

HOUR = 3600

ADD = """
    INSERT INTO usage_hourly (hour, user_name, provider, model, key, requests, errors, input_tokens, cached_tokens,
        output_tokens, cost)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (hour, user_name, provider, model, key) DO UPDATE
    SET requests = usage_hourly.requests + excluded.requests, errors = usage_hourly.errors + excluded.errors,
        input_tokens = usage_hourly.input_tokens + excluded.input_tokens,
        cached_tokens = usage_hourly.cached_tokens + excluded.cached_tokens,
        output_tokens = usage_hourly.output_tokens + excluded.output_tokens, cost = usage_hourly.cost + excluded.cost"""

FORGET = "DELETE FROM usage_hourly WHERE hour < $1"

COLUMNS: Mapping[str, str] = {"user": "user_name", "provider": "provider", "model": "model", "key": "key"}
"""What a report may be by."""


class Place(NamedTuple):
    """What is added up together. `hour` is the unix time of its beginning, `key` a fingerprint, `user` is empty for
    those without an API token."""

    hour: int
    user: str
    provider: str
    model: str
    key: str


class Sums(NamedTuple):
    """`cached` tokens are among those that went in. `cost` is in nano-units."""

    requests: int
    errors: int
    input: int
    cached: int
    output: int
    cost: int


class UsageStore:
    """The table `usage_hourly`. Raises what `Database` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, sums: Sequence[tuple[Place, Sums]]) -> None:
        """All or nothing."""
        await self._database.transaction([Statement(ADD, rows=[(*place, *some) for place, some in sums])])

    async def report(self, by: str, since: float, limit: int) -> list[tuple[str, Sums]]:
        """Sums from the hour of `since` on, by one of COLUMNS, the dearest first."""
        column = COLUMNS[by]
        rows = await self._database.fetch(
            f"""SELECT {column}, SUM(requests), SUM(errors), SUM(input_tokens), SUM(cached_tokens), SUM(output_tokens),
                SUM(cost) FROM usage_hourly WHERE hour >= $1 GROUP BY {column}
                ORDER BY SUM(cost) DESC, SUM(requests) DESC, {column} LIMIT $2""",  # noqa: S608 - one of ours
            int(since) // HOUR * HOUR,
            limit,
        )
        return [(str(name), Sums(*[int(number or 0) for number in numbers])) for name, *numbers in rows]

    async def forget_before(self, time: float) -> int:
        """The number of sums forgotten."""
        return await self._database.execute(FORGET, int(time))
