"""The schema's history. Append to `MIGRATIONS`; what has been released is never edited.

Each migration is one transaction together with the row in `schema_version` that says so. That row goes in first:
when two processes start at once, the slower one fails on it, has done nothing, and finds the work done.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from gateway.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from gateway.store.database import Database, Statement, Value

MIGRATIONS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (
        1,
        (
            # digest: SHA-256 of the key, hex. labels: JSON object. removed_at: gone from the key files since.
            """CREATE TABLE keys (
                provider TEXT NOT NULL,
                digest TEXT NOT NULL,
                fingerprint TEXT NOT NULL,
                labels TEXT NOT NULL,
                added_at DOUBLE PRECISION NOT NULL,
                removed_at DOUBLE PRECISION,
                PRIMARY KEY (provider, digest)
            )""",
            # No foreign key: a status may be written while its key is being added or purged. proven: 0 or 1.
            """CREATE TABLE key_status (
                provider TEXT NOT NULL,
                digest TEXT NOT NULL,
                model TEXT NOT NULL,
                status TEXT NOT NULL,
                until DOUBLE PRECISION,
                provenance TEXT NOT NULL,
                reason TEXT NOT NULL,
                last_error TEXT NOT NULL,
                failing_since DOUBLE PRECISION,
                next_check_at DOUBLE PRECISION,
                checked_at DOUBLE PRECISION,
                streak BIGINT NOT NULL,
                proven BIGINT NOT NULL,
                PRIMARY KEY (provider, digest, model)
            )""",
            """CREATE TABLE responses (
                id TEXT PRIMARY KEY,
                provider TEXT NOT NULL,
                digest TEXT NOT NULL,
                model TEXT NOT NULL,
                made_at DOUBLE PRECISION NOT NULL
            )""",
            "CREATE INDEX responses_made_at ON responses (made_at)",
        ),
    ),
    (
        2,
        (
            # digest: SHA-256 of the proxy's URL, hex. provider: whom it concerns, or all of them.
            """CREATE TABLE proxy_status (
                digest TEXT NOT NULL,
                provider TEXT NOT NULL,
                status TEXT NOT NULL,
                until DOUBLE PRECISION,
                reason TEXT NOT NULL,
                last_error TEXT NOT NULL,
                failing_since DOUBLE PRECISION,
                streak BIGINT NOT NULL,
                checked_at DOUBLE PRECISION,
                saved_at DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (digest, provider)
            )""",
        ),
    ),
    (
        3,
        (
            # Whose token asked for it; empty: nobody's, as everything was before.
            "ALTER TABLE responses ADD COLUMN user_name TEXT NOT NULL DEFAULT ''",
        ),
    ),
    (
        4,
        (
            # disabled: 0 or 1. limits: JSON object, {} for the configured ones. providers, models: JSON arrays, [] for
            # all. Money in nano-units: balance is the sum of the user's entries, reserved what requests in flight hold.
            # entries: how many there are. mark: id of the last reservation that was granted.
            """CREATE TABLE users (
                name TEXT PRIMARY KEY,
                created_at DOUBLE PRECISION NOT NULL,
                disabled BIGINT NOT NULL DEFAULT 0,
                limits TEXT NOT NULL DEFAULT '{}',
                providers TEXT NOT NULL DEFAULT '[]',
                models TEXT NOT NULL DEFAULT '[]',
                note TEXT NOT NULL DEFAULT '',
                balance BIGINT NOT NULL DEFAULT 0,
                reserved BIGINT NOT NULL DEFAULT 0,
                entries BIGINT NOT NULL DEFAULT 0,
                mark TEXT NOT NULL DEFAULT ''
            )""",
            # digest: SHA-256 of the whole token, hex. user_name: who may have no row in users. scopes: JSON array.
            """CREATE TABLE api_tokens (
                public_id TEXT PRIMARY KEY,
                digest TEXT NOT NULL,
                name TEXT NOT NULL,
                user_name TEXT NOT NULL,
                scopes TEXT NOT NULL,
                limits TEXT NOT NULL DEFAULT '{}',
                providers TEXT NOT NULL DEFAULT '[]',
                models TEXT NOT NULL DEFAULT '[]',
                created_at DOUBLE PRECISION NOT NULL,
                expires_at DOUBLE PRECISION,
                revoked_at DOUBLE PRECISION
            )""",
            "CREATE INDEX api_tokens_user ON api_tokens (user_name)",
            # One row: counts the changes to who may do what, so that other processes learn of them by a small read.
            "CREATE TABLE accounts_version (version BIGINT NOT NULL)",
            "INSERT INTO accounts_version (version) VALUES (0)",
        ),
    ),
    (
        5,
        (
            # Entries are only ever added. Money in nano-units, signed: what a user pays is negative. seq: 1, 2, … of
            # the user. key: a fingerprint. usage: JSON object of tokens by bucket. estimated: 0 or 1.
            """CREATE TABLE ledger (
                user_name TEXT NOT NULL,
                seq BIGINT NOT NULL,
                balance_after BIGINT NOT NULL,
                charge_id TEXT NOT NULL UNIQUE,
                kind TEXT NOT NULL,
                amount BIGINT NOT NULL,
                made_at DOUBLE PRECISION NOT NULL,
                request_id TEXT NOT NULL,
                token TEXT NOT NULL,
                model TEXT NOT NULL,
                provider TEXT NOT NULL,
                key TEXT NOT NULL,
                price_version TEXT NOT NULL,
                usage TEXT NOT NULL,
                estimated BIGINT NOT NULL,
                note TEXT NOT NULL,
                PRIMARY KEY (user_name, seq)
            )""",
            # What requests in flight hold. id: the charge id of the entry to come. owner: the gateway that serves it.
            """CREATE TABLE reservations (
                id TEXT PRIMARY KEY,
                user_name TEXT NOT NULL,
                amount BIGINT NOT NULL,
                owner TEXT NOT NULL,
                made_at DOUBLE PRECISION NOT NULL
            )""",
            # The last transactions of each gateway on its ledger, so that none is done twice.
            "CREATE TABLE ledger_units (name TEXT PRIMARY KEY, made_at DOUBLE PRECISION NOT NULL)",
        ),
    ),
    (
        6,
        (
            # Sums for reports. hour: unix time of its beginning. key: a fingerprint. cost: nano-units.
            """CREATE TABLE usage_hourly (
                hour BIGINT NOT NULL,
                user_name TEXT NOT NULL,
                provider TEXT NOT NULL,
                model TEXT NOT NULL,
                key TEXT NOT NULL,
                requests BIGINT NOT NULL,
                errors BIGINT NOT NULL,
                input_tokens BIGINT NOT NULL,
                cached_tokens BIGINT NOT NULL,
                output_tokens BIGINT NOT NULL,
                cost BIGINT NOT NULL,
                PRIMARY KEY (hour, user_name, provider, model, key)
            )""",
        ),
    ),
    (
        7,
        (
            # The same sums by API token, beside the others: they have a row for nearly each request where many keys
            # take turns, and a copy of millions with one more column would outlast the deadline of a start.
            """CREATE TABLE usage_by_token (
                hour BIGINT NOT NULL,
                user_name TEXT NOT NULL,
                token TEXT NOT NULL,
                requests BIGINT NOT NULL,
                errors BIGINT NOT NULL,
                input_tokens BIGINT NOT NULL,
                cached_tokens BIGINT NOT NULL,
                output_tokens BIGINT NOT NULL,
                cost BIGINT NOT NULL,
                PRIMARY KEY (hour, user_name, token)
            )""",
        ),
    ),
)

LATEST = MIGRATIONS[-1][0]

CREATE_VERSION = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)"
READ_VERSION = "SELECT COALESCE(MAX(version), 0) FROM schema_version"
WRITE_VERSION = "INSERT INTO schema_version (version) VALUES ($1)"


VERSION_TABLE = "schema_version"


def misfit(tables: Collection[str], versions: Collection[Value]) -> str:
    """Why a database with these tables, and these rows in `schema_version`, is none of ours; empty if it may be one."""
    others = sorted(set(tables) - {VERSION_TABLE})
    numbers = [version for version in versions if isinstance(version, int)]
    if len(numbers) < len(versions):
        return "the version of its schema is no number"
    version = max(numbers, default=0)
    if not version:
        return f"it has tables of another program: {', '.join(others)[:200]}" if others else ""
    missing = sorted(_tables_of(version) - set(others)) if version <= LATEST else []
    return f"its schema is said to be version {version}, but it has no table {missing[0]!r}" if missing else ""


def _tables_of(version: int) -> set[str]:
    """What a database of this version has, `schema_version` aside."""
    sqls = (sql for number, sqls in MIGRATIONS if number <= version for sql in sqls)
    return {name for sql in sqls for name in re.findall(r"^CREATE TABLE (\w+)", sql)}


async def migrate(database: Database) -> None:
    """Bring the schema up to `LATEST`. Raises StoreTooNew when it is beyond that, StoreCorrupt when it is not what it
    says. Whether the database is one of ours is to be asked before (`misfit`)."""
    await database.execute(CREATE_VERSION)
    version = await _version(database)
    if version > LATEST:
        raise StoreTooNew(
            "the database was written by a newer version",
            detail=f"its schema is version {version}, this program knows up to {LATEST}",
            hint="run the newer program, or restore a backup from before the upgrade",
        )
    for number, sqls in MIGRATIONS:
        if number > version:
            await _apply(database, number, sqls)


async def _apply(database: Database, number: int, sqls: tuple[str, ...]) -> None:
    try:
        await database.transaction([Statement(WRITE_VERSION, args=(number,)), *map(Statement, sqls)])
    except (StoreUnavailable, StoreCorrupt):
        raise
    except StoreError as error:
        if await _version(database) < number:  # else another process was faster
            raise StoreCorrupt(
                f"the database cannot be brought to version {number} of its schema",
                detail=error.detail,
                hint="nothing of that was written: restore a backup, or move the file aside to begin anew",
            ) from error


async def _version(database: Database) -> int:
    version = await database.fetchval(READ_VERSION)
    if not isinstance(version, int):
        raise StoreCorrupt("the database is not one of ours", detail="the version of its schema is no number")
    return version
