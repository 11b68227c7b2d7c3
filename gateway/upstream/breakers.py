"""The circuit breakers of one provider: its own, and one for each way to it, which is a proxy.

Three watch over a provider, each over something else, so that nothing rests twice:

- *Faults* open a circuit here: server errors, overloads, timeouts, connections that cannot be had. Nothing is sent
  then, but for a few requests, or probes, that look whether it is over.
- *Rejections* of many keys alike close the pool (`guard.py`), since they would bench keys; here they do not count. No
  more do limits, quotas, clients' mistakes and clients that leave.
- `outage.py` names the cause to people, from the first few faults on, and closes nothing.

Rules of the file:

- A fault that came through one of several proxies counts against that proxy's circuit, too. It opens only when others
  have got through since the proxy's row of faults began; what was counted against the provider is then forgotten.
  Requests take the other proxies.
- A fault of a proxy itself (it is dead, its address is refused) never counts against the provider. Where another proxy
  is usable the proxy's own rest (`proxypool.py`) is enough; where there is none, its circuit opens like any other.
- That nothing is to be had behind a proxy may be the fault of either (`is_doubtful`): it counts like the provider's.
- An answer that breaks off after its beginning is taken back as a success and counts as a fault. A client that leaves
  takes nothing back.
- Half-open, requests avoid the proxies that failed last, where they have a choice.

How a circuit opens and closes is `policy/breaker.py`'s. A pool keeps its breakers over reloads, but not over a restart:
after it the first requests look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import NamedTuple

from gateway.config.provider import CircuitBreakerConfig
from gateway.policy.breaker import Breaker, State, Success, Versions
from gateway.policy.proxyhealth import is_doubtful
from gateway.policy.verdict import Scope, Verdict
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import Way

WAYS_LIMIT = 1000
"""Proxies that have a circuit; beyond that the oldest is forgotten. One without faults has none."""


class Circuit:
    """A breaker and what it guards: the provider, or one way to it."""

    __slots__ = ("breaker", "last_error", "mark", "way")

    def __init__(self, breaker: Breaker, way: Way | None = None) -> None:
        self.breaker = breaker
        self.way = way
        self.last_error = ""  # of the newest fault, the key masked
        self.mark = 0  # how often anybody had got through when the present row of faults began


class Entry(NamedTuple):
    """An attempt that was let in; `Breakers.end` or `Breakers.leave` ends it. `trials`: proxies that are half-open, of
    which it holds a place."""

    version: int
    avoided: Collection[Proxy] = ()
    trials: tuple[Proxy, ...] = ()


class Begun(NamedTuple):
    """An attempt whose answer has begun. It counts as a success of these circuits until `Breakers.broke` takes it back;
    `entry` is that of the rest of the answer."""

    entry: Entry
    way: Way | None
    circuits: Sequence[tuple[Circuit, Success]]


UNCOUNTED = Entry(-1)
"""One that was not let in and goes all the same, by the operator's word: older than every state."""


class Refusal(NamedTuple):
    """Why nothing is sent. `retry_after`: seconds until somebody may look; None: when the operator says so."""

    retry_after: float | None


Note = Callable[[str, Circuit], None]
"""Told of every change of state, with the provider's name."""


def tell_nobody(provider: str, circuit: Circuit) -> None:
    pass


