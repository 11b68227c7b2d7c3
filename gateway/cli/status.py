"""`llmgateway status` and `llmgateway reload`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

from gateway.cli.admin import add_socket_argument, call
from gateway.cli.breakers import describe_shut
from gateway.cli.table import cut, duration, in_words, print_json, print_table, printable

WATCH_SECONDS = 2.0

CAUSES = {"provider_down": "provider down", "egress_blocked": "egress blocked"}

ADVICE = {
    "provider_down": "See the provider's own status page, and base_url.",
    "unresolved": "See this machine's DNS and network, and base_url.",
    "egress_blocked": "Send its requests another way (llmgateway help proxies), or ask the provider.",
}

UNRESOLVED = "cannot be resolved"
"""Of the gateway's own words for a host name that nobody knows (`net/dial.py`)."""

CLEAR = "\x1b[2J\x1b[H"
"""Empty the screen and go to its beginning (ECMA-48)."""


def add_parser(commands: Any) -> None:
    status = commands.add_parser(
        "status", help="what is up, what is benched and why, until when", description="The state of a running gateway."
    )
    status.add_argument("--json", action="store_true", help="for scripts")
    status.add_argument("--watch", action="store_true", help=f"again every {WATCH_SECONDS:g} s, until Ctrl-C")
    add_socket_argument(status)
    status.set_defaults(run=run_status)
    reload = commands.add_parser(
        "reload",
        help="reload the daemon and say what changed, or fail with the reason",
        description="Make the daemon read its configuration and its key files again.",
    )
    reload.add_argument("--json", action="store_true", help="for scripts")
    add_socket_argument(reload)
    reload.set_defaults(run=run_reload)


def run_status(args: argparse.Namespace) -> int:
    while True:
        answer = call(args, "GET", "/admin/status")
        if args.json:
            print_json(answer)
        else:
            if args.watch and sys.stdout.isatty():
                print(CLEAR, end="")
            _show(answer)
        if not args.watch:
            return 0
        sys.stdout.flush()
        time.sleep(WATCH_SECONDS)


def _show(answer: dict[str, Any]) -> None:
    print(f"llmgateway {answer['version']}, pid {answer['pid']}, up {duration(answer['uptime_seconds'])}")
    print(f"{printable(answer['config'])}\n{_switches(answer)}\n")
    print_table(
        ("PROVIDER", "TYPE", "KEYS", "USABLE", "WAITING", "STATUSES", "NEXT RECOVERY"),
        (
            (
                provider["name"],
                provider["type"],
                provider["keys"],
                f"{provider['usable']}, {provider['due']} for a try" if provider["due"] else provider["usable"],
                provider["waiting"],
                ", ".join(f"{n} {status}" for status, n in provider["counts"].items()) or "no keys",
                in_words(provider["next_recovery"]),
            )
            for provider in answer["providers"]
        ),
    )
    for provider in answer["providers"]:
        if (trouble := _trouble(provider)) is not None:
            print(f"\n{provider['name']}: {trouble}")
        for row in provider["breakers"]:
            print(f"\n{provider['name']}: {describe_shut(row, time.time())}")
        if provider["to_probe"]:
            waiting = "key is" if provider["to_probe"] == 1 else "keys are"
            print(f"\n{provider['name']}: {provider['to_probe']} {waiting} waiting for a probe ({provider['probing']})")
    _show_limits(answer["limits"])
    groups = [(provider["name"], group) for provider in answer["providers"] for group in provider["groups"]]
    if groups:
        print("\nBenched keys")
        print_table(
            ("PROVIDER", "STATUS", "REASON", "MODEL", "KEYS", "NEXT", "LAST ERROR"),
            (
                (
                    name,
                    group["status"],
                    group["reason"],
                    group["model"],
                    group["keys"],
                    f"due for a {group['due']}" if group["due"] else in_words(group["until"]),
                    cut(group["last_error"]),
                )
                for name, group in groups
            ),
        )
    _show_proxies(answer["proxies"])
    problems = [each for provider in answer["providers"] for each in _problems(provider["name"], provider["files"])]
    problems += [each for pool in answer["proxies"] for each in _problems("proxies", pool["files"])]
    if answer["inventory_problem"]:
        problems.append(f"inventory: {printable(answer['inventory_problem'])}")
    if problems:
        print("", *problems, sep="\n")


