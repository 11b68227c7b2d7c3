"""`llmgateway serve`: run the daemon in the foreground, as systemd likes it."""

from __future__ import annotations

import argparse
import gc
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config.model import Config


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("serve", help="run the daemon", description="Run the daemon in the foreground.")
    parser.add_argument("--config", metavar="FILE", help="configuration file")
    parser.add_argument("--demo", action="store_true", help="built-in provider, throw-away state, no keys, no network")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    gc.disable()  # until all is built, which is what stays: the daemon collects once then
    if args.demo:
        from gateway.cli.demo import demo

        with demo() as (config, environ, announce):
            return run_daemon(config, environ, announce)
    from gateway.config.load import find_config, load_config
    from gateway.providers import PROVIDER_FACTS

    path = find_config(args.config, os.environ)
    return run_daemon(load_config(path, os.environ, provider_types=PROVIDER_FACTS), dict(os.environ))


def run_daemon(config: Config, environ: dict[str, str], announce: Callable[[list[str]], None] | None = None) -> int:
    """Build the daemon in a fresh loop and run it to its end. `announce` is told the addresses once it serves."""
    import asyncio

    from gateway.config.load import admin_socket_path
    from gateway.daemon.daemon import Daemon
    from gateway.observe.logs import Log

    allow_many_connections()
    log = Log(config.logging.level)

    async def live() -> None:
        place = admin_socket_path(environ, config.state_dir)
        daemon = Daemon(config, environ, place, log=log, announce=announce)
        await daemon.run()

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(live())
    finally:
        log.close()
    return 0


def allow_many_connections() -> None:
    """As many open files as the system lets us have: each request in flight takes two, and the usual 1024 are few."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # "unlimited" is more than the kernel gives; what we have must do


def loop_factory() -> Any:
    """uvloop's where it can be imported; the standard library's is slower, not different."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