class Breakers:
    """See the module's text. `clock` gives unix seconds."""

    def __init__(self, provider: str, clock: Callable[[], float], rng: Random, note: Note = tell_nobody) -> None:
        self.config = CircuitBreakerConfig()
        self._provider = provider
        self._clock = clock
        self._rng = rng
        self._note = note
        self._versions = Versions()
        self._successes = 0
        self._own = Circuit(Breaker(self.config, self._versions))
        self._ways: dict[Proxy, Circuit] = {}  # those that had faults
        self._shut: dict[Proxy, Circuit] = {}  # of these, those that are not closed
        self._plain = Entry(0)  # what nearly all attempts begin with
        self._reset_at = 0  # version of the operator's last word

    def configure(self, config: CircuitBreakerConfig) -> None:
        """Take over what a reload may have changed."""
        self.config = config
        for circuit in self.circuits():
            before = circuit.breaker.state
            circuit.breaker.configure(config, self._clock())
            self._heed(circuit, before)

    def circuits(self) -> list[Circuit]:
        """The provider's own, and those of its proxies that had faults, as they are now."""
        now = self._clock()
        circuits = [self._own, *self._ways.values()]
        for circuit in circuits:
            self._look(circuit, now)
        return circuits

    def state(self) -> State:
        """What requests meet: the provider's state, or that of its proxies where none is left that is closed."""
        states = [circuit.breaker.state for circuit in self.circuits()]
        if states[0] is not State.CLOSED or not self._are_all(self._shut):
            return states[0]
        return State.HALF_OPEN if State.HALF_OPEN in states else State.OPEN

    def reset(self) -> bool:
        """The operator's word: it is over. Whether anything was not closed."""
        changed = False
        for circuit in self.circuits():
            before = circuit.breaker.state
            circuit.breaker.reset(self._clock())
            changed |= self._heed(circuit, before)
        self._ways.clear()
        self._reset_at = self._versions.latest
        return changed

    # -- one attempt -------------------------------------------------------------------------------------------------

    def refusal(self) -> Refusal | None:
        """Why no attempt may begin now; None: it may."""
        own = self._own.breaker
        if own.state is State.CLOSED and not self._shut:
            return None
        now = self._clock()
        if not self._look(self._own, now).admits(now):
            return Refusal(own.retry_after(now))
        full = {proxy: way for proxy, way in self._shut.items() if not self._look(way, now).admits(now)}
        if not self._are_all(full):
            return None
        waits = (circuit.breaker.retry_after(now) for circuit in full.values())
        return Refusal(min((wait for wait in waits if wait is not None), default=None))

    def enter(self) -> Entry:
        """An attempt begins, which `refusal` has nothing against."""
        own = self._own.breaker
        if own.state is State.CLOSED and not self._shut:
            if self._plain.version != self._versions.latest:
                self._plain = Entry(self._versions.latest)
            return self._plain
        now = self._clock()
        for circuit in (self._own, *self._shut.values()):
            self._look(circuit, now)  # what changes by time is to change before the attempt gets its version
        version = own.enter(now)
        if version is None:
            return UNCOUNTED
        avoided, trials = set[Proxy](), list[Proxy]()
        for proxy, circuit in self._shut.items():
            if circuit.breaker.enter(now) is None:
                avoided.add(proxy)
            else:
                trials.append(proxy)
        if own.state is State.HALF_OPEN:
            avoided |= {proxy for proxy, circuit in self._ways.items() if circuit.breaker.failures_in_row}
        return Entry(version, avoided, tuple(trials))

    def end(self, entry: Entry, verdict: Verdict | None, way: Way | None) -> None:
        """What became of it (None: success), and which way it went."""
        own = self._own.breaker
        if verdict is None and own.state is State.CLOSED and not self._ways:
            self._successes += 1
            own.succeed(entry.version, self._clock())
            return
        if verdict is not None and (not verdict.blames_provider or not self.config.enabled):
            self.leave(entry)
            return
        for proxy in entry.trials:
            if way is None or proxy is not way.proxy:
                self._leave_way(entry, proxy)
        if verdict is None:
            self._succeed(entry, way)
        elif verdict.scope is Scope.PROVIDER or is_doubtful(verdict):
            self._blame_provider(entry, verdict, way)
        else:
            self._blame_proxy(entry, verdict, way)

    def begin(self, entry: Entry, way: Way | None) -> Begun:
        """Its answer has begun, and its end is to come: a success, for now."""
        own, known = self._own, None if way is None else self._ways.get(way.proxy)
        if known is None and own.breaker.state is State.CLOSED:  # which it stays, by a success
            row = own.breaker.failures_in_row
            self.end(entry, None, way)
            return Begun(entry, way, ((own, Success(row, own.breaker.successes)),))
        circuits = [own] if known is None else [own, known]
        late = any(entry.version < circuit.breaker.version for circuit in circuits)
        rows = [circuit.breaker.failures_in_row for circuit in circuits]
        self.end(entry, None, way)
        taken = [
            (circuit, Success(row, circuit.breaker.successes)) for circuit, row in zip(circuits, rows, strict=True)
        ]
        version = entry.version if late else self._versions.latest
        return Begun(Entry(version, (), entry.trials), way, taken)

    def broke(self, begun: Begun, verdict: Verdict) -> None:
        """The end did not come, and the provider is to blame."""
        if verdict.blames_provider and self.config.enabled:
            self._successes -= 1
            for circuit, success in begun.circuits:
                circuit.breaker.take_back(begun.entry.version, success)
            self._blame_provider(begun.entry, verdict, begun.way, counted=True)

    def leave(self, entry: Entry) -> None:
        """It ended without a word on the provider."""
        self._own.breaker.leave(entry.version)
        for proxy in entry.trials:
            self._leave_way(entry, proxy)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _succeed(self, entry: Entry, way: Way | None) -> None:
        now, own = self._clock(), self._own
        self._successes += 1
        before = own.breaker.state
        own.breaker.succeed(entry.version, now)
        self._heed(own, before)
        circuit = None if way is None else self._ways.get(way.proxy)
        if circuit is None or not self._may_speak(entry, circuit):
            return
        before = circuit.breaker.state
        circuit.breaker.succeed(entry.version, now)
        self._heed(circuit, before)
        if way is not None and circuit.breaker.is_untroubled(now):
            del self._ways[way.proxy]

    def _blame_provider(self, entry: Entry, verdict: Verdict, way: Way | None, *, counted: bool = False) -> None:
        own = self._own.breaker
        if way is not None and own.state is State.CLOSED and way.proxies.has_other({way.proxy}):
            circuit = self._way(way)
            if circuit.breaker.failures_in_row == 0:
                circuit.mark = self._successes
            speaks = circuit.breaker.state is State.CLOSED and entry.version >= circuit.breaker.version
            may_open = self._successes > circuit.mark
            opened = self._fail(circuit, entry, verdict, may_open=may_open, counted=counted)
            if opened:
                own.forget()
            if opened or not speaks:
                return
        elif way is not None and not counted:
            self._leave_way(entry, way.proxy)
        self._fail(self._own, entry, verdict, counted=counted)

    def _blame_proxy(self, entry: Entry, verdict: Verdict, way: Way | None) -> None:
        self._own.breaker.leave(entry.version)
        if way is None:
            return
        if way.proxies.has_other({way.proxy}):
            self._leave_way(entry, way.proxy)
        else:
            self._fail(self._way(way), entry, verdict)

    def _fail(
        self, circuit: Circuit, entry: Entry, verdict: Verdict, *, may_open: bool = True, counted: bool = False
    ) -> bool:
        """Whether it opens it."""
        breaker = circuit.breaker
        if entry.version < breaker.version or not self._may_speak(entry, circuit):
            return False
        before, circuit.last_error = breaker.state, verdict.evidence or verdict.reason
        breaker.fail(entry.version, self._clock(), self._rng, may_open=may_open, counted=counted)
        return self._heed(circuit, before)

    def _may_speak(self, entry: Entry, circuit: Circuit) -> bool:
        """Of a proxy that is not closed, only its trials do: where no other is left it is taken all the same."""
        if circuit.way is None or circuit.breaker.state is State.CLOSED:
            return True
        return circuit.way.proxy in entry.trials

    def _leave_way(self, entry: Entry, proxy: Proxy) -> None:
        circuit = self._ways.get(proxy)
        if circuit is not None and proxy in entry.trials:
            circuit.breaker.leave(entry.version)

    def _way(self, way: Way) -> Circuit:
        """The circuit of a proxy, from its first fault on."""
        circuit = self._ways.get(way.proxy)
        if circuit is None:
            for proxy in [proxy for proxy in self._ways if proxy.removed]:
                self._drop(proxy)
            if len(self._ways) >= WAYS_LIMIT:
                self._drop(next(iter(self._ways)))
            breaker = Breaker(self.config, self._versions, self._reset_at)
            circuit = self._ways[way.proxy] = Circuit(breaker, way)
        return circuit

    def _drop(self, proxy: Proxy) -> None:
        del self._ways[proxy]
        self._shut.pop(proxy, None)

    def _are_all(self, ways: Mapping[Proxy, Circuit]) -> bool:
        """Whether a request would have to take one of these."""
        way = next((circuit.way for circuit in ways.values()), None)
        return way is not None and not way.proxies.choice.offers_beyond(ways)

    def _look(self, circuit: Circuit, now: float) -> Breaker:
        """The breaker, in the state of now."""
        before = circuit.breaker.state
        circuit.breaker.look(now)
        self._heed(circuit, before)
        return circuit.breaker

    def _heed(self, circuit: Circuit, before: State) -> bool:
        """Whether the state has changed, which is told."""
        state = circuit.breaker.state
        if state is before:
            return False
        if circuit.way is not None and state is State.CLOSED:
            self._shut.pop(circuit.way.proxy, None)
        elif circuit.way is not None:
            self._shut[circuit.way.proxy] = circuit
        self._note(self._provider, circuit)
        return True
