"""`llmgateway proxies`: what there is, a look at it now, and the operator's word on it."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from urllib.parse import urlencode

from gateway.cli.admin import add_socket_argument, call
from gateway.cli.checks import follow_check
from gateway.cli.table import cut, in_words, names, print_json, print_table, row_limit
from gateway.errors import GatewayError

PATTERN = "URL, whole or as it is listed, host:port, digest, or a pattern with *"


def add_parser(commands: Any) -> None:
    proxies = commands.add_parser("proxies", help="list, check and clear proxies", description="The proxies in use.")
    actions = proxies.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="proxies with status, reason and end of rest")
    listing.add_argument("pattern", nargs="?", default="*", help=f"{PATTERN}; default: all")
    listing.add_argument("--status", default="", metavar="STATUS[,STATUS]")
    listing.add_argument("--limit", type=row_limit, default=200, help="rows at most (200)")
    listing.set_defaults(run=run_list)
    check = actions.add_parser("check", help="probe proxies now", description="Probe proxies now.")
    check.add_argument("pattern", nargs="?", default="*", help=f"{PATTERN}; default: all")
    check.set_defaults(run=run_check)
    clear = actions.add_parser("clear", help="forget every verdict on proxies")
    clear.add_argument("pattern", help=PATTERN)
    clear.set_defaults(run=run_clear)
    for action in (listing, check, clear):
        action.add_argument("--json", action="store_true", help="for scripts")
        add_socket_argument(action)


def run_list(args: argparse.Namespace) -> int:
    query = {"pattern": args.pattern, "status": args.status, "limit": args.limit}
    answer = call(args, "GET", f"/admin/proxies?{urlencode({k: v for k, v in query.items() if v != ''})}")
    rows = answer["proxies"]
    if args.json:
        print_json(rows)
    else:
        heads, named = names(rows, "proxy")
        print_table(
            (*heads, "STATUS", "PROVIDER", "UNTIL", "REASON", "LAST ERROR"),
            (
                (
                    *name,
                    row["status"],
                    row["provider"],
                    in_words(row["until"]),
                    row["reason"],
                    cut(row["last_error"]),
                )
                for name, row in zip(named, rows, strict=True)
            ),
        )
    hidden = answer["total"] - len(rows)
    if hidden > 0:
        print(f"… and {hidden} more (--limit)", file=sys.stderr)
    return 0


def run_check(args: argparse.Namespace) -> int:
    asked = call(args, "POST", "/admin/proxies/check", {"pattern": args.pattern})
    if not asked["checks"]:
        raise _nothing(args)
    results = []
    for check in asked["checks"]:
        checked = follow_check(args, check["check"], check["file"])
        results.append({"file": check["file"], "total": checked["total"], "outcomes": checked["outcomes"]})
    if args.json:
        print_json({"checks": results})
    else:
        rows = [(each["file"], outcome, n) for each in results for outcome, n in each["outcomes"].items()]
        print_table(("FILE", "OUTCOME", "PROXIES"), rows)
        if any("skipped" in each["outcomes"] for each in results):
            print("skipped were proxies that have left the file, or that no provider uses any more")
    return 0


def run_clear(args: argparse.Namespace) -> int:
    answer = call(args, "POST", "/admin/proxies/clear", {"pattern": args.pattern})
    if args.json:
        print_json(answer)
    elif answer["total"]:
        heads, named = names(answer["changed"], "proxy")
        rows = zip(named, answer["changed"], strict=True)
        print_table((*heads, "STATUS"), ((*name, row["status"]) for name, row in rows))
    if not answer["total"]:
        raise _nothing(args)
    return 0


def _nothing(args: argparse.Namespace) -> GatewayError:
    """The pattern may be a URL with its password, which is not shown."""
    shown = " is called that" if "@" in args.pattern else f" matches {args.pattern!r}"
    return GatewayError(f"no proxy{shown}", hint="'llmgateway proxies list' shows what there is")
