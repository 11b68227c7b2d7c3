"""An authenticator over a real database, and tokens for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from gateway.conductor.apitokens import make_token
from gateway.conductor.auth import Authenticator
from gateway.conductor.identity import Identity
from gateway.conductor.jwt_tokens import JwtVerifier
from gateway.config.model import Config
from gateway.errors import RequestError
from gateway.store import open_store
from gateway.store.accounts import AccountStore, TokenRow
from gateway.store.database import Database, Row, Value

NOW = 1_800_000_000.0


class CountingDatabase:
    """A database whose reads are counted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reads: list[tuple[Value, ...]] = []

    async def fetchrow(self, sql: str, *args: Value) -> Row | None:
        self.reads.append(args)
        return await self._database.fetchrow(sql, *args)

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)


class Place:
    """What `accounts` gives to a test. `now` may be moved."""

    def __init__(self, database: Database, config: Config, *, required: bool, jwt: JwtVerifier | None) -> None:
        self.now = NOW
        self.database = database
        self.counted = CountingDatabase(database)
        self.store = AccountStore(self.counted)  # type: ignore[arg-type]  # it passes on what it does not count
        self.authenticator = Authenticator(config, required, self.store, jwt, lambda: self.now)
        self._entropy = Random(1)

    @property
    def reads(self) -> int:
        return len(self.counted.reads)

    async def create(self, user: str = "ann", scopes: tuple[str, ...] = ("use",), **fields: object) -> str:
        """A new token, as its user gets it."""
        token = make_token(self._entropy.randbytes)
        row = TokenRow(
            token.public_id, token.secret.digest.hex(), token.public_id, user, scopes, self.now, **fields  # type: ignore[arg-type]
        )  # fmt: skip
        assert await self.store.create_token(row)
        return token.secret.reveal()

    def remembered(self, token: str) -> Identity | None:
        """What is known without asking anybody."""
        return self.authenticator.identify({b"x-api-key": token.encode()}, "", "10.0.0.9")

    async def who(self, token: str) -> Identity:
        """Raises RequestError."""
        known = self.remembered(token) or await self.authenticator.look_up(
            {b"x-api-key": token.encode()}, "", "10.0.0.9"
        )
        assert known is not None
        return known

    async def refusal(self, token: str) -> tuple[int, str]:
        """Status and code of the refusal."""
        try:
            found = await self.who(token)
        except RequestError as error:
            return error.status, error.code
        raise AssertionError(f"{found} was let in")


@asynccontextmanager
async def accounts(
    folder: Path, config: Config | None = None, *, required: bool = True, jwt: JwtVerifier | None = None
) -> AsyncIterator[Place]:
    database = await open_store("sqlite:store.db", folder)
    try:
        yield Place(database, config or Config(), required=required, jwt=jwt)
    finally:
        await database.close()
