"""From key files to the pool and the database.

The files are the truth. A reading is taken in a thread, compared with the pool, and applied in slices, so that a file
of a hundred thousand keys changes while requests go on. A key that is new (or returns) gets the history that the
database has of it; a key that is gone leaves the pool at once and stays in the database as removed.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from gateway import jsonlib
from gateway.errors import StoreError
from gateway.keeper.keyfiles import KeyEntry, KeySource, ShrinkGuard, SourceReading
from gateway.observe.logs import Log
from gateway.policy.health import ALL_MODELS, UNTESTED, VALID, Standing
from gateway.policy.verdict import Provenance, Status
from gateway.store.keys import KeyStatusRow, KeyStore
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool

SLICE = 250
"""Keys applied in one turn of the loop: about a millisecond."""

READ_SECONDS = 60.0
"""How long reading a provider's files may take, on a slow network disk too."""

FREEZE_FROM = 5000
"""New keys after which the garbage collector is told to leave them alone: they live as long as the process, and
walking a hundred thousand of them would hold every request up."""


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What one look at a provider's files changed."""

    keys: int
    added: int = 0
    removed: int = 0
    held: bool = False
    problems: tuple[str, ...] = ()


class KeySync:
    """One provider's files. `clock` gives unix seconds."""

    def __init__(
        self,
        pool: KeyPool,
        source: KeySource,
        store: KeyStore,
        log: Log,
        clock: Callable[[], float],
        *,
        rng: Random,
        shrink_guard: bool,
    ) -> None:
        self._pool = pool
        self._source = source
        self._store = store
        self._log = log
        self._clock = clock
        self._rng = rng
        self._guard = ShrinkGuard() if shrink_guard else None
        self._stamp: object = None
        self._held = False
        self._stored = False  # the database has what memory has
        self._lock = asyncio.Lock()
        self._told: tuple[str, ...] = ()
        self.files: list[dict[str, Any]] = []

    async def sync(self, *, force: bool = False) -> SyncResult:
        """Look at the files; read and apply them if anything changed, or when forced."""
        async with self._lock:
            stamp = self._source.stamp()
            if not force and stamp == self._stamp and not self._held and self._stored:
                return SyncResult(len(self._pool.keys))
            async with asyncio.timeout(READ_SECONDS):
                reading, plan = await asyncio.to_thread(self._read)
            self._stamp = stamp if not reading.unstable else None
            return await self._apply(reading, plan)

    def _read(self) -> tuple[SourceReading, Plan]:
        reading = self._source.read()
        plan = make_plan(reading.entries, self._pool)
        self._rng.shuffle(plan.added)  # slices are shuffled by the pool, but a file may have thousands bad in a row
        return reading, plan

    async def _apply(self, reading: SourceReading, plan: Plan) -> SyncResult:
        self._report_files(reading)
        before = len(self._pool.keys)
        self._held = self._guard is not None and self._guard.judge(before, len(plan.keys)) == "hold"
        if self._held:
            self._log.warning(
                "keys_shrink_held", provider=self._pool.provider, keys=before, reading=len(plan.keys),
                hint="the next look at the files decides",
            )  # fmt: skip
            return SyncResult(before, held=True, problems=reading.problems)
        for digests in _slices(plan.removed):
            self._pool.remove(digests)
            await asyncio.sleep(0)
        if plan.added or plan.removed or not self._stored:
            await self._save(plan)
        if plan.added:
            await self._restore(plan)
        for keys in _slices(plan.added):
            self._pool.add(keys)
            await asyncio.sleep(0)
        if plan.added or plan.removed:
            self._log.info(
                "keys_synced", provider=self._pool.provider, keys=len(plan.keys),
                added=len(plan.added), removed=len(plan.removed),
            )  # fmt: skip
        if len(plan.added) >= FREEZE_FROM:
            gc.freeze()
        return SyncResult(len(self._pool.keys), len(plan.added), len(plan.removed), problems=reading.problems)

    async def _restore(self, plan: Plan) -> None:
        """Give new keys the standing that the database remembers, deadlines verbatim."""
        new = {key.digest.hex(): key for key in plan.added}
        try:
            rows = await self._store.load_statuses(self._pool.provider)
        except StoreError as error:
            self._log.error("statuses_not_restored", provider=self._pool.provider, detail=str(error))
            return
        for n, row in enumerate(rows):
            key = new.get(row.digest)
            if key is not None:
                restore_standing(key, row)
            if n % 1000 == 999:
                await asyncio.sleep(0)

    async def _save(self, plan: Plan) -> None:
        """The whole set at first and after a failure, later the difference."""
        provider, now = self._pool.provider, self._clock()
        new = {key.digest.hex() for key in plan.added}
        try:
            if self._stored:
                added = [row for row in plan.rows if row[0] in new]
                await self._store.add_and_remove(provider, added, [digest.hex() for digest in plan.removed], now)
            else:
                await self._store.sync_keys(provider, plan.rows, now)
            self._stored = True
        except StoreError as error:
            self._stored = False  # memory is ahead; the next look writes again
            self._log.error("keys_not_stored", provider=self._pool.provider, detail=str(error))

    def _report_files(self, reading: SourceReading) -> None:
        self.files = [
            {
                "path": str(report.path),
                "keys": report.keys,
                "broken": report.broken,
                "world_readable": report.world_readable,
                "problems": list(report.problems),
            }
            for report in reading.files
        ]
        if reading.problems != self._told:
            self._told = reading.problems
            for problem in reading.problems:
                self._log.warning("key_file", provider=self._pool.provider, problem=problem)


