"""Users and API tokens: who may do what. Money, which has its columns in `users`, is the ledger's.

An API token is found by its public id and kept as the SHA-256 digest of the whole. Its user may have no row: then the
token alone says what he may.

Invariant: whatever changes rights also raises `accounts_version` in the same transaction. So another process learns
of it by a small read (`poll`), and `changes` counts what this one has learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway import jsonlib
from gateway.config.accounts import NO_LIMITS, RateLimits
from gateway.quick import dataclass
from gateway.store.database import Database, Row, Statement, Value

COLUMNS_OF_USER = "name, created_at, disabled, limits, providers, models, note, balance, reserved"

COLUMNS_OF_TOKEN = (
    "public_id, digest, name, user_name, scopes, limits, providers, models, created_at, expires_at, revoked_at"  # noqa: S105 - no password
)

RAISE_VERSION = Statement("UPDATE accounts_version SET version = version + 1")

READ_VERSION = "SELECT version FROM accounts_version"

CREATE_USER = """
    INSERT INTO users (name, created_at, limits, providers, models, note) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (name) DO NOTHING"""

CHANGE_USER = """
    UPDATE users SET disabled = COALESCE($2, disabled), limits = COALESCE($3, limits),
        providers = COALESCE($4, providers), models = COALESCE($5, models), note = COALESCE($6, note)
    WHERE name = $1"""

FIND_USER = f"SELECT {COLUMNS_OF_USER} FROM users WHERE name = $1"  # noqa: S608 - nothing in it comes from outside

LIST_USERS = f"SELECT {COLUMNS_OF_USER} FROM users WHERE name > $1 ORDER BY name LIMIT $2"  # noqa: S608

COUNT_USERS = "SELECT COUNT(*) FROM users"

# A name is free again once its token was revoked or has expired. CAST: else PostgreSQL takes what it inserts for text.
CREATE_TOKEN = f"""
    INSERT INTO api_tokens ({COLUMNS_OF_TOKEN})
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, CAST($9 AS DOUBLE PRECISION), CAST($10 AS DOUBLE PRECISION), NULL
    WHERE NOT EXISTS (
        SELECT 1 FROM api_tokens WHERE user_name = $4 AND name = $3 AND revoked_at IS NULL
            AND (expires_at IS NULL OR expires_at > CAST($9 AS DOUBLE PRECISION)))"""  # noqa: S608

REVOKE_TOKEN = "UPDATE api_tokens SET revoked_at = $2 WHERE public_id = $1 AND revoked_at IS NULL"  # noqa: S105

FIND_TOKEN = f"""
    SELECT {", ".join(f"api_tokens.{column}" for column in COLUMNS_OF_TOKEN.split(", "))},
        {", ".join(f"users.{column}" for column in COLUMNS_OF_USER.split(", "))}
    FROM api_tokens LEFT JOIN users ON users.name = api_tokens.user_name
    WHERE api_tokens.public_id = $1"""  # noqa: S608

LIST_TOKENS = f"""
    SELECT {COLUMNS_OF_TOKEN} FROM api_tokens
    WHERE ($1 = '' OR user_name = $1) AND ($2 = '' OR public_id = $2 OR name = $2)
    ORDER BY created_at DESC, public_id LIMIT $3"""  # noqa: S608

COUNT_TOKENS = """
    SELECT COUNT(*) FROM api_tokens WHERE ($1 = '' OR user_name = $1) AND ($2 = '' OR public_id = $2 OR name = $2)"""

FIND_ADMIN = """
    SELECT COUNT(*) FROM api_tokens LEFT JOIN users ON users.name = api_tokens.user_name
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) AND scopes LIKE '%"admin"%'
        AND COALESCE(users.disabled, 0) = 0"""


@dataclass(frozen=True, slots=True)
class UserRow:
    """Empty `limits`: the configured ones; empty `providers` or `models`: all. Money in nano-units."""

    name: str
    created_at: float
    disabled: bool = False
    limits: RateLimits = NO_LIMITS
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    note: str = ""
    balance: int = 0
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`digest` is hex, times are unix seconds; the rest is as in `UserRow`."""

    public_id: str
    digest: str
    name: str
    user: str
    scopes: tuple[str, ...]
    created_at: float
    limits: RateLimits = NO_LIMITS
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    expires_at: float | None = None
    revoked_at: float | None = None


