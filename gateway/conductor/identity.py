"""Who asks, and what they may: pure values, made of a token and of what is known of its user."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import NamedTuple

from gateway.config.accounts import NO_LIMITS, RateLimits
from gateway.config.model import TokenConfig
from gateway.errors import RequestError
from gateway.quick import dataclass
from gateway.store.accounts import TokenRow, UserRow


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and what they may. Empty `providers` or `models`: all of them. `operator`: on the admin socket.

    `token` is the name of the API token, which no other one of the user has. `limits` are the user's own,
    `token_limits` the token's; empty: the configured ones.
    """

    user: str
    token: str = ""
    scopes: frozenset[str] = frozenset({"use", "read"})
    providers: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    default_provider: str = ""
    operator: bool = False
    limits: RateLimits = NO_LIMITS
    token_limits: RateLimits = NO_LIMITS

    @property
    def owner(self) -> str:
        """Who alone may come back to what is made now: the token's user, or everybody who has no token ("")."""
        return self.user if self.token else ""

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class Known(NamedTuple):
    """A credential that is believed from `since` until `until`, both unix seconds."""

    identity: Identity
    since: float = -inf
    until: float = inf


class Refusal(NamedTuple):
    """Why a credential is not believed. `lasting`: that will not change by itself."""

    status: int
    code: str
    message: str
    lasting: bool = True
    retry_after: float | None = None

    def error(self) -> RequestError:
        return RequestError(self.status, self.code, self.message, retry_after=self.retry_after)


Verdict = Known | Refusal

UNKNOWN = Refusal(401, "invalid_api_key", "The API token is not known here, or no longer valid.")
EXPIRED = Refusal(401, "invalid_api_key", "The API token has expired.")
DISABLED = Refusal(403, "permission_denied", "The user of this API token is disabled.")
NO_PROVIDER = Refusal(403, "permission_denied", "This API token is for none of the providers that its user may use.")
NO_MODEL = Refusal(403, "permission_denied", "This API token is for none of the models that its user may use.")
AWAY = Refusal(503, "store_unavailable", "The API token cannot be looked up for now.", lasting=False, retry_after=5.0)


def identity_of_static(name: str, entry: TokenConfig) -> Identity:
    """[tokens.NAME], without what the database knows of its user."""
    return Identity(
        entry.user or name,
        name,
        frozenset(entry.scopes),
        frozenset(entry.providers),
        frozenset(entry.models),
        entry.default_provider,
        token_limits=entry.limits,
    )


def judge_row(token: TokenRow, user: UserRow | None, now: float) -> Verdict:
    """What a token from the database is good for, once its secret was found to be right."""
    if token.revoked_at is not None:
        return UNKNOWN
    until = inf if token.expires_at is None else token.expires_at
    if until <= now:
        return EXPIRED
    identity = Identity(
        token.user,
        token.name,
        frozenset(token.scopes),
        frozenset(token.providers),
        frozenset(token.models),
        token_limits=token.limits,
    )
    return judge_user(Known(identity, until=until), user)


def judge_user(known: Known, user: UserRow | None) -> Verdict:
    """The same, within what its user may."""
    if user is None:
        return known
    if user.disabled:
        return DISABLED
    identity = known.identity
    providers, models = _both(identity.providers, user.providers), _both(identity.models, user.models)
    if providers is None:
        return NO_PROVIDER
    if models is None:
        return NO_MODEL
    limits = user.limits or identity.limits
    return known._replace(identity=replace(identity, providers=providers, models=models, limits=limits))


def _both(mine: frozenset[str], theirs: tuple[str, ...]) -> frozenset[str] | None:
    """What is in both, where an empty one has everything; None: nothing is."""
    if not mine or not theirs:
        return mine or frozenset(theirs)
    return mine.intersection(theirs) or None


def not_allowed(what: str) -> RequestError:
    """403 for what a token, or its user, may not use."""
    return RequestError(403, "permission_denied", f"This API token, or its user, may not use {what}.")
