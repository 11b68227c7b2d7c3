"""Who is asking: API tokens from the configuration.

Tokens are kept as SHA-256 digests and looked up by digest, so a comparison takes the same time whatever was
presented, and a wrong token costs what a malformed one does. With auth off, an unknown credential is ignored
(SDKs insist on sending one), a known one applies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import unquote_plus

from gateway.config.accounts import RateLimits
from gateway.config.model import Config, TokenConfig
from gateway.errors import RequestError
from gateway.quick import dataclass

CREDENTIAL_FIELDS = (b"x-api-key", b"api-key", b"x-goog-api-key")
"""Where SDKs other than OpenAI's put the key."""

CREDENTIAL_LIMIT = 8192
"""Bytes of a credential that are looked at; a JWT with many claims has 4 KB."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and what they may. Empty `providers` or `models`: all of them. `operator`: on the admin socket.

    `limits` are the user's own, `token_limits` the token's; without any, those of the configuration apply.
    """

    user: str
    token: str = ""
    scopes: frozenset[str] = frozenset({"use", "read"})
    providers: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    default_provider: str = ""
    operator: bool = False
    limits: RateLimits = RateLimits()
    token_limits: RateLimits = RateLimits()

    @property
    def owner(self) -> str:
        """Who alone may come back to what is made now: the token's user, or everybody who has no token ("")."""
        return self.user if self.token else ""

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class Authenticator:
    """`required`: a request without a known token is refused."""

    def __init__(self, config: Config, required: bool) -> None:
        self.required = required
        self._known = {entry.token.digest: _identity(name, entry) for name, entry in config.tokens.items()}
        self._everybody: Identity | None = None

    @classmethod
    def of_operator(cls) -> Authenticator:
        """For the admin socket, whose file permissions say who may: everybody who gets in is an admin."""
        authenticator = cls(Config(), required=False)
        authenticator._everybody = Identity("operator", scopes=frozenset({"use", "read", "admin"}), operator=True)
        return authenticator

    def identify(self, fields: Mapping[bytes, bytes], query: str, peer: str) -> Identity | None:
        """The identity behind a request; None where it has no credential and needs one. Raises RequestError 401 for
        one that is not known."""
        if self._everybody is not None:
            return self._everybody
        credential = find_credential(fields, query)
        if credential and self._known and len(credential) <= CREDENTIAL_LIMIT:
            identity = self._known.get(hashlib.sha256(credential).digest())
            if identity is not None:
                return identity
        if not self.required:
            return Identity(peer)
        if not credential:
            return None
        raise RequestError(401, "invalid_api_key", "The API token is not known here, or no longer valid.")


def _identity(name: str, entry: TokenConfig) -> Identity:
    return Identity(
        entry.user or name,
        name,
        frozenset(entry.scopes),
        frozenset(entry.providers),
        frozenset(entry.models),
        entry.default_provider,
        token_limits=entry.limits,
    )


def find_credential(fields: Mapping[bytes, bytes], query: str) -> bytes:
    """The client's key, wherever its SDK put it."""
    authorization = fields.get(b"authorization", b"")
    if authorization:
        scheme, _, value = authorization.partition(b" ")
        if scheme.lower() == b"bearer" and value.strip():
            return value.strip()
    for name in CREDENTIAL_FIELDS:
        value = fields.get(name, b"")
        if value:
            return value.strip()
    if "key=" in query:
        for pair in query.split("&"):
            name_text, _, text = pair.partition("=")
            if name_text == "key":
                return unquote_plus(text).encode()
    return b""


def without_credential(query: str) -> str:
    """The query string without `key=`: it is neither forwarded nor logged."""
    if "key=" not in query:
        return query
    return "&".join(pair for pair in query.split("&") if pair.partition("=")[0] != "key")
