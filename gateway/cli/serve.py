"""`llmgateway serve`: run the daemon in the foreground, as systemd likes it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import StartError

if TYPE_CHECKING:
    from gateway.config.model import Config

DEMO_CONFIG = """
[server]
listen = ["127.0.0.1:8000"]

[providers.demo]
type = "echo"
keys = "demo.txt"
models = ["demo"]
"""

DEMO_TEXT = """
llmgateway demo: the built-in provider answers with what you say; nothing leaves this machine.
Of its five keys one is invalid and one is rate limited. You will not notice; the gateway will.

Try it in another terminal:

  curl {address}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "demo", "messages": [{{"role": "user", "content": "Hello there"}}]}}'

  curl -N {address}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "demo", "stream": true, "messages": [{{"role": "user", "content": "Hello there"}}]}}'

After some of them, see which keys are benched, and why:

  {program} status

Ctrl-C ends the demo and leaves nothing behind.
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("serve", help="run the daemon", description="Run the daemon in the foreground.")
    parser.add_argument("--config", metavar="FILE", help="configuration file")
    parser.add_argument("--demo", action="store_true", help="built-in provider, throw-away state, no keys, no network")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    if args.demo:
        return run_demo()
    from gateway.config.load import find_config, load_config
    from gateway.providers import PROVIDER_FACTS

    path = find_config(args.config, os.environ)
    return run_daemon(load_config(path, os.environ, provider_types=PROVIDER_FACTS), dict(os.environ))


def run_demo() -> int:
    """The demo, in a folder of its own that goes away with it."""
    from gateway.config.load import parse_config
    from gateway.providers import PROVIDER_FACTS
    from gateway.providers.echo import DEMO_KEYS

    folder = demo_folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise StartError("the demo's folder belongs to somebody else", detail=str(folder), hint="set TMPDIR")
    (folder / "demo.txt").write_text("\n".join(DEMO_KEYS) + "\n")
    (folder / "demo.txt").chmod(0o600)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMGATEWAY_")}
    environ |= {"STATE_DIRECTORY": str(folder)}
    environ.pop("RUNTIME_DIRECTORY", None)
    config = parse_config(DEMO_CONFIG, folder / "config.toml", environ, provider_types=PROVIDER_FACTS)
    program = "llmgateway" if Path(sys.argv[0]).name == "llmgateway" else f"{sys.executable} -m gateway"
    print(DEMO_TEXT.format(address="http://127.0.0.1:8000", program=program), flush=True)
    try:
        return run_daemon(config, environ)
    finally:
        for path in sorted(folder.glob("*")):
            path.unlink(missing_ok=True)
        folder.rmdir()


def demo_folder() -> Path:
    """The same for every demo of a user, so that `llmgateway status` finds it."""
    return Path(tempfile.gettempdir()) / f"llmgateway-demo-{os.getuid()}"


def run_daemon(config: Config, environ: dict[str, str]) -> int:
    """Build the daemon in a fresh loop and run it to its end."""
    import asyncio

    from gateway.daemon import Daemon, admin_socket_path
    from gateway.observe.logs import Log

    allow_many_connections()
    log = Log(config.logging.level)

    async def live() -> None:
        daemon = Daemon(config, environ, admin_socket_path(environ, config.state_dir), log=log)
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
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def loop_factory() -> Any:
    """uvloop's where it can be imported; the standard library's is slower, not different."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
