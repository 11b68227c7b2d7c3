"""From key files to the pool and the database.

The files are the truth. They are looked at in a thread, compared with the pool, and what differs is applied in slices,
so that a file of a hundred thousand keys changes while requests go on. A key that is new (or returns) gets the history
that the database has of it; a key that is gone leaves the pool at once and stays in the database as removed.

Invariants:

- Only a sync changes which keys the pool has, one look at a time (`turn`); so a comparison made in the thread still
  holds when it is applied.
- A look is done when all of it was applied. One that is cancelled or fails on the way is begun again by the next look.
- No key comes without its history, least of all one that the operator has disabled: while that cannot be read, new
  keys stay out, and the next look tries again. Nothing else waits for the database; the next look that finds it back
  writes the whole set.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from math import inf
from pathlib import Path
from random import Random
from typing import Any, TypeVar, overload

from gateway import jsonlib
from gateway.errors import StoreError
from gateway.keeper.keyfiles import FileReport, KeyEntry, KeySource, Losses, ShrinkGuard, SourceReading
from gateway.keeper.look import Look
from gateway.keeper.pace import let_others_go_first, paced, uncollected
from gateway.observe.logs import Log
from gateway.policy.health import ALL_MODELS, UNTESTED, VALID, Standing
from gateway.policy.verdict import Provenance, Status
from gateway.quick import dataclass
from gateway.store.keys import DIGESTS, Entry, KeyStatusRow, KeyStore
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool

SLICE = DIGESTS
"""Keys applied in one turn of the loop, after one read of the database: some two milliseconds. Of fewer, going to the
database and back would take most of the time."""

SAVED_AT_ONCE = 2000
"""Keys written in one transaction of a difference, since its rows are made on the loop, in some three milliseconds."""

COMPARED_AT_ONCE = 1000
"""Keys compared between two pauses: about two milliseconds."""

FREEZE_FROM = 5000
"""New keys after which the garbage collector is told to leave them alone: they live as long as the process, and
walking a hundred thousand of them would hold every request up."""

LOST = "lost more than half of its keys at once; those it had are kept until the next look confirms it"

BUCKETS = 256
"""As many as a byte has values: keys are sorted by the first byte of their digest first."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What one look at a provider's files changed."""

    keys: int
    added: int = 0
    removed: int = 0
    held: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A reading compared with the pool: `keys` in the files, and what differs. `whole`: the database is to have all of
    it written, not only what differs."""

    keys: int
    added: list[Key]
    removed: list[bytes]
    relabelled: list[tuple[Key, Mapping[str, str]]]
    whole: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the files brought. `stamp` is None when they must be looked at again."""

    stamp: object
    reading: SourceReading
    plan: Plan
    losses: Losses


