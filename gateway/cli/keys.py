"""`llmgateway keys`: list, disable, enable and clear the running gateway's keys; add to and remove from key files.

Files are edited by this process, atomically and keeping owner and mode; then the daemon is asked for a sync. It need
not be running for that.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gateway.cli.admin import DaemonError, add_socket_argument, call
from gateway.cli.table import in_words, print_json, print_table
from gateway.errors import GatewayError


def add_parser(commands: Any) -> None:
    keys = commands.add_parser("keys", help="list, bench and edit keys", description="The keys of the pool.")
    actions = keys.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="keys with status, reason and end of rest")
    listing.add_argument("pattern", nargs="?", default="*", help="fingerprint, with * for anything")
    listing.add_argument("--provider", default="")
    listing.add_argument("--status", default="", metavar="STATUS[,STATUS]")
    listing.add_argument("--limit", type=int, default=200, help="rows at most (200)")
    listing.add_argument("--json", action="store_true", help="for scripts")
    add_socket_argument(listing)
    listing.set_defaults(run=run_list)
    for name, text in (
        ("disable", "take keys out until they are enabled again"),
        ("enable", "let disabled keys in again"),
        ("clear", "forget every verdict on keys"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("pattern", help="fingerprint (… may be typed as ...), digest, or a pattern with *")
        action.add_argument("--provider", default="")
        action.add_argument("--json", action="store_true", help="for scripts")
        add_socket_argument(action)
        action.set_defaults(run=run_change, action=name)
    for name, text in (("add", "add keys to a provider's file"), ("remove", "take keys out of a provider's files")):
        action = actions.add_parser(name, help=text)
        action.add_argument("provider")
        action.add_argument(
            "keys", nargs="*", help="keys" if name == "add" else "keys or their fingerprints; default: from stdin"
        )
        action.add_argument("--config", metavar="FILE")
        add_socket_argument(action)
        action.set_defaults(run=run_add if name == "add" else run_remove)


def run_list(args: argparse.Namespace) -> int:
    query = {"pattern": args.pattern, "provider": args.provider, "status": args.status, "limit": args.limit}
    answer = call(args, "GET", f"/admin/keys?{urlencode({k: v for k, v in query.items() if v not in ('', None)})}")
    if args.json:
        print_json(answer["keys"])
        return 0
    print_table(
        ("PROVIDER", "KEY", "STATUS", "MODEL", "UNTIL", "REASON", "LAST ERROR"),
        (
            (
                row["provider"],
                row["key"],
                row["status"],
                "" if row["model"] == "__ALL_MODELS__" else row["model"],
                in_words(row["until"]),
                row["reason"],
                row["last_error"][:80],
            )
            for row in answer["keys"]
        ),
    )
    hidden = answer["total"] - len(answer["keys"])
    if hidden > 0:
        print(f"… and {hidden} more (--limit)", file=sys.stderr)
    return 0


def run_change(args: argparse.Namespace) -> int:
    answer = call(args, "POST", f"/admin/keys/{args.action}", {"pattern": args.pattern, "provider": args.provider})
    if args.json:
        print_json(answer)
    elif not answer["total"]:
        print(f"error: no key matches {args.pattern!r}", file=sys.stderr)
        return 1
    else:
        print_table(
            ("PROVIDER", "KEY", "STATUS"),
            ((row["provider"], row["key"], row["status"]) for row in answer["changed"]),
        )
    return 0


def run_add(args: argparse.Namespace) -> int:
    from gateway.config.files import write_atomically
    from gateway.keeper.keyedit import add_keys

    path = _files(args)[0]
    if path.is_dir():
        path = path / "added.txt"
    before = path.read_text() if path.exists() else ""
    after = add_keys(before, _given(args))
    if after == before:
        print("nothing to add: all of them are there")
        return 0
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, after.encode(), mode=None if path.exists() else 0o600)
    print(f"added to {path}")
    return _ask_for_sync(args)


def run_remove(args: argparse.Namespace) -> int:
    from gateway.config.files import write_atomically
    from gateway.keeper.keyedit import remove_keys

    given = _given(args)
    removed = 0
    for path in _files(args):
        for file in sorted(path.glob("*.txt")) if path.is_dir() else [path]:
            if not file.exists():
                continue
            after, count = remove_keys(file.read_text(), given)
            if count:
                write_atomically(file, after.encode())
                print(f"removed {count} from {file}")
            removed += count
    if not removed:
        print("error: none of these keys is in the provider's files", file=sys.stderr)
        return 1
    return _ask_for_sync(args)


def _given(args: argparse.Namespace) -> list[str]:
    if args.keys:
        return list(args.keys)
    if sys.stdin.isatty():
        print("keys, one a line, then Ctrl-D:", file=sys.stderr)
    keys = [line.strip() for line in sys.stdin if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise GatewayError("no keys were given")
    return keys


def _files(args: argparse.Namespace) -> list[Path]:
    """The key files of a provider, by the configuration."""
    from gateway.config.load import find_config, load_config
    from gateway.providers import PROVIDER_FACTS

    config = load_config(find_config(args.config, os.environ), os.environ, provider_types=PROVIDER_FACTS)
    provider = config.providers.get(args.provider)
    if provider is None:
        names = ", ".join(config.providers) or "none"
        raise GatewayError(f"there is no provider {args.provider!r}", hint=f"providers: {names}")
    return [Path(path) for path in provider.keys]


def _ask_for_sync(args: argparse.Namespace) -> int:
    """The file is what counts; a daemon that runs takes it over at once, one that does not will read it."""
    try:
        answer = call(args, "POST", "/admin/sync")
    except DaemonError as error:
        print(f"note: {error.message}; the keys count from its next start", file=sys.stderr)
        return 0
    result = answer.get(args.provider)
    if result:
        print(f"{args.provider}: {result['keys']} keys ({result['added']} added, {result['removed']} removed)")
    return 0
