"""`/admin/prices`: what the running gateway charges for a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from gateway.api.inbound import Inbound
from gateway.errors import RequestError
from gateway.policy.pricelist import write_entry
from gateway.policy.pricing import PriceBook
from gateway.upstream.provider import Provider


def find_prices(providers: Iterable[Provider], prices: PriceBook | None, inbound: Inbound) -> dict[str, Any]:
    """GET ?model&provider: the model's price at that provider, or at each that has one, and who says so. Amounts are in
    the currency, for a million tokens. With billing off nothing has a price."""
    query = parse_qs(inbound.request.query)
    model, wanted = query.get("model", [""])[0], query.get("provider", [""])[0]
    if not model:
        raise RequestError(400, "invalid_request_error", "'model' must name a model.", param="model")
    rows = []
    for provider in providers:
        if prices is not None and wanted in ("", provider.name):
            price = prices.find(provider.name, provider.config.type, model)
            if price is not None:
                rows.append({"provider": provider.name, "model": model, "from": price.version, **write_entry(price)})
    return {"billing": prices is not None, "prices": rows}
