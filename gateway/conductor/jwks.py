"""The public keys of whoever issues JSON Web Tokens: a JWK Set (RFC 7517), from a file or a URL.

Keys are read when a token needs them, and again when they are old or have none for a token; while they cannot be read,
those that there are stay. Only keys of the families that we verify with are taken, and only what is public of them. A
token's `kid` chooses among keys that are here, and nothing in a token leads to others.

Invariant: the set is read by one at a time, and not sooner than `pause` seconds after the last try, so that forged
tokens with new `kid`s are no load for the issuer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway import jsonlib
from gateway.errors import GatewayError
from gateway.net.client import Client, Origin, Timeouts
from gateway.observe.logs import Log

SET_LIMIT = 256 * 1024
"""Bytes of a set: those of large issuers have ten keys, each with a certificate of 2 KB."""

KEYS_LIMIT = 100
"""Keys that are taken of a set."""

TRIES_LIMIT = 8
"""Keys that are tried for a token without `kid`: half a millisecond."""

READ_SECONDS = 5.0
"""For reading a set, from the name's look-up to the last byte. A request may wait for it."""

URL_PAUSE = 30.0
FILE_PAUSE = 1.0

FILE_AGE = 10.0
"""Seconds until a file is looked at again: a key that was taken out of it is believed no longer than twice that."""

RSA_BITS = 2048
"""RFC 7518, section 3.3: "a key of size 2048 bits or larger MUST be used"."""

FAMILIES: Mapping[tuple[str, str], tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    ("RSA", ""): ("RS256", ("kty", "n", "e"), ("RS256",)),
    ("EC", "P-256"): ("ES256", ("kty", "crv", "x", "y"), ("ES256",)),
    ("OKP", "Ed25519"): ("EdDSA", ("kty", "crv", "x"), ("EdDSA", "Ed25519")),
}
"""By `kty` and `crv`: the algorithm that a key is for, its public members, and what its `alg` may be. There are no
symmetric keys: whoever could name one could sign with it (RFC 8725, section 3.1)."""

Keys = Mapping[str, tuple[tuple[str, Any], ...]]
"""By algorithm: (`kid` or "", key)."""


class KeysUnavailableError(Exception):
    """No keys could be read yet."""


class Jwks:
    """A set that `read` reads: OSError, ValueError or GatewayError when it cannot. `max_age` and `pause` in seconds."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        place: str,
        max_age: float,
        pause: float,
        log: Log,
        clock: Callable[[], float],
    ) -> None:
        self.max_age = max_age
        self._read = read
        self._place = place
        self._pause = pause
        self._log = log
        self._clock = clock
        self._keys: Keys | None = None
        self._data = b""
        self._read_at = -URL_PAUSE
        self._tried_at = -URL_PAUSE
        self._reading: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, kid: str) -> list[Any]:
        """Keys for a token. Raises KeysUnavailableError."""
        found = self._here(algorithm, kid)
        reading = self._refresh(needed=not found)
        if reading is not None and not found:
            await asyncio.shield(reading)
            found = self._here(algorithm, kid)
        if self._keys is None:
            raise KeysUnavailableError
        return found

    def _here(self, algorithm: str, kid: str) -> list[Any]:
        keys = self._keys.get(algorithm, ()) if self._keys is not None else ()
        return [key for name, key in keys if kid in ("", name)][:TRIES_LIMIT]

    def _refresh(self, *, needed: bool) -> asyncio.Task[None] | None:
        """The reading under way, begun if that is due; None: there is none."""
        now = self._clock()
        due = needed or now >= self._read_at + self.max_age
        if self._reading is None and due and not self._tried_at <= now < self._tried_at + self._pause:
            self._tried_at = now
            self._reading = asyncio.create_task(self._read_again(), name=f"keys of {self._place}")
            self._reading.add_done_callback(self._done)
        return self._reading

    def _done(self, task: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read_again(self) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                data = await self._read()
            if data != self._data:
                self._keys = parse_jwks(data)
                self._data = data
                self._log.info("jwks_read", place=self._place, keys=sum(map(len, self._keys.values())))
        except (OSError, ValueError, GatewayError) as error:  # TimeoutError is an OSError
            self._log.warning("jwks_failed", place=self._place, detail=str(error) or type(error).__name__)
        else:
            self._read_at = self._clock()


def jwks_of_file(path: str, log: Log, clock: Callable[[], float]) -> Jwks:
    async def read() -> bytes:
        return await asyncio.to_thread(_read_file, Path(path))

    return Jwks(read, path, FILE_AGE, FILE_PAUSE, log, clock)


def jwks_of_url(url: str, max_age: float, client: Client, log: Log, clock: Callable[[], float]) -> Jwks:
    parts = urlsplit(url)
    origin = Origin(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    async def read() -> bytes:
        deadline = asyncio.get_running_loop().time() + READ_SECONDS
        timeouts = Timeouts(*[READ_SECONDS] * 4)
        headers = [(b"accept", b"application/json")]
        answer = await client.exchange(origin, b"GET", target.encode(), headers, b"", timeouts, deadline)
        try:
            data = await answer.read_all(SET_LIMIT)
        finally:
            answer.close()
        if answer.status != 200:
            raise ValueError(f"the answer's status is {answer.status}")
        return data

    return Jwks(read, f"{origin.host}:{origin.port}", max_age, URL_PAUSE, log, clock)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(SET_LIMIT + 1)
    if len(data) > SET_LIMIT:
        raise ValueError(f"it is longer than {SET_LIMIT} bytes")
    return data


def parse_jwks(data: bytes) -> Keys:
    """The keys of a set that tokens may be verified with. Raises ValueError if there is none."""
    decoded = jsonlib.loads(data)
    entries = decoded.get("keys") if isinstance(decoded, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is no JWK Set: there is no list of keys")
    keys: dict[str, list[tuple[str, Any]]] = {}
    for entry in entries[:KEYS_LIMIT]:
        found = _parse_key(entry) if isinstance(entry, dict) else None
        if found is not None:
            algorithm, kid, key = found
            keys.setdefault(algorithm, []).append((kid, key))
    if not keys:
        raise ValueError("it has no key for RS256 (of 2048 bits), ES256 or EdDSA (Ed25519)")
    return {algorithm: tuple(named) for algorithm, named in keys.items()}


def _parse_key(entry: dict[str, Any]) -> tuple[str, str, Any] | None:
    """Algorithm, `kid` and key; None for one that is not for us."""
    import jwt

    kind, curve, kid = entry.get("kty"), entry.get("crv", ""), entry.get("kid", "")
    if not (isinstance(kind, str) and isinstance(curve, str) and isinstance(kid, str)):
        return None
    algorithm, members, called = FAMILIES.get((kind, curve), ("", (), ()))
    operations = entry.get("key_ops", ["verify"])
    for_signatures = entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    if not algorithm or not for_signatures or entry.get("alg", algorithm) not in called:
        return None
    public = {name: entry[name] for name in members if isinstance(entry.get(name), str)}
    try:
        key = jwt.PyJWK(public, algorithm).key
    except (jwt.PyJWTError, ValueError, KeyError):
        return None
    return (algorithm, kid, key) if kind != "RSA" or key.key_size >= RSA_BITS else None
