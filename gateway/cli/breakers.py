"""`llmgateway breakers`: what is shut and why, and the operator's word that it is over."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import urlencode

from gateway.cli.admin import add_socket_argument, call
from gateway.cli.table import cut, duration, in_words, print_json, print_table, printable


def add_parser(commands: Any) -> None:
    breakers = commands.add_parser(
        "breakers", help="list and reset circuit breakers", description="What keeps requests from failing providers."
    )
    actions = breakers.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every provider's circuit, and what else is shut, why and until when")
    listing.set_defaults(run=run_list)
    reset = actions.add_parser("reset", help="close the circuits now, and trust rejected keys again")
    reset.set_defaults(run=run_reset)
    for action in (listing, reset):
        action.add_argument("provider", nargs="?", default="", metavar="PROVIDER", help="default: all")
        action.add_argument("--json", action="store_true", help="for scripts")
        add_socket_argument(action)


def run_list(args: argparse.Namespace) -> int:
    query = f"?{urlencode({'provider': args.provider})}" if args.provider else ""
    rows = call(args, "GET", f"/admin/breakers{query}")["breakers"]
    if args.json:
        print_json(rows)
        return 0
    print_table(
        ("PROVIDER", "OF", "PROXY", "STATE", "NEXT LOOK", "OPENED", "MODE", "LAST ERROR"),
        (
            (
                row["provider"],
                row["of"],
                row["proxy"],
                row["state"],
                next_look(row),
                row["openings"] or "",
                row["mode"],
                cut(row["last_error"]),
            )
            for row in rows
        ),
    )
    return 0


def run_reset(args: argparse.Namespace) -> int:
    answer = call(args, "POST", "/admin/breakers/reset", {"provider": args.provider} if args.provider else {})
    if args.json:
        print_json(answer)
    elif answer["reset"]:
        print("reset: " + ", ".join(map(printable, answer["reset"])))
    else:
        print("nothing was shut")
    return 0


def next_look(row: dict[str, Any]) -> str:
    """When a request may look whether it is over."""
    if row["state"] == "open":
        return "when it is reset" if row["until"] is None else in_words(row["until"])
    return f"now, {row['trials']} under way" if row["state"] == "half_open" else ""


def describe_shut(row: dict[str, Any], now: float) -> str:
    """A circuit that is not closed, in a line of the status."""
    whose = "circuit" if row["proxy"] is None else f"circuit through {printable(row['proxy'])}"
    state = row["state"].replace("_", "-")
    lasts = duration(max(now - row["since"], 0))
    reset = f"llmgateway breakers reset {printable(row['provider'])}"
    if row["until"] is None and row["state"] == "open":
        what = f"Nothing is sent until '{reset}'."
    else:
        what = f"A few requests look whether it is over ({next_look(row)}); '{reset}' closes it now."
    return f"{whose} {state} for {lasts}: {what} Last error: {printable(row['last_error'])}"
