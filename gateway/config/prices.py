"""Writing an operator's price into the text of a configuration."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from gateway.config.accounts import PriceConfig
from gateway.config.accountside import check_price
from gateway.config.edit import cut, put
from gateway.config.load import parse_toml
from gateway.config.problems import Problems
from gateway.config.setting import settings_of
from gateway.config.tomltext import key_path, scalar
from gateway.errors import ConfigError, Problem

AMOUNTS = tuple(name for name in settings_of(PriceConfig) if name != "tiers")
"""Settings of [prices.MODEL] that are an amount."""

PRICES = frozenset({"input", "output", "request"})
"""Of which a price has one at least."""


def set_price(text: str, model: str, amounts: Mapping[str, Decimal | None], path: Path) -> str:
    """`text` with these amounts in [prices.MODEL], and without those that are None; everything else byte for byte as it
    was. `path` is for messages.

    Raises ConfigError for amounts that nobody can mean, and for a text that cannot be parsed or edited.
    """
    key = key_path("prices", model)
    expected = parse_toml(text, path)
    prices = expected.setdefault("prices", {})
    there = prices.setdefault(model, {}) if isinstance(prices, dict) else None
    if not isinstance(there, dict):
        raise ConfigError([Problem(str(path), key, "is no table", f"write [{key}]")])
    said = {name: amount for name, amount in amounts.items() if amount is not None}
    gone = amounts.keys() - said.keys()
    for name in gone:
        there.pop(name, None)
    problems = Problems(str(path))
    known = PriceConfig(request=Decimal(0) if PRICES & there.keys() else None)  # which have been checked
    check_price(dataclasses.replace(known, **said), key, problems)  # type: ignore[arg-type]
    problems.raise_if_any()
    numbers = {name: scalar(amount) for name, amount in said.items()}
    there.update({name: tomllib.loads(f"amount = {number}")["amount"] for name, number in numbers.items()})
    result = put(text, ("prices", model), numbers)
    for name in gone:
        result = cut(result, ("prices", model, name))
    return _checked(result, expected, key, path)


def remove_price(text: str, model: str, path: Path) -> str:
    """`text` without [prices.MODEL]. Raises ConfigError if there is none, and for a text that cannot be edited."""
    key = key_path("prices", model)
    expected = parse_toml(text, path)
    prices = expected.get("prices")
    if not isinstance(prices, dict) or model not in prices:
        raise ConfigError([Problem(str(path), key, "is not there", "only prices of your own can be taken away")])
    del prices[model]
    return _checked(cut(text, ("prices", model)), expected, key, path)


def own_price(text: str, model: str, path: Path) -> dict[str, object]:
    """What stands in [prices.MODEL]; empty: nothing."""
    return dict(parse_toml(text, path).get("prices", {}).get(model, {}))


def _checked(result: str, expected: dict[str, object], key: str, path: Path) -> str:
    """What was cut and put, if it says what was meant: nothing that is written inline can be changed so."""
    try:
        done = {"prices": {}, **parse_toml(result, path)} == {"prices": {}, **expected}
    except ConfigError:
        done = False
    if not done:
        hint = f"it is written inline: write it as a table [{key}] by hand"
        raise ConfigError([Problem(str(path), key, "cannot be changed", hint)])
    return result
