"""Writing an operator's price into the text of a configuration."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from gateway.config.accounts import PriceConfig
from gateway.config.accountside import check_price
from gateway.config.edit import put
from gateway.config.load import parse_toml
from gateway.config.problems import Problems
from gateway.config.setting import settings_of
from gateway.config.tomltext import key_path, scalar
from gateway.errors import ConfigError, Problem

AMOUNTS = tuple(name for name in settings_of(PriceConfig) if name != "tiers")
"""Settings of [prices.MODEL] that are an amount."""


def set_price(text: str, model: str, amounts: Mapping[str, Decimal], path: Path) -> str:
    """`text` with these amounts in [prices.MODEL], everything else byte for byte as it was. `path` is for messages.

    Raises ConfigError for amounts that nobody can mean, and for a text that cannot be parsed or edited.
    """
    key = key_path("prices", model)
    expected = parse_toml(text, path)
    prices = expected.setdefault("prices", {})
    there = prices.setdefault(model, {}) if isinstance(prices, dict) else None
    if not isinstance(there, dict):
        raise ConfigError([Problem(str(path), key, "is no table", f"write [{key}]")])
    problems = Problems(str(path))
    known = PriceConfig(request=Decimal(0) if there else None)  # a table that is there may have its prices
    check_price(dataclasses.replace(known, **amounts), key, problems)  # type: ignore[arg-type]
    problems.raise_if_any()
    numbers = {name: scalar(amount) for name, amount in amounts.items()}
    there.update({name: tomllib.loads(f"amount = {number}")["amount"] for name, number in numbers.items()})
    result = put(text, ("prices", model), numbers)
    try:
        done = parse_toml(result, path) == expected
    except ConfigError:
        done = False
    if not done:
        hint = f"it is written inline: write it as a table [{key}] by hand"
        raise ConfigError([Problem(str(path), key, "cannot be changed", hint)])
    return result