@dataclass(frozen=True, slots=True)
class Plan:
    """A reading compared with the pool. `rows` are (digest in hex, fingerprint, labels as JSON) for the database."""

    keys: dict[bytes, KeyEntry]
    added: list[Key]
    removed: list[bytes]
    rows: list[tuple[str, str, str]]


def make_plan(entries: Iterable[KeyEntry], pool: KeyPool) -> Plan:
    """Runs in a thread; gives the interpreter lock away often. Only the Keeper changes which keys the pool has."""
    known = pool.keys
    keys: dict[bytes, KeyEntry] = {}
    added: list[Key] = []
    rows: list[tuple[str, str, str]] = []
    for n, entry in enumerate(entries):
        digest = entry.secret.digest
        if digest in keys:
            continue
        keys[digest] = entry
        present = known.get(digest)
        if present is None:
            added.append(Key(entry.secret, digest, entry.labels))
        elif present.labels != entry.labels:
            present.labels = entry.labels
        labels = jsonlib.dumps(dict(entry.labels)).decode() if entry.labels else "{}"
        rows.append((digest.hex(), entry.secret.fingerprint, labels))
        if n % 200 == 199:
            time.sleep(0)
    removed = [digest for digest in list(known) if digest not in keys]
    return Plan(keys, added, removed, rows)


def restore_standing(key: Key, row: KeyStatusRow) -> None:
    """Put a row of the database back into a key's memory."""
    status = Status(row.status)
    if status is Status.VALID and not row.streak:
        standing = VALID
    elif status is Status.UNTESTED and not row.streak and row.until is None:
        standing = UNTESTED
    else:
        standing = Standing(
            status=status,
            until=row.until,
            provenance=Provenance(row.provenance),
            reason=row.reason,
            evidence=row.last_error,
            failing_since=row.failing_since,
            streak=row.streak,
            proven=row.proven,
        )
    if row.model == ALL_MODELS:
        key.standing = standing
        key.checked_at = row.checked_at or 0.0
    elif not standing.usable:
        key.models = {**(key.models or {}), row.model: standing}


def _slices(items: list[Any]) -> Iterable[list[Any]]:
    for start in range(0, len(items), SLICE):
        yield items[start : start + SLICE]
