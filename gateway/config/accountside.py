"""What must be true of tokens, limits and money beyond the type and range of each setting."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib.util import find_spec
from urllib.parse import urlsplit

from gateway.config.accounts import JwtConfig, PriceConfig
from gateway.config.model import Config
from gateway.config.problems import Problems, did_you_mean
from gateway.config.serverside import check_path
from gateway.config.setting import settings_of
from gateway.config.tomltext import key_path
from gateway.secret import Secret

SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518, section 3.2: a key is as long as the hash, or longer."""

PREFIX_LIMIT = 50
"""Characters: a name has 200 with it."""

REDIS_SCHEMES = ("redis", "rediss", "unix")
HIGHEST_PRICE = 100_000
"""For a million tokens. The dearest model there has been cost 600: more is a price in other units."""

LOWEST_PRICE = 0.0005
"""For a million tokens, unless they are free: less is the price of a single token, which price lists often give."""


CURRENCY = re.compile("[A-Z]{3}")
"""The form of ISO 4217."""

OTHER_LISTS = ("none", "zai")
"""What providers.NAME.prices may be beside a type of provider: nobody's, and a vendor's that is a type under another
name."""


def check_accounts(config: Config, auth_on: bool, provider_types: Collection[str], problems: Problems) -> None:
    """File what is wrong with [auth.jwt], [limits], [billing], [prices] and [cache], and with whose prices hold."""
    check_path(config, "auth.jwt.jwks_file", problems)
    _check_jwt(config.auth.jwt, problems)
    if config.billing.enabled and not auth_on:
        problems.add(
            "billing.enabled", "is true, but auth is off", "set auth.required = true: who is charged is the user"
        )
    if not CURRENCY.fullmatch(config.billing.currency):
        problems.add("billing.currency", "is no currency", 'write three capital letters: "USD", say')
    if config.limits.storage == "redis":
        _check_redis(config.limits.url, "limits.url", problems)
    if config.cache.enabled and config.cache.storage == "redis":
        _check_redis(config.cache.url or config.limits.url, "cache.url", problems)
    for model, price in config.prices.items():
        key = key_path("prices", model)
        if not problems.has(key):
            check_price(price, key, problems)
    for name, provider in config.providers.items():
        key, known = f"{key_path('providers', name)}.prices", (*provider_types, *OTHER_LISTS)
        if provider.prices and provider.prices not in known:
            near = "" if config.is_masked(key) else did_you_mean(provider.prices[:100], known)
            problems.add(key, "is no known type of provider", near or 'write a type such as "openai", or "none"')


def _check_jwt(jwt: JwtConfig, problems: Problems) -> None:
    key = "auth.jwt"
    if problems.has(key) or not jwt.enabled:
        return
    by_issuer = bool(jwt.jwks_file or jwt.jwks_url)
    if find_spec("jwt") is None or (by_issuer and find_spec("cryptography") is None):
        problems.add(key, "needs PyJWT, with cryptography", "pip install 'llmgateway[jwt]'")
    if jwt.jwks_file and jwt.jwks_url:
        problems.add(f"{key}.jwks_url", "stands beside jwks_file", "leave one of them out")
    wanted = max((SECRET_BYTES[name] for name in jwt.algorithms if name in SECRET_BYTES), default=SECRET_BYTES["HS256"])
    if jwt.secret and len(jwt.secret.reveal().encode()) < wanted:
        problems.add(f"{key}.secret", f"is shorter than {wanted} bytes", "`openssl rand -base64 48` makes a good one")
    if jwt.jwks_url:
        url = urlsplit(jwt.jwks_url)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in ("127.0.0.1", "::1", "localhost")):
            problems.add(f"{key}.jwks_url", "is not an https:// URL", "whoever can change the keys can be anybody")
    if not jwt.scopes:
        problems.add(f"{key}.scopes", "allows nothing", 'write scopes = ["use"]')
    if len(jwt.user_prefix) > PREFIX_LIMIT or not jwt.user_prefix.isprintable():
        problems.add(f"{key}.user_prefix", f"is no name: {PREFIX_LIMIT} printable characters at most")
    elif jwt.user_prefix != jwt.user_prefix.strip():
        problems.add(f"{key}.user_prefix", "has spaces around it", 'end it with a sign that shows: "sso/", say')
    for index, algorithm in enumerate(jwt.algorithms):
        if not (jwt.secret if algorithm in SECRET_BYTES else by_issuer):
            needed = "secret" if algorithm in SECRET_BYTES else "jwks_file or jwks_url"
            problems.add(f"{key}.algorithms[{index}]", f"{algorithm} needs {needed}")


def _check_redis(url: Secret, key: str, problems: Problems) -> None:
    if problems.has(key):
        return
    if find_spec("redis") is None:
        problems.add(key, "needs redis-py", "pip install 'llmgateway[redis]'")
    if not url:
        problems.add(key, "is missing", 'write "redis://127.0.0.1:6379/0", say')
    elif not _is_redis(url.reveal()):
        problems.add(key, "is no address of a Redis", 'write "redis://user:password@host:6379/0", say')


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in REDIS_SCHEMES and bool(parts.port or parts.hostname or parts.path)
    except ValueError:  # a port that is no number
        return False


def check_price(price: PriceConfig, key: str, problems: Problems) -> None:
    """File what is wrong with [prices.MODEL], which `key` names."""
    if price.input is None and price.output is None and price.request is None:
        problems.add(key, "has no price", 'write input = 2.50 and output = 10, say, or 0 for "free"')
    for table, here in ((price, key), *((tier, f"{key}.tiers[{i}]") for i, tier in enumerate(price.tiers))):
        for name, setting in settings_of(table).items():
            amount = getattr(table, setting.field)
            if name in ("tiers", "above", "request") or amount is None:
                continue
            if 0 < amount < LOWEST_PRICE or amount > HIGHEST_PRICE:
                problems.add(
                    f"{here}.{name}",
                    "is no likely price of a million tokens",
                    "a price per token is multiplied by 1,000,000",
                )
    for index, tier in enumerate(price.tiers):
        if not tier.above:
            problems.add(f"{key}.tiers[{index}].above", "is missing", "write above = 200000, say")
