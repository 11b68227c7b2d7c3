"""`llmgateway keys`: list, disable, enable and clear the running gateway's keys; add to and remove from key files.
`keys explain` is in `explain.py`, `keys import` and `keys export` are in `transfer.py`.

Files are edited by this process, atomically and keeping owner and mode; then the daemon is asked for a sync. It need
not be running for that.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any
from urllib.parse import urlencode

from gateway.cli import explain, transfer
from gateway.cli.admin import add_socket_argument, call
from gateway.cli.checks import follow_check
from gateway.cli.keyfile import ask_for_sync, file_to_extend, key_paths, locked, read_text, write_text
from gateway.cli.table import count, cut, in_words, names, print_json, print_table, row_limit
from gateway.errors import GatewayError


def add_parser(commands: Any) -> None:
    keys = commands.add_parser("keys", help="list, bench and edit keys", description="The keys of the pool.")
    actions = keys.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="keys with status, reason and end of rest")
    listing.add_argument("pattern", nargs="?", default="*", help="as for disable")
    listing.add_argument("--provider", default="")
    listing.add_argument("--status", default="", metavar="STATUS[,STATUS]")
    listing.add_argument("--limit", type=row_limit, default=200, help="rows at most (200)")
    listing.add_argument("--json", action="store_true", help="for scripts")
    add_socket_argument(listing)
    listing.set_defaults(run=run_list)
    for name, text in (
        ("disable", "take keys out until they are enabled again"),
        ("enable", "let disabled keys in again"),
        ("clear", "forget every verdict on keys"),
        ("amnesty", "give benched keys one more look now, and count their failing from now on"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("pattern", help="fingerprint (… may be typed as ...), key, digest, or a pattern with *")
        action.add_argument("--provider", default="")
        action.add_argument("--json", action="store_true", help="for scripts")
        add_socket_argument(action)
        action.set_defaults(run=run_change, action=name)
    check = actions.add_parser("check", help="probe keys now", description="Probe keys now, whatever their schedule.")
    check.add_argument("pattern", nargs="?", default="*", help="fingerprint, digest, or a pattern with *; default: all")
    check.add_argument("--provider", default="")
    check.add_argument("--json", action="store_true", help="for scripts")
    add_socket_argument(check)
    check.set_defaults(run=run_check)
    for name, text in (("add", "add keys to a provider's file"), ("remove", "take keys out of a provider's files")):
        action = actions.add_parser(name, help=text)
        action.add_argument("provider")
        what = "keys, or whole lines with labels" if name == "add" else "keys or their fingerprints"
        action.add_argument("keys", nargs="*", help=f"{what}; default: from stdin, one a line")
        action.add_argument("--config", metavar="FILE", help="configuration file")
        add_socket_argument(action)
        action.set_defaults(run=run_add if name == "add" else run_remove)
    explain.add_parser(actions)
    transfer.add_parsers(actions)


def run_list(args: argparse.Namespace) -> int:
    query = {"pattern": args.pattern, "provider": args.provider, "status": args.status, "limit": args.limit}
    answer = call(args, "GET", f"/admin/keys?{urlencode({k: v for k, v in query.items() if v not in ('', None)})}")
    if args.json:
        print_json(answer["keys"])
    elif answer["total"]:
        _show(answer["keys"])
    else:
        of_status = f" with status {args.status}" if args.status else ""
        print(
            f"{_no_key(args.pattern).message if args.pattern != '*' else 'there is no key'}{of_status}", file=sys.stderr
        )
    hidden = answer["total"] - len(answer["keys"])
    if hidden > 0:
        print(f"… and {hidden} more (--limit)", file=sys.stderr)
    return 0


def _show(rows: list[dict[str, Any]]) -> None:
    heads, named = names(rows, "provider", "key")
    print_table(
        (*heads, "STATUS", "MODEL", "UNTIL", "REASON", "LAST ERROR"),
        (
            (*name, row["status"], row["model"], in_words(row["until"]), row["reason"], cut(row["last_error"]))
            for name, row in zip(named, rows, strict=True)
        ),
    )


ENDINGS = {
    "enable": "enabled as new: what was known before is forgotten",
    "amnesty": "to get one more look now",
}
"""What follows the table, of keys that were changed."""

NOTHING = {"enable": "disabled", "amnesty": "benched"}
"""What keys have to be for an action to change anything."""


def run_change(args: argparse.Namespace) -> int:
    answer = call(args, "POST", f"/admin/keys/{args.action}", {"pattern": args.pattern, "provider": args.provider})
    if args.json:
        print_json(answer)
    elif answer["total"]:
        heads, named = names(answer["changed"], "provider", "key")
        rows = zip(named, answer["changed"], strict=True)
        print_table((*heads, "STATUS"), ((*name, row["status"]) for name, row in rows))
        _say_what_was_done(args.action, answer)
    if not answer["matched"]:
        raise _no_key(args.pattern)
    if not answer["total"]:
        print(f"nothing to do: {_of_them(answer['matched'])} {NOTHING[args.action]}", file=sys.stderr)
    return 0


def _say_what_was_done(action: str, answer: dict[str, Any]) -> None:
    hidden = answer["total"] - len(answer["changed"])
    if hidden:
        print(f"… and {hidden} more", file=sys.stderr)
    if action in ENDINGS:
        others = answer["matched"] - answer["total"]
        rest = f" (not {NOTHING[action]}: {count(others, 'other')})" if others else ""
        print(f"{count(answer['total'], 'key')} {ENDINGS[action]}{rest}", file=sys.stderr)


def _of_them(number: int) -> str:
    return "the key is not" if number == 1 else f"none of {number} keys is"


def _no_key(pattern: str) -> GatewayError:
    """The error for a pattern that fits nothing. One without wildcards may be a key, which is not shown."""
    is_pattern = not {"*", "?", "[", "…"}.isdisjoint(pattern) or "..." in pattern
    hint = "'llmgateway keys list' shows what there is"
    if is_pattern:
        hint = "patterns fit fingerprints as 'llmgateway keys list' shows them, such as sk-…a1b2, not whole keys"
    if re.fullmatch("[0-9a-f]{1,7}", pattern):
        hint = "of a digest, eight digits are needed at least"
    return GatewayError(f"no key {f'matches {pattern!r}' if is_pattern else 'is called that'}", hint=hint)


def run_check(args: argparse.Namespace) -> int:
    asked = call(args, "POST", "/admin/keys/check", {"pattern": args.pattern, "provider": args.provider})
    for provider in asked["unprobed"]:
        print(f"the keys of {provider} are not probed (providers.{provider}.probe.kind)", file=sys.stderr)
    if not asked["checks"]:
        if asked["unprobed"]:
            raise GatewayError("nothing was checked")
        raise _no_key(args.pattern)
    results = []
    for check in asked["checks"]:
        checked = follow_check(args, check["check"], check["provider"])
        result = {name: checked[name] for name in ("total", "outcomes", "benched")}
        results.append({"provider": check["provider"], **result})
    if args.json:
        print_json({"checks": results})
    else:
        rows = [(each["provider"], outcome, n) for each in results for outcome, n in each["outcomes"].items()]
        print_table(("PROVIDER", "OUTCOME", "KEYS"), rows)
        for each in results:
            _say_what_is_left(each)
    return 0


def _say_what_is_left(check: dict[str, Any]) -> None:
    """A probe of models that succeeds lifts no quota, and some keys are not probed at all."""
    benched = check["benched"]
    if benched:
        by_status = ", ".join(f"{n} {status}" for status, n in benched.items())
        print(f"{check['provider']}: {sum(benched.values())} of them stay benched: {by_status}")
    if check["outcomes"].get("skipped"):
        print(f"{check['provider']}: skipped were keys that are disabled, or have left the files")


def run_add(args: argparse.Namespace) -> int:
    from gateway.keeper.keyedit import add_keys

    paths = key_paths(args)
    path = file_to_extend(paths)
    given = _given(args)
    with locked(paths):
        before = read_text(path) if path.exists() else ""
        after = add_keys(before, given, ndjson=path.suffix == ".ndjson")
        if after == before:
            print("nothing to add: all of them are there")
            return 0
        write_text(path, after)
    print(f"added to {path}")
    return ask_for_sync(args)


def run_remove(args: argparse.Namespace) -> int:
    from gateway.keeper.keyedit import remove_keys
    from gateway.keeper.keyfiles import KeySource

    paths = key_paths(args)
    given = _given(args)
    with locked(paths):
        texts = {path: read_text(path) for path, stamp in KeySource(paths).stamp() if stamp and path.is_file()}
        # Of all files at once: what looks alike in two of them is as ambiguous as in one.
        _, removed = remove_keys("\n".join(texts.values()), given)
        if not removed:
            raise GatewayError("none of these keys is in the provider's files", detail=", ".join(map(str, paths)))
        for path, text in texts.items():
            after, count = remove_keys(text, given)
            if count:
                write_text(path, after)
                print(f"removed {count} from {path}")
    if removed < len(set(given)):
        print(f"note: {len(set(given)) - removed} of those given are in none of the files", file=sys.stderr)
    return ask_for_sync(args)


def _given(args: argparse.Namespace) -> list[str]:
    for number, key in enumerate(args.keys, 1):
        if not key.strip() or key.lstrip().startswith("#"):
            raise GatewayError(f"key {number} of {len(args.keys)} given is empty or a comment")
    if args.keys:
        return list(args.keys)
    if sys.stdin is None:
        raise GatewayError("no keys were given")
    if sys.stdin.isatty():
        print("keys, one a line, then Ctrl-D:", file=sys.stderr)
    try:
        lines = sys.stdin.buffer.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise GatewayError("what came from stdin is not UTF-8") from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise GatewayError("no keys were given")
    return keys
