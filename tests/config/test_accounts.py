"""Rights, limits and money in a configuration: what must not be said; that amounts are taken as they are written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.config.load import Loaded, parse
from gateway.config.show import show_config
from gateway.daemon.pricefiles import load_bundled
from gateway.providers import PROVIDER_FACTS
from tests.config.facts import ECHO, FACTS, PATH, problems_of

SECRET = "x" * 32
AUTH = "[auth]\nrequired = true\n[tokens.a]\ntoken = 'long-enough'\n"

BAD = [
    ('[auth.jwt]\nsecret = "short"', "auth.jwt.secret", "shorter than 32 bytes", "openssl"),
    ('[auth.jwt]\njwks_url = "http://keys.example"', "auth.jwt.jwks_url", "is not an https", "anybody"),
    ('[auth.jwt]\njwks_url = "https://a"\njwks_file = "b"', "auth.jwt.jwks_url", "beside jwks_file", "one of them"),
    (f'[auth.jwt]\nsecret = "{SECRET}"\nalgorithms = ["none"]', "auth.jwt.algorithms[0]", "must be one of", ""),
    (f'[auth.jwt]\nsecret = "{SECRET}"\nscopes = []', "auth.jwt.scopes", "allows nothing", '["use"]'),
    (f'[auth.jwt]\nsecret = "{SECRET}"\nuser_prefix = "a\\n"', "auth.jwt.user_prefix", "is no name", ""),
    (f'[auth.jwt]\nsecret = "{SECRET}"\nuser_prefix = " a"', "auth.jwt.user_prefix", "has spaces around it", "sso/"),
    (f'[auth.jwt]\nsecret = "{SECRET}"\nuser_prefix = "sso "', "auth.jwt.user_prefix", "has spaces around it", "sso/"),
    (f'[auth.jwt]\nsecret = "{SECRET}"\nalgorithms = ["RS256"]', "auth.jwt.algorithms[0]", "needs jwks", ""),
    ('[auth.jwt]\njwks_file = "b"\nalgorithms = ["HS256"]', "auth.jwt.algorithms[0]", "needs secret", ""),
    ("[billing]\nenabled = true", "billing.enabled", "auth is off", "auth.required"),
    ('[limits]\nstorage = "redis"', "limits.url", "is missing", "redis://"),
    ('[limits]\nstorage = "redis"\nurl = "redis://a:b/0"', "limits.url", "no address of a Redis", "redis://"),
    ('[limits]\nstorage = "redis"\nurl = "unix:"', "limits.url", "no address of a Redis", "redis://"),
    ('[limits]\nstorage = "redis"\nurl = "http://a"', "limits.url", "no address of a Redis", "redis://"),
    ("[limits.global]\nconcurrency = -1", "limits.global.concurrency", "at least 0", ""),
    ('[cache]\nenabled = true\nstorage = "redis"', "cache.url", "is missing", "redis://"),
    ("[cache]\nprice = 1.5", "cache.price", "at most 1", ""),
    ('[billing]\ndefault_balance = "lots"', "billing.default_balance", "must be a number", "2.50"),
    ('[billing]\ndefault_balance = "NaN"', "billing.default_balance", "finite", ""),
    ("[billing]\ndefault_balance = -1", "billing.default_balance", "at least 0", ""),
    ("[billing]\ndefault_balance = true", "billing.default_balance", "must be a number", ""),
    ('[billing]\ncurrency = "Bananas"', "billing.currency", "is no currency", "USD"),
    ('[billing]\ncurrency = "usd"', "billing.currency", "is no currency", "USD"),
    ('[billing]\ncurrency = ""', "billing.currency", "is no currency", "USD"),
    ('[providers.b]\ntype = "echo"\nprices = "ecko"', "providers.b.prices", "no known type", 'did you mean "echo"?'),
    ('[providers.b]\ntype = "echo"\nprices = "nix"', "providers.b.prices", "no known type", '"none"'),
    ("[prices.m]\ncache_read = 1", "prices.m", "has no price", "input"),
    ("[prices.m]\ninput = 0.00000015", "prices.m.input", "no likely price", "1,000,000"),
    ("[prices.m]\noutput = 600000", "prices.m.output", "no likely price", "1,000,000"),
    ("[prices.m]\ninput = 1\n[[prices.m.tiers]]\ninput = 2", "prices.m.tiers[0].above", "is missing", "200000"),
]


def load(text: str) -> Loaded:
    return parse(text, PATH, {}, FACTS)


@pytest.mark.parametrize(("text", "key", "message", "hint"), BAD, ids=[f"{i}-{each[1]}" for i, each in enumerate(BAD)])
def test_a_mistake_is_named_with_what_to_do(text: str, key: str, message: str, hint: str) -> None:
    found = problems_of(f"{text}\n{ECHO}")
    assert set(found) == {key}
    assert message in found[key].message
    assert hint in found[key].hint


def test_every_vendor_of_the_bundled_list_may_be_named() -> None:
    for vendor in load_bundled().prices:
        text = f'[providers.main]\ntype = "openai"\nkeys = "keys.txt"\nprices = "{vendor}"\n'
        assert parse(text, PATH, {}, PROVIDER_FACTS).config.providers["main"].prices == vendor


def test_amounts_are_taken_as_they_are_written() -> None:
    text = f'{ECHO}{AUTH}[billing]\nenabled = true\ndefault_balance = "0.1"\n[prices."a/b"]\ninput = 0.1\noutput = 3\n'
    config = load(text).config
    assert config.billing.default_balance == Decimal("0.1")
    price = config.prices["a/b"]
    assert (price.input, price.output, price.cache_read) == (Decimal("0.1"), Decimal(3), None)


def test_global_limits_are_called_so() -> None:
    loaded = load(f"{ECHO}[limits.global]\nrequests_per_minute = 7\n[limits.user]\nconcurrency = 2\n")
    assert loaded.config.limits.global_.requests_per_minute == 7
    shown = show_config(loaded, origins=False)
    assert "[limits.global]\nrequests_per_minute = 7\n" in shown
    assert load(shown).config.limits == loaded.config.limits


def test_a_price_free_of_charge_is_one() -> None:
    config = load(f"{ECHO}[prices.m]\ninput = 0\noutput = 0\n").config
    assert config.prices["m"].input == 0


def test_the_keys_of_an_issuer_are_relative_to_the_file() -> None:
    config = load(f'{ECHO}[auth.jwt]\njwks_file = "keys.json"\n').config
    assert config.auth.jwt.jwks_file == str(PATH.parent / "keys.json")
