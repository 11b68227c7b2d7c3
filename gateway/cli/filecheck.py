"""`llmgateway config check`: what is in the key files and proxy files, and what is wrong with them.

The daemon says the same in `llmgateway status`; this needs none. No line shows what a file holds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.table import count
from gateway.keeper.keyfiles import KeySource, SourceReading
from gateway.keeper.proxyfiles import check_proxy

if TYPE_CHECKING:
    from gateway.config.model import Config


def check_files(config: Config) -> None:
    """A line for the files of each provider that is enabled, and a warning for each thing that is wrong with them. A
    proxy file that several share is looked at once."""
    looked_at = set()
    for provider in config.providers.values():
        name, file = f"providers.{provider.name}", provider.proxy.file
        if provider.enabled and provider.keys:
            _report(name, "key", KeySource(tuple(map(Path, provider.keys))).read())
        if provider.enabled and provider.proxy.listed and file not in looked_at:
            looked_at.add(file)
            _report(name, "proxy", read_proxies(file))


def read_proxies(file: str) -> SourceReading:
    """The proxies of a file or folder, by the rules of the daemon."""
    return KeySource((Path(file),), noun="proxies", check=check_proxy).read()


def _report(name: str, noun: str, reading: SourceReading) -> None:
    found = len(reading.entries)
    # In one file, or in two of them.
    duplicates = sum(file.duplicates + file.keys for file in reading.files) - found
    twice = f", {count(duplicates, 'duplicate')}" if duplicates else ""
    print(f"{name}: {count(found, noun)} in {count(len(reading.files), 'file')}{twice}")
    for problem in reading.problems:
        print(f"warning: {name}: {problem}", file=sys.stderr)
