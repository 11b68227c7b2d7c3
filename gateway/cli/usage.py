"""`llmgateway usage`: what was used, and what it cost."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from urllib.parse import urlencode

from gateway.cli.admin import add_socket_argument, call
from gateway.cli.rights import span
from gateway.cli.table import print_json, print_table, row_limit

SUMS = ("requests", "errors", "input", "cached", "output", "cost")


def add_parser(commands: Any) -> None:
    usage = commands.add_parser("usage", help="what was used, and what it cost", description="Usage over a period.")
    usage.add_argument(
        "--by", choices=("user", "token", "model", "provider", "key"), default="model", help="default: model"
    )
    usage.add_argument("--since", type=span, default=86400, metavar="SPAN", help="90s, 30m, 24h (default), 30d, 4w")
    usage.add_argument("--limit", type=row_limit, default=200, help="rows at most (200)")
    usage.add_argument("--json", action="store_true", help="for scripts")
    add_socket_argument(usage)
    usage.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    query = urlencode({"by": args.by, "since": int(args.since), "limit": args.limit})
    answer = call(args, "GET", f"/admin/usage?{query}")
    rows = answer["usage"]
    if args.json:
        print_json(rows)
    elif rows:
        names = ("user", "token") if args.by == "token" else (args.by,)
        print_table(
            (*map(str.upper, names), "REQUESTS", "ERRORS", "IN", "CACHED", "OUT", answer["currency"]),
            ([*(row[name] or "-" for name in names), *(row[name] for name in SUMS)] for row in rows),
        )
    else:
        print("nothing was used in that time", file=sys.stderr)
    return 0
