"""Price lists that others keep, read into ours: LiteLLM's JSON, genai-prices' JSON, and our own form.

A list is not believed blindly (`quotes.py`); one in which many prices are in a wrong unit is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Any, Final

from gateway.errors import GatewayError
from gateway.policy.pricelist import CURRENCY, FORM, ListedPrices, changed, said_of
from gateway.policy.pricing import Price, names_of, price_of
from gateway.policy.quotes import RETIRED, VENDORS, WRONG_UNIT, Quoted, Refused, to_price
from gateway.policy.quotes_genai import read_genai
from gateway.policy.quotes_litellm import read_litellm
from gateway.quick import dataclass

WRONG_AT_MOST: Final = 0.02
"""Share of a list's prices that may be in a wrong unit: single mistakes happen in all of them."""

OTHER_UNIT: Final = 50
"""A price this many times higher or lower than before was given in another unit, such as a thousand tokens. Prices fall
fast, but not in one step to less than a tenth."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`refused`: names of models by why they were. `others`: how many are of vendors that are no provider type."""

    form: str
    currency: str = CURRENCY
    prices: dict[str, dict[str, Price]] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)
    others: int = 0

    def count(self) -> int:
        return sum(map(len, self.prices.values()))


def read_any(document: object, date: str) -> Reading:
    """A list in any of the forms. `date` (2026-11-21) chooses among prices that are announced for later.

    Raises GatewayError if it is none of them, or in a wrong unit throughout."""
    if isinstance(document, dict) and document.get("form") == FORM:
        listed = ListedPrices(document, "import")
        prices = {provider_type: dict(models) for provider_type, models in listed.prices.items()}
        return Reading("this gateway's own form", listed.currency, prices)
    if isinstance(document, dict) and any(isinstance(v, dict) and "litellm_provider" in v for v in document.values()):
        reading = _collect("LiteLLM's form", read_litellm(document, date), _others(document))
    elif (
        isinstance(document, list)
        and document
        and all(isinstance(each, dict) and isinstance(each.get("models"), list) for each in document)
    ):
        known = {name for vendor in VENDORS for name in vendor.genai}
        others = sum(len(each["models"]) for each in document if each.get("id") not in known)
        reading = _collect("genai-prices' form", read_genai(document, date), others)
    else:
        raise GatewayError(
            "this is no list of prices",
            hint="LiteLLM's model_prices_and_context_window.json, or genai-prices' data.json",
        )
    wrong = len(reading.refused.get(WRONG_UNIT, ()))
    if wrong > WRONG_AT_MOST * (wrong + reading.count()):
        raise GatewayError(
            f"{wrong} of {wrong + reading.count()} prices are in a wrong unit",
            detail=f"{WRONG_UNIT}: {', '.join(reading.refused[WRONG_UNIT][:3])}",
            hint="LiteLLM's are of one token, genai-prices' of a million; nothing was taken",
        )
    if not reading.prices:
        raise GatewayError("there is no price in it that could be charged")
    return reading


def merged(readings: Iterable[Reading]) -> dict[str, dict[str, Price]]:
    """One list of many: the first that has a model counts; others that agree with it fill in what it leaves out. What
    is gone by the first is not brought back by another, which may just not have noticed."""
    taken: dict[str, dict[str, Price]] = {}
    retired: set[str] = set()
    for reading in readings:
        for provider_type, models in reading.prices.items():
            of_type = taken.setdefault(provider_type, {})
            for model, price in models.items():
                known = of_type.get(model)
                if known is not None:
                    of_type[model] = _completed(known, price)
                elif f"{provider_type}/{model}" not in retired:
                    of_type[model] = price
        retired.update(reading.refused.get(RETIRED, ()))
    return taken


def _completed(price: Price, other: Price) -> Price:
    """With the longer of both windows, because they bound what a request can cost; and where both say the same of plain
    tokens, with what only the other says."""
    prompt, answer = _longer(price.max_input, other.max_input), _longer(price.max_output, other.max_output)
    if price.rates[:2] != other.rates[:2] or price.tiers or other.tiers:
        return replace(price, max_input=prompt, max_output=answer)
    said = {**said_of(other.rates), **said_of(price.rates)}
    request = price.request or other.request
    return price_of(said, request=request, max_input=prompt, max_output=answer, version=price.version)


def _longer(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else max(one, other)


def without_dates(prices: Mapping[str, Mapping[str, Price]]) -> dict[str, dict[str, Price]]:
    """The list without models whose price is found under a name without its date, or without their prefix."""
    return {
        provider_type: {
            model: price
            for model, price in models.items()
            if next((models[name] for name in names_of(provider_type, model)[1:] if name in models), None) != price
        }
        for provider_type, models in prices.items()
    }


def in_other_units(before: Mapping[str, Mapping[str, Price]], after: Mapping[str, Mapping[str, Price]]) -> list[str]:
    """Models, such as openai/gpt-4o, whose price is nothing like the one before."""
    return [
        f"{provider_type}/{model}"
        for provider_type, model, old, new in changed(before, after)
        if any(
            not old_rate <= new_rate * OTHER_UNIT <= old_rate * OTHER_UNIT**2
            for old_rate, new_rate in zip(old.rates[:2], new.rates[:2], strict=True)
            if old_rate and new_rate
        )
    ]


def _collect(form: str, entries: Iterable[tuple[str, str, Quoted | str]], others: int) -> Reading:
    """`entries` are provider type, model, and what it costs or why that is not known; of several the first counts."""
    reading = Reading(form, others=others)
    for provider_type, model, quoted in entries:
        of_type = reading.prices.setdefault(provider_type, {})
        if model in of_type:
            continue
        try:
            if isinstance(quoted, str):
                raise Refused(quoted)
            of_type[model] = to_price(quoted)
        except Refused as reason:
            names = reading.refused.setdefault(str(reason), [])
            if f"{provider_type}/{model}" not in names:
                names.append(f"{provider_type}/{model}")
    for provider_type in [name for name, models in reading.prices.items() if not models]:
        del reading.prices[provider_type]
    return reading


def _others(document: Mapping[str, Any]) -> int:
    known = {name for vendor in VENDORS for name in vendor.litellm}
    return sum(isinstance(entry, dict) and entry.get("litellm_provider") not in known for entry in document.values())