class KeySync:
    """One provider's files. `clock` gives unix seconds. `shrink_guard` may be changed between looks.

    `turn` is taken for each look; a sync that follows another one on the same pool is given that one's.
    """

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
        turn: asyncio.Lock | None = None,
    ) -> None:
        self.pool = pool
        self.turn = turn or asyncio.Lock()
        self.shrink_guard = shrink_guard
        self.files: list[dict[str, Any]] = []
        self._source = source
        self._store = store
        self._log = log
        self._clock = clock
        self._rng = rng
        self._guard = ShrinkGuard()
        self._looking: Look[Seen | None] = Look()
        self._stamp: object = None  # of the files as they were when a look at them was applied last
        self._held = False
        self._stored = False  # the database has what memory has
        self._partial = False  # some of the database's keys may be in a file that could never be read
        self._waiting = 0  # new keys that stay out until their history can be read
        self._told: frozenset[str] = frozenset()

    async def sync(self, *, force: bool = False, save: bool = True) -> SyncResult:
        """Look at the files; read and apply them if anything changed, or when forced. One look waits for another.

        Without `save` the database learns of it at the next look, which then comes as if something had changed.
        Raises nothing: what is wrong with the files is in the result, what is wrong with the database in the log.
        """
        async with self.turn:
            return await self._sync(force, save)

    async def _sync(self, force: bool, save: bool) -> SyncResult:
        try:
            seen = await self._looking.take(lambda: self._look(force))
        except TimeoutError as exc:
            problem = f"the key files {exc}"
            self._tell((problem,))
            return SyncResult(len(self.pool.standings.keys), problems=(problem,))
        if seen is None:
            return SyncResult(len(self.pool.standings.keys))
        self._stamp = None  # until all of it was applied
        result = await self._apply(seen, save)
        self._stamp = None if self._waiting else seen.stamp
        return result

    def _look(self, force: bool) -> Seen | None:
        """In the thread. None: nothing has changed since the last look."""
        stamp = self._source.stamp()
        if not force and stamp == self._stamp and not self._held and self._stored:
            return None
        reading = self._source.read()
        whole = not self._stored or (self._partial and not reading.partial)
        with uncollected():
            plan = make_plan(reading.entries, self.pool, self._rng, whole=whole)
        losses = (
            self._guard.losses({self.pool.standings.keys[digest].secret for digest in plan.removed})
            if plan.removed
            else {}
        )
        return Seen(None if reading.unstable else stamp, reading, plan, losses)

    async def _apply(self, seen: Seen, save: bool) -> SyncResult:
        reading, plan = seen.reading, seen.plan
        doubted = self._guard.doubt(seen.losses) if self.shrink_guard else ()
        self.files = [_describe(report, doubted) for report in reading.files]
        self._tell(reading.problems)
        self._held = bool(doubted)
        if self._held:
            self._log.warning(
                "keys_shrink_held", provider=self.pool.provider, keys=len(self.pool.standings.keys), reading=plan.keys,
                files=doubted, hint="the next look at the files decides",
            )  # fmt: skip
            lost = tuple(f"{path}: {LOST}" for path in doubted)
            return SyncResult(len(self.pool.standings.keys), held=True, problems=(*reading.problems, *lost))
        self._guard.believe(reading.by_file)  # first: a loss that was confirmed is not doubted when half of it is done
        self._stored, self._partial = False, reading.partial
        self._waiting = await self._change_pool(plan)
        if save and not self._waiting:
            await self._save(plan, everything=plan.whole and not reading.partial)
        keys, added, problems = len(self.pool.standings.keys), len(plan.added) - self._waiting, reading.problems
        if added or plan.removed:
            self._log.info(
                "keys_synced", provider=self.pool.provider, keys=keys, added=added, removed=len(plan.removed)
            )  # fmt: skip
        if added >= FREEZE_FROM:
            gc.freeze()
        if self._waiting:
            problems += (f"{self._waiting} new keys wait until the database can be read",)
        return SyncResult(keys, added, len(plan.removed), problems=problems)

    async def _change_pool(self, plan: Plan) -> int:
        """Removed keys leave first. New ones come with the standing that the database remembers, deadlines verbatim.

        Returns how many could not come, because the database cannot be read."""
        for digests in _slices(plan.removed, SLICE):
            self.pool.standings.remove(digests)
            await let_others_go_first()
        for changes in _slices(plan.relabelled, SLICE):
            for key, labels in changes:
                self.pool.standings.relabel(key, labels)
            await let_others_go_first()
        waiting = 0
        for keys in _slices(plan.added, SLICE):
            if waiting or not await self._restore(keys):  # a database that is away is waited for once
                waiting += len(keys)
                continue
            self.pool.standings.add(keys)
            await let_others_go_first()
        return waiting

    async def _restore(self, keys: Sequence[Key]) -> bool:
        """Whether the database could be asked."""
        by_digest = {key.digest.hex(): key for key in keys}
        try:
            rows = await self._store.load_statuses(self.pool.provider, list(by_digest))
        except StoreError as error:
            if not self._waiting:  # else it is in the log already
                self._log.error("statuses_not_restored", provider=self.pool.provider, detail=str(error))
            return False
        for row in rows:
            restore_standing(by_digest[row.digest], row)
        return True

    async def _save(self, plan: Plan, *, everything: bool) -> None:
        """The whole set at first and after a failure (`everything`: what else the database has is gone), later the
        difference. Where some files could not be read, nobody can say what is gone."""
        provider, now = self.pool.provider, self._clock()
        relabelled = (key for key, _ in plan.relabelled)
        keys = self.pool.standings.keys.values() if plan.whole else chain(plan.added, relabelled)
        try:
            if everything:
                await self._store.sync_keys(provider, Rows(list(keys)), now)
            else:
                for some in _slices(keys, SAVED_AT_ONCE):
                    await self._store.add_and_remove(provider, [_row(key) for key in some], [], now)
                for digests in _slices(plan.removed, SAVED_AT_ONCE):
                    await self._store.add_and_remove(provider, [], [digest.hex() for digest in digests], now)
            self._stored = True
        except StoreError as error:  # memory is ahead; the next look writes again
            self._log.error("keys_not_stored", provider=provider, detail=str(error))

    def _tell(self, problems: tuple[str, ...]) -> None:
        """Each problem once, as long as it lasts."""
        for problem in problems:
            if problem not in self._told:
                self._log.warning("key_file", provider=self.pool.provider, problem=problem)
        self._told = frozenset(problems)


