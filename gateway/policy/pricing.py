"""What a request costs: prices by bucket of usage, their sum, its upper bound, and where a model's price is found.

Money is an int of nano-units, 1e-9 of `billing.currency`; a price is nano-units for a MILLION tokens of a bucket, so
that 2.50 is 2_500_000_000. Sums are exact; they are rounded once, at the end, half up.

What is not said falls back (`FALLBACKS`): thought costs what the answer costs, an hour's cache write what a short one
does, everything that goes in what plain input does. A tier is a second set of prices for requests with a longer input,
and holds for the whole of such a request, output included; what it does not say is as without it.

Pure: the daemon reads the lists that come from files (`pricelist.py` knows their form).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from gateway.config.accounts import PriceConfig, PriceTierConfig
from gateway.money import NANO
from gateway.quick import dataclass
from gateway.usage import Usage

MILLION: Final = 10**6

FOUND_MAX: Final = 4096
"""Answers that a price book remembers. Clients invent models' names; a gateway serves a few hundred."""


class Rates(NamedTuple):
    """Nano-units for a million tokens of each bucket."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0  # for five minutes
    cache_write_1h: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    input_image: int = 0
    output_image: int = 0


FALLBACKS: Final[Mapping[str, str]] = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "reasoning": "output",
    "input_audio": "input",
    "output_audio": "output",
    "input_image": "input",
    "output_image": "output",
}
"""What a bucket costs as much as, if nobody says. In an order in which each finds its own already filled in."""


class Tier(NamedTuple):
    above: int  # tokens of input, cached ones too; one more, and the whole request costs this
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs. `tiers` are in descending order; `max_input` and `max_output` are tokens that the model
    takes and gives, None where nobody says. `version` tells a reader of the ledger where the price came from. `dearer`
    are those of CACHED_WRITES, AUDIO and IMAGES that may cost more than plain tokens."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    request: int = 0  # nano-units for each request, added to the price of its tokens
    max_input: int | None = None
    max_output: int | None = None
    version: str = ""
    dearer: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        dearer = {kind for rates in (self.rates, *(tier.rates for tier in self.tiers)) for kind in _dearer(rates)}
        object.__setattr__(self, "dearer", frozenset(dearer))


CACHED_WRITES: Final = "cached writes"
AUDIO: Final = "audio"
IMAGES: Final = "images"


def _dearer(r: Rates) -> Iterable[str]:
    into, out = max(r.input, r.cache_read), max(r.output, r.reasoning)
    if max(r.cache_write, r.cache_write_1h) > into:
        yield CACHED_WRITES
    if r.input_audio > into or r.output_audio > out:
        yield AUDIO
    if r.input_image > into or r.output_image > out:
        yield IMAGES


def price_of(
    said: Mapping[str, int],
    tiers: Iterable[tuple[int, Mapping[str, int]]] = (),
    *,
    request: int = 0,
    max_input: int | None = None,
    max_output: int | None = None,
    version: str = "",
) -> Price:
    """The price with everything filled in that `said` leaves out. Keys are names of `Rates`; tiers in any order."""
    higher = [Tier(above, _filled_in({**said, **tier})) for above, tier in tiers]
    higher.sort(key=lambda tier: tier.above, reverse=True)
    return Price(_filled_in(said), tuple(higher), request, max_input, max_output, version)


def _filled_in(said: Mapping[str, int]) -> Rates:
    known = {"input": 0, "output": 0, **said}
    for bucket, other in FALLBACKS.items():
        known.setdefault(bucket, known[other])
    return Rates(**known)


def cost(price: Price, usage: Usage) -> int:
    """Nano-units that a request with this usage costs. What was not reported counts as none."""
    r = price.rates
    if price.tiers:
        tokens = usage.input
        for tier in price.tiers:
            if tokens > tier.above:
                r = tier.rates
                break
    plain, read, write, write_1h, audio_in, text, thought, audio_out, image_in, image_out, tool_prompt = usage
    total = (plain or 0) * r.input + (text or 0) * r.output
    if read or write or write_1h:
        total += (read or 0) * r.cache_read + (write or 0) * r.cache_write + (write_1h or 0) * r.cache_write_1h
    if thought or tool_prompt:
        total += (thought or 0) * r.reasoning + (tool_prompt or 0) * r.input
    if audio_in or audio_out:
        total += (audio_in or 0) * r.input_audio + (audio_out or 0) * r.output_audio
    if image_in or image_out:
        total += (image_in or 0) * r.input_image + (image_out or 0) * r.output_image
    return _rounded(total) + price.request


def bound(
    price: Price,
    prompt_tokens_at_most: int,
    output_tokens_at_most: int,
    *,
    cached_writes: bool,
    audio: bool,
    images: bool,
) -> int:
    """Nano-units that no request costs more than, if it has no more tokens than these, in whatever buckets.

    Without `cached_writes`, `audio`, `images` those buckets are known to stay empty. Thought and cache reads never are.
    """
    dearest = 0
    rates = [price.rates]
    if price.tiers:
        rates += [tier.rates for tier in price.tiers if prompt_tokens_at_most > tier.above]
    for r in rates:
        into, out = max(r.input, r.cache_read), max(r.output, r.reasoning)
        if cached_writes:
            into = max(into, r.cache_write, r.cache_write_1h)
        if audio:
            into, out = max(into, r.input_audio), max(out, r.output_audio)
        if images:
            into, out = max(into, r.input_image), max(out, r.output_image)
        dearest = max(dearest, prompt_tokens_at_most * into + output_tokens_at_most * out)
    return _rounded(dearest) + price.request


def _rounded(total: int) -> int:
    """From a sum of tokens times prices to nano-units, half up."""
    return (total + MILLION // 2) // MILLION


def nano(amount: Decimal) -> int:
    """An amount in the currency as nano-units."""
    return int((amount * NANO).to_integral_value(ROUND_HALF_UP))


def price_from_config(config: PriceConfig) -> Price:
    """The price that an operator wrote. Its version says which one it was, should he change it."""
    tiers = [(tier.above, _said(tier)) for tier in config.tiers]
    version = f"config {hashlib.sha256(repr(config).encode()).hexdigest()[:8]}"
    return price_of(_said(config), tiers, request=nano(config.request or Decimal(0)), version=version)


def _said(config: PriceConfig | PriceTierConfig) -> dict[str, int]:
    amounts = ((bucket, getattr(config, bucket, None)) for bucket in Rates._fields)
    return {bucket: nano(amount) for bucket, amount in amounts if amount is not None}


class PriceList(Protocol):
    """Prices by vendor, as they come from a file."""

    def price(self, provider_type: str, model: str) -> Price | None:
        """What the vendor itself calls `model` costs at this vendor; no other name will do."""


DATED: Final = frozenset({"openai", "azure", "anthropic", "gemini", "openrouter"})
"""Types whose models carry the date of a snapshot, which costs what the model does unless it is listed by itself.
Elsewhere a date may be a version with a price of its own (DashScope's, Cohere's)."""

DATE: Final = re.compile(r"(?:-latest|[-@](?:19|20)\d\d-?[01]\d-?[0-3]\d)$")
"""-2025-04-14, -20250929, @20250929, -latest; nothing shorter: gpt-3.5-turbo-0613 has prices of its own."""


def names_of(provider_type: str, model: str) -> tuple[str, ...]:
    """Names under which a model's price may stand, the closest first."""
    name = model.removeprefix("models/") if provider_type == "gemini" else model
    names = [model, name]
    if provider_type == "openai" and name.startswith("ft:"):  # ft:gpt-4o-2024-08-06:organisation::id
        name = ":".join(name.split(":")[:2])
        names.append(name)
    if provider_type in DATED:
        names.append(DATE.sub("", name))
    return tuple(dict.fromkeys(names))


