"""`llmgateway cache`: what the response cache of a running gateway holds, and that it is to forget it."""

from __future__ import annotations

import argparse
from typing import Any

from gateway.cli.admin import add_socket_argument, call
from gateway.cli.table import count, print_json

MB = 1 << 20


def add_parser(commands: Any) -> None:
    cache = commands.add_parser("cache", help="show and clear the response cache", description="The response cache.")
    actions = cache.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="answers and bytes in memory, failures of its Redis")
    show.set_defaults(run=run_show)
    clear = actions.add_parser("clear", help="forget all answers; in Redis for all gateways")
    clear.set_defaults(run=run_clear)
    for action in (show, clear):
        action.add_argument("--json", action="store_true", help="for scripts")
        add_socket_argument(action)


def run_show(args: argparse.Namespace) -> int:
    cache = call(args, "GET", "/admin/cache")
    if args.json:
        print_json(cache)
    elif not cache["enabled"]:
        print("the response cache is off (cache.enabled)")
    else:
        whose = "for all users" if cache["shared"] else "for each user"
        if cache["storage"] == "redis":
            print(f"in Redis, {whose}: {count(cache['failures'], 'failure')}")
        else:
            print(f"in memory, {whose}: {count(cache['answers'], 'answer')}, {_size(cache['bytes'])} of "
                  f"{cache['limit'] / MB:.0f} MB")  # fmt: skip
    return 0


def run_clear(args: argparse.Namespace) -> int:
    cleared = call(args, "POST", "/admin/cache/clear")
    if args.json:
        print_json(cleared)
    elif cleared["storage"] == "redis":
        print("cleared, for all gateways that share it")
    else:
        print(f"cleared: {count(cleared['answers'], 'answer')}, {_size(cleared['bytes'])}")
    return 0


def _size(size: int) -> str:
    return f"{size / MB:.1f} MB"
