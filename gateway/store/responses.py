"""Which key made which answer of the Responses API, and for whom: a later call that refers to the answer needs that
key, and must come from the same user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.store.database import Database, Statement

REMEMBER = """
    INSERT INTO responses (id, provider, digest, model, user_name, made_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (id) DO UPDATE
    SET provider = excluded.provider, digest = excluded.digest, model = excluded.model,
        user_name = excluded.user_name, made_at = excluded.made_at"""

OWNER = "SELECT provider, digest, model, user_name FROM responses WHERE id = $1"

FORGET = """
    DELETE FROM responses WHERE id IN (SELECT id FROM responses WHERE made_at < $1 ORDER BY made_at LIMIT $2)"""

BATCH = 2000
"""Answers forgotten in one unit: some ten milliseconds."""


class ResponseRow(NamedTuple):
    """An answer: the key's digest is hex, `user` that of the API token ("": there was none), `made_at` unix seconds."""

    id: str
    provider: str
    digest: str
    model: str
    user: str
    made_at: float


class ResponseStore:
    """The table `responses`. Raises what `Database` raises; every method may be repeated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remember(self, rows: Sequence[ResponseRow]) -> None:
        """All or nothing."""
        await self._database.transaction([Statement(REMEMBER, rows=rows)])

    async def owner(self, response_id: str) -> tuple[str, str, str, str] | None:
        """Provider, digest, model and user of the answer, or None when it is not known (any more)."""
        row = await self._database.fetchrow(OWNER, response_id)
        if row is None:
            return None
        provider, digest, model, user = row
        return str(provider), str(digest), str(model), str(user)

    async def forget_before(self, made_at: float) -> int:
        """The number of answers forgotten."""
        forgotten = 0
        while count := await self._database.execute(FORGET, made_at, BATCH):
            forgotten += count
        return forgotten

    async def forget_oldest(self) -> int:
        """Some of the oldest, to make room. The number of answers forgotten; 0: there are none."""
        return await self._database.execute(FORGET, float("inf"), BATCH)
