"""`llmgateway tokens`: API tokens of the running gateway, each shown once; and JSON Web Tokens."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from gateway.cli.admin import add_socket_argument, call
from gateway.cli.rights import add_rights_arguments, limits_in_words, rights, rights_in_words, span_ahead
from gateway.cli.table import in_words, moment, print_json, print_table, row_limit
from gateway.errors import GatewayError

SCOPES = ("use", "read", "admin")

FIRST_USER = "admin"
"""Whose an admin token is, if nothing is said of it."""


NEW_USER = (
    "note: nothing is known of a user {user} yet. If the name is right, nothing needs to be done: "
    "he has the limits that are configured for all, and with billing his first request opens his account"
)
"""Not an error: users need not be created."""


def add_parser(commands: Any) -> None:
    tokens = commands.add_parser("tokens", help="make, list and revoke API tokens", description="API tokens.")
    actions = tokens.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make an API token, and show it this once")
    create.add_argument("--user", help="whose it is; default: its name")
    create.add_argument("--name", help="what it is called; default: its id")
    create.add_argument("--expires", type=span_ahead, metavar="SPAN", help="30d, 12h from now; default: never")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="API tokens, the newest first; never the tokens themselves")
    listing.add_argument("--user", default="", help="only this one's")
    listing.add_argument("--limit", type=row_limit, default=200, help="rows at most (200)")
    listing.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", help="make an API token worthless, within a second")
    revoke.add_argument("token", help="its id, its name, or the token itself")
    revoke.add_argument("--user", default="", help="whose it is, where several have one of that name")
    revoke.set_defaults(run=run_revoke)
    jwt = actions.add_parser("jwt", help="sign a JSON Web Token with the configured secret")
    jwt.add_argument("--user", required=True, help="whose it is")
    jwt.add_argument("--ttl", type=span_ahead, default=1800.0, metavar="SPAN", help="how long it is valid (30m)")
    jwt.set_defaults(run=run_jwt)
    for action in (create, jwt):
        action.add_argument("--scope", action="append", default=[], choices=SCOPES, help="default: use; repeat it")
        add_rights_arguments(action)
    for action in (create, listing, revoke, jwt):
        action.add_argument("--json", action="store_true", help="for scripts")
        add_socket_argument(action)


def run_create(args: argparse.Namespace) -> int:
    body = {"scopes": args.scope, "expires_in": args.expires, **rights(args)}
    named = {name: value for name, value in (("user", args.user), ("name", args.name)) if value is not None}
    if named:
        body |= named
    elif "admin" in args.scope:
        body["user"] = FIRST_USER
    else:
        raise GatewayError("whose token is it to be?", hint="write --user NAME")
    answer = call(args, "POST", "/admin/tokens", body)
    if args.json:
        print_json(answer)
        return 0
    print(answer["token"])
    ends = f"expires {in_words(answer['expires_at'])}" if answer["expires_at"] else "does not expire"
    print(f"token {answer['name']} of {answer['user']}, {ends}; it is not shown again", file=sys.stderr)
    if answer.get("new_user") and named:
        print(NEW_USER.format(user=answer["user"]), file=sys.stderr)
    return 0


def run_list(args: argparse.Namespace) -> int:
    answer = call(args, "GET", f"/admin/tokens?{urlencode({'user': args.user, 'limit': args.limit})}")
    rows = answer["tokens"]
    if args.json:
        print_json(rows)
    elif rows:
        show_tokens(rows)
    else:
        print("there are no such tokens; 'llmgateway tokens create --user NAME' makes one", file=sys.stderr)
    if answer["total"] > len(rows):
        print(f"… and {answer['total'] - len(rows)} more (--limit)", file=sys.stderr)
    return 0


def run_revoke(args: argparse.Namespace) -> int:
    answer = call(
        args, "POST", "/admin/tokens/revoke", {"token": args.token, **({"user": args.user} if args.user else {})}
    )
    if args.json:
        print_json(answer)
    else:
        print(f"revoked: token {answer['revoked']['name']} of {answer['revoked']['user']}")
    return 0


def run_jwt(args: argparse.Namespace) -> int:
    body = {"user": args.user, "ttl": args.ttl, "scopes": args.scope, **rights(args)}
    answer = call(args, "POST", "/admin/tokens/jwt", body)
    if args.json:
        print_json(answer)
    else:
        print(answer["token"])
    return 0


def show_tokens(rows: Sequence[dict[str, Any]]) -> None:
    print_table(
        ("ID", "NAME", "USER", "STATE", "SCOPES", "CREATED", "EXPIRES", "LIMITS", "ONLY"),
        (
            (
                "(configured)" if row["configured"] else row["id"],
                row["name"],
                row["user"],
                row["state"],
                ",".join(row["scopes"]),
                moment(row["created_at"]) if row["created_at"] else "",
                in_words(row["expires_at"]) if row["state"] == "valid" else "",
                limits_in_words(row["limits"]),
                rights_in_words(row),
            )
            for row in rows
        ),
    )
