"""Log lines: JSON on stderr, which systemd keeps in the journal; short human lines on a terminal.

A line is made where it is logged and appended to a bounded queue; one thread writes the queue out, so that a
journal that does not read never stops the loop. The standard library's `logging` would do the writing, its locks
and its frame look-ups on the hot path, which is why it is not used.

Invariants:

- Logging never raises and never waits, from whichever thread.
- Lines keep their order; that of a request comes when it is noted (`aftermath.py`), with the time of its end. When the
  queue is full, new lines are dropped and counted; what was accepted stays.
- Secrets print as `****`, whatever they are nested in; texts are cut to a sane length.

The writer thread starts with the first line, so that errors before the loop runs are logged as well. Whoever
made the log closes it: what was not written by then is written, as long as that takes no longer than a moment.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from gateway import jsonlib
from gateway.errors import GatewayError
from gateway.money import NANO
from gateway.observe.record import RequestRecord
from gateway.usage import Usage

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

QUEUE_LIMIT = 10_000
"""Lines that wait for the writer: some seconds of full load, about 5 MB."""

BATCH = 500
"""Lines in one write. A pipe takes 64 KiB at once, so more would only hold more memory."""

FLUSH_SECONDS = 0.1
"""How long an ordinary line may wait for others to be written with it; warnings and errors do not wait."""

CLOSE_SECONDS = 2.0
"""How long closing waits for a reader that does not read."""

TEXT_LIMIT = 2000
"""Characters kept of a text: enough for an evidence or a traceback's end, too little for a prompt in full."""

NAME_LIMIT = 200
"""Characters kept of what clients may choose freely: paths, models."""

NESTING_LIMIT = 4
ITEMS_LIMIT = 100
"""Levels of a nested value, and items of each collection in it: log lines are read by people."""


