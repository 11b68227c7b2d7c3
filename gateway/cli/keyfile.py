"""A provider's key files in the hands of commands: finding, locking, reading and writing them.

Whatever edits one does so with the lock held, atomically, keeping owner and mode, and asks the daemon for a sync after
that. The daemon need not be running.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.admin import DaemonError, call_for
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.config.provider import ProviderConfig


def find_provider(args: argparse.Namespace) -> ProviderConfig:
    """The provider that `args.provider` names, by the configuration; empty: the only one with key files."""
    from gateway.config.load import find_config, load_config
    from gateway.providers import PROVIDER_FACTS

    config = load_config(find_config(args.config, os.environ), os.environ, provider_types=PROVIDER_FACTS)
    if not args.provider:
        with_keys = [provider for provider in config.providers.values() if provider.keys]
        if len(with_keys) != 1:
            names = ", ".join(provider.name for provider in with_keys)
            raise GatewayError("there is not just one provider with keys", hint=f"name it with --provider: {names}")
        return with_keys[0]
    provider = config.providers.get(args.provider)
    if provider is None:
        names = ", ".join(config.providers) or "none"
        raise GatewayError(f"there is no provider {args.provider!r}", hint=f"providers: {names}")
    if not provider.keys:
        raise GatewayError(f"the provider {args.provider!r} needs no keys", hint='give it a key file: keys = "FILE"')
    return provider


def key_paths(args: argparse.Namespace) -> list[Path]:
    """The key files and folders of the provider."""
    return [Path(path) for path in find_provider(args).keys]


def file_to_extend(paths: Sequence[Path]) -> Path:
    """Where new keys go: the provider's first file, or one of our own in its first folder. Its folder is made."""
    first = paths[0]
    first.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return first / "added.txt" if first.is_dir() else first


@contextmanager
def locked(paths: Sequence[Path]) -> Iterator[None]:
    """Two commands at once must not undo each other's edits of a provider's files, or of files that it shares.

    Every folder that is there is locked, in order, so that two commands never wait for each other.
    """
    import fcntl

    with ExitStack() as held:
        for folder in sorted({path if path.is_dir() else path.parent for path in map(_real, paths)}):
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # nothing is written where nothing can be
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _real(path: Path) -> Path:
    """Where a write really goes, see `config/files.py`."""
    return Path(os.path.realpath(path))


def read_text(path: Path) -> str:
    """With its own line ends. A file that is no text is not edited: who knows what would be lost."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise GatewayError(f"{path} is no UTF-8 text", hint="nothing was changed; save it as UTF-8 first")
    return text


def write_text(path: Path, text: str) -> None:
    from gateway.config.files import write_atomically

    write_atomically(path, text.encode(), mode=None if path.exists() else 0o600)


def ask_for_sync(args: argparse.Namespace) -> int:
    """The file is what counts; a daemon that runs takes it over at once, one that does not will read it."""
    from gateway.config.load import find_config

    try:
        answer = call_for(find_config(args.config, os.environ), args, "/admin/sync")
    except DaemonError as error:
        print(f"note: {error}; the keys count from the gateway's next start", file=sys.stderr)
        return 0
    result = answer.get(args.provider)
    if result is None:
        print(f"note: the gateway that runs has no provider {args.provider!r}", file=sys.stderr)
        return 0
    print(f"{args.provider}: {result['keys']} keys ({result['added']} added, {result['removed']} removed)")
    for problem in result["problems"]:
        print(f"note: {problem}", file=sys.stderr)
    return 0
