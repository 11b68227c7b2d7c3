"""Probes: looking at keys without traffic, one prober per provider, as a task in the daemon's loop.

What is probed: what the pool asks for (untested keys, and those whose rest is over where a probe decides), and valid
keys that have had no success for `health.success`. A live success counts as a probe. A probe is a call like any other,
through the same exchange and the same classifier, and its verdict is reported to the pool like a request's.

Kinds: `models` lists the provider's models, which is free and proves the credential alone: of its failures only those
of the credential or the balance count, and about a key that may not list them live requests decide. `request` is a tiny
completion; all that it says counts. With `shared_key_status = false` a request is made for each model in use.

While the provider's circuit is open or full of trials (`upstream/breakers.py`) nothing is probed but for the operator;
of a half-open one a request is a trial, a list of models, which tells nothing about requests, is not.

Invariants: a probe that gets no answer changes no key; at most `probe.concurrency` at once, their calls
`probe.min_interval` apart, those for the operator included, each within `probe.timeout`; batches grow and shrink as
`policy/pacing.py` says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import field

from gateway import jsonlib
from gateway.observe.logs import Log
from gateway.policy.pacing import Pace
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.quick import dataclass
from gateway.upstream.breakers import UNCOUNTED
from gateway.upstream.exchange import Call, Exchange
from gateway.upstream.key import Key, Rest
from gateway.upstream.provider import Provider
from gateway.upstream.questions import listing_call, tiny_call

SWEEPS = 24
"""Looks at all keys within `health.success`, so that a key is probed at most 4 % of that too late, and one whose probe
said nothing about it is probed again an hour later."""

SLICE = 500
"""Keys looked at in one turn of the loop."""

APART = 0.005
"""Seconds between the beginnings of two probes at least, whatever is configured: two hundred that begin in the same
moment end in the same moment, too, and hold up the requests of that moment by 40 ms."""

JITTER = 0.2
"""Share by which a key's checks come earlier or later, so that those of a file do not come together for ever."""

CANARY_TICK = 1.0
"""Seconds between two looks at whether the guard is due for a probe, or an open circuit admits any."""

MODELS_PROBED = 20
"""Models in use that a key is probed for, where each has its own status."""

TELLING = frozenset({Status.SUSPECT, Status.INVALID_KEY, Status.NO_QUOTA})
"""Of a list of models: verdicts on the key."""

TRANSIENT = frozenset({Status.SERVER_ERROR, Status.OVERLOADED, Status.TIMEOUT, Status.NETWORK_ERROR, Status.UNKNOWN})

SKIPPED = "skipped"
"""The outcome of a probe that was not made: the key is disabled or gone, or a request was faster."""

Note = Callable[[Provider, str], None]
"""Told of every probe's outcome: "success" or the verdict's status."""


@dataclass(slots=True)
class Checked:
    """What came of probing some keys now, for the operator. `benched`: of keys, the statuses that keep them from being
    used after the probe; that a key may list its models does not give it its quota back."""

    total: int
    done: int = 0
    ended: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    benched: Counter[str] = field(default_factory=Counter)


