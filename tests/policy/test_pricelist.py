"""Lists as JSON, written and read back; and the one that comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import jsonlib, policy
from gateway.errors import GatewayError
from gateway.money import NANO
from gateway.policy.pricelist import ListedPrices, changed, read_entry, to_text, write_entry, write_list
from gateway.policy.pricing import Price, Rates, price_of
from gateway.policy.quotes import HIGHEST, LOWEST, VENDORS
from gateway.providers import PROVIDER_TYPES, price_vendor

BUNDLED = Path(policy.__file__).with_name("prices.json")

amounts = st.integers(0, 2000 * NANO)
said = st.dictionaries(st.sampled_from(Rates._fields), amounts)
tokens = st.none() | st.integers(1, 10**7)
prices = st.builds(
    price_of,
    said,
    st.lists(st.tuples(st.integers(1, 10**6), said), max_size=3, unique_by=lambda tier: tier[0]),
    request=amounts,
    max_input=tokens,
    max_output=tokens,
)


@given(prices)
def test_a_price_that_was_written_is_read_as_it_was(price: Price) -> None:
    assert read_entry(jsonlib.loads(jsonlib.dumps(write_entry(price))), "m", "") == price


@given(st.dictionaries(st.sampled_from(["openai", "groq"]), st.dictionaries(st.text(max_size=5), prices, min_size=1)))
def test_a_list_that_was_written_is_read_as_it_was(models: dict[str, dict[str, Price]]) -> None:
    listed = ListedPrices(jsonlib.loads(to_text(write_list(models, "here", "2026-11-21"))), "list")
    assert (listed.source, listed.date, listed.currency) == ("here", "2026-11-21", "USD")
    assert not list(changed(models, listed.prices)) and {k: set(v) for k, v in models.items()} == {
        k: set(v) for k, v in listed.prices.items()
    }


def test_what_goes_without_saying_is_not_said() -> None:
    price = price_of(
        {"input": 25 * NANO // 10, "output": 10 * NANO, "reasoning": 10 * NANO}, [(9, {"input": 5 * NANO})]
    )
    assert write_entry(price) == {"input": 2.5, "output": 10, "tiers": [{"above": 9, "input": 5}]}


@pytest.mark.parametrize(
    "entry",
    [
        [],
        {"input": "2.5"},
        {"input": -1},
        {"input": True},
        {"input": float("nan")},
        {"input": float("inf")},
        {"input": 10**7},
        {"input": 1, "max_input": 0},
        {"input": 1, "max_output": 2.5},
        {"input": 1, "tiers": {}},
        {"input": 1, "tiers": [1]},
        {"input": 1, "tiers": [{"input": 2}]},
        {"input": 1, "tiers": [{"above": 0, "input": 2}]},
    ],
)
def test_what_is_no_price_is_refused_with_its_name(entry: object) -> None:
    with pytest.raises(GatewayError, match="openai/gpt-4o"):
        ListedPrices({"form": "llmgateway-prices-1", "prices": {"openai": {"gpt-4o": entry}}}, "list")


@pytest.mark.parametrize("document", [None, [], {}, {"form": "other", "prices": {}}, {"form": "llmgateway-prices-1"}])
def test_what_is_no_list_is_refused(document: object) -> None:
    with pytest.raises(GatewayError):
        ListedPrices(document, "list")


def test_only_the_types_that_are_asked_for_are_read() -> None:
    document = {"form": "llmgateway-prices-1", "prices": {"openai": {"m": {"input": 1}}, "groq": {"m": "broken"}}}
    listed = ListedPrices(document, "list", {"openai"})
    assert listed.price("openai", "m") is not None and listed.price("groq", "m") is None


@pytest.fixture(scope="module")
def bundled() -> ListedPrices:
    return ListedPrices(jsonlib.loads(BUNDLED.read_bytes()), "book")


def test_the_bundled_list_says_where_it_is_from_and_is_small(bundled: ListedPrices) -> None:
    assert bundled.source and bundled.date and bundled.currency == "USD"
    assert BUNDLED.stat().st_size <= 256_000


# Each from the vendor's own page, see test_pricing.py, and https://docs.x.ai/docs/models, https://groq.com/pricing.
@pytest.mark.parametrize(
    ("provider_type", "model", "expected"),
    [
        ("openai", "gpt-4o", {"input": 2.5, "output": 10, "cache_read": 1.25}),
        ("openai", "gpt-4o-2024-05-13", {"input": 5, "output": 15}),
        ("openai", "gpt-4o-mini", {"input": 0.15, "output": 0.6, "cache_read": 0.075}),
        (
            "anthropic",
            "claude-sonnet-4-5",
            {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75, "cache_write_1h": 6},
        ),
        (
            "gemini",
            "gemini-2.5-pro",
            {
                "input": 1.25,
                "output": 10,
                "cache_read": 0.125,
                "tiers": [{"above": 200000, "input": 2.5, "output": 15, "cache_read": 0.25}],
            },
        ),
        ("gemini", "gemini-2.5-flash", {"input": 0.3, "output": 2.5, "cache_read": 0.03, "input_audio": 1}),
    ],
)
def test_the_bundled_list_has_the_vendors_prices(
    bundled: ListedPrices, provider_type: str, model: str, expected: dict[str, object]
) -> None:
    price = bundled.price(provider_type, model)
    assert price is not None and price.version == f"book {bundled.date}"
    entry = write_entry(price)
    assert {name: value for name, value in entry.items() if not name.startswith("max_")} == expected


def test_every_bundled_price_is_likely(bundled: ListedPrices) -> None:
    for models in bundled.prices.values():
        for model, price in models.items():
            for rates in (price.rates, *(tier.rates for tier in price.tiers)):
                rest = [rate for rate in rates if rate]
                assert rates.input and all(LOWEST * NANO <= rate <= HIGHEST * NANO for rate in rest), model


def test_every_vendor_is_a_type_of_provider_that_is_not_local() -> None:
    types = {vendor.type for vendor in VENDORS} - {"zai"}
    assert types <= PROVIDER_TYPES.keys()
    assert all(PROVIDER_TYPES[name].needs_keys for name in types)


def provider(**settings: str) -> str:
    from gateway.config.provider import ProviderConfig

    return price_vendor(ProviderConfig(name="main", **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "vendor"),
    [
        ({"type": "openai", "base_url": "https://api.openai.com/v1"}, "openai"),
        ({"type": "openai", "base_url": "https://llm.example.org/v1"}, "openai"),
        ({"type": "openai", "base_url": "https://llm.example.org/v1", "prices": "openrouter"}, "openrouter"),
        ({"type": "openai", "base_url": "https://api.openai.com/v1", "prices": "none"}, ""),
        ({"type": "azure", "base_url": "https://mine.openai.azure.com/openai"}, "azure"),
        ({"type": "zhipu", "base_url": "https://api.z.ai/api/paas/v4", "prices": "zai"}, "zai"),
    ],
)
def test_the_prices_of_its_type_hold_unless_others_are_configured(settings: dict[str, str], vendor: str) -> None:
    assert provider(**settings) == vendor