class AccountStore:
    """The tables `users`, `api_tokens` and `accounts_version`. Raises what `Database` raises.

    `changes` grows with every change that this process has made or heard of: what was read before may be wrong since.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: Value = None
        self.changes = 0

    async def poll(self) -> None:
        """Hear of what other processes have changed."""
        version = await self._database.fetchval(READ_VERSION)
        if version != self._version:
            self._version = version
            self.changes += 1

    # -- users -------------------------------------------------------------------------------------------------

    async def create_user(self, user: UserRow) -> bool:
        """False: there is one of that name. A new one has no money, and is not disabled."""
        packed = (_pack_limits(user.limits), _pack(user.providers), _pack(user.models))
        return await self._change(Statement(CREATE_USER, args=(user.name, user.created_at, *packed, user.note)))

    async def change_user(
        self,
        name: str,
        *,
        disabled: bool | None = None,
        limits: RateLimits | None = None,
        providers: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        note: str | None = None,
    ) -> bool:
        """What is None stays. False: there is no such user."""
        values: tuple[Value, ...] = (
            None if disabled is None else int(disabled),
            None if limits is None else _pack_limits(limits),
            None if providers is None else _pack(providers),
            None if models is None else _pack(models),
            note,
        )
        return await self._change(Statement(CHANGE_USER, args=(name, *values)))

    async def user(self, name: str) -> UserRow | None:
        row = await self._database.fetchrow(FIND_USER, name)
        return None if row is None else _user(row)

    async def knows(self, name: str) -> bool:
        """Whether he has a row, or ever had an API token."""
        return await self.user(name) is not None or bool(await self.tokens(1, user=name))

    async def users(self, limit: int, after: str = "") -> list[UserRow]:
        """By name, from behind `after` on."""
        return [_user(row) for row in await self._database.fetch(LIST_USERS, after, limit)]

    async def count_users(self) -> int:
        return _number(await self._database.fetchval(COUNT_USERS))

    # -- API tokens --------------------------------------------------------------------------------------------

    async def create_token(self, token: TokenRow) -> bool:
        """False: the user has one of that name, which is neither revoked nor expired."""
        packed = (_pack(token.scopes), _pack_limits(token.limits), _pack(token.providers), _pack(token.models))
        names = (token.public_id, token.digest, token.name, token.user)
        return await self._change(Statement(CREATE_TOKEN, args=(*names, *packed, token.created_at, token.expires_at)))

    async def revoke_token(self, public_id: str, now: float) -> bool:
        """False: there is none of that id, or it was revoked before."""
        return await self._change(Statement(REVOKE_TOKEN, args=(public_id, now)))

    async def token(self, public_id: str) -> tuple[TokenRow, UserRow | None] | None:
        """With the row of its user, if there is one."""
        row = await self._database.fetchrow(FIND_TOKEN, public_id)
        if row is None:
            return None
        of_token, of_user = row[:TOKEN_WIDTH], row[TOKEN_WIDTH:]
        return _token(of_token), None if of_user[0] is None else _user(of_user)

    async def tokens(self, limit: int, *, user: str = "", called: str = "") -> list[TokenRow]:
        """The newest first, revoked ones too: of a user, or with a name or public id, where these are given."""
        return [_token(row) for row in await self._database.fetch(LIST_TOKENS, user, called, limit)]

    async def count_tokens(self, *, user: str = "", called: str = "") -> int:
        return _number(await self._database.fetchval(COUNT_TOKENS, user, called))

    async def has_admin(self, now: float) -> bool:
        """Whether any token that is valid now, and whose user is not disabled, may do everything."""
        return _number(await self._database.fetchval(FIND_ADMIN, now)) > 0

    async def _change(self, statement: Statement) -> bool:
        """Whether it affected anything. One that fails and is done after all is heard of by `poll`: to count it here
        would have everybody looked up anew in a database that is away."""
        _, affected = await self._database.transaction([RAISE_VERSION, statement], power_safe=True)
        self.changes += 1
        return affected > 0


TOKEN_WIDTH = len(COLUMNS_OF_TOKEN.split(", "))


def _pack_limits(limits: RateLimits) -> str:
    return jsonlib.dumps(limits.named()).decode()


def _pack(words: Sequence[str]) -> str:
    return jsonlib.dumps(list(words)).decode()


def _unpack(text: Any) -> tuple[str, ...]:
    return tuple(jsonlib.loads(text))


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _user(row: Row) -> UserRow:
    name, created_at, disabled, limits, providers, models, note, balance, reserved = _any(row)
    unpacked = (RateLimits.of(jsonlib.loads(limits)), _unpack(providers), _unpack(models))
    return UserRow(name, created_at, bool(disabled), *unpacked, note, balance, reserved)


def _token(row: Row) -> TokenRow:
    public_id, digest, name, user, scopes, limits, providers, models, created_at, expires_at, revoked_at = _any(row)
    unpacked = (RateLimits.of(jsonlib.loads(limits)), _unpack(providers), _unpack(models))
    return TokenRow(public_id, digest, name, user, _unpack(scopes), created_at, *unpacked, expires_at, revoked_at)


def _any(row: Row) -> Sequence[Any]:
    return row
