"""`llmgateway prices import`: other people's price lists into `prices.json` in the state folder.

What was taken, what has changed and what was refused is said; a price that is nothing like the one before is not taken
without --force. The bundled list is made by the same command, with --output.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.admin import add_socket_argument
from gateway.cli.table import count, print_json
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.config.model import Config
    from gateway.policy.priceimport import Reading
    from gateway.policy.pricelist import Prices
    from gateway.policy.pricing import Price

IMPORT_LIMIT = 64 * 1024 * 1024
"""Bytes that are read: LiteLLM's list has 3 MB."""

NAMES_SHOWN = 5
"""Of models that were refused for the same reason."""

CHANGES_SHOWN = 20


def add_parser(actions: Any) -> None:
    importing = actions.add_parser(
        "import",
        help="take over a price list",
        description="LiteLLM's model_prices_and_context_window.json, genai-prices' data.json, or a list of this "
        "gateway's. It goes before the bundled list, and replaces what was imported before; [prices] in the "
        "configuration goes before it.",
    )
    importing.add_argument("files", nargs="+", metavar="FILE", help="of several, the first that has a model counts")
    importing.add_argument("--source", default="", metavar="TEXT", help="where it is from; default: the files' names")
    importing.add_argument("--date", type=_date, metavar="YYYY-MM-DD", help="of the list; default: today")
    importing.add_argument("--force", action="store_true", help="believe prices that are nothing like those before")
    importing.add_argument("--dry-run", action="store_true", help="say what would be taken, and take nothing")
    importing.add_argument("--output", metavar="FILE", help="write the list there, and leave the gateway's alone")
    importing.add_argument("--json", action="store_true", help="for scripts")
    importing.set_defaults(run=run_import)
    importing.add_argument("--config", metavar="FILE", help="configuration file")
    add_socket_argument(importing)


def _date(text: str) -> str:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).strftime("%Y-%m-%d")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2026-11-21") from None


def load(args: argparse.Namespace) -> Config:
    from gateway.config.load import find_config, load_config
    from gateway.providers import PROVIDER_FACTS

    return load_config(find_config(args.config, os.environ), os.environ, provider_types=PROVIDER_FACTS)


Change = tuple[str, "Price", "Price"]
"""VENDOR/MODEL, price before, price now."""


def run_import(args: argparse.Namespace) -> int:
    from gateway.policy.priceimport import in_other_units, merged
    from gateway.policy.pricelist import changed

    config = None if args.output else load(args)
    path = Path(args.output) if config is None else config.state_dir / "prices.json"
    date = args.date or datetime.now(UTC).strftime("%Y-%m-%d")
    readings = [_read(file, date) for file in args.files]
    if len({reading.currency for reading in readings}) > 1:
        raise GatewayError("the lists are in different currencies", hint="import one of them")
    before = _before(config)
    taken = merged(readings)
    doubtful = [] if args.force else in_other_units(before, taken)
    for name in doubtful:
        vendor, _, model = name.partition("/")
        taken[vendor][model] = before[vendor][model]
    changes = [(f"{vendor}/{model}", old, new) for vendor, model, old, new in changed(before, taken)]
    if not args.dry_run:
        _write(args, path, taken, date, readings[0].currency)
    if args.json:
        print_json(_as_json(taken, readings, changes, doubtful))
    else:
        _say(args, path, taken, readings, changes, doubtful)
    if config is not None and not args.dry_run:
        from gateway.cli.config import ask_for_reload

        ask_for_reload(args, config.path, "the daemon has taken them over")
    return 0


def _write(args: argparse.Namespace, path: Path, taken: Prices, date: str, currency: str) -> None:
    from gateway.config.files import write_atomically
    from gateway.policy.priceimport import without_dates
    from gateway.policy.pricelist import to_text, write_list

    source = args.source or ", ".join(Path(file).name for file in args.files)
    if not args.output:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Prices are no secret, and the gateway may run as somebody else.
    write_atomically(path, to_text(write_list(without_dates(taken), source, date, currency)), mode=0o644)


def _read(file: str, date: str) -> Reading:
    """Raises GatewayError, with the file's name."""
    from gateway import jsonlib
    from gateway.policy.priceimport import read_any

    with Path(file).open("rb") as stream:
        data = stream.read(IMPORT_LIMIT + 1)
    if len(data) > IMPORT_LIMIT:
        raise GatewayError(f"{file} is larger than {IMPORT_LIMIT // 1024 // 1024} MiB")
    try:
        return read_any(jsonlib.loads(data), date)
    except ValueError:
        raise GatewayError(f"{file} is no JSON") from None
    except GatewayError as error:
        raise GatewayError(f"{file}: {error.message}", detail=error.detail, hint=error.hint) from None


def _before(config: Config | None) -> Prices:
    """The listed prices that count until now. A damaged import is what this command is to mend."""
    from gateway.daemon.pricefiles import PricesDamaged, load_bundled, load_imported

    if config is None:
        return {}
    before = {provider_type: dict(models) for provider_type, models in load_bundled().prices.items()}
    try:
        imported = load_imported(config.state_dir)
    except PricesDamaged as error:
        print(f"note: {error}", file=sys.stderr)
        return before
    for provider_type, models in imported.prices.items() if imported is not None else ():
        before.setdefault(provider_type, {}).update(models)
    return before


def _say(
    args: argparse.Namespace,
    path: Path,
    taken: Prices,
    readings: Sequence[Reading],
    changes: Sequence[Change],
    doubtful: Sequence[str],
) -> None:
    for file, reading in zip(args.files, readings, strict=True):
        total, vendors = reading.count(), len(reading.prices)
        print(f"{file}: {count(total, 'price')} of {count(vendors, 'vendor')}, in {reading.form}")
        for reason, names in reading.refused.items():
            print(f"  refused: {len(names)} {reason}: {_some(names)}", file=sys.stderr)
        if reading.others:
            print(f"  left out: {reading.others} of vendors that are no type of provider", file=sys.stderr)
    if doubtful:
        print(
            f"refused: {len(doubtful)} nothing like before (--force believes them): {_some(doubtful)}", file=sys.stderr
        )
    if changes:
        print(f"{count(len(changes), 'price')} changed:")
    for name, old, new in changes[:CHANGES_SHOWN]:
        print(f"  {name}: {_short(old)} -> {_short(new)}")
    if len(changes) > CHANGES_SHOWN:
        print(f"  … and {len(changes) - CHANGES_SHOWN} more (--json has all)")
    verb = "would be written" if args.dry_run else "written"
    print(f"{count(sum(map(len, taken.values())), 'price')} {verb} to {path}")


def _short(price: Price) -> str:
    from gateway.policy.pricelist import write_entry

    entry = write_entry(price)
    entry.pop("max_input", None), entry.pop("max_output", None)
    return " ".join(f"{name} {value}" for name, value in entry.items())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")


def _as_json(
    taken: Prices, readings: Sequence[Reading], changes: Sequence[Change], doubtful: Sequence[str]
) -> dict[str, Any]:
    from gateway.policy.pricelist import write_entry

    refused: dict[str, list[str]] = {}
    for reading in readings:
        for reason, names in reading.refused.items():
            refused.setdefault(reason, []).extend(names)
    return {
        "taken": sum(map(len, taken.values())),
        "changed": [{"model": name, "before": write_entry(old), "now": write_entry(new)} for name, old, new in changes],
        "refused": refused,
        "doubtful": list(doubtful),
        "others": sum(reading.others for reading in readings),
    }
