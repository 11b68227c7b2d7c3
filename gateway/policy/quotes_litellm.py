"""LiteLLM's price list: an object by model, with prices of one token.

Source: https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json, whose `sample_spec` explains
the fields. `_above_200k_tokens` and `tiered_pricing` are tiers for the whole request. Prices of batches and of service
tiers are not read: they are no other models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.policy.pricing import names_of
from gateway.policy.quotes import RETIRED, STEPS, VENDORS, Quoted, Refused, amount, tokens

LITELLM: Final = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token",
    "input_audio": "input_cost_per_audio_token",
    "output_audio": "output_cost_per_audio_token",
    "input_image": "input_cost_per_image_token",
    "output_image": "output_cost_per_image_token",
}
ABOVE: Final = re.compile(r"_above_(\d+)k_tokens$")
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": ("output_cost_per_token",),
    "responses": ("output_cost_per_token",),
    "completion": ("output_cost_per_token",),
    "image_generation": ("output_cost_per_image_token", "output_cost_per_token"),
    "image_edit": ("output_cost_per_image_token", "output_cost_per_token"),
    "audio_speech": ("output_cost_per_audio_token", "output_cost_per_token"),
    "audio_transcription": ("output_cost_per_token",),
    "embedding": (),
    "moderation": (),
}
"""Modes that the gateway serves, and prices of a token of which one must be there."""


def read_litellm(document: Mapping[str, Any], date: str) -> Iterator[tuple[str, str, Quoted | str]]:
    """Provider type, model, and what it costs or why that is not known. `date` as in 2026-11-21."""
    by_vendor: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for key, entry in document.items():
        if isinstance(entry, dict) and isinstance(entry.get("litellm_provider"), str):
            by_vendor.setdefault(entry["litellm_provider"], []).append((key, entry))
    for vendor in VENDORS:
        for name in vendor.litellm:
            for key, entry in by_vendor.get(name, ()):
                model = key.removeprefix(f"{name}/")
                if not re.fullmatch(vendor.names, model):
                    continue
                try:
                    if _is_retired(vendor.type, model, entry, date):
                        raise Refused(RETIRED)
                    quoted = _quoted_litellm(entry)
                    if vendor.type == "perplexity" and model.startswith("sonar"):
                        quoted = quoted._replace(request=_search(entry))
                    yield vendor.type, model, quoted
                except Refused as reason:
                    yield vendor.type, model, str(reason)


def _is_retired(provider_type: str, model: str, entry: Mapping[str, Any], date: str) -> bool:
    """A snapshot with a date stays in the list: without a price of its own it would have that of its successor."""
    return str(entry.get("deprecation_date") or date) < date and len(names_of(provider_type, model)) == 1


def _search(entry: Mapping[str, Any]) -> Decimal:
    """Perplexity's own models search the web at each request, and that is charged by how much they look at."""
    fees = entry.get("search_context_cost_per_query")
    return max(map(amount, fees.values()), default=Decimal(0)) if isinstance(fees, dict) else Decimal(0)


def _quoted_litellm(entry: Mapping[str, Any]) -> Quoted:
    mode = entry.get("mode")
    needs = NEEDS.get(mode) if isinstance(mode, str) else None
    if needs is None:
        raise Refused("not for a kind of request that is charged by tokens")
    if entry.get("output_cost_per_image") and not entry.get("output_cost_per_image_token"):
        raise Refused("not priced by tokens")
    steps = _steps(entry.get("tiered_pricing"))
    base = {**entry, **steps.pop(0, {})}
    if needs and not any(base.get(name) for name in needs) and not _is_free(base):
        raise Refused("not priced by tokens")
    tiers = {above: _per_token(step) for above, step in steps.items()}
    for bucket, name in LITELLM.items():
        for key, value in entry.items():
            found = ABOVE.fullmatch(key, len(name)) if key.startswith(name) and value is not None else None
            if found:
                tiers.setdefault(int(found[1]) * 1000, {})[bucket] = amount(value, 10**6)
    request = amount(entry.get("input_cost_per_request") or 0)
    window, answer = tokens(entry.get("max_input_tokens")), tokens(entry.get("max_output_tokens"))
    if answer == window:
        answer = None  # filled in because nobody knew
    if not needs:
        window = answer = None  # of an embedding they are for each of a request's inputs
    return Quoted(_per_token(base), tiers, request, window, answer, "output_cost_per_token" in needs[:1])


def _is_free(entry: Mapping[str, Any]) -> bool:
    return not any(value for key, value in entry.items() if "_cost_" in key or key.endswith("_cost"))


def _per_token(entry: Mapping[str, Any]) -> dict[str, Decimal]:
    return {bucket: amount(entry[name], 10**6) for bucket, name in LITELLM.items() if entry.get(name) is not None}


def _steps(pricing: object) -> dict[int, Mapping[str, Any]]:
    """Of `tiered_pricing`: prices by the tokens of input that they are above."""
    if pricing is None:
        return {}
    try:
        return {int(step["range"][0]): step for step in pricing if "range" in step}  # type: ignore[attr-defined]
    except (TypeError, ValueError, LookupError, OverflowError):
        raise Refused(STEPS) from None
