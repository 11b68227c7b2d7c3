"""Metrics in Prometheus' text format, 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/

Counters and histograms are fed as things happen; gauges are asked for when somebody scrapes, so that nothing has to
be kept up to date. All names are public (`llmgateway help metrics`); no key, API token or user is ever a label.

Invariants: the number of series is bounded, whatever clients send. Models and reasons are the only labels that come
from outside: they are limited in number and length, and what goes beyond is counted under "other".
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from gateway import __version__
from gateway.money import NANO
from gateway.observe.families import FAMILIES
from gateway.observe.record import RequestRecord

MODELS_LIMIT = 200
"""Model names that get series of their own. Each has some ten, so that a scrape stays below a megabyte."""

REASONS_LIMIT = 100
"""Reasons of failures: our own codes and what providers call theirs."""

LABEL_LENGTH = 100
"""Characters of a label that comes from outside; no model has a longer name."""

OTHER = "other"

NAMES_NOTHING = frozenset({400, 404})
"""Statuses that say nobody knows this model: such names must not use up the limit."""

OWN_SURFACES = frozenset({"health", "metrics", "admin", "unknown"})
"""Answered by the gateway itself. They are counted, but their times would make the histograms look good."""

DURATION_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
FIRST_TOKEN_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
OVERHEAD_BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)
QUEUE_BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Upper bounds of histogram buckets, in seconds: models take seconds to minutes, the gateway less than milliseconds
(and up to `queue.timeout`, ten seconds if nothing else is said, when a request waits for a key)."""

TOKEN_KINDS = (
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "output_text",
    "reasoning",
    "output_audio",
    "input_image",
    "output_image",
    "tool_prompt",
)
"""The buckets of `Usage`, which do not overlap: their sum is the total."""

STATES_OF_PROVIDERS = frozenset({"keys_cooling", "no_usable_key", "circuit_open"})
"""Errors that say how a provider stands, though it was not asked. What else is refused without asking one is the
gateway's own: a user's empty balance shall not look like the provider's."""

Values = Mapping[Any, float]
"""Numbers by their labels: a tuple, or the label itself where there is only one."""


