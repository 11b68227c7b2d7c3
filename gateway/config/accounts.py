"""Settings about who may use what, how much of it, and what it costs: JWT, limits, billing, prices, the cache."""

from __future__ import annotations

from decimal import Decimal

from gateway.config.setting import setting
from gateway.quick import dataclass
from gateway.secret import Secret

HIGHEST_LIMIT = 10**12
"""Of anything in any time: more is a mistake."""

USER_NAME_LIMIT = 200
"""Characters of a user's name; addresses and the names that issuers make up have under 100."""


def is_user_name(text: str) -> bool:
    """Whether a user can be called so, by the configuration, by a token or by an administrator: what a command line
    cannot show apart is no name of anybody."""
    return 0 < len(text) <= USER_NAME_LIMIT and text.isprintable() and text == text.strip()


@dataclass(frozen=True, slots=True)
class JwtClaimsConfig:
    """[auth.jwt.claims]: which claim says what. A dot leads into an object."""

    user: str = setting("sub", "whose token it is")
    scopes: str = setting("scope", 'what it may: a list, or words; none of auth.jwt.scopes in it: "use"')
    providers: str = setting("providers", "providers it may use; without the claim: all")
    models: str = setting("models", "models it may use; without the claim: all")
    limits: str = setting("limits", "an object with the names of [limits.user], for this user")


@dataclass(frozen=True, slots=True)
class JwtConfig:
    """[auth.jwt]: JSON Web Tokens (RFC 7519) as API tokens. Needs the extra `jwt`."""

    secret: Secret = setting(
        lambda: Secret(""), "the key of HS256, HS384 and HS512: 32 bytes or more, known to the issuer", secret=True
    )
    jwks_file: str = setting("", "file with the issuer's public keys (RFC 7517), for RS256, ES256 and EdDSA")
    jwks_url: str = setting("", "the same by https://, read again when it is old or a key is not in it")
    jwks_max_age: float = setting(3600.0, "seconds after which the keys at jwks_url are read again", minimum=1)
    algorithms: tuple[str, ...] = setting(
        (),
        "signatures that are believed; empty: HS256 with a secret; RS256, ES256 and EdDSA with an issuer's keys",
        choices=("HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"),
    )
    issuer: str = setting("", "what `iss` must be; empty: anything")
    audience: tuple[str, ...] = setting((), "of which `aud` must name one; empty: a token with `aud` is refused")
    scopes: tuple[str, ...] = setting(
        ("use",),
        "what a JWT may be for; any other word in its claim is somebody else's",
        choices=("use", "read", "admin"),
    )
    user_prefix: str = setting("", "put before the name that a JWT has; empty: its users are those of API tokens too")
    leeway: float = setting(10.0, "seconds that clocks may differ", minimum=0, maximum=600)
    claims: JwtClaimsConfig = setting(JwtClaimsConfig, "which claim says what")

    @property
    def enabled(self) -> bool:
        return bool(self.secret or self.jwks_file or self.jwks_url)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How much in what time; 0: no limit. [limits.global], [limits.user], [limits.token], [tokens.NAME.limits]."""

    requests_per_minute: int = setting(0, "requests within any 60 seconds; 0: no limit", minimum=0, maximum=10**9)
    requests_per_hour: int = setting(0, "requests within any hour; 0: no limit", minimum=0, maximum=10**9)
    tokens_per_minute: int = setting(
        0, "tokens of prompts and answers within any 60 seconds; 0: no limit", minimum=0, maximum=10**12
    )
    concurrency: int = setting(0, "requests at once; 0: no limit", minimum=0, maximum=10**6)

    def __bool__(self) -> bool:
        return bool(self.requests_per_minute or self.requests_per_hour or self.tokens_per_minute or self.concurrency)

    @classmethod
    def of(cls, given: object) -> RateLimits:
        """Those that an object names, as databases, claims and the admin API have them. Raises ValueError that says
        what is wrong with it."""
        if not isinstance(given, dict):
            raise ValueError("must be an object")
        known = tuple(cls.__dataclass_fields__)
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"has no {str(name)[:40]!r}; there are: {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= HIGHEST_LIMIT:
                raise ValueError(f"{name} must be a whole number up to {HIGHEST_LIMIT}; 0: no limit")
        return cls(**given)

    def named(self) -> dict[str, int]:
        """Those that there are, by name."""
        limits = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: limit for name, limit in limits.items() if limit}


NO_LIMITS = RateLimits()


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """[limits]: how much clients may ask for. With auth off, a user is a client's address."""

    storage: str = setting(
        "memory",
        '"memory": each gateway counts for itself | "redis": several count together',
        choices=("memory", "redis"),
    )
    url: Secret = setting(
        lambda: Secret(""), 'where Redis is: "redis://user:password@host:6379/0", rediss:// or unix://', secret=True
    )
    global_: RateLimits = setting(RateLimits, "all clients together")
    user: RateLimits = setting(
        RateLimits, "each user, all of his tokens together, unless the user has limits of his own"
    )
    token: RateLimits = setting(RateLimits, "each API token that has no limits of its own")


