"""Inventories: files that say which keys are in which status, `PATH/PROVIDER/STATUS.ndjson`, for whoever reads files.

A line is a JSON object: a key by fingerprint and digest, its status and why, its labels; with `full_keys` also the key
itself as "value", so that such a file is a key file. A key that has statuses of its own for single models has a line
for each of them.

Invariants:

- A file appears whole or not at all, belongs to its owner alone, and is written only when it would change.
- All of it is done in a thread, one at a time; the loop only takes the list of keys.
- Nothing is removed but files that are named like a status. Those of an inventory that is switched off, or goes
  elsewhere, by a reload are.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gateway import jsonlib
from gateway.config.files import write_atomically
from gateway.config.model import InventoryConfig
from gateway.observe.logs import Log
from gateway.policy.health import Standing
from gateway.policy.verdict import Status
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.listing import describe, standings, with_secret

WRITE_SECONDS = 60.0
"""How long writing may take, on a slow network disk too; the next round waits for it."""

SLICE = 200
"""Lines made before other threads may run: less than a millisecond."""

RESTLESS = ("checked_at", "provenance")
"""Fields of a key that are left out: every request would change the first one, and with it the file."""

FILES = {status.value: f"{status.value}.ndjson" for status in Status}

Lines = list[tuple[Key, str | None, Standing]]


class Inventory:
    """Arranged at start and at each reload; `run` is its background task."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._config = InventoryConfig()
        self._pools: Mapping[str, KeyPool] = {}
        self._writer = Writer()
        self._writing: asyncio.Future[None] | None = None
        self._left: dict[str, InventoryConfig] = {}  # by path: what was written there is to be removed
        self._arranged = asyncio.Event()
        self.failure = ""  # why the files are not as they should be; empty: they are

    def arrange(self, config: InventoryConfig, pools: Mapping[str, KeyPool]) -> None:
        """Write about these pools from now on, at once for the first time."""
        if config != self._config:
            self._writer = Writer()
        was = self._config
        if was.enabled and not (config.enabled and config.path == was.path):
            self._left[was.path] = was
        self._config, self._pools = config, pools
        self._arranged.set()

    async def run(self) -> None:
        while True:
            self._arranged.clear()
            await self._leave()
            if self._config.enabled:
                await self.write()
            try:
                async with asyncio.timeout(self._config.interval if self._config.enabled else None):
                    await self._arranged.wait()
            except TimeoutError:
                pass

    async def write(self) -> None:
        """Once, now. What goes wrong is logged, as long as it goes on only once."""
        keys = {name: list(pool.standings.keys.values()) for name, pool in self._pools.items()}
        self._tell(await self._do(self._writer, self._config, keys), "inventory_not_written")

    async def _leave(self) -> None:
        """Remove what is to be written no more, after a writing that is still under way."""
        while self._left:
            while self._writing is not None:
                await self._do(self._writer, self._config, {})
            _, config = self._left.popitem()
            self._tell(await self._do(Writer(), config, {}), "inventory_not_removed")

    async def _do(self, writer: Writer, config: InventoryConfig, keys: Mapping[str, Sequence[Key]]) -> str:
        """In the thread, or wait for what is done there already. Why it failed, if it did."""
        if self._writing is None:
            self._writing = asyncio.get_running_loop().run_in_executor(None, writer.write, config, keys)
        failure = ""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await asyncio.shield(self._writing)
        except TimeoutError:
            failure = f"it takes longer than {WRITE_SECONDS:g} s"
        except OSError as error:
            failure = f"{error.filename or config.path}: {error.strerror or error}"
        finally:
            if self._writing.done():
                self._writing = None
        return failure

    def _tell(self, failure: str, event: str) -> None:
        if failure and failure != self.failure:
            self._log.error(event, detail=failure, hint="inventory.path must be a writable folder")
        self.failure = failure


class Writer:
    """What runs in the thread. Knows what it has written, so that it need not be written again."""

    def __init__(self) -> None:
        self._hashes: dict[Path, bytes] = {}

    def write(self, config: InventoryConfig, keys: Mapping[str, Sequence[Key]]) -> None:
        """Raises OSError; the files that were not reached then stay as they were. Without `keys` all are removed."""
        root = Path(config.path)
        if not keys and not root.is_dir():
            return
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for provider, present in keys.items():
            folder = root / provider
            folder.mkdir(mode=0o700, exist_ok=True)
            by_status = _sort(present)
            for status, lines in by_status.items():
                self._write_file(folder / FILES[status], provider, lines, config.full_keys)
            self._remove(folder, [name for status, name in FILES.items() if status not in by_status])
        for folder in root.iterdir():
            if folder.name not in keys and folder.is_dir():
                self._remove(folder, FILES.values())
                if not any(folder.iterdir()):
                    folder.rmdir()

    def _write_file(self, path: Path, provider: str, lines: Lines, full: bool) -> None:
        digest = hashlib.sha256()
        for line in _render(provider, lines, full):
            digest.update(line)
        if self._hashes.get(path) != digest.digest() or not path.exists():
            write_atomically(path, _render(provider, lines, full), mode=0o600)
            self._hashes[path] = digest.digest()

    def _remove(self, folder: Path, names: Iterable[str]) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)
            self._hashes.pop(folder / name, None)


def _sort(keys: Sequence[Key]) -> dict[str, Lines]:
    """What is to be said, by status. Standings are immutable, so that what is sorted here stays as it is."""
    by_status: dict[str, Lines] = {}
    for number, key in enumerate(keys):
        if number % SLICE == 0:
            time.sleep(0)
        if not key.removed:
            for model, standing in standings(key):
                by_status.setdefault(standing.status.value, []).append((key, model, standing))
    return by_status


def _render(provider: str, lines: Lines, full: bool) -> Iterator[bytes]:
    for number, (key, model, standing) in enumerate(lines):
        if number % SLICE == 0:
            time.sleep(0)
        row = describe(provider, key, model, standing)
        for name in RESTLESS:
            del row[name]
        yield jsonlib.dumps(with_secret(row, key) if full else row) + b"\n"