def _switches(answer: dict[str, Any]) -> str:
    return ", ".join(f"{name} {'on' if answer[name] else 'off'}" for name in ("auth", "billing") if name in answer)


def _show_limits(limits: dict[str, Any]) -> None:
    """A line when several gateways were to count together, and do not."""
    if limits["alone_since"] is not None:
        since = duration(max(time.time() - limits["alone_since"], 0))
        print(
            f"\nlimits: Redis has not answered for {since}, so that each gateway counts for itself. "
            f"Last error: {printable(limits['last_error'])}"
        )


def _trouble(provider: dict[str, Any]) -> str | None:
    """What keeps everybody from getting through, in a line: the cause, what speaks for it, what to do."""
    guard, outage = provider["guard"], provider["outage"]
    seen = guard or outage
    if seen is None:
        return None
    cause = f"{CAUSES[seen['cause']]} for {duration(max(time.time() - seen['since'], 0))}"
    through = "" if seen["proxy"] is None else f", all through {seen['proxy']}"
    if guard is not None:
        what = (
            f"{guard['keys']} different keys that were good are rejected alike{through}, so none of them is blamed. "
            f"One request at a time looks whether it is over (next {in_words(guard['next_canary'])})."
        )
        advice = f"{ADVICE[seen['cause']]} If all of these keys have been revoked, replace them."
    else:
        keys = "1 key" if outage["keys"] == 1 else f"{outage['keys']} different keys"
        what = f"{outage['count']} attempts in a row failed, with {keys}{through}. No key is blamed."
        advice = ADVICE["unresolved" if UNRESOLVED in outage["last_error"] else seen["cause"]]
    return f"{cause}: {what} {advice} Last error: {printable(seen['last_error'])}"


def _show_proxies(pools: list[dict[str, Any]]) -> None:
    if pools:
        print()
        print_table(
            ("PROXIES OF", "PROXIES", "USABLE", "STATUSES"),
            (
                (
                    pool["file"],
                    pool["proxies"],
                    ", ".join(f"{n} for {provider}" for provider, n in pool["usable"].items()),
                    ", ".join(f"{n} {status}" for status, n in pool["counts"].items()) or "no proxies",
                )
                for pool in pools
            ),
        )
    groups = [(pool["file"], group) for pool in pools for group in pool["groups"]]
    if groups:
        print("\nResting proxies")
        print_table(
            ("PROXIES OF", "STATUS", "REASON", "PROVIDER", "PROXIES", "NEXT", "LAST ERROR"),
            (
                (
                    file,
                    group["status"],
                    group["reason"],
                    group["provider"],
                    group["proxies"],
                    in_words(group["until"]),
                    cut(group["last_error"]),
                )
                for file, group in groups
            ),
        )


def _problems(name: str, files: list[dict[str, Any]]) -> Iterator[str]:
    """What is wrong with the files, a line each."""
    for file in files:
        advice = [f"can be read by every user; run: chmod o= {file['path']}"] if file["world_readable"] else []
        for problem in [*file["problems"], *advice]:
            yield f"{name}: {file['path']}: {printable(problem)}"


def run_reload(args: argparse.Namespace) -> int:
    answer = call(args, "POST", "/admin/reload")
    if args.json:
        print_json(answer)
    elif answer["changed"]:
        print(f"reloaded; {changes_in_words(answer)}")
    else:
        print("reloaded; nothing changed")
    return 0


def changes_in_words(answer: dict[str, Any]) -> str:
    """What a reload has done: `changed: billing; billing is on now`."""
    switched = "".join(f"; {name} is {'on' if on else 'off'} now" for name, on in answer.get("switched", {}).items())
    return f"changed: {', '.join(answer['changed']) or 'nothing'}{switched}"
