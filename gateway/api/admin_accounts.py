"""`/admin/users…` and `/admin/tokens…`: who may do what. JSON both ways, for admins only.

| path                  | GET             | POST                              | PATCH                |
|-----------------------|-----------------|-----------------------------------|----------------------|
| /admin/users          | ?limit&after    | create                            |                      |
| /admin/users/NAME     | with his tokens |                                   | what the body names  |
| /admin/tokens         | ?user&limit     | create; shows the token this once |                      |
| /admin/tokens/revoke  |                 | by id, name, or the token itself  |                      |
| /admin/tokens/jwt     |                 | sign a JSON Web Token             |                      |

Amounts are texts, `"12.5"`, of which no reader loses a digit. What is created, changed or revoked here counts in this
process at once (`AccountStore.changes`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote

from gateway.api.admin_body import Body
from gateway.api.admin_keys import parse_limit
from gateway.api.bodies import wrong
from gateway.api.inbound import Inbound
from gateway.conductor.apitokens import make_token, public_id_of
from gateway.conductor.auth import CREDENTIAL_LIMIT
from gateway.conductor.jwt_tokens import sign
from gateway.config.accounts import NO_LIMITS, USER_NAME_LIMIT
from gateway.config.model import Config
from gateway.config.problems import did_you_mean
from gateway.config.tomltext import key_path
from gateway.errors import GatewayError, RequestError, sentence
from gateway.observe.record import decimal
from gateway.secret import Secret
from gateway.store.accounts import AccountStore, TokenRow, UserRow

Endpoint = Callable[[Inbound], Awaitable[dict[str, Any]]]

ROWS_LIMIT = 1000
"""Users or tokens in one listing unless the caller asks for more; a terminal shows fewer."""

TOKEN_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")

DEFAULT_TTL = 1800.0
"""Seconds that a JSON Web Token is valid unless the caller says so."""


class AccountAdmin:
    """`now` gives unix seconds."""

    def __init__(self, accounts: AccountStore, config: Config, now: Callable[[], float]) -> None:
        self._accounts = accounts
        self._config = config
        self._now = now

    def endpoint(self, method: str, path: str) -> Endpoint:
        """For a path below /admin/users or /admin/tokens. Raises RequestError 404, 405."""
        methods = self._methods([unquote(part) for part in path.split("/")[2:]])
        if not methods:
            raise RequestError(404, "not_found", f"There is nothing at {path[:200]}.")
        if method not in methods:
            message = f"{method[:20]} is not for this path."
            raise RequestError(405, "method_not_allowed", message, extra={"allow": ", ".join(methods)})
        return methods[method]

    def _methods(self, parts: list[str]) -> Mapping[str, Endpoint]:
        match parts:
            case ["users"]:
                return {"GET": self._users, "POST": self._create_user}
            case ["users", name]:
                return {"GET": partial(self._user, name), "PATCH": partial(self._change_user, name)}
            case ["tokens"]:
                return {"GET": self._tokens, "POST": self._create_token}
            case ["tokens", "revoke"]:
                return {"POST": self._revoke_token}
            case ["tokens", "jwt"]:
                return {"POST": self._sign}
        return {}

    # -- users -------------------------------------------------------------------------------------------------

    async def _users(self, inbound: Inbound) -> dict[str, Any]:
        query = parse_qs(inbound.request.query)
        rows = await self._accounts.users(parse_limit(query, ROWS_LIMIT), query.get("after", [""])[0])
        return {"users": [describe_user(row) for row in rows], "total": await self._accounts.count_users()}

    async def _user(self, name: str, inbound: Inbound) -> dict[str, Any]:
        row = await self._known_user(name)
        tokens = await self._accounts.tokens(ROWS_LIMIT, user=name)
        shown = [*map(self._describe_token, tokens), *self._configured(name)]
        return {"user": describe_user(row), "tokens": shown}

    async def _create_user(self, inbound: Inbound) -> dict[str, Any]:
        body = Body(inbound, "name", "limits", "providers", "models", "note")
        row = UserRow(
            body.user_name("name"),
            self._now(),
            limits=body.limits(NO_LIMITS),
            providers=self._providers(body),
            models=body.words("models"),
            note=body.note(),
        )
        if not await self._accounts.create_user(row):
            raise RequestError(409, "already_exists", f"There is a user {row.name!r} already.", param="name")
        return {"user": describe_user(row)}

    async def _change_user(self, name: str, inbound: Inbound) -> dict[str, Any]:
        """What the body does not name stays; so do limits that it does not name, unless `limits` is null."""
        body = Body(inbound, "disabled", "limits", "providers", "models", "note")
        row = await self._known_user(name)
        changed = replace(
            row,
            disabled=body.flag("disabled", row.disabled),
            limits=body.limits(row.limits),
            providers=self._providers(body) if "providers" in body.fields else row.providers,
            models=body.words("models") if "models" in body.fields else row.models,
            note=body.note() if "note" in body.fields else row.note,
        )
        asked = {field: getattr(changed, field) for field in body.fields}
        await self._accounts.change_user(name, **asked)
        return {"user": describe_user(changed)}

    async def _known_user(self, name: str) -> UserRow:
        row = await self._accounts.user(name)
        if row is None:
            raise RequestError(404, "not_found", f"There is no user {name[:USER_NAME_LIMIT]!r}.", param="name")
        return row

    # -- API tokens --------------------------------------------------------------------------------------------

    async def _tokens(self, inbound: Inbound) -> dict[str, Any]:
        query = parse_qs(inbound.request.query)
        user = query.get("user", [""])[0]
        limit, configured = parse_limit(query, ROWS_LIMIT), self._configured(user)
        rows = await self._accounts.tokens(limit, user=user)
        total = await self._accounts.count_tokens(user=user) + len(configured)
        return {"tokens": [*map(self._describe_token, rows), *configured][:limit], "total": total}

    def _configured(self, user: str = "") -> list[dict[str, Any]]:
        """Tokens that stand in the configuration, of a user or of all: without an id, and not to be revoked here."""
        rows = [
            TokenRow(
                "",
                "",
                name,
                token.user or name,
                token.scopes,
                0.0,
                limits=token.limits,
                providers=token.providers,
                models=token.models,
            )
            for name, token in self._config.tokens.items()
            if user in ("", token.user or name)
        ]
        return [{**self._describe_token(row), "created_at": None, "configured": True} for row in rows]

    async def _create_token(self, inbound: Inbound) -> dict[str, Any]:
        """Without a name it is called by its id; without a user it is its name's, as in the configuration. The answer
        says whether he is a `new_user`, of whom nothing was known: a slip, perhaps."""
        body = Body(inbound, "user", "name", "scopes", "expires_in", "limits", "providers", "models")
        token, now = make_token(secrets.token_bytes), self._now()
        name = body.text("name", token.public_id)
        if not TOKEN_NAME.fullmatch(name):
            raise wrong("name", "up to 100 letters, digits and . _ -")
        row = TokenRow(
            token.public_id,
            token.secret.digest.hex(),
            name,
            body.user_name("user" if "user" in body.fields or "name" not in body.fields else "name"),
            body.scopes() or ("use",),
            now,
            limits=body.limits(NO_LIMITS),
            providers=self._providers(body),
            models=body.words("models"),
            expires_at=now + body.seconds("expires_in", 0.0) if body.fields.get("expires_in") is not None else None,
        )
        known = bool(self._configured(row.user)) or await self._accounts.knows(row.user)
        if not await self._accounts.create_token(row):
            message = f"The user {row.user!r} has a token {row.name!r} already."
            raise RequestError(409, "already_exists", message, param="name")
        shown = token.secret.reveal()  # this once
        return {"token": shown, **self._describe_token(row), "new_user": not known}

    async def _revoke_token(self, inbound: Inbound) -> dict[str, Any]:
        body = Body(inbound, "token", "user")
        called = body.text("token")
        called = public_id_of(called.encode()) or called.removeprefix("llmg-")
        found = await self._accounts.tokens(ROWS_LIMIT, user=body.text("user", ""), called=called)
        meant = [row for row in found if row.public_id == called] or [row for row in found if row.revoked_at is None]
        if not meant:
            self._refuse_configured(body)
            raise RequestError(404, "not_found", "No token that could be revoked is called that.", param="token")
        if len(meant) > 1:
            ids = ", ".join(row.public_id for row in meant[:10])
            message = f"{len(meant)} tokens are called that; name one by its id: {ids}."
            raise RequestError(400, "invalid_request_error", message, param="token")
        now = self._now()
        (row,) = meant
        if await self._accounts.revoke_token(row.public_id, now):
            row = replace(row, revoked_at=now)
        return {"revoked": self._describe_token(row)}

    def _refuse_configured(self, body: Body) -> None:
        """Raises RequestError 409 for a token that no call takes away, by its name or by itself."""
        called, user = body.text("token"), body.text("user", "")
        digest = Secret(called).digest
        for name, token in self._config.tokens.items():
            if (called == name or token.token.digest == digest) and user in ("", token.user or name):
                message = (
                    f"The token {name!r} stands in the configuration: take [{key_path('tokens', name)}] out, reload."
                )
                raise RequestError(409, "in_configuration", message, param="token")

    async def _sign(self, inbound: Inbound) -> dict[str, Any]:
        body = Body(inbound, "user", "ttl", "scopes", "limits", "providers", "models")
        now, ttl = self._now(), body.seconds("ttl", DEFAULT_TTL)
        try:
            token = sign(
                self._config.auth.jwt,
                now,
                ttl,
                user=body.user_name("user"),
                scopes=body.scopes(),
                providers=self._providers(body),
                models=body.words("models"),
                limits=body.limits(NO_LIMITS).named(),
            )
        except GatewayError as error:
            if isinstance(error, RequestError):
                raise
            raise RequestError(409, "not_configured", sentence(f"{error}; {error.hint}")) from None
        if len(token) > CREDENTIAL_LIMIT:
            message = f"The token would be longer than {CREDENTIAL_LIMIT} bytes, which nobody accepts."
            raise RequestError(400, "invalid_request_error", message)
        return {"token": token, "expires_at": int(now + ttl)}

    def _providers(self, body: Body) -> tuple[str, ...]:
        names = body.words("providers")
        for name in names:
            if name not in self._config.providers:
                near = did_you_mean(name[:100], self._config.providers)
                message = sentence(f"There is no provider {name[:100]!r}{f'; {near}' if near else ''}")
                raise RequestError(400, "invalid_request_error", message, param="providers")
        return names

    def _describe_token(self, row: TokenRow) -> dict[str, Any]:
        expired = row.expires_at is not None and row.expires_at <= self._now()
        return {
            "id": row.public_id,
            "configured": False,
            "name": row.name,
            "user": row.user,
            "state": "revoked" if row.revoked_at is not None else "expired" if expired else "valid",
            "scopes": list(row.scopes),
            "limits": row.limits.named(),
            "providers": list(row.providers),
            "models": list(row.models),
            "created_at": row.created_at,
            "expires_at": row.expires_at,
            "revoked_at": row.revoked_at,
        }


def describe_user(row: UserRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "disabled": row.disabled,
        "balance": decimal(row.balance),
        "reserved": decimal(row.reserved),
        "limits": row.limits.named(),
        "providers": list(row.providers),
        "models": list(row.models),
        "note": row.note,
        "created_at": row.created_at,
    }
