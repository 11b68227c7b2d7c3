"""`llmgateway routes`: where requests for each route would go now."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from gateway.cli.admin import add_socket_argument, call
from gateway.cli.table import in_words, print_json, print_table

HEAD = ("ROUTE", "STRATEGY", "PROVIDER", "MODEL", "WEIGHT", "STATE", "UNTIL", "USABLE", "IN FLIGHT", "LATENCY")


def add_parser(commands: Any) -> None:
    routes = commands.add_parser("routes", help="list routes and their targets", description="Routes as they are now.")
    actions = routes.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every route's targets: which can take requests, and how busy they are")
    listing.add_argument("--json", action="store_true", help="for scripts")
    add_socket_argument(listing)
    listing.set_defaults(run=run_list)


def run_list(args: argparse.Namespace) -> int:
    routes = call(args, "GET", "/admin/routes")["routes"]
    if args.json:
        print_json(routes)
    else:
        print_table(HEAD, (cells for route in routes for cells in _rows(route)))
    return 0


def _rows(route: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    for target in route["targets"]:
        yield (
            route["route"],
            route["strategy"],
            target["provider"],
            target["model"],
            f"{target['weight']:g}",
            target["state"],
            in_words(target["until"]),
            target["usable"],
            target["in_flight"],
            "" if target["latency"] is None else f"{target['latency']:.3f} s",
        )
