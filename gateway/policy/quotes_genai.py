"""genai-prices' list: providers with their models, prices of a million tokens, and rules for what names they have.

Source: https://github.com/pydantic/genai-prices, `data.json` or `data_slim.json`. Of the rules, names are read and
beginnings of names; what only contains a word could be another vendor's. Where a price depends on the hour, the dearest
counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.policy.pricing import Rates
from gateway.policy.quotes import RETIRED, STEPS, VENDORS, Quoted, Refused, amount, tokens

GENAI: Final = {
    **{name: f"{name}_mtok" for name in Rates._fields if name != "reasoning"},
    "reasoning": "output_reasoning_mtok",
}


def read_genai(document: list[Any], date: str) -> Iterator[tuple[str, str, Quoted | str]]:
    """Provider type, model, and what it costs or why that is not known. `date` (2026-11-21) chooses among prices that
    are announced for later."""
    by_id = {str(each.get("id")): each["models"] for each in document}
    for vendor in VENDORS:
        models = [each for name in vendor.genai for each in by_id.get(name) or () if isinstance(each, dict)]
        quoted = [(each, _quoted_genai_or_why(each, date)) for each in models]
        for names in (_own_names, _other_names):
            for model, price in quoted:
                for name in names(model):
                    if re.fullmatch(vendor.names, name):
                        yield vendor.type, name, price


def _own_names(model: Mapping[str, Any]) -> Iterator[str]:
    yield str(model.get("id"))
    yield from _matched(model.get("match"), "equals")


def _other_names(model: Mapping[str, Any]) -> Iterator[str]:
    """Beginnings of names: names themselves, unless they end in the middle of one, or another model is called that."""
    yield from (name for name in _matched(model.get("match"), "starts_with") if name[-1:].isalnum())


def _matched(clause: object, how: str) -> Iterator[str]:
    """Names in a clause such as {"or": [{"equals": "gpt-4o"}, {"starts_with": "gpt-4o-2024"}]}."""
    if isinstance(clause, dict):
        if isinstance(clause.get(how), str):
            yield clause[how]
        alternatives = clause.get("or")
        for each in alternatives if isinstance(alternatives, list) else ():
            yield from _matched(each, how)


def _quoted_genai_or_why(model: Mapping[str, Any], date: str) -> Quoted | str:
    try:
        return _quoted_genai(model, date)
    except Refused as reason:
        return str(reason)


def _quoted_genai(model: Mapping[str, Any], date: str) -> Quoted:
    said: dict[str, Decimal] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    prices = _prices_at(model.get("prices"), date)
    if model.get("deprecated"):
        raise Refused(RETIRED)
    for bucket, key in GENAI.items():
        value = prices.get("cache_write_5m_mtok") if bucket == "cache_write" and key not in prices else prices.get(key)
        if isinstance(value, dict):
            for tier in value.get("tiers") or ():
                if not isinstance(tier, dict) or tokens(tier.get("start")) is None:
                    raise Refused(STEPS)
                tiers.setdefault(tier["start"], {})[bucket] = amount(tier.get("price"))
            value = value.get("base")
        if value is not None:
            said[bucket] = amount(value)
    if not said and prices:
        raise Refused("not priced by tokens")
    request = amount(prices.get("requests_kcount", 0)) / 1000
    embeds = any(word in str(model.get("id")) for word in ("embed", "moderation"))
    window = None if embeds else tokens(model.get("context_window"))  # of each of a request's inputs
    return Quoted(said, tiers, request, window, None, "output_mtok" in prices or not embeds)


def _prices_at(prices: object, date: str) -> dict[str, Any]:
    """What holds on that day: the last that has begun; of those of an hour, the dearest."""
    if isinstance(prices, dict):
        return prices
    begun: dict[str, Any] = {}
    hourly: list[dict[str, Any]] = []
    for each in prices if isinstance(prices, list) else ():
        if not isinstance(each, dict) or not isinstance(each.get("prices"), dict):
            raise Refused("its prices are not understood")
        constraint = each.get("constraint") or {}
        if "start_time" in constraint:
            hourly.append(each["prices"])
        elif str(constraint.get("start_date", "")) <= date:
            begun = each["prices"]
    return max((begun, *hourly), key=_dearness)


def _dearness(prices: Mapping[str, Any]) -> float:
    amounts = (prices.get("input_mtok"), prices.get("output_mtok"))
    return sum(amount for amount in amounts if isinstance(amount, int | float))
