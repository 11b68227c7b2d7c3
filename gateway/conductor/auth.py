"""Who is asking: API tokens of the configuration and of the database, and JSON Web Tokens.

What was believed once is kept in memory by a digest of the credential, so that a request costs one look into a table
and no query. Wrong credentials are kept apart, and push nobody out. Only one that memory does not know is
looked up: `identify` says so by None, `look_up` waits for the answer.

Invariants:
- A token of the configuration is found first, and needs no database: while that is away, its user is held to what was
  last seen of his row; who was never seen may what the configuration says.
- Whether a token is unknown, wrong in its secret, or none at all: one read by a public id, and one comparison in
  constant time.
- When rights change (`AccountStore.changes`) memory is emptied, and what was read before the change is neither kept
  nor told to anybody who asks after it.
- While the database is away, those who are known are served. A token that may be right is a 503, never a 401.

With auth off, an unknown credential is ignored (SDKs insist on sending one), a known one applies.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import unquote_plus

from gateway.conductor.apitokens import public_id_of
from gateway.conductor.identity import (
    AWAY,
    UNKNOWN,
    Identity,
    Known,
    Refusal,
    Verdict,
    identity_of_static,
    judge_row,
    judge_user,
)
from gateway.conductor.jwt_tokens import JwtVerifier, looks_like_jwt
from gateway.config.model import Config
from gateway.errors import StoreError, StoreUnavailable
from gateway.store.accounts import AccountStore, UserRow

__all__ = ["Authenticator", "Identity", "find_credential", "without_credential"]

CREDENTIAL_FIELDS = (b"x-api-key", b"api-key", b"x-goog-api-key")
"""Where SDKs other than OpenAI's put the key."""

CREDENTIAL_PARAMETERS = frozenset({"key", "access_token", "oauth_token"})
"""Where a query may have one: all three are Google's, and we take the first."""

CREDENTIAL_LIMIT = 8192
"""Bytes of a credential that are looked at; a JWT with many claims has 4 KB."""

KNOWN_LIMIT = 20_000
"""Credentials that are remembered, about 10 MB: as many as hardly any gateway has in use within a day."""

REFUSED_LIMIT = 4096
"""Wrong credentials that are remembered, about 1 MB: scripts send the same one again and again."""

LOOK_UP_SECONDS = 3.0
"""For a read of one row, which takes a millisecond: a database that needs longer is away."""

LOOK_UPS_LIMIT = 1000
"""Look-ups at once, some 10 MB: they go on when their client has left, LOOK_UP_SECONDS long with a database that hangs.
Beyond it a token that is not known gets what it gets while the database is away."""

RECHECK_SECONDS = 5.0
"""Until the user of a configured token is asked for again, after the database was away."""

NO_DIGEST = hashlib.sha256(b"").hexdigest()
"""What the digest of a token that does not exist is compared with."""

T = TypeVar("T")


def place_of(credential: bytes) -> bytes:
    """Where memory keeps what it knows of a credential. The interpreter has BLAKE2 in itself; SHA-256, by which tokens
    are stored, is OpenSSL's, and takes longer."""
    return hashlib.blake2s(credential).digest()