class PriceBook:
    """Where prices are found: the operator's first, then each list in turn.

    `overrides` are by "PROVIDER/MODEL" or "MODEL". Lists are asked by the provider's type, or by what `vendors` has for
    the provider: "" is nobody, for one whose type says how it speaks, but whose address is not the vendor's.
    """

    __slots__ = ("_found", "_lists", "_overrides", "_vendors")

    def __init__(
        self,
        overrides: Mapping[str, Price],
        lists: Iterable[PriceList] = (),
        vendors: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._overrides = overrides
        self._lists = tuple(lists)
        self._vendors = vendors
        self._found: dict[tuple[str, str, str], Price | None] = {}

    def find(self, provider: str, provider_type: str, model: str) -> Price | None:
        """What `model`, by the provider's own name for it, costs there; None where nobody says."""
        asked = (provider, provider_type, model)
        try:
            return self._found[asked]
        except KeyError:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            found = self._found[asked] = self._search(*asked)
            return found

    def _search(self, provider: str, provider_type: str, model: str) -> Price | None:
        vendor = self._vendors.get(provider, provider_type)
        names = names_of(vendor, model)
        for name in names:
            found = self._overrides.get(f"{provider}/{name}") or self._overrides.get(name)
            if found is not None:
                return found
        answers = (each.price(vendor, name) for each in self._lists for name in names)
        return next((price for price in answers if price is not None), None)
