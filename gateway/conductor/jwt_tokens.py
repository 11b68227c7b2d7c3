"""JSON Web Tokens (RFC 7519) as API tokens: verified, and signed for those who have no issuer of their own.

The rules are those of RFC 8725. Which algorithms are believed is configured and never learned from a token; each goes
with its own kind of key: HS256, HS384 and HS512 with the configured secret alone, the others with the issuer's public
keys alone. `jku`, `x5u` and `jwk` in a header lead nowhere.

Signatures, `iss` and `aud` are PyJWT's affair (extra `jwt`), times are ours: they are asked again at each use of a
token that was believed before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.conductor.identity import Identity, Known, Refusal, Verdict
from gateway.conductor.jwks import Jwks, KeysUnavailableError, jwks_of_file, jwks_of_url
from gateway.config.accounts import NO_LIMITS, JwtConfig, RateLimits, is_user_name
from gateway.errors import GatewayError, StartError
from gateway.net.client import Client
from gateway.observe.logs import Log

HMAC = ("HS256", "HS384", "HS512")

PUBLIC = ("RS256", "ES256", "EdDSA")

WORDS_LIMIT = 1000
"""Providers or models that a token may name: more do not fit into a credential."""

TIME_LIMIT = 1 << 53
"""Seconds beyond which nothing is a time: JSON's integers have any length, and are endless in some writers' hands."""

SCOPES = frozenset({"use", "read", "admin"})

TOKEN_NAME = "jwt"  # noqa: S105 - no password
"""What the tokens of a user are called all together: each lives for minutes."""

NO_KEYS = Refusal(503, "jwks_unavailable", "The issuer's keys cannot be read for now.", lasting=False, retry_after=5.0)


class UnbelievableError(Exception):
    """Why a token is not believed, for whoever presents it."""


def looks_like_jwt(credential: bytes) -> bool:
    return credential.count(b".") == 2


def algorithms_of(config: JwtConfig) -> tuple[str, ...]:
    """Those that are believed."""
    by_kind = HMAC[:1] if config.secret else ()
    return config.algorithms or (*by_kind, *(PUBLIC if config.jwks_file or config.jwks_url else ()))


def jwt_verifier(config: JwtConfig, client: Client, log: Log, clock: Callable[[], float]) -> JwtVerifier | None:
    """None: nothing is configured. Raises StartError when PyJWT is missing."""
    if not config.enabled:
        return None
    keys = None
    if config.jwks_url:
        keys = jwks_of_url(config.jwks_url, config.jwks_max_age, client, log, clock)
    elif config.jwks_file:
        keys = jwks_of_file(config.jwks_file, log, clock)
    return JwtVerifier(config, keys, clock)


class JwtVerifier:
    """`keys` are the issuer's, if it has any that are public. `clock` gives unix seconds. Raises StartError when PyJWT
    is missing."""

    def __init__(self, config: JwtConfig, keys: Jwks | None, clock: Callable[[], float]) -> None:
        self._pyjwt = import_pyjwt()
        self._config = config
        self._keys = keys
        self._clock = clock
        self._algorithms = frozenset(algorithms_of(config))

    async def verify(self, credential: bytes) -> Verdict:
        """What is known of whoever presents the token, without what the database says of its user."""
        try:
            return self._read(await self._claims(credential))
        except KeysUnavailableError:
            return NO_KEYS
        except UnbelievableError as error:
            return Refusal(401, "invalid_api_key", f"The JSON Web Token is not valid: {error}.", lasting=False)

    async def _claims(self, credential: bytes) -> dict[str, Any]:
        """Those of a token whose signature, issuer and audience are right."""
        pyjwt = self._pyjwt
        try:
            header = pyjwt.get_unverified_header(credential)
        except (pyjwt.PyJWTError, ValueError, RecursionError):
            raise UnbelievableError("it cannot be read") from None
        algorithm, kid = header.get("alg"), header.get("kid", "")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise UnbelievableError("its algorithm is not one of those that are configured")
        if not isinstance(kid, str) or "crit" in header:  # RFC 7515, 4.1.11: what is not understood is refused
            raise UnbelievableError("its header has what is not understood")
        for key in await self._candidates(algorithm, kid):
            try:
                return self._decode(credential, key, algorithm)
            except pyjwt.InvalidSignatureError:
                continue
            except pyjwt.InvalidAudienceError:
                raise UnbelievableError("it is for another audience") from None
            except pyjwt.InvalidIssuerError:
                raise UnbelievableError("it is from another issuer") from None
            except pyjwt.MissingRequiredClaimError as error:
                raise UnbelievableError(f"it has no claim {error.claim!r}") from None
            except (pyjwt.PyJWTError, ValueError, TypeError, RecursionError):
                raise UnbelievableError("it cannot be read") from None
        raise UnbelievableError("no known key has signed it")

    async def _candidates(self, algorithm: str, kid: str) -> Sequence[Any]:
        if algorithm in HMAC:
            return [self._config.secret.reveal().encode()]  # for hashing
        return [] if self._keys is None else await self._keys.find(algorithm, kid)

    def _decode(self, credential: bytes, key: Any, algorithm: str) -> dict[str, Any]:
        claims: dict[str, Any] = self._pyjwt.decode(
            credential,
            key,
            algorithms=[algorithm],
            audience=list(self._config.audience) or None,
            issuer=self._config.issuer or None,
            options={
                "require": [
                    "exp",
                    *(["aud"] if self._config.audience else []),
                    *(["iss"] if self._config.issuer else []),
                ],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_sub": False,
            },
        )
        return claims

    def _read(self, claims: Mapping[str, Any]) -> Verdict:
        """Raises UnbelievableError."""
        config, now = self._config, self._clock()
        until = _time(claims, "exp", 0.0) + config.leeway
        since = _time(claims, "nbf", -config.leeway) - config.leeway
        if until <= now:
            raise UnbelievableError("it has expired")
        if since > now:
            raise UnbelievableError("it is not valid yet (nbf)")
        if _time(claims, "iat", now) - config.leeway > now:
            raise UnbelievableError("it was issued in the future (iat)")
        names = config.claims
        allowed = frozenset(config.scopes)
        # `scope` is a standard claim with words for others: without one for us it says nothing, empty or not. The
        # claims of providers and models are for us alone, and one that is empty is meant so.
        scopes = allowed.intersection(_words(claims, names.scopes) or ()) or allowed & {"use"}
        providers, models = _words(claims, names.providers), _words(claims, names.models)
        if not scopes or providers == () or models == ():
            return Refusal(403, "permission_denied", "The JSON Web Token is for nothing at all.", lasting=False)
        identity = Identity(
            _user(claims, names.user, config.user_prefix),
            TOKEN_NAME,
            scopes,
            frozenset(providers or ()),
            frozenset(models or ()),
            limits=_limits(claims, names.limits),
        )
        return Known(identity, since, until if self._keys is None else min(until, now + self._keys.max_age))


def sign(
    config: JwtConfig,
    now: float,
    ttl: float,
    *,
    user: str,
    scopes: Sequence[str] = (),
    providers: Sequence[str] = (),
    models: Sequence[str] = (),
    limits: Mapping[str, int] | None = None,
) -> str:
    """A token that `JwtVerifier` believes for `ttl` seconds. Raises GatewayError without a secret to sign with, and for
    a user or a scope that JWTs may not have."""
    algorithm = next((name for name in algorithms_of(config) if name in HMAC), None)
    if algorithm is None:
        raise GatewayError("there is no secret to sign a token with", hint="set auth.jwt.secret")
    for scope in scopes:
        if scope not in config.scopes:
            raise GatewayError(f"no JWT has the scope {scope!r} here", hint="name it in auth.jwt.scopes")
    prefix = config.user_prefix
    if not user.startswith(prefix) or not is_user_name(user.removeprefix(prefix)):
        raise GatewayError(f"no JWT is of {user!r} here", hint=f"its users begin with {prefix!r}, auth.jwt.user_prefix")
    names = config.claims
    claims: dict[str, Any] = {"iat": int(now), "exp": int(now + ttl)}
    if config.issuer:
        claims["iss"] = config.issuer
    if config.audience:
        claims["aud"] = config.audience[0]
    said = {
        names.user: user.removeprefix(prefix),
        names.scopes: " ".join(scopes),
        names.providers: list(providers),
        names.models: list(models),
        names.limits: dict(limits or {}),
    }
    for name, value in said.items():
        if value:
            _put(claims, name, value)
    signed: str = import_pyjwt().encode(claims, config.secret.reveal(), algorithm)
    return signed


def import_pyjwt() -> Any:
    """Raises StartError when it is not there. It is imported where it is needed: it takes a tenth of a second."""
    try:
        import jwt
    except ImportError:
        raise StartError("auth.jwt needs PyJWT", hint="pip install 'llmgateway[jwt]'") from None
    return jwt


def _find(claims: Mapping[str, Any], name: str) -> Any:
    """A claim of that name, or, where there is none, what its dots lead to; None: nothing."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _put(claims: dict[str, Any], name: str, value: object) -> None:
    """Where `_find` finds it. Names that are URLs have dots that lead nowhere."""
    *way, last = [name] if "://" in name else name.split(".")
    for part in way:
        claims = claims.setdefault(part, {})
    claims[last] = value


def _time(claims: Mapping[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -TIME_LIMIT < value < TIME_LIMIT:
        raise UnbelievableError(f"its claim {name!r} is no time")
    return float(value)


def _user(claims: Mapping[str, Any], name: str, prefix: str) -> str:
    value = _find(claims, name)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not is_user_name(text) or not is_user_name(prefix + text):
        raise UnbelievableError(f"its claim {name!r} names no user")
    return prefix + text


def _words(claims: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """A list, or words with spaces between; None: the claim is not there."""
    value = _find(claims, name)
    words = value.split() if isinstance(value, str) else value
    if words is None:
        return None
    if not isinstance(words, list) or len(words) > WORDS_LIMIT or not all(isinstance(word, str) for word in words):
        raise UnbelievableError(f"its claim {name!r} is no list of words")
    return tuple(words)


def _limits(claims: Mapping[str, Any], name: str) -> RateLimits:
    value = _find(claims, name)
    if value is None:
        return NO_LIMITS
    try:
        return RateLimits.of(value)
    except ValueError as error:
        raise UnbelievableError(f"its claim {name!r} {error}") from None
