"""Other people's lists: what is read from them, and what is not believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.money import NANO
from gateway.policy.priceimport import Reading, in_other_units, merged, read_any, without_dates
from gateway.policy.pricelist import write_entry, write_list
from gateway.policy.pricing import Price, price_of

TODAY = "2026-11-21"


def litellm(**fields: Any) -> Reading:
    """One entry, among enough others that a single mistake is one."""
    others = {f"gpt-{number}": {"litellm_provider": "openai", "mode": "chat", **PER_TOKEN} for number in range(100)}
    entry = {"litellm_provider": "openai", "mode": "chat", **PER_TOKEN, **fields}
    return read_any({"sample_spec": {}, **others, "mine": {k: v for k, v in entry.items() if v is not None}}, TODAY)


PER_TOKEN = {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05}


def entry_of(reading: Reading, model: str = "mine", provider_type: str = "openai") -> dict[str, Any]:
    return write_entry(reading.prices[provider_type][model])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"cache_read_input_token_cost": 1.25e-06}, {"cache_read": 1.25}),
        (
            {"cache_creation_input_token_cost": 3e-06, "cache_creation_input_token_cost_above_1hr": 6e-06},
            {"cache_write": 3, "cache_write_1h": 6},
        ),
        ({"input_cost_per_token": "0.0000001", "output_cost_per_token": 3e-07}, {"input": 0.1, "output": 0.3}),
        ({"output_cost_per_reasoning_token": 4e-05}, {"reasoning": 40}),
        ({"output_cost_per_reasoning_token": 1e-05}, {}),
        ({"cache_creation_input_token_cost": 0.0, "input_cost_per_audio_token": 0}, {}),
        ({"input_cost_per_request": 0.005}, {"request": 0.005}),
        ({"max_input_tokens": 128000, "max_output_tokens": 4096}, {"max_input": 128000, "max_output": 4096}),
        ({"max_input_tokens": 128000, "max_output_tokens": 128000}, {"max_input": 128000}),
        (
            {
                "input_cost_per_token_above_200k_tokens": 5e-06,
                "output_cost_per_token_above_200k_tokens": 1.5e-05,
                "input_cost_per_token_above_200k_tokens_priority": 9e-06,
                "input_cost_per_token_priority": 9e-06,
            },
            {"tiers": [{"above": 200000, "input": 5, "output": 15}]},
        ),
        (
            {
                "input_cost_per_token": None,
                "output_cost_per_token": None,
                "tiered_pricing": [
                    {"range": [0, 32000.0], **PER_TOKEN},
                    {"range": [32000.0, 128000], "input_cost_per_token": 3e-06, "output_cost_per_token": 2e-05},
                ],
            },
            {"tiers": [{"above": 32000, "input": 3, "output": 20}]},
        ),
        ({"mode": "embedding", "output_cost_per_token": 0, "max_input_tokens": 8192}, {"output": 0}),
        (
            {"mode": "image_generation", "output_cost_per_token": None, "output_cost_per_image_token": 4e-05},
            {"output": 40},
        ),
        ({"mode": "chat", "deprecation_date": "2027-01-01"}, {}),
    ],
)
def test_litellms_prices_of_a_token_are_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert entry_of(litellm(**fields)) == {"input": 2.5, "output": 10, **expected}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"input_cost_per_token": 2.5, "output_cost_per_token": 10}, "no likely price of a million tokens"),
        ({"input_cost_per_token": 2.5e-12}, "no likely price of a million tokens"),
        ({"cache_read_input_token_cost": 1.25}, "no likely price of a million tokens"),
        ({"input_cost_per_token_above_200k_tokens": 5.0}, "no likely price of a million tokens"),
        ({"input_cost_per_token": -2.5e-06}, "a price is negative or not finite"),
        ({"input_cost_per_token": "nan"}, "a price is negative or not finite"),
        ({"input_cost_per_token": "inf"}, "a price is negative or not finite"),
        ({"input_cost_per_token": "1e99999999999999999999"}, "a price is no number"),
        ({"input_cost_per_token": "cheap"}, "a price is no number"),
        ({"input_cost_per_token": [1]}, "a price is no number"),
        ({"input_cost_per_token": 0, "output_cost_per_token": 0}, "free, or not known"),
        ({"output_cost_per_token": None}, "not priced by tokens"),
        ({"input_cost_per_token": 0}, "the answer or the prompt has no price"),
        ({"output_cost_per_image": 0.04}, "not priced by tokens"),
        ({"mode": "audio_speech", "output_cost_per_token": None}, "not priced by tokens"),
        ({"mode": "video_generation"}, "not for a kind of request that is charged by tokens"),
        ({"mode": ["chat"]}, "not for a kind of request that is charged by tokens"),
        ({"tiered_pricing": 7}, "its steps are not understood"),
        ({"tiered_pricing": [{"range": [-1, 2], **PER_TOKEN}]}, "its steps are not understood"),
        ({"input_cost_per_request": 9}, "no likely price of a request"),
        ({"deprecation_date": "2026-01-01"}, "no longer served"),
    ],
)
def test_what_cannot_be_charged_is_refused_and_says_why(fields: dict[str, Any], reason: str) -> None:
    reading = litellm(**fields)
    assert reading.refused == {reason: ["openai/mine"]}
    assert "mine" not in reading.prices["openai"]


def test_a_snapshot_that_is_gone_keeps_its_price_lest_it_have_its_successors() -> None:
    gone = {"deprecation_date": "2026-01-01", "litellm_provider": "openai", "mode": "chat"}
    dearer = {"input_cost_per_token": 5e-06, "output_cost_per_token": 1.5e-05}
    reading = read_any({"gpt-4o-2024-05-13": {**gone, **dearer}, "gpt-4o-2024-08-06": {**gone, **PER_TOKEN}}, TODAY)
    assert entry_of(reading, "gpt-4o-2024-05-13")["input"] == 5


@pytest.mark.parametrize(
    ("key", "provider", "expected"),
    [
        ("groq/llama-3.3-70b", "groq", ("groq", "llama-3.3-70b")),
        ("deepseek-chat", "deepseek", ("deepseek", "deepseek-chat")),
        ("azure/gpt-4o", "azure", ("azure", "gpt-4o")),
        ("together_ai/meta-llama/Llama-3", "together_ai", ("together", "meta-llama/Llama-3")),
        ("command-r", "cohere_chat", ("cohere", "command-r")),
    ],
)
def test_litellms_names_become_the_providers_own(key: str, provider: str, expected: tuple[str, str]) -> None:
    reading = read_any({key: {"litellm_provider": provider, "mode": "chat", **PER_TOKEN}}, TODAY)
    assert {(kind, model) for kind, models in reading.prices.items() for model in models} == {expected}


@pytest.mark.parametrize(
    ("key", "provider"),
    [
        ("azure/eu/gpt-4o", "azure"),
        ("together-ai-4.1b-8b", "together_ai"),
        ("ollama/llama3", "ollama"),
        ("bedrock/claude", "bedrock"),
    ],
)
def test_what_no_request_here_is_called_is_left_out(key: str, provider: str) -> None:
    reading = read_any(
        {
            key: {"litellm_provider": provider, "mode": "chat", **PER_TOKEN},
            "gpt-4o": {"litellm_provider": "openai", "mode": "chat", **PER_TOKEN},
        },
        TODAY,
    )
    assert reading.count() == 1 and not reading.refused


def test_perplexitys_own_models_cost_their_search_as_well() -> None:
    search = {"search_context_cost_per_query": {"search_context_size_low": 0.005, "search_context_size_high": 0.012}}
    entry = {"litellm_provider": "perplexity", "mode": "chat", **PER_TOKEN, **search}
    reading = read_any({"perplexity/sonar": entry, "perplexity/openai/gpt-5": entry}, TODAY)
    assert entry_of(reading, "sonar", "perplexity")["request"] == 0.012
    assert "request" not in entry_of(reading, "openai/gpt-5", "perplexity")


def test_a_list_in_prices_of_a_million_where_those_of_a_token_are_meant_is_refused_whole() -> None:
    entry = {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5, "output_cost_per_token": 10}
    with pytest.raises(GatewayError, match="wrong unit"):
        read_any({f"gpt-{number}": entry for number in range(9)}, TODAY)


def genai(*models: dict[str, Any], provider: str = "openai") -> Reading:
    return read_any([{"id": provider, "name": "x", "models": list(models)}], TODAY)


PER_MILLION = {"input_mtok": 2.5, "output_mtok": 10}


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        (PER_MILLION, {}),
        ({**PER_MILLION, "cache_read_mtok": 1.25, "cache_write_mtok": 3}, {"cache_read": 1.25, "cache_write": 3}),
        ({**PER_MILLION, "cache_write_5m_mtok": 3, "cache_write_1h_mtok": 5}, {"cache_write": 3, "cache_write_1h": 5}),
        ({**PER_MILLION, "requests_kcount": 12}, {"request": 0.012}),
        ({**PER_MILLION, "output_reasoning_mtok": 3}, {"reasoning": 3}),
        (
            {"input_mtok": {"base": 2.5, "tiers": [{"start": 200000, "price": 5}]}, "output_mtok": 10},
            {"tiers": [{"above": 200000, "input": 5}]},
        ),
        (
            [
                {"prices": {"input_mtok": 1, "output_mtok": 1}},
                {"constraint": {"start_date": "2026-01-01"}, "prices": PER_MILLION},
                {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 9, "output_mtok": 9}},
            ],
            {},
        ),
        (
            [
                {"prices": {"input_mtok": 1, "output_mtok": 1}},
                {"constraint": {"start_time": "01:00:00Z", "end_time": "04:00:00Z"}, "prices": PER_MILLION},
            ],
            {},
        ),
    ],
)
def test_genai_prices_of_a_million_are_read(prices: Any, expected: dict[str, Any]) -> None:
    reading = genai({"id": "mine", "match": {"equals": "mine"}, "prices": prices})
    assert entry_of(reading) == {"input": 2.5, "output": 10, **expected}


def test_the_window_of_an_embedding_is_not_that_of_a_request() -> None:
    model = {"id": "m-embed", "context_window": 8192, "prices": {"input_mtok": 1}}
    assert entry_of(genai(model), "m-embed") == {"input": 1, "output": 0}
    assert entry_of(genai({**model, "id": "mine", "prices": PER_MILLION}))["max_input"] == 8192


def test_genai_names_are_those_that_a_model_is_called_by_and_beginnings_of_them() -> None:
    first = {"or": [{"equals": "gpt-4o-2024-08-06"}, {"starts_with": "gpt-4o-mini"}, {"contains": "4o"}]}
    reading = genai(
        {"id": "gpt-4o", "match": first, "prices": PER_MILLION},
        {"id": "gpt-4o-mini", "match": {"starts_with": "gpt-5-"}, "prices": {"input_mtok": 1, "output_mtok": 1}},
    )
    assert reading.prices["openai"].keys() == {"gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-mini"}
    assert entry_of(reading, "gpt-4o-mini")["input"] == 1


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"prices": {"input_mtok": 1}}, "the answer or the prompt has no price"),
        ({"prices": {"audio_hours": 1}}, "not priced by tokens"),
        ({"prices": {"input_mtok": 0, "output_mtok": 0}}, "free, or not known"),
        ({"prices": PER_MILLION, "deprecated": True}, "no longer served"),
        ({"prices": [7]}, "its prices are not understood"),
        ({"prices": {"input_mtok": {"base": 1, "tiers": [7]}, "output_mtok": 1}}, "its steps are not understood"),
    ],
)
def test_what_genai_prices_cannot_be_charged_is_refused(model: dict[str, Any], reason: str) -> None:
    reading = genai({"id": "mine", **model}, {"id": "other", "prices": PER_MILLION})
    assert reading.refused == {reason: ["openai/mine"]}


def test_a_list_in_prices_of_a_token_where_those_of_a_million_are_meant_is_refused_whole() -> None:
    with pytest.raises(GatewayError, match="wrong unit"):
        genai({"id": "mine", "prices": {"input_mtok": 2.5e-06, "output_mtok": 1e-05}})


def test_a_list_of_our_own_form_is_read_with_its_currency() -> None:
    reading = read_any(write_list({"openai": {"m": price_of({"input": NANO})}}, "me", TODAY, "EUR"), TODAY)
    assert reading.currency == "EUR" and entry_of(reading, "m") == {"input": 1, "output": 0}


@pytest.mark.parametrize("document", [None, 1, "x", [], {}, [1], [{"models": 1}], {"a": {}}, [{"models": []}]])
def test_what_is_no_price_list_is_refused(document: object) -> None:
    with pytest.raises(GatewayError):
        read_any(document, TODAY)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["input_cost_per_token", "output_cost_per_token", "mode", "tiered_pricing", "max_input_tokens", "range"]
KEYS = ["id", "match", "prices", "or", "equals", "base", "tiers", "input_mtok", "output_mtok", "constraint"]
genai_json = st.recursive(
    json, lambda inner: st.dictionaries(st.sampled_from(KEYS), inner) | st.lists(inner, max_size=2), max_leaves=8
)


@given(st.dictionaries(st.sampled_from(FIELDS), json), st.sampled_from(["openai", "perplexity", "x"]))
def test_nothing_in_litellms_entries_makes_reading_fail(fields: dict[str, Any], provider: str) -> None:
    good = {"litellm_provider": "openai", "mode": "chat", **PER_TOKEN}
    entry = {"mode": "chat", **fields, "litellm_provider": provider}
    try:
        read_any({"good": good, "mine": entry}, TODAY)
    except GatewayError as error:
        assert "wrong unit" in str(error)


@given(st.lists(genai_json, max_size=3))
def test_nothing_in_genais_models_makes_reading_fail(models: list[Any]) -> None:
    try:
        genai({"id": "good", "prices": PER_MILLION}, *models)
    except GatewayError as error:
        assert "wrong unit" in str(error)


def listed(**models: Price) -> dict[str, dict[str, Price]]:
    return {"openai": dict(models)}


def reading(refused: dict[str, list[str]] | None = None, **models: Price) -> Reading:
    return Reading("x", prices=listed(**models), refused=refused or {})


def test_of_several_lists_the_first_that_has_a_model_counts() -> None:
    one, two = price_of({"input": 1, "output": 9}), price_of({"input": 2, "output": 9})
    assert merged([reading(a=one), reading(a=two, b=two)]) == listed(a=one, b=two)


def test_a_list_that_agrees_fills_in_what_another_leaves_out() -> None:
    said = {"input": 5, "output": 10}
    one, two = price_of({**said, "cache_read": 1}), price_of({**said, "cache_read": 2, "input_audio": 8}, request=3)
    expected = price_of({**said, "cache_read": 1, "input_audio": 8}, request=3)
    assert merged([reading(a=one), reading(a=two)]) == listed(a=expected)


def test_of_two_windows_the_longer_counts_for_it_bounds_what_a_request_can_cost() -> None:
    one = price_of({"input": 5, "output": 10}, max_input=1000)
    two = price_of({"input": 6, "output": 10}, max_input=2000, max_output=50)
    expected = price_of({"input": 5, "output": 10}, max_input=2000, max_output=50)
    assert merged([reading(a=one), reading(a=two)]) == listed(a=expected)


def test_what_is_gone_by_one_list_is_not_brought_back_by_another() -> None:
    price = price_of({"input": 1, "output": 2})
    assert merged([reading({"no longer served": ["openai/a"]}, b=price), reading(a=price)]) == listed(b=price)


def test_models_that_are_found_without_their_date_are_not_listed_twice() -> None:
    one, other = price_of({"input": 1}), price_of({"input": 2})
    models = {"gpt": one, "gpt-2025-04-14": one, "gpt-2024-05-13": other, "o3-2025-04-16": one}
    assert without_dates({"openai": models})["openai"].keys() == {"gpt", "gpt-2024-05-13", "o3-2025-04-16"}


@pytest.mark.parametrize(
    ("now", "doubtful"), [(1.0, False), (0.1, False), (20.0, False), (0.001, True), (1000.0, True), (0.0, False)]
)
def test_a_price_that_is_nothing_like_before_is_found(now: float, doubtful: bool) -> None:
    before, after = price_of({"input": NANO, "output": NANO}), price_of({"input": round(NANO * now), "output": NANO})
    assert in_other_units(listed(a=before), listed(a=after, b=after)) == (["openai/a"] if doubtful else [])