@dataclass(frozen=True, slots=True)
class BillingConfig:
    """[billing]: a prepaid balance for each user. See `llmgateway help billing`."""

    enabled: bool = setting(False, "charge users for what they use; needs auth")
    currency: str = setting("USD", "what amounts are in, by ISO 4217; the bundled prices are US dollars")
    default_balance: Decimal = setting(Decimal(0), "credit of a user that is seen for the first time", minimum=0)
    unpriced: str = setting(
        "reject", 'requests for what has no price: "reject": 402 | "free"', choices=("reject", "free")
    )
    unpriced_extras: str = setting(
        "drop",
        "what costs more than the model's tokens, such as tools priced by the call: "
        '"drop": offers are left out, demands get 402 | "reject": 402 | "free"',
        choices=("drop", "reject", "free"),
    )
    aborted: str = setting(
        "prompt",
        'clients that leave before the first output, though the provider was asked: "prompt": pay for it | "free"',
        choices=("prompt", "free"),
    )
    reserve_output_tokens: int = setting(
        4096, "reserved for an answer whose length the request does not limit", minimum=1, maximum=10**7
    )


@dataclass(frozen=True, slots=True)
class PriceTierConfig:
    """[[prices.MODEL.tiers]]: other prices for requests with a longer input."""

    above: int = setting(0, "tokens of input beyond which the whole request costs this", minimum=1, maximum=10**9)
    input: Decimal | None = setting(None, "for a million tokens of input", minimum=0)
    output: Decimal | None = setting(None, "for a million tokens of the answer", minimum=0)
    cache_read: Decimal | None = setting(None, "for a million tokens read from the provider's cache", minimum=0)
    cache_write: Decimal | None = setting(None, "for a million tokens written to it", minimum=0)
    cache_write_1h: Decimal | None = setting(None, "for a million tokens written to it for an hour", minimum=0)


@dataclass(frozen=True, slots=True)
class PriceConfig:
    """[prices."MODEL"], or "PROVIDER/MODEL": overrides of the bundled price book, in billing.currency."""

    input: Decimal | None = setting(None, "for a million tokens of input", minimum=0)
    output: Decimal | None = setting(None, "for a million tokens of the answer", minimum=0)
    cache_read: Decimal | None = setting(None, "for a million tokens read from the cache; default: as input", minimum=0)
    cache_write: Decimal | None = setting(None, "for a million tokens written to it; default: as input", minimum=0)
    cache_write_1h: Decimal | None = setting(None, "the same, for an hour; default: as cache_write", minimum=0)
    reasoning: Decimal | None = setting(None, "for a million tokens of thought; default: as output", minimum=0)
    input_audio: Decimal | None = setting(None, "for a million tokens of sound; default: as input", minimum=0)
    output_audio: Decimal | None = setting(None, "for a million tokens of sound; default: as output", minimum=0)
    input_image: Decimal | None = setting(None, "for a million tokens of pictures; default: as input", minimum=0)
    output_image: Decimal | None = setting(None, "for a million tokens of pictures; default: as output", minimum=0)
    request: Decimal | None = setting(None, "for each request, added to the price of its tokens; default: 0", minimum=0)
    tiers: tuple[PriceTierConfig, ...] = setting((), "other prices for requests with a longer input")


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """[cache]: answers given again to the same request. See `llmgateway help cache`."""

    enabled: bool = setting(False, "keep complete answers, and give them again to exactly the same request")
    shared: bool = setting(False, "true: to every user; false: to the same user alone")
    ttl: float = setting(300.0, "seconds that an answer is kept", above=0)
    max_mb: int = setting(
        64,
        "megabytes of memory that all of them take; the longest not asked for go first",
        minimum=1,
        maximum=1 << 20,
    )
    max_entry_mb: int = setting(2, "megabytes of the largest answer that is kept", minimum=1, maximum=1 << 10)
    price: Decimal = setting(
        Decimal(0), "what an answer from the cache costs: the part of its price, from 0 to 1", minimum=0, maximum=1
    )
    storage: str = setting("memory", '"memory" | "redis": for several gateways', choices=("memory", "redis"))
    url: Secret = setting(lambda: Secret(""), "where Redis is; default: limits.url", secret=True)
