"""Costs by hand, by rule and at random; and whose price is found."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.accounts import PriceConfig, PriceTierConfig
from gateway.policy import pricing
from gateway.policy.pricing import (
    AUDIO,
    CACHED_WRITES,
    IMAGES,
    MILLION,
    Price,
    PriceBook,
    Rates,
    bound,
    cost,
    names_of,
    price_from_config,
    price_of,
)
from gateway.usage import Usage

CENT = 10**7

# https://platform.openai.com/docs/pricing: input 2.50, cached 1.25, output 10
GPT_4O = PriceConfig(input=Decimal("2.50"), cache_read=Decimal("1.25"), output=Decimal(10))
# https://platform.claude.com/docs/en/about-claude/pricing: "5m cache writes" 1.25 x, "1h cache writes" 2 x base input
SONNET = PriceConfig(
    input=Decimal(3),
    output=Decimal(15),
    cache_read=Decimal("0.30"),
    cache_write=Decimal("3.75"),
    cache_write_1h=Decimal(6),
)
# https://ai.google.dev/gemini-api/docs/pricing: "prompts <= 200k tokens", "prompts > 200k tokens"
GEMINI_2_5_PRO = PriceConfig(
    input=Decimal("1.25"),
    output=Decimal(10),
    cache_read=Decimal("0.125"),
    tiers=(PriceTierConfig(above=200_000, input=Decimal("2.50"), output=Decimal(15), cache_read=Decimal("0.25")),),
)
# https://api-docs.deepseek.com/quick_start/pricing: input "(cache hit)" 0.028, "(cache miss)" 0.28, output 0.42
DEEPSEEK = PriceConfig(input=Decimal("0.28"), cache_read=Decimal("0.028"), output=Decimal("0.42"))


@pytest.mark.parametrize(
    ("config", "usage", "expected"),
    [
        (GPT_4O, Usage(1000, output_text=500), 7_500_000),  # 0.0025 + 0.005
        (GPT_4O, Usage(1000, cache_read=1024, output_text=0), 3_780_000),  # 0.0025 + 0.00128
        (GPT_4O, Usage(0, output_text=100, reasoning=400), 5_000_000),  # thought as output
        (SONNET, Usage(10, cache_read=20_000, cache_write_5m=1000, output_text=100), 11_280_000),
        (SONNET, Usage(10, cache_write_1h=1000, output_text=100), 7_530_000),  # 0.00003 + 0.006 + 0.0015
        (GEMINI_2_5_PRO, Usage(200_000, output_text=1000), 26 * CENT),  # 0.25 + 0.01: not above yet
        (GEMINI_2_5_PRO, Usage(200_001, output_text=1000), 515_002_500),  # 0.5000025 + 0.015: all of it is
        (GEMINI_2_5_PRO, Usage(100_000, cache_read=100_001, output_text=0), 275_000_250),  # cached tokens count, too
        (GEMINI_2_5_PRO, Usage(1000, output_text=0, tool_prompt=1000), 2_500_000),  # tools' results as input
        (DEEPSEEK, Usage(3, cache_read=128, output_text=7), 7_364),  # 840 + 3584 + 2940
    ],
)
def test_vendors_own_arithmetic_comes_out(config: PriceConfig, usage: Usage, expected: int) -> None:
    assert cost(price_from_config(config), usage) == expected


@pytest.mark.parametrize(
    ("bucket", "of_usage", "base"),
    [
        ("cache_read", "cache_read", "input"),
        ("cache_write", "cache_write_5m", "input"),
        ("cache_write", "cache_write_1h", "input"),
        ("cache_write_1h", "cache_write_1h", "cache_write"),
        ("reasoning", "reasoning", "output"),
        ("input_audio", "input_audio", "input"),
        ("output_audio", "output_audio", "output"),
        ("input_image", "input_image", "input"),
        ("output_image", "output_image", "output"),
    ],
)
def test_a_bucket_without_a_price_costs_what_its_kind_does(bucket: str, of_usage: str, base: str) -> None:
    usage = Usage(**{of_usage: 1_000_000})
    assert cost(price_of({"input": 3, "output": 4, base: 5}), usage) == 5
    assert cost(price_of({"input": 3, "output": 4, base: 5, bucket: 9}), usage) == 9


def test_what_a_tier_does_not_say_is_as_without_it() -> None:
    price = price_of({"input": 10, "output": 20, "cache_read": 1}, [(5, {"input": 100})])
    assert price.tiers[0].rates == Rates(100, 20, 1, 100, 100, 20, 100, 20, 100, 20)


def test_of_several_tiers_the_highest_that_the_input_exceeds_holds() -> None:
    price = price_of({"input": MILLION}, [(10, {"input": 2 * MILLION}), (30, {"input": 4 * MILLION})])
    assert [cost(price, Usage(tokens)) for tokens in (10, 11, 30, 31)] == [10, 22, 60, 124]


@pytest.mark.parametrize(("total", "expected"), [(499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)])
def test_half_a_nano_unit_is_rounded_up_once_for_the_whole_request(total: int, expected: int) -> None:
    assert cost(price_of({"input": total}), Usage(1)) == expected
    parts = price_of({"input": total // 2, "output": total - total // 2})
    assert cost(parts, Usage(1, output_text=1)) == expected


def test_a_request_may_cost_something_by_itself() -> None:
    price = price_from_config(PriceConfig(request=Decimal("0.005")))
    assert cost(price, Usage(1000, output_text=1000)) == 5_000_000
    assert bound(price, 9, 9, cached_writes=True, audio=True, images=True) == 5_000_000


def test_usage_that_was_not_reported_costs_nothing() -> None:
    assert cost(price_from_config(SONNET), Usage()) == 0


def test_the_version_tells_prices_of_the_operator_apart() -> None:
    dearer = PriceConfig(input=Decimal(3), output=Decimal(10))
    versions = {price_from_config(config).version for config in (GPT_4O, dearer, SONNET)}
    assert len(versions) == 3 and all(version.startswith("config ") for version in versions)


amounts = st.integers(0, 10**14)
said = st.dictionaries(st.sampled_from(Rates._fields), amounts)
prices = st.builds(
    price_of,
    said,
    st.lists(st.tuples(st.integers(1, 2000), said), max_size=3, unique_by=lambda tier: tier[0]),
    request=amounts,
)
usages = st.builds(Usage, *[st.none() | st.integers(0, 1000)] * len(Usage._fields))
BUCKETS = {
    CACHED_WRITES: ("cache_write_5m", "cache_write_1h"),
    AUDIO: ("input_audio", "output_audio"),
    IMAGES: ("input_image", "output_image"),
}


@given(prices, usages, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 500), st.integers(0, 500))
def test_no_usage_costs_more_than_the_bound(
    price: Price, usage: Usage, writes: bool, audio: bool, images: bool, more_in: int, more_out: int
) -> None:
    for allowed, kind in ((writes, CACHED_WRITES), (audio, AUDIO), (images, IMAGES)):
        if not allowed:
            usage = usage._replace(**dict.fromkeys(BUCKETS[kind]))
    most = bound(
        price, usage.input + more_in, usage.output + more_out, cached_writes=writes, audio=audio, images=images
    )
    assert cost(price, usage) <= most


@given(prices, st.integers(0, 3000), st.integers(0, 500))
def test_what_is_not_dearer_raises_no_bound(price: Price, into: int, out: int) -> None:
    writes, audio, images = (kind in price.dearer for kind in (CACHED_WRITES, AUDIO, IMAGES))
    assert bound(price, into, out, cached_writes=writes, audio=audio, images=images) == bound(
        price, into, out, cached_writes=True, audio=True, images=True
    )


@given(said, amounts, usages, st.sampled_from(Usage._fields), st.integers(1, 1000))
def test_more_tokens_never_cost_less_within_a_tier(
    said: Mapping[str, int], request: int, usage: Usage, bucket: str, more: int
) -> None:
    price = price_of(said, request=request)
    assert cost(price, usage._replace(**{bucket: (getattr(usage, bucket) or 0) + more})) >= cost(price, usage)


@given(said, usages, usages)
def test_two_requests_cost_what_one_of_both_does_but_for_one_rounding(
    said: Mapping[str, int], one: Usage, other: Usage
) -> None:
    price = price_of(said)
    both = Usage(*((a or 0) + (b or 0) for a, b in zip(one, other, strict=True)))
    assert abs(cost(price, one) + cost(price, other) - cost(price, both)) <= 1


@given(said, usages)
def test_the_cost_is_the_sum_of_the_buckets(said: Mapping[str, int], usage: Usage) -> None:
    price = price_of(said)
    names = {
        "input_uncached": "input",
        "output_text": "output",
        "cache_write_5m": "cache_write",
        "tool_prompt": "input",
    }
    exact = sum((tokens or 0) * getattr(price.rates, names.get(b, b)) for b, tokens in usage._asdict().items())
    assert 2 * MILLION * cost(price, usage) - 2 * exact in range(-MILLION + 1, MILLION + 1)


class Listed:
    """A list of prices that also counts how often it was asked."""

    def __init__(self, **by_type: Mapping[str, int]) -> None:
        self.by_type = by_type
        self.asked = 0

    def price(self, provider_type: str, model: str) -> Price | None:
        self.asked += 1
        amount = self.by_type.get(provider_type, {}).get(model)
        return None if amount is None else price_of({"input": amount}, version="listed")


def found(book: PriceBook, provider: str, provider_type: str, model: str) -> int | None:
    price = book.find(provider, provider_type, model)
    return None if price is None else price.rates.input


def test_the_operators_price_goes_first_then_the_lists_in_their_order() -> None:
    overrides = {"main/gpt-4o": price_of({"input": 1}), "gpt-4o": price_of({"input": 2})}
    lists = (Listed(openai={"gpt-5": 3}), Listed(openai={"gpt-4o": 4, "gpt-5": 4, "o3": 4}))
    book = PriceBook(overrides, lists)
    assert found(book, "main", "openai", "gpt-4o") == 1
    assert found(book, "other", "openai", "gpt-4o") == 2
    assert found(book, "main", "openai", "gpt-5") == 3
    assert found(book, "main", "openai", "o3") == 4
    assert found(book, "main", "openai", "o4") is None


def test_a_price_of_nothing_is_a_price() -> None:
    book = PriceBook({"m": price_of({})}, (Listed(openai={"m": 4}),))
    assert found(book, "main", "openai", "m") == 0


@pytest.mark.parametrize("provider_type", ["ollama", "vllm", "llama.cpp", "groq", "echo"])
def test_no_vendors_price_holds_for_a_model_of_the_same_name_elsewhere(provider_type: str) -> None:
    book = PriceBook({}, (Listed(openai={"llama-3.3-70b": 4}),), vendors={"mirror": ""})
    assert found(book, "local", provider_type, "llama-3.3-70b") is None
    assert found(book, "mirror", "openai", "llama-3.3-70b") is None
    assert found(book, "main", "openai", "llama-3.3-70b") == 4


def test_a_provider_may_have_the_prices_of_another_vendor() -> None:
    book = PriceBook({}, (Listed(zai={"glm-5": 3}, zhipu={"glm-5": 4}),), vendors={"abroad": "zai"})
    assert found(book, "abroad", "zhipu", "glm-5") == 3
    assert found(book, "main", "zhipu", "glm-5") == 4


def test_an_operators_price_holds_wherever_the_provider_is() -> None:
    book = PriceBook({"llama": price_of({"input": 7})}, vendors={"mirror": ""})
    assert found(book, "mirror", "openai", "llama") == found(book, "local", "ollama", "llama") == 7


@pytest.mark.parametrize(
    ("provider_type", "model", "names"),
    [
        ("openai", "gpt-4.1-2025-04-14", ("gpt-4.1-2025-04-14", "gpt-4.1")),
        ("anthropic", "claude-sonnet-4-5-20250929", ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5")),
        ("anthropic", "claude-sonnet-4-5@20250929", ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5")),
        ("anthropic", "claude-3-7-sonnet-latest", ("claude-3-7-sonnet-latest", "claude-3-7-sonnet")),
        ("gemini", "models/gemini-2.5-pro", ("models/gemini-2.5-pro", "gemini-2.5-pro")),
        (
            "openai",
            "ft:gpt-4o-2024-08-06:us::x1",
            ("ft:gpt-4o-2024-08-06:us::x1", "ft:gpt-4o-2024-08-06", "ft:gpt-4o"),
        ),
        # Others of that name, with prices of their own:
        ("openai", "gpt-3.5-turbo-0613", ("gpt-3.5-turbo-0613",)),
        ("cohere", "command-r-08-2024", ("command-r-08-2024",)),
        ("dashscope", "qwen-plus-2025-07-28", ("qwen-plus-2025-07-28",)),
        ("openai", "models/gpt-4o", ("models/gpt-4o",)),
        ("openrouter", "openai/gpt-4o:free", ("openai/gpt-4o:free",)),
    ],
)
def test_a_date_or_prefix_is_left_out_where_that_is_the_same_model(
    provider_type: str, model: str, names: tuple[str, ...]
) -> None:
    assert names_of(provider_type, model) == names


def test_a_dated_model_that_is_listed_by_itself_has_its_own_price() -> None:
    book = PriceBook({}, (Listed(openai={"gpt-4o": 25, "gpt-4o-2024-05-13": 50}),))
    assert found(book, "main", "openai", "gpt-4o-2024-05-13") == 50
    assert found(book, "main", "openai", "gpt-4o-2024-11-20") == 25


def test_answers_are_remembered_and_the_memory_is_bounded() -> None:
    listed = Listed(openai={"gpt-4o": 25})
    book = PriceBook({}, (listed,))
    for _ in range(3):
        book.find("main", "openai", "gpt-4o")
        book.find("main", "openai", "unheard-of")
    assert listed.asked == 2
    for number in range(2 * pricing.FOUND_MAX):
        book.find("main", "openai", f"invented {number}")
    assert len(book._found) <= pricing.FOUND_MAX
    assert found(book, "main", "openai", "gpt-4o") == 25
