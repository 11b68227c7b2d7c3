"""Lists of prices as JSON: the bundled book, and `prices.json` in the state folder, which an import writes.

    {"form": "llmgateway-prices-1", "source": "…", "date": "2026-11-21", "currency": "USD",
     "prices": {"openai": {"gpt-4o": {"input": 2.5, "output": 10, "cache_read": 1.25, "max_output": 16384}}}}

By provider type, then by the vendor's own name of the model. Amounts are for a million tokens, `request` for one
request, in `currency`; a bucket that costs what it falls back to is left out (`pricing.FALLBACKS`). `tiers` is a list
of such objects, with `above`.

Pure: whoever has read a file hands its JSON in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from gateway import jsonlib
from gateway.errors import GatewayError
from gateway.money import NANO
from gateway.policy.pricing import FALLBACKS, Price, Rates, price_of

FORM: Final = "llmgateway-prices-1"
CURRENCY: Final = "USD"

Prices = Mapping[str, Mapping[str, Price]]
"""By provider type, then by the vendor's name of the model."""


class ListedPrices:
    """A `pricing.PriceList`, read from its JSON."""

    __slots__ = ("currency", "date", "prices", "source")

    def __init__(self, document: object, label: str, types: Collection[str] | None = None) -> None:
        """`label` and the list's date are the version of its prices. With `types`, those of others are left out.

        Raises GatewayError for anything that is no such list."""
        if not isinstance(document, dict) or document.get("form") != FORM:
            raise GatewayError(f"this is no list of prices in the form {FORM!r}")
        self.source, self.date = str(document.get("source", "")), str(document.get("date", ""))
        self.currency = str(document.get("currency", CURRENCY))
        version = f"{label} {self.date}"
        self.prices: Prices = {
            provider_type: {
                model: read_entry(entry, f"{provider_type}/{model}", version)
                for model, entry in _object(models).items()
            }
            for provider_type, models in _object(document.get("prices")).items()
            if types is None or provider_type in types
        }

    def price(self, provider_type: str, model: str) -> Price | None:
        of_type = self.prices.get(provider_type)
        return None if of_type is None else of_type.get(model)


def write_list(prices: Prices, source: str, date: str, currency: str = CURRENCY) -> dict[str, Any]:
    """The JSON of a list. Types and models are in alphabetical order, so that two lists compare well."""
    return {
        "form": FORM,
        "source": source,
        "date": date,
        "currency": currency,
        "prices": {
            provider_type: {model: write_entry(price) for model, price in sorted(models.items())}
            for provider_type, models in sorted(prices.items())
            if models
        },
    }


def to_text(document: Mapping[str, Any]) -> bytes:
    """A list's JSON with a line for each model, so that what changed shows in a comparison."""
    head = {name: value for name, value in document.items() if name != "prices"}
    vendors = []
    for provider_type, models in document["prices"].items():
        lines = (b"%b:%b" % (jsonlib.dumps(model), jsonlib.dumps(entry)) for model, entry in models.items())
        vendors.append(b"%b:{\n%b\n}" % (jsonlib.dumps(provider_type), b",\n".join(lines)))
    return b'%b,"prices":{%b}}\n' % (jsonlib.dumps(head)[:-1], b",".join(vendors))


def write_entry(price: Price) -> dict[str, Any]:
    """A price as JSON, without what goes without saying."""
    entry: dict[str, Any] = _in_currency(said_of(price.rates))
    if price.request:
        entry["request"] = _amount(price.request)
    for name in ("max_input", "max_output"):
        tokens = getattr(price, name)
        if tokens is not None:
            entry[name] = tokens
    if price.tiers:
        entry["tiers"] = [
            {"above": tier.above, **_in_currency(_said_of_tier(price.rates, tier.rates))}
            for tier in reversed(price.tiers)
        ]
    return entry


def said_of(rates: Rates) -> dict[str, int]:
    """What of `rates` does not go without saying."""
    return {
        name: nanos
        for name, nanos in rates._asdict().items()
        if name not in FALLBACKS or nanos != getattr(rates, FALLBACKS[name])
    }


def _said_of_tier(base: Rates, rates: Rates) -> dict[str, int]:
    """The same of a tier: what the price below it says holds in it, too, and then its own fallbacks do."""
    said_below = said_of(base)
    implied = {
        name: getattr(base if name in said_below else rates, FALLBACKS.get(name, name)) for name in rates._fields
    }
    implied |= said_below
    return {name: nanos for name, nanos in rates._asdict().items() if nanos != implied[name]}


def _in_currency(said: Mapping[str, int]) -> dict[str, int | float]:
    return {name: _amount(nanos) for name, nanos in said.items()}


def _amount(nanos: int) -> int | float:
    """For people: 2.5, and 10, not 10.0. A float of so few digits reads back as the very same int."""
    return nanos // NANO if nanos % NANO == 0 else nanos / NANO


def read_entry(entry: object, path: str, version: str) -> Price:
    """A price from its JSON. Raises GatewayError, with `path` in it, for anything else."""
    fields = _object(entry, path)
    tiers = fields.get("tiers", [])
    if not isinstance(tiers, list):
        raise GatewayError(f"{path}: `tiers` is no list")
    higher = [(_above(tier := _object(each, path), path), _said(tier, path)) for each in tiers]
    return price_of(
        _said(fields, path),
        higher,
        request=_nanos(fields.get("request", 0), path),
        max_input=_tokens(fields, "max_input", path),
        max_output=_tokens(fields, "max_output", path),
        version=version,
    )


def _said(fields: Mapping[str, object], path: str) -> dict[str, int]:
    return {name: _nanos(fields[name], path) for name in Rates._fields if name in fields}


def _nanos(amount: object, path: str) -> int:
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < 10**6:  # NaN is not, either
        raise GatewayError(f"{path}: {amount!r} is no price")
    return round(amount * NANO)


def _tokens(fields: Mapping[str, object], name: str, path: str) -> int | None:
    tokens = fields.get(name)
    if tokens is None or (isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0):
        return tokens
    raise GatewayError(f"{path}: {name} is {tokens!r}, no number of tokens")


def _above(tier: Mapping[str, object], path: str) -> int:
    above = _tokens(tier, "above", path)
    if above is None:
        raise GatewayError(f"{path}: a tier does not say what it is above")
    return above


def _object(value: object, path: str = "prices") -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise GatewayError(f"{path}: this is no object")


def changed(before: Prices, after: Prices) -> Iterable[tuple[str, str, Price, Price]]:
    """Type, model, price before and price after, of everything that both have and that costs something else."""
    for provider_type, models in sorted(after.items()):
        known = before.get(provider_type, {})
        for model, price in sorted(models.items()):
            old = known.get(model)
            if old is not None and (old.rates, old.tiers, old.request) != (price.rates, price.tiers, price.request):
                yield provider_type, model, old, price