class Rows(Sequence[Entry]):
    """What the database is told of keys: made where it is taken, which is in its own thread if there is a lot of it. As
    a list for a hundred thousand keys it would hold the loop up for 50 ms, only to be freed."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        return [_row(key) for key in self._keys[at]] if isinstance(at, slice) else _row(self._keys[at])


def _row(key: Key) -> Entry:
    return key.digest.hex(), key.fingerprint, jsonlib.dumps(dict(key.labels)).decode() if key.labels else "{}"


def make_plan(entries: Iterable[KeyEntry], pool: KeyPool, rng: Random, *, whole: bool) -> Plan:
    """Runs in a thread; gives the interpreter lock away often.

    New keys come in the order of their digests, from a random one on: neighbours in the database, and as good as
    shuffled for the rotation, since a file may have thousands of bad ones in a row.
    """
    known = pool.standings.keys
    kept: set[bytes] = set()
    new: list[tuple[bytes, KeyEntry]] = []
    relabelled: list[tuple[Key, Mapping[str, str]]] = []
    for entry in paced(entries, COMPARED_AT_ONCE):
        digest = entry.secret.digest
        present = known.get(digest)
        if present is None:
            new.append((digest, entry))
        else:
            kept.add(digest)
            if present.labels != entry.labels:
                relabelled.append((present, entry.labels))
    keys = len(kept) + len(new)
    sorted_new = _in_order(new, rng.randrange(BUCKETS) if new else 0)
    added = [Key(entry.secret, digest, entry.labels) for digest, entry in paced(sorted_new, COMPARED_AT_ONCE)]
    removed = [digest for digest, _ in _in_order((digest, None) for digest in list(known) if digest not in kept)]
    return Plan(keys, added, removed, relabelled, whole)


def restore_standing(key: Key, row: KeyStatusRow) -> None:
    """Put a row of the database back into a key's memory. One in words that are not known here counts as none."""
    try:
        status, provenance = Status(row.status), Provenance(row.provenance)
    except ValueError:
        return
    if status is Status.VALID and not row.streak:
        standing = VALID
    elif status is Status.UNTESTED and not row.streak and row.until is None:
        standing = UNTESTED
    else:
        standing = Standing(
            status=status,
            until=row.until,
            provenance=provenance,
            reason=row.reason,
            evidence=row.last_error,
            failing_since=row.failing_since,
            streak=row.streak,
            proven=row.proven,
            failed_at=inf if row.streak else 0.0,  # nobody knows; as if it were just now
        )
    if row.model == ALL_MODELS:
        key.standing = standing
        key.checked_at = row.checked_at or 0.0
    elif not standing.usable:
        key.models = {**(key.models or {}), row.model: standing}


def _describe(report: FileReport, doubted: Sequence[Path]) -> dict[str, Any]:
    """A file for `llmgateway status`."""
    return {
        "path": str(report.path),
        "keys": report.keys,
        "broken": report.broken,
        "world_readable": report.world_readable,
        "problems": [*report.problems, *([LOST] if report.path in doubted else ())],
    }


def _in_order(pairs: Iterable[tuple[bytes, T]], first: int = 0) -> Iterator[tuple[bytes, T]]:
    """What goes with each digest, by digest, from one of the BUCKETS on: neighbours share the pages of the database,
    which is then several times as fast.

    Sorted by buckets, since a single sort of 100,000 would hold the interpreter lock for a tenth of a second, and so
    would letting go of all of them at once.
    """
    buckets: list[list[tuple[bytes, T]]] = [[] for _ in range(BUCKETS)]
    for pair in pairs:
        buckets[pair[0][0]].append(pair)
    for n in range(first, first + BUCKETS):
        bucket = buckets[n % BUCKETS]
        yield from sorted(bucket)  # no two digests are alike, so that nothing else is compared
        bucket.clear()


def _slices(items: Iterable[T], size: int) -> Iterable[list[T]]:
    following = iter(items)
    while some := list(islice(following, size)):
        yield some
