"""`llmgateway serve --demo`: the built-in provider in a folder of its own, which goes away with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import StartError

if TYPE_CHECKING:
    from gateway.config.model import Config

CONFIG = """
[server]
listen = ["127.0.0.1:{port}"]

[providers.demo]
type = "echo"
keys = "demo.txt"
models = ["demo"]
"""

TEXT = """
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

PORT = 8000


@contextmanager
def demo() -> Iterator[tuple[Config, dict[str, str]]]:
    """A configuration and an environment to run the daemon with; what it is for is printed. Afterwards all is gone.

    Raises StartError when a demo runs already.
    """
    from gateway.config.load import load_config
    from gateway.providers import PROVIDER_FACTS
    from gateway.providers.echo import DEMO_KEYS

    with _own_folder() as folder:
        port = _free_port()
        (folder / "demo.txt").touch(0o600)
        (folder / "demo.txt").write_text("".join(f"{key}\n" for key in DEMO_KEYS))
        (folder / "config.toml").write_text(CONFIG.format(port=port))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMGATEWAY_")}
        environ |= {"STATE_DIRECTORY": str(folder)}
        environ.pop("RUNTIME_DIRECTORY", None)
        config = load_config(folder / "config.toml", environ, provider_types=PROVIDER_FACTS)
        print(TEXT.format(address=f"http://127.0.0.1:{port}", program=_program()), flush=True)
        yield config, environ


def demo_folder() -> Path:
    """The same for every demo of a user, so that `llmgateway status` finds it."""
    from tempfile import gettempdir

    return Path(gettempdir()) / f"llmgateway-demo-{os.getuid()}"


@contextmanager
def _own_folder() -> Iterator[Path]:
    """The folder, empty and locked; afterwards it is gone."""
    import fcntl
    import shutil

    folder = demo_folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise StartError("the demo's folder belongs to somebody else", detail=str(folder), hint="set TMPDIR")
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError("a demo runs already", detail=str(folder), hint="end it with Ctrl-C") from None
        for left in folder.iterdir():  # by a demo that was killed
            left.unlink()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _free_port() -> int:
    """The usual port, or any other one when that is taken."""
    import socket

    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return PORT


def _program() -> str:
    """What to type to run this program once more."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m gateway"
    return f"{sys.executable} {sys.argv[0]}" if called.suffix in (".py", ".pyz") else called.name
