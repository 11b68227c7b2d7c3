"""`llmgateway prices`: show what models cost, and set prices of one's own. `prices import` is in `price_import.py`.

All of it is done in this process, on the files that the gateway reads; one that runs is then asked to reload.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from gateway.cli import price_import
from gateway.cli.admin import add_socket_argument
from gateway.cli.table import count, print_json, print_table, row_limit
from gateway.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    from gateway.config.model import Config
    from gateway.policy.pricing import Price

AMOUNTS = (
    ("input", "for a million tokens of input"),
    ("output", "for a million tokens of the answer"),
    ("cache-read", "for a million tokens read from the provider's cache"),
    ("cache-write", "for a million tokens written to it"),
    ("cache-write-1h", "for a million tokens written to it for an hour"),
    ("reasoning", "for a million tokens of thought"),
    ("input-audio", "for a million tokens of sound"),
    ("output-audio", "for a million tokens of sound"),
    ("input-image", "for a million tokens of pictures"),
    ("output-image", "for a million tokens of pictures"),
    ("request", "for each request, added to the price of its tokens; not per million"),
)


def add_parser(commands: Any) -> None:
    prices = commands.add_parser("prices", help="what models cost", description="Prices, for a million tokens.")
    actions = prices.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="what the configured providers' models cost, and who says so")
    show.add_argument(
        "model", nargs="?", default="*", metavar="MODEL", help="a model, or a pattern with *; default: all"
    )
    show.add_argument("--provider", default="", metavar="NAME", help="a configured provider, or a vendor's type")
    show.add_argument("--limit", type=row_limit, default=200, help="rows at most (200)")
    show.add_argument("--json", action="store_true", help="for scripts")
    show.set_defaults(run=run_show)
    setting = actions.add_parser("set", help="write a price into the configuration; it goes before all others")
    setting.add_argument("model", metavar="MODEL", help="by the provider's name for it; PROVIDER/MODEL for just one")
    for name, text in AMOUNTS:
        setting.add_argument(f"--{name}", type=_amount, default=argparse.SUPPRESS, metavar="AMOUNT", help=text)
    setting.add_argument("--remove", action="store_true", help="take your own price of the model away again")
    setting.set_defaults(run=run_set)
    for action in (show, setting):
        action.add_argument("--config", metavar="FILE", help="configuration file")
    add_socket_argument(setting)
    price_import.add_parser(actions)


def _amount(text: str) -> Decimal | None:
    """None for `none`: there is to be no such price."""
    if text == "none":
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount such as 2.50, or none")
    return amount


def run_show(args: argparse.Namespace) -> int:
    from gateway.policy.pricelist import write_entry

    config = price_import.load(args)
    _tell_alias(config, args.model)
    rows = list(_rows(config, args.provider, args.model))
    rows.sort(key=lambda row: not row[2].version.startswith("config "))  # one's own first
    shown = rows[: args.limit]
    if args.json:
        print_json(
            [
                {"provider": provider, "model": model, "from": price.version, **write_entry(price)}
                for provider, model, price in shown
            ]
        )
    elif rows:
        print_table(
            ("PROVIDER", "MODEL", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "OTHERWISE", "FROM"),
            (_cells(*row) for row in shown),
        )
    if not rows:
        raise GatewayError(
            "there is no price" + ("" if args.model == "*" else f" of {args.model!r}"),
            hint=_whose(config, args.provider, args.model)
            or "'llmgateway prices set MODEL --input 2.50 --output 10' gives it one",
        )
    if len(rows) > len(shown):
        print(f"… and {len(rows) - len(shown)} more (--limit)", file=sys.stderr)
    return 0


def _whose(config: Config, provider: str, model: str) -> str:
    """A hint for a model that a vendor's list has, at a provider of that type which has nobody's list; empty: none."""
    from gateway.daemon.pricefiles import load_lists
    from gateway.policy.pricing import names_of
    from gateway.providers import price_vendor

    lists = load_lists(config.state_dir)
    for name, each in config.providers.items():
        names = names_of(each.type, model)
        if (
            provider in ("", name)
            and not price_vendor(each)
            and any(listed.price(each.type, one) for listed in lists for one in names)
        ):
            return f'if {name} charges what its vendor does, write prices = "{each.type}" into [providers.{name}]'
    return ""


def _tell_alias(config: Config, model: str) -> None:
    """Prices are by the provider's own name, never by a name that the operator gave it."""
    for name, each in config.providers.items():
        for alias, _, meant in (one.partition("=") for one in each.models):
            if meant and meant != alias and model in (alias, f"{name}/{alias}"):
                print(
                    f"note: {alias} is an alias of {meant} at {name}; what counts is {meant}'s price", file=sys.stderr
                )