class Log:
    """Writes lines of at least `level` ("debug", "info", "warning", "error", unknown ones count as "info").

    `write` is a file descriptor or a function that takes bytes; `human` chooses short lines instead of JSON,
    by default where the descriptor is a terminal. `clock` gives unix seconds. `dropped` counts lost lines.
    """

    def __init__(
        self,
        level: str = "info",
        write: Callable[[bytes], object] | int = 2,
        *,
        human: bool | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.dropped = 0
        self._clock = clock
        self._threshold = LEVELS.get(level, LEVELS["info"])
        self._level = level
        self._write = _writer_of(write) if isinstance(write, int) else write
        self._format = _human_line if _is_human(write, human) else jsonlib.dumps
        self._queue: deque[bytes] = deque()
        self._waiting = threading.Event()  # there is something to write
        self._urgent = threading.Event()  # do not wait for more
        self._closing = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._second = (-1, "")  # the last one, and its text

    @property
    def level(self) -> str:
        return self._level

    @level.setter
    def level(self, level: str) -> None:
        self._threshold = LEVELS.get(level, LEVELS["info"])
        self._level = level

    def debug(self, event: str, **fields: object) -> None:
        if self._threshold <= 10:
            self._log("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        if self._threshold <= 20:
            self._log("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        if self._threshold <= 30:
            self._log("warning", event, fields)
            self._urgent.set()

    def error(self, event: str, **fields: object) -> None:
        self._log("error", event, fields)
        self._urgent.set()

    def request(self, record: RequestRecord, duration: float, at: float) -> None:
        """The one line of a request that ended `at` unix seconds and took `duration` seconds. Fields that say nothing
        are left out."""
        if self._threshold > 20:
            return
        line: dict[str, object] = {
            "time": self._time(at),
            "level": "info",
            "event": "request",
            "request_id": record.request_id,
            "surface": record.surface,
            "method": record.method,
            "path": record.path.partition("?")[0][:NAME_LIMIT],  # a query may hold a key
            "status": record.status,
            "outcome": record.outcome,
            "duration_ms": int(duration * 10_000 + 0.5) / 10,  # round() takes four times as long
            "overhead_ms": int(record.overhead(duration) * 100_000 + 0.5) / 100,
            "client": record.client,
            "bytes_in": record.bytes_in,
            "bytes_out": record.bytes_out,
        }
        if record.model:
            line["model"] = record.model[:NAME_LIMIT]
        if record.provider:
            line["provider"] = record.provider
            line["attempts"] = record.attempts
            line["key"] = record.key
            if record.proxy:
                line["proxy"] = record.proxy
            if record.upstream_model != record.model:
                line["upstream_model"] = record.upstream_model[:NAME_LIMIT]
            if record.instead_of:
                line["instead_of"] = record.instead_of
        if record.cache:
            line["cache"] = record.cache
        if record.streamed:
            line["streamed"] = True
        if record.queued_seconds:
            line["queued_ms"] = int(record.queued_seconds * 10_000 + 0.5) / 10
        if record.first_byte_at:
            line["first_byte_ms"] = int((record.first_byte_at - record.started) * 10_000 + 0.5) / 10
        if record.usage is not None:
            _add_tokens(line, record.usage)
        if record.cost is not None:
            line["cost"] = record.cost / NANO
        if record.error:
            line["error"] = record.error
        if record.dropped:
            line["dropped"] = record.dropped
        if record.outcome == "client_gone":
            line["phase"] = record.phase
        if record.user:
            line["user"] = record.user
        if record.token_name:
            line["token"] = record.token_name
        self._append(line)

    def close(self) -> None:
        """Write what waits, for at most two seconds. Lines logged later are lost."""
        self._closing = True
        thread = self._thread
        if thread is None:
            return
        self._urgent.set()
        self._waiting.set()
        thread.join(CLOSE_SECONDS)

    def _log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        line: dict[str, object] = {"time": self._time(self._clock()), "level": level, "event": event[:NAME_LIMIT]}
        for name, value in fields.items():
            line[name] = _printable(value)
        self._append(line)

    def _append(self, line: dict[str, object]) -> None:
        if len(self._queue) >= QUEUE_LIMIT:
            self.dropped += 1
            return
        try:
            data = self._format(line)
        except (TypeError, ValueError):  # a lone surrogate, a number that JSON does not have
            data = self._format({name: ascii(value)[:TEXT_LIMIT] for name, value in line.items()})
        self._queue.append(data)
        if not self._waiting.is_set():
            self._waiting.set()
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closing:
                # A daemon thread: one that is stuck in a write must not keep the process from ending.
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._waiting.wait()
            if not self._closing:
                self._urgent.wait(FLUSH_SECONDS)
            self._waiting.clear()
            self._urgent.clear()
            self._drain()
            if self._closing and not self._queue:
                return

    def _drain(self) -> None:
        queue = self._queue
        while queue:
            batch = [queue.popleft() for _ in range(min(len(queue), BATCH))]
            batch.append(b"")
            try:
                self._write(b"\n".join(batch))
            except Exception:  # whatever the destination is, there is nobody to tell but the metric
                self.dropped += len(batch) - 1

    def _time(self, at: float) -> str:
        """RFC 3339, UTC, milliseconds. The text of a second is made once."""
        second = int(at)
        known = self._second  # both at once: threads log, too
        if known[0] != second:
            known = self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{known[1]}.{int((at - second) * 1000):03d}Z"


def _add_tokens(line: dict[str, object], usage: Usage) -> None:
    line["input_tokens"] = usage.input
    line["output_tokens"] = usage.output
    if usage.cache_read:
        line["cache_read_tokens"] = usage.cache_read
    if usage.reasoning:
        line["reasoning_tokens"] = usage.reasoning


def _printable(value: object, depth: int = 0) -> object:
    """A value as JSON can have it and people can read it; never a secret, never endless."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6) if abs(value) < 1e18 else str(value)  # NaN compares false, too
    if isinstance(value, str):
        return str(value) if len(value) <= TEXT_LIMIT else value[:TEXT_LIMIT] + "…"
    if isinstance(value, GatewayError):
        return _printable(f"{value} ({value.hint})" if value.hint else str(value))
    if isinstance(value, BaseException):
        return _printable(f"{type(value).__name__}: {value}")
    if isinstance(value, bytes | bytearray):
        return _printable(value[: TEXT_LIMIT + 1].decode("utf-8", "replace"))
    if depth < NESTING_LIMIT:
        if isinstance(value, Mapping):
            pairs = list(value.items())[:ITEMS_LIMIT]
            return {str(name)[:NAME_LIMIT]: _printable(item, depth + 1) for name, item in pairs}
        if isinstance(value, list | tuple | set | frozenset):
            return [_printable(item, depth + 1) for item in list(value)[:ITEMS_LIMIT]]
    return _printable(str(value))  # a Secret among others: it prints as ****


def _human_line(line: Mapping[str, object]) -> bytes:
    """`12:00:00.123 warning key_file problem="…"`: the same fields, for a terminal."""
    clock = str(line.get("time", ""))[11:23]
    words = [clock, str(line.get("level", "")).ljust(7), _word(line.get("event", ""))]
    words += [
        f"{name}={_word(value)}"
        for name, value in line.items()
        if name not in ("time", "level", "event") and value != ""
    ]
    return " ".join(words).encode("utf-8", "backslashreplace")


def _word(value: object) -> str:
    """A value as one word. What is not printable is escaped: a terminal obeys control characters."""
    text = value if isinstance(value, str) else jsonlib.dumps(value).decode()
    if not text.isprintable():
        return ascii(text)
    return text if text and not _SPECIAL.intersection(text) else f'"{text}"'


_SPECIAL = frozenset(' "=')


def _is_human(write: object, human: bool | None) -> bool:
    if human is not None or not isinstance(write, int):
        return bool(human)
    try:
        return os.isatty(write)
    except OSError:
        return False


def _writer_of(descriptor: int) -> Callable[[bytes], object]:
    """A function that writes everything, waiting for a reader where the descriptor does not do so itself."""

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:
                _wait_writable(descriptor)

    return write


def _wait_writable(descriptor: int) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll(1000)  # milliseconds; the loop around it tries again
