"""`llmgateway serve --demo`: the built-in provider in a folder of its own, which goes away with it.

Invariant: whoever holds the folder's lock owns the folder; nobody else writes, empties or removes it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.program import program
from gateway.errors import AddressTaken, StartError

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
{remark}
Try it in another terminal:

  curl {address}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "demo", "messages": [{{"role": "user", "content": "Hello there"}}]}}'

  curl -N {address}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "demo", "stream": true, "messages": [{{"role": "user", "content": "Hello there"}}]}}'

After some of them, see which keys are benched, and why:

  {status}

Ctrl-C ends the demo and leaves nothing behind.
"""

PORT = 8000
LISTEN = "LLMGATEWAY__SERVER__LISTEN"
"""The one setting that a demo takes from the environment; the others are about gateways of another kind."""

ELSEWHERE = f"""
Port {PORT} is taken, so it listens on another one. To choose one: {LISTEN}=127.0.0.1:9000
"""


@contextmanager
def demo() -> Iterator[tuple[Config, dict[str, str], Callable[[list[str]], None]]]:
    """A configuration and an environment to run the daemon with, and what tells people about it once it serves.

    Afterwards all is gone. Raises StartError when a demo runs already.
    """
    from gateway.config.load import config_if_any, load_config
    from gateway.providers import PROVIDER_FACTS
    from gateway.providers.echo import DEMO_KEYS

    with _own_folder() as folder:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMGATEWAY_")}
        environ |= {"STATE_DIRECTORY": str(folder)}
        environ.pop("RUNTIME_DIRECTORY", None)
        port, remark = PORT, ""
        if os.environ.get(LISTEN):
            environ[LISTEN] = os.environ[LISTEN]
        elif not _is_free(PORT):
            port, remark = 0, ELSEWHERE
        (folder / "demo.txt").touch(0o600)
        (folder / "demo.txt").write_text("".join(f"{key}\n" for key in DEMO_KEYS))
        (folder / "config.toml").write_text(CONFIG.format(port=port))

        def announce(addresses: list[str]) -> None:
            status = f"{program()} status"
            if config_if_any(None, os.environ) is not None:  # its gateway would be asked
                status += f" --socket {shlex.quote(str(folder / 'admin.sock'))}"
            print(TEXT.format(address=_url(addresses[0]), status=status, remark=remark), flush=True)

        try:
            yield load_config(folder / "config.toml", environ, provider_types=PROVIDER_FACTS), environ, announce
        except AddressTaken as error:
            hint = f"another process listens there; choose another address: {LISTEN}=127.0.0.1:9000"
            raise StartError(error.message, detail=error.detail, hint=hint) from error


def demo_folder() -> Path:
    """The same for every demo of a user, so that `llmgateway status` finds it."""
    from tempfile import gettempdir

    return Path(gettempdir()) / f"llmgateway-demo-{os.getuid()}"


@contextmanager
def _own_folder() -> Iterator[Path]:
    """The folder, empty and locked; afterwards it is gone."""
    import shutil

    folder = demo_folder()
    lock = _lock(folder)
    try:
        for left in folder.iterdir():  # by a demo that was killed
            left.unlink()
        try:
            yield folder
        finally:
            if _is_at(folder, lock):
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    """The descriptor that holds the folder; closing it gives the folder up. Raises StartError."""
    import fcntl

    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise StartError("the demo's folder belongs to somebody else", detail=str(folder), hint="set TMPDIR")
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StartError("a demo runs already", detail=str(folder), hint="end it with Ctrl-C") from None
        if _is_at(folder, lock):
            return lock
        os.close(lock)  # another demo has ended meanwhile, and has taken this folder with it


def _is_at(folder: Path, descriptor: int) -> bool:
    """Whether the folder is still the one that was opened: it may have been removed, and made anew by another demo."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _url(address: str) -> str:
    """How curl is told of it."""
    path = address.removeprefix("unix:")
    return f"http://{address}" if path == address else f"--unix-socket {shlex.quote(path)} http://localhost"
