"""What the Keeper's tests share: a provider's key file, its pool, and a real database, all in one folder."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from gateway.config.provider import HealthConfig
from gateway.keeper.keyfiles import KeySource
from gateway.keeper.statuses import StatusWriter
from gateway.keeper.sync import KeySync
from gateway.observe.logs import Log
from gateway.policy.verdict import Provenance, Scope, Status, Verdict
from gateway.secret import Secret
from gateway.store import open_store
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from gateway.store.responses import ResponseStore
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.owners import Owner, ResponseOwners
from tests.conftest import run

NOW = 1_750_000_000.0
MODEL = "gpt-4o-mini"
FILE = "store.db"


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """With another inode, as editors do it: what is written in place within a tick of the clock looks the same."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    new.chmod(mode)
    new.replace(path)


class Rig:
    """A daemon's worth of Keeper for one provider called main, whose keys are in `path` (a file or a folder)."""

    def __init__(self, database: Database, path: Path, *, shrink_guard: bool = True) -> None:
        self.now = NOW
        self.path = path
        self._written = io.BytesIO()
        self.log = Log(write=self._written.write, human=False, clock=self.clock)
        self.store = KeyStore(database)
        self.database = database
        self.pool = KeyPool("main", HealthConfig(), clock=self.clock, rng=Random(1))
        self.source = KeySource((path,))
        self.sync = KeySync(
            self.pool, self.source, self.store, self.log, self.clock, rng=Random(1), shrink_guard=shrink_guard
        )
        self.owners = ResponseOwners(self._look_up)
        responses = ResponseStore(database)
        self.writer = StatusWriter(lambda: [self.pool], self.owners, self.store, responses, self.log, self.clock)

    async def _look_up(self, response_id: str) -> Owner | None:
        return None

    def clock(self) -> float:
        return self.now

    def write(self, *lines: str, name: str = "") -> None:
        """These lines, in the file or in a file of the folder."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, "".join(f"{line}\n" for line in lines).encode())

    def key(self, secret: str) -> Key:
        return self.pool.standings.keys[Secret(secret).digest]

    def secrets(self) -> list[str]:
        return sorted(key.secret.reveal() for key in self.pool.standings.keys.values())

    def bench(self, secret: str, until: float | None = None, scope: Scope = Scope.KEY) -> None:
        """The provider rate limits this key until then."""
        lease = self.pool.lease_key(self.key(secret), MODEL)
        assert lease is not None
        self.pool.report(
            lease, Verdict(scope, Status.RATE_LIMITED, "429", until, Provenance.AUTHORITATIVE, "Rate limit reached")
        )

    def succeed(self, secret: str) -> None:
        lease = self.pool.lease_key(self.key(secret), MODEL)
        assert lease is not None
        self.pool.succeed(lease)

    def logged(self, event: str) -> list[dict[str, Any]]:
        self.log.close()
        lines = [json.loads(line) for line in self._written.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def stored(self) -> dict[str, tuple[str, bool]]:
        """Fingerprint to labels and whether the key is marked as removed, as the database has them."""
        rows = await self.database.fetch("SELECT fingerprint, labels, removed_at FROM keys WHERE provider = 'main'")
        return {str(fingerprint): (str(labels), removed is not None) for fingerprint, labels, removed in rows}


@asynccontextmanager
async def rig(folder: Path, *, keys: str = "main.txt", shrink_guard: bool = True) -> AsyncIterator[Rig]:
    """A rig with the database of the folder; a second one after it is a restart."""
    database = await open_store(f"sqlite:{FILE}", folder)
    made = Rig(database, folder / keys, shrink_guard=shrink_guard)
    try:
        yield made
    finally:
        made.pool.close()
        made.log.close()
        await database.close()


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Another program holds it, and whoever writes gives up soon; at other times a busy machine is waited for."""
    writer = database._writer  # type: ignore[attr-defined]
    deadline, writer._deadline = writer._deadline, 0.05
    with closing(sqlite3.connect(database.place, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        finally:
            writer._deadline = deadline


def scenario_test(
    keys: str = "main.txt", *, shrink_guard: bool = True
) -> Callable[[Callable[[Rig], Awaitable[None]]], Callable[[Path], None]]:
    """A test that plays in a rig of its own."""

    def wrap(play: Callable[[Rig], Awaitable[None]]) -> Callable[[Path], None]:
        def test(tmp_path: Path) -> None:
            async def scenario() -> None:
                async with rig(tmp_path, keys=keys, shrink_guard=shrink_guard) as r:
                    await play(r)

            run(scenario())

        return test

    return wrap


async def cancelled(work: Coroutine[Any, Any, object], at: int) -> bool:
    """Await `work` and cancel it where it waits for the at-th time. False: it has ended before."""
    task = asyncio.create_task(_cancelling(work, at), name="to be cancelled")
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def _cancelling(work: Coroutine[Any, Any, object], at: int) -> None:
    await _each_wait(work, at)


@types.coroutine
def _each_wait(work: Coroutine[Any, Any, object], at: int) -> Generator[Any, None, None]:
    """What `await work` does, step by step."""
    task, error = asyncio.current_task(), None
    assert task is not None
    for n in count(1):
        try:
            waits_for = work.send(None) if error is None else work.throw(error)
        except StopIteration:
            return
        if n == at:
            task.cancel()
        error = None
        try:
            yield waits_for
        except BaseException as thrown:  # handed on
            error = thrown
