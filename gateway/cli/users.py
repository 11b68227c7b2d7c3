"""`llmgateway users`: who may use the running gateway, how much, and who may not."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from urllib.parse import quote, urlencode

from gateway.cli.admin import add_socket_argument, call
from gateway.cli.rights import (
    add_rights_arguments,
    add_target_arguments,
    limit,
    limits_in_words,
    rights,
    rights_in_words,
)
from gateway.cli.table import moment, print_json, print_table, row_limit
from gateway.cli.tokens import show_tokens
from gateway.errors import GatewayError


def add_parser(commands: Any) -> None:
    users = commands.add_parser("users", help="who may use the gateway, and how much", description="Users.")
    actions = users.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a user")
    create.add_argument("name")
    add_rights_arguments(create)
    create.add_argument("--note", default="", help="for you")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="users with balance and limits")
    listing.add_argument("--limit", type=row_limit, default=200, help="rows at most (200)")
    listing.set_defaults(run=run_list)
    show = actions.add_parser("show", help="a user with all that he may, and his API tokens")
    show.add_argument("name")
    show.set_defaults(run=run_show)
    for name, text in (("disable", "refuse all of a user's tokens"), ("enable", "let a disabled user in again")):
        action = actions.add_parser(name, help=text)
        action.add_argument("name")
        action.set_defaults(run=run_switch, disabled=name == "disable")
    set_limit = actions.add_parser("set-limit", help="change a user's own limits")
    set_limit.add_argument("name")
    set_limit.add_argument("limits", nargs="*", type=limit, metavar="LIMIT=N", help="rpm=60, say; others stay")
    set_limit.add_argument("--none", action="store_true", help="no limits of his own: the configured ones")
    set_limit.set_defaults(run=run_set_limit)
    allow = actions.add_parser("allow", help="change what a user may use")
    allow.add_argument("name")
    add_target_arguments(allow)
    allow.add_argument("--all", action="store_true", help="any model of any provider")
    allow.set_defaults(run=run_allow)
    transactions = actions.add_parser("transactions", help="what a user was charged and given, the newest first")
    transactions.add_argument("name")
    transactions.add_argument("--limit", type=row_limit, default=50, help="rows at most (50); 1000 is the most")
    transactions.add_argument("--offset", type=int, default=0, metavar="N", help="leave out the newest N")
    transactions.set_defaults(run=run_transactions)
    adjusting = []
    for name, text in (("credit", "add to a user's balance"), ("debit", "take from a user's balance")):
        action = actions.add_parser(name, help=text)
        action.add_argument("name")
        action.add_argument("amount", help="in the currency: 12.50")
        action.add_argument("--note", default="", help="what for; the user sees it")
        action.add_argument("--id", help="said twice, it counts once: the number of a payment, say")
        action.set_defaults(run=run_adjust, kind=name, force=False)
        adjusting.append(action)
    actions.choices["debit"].add_argument(
        "--force", action="store_true", help="below zero, too, or of what requests have reserved"
    )
    for action in (
        create,
        listing,
        show,
        *adjusting,
        *(actions.choices[name] for name in ("disable", "enable")),
        set_limit,
        allow,
        transactions,
    ):
        action.add_argument("--json", action="store_true", help="for scripts")
        add_socket_argument(action)


def run_create(args: argparse.Namespace) -> int:
    answer = call(args, "POST", "/admin/users", {"name": args.name, "note": args.note, **rights(args)})
    return _tell(args, answer, "made")


def run_list(args: argparse.Namespace) -> int:
    answer = call(args, "GET", f"/admin/users?{urlencode({'limit': args.limit})}")
    rows = answer["users"]
    if args.json:
        print_json(rows)
    elif rows:
        _show(rows)
    else:
        print("there are no users; 'llmgateway users create NAME' makes one", file=sys.stderr)
    if answer["total"] > len(rows):
        print(f"… and {answer['total'] - len(rows)} more (--limit)", file=sys.stderr)
    return 0


def run_show(args: argparse.Namespace) -> int:
    answer = call(args, "GET", _place(args.name))
    if args.json:
        print_json(answer)
        return 0
    _show([answer["user"]])
    if answer["tokens"]:
        print()
        show_tokens(answer["tokens"])
    return 0


def run_switch(args: argparse.Namespace) -> int:
    answer = call(args, "PATCH", _place(args.name), {"disabled": args.disabled})
    return _tell(args, answer, "disabled" if args.disabled else "enabled")


def run_set_limit(args: argparse.Namespace) -> int:
    if not args.limits and not args.none:
        raise GatewayError("no limit was given", hint="write rpm=60, say, or --none")
    if args.none:
        call(args, "PATCH", _place(args.name), {"limits": None})
    answer = call(args, "PATCH", _place(args.name), {"limits": dict(args.limits)})
    user = answer["user"]
    return _tell(args, answer, f"limited to {limits_in_words(user['limits']) or 'what is configured'}")


def run_allow(args: argparse.Namespace) -> int:
    if args.all == bool(args.provider or args.model):
        raise GatewayError("either providers and models, or all", hint="write --model gpt-4o, say, or --all")
    answer = call(args, "PATCH", _place(args.name), {"providers": args.provider, "models": args.model})
    return _tell(args, answer, f"may use {rights_in_words(answer['user']) or 'everything'}")


def run_transactions(args: argparse.Namespace) -> int:
    query = urlencode({"limit": args.limit, "offset": args.offset})
    rows = call(args, "GET", f"{_place(args.name)}/transactions?{query}")["transactions"]
    if args.json:
        print_json(rows)
    elif rows:
        print_table(
            ("TIME", "KIND", "AMOUNT", "BALANCE", "IN", "OUT", "TOKEN", "WHAT"),
            (
                (
                    moment(row["timestamp"]),
                    row["kind"],
                    row["amount"],
                    row["balance_after"],
                    *_tokens(row["usage"]),
                    row["token"],
                    f"{row['description']}, estimated" if row["estimated"] else row["description"],
                )
                for row in rows
            ),
        )
    else:
        print("there are none", file=sys.stderr)
    return 0


def run_adjust(args: argparse.Namespace) -> int:
    body = {"amount": args.amount, "note": args.note, "force": args.force}
    if args.id is not None:
        body["id"] = args.id
    answer = call(args, "POST", f"{_place(args.name)}/{args.kind}", body)
    if args.json:
        print_json(answer)
    elif answer["repeated"]:
        made = moment(answer["timestamp"])
        print(f"{args.name}: this {answer['kind']} was already made on {made}; the balance is {answer['balance']}")
    else:
        print(f"{args.name}: {answer['kind']} of {args.amount}, the balance is {answer['balance']}")
    return 0


def _tokens(usage: dict[str, int]) -> tuple[int | None, int | None]:
    """All that went in, and all that came out; None where nothing was counted."""
    from gateway.usage import Usage

    counted = Usage(**usage)
    return (counted.input, counted.output) if usage else (None, None)


def _place(name: str) -> str:
    return f"/admin/users/{quote(name, safe='')}"


def _tell(args: argparse.Namespace, answer: dict[str, Any], what: str) -> int:
    if args.json:
        print_json(answer["user"])
    else:
        print(f"{answer['user']['name']}: {what}")
    return 0


def _show(rows: list[dict[str, Any]]) -> None:
    print_table(
        ("USER", "STATE", "BALANCE", "RESERVED", "LIMITS", "ONLY", "NOTE"),
        (
            (
                row["name"],
                "disabled" if row["disabled"] else "enabled",
                row["balance"],
                row["reserved"],
                limits_in_words(row["limits"]),
                rights_in_words(row),
                row["note"],
            )
            for row in rows
        ),
    )