class Authenticator:
    """`required`: a request without a known token is refused. `accounts` None: only tokens of the configuration count,
    with nothing said of their users. `clock` gives unix seconds. One belongs to one configuration."""

    def __init__(
        self,
        config: Config,
        required: bool,
        accounts: AccountStore | None = None,
        jwt: JwtVerifier | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.required = required
        self._accounts = accounts
        self._jwt = jwt
        self._clock = clock
        self._static = {entry.token.digest: identity_of_static(name, entry) for name, entry in config.tokens.items()}
        self._everybody: Identity | None = None
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._refused: OrderedDict[bytes, Refusal] = OrderedDict()
        self._changes = 0
        self._looking: dict[tuple[bytes, int], asyncio.Task[Verdict]] = {}  # by digest and changes
        self._last_seen: dict[str, UserRow | None] = {}  # users of configured tokens

    @classmethod
    def of_operator(cls) -> Authenticator:
        """For the admin socket, whose file permissions say who may: everybody who gets in is an admin."""
        authenticator = cls(Config(), required=False)
        authenticator._everybody = Identity("operator", scopes=frozenset({"use", "read", "admin"}), operator=True)
        return authenticator

    def identify(self, fields: Mapping[bytes, bytes], query: str, peer: str) -> Identity | None:
        """The identity behind a request; None: `look_up` must be asked. Raises RequestError 401, 403."""
        if self._everybody is not None:
            return self._everybody
        credential = find_credential(fields, query)
        if not credential:
            return None if self.required else Identity(peer)
        if len(credential) > CREDENTIAL_LIMIT:
            return self._turn_away(UNKNOWN, peer)
        if self._accounts is not None and self._accounts.changes != self._changes:
            self._forget()
        place = place_of(credential)
        known = self._known.get(place)
        if known is not None and known.since <= self._clock() < known.until:
            self._known.move_to_end(place)
            return known.identity
        refusal = self._refused.get(place)
        if refusal is not None:
            self._refused.move_to_end(place)
            return self._turn_away(refusal, peer)
        if self.required or public_id_of(credential) or self._is_jwt(credential):
            return None
        return None if hashlib.sha256(credential).digest() in self._static else Identity(peer)

    async def look_up(self, fields: Mapping[bytes, bytes], query: str, peer: str) -> Identity | None:
        """The same of a credential that memory does not know; None: there is none, but one is needed. Those who ask
        for the same one at once share the answer.

        Raises RequestError 401, 403, and 503 when it cannot be found out for now.
        """
        credential = find_credential(fields, query)
        if not credential:
            return None
        digest = hashlib.sha256(credential).digest()
        key = digest, self._changes_so_far()
        task = self._looking.get(key)
        if task is None:
            if len(self._looking) >= LOOK_UPS_LIMIT and digest not in self._static:
                raise AWAY.error()
            task = asyncio.create_task(self._judge_and_remember(credential, digest), name="look-up of an API token")
            self._looking[key] = task
            task.add_done_callback(lambda _: self._looking.pop(key, None))
        verdict = await asyncio.shield(task)  # others may wait for it when this client leaves
        return verdict.identity if isinstance(verdict, Known) else self._turn_away(verdict, peer)

    def _turn_away(self, refusal: Refusal, peer: str) -> Identity:
        """Raise RequestError, unless anybody may come and this is just nobody known."""
        if self.required or refusal.status != 401:
            raise refusal.error()
        return Identity(peer)

    def _changes_so_far(self) -> int:
        return 0 if self._accounts is None else self._accounts.changes

    def _forget(self) -> None:
        assert self._accounts is not None
        self._changes = self._accounts.changes
        self._known.clear()
        self._refused.clear()

    def _is_jwt(self, credential: bytes) -> bool:
        return self._jwt is not None and looks_like_jwt(credential)

    # -- what memory does not know -----------------------------------------------------------------------------

    async def _judge_and_remember(self, credential: bytes, digest: bytes) -> Verdict:
        changes = self._changes_so_far()
        verdict = await self._judge(credential, digest)
        if changes != self._changes_so_far():
            return verdict  # it was true when they asked
        if isinstance(verdict, Known):
            self._known[place_of(credential)] = verdict
            if len(self._known) > KNOWN_LIMIT:
                self._known.popitem(last=False)
        elif verdict.lasting:
            self._refused[place_of(credential)] = verdict
            if len(self._refused) > REFUSED_LIMIT:
                self._refused.popitem(last=False)
        return verdict

    async def _judge(self, credential: bytes, digest: bytes) -> Verdict:
        static = self._static.get(digest)
        if static is not None:
            return await self._judge_static(static)
        if self._jwt is not None and looks_like_jwt(credential):
            return await self._judge_jwt(self._jwt, credential)
        return await self._judge_token(credential, digest.hex())

    async def _judge_static(self, identity: Identity) -> Verdict:
        changes = self._changes_so_far()
        try:
            user = await self._user(identity.user)
        except StoreError:
            known = Known(identity, until=self._clock() + RECHECK_SECONDS)
            verdict = judge_user(known, self._last_seen.get(identity.user))
            return verdict if isinstance(verdict, Known) else verdict._replace(lasting=False)
        if changes == self._changes_so_far():
            self._last_seen[identity.user] = user
        return judge_user(Known(identity), user)

    async def _judge_jwt(self, jwt: JwtVerifier, credential: bytes) -> Verdict:
        verdict = await jwt.verify(credential)
        if isinstance(verdict, Refusal):
            return verdict
        try:
            return judge_user(verdict, await self._user(verdict.identity.user))
        except StoreError:
            return AWAY

    async def _judge_token(self, credential: bytes, digest: str) -> Verdict:
        """What is no token at all costs what an unknown one does."""
        public_id = public_id_of(credential)
        try:
            found = None if self._accounts is None else await _soon(self._accounts.token(public_id))
        except StoreError:
            return AWAY if public_id else UNKNOWN
        right = hmac.compare_digest(digest, NO_DIGEST if found is None else found[0].digest)
        if found is None or not right:
            return UNKNOWN
        return judge_row(*found, self._clock())

    async def _user(self, name: str) -> UserRow | None:
        return None if self._accounts is None else await _soon(self._accounts.user(name))


async def _soon(read: Awaitable[T]) -> T:
    """Raises StoreError, also when it takes too long."""
    try:
        async with asyncio.timeout(LOOK_UP_SECONDS):
            return await read
    except TimeoutError:
        raise StoreUnavailable("the database takes too long") from None


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
    """The query string without credentials, however they are written: they are neither forwarded nor logged. A provider
    would try a bad one in place of the gateway's key, which would be blamed."""
    if not query:
        return query
    return "&".join(
        pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) not in CREDENTIAL_PARAMETERS
    )
