"""What is noted of requests that have ended, many at once."""

from __future__ import annotations

import asyncio
import json

from gateway.observe.aftermath import BATCH, Aftermath
from gateway.observe.logs import Log
from gateway.observe.metrics import Metrics
from gateway.observe.record import RequestRecord
from tests.conftest import run

NOON = 1767268800.0


class Notes:
    """A log, metrics and sums that are fed by one `Aftermath`."""

    def __init__(self) -> None:
        self.data = b""
        self.used: list[str] = []
        self.noted = asyncio.Event()
        self.metrics = Metrics()
        self.log = Log("info", self._write)
        self.aftermath = Aftermath(self.metrics, self._use, self.log, lambda: NOON)
        self.metrics.before_reading = self.aftermath.catch_up

    def _write(self, data: bytes) -> None:
        self.data += data

    def _use(self, record: RequestRecord) -> None:
        self.used.append(record.request_id)
        self.noted.set()

    def end(self, *names: str, logged: bool = True) -> None:
        for name in names:
            self.aftermath.add(RequestRecord(name, asyncio.get_running_loop().time()), logged=logged)

    def lines(self) -> list[tuple[str, str]]:
        self.log.close()
        return [(line["request_id"], line["time"]) for line in map(json.loads, self.data.splitlines())]


def test_a_request_is_noted_after_a_moment_though_no_other_comes() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.end("one", "two")
        assert notes.used == []
        await notes.noted.wait()
        assert notes.used == ["one", "two"]
        notes.noted.clear()
        notes.end("three")
        await notes.noted.wait()
        assert notes.used == ["one", "two", "three"]
        assert notes.lines() == [(name, "2026-01-01T12:00:00.000Z") for name in ("one", "two", "three")]

    run(scenario())


def test_many_are_noted_at_once_in_the_order_in_which_they_ended() -> None:
    async def scenario() -> None:
        notes, names = Notes(), [f"req-{n}" for n in range(BATCH)]
        notes.end(*names, "late")
        assert notes.used == names
        assert [name for name, _ in notes.lines()] == names

    run(scenario())


def test_who_reads_the_metrics_reads_of_every_request_that_has_ended() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.end("one", "two")
        page = notes.metrics.render()
        assert b"\nllm_requests_duration_seconds_count 2\n" in page
        assert notes.metrics.render().count(b"_count 2\n") == page.count(b"_count 2\n")  # once is enough

    run(scenario())


def test_what_is_not_to_be_logged_is_noted_all_the_same() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.end("one", logged=False)
        notes.end("two")
        notes.aftermath.catch_up()
        assert notes.used == ["one", "two"]
        assert [name for name, _ in notes.lines()] == ["two"]

    run(scenario())
