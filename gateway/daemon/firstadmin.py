"""The first admin token: made when clients need tokens and nobody could make any over the network.

It is written into a file that only the gateway's user can read, and nowhere else. The file comes before the row: a
crash between the two leaves a file without a use, which the next start writes over.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

from gateway.conductor.apitokens import NewToken, make_token
from gateway.config.model import Config
from gateway.config.validate import auth_is_on
from gateway.errors import StartError
from gateway.observe.logs import Log
from gateway.store.accounts import AccountStore, TokenRow

FILE = "admin.token"

NAME = "first"
USER = "admin"


async def ensure_admin(config: Config, accounts: AccountStore, log: Log, now: float) -> None:
    """Make the token, if auth is on and there is none with the scope admin; for USER, or, where he is disabled, for a
    user with a name of his own. Raises StartError, StoreError."""
    if not auth_is_on(config) or any("admin" in token.scopes for token in config.tokens.values()):
        return
    if await accounts.has_admin(now):
        return
    known = await accounts.user(USER)
    token, path = make_token(secrets.token_bytes), config.state_dir / FILE
    user = f"{USER}-{token.public_id}" if known is not None and known.disabled else USER
    try:
        await asyncio.to_thread(_write, path, token)
    except OSError as error:
        raise StartError(
            "the first admin token cannot be written", detail=f"{path}: {error.strerror or error}"
        ) from error
    row = TokenRow(token.public_id, token.secret.digest.hex(), f"{NAME}-{token.public_id}", user, ("admin",), now)
    await accounts.create_token(row)
    log.info("admin_token_made", path=str(path), user=user)


def _write(path: Path, token: NewToken) -> None:
    """All or nothing, and never readable by others."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{token.public_id}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(token.secret.reveal() + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
