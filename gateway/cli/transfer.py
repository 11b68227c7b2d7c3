"""`llmgateway keys import` and `keys export`: keys into a provider's file, and out of the running gateway.

An import edits the file in this process; the daemon need not be running. An export asks the daemon, which has the keys
in memory; without --full it gives fingerprints.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from gateway import jsonlib
from gateway.cli.admin import add_socket_argument, call, call_for_lines
from gateway.cli.keyfile import ask_for_sync, file_to_extend, find_provider, locked, read_text, write_text
from gateway.cli.table import show_progress
from gateway.errors import GatewayError

IMPORT_LIMIT = 64 * 1024 * 1024
"""Bytes that are read: as many as a key file may have."""

NAMES_SHOWN = 10
"""Of variables that were left out: a .env file may have hundreds."""


def add_parsers(actions: Any) -> None:
    """Register `import` and `export` among the actions of `keys`."""
    importing = actions.add_parser(
        "import",
        help="add the keys of any file to a provider's file",
        description="One key a line, NDJSON, a JSON list, or a .env file (OPENAI_API_KEY_1=…). Keys that the provider "
        "has are left out.",
    )
    importing.add_argument("file", metavar="FILE", help="- for stdin")
    importing.add_argument("--provider", default="", metavar="NAME", help="default: the only one with keys")
    importing.add_argument("--name", default="", metavar="PATTERN", help="variables of a .env file that hold the keys")
    importing.add_argument("--dry-run", action="store_true", help="say what would be added, and add nothing")
    importing.add_argument("--config", metavar="FILE", help="configuration file")
    add_socket_argument(importing)
    importing.set_defaults(run=run_import)
    export = actions.add_parser("export", help="fingerprints of keys by status, or with --full the keys themselves")
    export.add_argument("pattern", nargs="?", default="*", help="as for disable")
    export.add_argument("--status", default="", metavar="STATUS[,STATUS]")
    export.add_argument("--provider", default="")
    export.add_argument("--full", action="store_true", help="the keys themselves, as lines of a key file")
    export.add_argument("--output", metavar="FILE", help="write into a new file that only its owner can read")
    export.add_argument("--force", action="store_true", help="write over --output if it exists")
    export.add_argument("--json", action="store_true", help="everything that is known of each key")
    add_socket_argument(export)
    export.set_defaults(run=run_export)


def run_import(args: argparse.Namespace) -> int:
    from gateway.keeper.keyimport import Wanted, parse_import

    provider = find_provider(args)
    args.provider = provider.name
    prefixes = [re.sub(r"\W", "_", name).upper() for name in (provider.name, provider.type)]
    data = _read_source(args.file)
    try:
        found = parse_import(data, Wanted(args.name, prefixes), _progress(args.file))
    except GatewayError as error:
        where = "stdin" if args.file == "-" else args.file
        raise GatewayError(f"{where}: {error.message}", detail=error.detail, hint=error.hint) from None
    for problem in found.problems:
        print(f"warning: {args.file}: {problem}", file=sys.stderr)
    if found.left_out:
        more = ", …" if len(found.left_out) > NAMES_SHOWN else ""
        print(f"note: left out: {', '.join(found.left_out[:NAMES_SHOWN])}{more}", file=sys.stderr)
    if not found.entries:
        raise GatewayError(f"{args.file} has no key")
    return _add(args, [Path(path) for path in provider.keys], found.entries, found.duplicates)


def _add(args: argparse.Namespace, paths: list[Path], entries: Any, duplicates: int) -> int:
    """Append what the provider's files lack, and say so."""
    from gateway.keeper.keyedit import add_keys
    from gateway.keeper.keyfiles import KeySource

    path = file_to_extend(paths)
    with locked(paths):
        reading = KeySource(paths).read()
        for report in reading.files:
            if report.broken:
                raise GatewayError(f"{report.path} cannot be read", detail="; ".join(report.problems))
        present = {entry.secret for entry in reading.entries}
        new = [entry for entry in entries if entry.secret not in present]
        if new and not args.dry_run:
            # A key file is where keys belong; the lines are for it alone.
            lines = [jsonlib.dumps({"value": each.secret.reveal(), **each.labels}).decode() for each in new]
            before = read_text(path) if path.exists() else ""
            write_text(path, add_keys(before, lines, ndjson=path.suffix == ".ndjson"))
    there, verb = len(entries) - len(new), "would be added" if args.dry_run else "added"
    print(f"{len(new)} {verb} to {path}; {there} there already, {duplicates} twice in {args.file}")
    return ask_for_sync(args) if new and not args.dry_run else 0


def _read_source(file: str) -> bytes:
    if file == "-":
        if sys.stdin is None:
            raise GatewayError("there is no standard input")
        data = sys.stdin.buffer.read(IMPORT_LIMIT + 1)
    else:
        with Path(file).open("rb") as stream:
            data = stream.read(IMPORT_LIMIT + 1)
    if len(data) > IMPORT_LIMIT:
        raise GatewayError(f"{file} is larger than {IMPORT_LIMIT // 1024 // 1024} MiB")
    return data


def _progress(file: str) -> Any:
    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            show_progress(file, done, total)
            if done == total:
                print(file=sys.stderr)

    return show


def run_export(args: argparse.Namespace) -> int:
    if args.output:
        _refuse_output(args, Path(args.output))
    asked = {"pattern": args.pattern, "provider": args.provider, "status": args.status, "full": args.full}
    rows = call_for_lines(args, "/admin/keys/export", asked)
    if args.json:
        text = jsonlib.dumps_pretty(rows).decode() + "\n"
    elif args.full:
        text = "".join(_key_line(row) for row in rows)
    else:
        text = "".join(f"{row['key']}\n" for row in rows)
    if args.output:
        _write_private(Path(args.output), text)
    else:
        sys.stdout.write(text)
    noun = "key" if len(rows) == 1 else "keys"
    print(f"{len(rows)} {noun}{f' written to {args.output}' if args.output else ''}", file=sys.stderr)
    return 0


def _refuse_output(args: argparse.Namespace, path: Path) -> None:
    """Raises GatewayError for what is there already, and whatever was said, for what the gateway itself reads."""
    if os.path.lexists(path) and not args.force:
        raise GatewayError(f"{path} exists already", hint="name another file, or write over it with --force")
    real = Path(os.path.realpath(path))
    for own in map(Path, call(args, "GET", "/admin/status")["own_files"]):
        if os.path.realpath(own) in (str(real), str(real.parent)) or _is_same(own, real):
            raise GatewayError(f"{path} belongs to the gateway's own files", detail=str(own), hint="name another file")


def _is_same(one: Path, other: Path) -> bool:
    """Whether they are one file by another name (a hard link)."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _key_line(row: dict[str, Any]) -> str:
    """As key files have it, labels and all."""
    from gateway.keeper.keyedit import key_line

    return key_line(row["value"], row["labels"]) + "\n"


def _write_private(path: Path, text: str) -> None:
    from gateway.config.files import write_atomically

    if path.exists():
        path.chmod(0o600)  # or it would keep a mode that lets others read
    write_atomically(path, text, mode=0o600)
