"""`llmgateway config check`: what is in the key files and proxy files, and what is wrong with them.

The daemon says the same in `llmgateway status`; this needs none. No line shows what a file holds. Beside that, whether
what it names has a price, and routes ask providers for what they list.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.table import count
from gateway.keeper.keyfiles import KeySource, SourceReading
from gateway.keeper.proxyfiles import check_proxy

if TYPE_CHECKING:
    from gateway.config.model import Config
    from gateway.config.provider import ProviderConfig
    from gateway.policy.pricelist import ListedPrices
    from gateway.policy.pricing import PriceBook

UNPRICED_SHOWN = 50
"""Models without a price that are named: of a long list of models often none has one."""


def check_files(config: Config) -> None:
    """A line for the files of each provider that is enabled, and a warning for each thing that is wrong with them. A
    proxy file that several share is looked at once."""
    looked_at = set()
    for provider in config.providers.values():
        name, file = f"providers.{provider.name}", provider.proxy.file
        if provider.enabled and provider.keys:
            _report(name, "key", KeySource(tuple(map(Path, provider.keys))).read())
        if provider.enabled and provider.proxy.listed and file not in looked_at:
            looked_at.add(file)
            _report(name, "proxy", read_proxies(file))


def warn_of_unpriced(config: Config) -> None:
    """With billing, a line for each model that the configuration names and that has no price, and for each provider
    that lists none and at which nothing has one: all of it gets 402. And one for each price that no model can have."""
    from gateway.config.tomltext import key_path, quoted
    from gateway.daemon.pricefiles import load_lists, price_book
    from gateway.daemon.unpriced import find_unpriced

    for key in config.prices:
        if "*" in key:
            print(
                f"warning: {key_path('prices', key)}: a price is of one model; there are no patterns", file=sys.stderr
            )
    if not config.billing.enabled or config.billing.unpriced != "reject":
        return
    lists = load_lists(config.state_dir)
    book = price_book(config, lists)
    unpriced = find_unpriced(config, book)
    for key, model in unpriced[:UNPRICED_SHOWN]:
        print(f"warning: {key}: {quoted(model)} has no price: it is refused (402)", file=sys.stderr)
    if len(unpriced) > UNPRICED_SHOWN:
        print(f"… and {count(len(unpriced) - UNPRICED_SHOWN, 'more model')} without a price", file=sys.stderr)
    for name, each in config.providers.items():
        if each.enabled and not each.models and not _any_price(config, each, book, lists):
            print(f"warning: providers.{name}: no model has a price: every request is refused (402)", file=sys.stderr)


def _any_price(config: Config, provider: ProviderConfig, book: PriceBook, lists: Sequence[ListedPrices]) -> bool:
    """Whether anything has one at a provider whose models are its own affair."""
    from gateway.providers import price_vendor

    others = config.providers.keys() - {provider.name}
    models = {key.removeprefix(f"{provider.name}/") for key in config.prices if key.partition("/")[0] not in others}
    models |= {model for listed in lists for model in listed.prices.get(price_vendor(provider), ())}
    return any("*" not in model and book.find(provider.name, provider.type, model) for model in models)


def warn_of_unlisted(config: Config) -> None:
    """A line for each target of a route whose model its provider does not list. It is asked for all the same: such a
    list says where requests go that name no route."""
    from gateway.config.problems import did_you_mean
    from gateway.config.tomltext import key_path, quoted

    for name, route in config.routes.items():
        for index, target in enumerate(route.targets):
            provider, model = config.providers[target.provider], target.model or name
            if not provider.enabled or not provider.models or model in _names(provider.models):
                continue
            key = f"{key_path('routes', name)}.targets[{index}]"
            shown = config.shown(f"{key}.model", model)
            listed = _names(config.all_shown(f"{key_path('providers', provider.name)}.models", provider.models))
            hint = did_you_mean(model, listed) if shown == model else ""
            named = config.shown(f"{key}.provider", provider.name)
            said = f"the provider {named} does not list the model {quoted(shown)}"
            print(f"warning: {key}: {said}{hint and f'; {hint}'}", file=sys.stderr)


def _names(models: Iterable[str]) -> list[str]:
    """What a list of models calls them, and what their provider does."""
    return [name for entry in models for name in entry.split("=", 1)]


def read_proxies(file: str) -> SourceReading:
    """The proxies of a file or folder, by the rules of the daemon."""
    return KeySource((Path(file),), noun="proxies", check=check_proxy).read()


def _report(name: str, noun: str, reading: SourceReading) -> None:
    found = len(reading.entries)
    # In one file, or in two of them.
    duplicates = sum(file.duplicates + file.keys for file in reading.files) - found
    twice = f", {count(duplicates, 'duplicate')}" if duplicates else ""
    print(f"{name}: {count(found, noun)} in {count(len(reading.files), 'file')}{twice}")
    for problem in reading.problems:
        print(f"warning: {name}: {problem}", file=sys.stderr)