def _rows(config: Config, provider: str, pattern: str) -> Iterator[tuple[str, str, Price]]:
    """Provider, model and price of what fits: of the configured provider of that name, of a type, or of all."""
    from gateway.daemon.pricefiles import load_lists, price_book
    from gateway.providers import PROVIDER_TYPES, price_vendor

    lists = load_lists(config.state_dir)
    types = {provider} if provider and provider not in config.providers else set()
    if types and not any(provider in each.prices for each in lists):
        known = PROVIDER_TYPES.keys() | {name for each in lists for name in each.prices}
        reason = "has no listed prices" if provider in known else "is no provider, and no vendor with listed prices"
        raise GatewayError(f"{provider!r} {reason}")
    book = price_book(config, lists)
    asked = [(name, each.type, price_vendor(each)) for name, each in config.providers.items() if provider in ("", name)]
    for name, provider_type, vendor in asked if not types else [(provider, provider, provider)]:
        models = {model for each in lists for model in each.prices.get(vendor, ())}
        others = config.providers.keys() - {name}
        models |= {key.removeprefix(f"{name}/") for key in config.prices if key.partition("/")[0] not in others}
        if "*" not in pattern:
            models = {pattern}
        for model in sorted(model for model in models if fnmatchcase(model, pattern)):
            price = book.find(name, provider_type, model)
            if price is not None:
                yield name, model, price


def _cells(provider: str, model: str, price: Price) -> tuple[object, ...]:
    from gateway.policy.pricelist import write_entry

    entry = write_entry(price)
    others = [f"{name} {entry[name]}" for name in entry if name not in SHOWN]
    for tier in entry.get("tiers", ()):
        others.append(
            f"above {tier['above']} tokens {tier.get('input', entry['input'])}/{tier.get('output', entry['output'])}"
        )
    amounts = (entry.get(name, "") for name in ("input", "output", "cache_read", "cache_write"))
    return provider, model, *amounts, ", ".join(others), price.version


SHOWN = frozenset({"input", "output", "cache_read", "cache_write", "tiers", "max_input", "max_output"})
"""What has a column, or is no price."""


def run_set(args: argparse.Namespace) -> int:
    from gateway.cli.config import ask_for_reload
    from gateway.config.files import write_atomically
    from gateway.config.load import find_config, read_config
    from gateway.config.prices import own_price, remove_price, set_price

    said = vars(args)
    amounts = {name: said[name] for name in (name.replace("-", "_") for name, _ in AMOUNTS) if name in said}
    if bool(amounts) == args.remove:
        problem = "--remove takes no amounts" if args.remove else "no price was given"
        raise GatewayError(problem, hint="write --input 2.50 --output 10, say, or 0 for what is free")
    if "*" in args.model and not args.remove:
        raise GatewayError("a price is of one model; there are no patterns", hint="set it for each of them")
    path = find_config(args.config, os.environ)
    text = read_config(path)
    text = remove_price(text, args.model, path) if args.remove else set_price(text, args.model, amounts, path)
    price = own_price(text, args.model, path)
    if "input" in price and "output" not in price:
        raise GatewayError(f"{args.model} would have no price of the answer", hint="add --output, 0 if it is free")
    write_atomically(path, text)
    print(f"{path}: {args.model} {_in_words(price)}")
    try:
        _tell_alias(price_import.load(args), args.model)
    except ConfigError:
        pass  # which the reload says
    ask_for_reload(args, path)
    return 0


def _in_words(price: dict[str, Any]) -> str:
    """All of an operator's price as it stands in the file."""
    if not price:
        return "has no price of your own any more; what a list says counts"
    said = {
        name: value if isinstance(value, str) else format(Decimal(str(value)), "f")
        for name, value in price.items()
        if name != "tiers"
    }
    each = [f"{said.pop('request')} for each request"] if "request" in said else []
    tokens = [f"{', '.join(f'{name} {amount}' for name, amount in said.items())} for a million tokens"] if said else []
    tiers = f", with {count(len(price['tiers']), 'tier')}" if "tiers" in price else ""
    return f"costs {' and '.join(tokens + each)}{tiers}"
