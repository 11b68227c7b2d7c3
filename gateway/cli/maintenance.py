"""`llmgateway maintenance`: look after the database, through the daemon that runs with this configuration, or directly.

A copy is always made by this process, so that it lands where this user may write; SQLite keeps it consistent while the
daemon goes on. The daemon only says where its database is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.admin import NoDaemon, add_socket_argument, call_for
from gateway.cli.table import print_json, printable
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.config.model import Config

SECONDS = 600.0
"""How long the daemon gets: writing some gigabytes anew takes minutes on a slow disk."""

SERVICE_CONFIG = Path("/etc/llmgateway")
SERVICE_STATE = Path("/var/lib/llmgateway")
"""Where the service has its configuration, and its database (StateDirectory= in the unit), which no variable tells a
command."""

MB = 1 << 20

TASKS = {
    "vacuum": "write the database anew, without the gaps that deleted rows left",
    "purge": "forget what is older than store.retention_days, and keys that left the files long ago",
    "checkpoint": "move the write-ahead log into the database and empty it",
}


def add_parser(commands: Any) -> None:
    """Register `maintenance` and its actions."""
    parser = commands.add_parser("maintenance", help="look after the database")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for task, text in TASKS.items():
        action = actions.add_parser(task, help=text)
        action.add_argument("--json", action="store_true", help="for scripts")
        action.set_defaults(run=run_task, task=task)
        _add_places(action)
    backup = actions.add_parser("backup", help="a consistent copy of the database, while the daemon runs, too")
    backup.add_argument("file", metavar="FILE", help="must not exist yet")
    backup.set_defaults(run=run_backup)
    _add_places(backup)


def _add_places(action: argparse.ArgumentParser) -> None:
    action.add_argument("--config", metavar="FILE", help="configuration file")
    add_socket_argument(action)


def run_task(args: argparse.Namespace) -> int:
    result = _ask_daemon(args, args.task)
    if result is None:
        result = _do(args, args.task)
    if args.json:
        print_json(result)
    else:
        print(f"{printable(result['database'])}: {_describe(args.task, result)}, in {result['seconds']:.1f} s")
    return 0


def _describe(task: str, result: Mapping[str, Any]) -> str:
    if task == "purge":
        return "purged " + ", ".join(f"{rows} {kind}" for kind, rows in result["purged"].items())
    what = "log" if task == "checkpoint" else "database"
    return f"{what} {result['before'] / MB:.1f} MB before, {result['after'] / MB:.1f} MB now"


def run_backup(args: argparse.Namespace) -> int:
    from gateway.store.backup import copy_database

    target = Path(args.file)
    known = _ask_daemon(args, "checkpoint")
    source = _database_file(_load(args)) if known is None else Path(known["database"])
    try:
        copy_database(source, target)
    except FileExistsError:
        raise GatewayError(f"{target} exists already", hint="name another file; nothing is written over") from None
    print(f"{printable(str(source))}: copied to {printable(str(target))}, {target.stat().st_size / MB:.1f} MB")
    return 0


def _ask_daemon(args: argparse.Namespace, task: str) -> Any:
    """What the daemon answers; None where none runs with this configuration."""
    from gateway.config.load import find_config

    try:
        return call_for(find_config(args.config, os.environ), args, f"/admin/maintenance/{task}", SECONDS)
    except NoDaemon as error:
        print(f"note: {error}; using the database directly", file=sys.stderr)
        return None


def _load(args: argparse.Namespace) -> Config:
    from gateway.config.load import find_config, load_config
    from gateway.providers import PROVIDER_FACTS

    return load_config(find_config(args.config, os.environ), os.environ, provider_types=PROVIDER_FACTS)


def _database_file(config: Config) -> Path:
    """Raises GatewayError where there is none: opening it would make one."""
    from gateway.store import file_of

    unset = not os.environ.get("STATE_DIRECTORY")
    state = SERVICE_STATE if unset and config.path.parent == SERVICE_CONFIG else config.state_dir
    path = file_of(config.store.url, state)
    if not path.exists():
        raise GatewayError(f"there is no database at {path}", hint="set STATE_DIRECTORY to the folder where it is")
    return path


def _do(args: argparse.Namespace, task: str) -> Any:
    """Without a daemon."""
    import asyncio
    import time

    from gateway.keeper.maintenance import Maintenance
    from gateway.observe.logs import Log
    from gateway.store import open_store

    config = _load(args)
    path = _database_file(config)
    log = Log("warning")

    async def work() -> dict[str, Any]:
        database = await open_store(f"sqlite:{path.name}", path.parent)
        try:
            maintenance = Maintenance(database, log, time.time, _note)
            maintenance.arrange(config)
            return await maintenance.tasks[task]()
        finally:
            await database.close()

    try:
        return asyncio.run(work())
    finally:
        log.close()


def _note(task: str, outcome: str, seconds: float, purged: Mapping[str, int]) -> None:
    """Nobody counts here."""
