"""The price book from its files: the operator's prices, what he imported, and the bundled list.

The bundled list is made by `llmgateway prices import --output gateway/policy/prices.json` from LiteLLM's and
genai-prices' data; its `source` and `date` are in it. Nothing here is read unless something has to be priced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from gateway import jsonlib
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.policy.pricelist import ListedPrices
from gateway.policy.pricing import PriceBook, price_from_config
from gateway.providers import price_vendor

IMPORTED = "prices.json"
"""In the state folder."""


class PricesDamaged(GatewayError):
    """Starting again would find the same."""

    exit_code = 3


def load_price_book(config: Config) -> PriceBook:
    """What the configured providers charge. Raises PricesDamaged if what was imported cannot be read: charging other
    prices would surprise more."""
    return price_book(config, load_lists(config.state_dir, {price_vendor(each) for each in config.providers.values()}))


def price_book(config: Config, lists: Iterable[ListedPrices]) -> PriceBook:
    """A list in another currency than the users' balances says nothing about them."""
    return PriceBook(
        {name: price_from_config(price) for name, price in config.prices.items()},
        [each for each in lists if each.currency == config.billing.currency],
        {name: price_vendor(provider) for name, provider in config.providers.items()},
    )


def load_lists(state_dir: Path, vendors: Collection[str] | None = None) -> list[ListedPrices]:
    """Those of these vendors, or of all: what was imported, if anything was, and the bundled list."""
    imported = load_imported(state_dir, vendors)
    return [*([] if imported is None else [imported]), load_bundled(vendors)]


def load_bundled(vendors: Collection[str] | None = None) -> ListedPrices:
    import pkgutil

    data = pkgutil.get_data("gateway.policy", "prices.json")
    assert data is not None, "the package comes with its prices"
    return ListedPrices(jsonlib.loads(data), "book", vendors)


def load_imported(state_dir: Path, vendors: Collection[str] | None = None) -> ListedPrices | None:
    """None, if nothing was. Raises PricesDamaged."""
    path = state_dir / IMPORTED
    try:
        return ListedPrices(jsonlib.loads(path.read_bytes()), "import", vendors)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise PricesDamaged(
            "the imported prices cannot be read",
            detail=f"{path}: {error}",
            hint="import them again with 'llmgateway prices import', or remove the file",
        ) from error