class Prober:
    """One provider's probes. `sleep` and `clock` (unix seconds) are the world's."""

    def __init__(
        self,
        provider: Provider,
        exchange: Exchange,
        log: Log,
        clock: Callable[[], float],
        note: Note,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.provider = provider
        self._pool = provider.pool
        self._exchange = exchange
        self._log = log
        self._clock = clock
        self._note = note
        self._sleep = sleep
        self._kind = self._pool.standings.probing.kind
        health = provider.config.health
        self._pace = Pace.begin(health.batch_size, health.batch_interval)
        self._at_once = asyncio.Semaphore(provider.config.probe.concurrency)
        self._spacing = asyncio.Lock()
        self._begun_at = -1e9

    async def run(self) -> None:
        """The background task: batch after batch, as long as anything wants a probe."""
        while True:
            if self._pool.breakers.refusal() is not None:
                await self._sleep(CANARY_TICK)
                continue
            if self._pool.guard.tripped:
                await self._look_whether_it_is_over()
                continue
            batch = self._take(self._pace.size)
            if not batch:
                await self._wanted()
                continue
            outcomes = await self.probe_batch(batch)
            limited = outcomes[Status.RATE_LIMITED.value]
            transient = sum(outcomes[status.value] for status in TRANSIENT)
            self._pace = self._pace.after(len(batch), limited, transient)
            await self._sleep(self._pace.pause)

    async def _look_whether_it_is_over(self) -> None:
        """While the guard holds verdicts back, others would be for nothing: one probe at a time, when one is due."""
        canary = self._pool.next_canary()
        if canary is not None:
            await self.probe_all([Rest(canary, None)], Checked(1))
        await self._sleep(CANARY_TICK)

    async def probe_batch(self, batch: Sequence[Rest]) -> Counter[str]:
        """Probe these, beside suspects a key that is known to be good: if it is let in, what rejects them is not common
        to all. The outcomes, counted."""
        witness = self._pool.proven_key() if self._pool.lacks_witness(batch) else None
        if witness is not None:
            await self.probe_all([Rest(witness, None)], Checked(1))
        return await self.probe_all(batch)

    async def sweep(self) -> None:
        """The background task that finds valid keys without traffic, and those that a probe could not decide about."""
        while True:
            await self.look_at_all()
            await self._sleep(max(self.provider.config.health.success / SWEEPS, 1.0))

    async def look_at_all(self) -> None:
        """Let every key that is due for a look be probed."""
        now, success = self._clock(), self.provider.config.health.success
        keys = list(self._pool.standings.keys.values())
        for start in range(0, len(keys), SLICE):
            for key in keys[start : start + SLICE]:
                self._pool.standings.probing.ask(key, now - jittered(success, key))
            await asyncio.sleep(0)

    async def check(self, keys: Iterable[Key], checked: Checked) -> None:
        """Probe these now, whatever the schedule says; for the operator, who sees `checked` fill up."""
        rests = [Rest(key, None) for key in keys]
        try:
            for start in range(0, len(rests), SLICE):
                some = rests[start : start + SLICE]
                await self.probe_all(some, checked)
                checked.benched.update(
                    key.standing.status.value for key, _ in some if not (key.standing.usable or key.removed)
                )
        finally:
            checked.ended = True

    async def probe_all(self, rests: Iterable[Rest], checked: Checked | None = None) -> Counter[str]:
        """Probe these; the outcomes, counted."""
        outcomes: Counter[str] = Counter()
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            for rest in rests:
                await self._at_once.acquire()
                try:
                    await self._space_out()
                    name = f"probe of {self.provider.name}"
                    probe = group.create_task(self._counted(rest, outcomes, checked), name=name)
                except BaseException:
                    self._at_once.release()
                    raise
                under_way.add(probe)
                probe.add_done_callback(under_way.discard)
                probe.add_done_callback(self._end)  # however it ends, be it before its first step
        return outcomes

    def _end(self, probe: asyncio.Task[None]) -> None:
        self._at_once.release()

    # -- one probe ---------------------------------------------------------------------------------------------

    async def _counted(self, rest: Rest, outcomes: Counter[str], checked: Checked | None) -> None:
        outcome, standings = SKIPPED, self._pool.standings
        if checked is not None:
            outcome = await self._probe(rest)
        elif self._pool.guard.tripped or self._pool.breakers.refusal() is not None:
            standings.probing.wanted[rest] = None  # when it is over
        elif standings.probing.wants(rest):  # it may have waited for its turn
            outcome = await self._probe(rest)
        outcomes[outcome] += 1
        if checked is not None:
            checked.done += 1
            checked.outcomes[outcome] += 1

    async def _probe(self, rest: Rest) -> str:
        """Probe a key, for one model or for each in use. The last outcome that was no success, or "success"."""
        told = "success"
        for number, model in enumerate(self._models(rest)):
            if number:
                await self._space_out()
            told = await self._probe_model(rest.key, model)
            if told != SKIPPED:
                self._note(self.provider, told)
            if told != "success":
                break
        return told

    def _models(self, rest: Rest) -> list[str]:
        """The models to ask for; of a list of models the empty name."""
        if self._kind != "request":
            return [""]
        if rest.model is not None:
            return [rest.model]
        if not self.provider.config.shared_key_status:
            served = self._pool.served()[-MODELS_PROBED:]
            if served:
                return served
        return [self._model()]

    async def _probe_model(self, key: Key, model: str) -> str:
        pool, timeout = self._pool, self.provider.config.probe.timeout
        lease = pool.lease_for_probe(key, model)
        if lease is None:
            return SKIPPED
        outcome = None
        entry = pool.breakers.enter() if self._kind == "request" else UNCOUNTED
        try:
            deadline = asyncio.get_running_loop().time() + timeout
            outcome = await self._exchange.call(self.provider, key, self._call(model), deadline, entry.avoided)
        finally:
            if outcome is None:
                pool.release(lease)  # cancelled: nothing was learned
                pool.breakers.leave(entry)
        outcome.close()
        lease.way = outcome.way
        verdict = outcome.verdict
        if self._kind == "request":
            if verdict is None:
                pool.succeed(lease)
            else:
                verdict = pool.report(lease, verdict)
            pool.breakers.end(entry, verdict, outcome.way)
        elif verdict is None:
            pool.listed(lease)
        elif verdict.status in TELLING:
            verdict = pool.report(lease, verdict)
        else:
            pool.unlisted(lease, verdict)
            if may_not_list(verdict):
                pool.standings.leave_to_requests(key)
        return "success" if verdict is None else verdict.status.value

    def _call(self, model: str) -> Call:
        if self._kind != "request":
            return listing_call(self.provider)
        payload = self.provider.config.probe.payload
        return tiny_call(self.provider, model, jsonlib.loads(payload) if payload else {})

    def _model(self) -> str:
        config = self.provider.config
        named = config.probe.model or config.default_model or next(iter(self.provider.models), "")
        return self.provider.upstream_model(named)

    # -- when --------------------------------------------------------------------------------------------------

    def _take(self, size: int) -> list[Rest]:
        """What has waited longest for a probe, without what needs none any more."""
        wanted = self._pool.standings.probing.wanted
        batch: list[Rest] = []
        while wanted and len(batch) < size:
            rest = next(iter(wanted))
            del wanted[rest]
            if self._pool.standings.probing.wants(rest):
                batch.append(rest)
        return batch

    async def _wanted(self) -> None:
        """Wait until something wants a probe; the sweep and the pool both say so."""
        self._pool.standings.probing.came_up.clear()
        if not self._pool.standings.probing.wanted:
            await self._pool.standings.probing.came_up.wait()

    async def _space_out(self) -> None:
        """Wait for the moment of the next call, at least `probe.min_interval` after the last one, whoever made it."""
        apart = max(self.provider.config.probe.min_interval, APART)
        async with self._spacing:
            pause = self._begun_at + apart - self._clock()
            if pause > 0:
                await self._sleep(min(pause, apart))
            self._begun_at = self._clock()


def may_not_list(verdict: Verdict) -> bool:
    """Whether a list of models was refused for what it is: the key may not see it, or the provider has none."""
    return verdict.scope is Scope.CLIENT or (verdict.blames_key and verdict.status is Status.NO_ACCESS)


def jittered(seconds: float, key: Key) -> float:
    """The same for a key every time, and different for its neighbours."""
    return seconds * (1 - JITTER + 2 * JITTER * key.digest[-1] / 255)