class StoreStatistics(Protocol):
    """What is read of the database's statistics."""

    @property
    def commits(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    @property
    def bytes_on_disk(self) -> Mapping[str, int]: ...


class Histogram:
    """Counts of seconds per bucket; `bounds` are inclusive upper bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def lines(self, name: str, labels: tuple[str, ...] = (), series: tuple[str, ...] = ()) -> Iterator[str]:
        """The samples; `series` are the values of the labels."""
        total = 0
        for bound, count in zip((*map(_number, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            yield f"{name}_bucket{_labels((*labels, 'le'), (*series, bound))} {total}"
        yield f"{name}_sum{_labels(labels, series)} {_number(self.sum)}"
        yield f"{name}_count{_labels(labels, series)} {total}"


class Metrics:
    """All metrics of one process. `in_flight` is kept by whoever serves requests; `clock` gives unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.in_flight = 0
        self.before_reading: Callable[[], object] = int  # notes what has happened by now
        self._started = clock()
        self._requests: dict[tuple[str, str, str, int], int] = {}
        self._errors: dict[tuple[str, str], int] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self._fallbacks: dict[tuple[str, str], int] = {}
        self._probes: dict[tuple[str, str], int] = {}
        self._tokens: dict[tuple[str, str, str], int] = {}
        self._costs: dict[tuple[str, str], int] = {}  # nano-units
        self._disconnects: dict[str, int] = {}
        self._maintenance: dict[tuple[str, str], int] = {}
        self._maintenance_seconds: dict[str, float] = {}
        self._purged: dict[str, int] = {}
        self._cached: dict[str, int] = {}
        self._models: set[str] = set()
        self._reasons: set[str] = set()
        self._duration = Histogram(DURATION_BOUNDS)
        self._overhead = Histogram(OVERHEAD_BOUNDS)
        self._first_token = Histogram(FIRST_TOKEN_BOUNDS)
        self._count_keys: Callable[[], Mapping[tuple[str, str], int]] = dict
        self._keys_seen: set[tuple[str, str]] = set()
        self._count_proxies: Callable[[], Mapping[tuple[str, str], int]] = dict
        self._proxies_seen: set[tuple[str, str]] = set()
        self._read_circuits: Callable[[], Mapping[str, int]] = dict
        self._count_waiting: Callable[[], Mapping[str, int]] = dict
        self._count_refused: Callable[[], Mapping[str, int]] = dict
        self._read_waits: Callable[[], Mapping[str, Histogram]] = dict
        self._count_held: Callable[[], int] = int
        self._count_shed: Callable[[], Mapping[str, int]] = dict
        self._read_store: Callable[[], StoreStatistics] | None = None
        self._count_limits: Callable[[], Mapping[tuple[str, str], int]] = dict
        self._count_fallbacks: Callable[[], int] = int
        self._count_dropped: Callable[[], Mapping[str, int]] = dict
        self._count_ledger: Callable[[], int] = int
        self._count_tasks: Callable[[], int] = int
        self.balances: Mapping[str, int] = {}  # nano-units by user, from whoever has just read them
        self._read_cache: Callable[[], Mapping[str, Any]] = dict

    # -- fed as things happen ----------------------------------------------------------------------------------

    def request_done(self, record: RequestRecord, duration: float) -> None:
        """A request has ended, `duration` seconds after its head was read."""
        provider, outcome, status = record.provider, record.outcome, record.status
        if outcome == "client_gone":
            status = 499
            phase = record.phase or "receiving"
            self._disconnects[phase] = self._disconnects.get(phase, 0) + 1
        model = record.model if provider else ""
        if model not in self._models:
            model = self._admit_model(model, status)
        series = (record.surface, provider, model, status)
        self._requests[series] = self._requests.get(series, 0) + 1
        if outcome == "error" or (status >= 400 and status != 499):
            reason = record.error or f"http_{status}"
            own = not record.attempts and reason not in STATES_OF_PROVIDERS
            self._count_error("" if own else provider, reason)
        if record.surface in OWN_SURFACES:
            return
        self._duration.observe(duration)
        self._overhead.observe(record.overhead(duration))
        if record.instead_of:
            self.fallback(record.instead_of, "away")
        if record.cache:
            self._cached[record.cache] = self._cached.get(record.cache, 0) + 1
        if record.streamed and record.first_byte_at:
            self._first_token.observe(record.first_byte_at - record.started)
        if record.cost is not None:
            self._costs[provider, model] = self._costs.get((provider, model), 0) + record.cost
        if record.usage is not None:
            for kind, count in zip(TOKEN_KINDS, record.usage, strict=True):
                if count:
                    self._tokens[provider, model, kind] = self._tokens.get((provider, model, kind), 0) + count

    def attempt(self, provider: str, outcome: str) -> None:
        """An upstream call has ended: "success", or the status of its verdict."""
        series = (provider, outcome)
        self._attempts[series] = self._attempts.get(series, 0) + 1

    def fallback(self, provider: str, cause: str) -> None:
        """A request goes to another target than the provider's."""
        series = (provider, cause)
        self._fallbacks[series] = self._fallbacks.get(series, 0) + 1

    def probe(self, provider: str, outcome: str) -> None:
        """A probe ended; `outcome` is "success" or the verdict's status."""
        series = (provider, outcome)
        self._probes[series] = self._probes.get(series, 0) + 1

    def maintained(self, task: str, outcome: str, seconds: float, purged: Mapping[str, int]) -> None:
        """A run of database maintenance ended, and purged so many rows by kind."""
        series = (task, outcome)
        self._maintenance[series] = self._maintenance.get(series, 0) + 1
        self._maintenance_seconds[task] = self._maintenance_seconds.get(task, 0.0) + seconds
        for kind, rows in purged.items():
            self._purged[kind] = self._purged.get(kind, 0) + rows

    def _admit_model(self, model: str, status: int) -> str:
        if not model:
            return ""
        if len(self._models) >= MODELS_LIMIT or status in NAMES_NOTHING or len(model) > LABEL_LENGTH:
            return OTHER
        self._models.add(model)
        return model

    def _count_error(self, provider: str, reason: str) -> None:
        if reason not in self._reasons:
            if len(self._reasons) < REASONS_LIMIT and len(reason) <= LABEL_LENGTH:
                self._reasons.add(reason)
            else:
                reason = OTHER
        series = (provider, reason)
        self._errors[series] = self._errors.get(series, 0) + 1

    # -- asked at scrape time ----------------------------------------------------------------------------------

    def collect_keys(self, count: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Where the number of keys by (provider, status) comes from. A pair that is gone is reported as zero."""
        self._count_keys = count

    def collect_proxies(self, count: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Where the number of proxies by (file, status) comes from. A pair that is gone is reported as zero."""
        self._count_proxies = count

    def collect_circuits(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Where the states of the circuits by provider come from: 0 closed, 1 half-open, 2 open."""
        self._read_circuits = read

    def collect_queues(
        self,
        waiting: Callable[[], Mapping[str, int]],
        refused: Callable[[], Mapping[str, int]],
        waits: Callable[[], Mapping[str, Histogram]],
    ) -> None:
        """Where the numbers of requests by provider come from that wait for a key, and of those that could not, and how
        long they waited."""
        self._count_waiting = waiting
        self._count_refused = refused
        self._read_waits = waits

    def collect_room(self, held: Callable[[], int], shed: Callable[[], Mapping[str, int]]) -> None:
        """Where the size of what is held comes from, and how often what was turned away."""
        self._count_held = held
        self._count_shed = shed

    def collect_store(self, read: Callable[[], StoreStatistics]) -> None:
        """Where the database's statistics come from."""
        self._read_store = read

    def collect_limits(self, count: Callable[[], Mapping[tuple[str, str], int]], fallbacks: Callable[[], int]) -> None:
        """Where the number of decisions by (scope, outcome) comes from, and of those that were made alone."""
        self._count_limits = count
        self._count_fallbacks = fallbacks

    def collect_ledger(self, count: Callable[[], int]) -> None:
        """Where the number of what waits for the ledger comes from."""
        self._count_ledger = count

    def collect_tasks(self, count: Callable[[], int]) -> None:
        """Where the number of tasks comes from."""
        self._count_tasks = count

    def collect_dropped(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Where the number of lost events by sink comes from."""
        self._count_dropped = count

    def collect_cache(self, read: Callable[[], Mapping[str, Any]]) -> None:
        """Where the response cache's "answers", "bytes" and "failures" come from."""
        self._read_cache = read

    def render(self) -> bytes:
        """The whole page."""
        self.before_reading()
        histograms, values = self._histograms(), self._values()
        lines: list[str] = []
        for name, family in FAMILIES.items():
            lines.append(f"# HELP {name} {family.text}")
            lines.append(f"# TYPE {name} {family.kind}")
            if family.kind == "histogram":
                for series, histogram in histograms[name].items():
                    lines += histogram.lines(name, family.labels, series)
            elif family.kind == "summary":
                lines += self._store_lines(name)
            else:
                lines += [
                    f"{name}{_labels(family.labels, series)} {_number(value)}" for series, value in values[name].items()
                ]
        lines.append("")
        return "\n".join(lines).encode("utf-8", "replace")

    def _histograms(self) -> Mapping[str, Mapping[tuple[str, ...], Histogram]]:
        return {
            "llm_requests_duration_seconds": {(): self._duration},
            "llm_request_overhead_seconds": {(): self._overhead},
            "llm_time_to_first_token_seconds": {(): self._first_token},
            "llm_gateway_queue_wait_seconds": {(name,): waits for name, waits in self._read_waits().items()},
        }

    def _values(self) -> Mapping[str, Values]:
        cache = self._read_cache()
        return {
            "llm_requests_total": self._requests,
            "llm_requests_errors_total": self._errors,
            "llm_attempts_total": self._attempts,
            "llm_gateway_fallbacks_total": self._fallbacks,
            "llm_gateway_key_probes_total": self._probes,
            "llm_tokens_total": self._tokens,
            "llm_cost_total": {series: cost / NANO for series, cost in self._costs.items()},
            "llm_gateway_tasks": {(): self._count_tasks()},
            "llm_gateway_ledger_queued": {(): self._count_ledger()},
            "user_balance": {user: balance / NANO for user, balance in self.balances.items()},
            "llm_client_disconnects_total": self._disconnects,
            "rate_limit_requests_total": self._count_limits(),
            "llm_gateway_limits_fallbacks_total": {(): self._count_fallbacks()},
            "llm_gateway_cache_requests_total": self._cached,
            "llm_gateway_cache_failures_total": {(): cache["failures"]} if cache else {},
            "llm_gateway_cache_answers": {(): cache["answers"]} if cache else {},
            "llm_gateway_cache_bytes": {(): cache["bytes"]} if cache else {},
            "llm_requests_in_flight": {(): self.in_flight},
            "llm_gateway_queue_waiting": self._count_waiting(),
            "llm_gateway_queue_refused_total": self._count_refused(),
            "llm_gateway_held_bytes": {(): self._count_held()},
            "llm_gateway_shed_total": self._count_shed(),
            "llm_gateway_keys": _with_gone(self._count_keys(), self._keys_seen),
            "llm_gateway_proxies": _with_gone(self._count_proxies(), self._proxies_seen),
            "llm_gateway_circuit_state": self._read_circuits(),
            "llm_gateway_store_bytes": self._read_store().bytes_on_disk if self._read_store is not None else {},
            "llm_gateway_maintenance_total": self._maintenance,
            "llm_gateway_maintenance_seconds_total": self._maintenance_seconds,
            "llm_gateway_purged_total": self._purged,
            "llm_gateway_events_dropped_total": self._count_dropped(),
            "llmgateway_build_info": {(__version__, "{}.{}.{}".format(*sys.version_info)): 1},
            "process_start_time_seconds": {(): self._started},
            **_read_process(),
        }

    def _store_lines(self, name: str) -> Iterator[str]:
        if self._read_store is not None:
            statistics = self._read_store()
            yield f"{name}_sum {_number(statistics.seconds)}"
            yield f"{name}_count {statistics.commits}"


def _with_gone(now: Mapping[tuple[str, str], int], seen: set[tuple[str, str]]) -> Values:
    """Every series that there ever was; those that are not in `now` are zero."""
    seen.update(now)
    return {series: now.get(series, 0) for series in sorted(seen)}


def _read_process() -> Mapping[str, Values]:
    """The process metrics that every Prometheus client has, from proc(5)."""
    import resource

    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return {
        "process_cpu_seconds_total": {(): time.process_time()},
        "process_resident_memory_bytes": {(): pages * resource.getpagesize()},
        "process_open_fds": {(): len(list(Path("/proc/self/fd").iterdir())) - 1},  # less the one that lists them
        "process_max_fds": {(): resource.getrlimit(resource.RLIMIT_NOFILE)[0]},
    }


def _labels(names: tuple[str, ...], series: object) -> str:
    if not names:
        return ""
    values = series if isinstance(series, tuple) else (series,)
    pairs = zip(names, values, strict=True)
    return "{" + ",".join(f'{name}="{_escape(str(value))}"' for name, value in pairs) + "}"


def _escape(value: str) -> str:
    """Label values: backslash, double quote and line feed are escaped, everything else stands for itself."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
