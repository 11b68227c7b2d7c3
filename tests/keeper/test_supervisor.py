from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import StartError
from gateway.keeper import supervisor as module
from gateway.keeper.supervisor import Supervisor
from gateway.observe.logs import Log
from tests.conftest import run


class Written:
    """A log and what was written to it."""

    def __init__(self) -> None:
        self.data = b""
        self.log = Log("info", self._write)

    def _write(self, data: bytes) -> None:
        self.data += data

    def entries(self) -> list[dict[str, Any]]:
        self.log.close()
        return [json.loads(line) for line in self.data.splitlines()]


class Clock:
    """Sleeps take no time; what was slept is on record."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def failing(times: int, done: asyncio.Event) -> Callable[[], Any]:
    """A task that fails so often, then ends."""
    left = times

    async def work() -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise ValueError(f"{left} more to come")
        done.set()

    return work


def test_a_task_that_raises_is_started_again_after_a_growing_delay() -> None:
    written, clock = Written(), Clock()

    async def scenario() -> None:
        done = asyncio.Event()
        supervisor = Supervisor(written.log, clock.sleep)
        supervisor.start("sync", failing(8, done))
        await done.wait()
        await supervisor.close()

    run(scenario())
    assert clock.slept == [1, 2, 4, 8, 16, 32, 60, 60]
    entries = written.entries()
    assert [entry["restart_in"] for entry in entries] == clock.slept
    assert entries[0]["level"] == "error"
    assert (entries[0]["event"], entries[0]["task"]) == ("task_failed", "sync")
    assert entries[0]["error"] == "ValueError: 7 more to come"
    assert "in work" in entries[0]["traceback"]


def test_a_task_that_ran_well_for_long_is_started_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_DELAY", 0.0)  # every run counts as long
    monkeypatch.setattr(module, "FIRST_DELAY", 1.0)
    written, clock = Written(), Clock()

    async def scenario() -> None:
        done = asyncio.Event()
        supervisor = Supervisor(written.log, clock.sleep)
        supervisor.start("sync", failing(3, done))
        await done.wait()
        await supervisor.close()

    run(scenario())
    assert clock.slept == [1, 1, 1]
    written.log.close()


def test_a_task_that_returns_is_over() -> None:
    written, clock = Written(), Clock()

    async def scenario() -> None:
        done = asyncio.Event()
        supervisor = Supervisor(written.log, clock.sleep)
        supervisor.start("sync", failing(0, done))
        await done.wait()
        await asyncio.sleep(0)
        again = asyncio.Event()
        supervisor.start("sync", failing(0, again))  # its name is free
        await again.wait()
        await supervisor.close()

    run(scenario())
    assert clock.slept == []
    assert written.entries() == []


async def forever(cancelled: list[str], name: str) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        cancelled.append(name)
        raise


def test_closing_cancels_every_task_and_waits_for_it() -> None:
    cancelled: list[str] = []

    async def scenario() -> None:
        supervisor = Supervisor(Written().log)
        for name in ("one", "two"):
            supervisor.start(name, lambda name=name: forever(cancelled, name))  # type: ignore[misc]
        await asyncio.sleep(0)
        assert {task.get_name() for task in asyncio.all_tasks()} >= {"one", "two"}
        await supervisor.close()
        assert not {task.get_name() for task in asyncio.all_tasks()} & {"one", "two"}

    run(scenario())
    assert cancelled == ["one", "two"]


def test_closing_ends_a_wait_for_the_next_start() -> None:
    written = Written()

    async def scenario() -> None:
        supervisor = Supervisor(written.log)  # sleeps for real: a second, which closing does not wait for
        supervisor.start("sync", failing(100, asyncio.Event()))
        await asyncio.sleep(0)
        await supervisor.close()

    run(scenario())
    assert len(written.entries()) == 1


def test_a_task_that_fails_while_it_is_stopped_is_logged_and_not_started_again() -> None:
    written, clock = Written(), Clock()

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise OSError("while cleaning up")

    async def scenario() -> None:
        supervisor = Supervisor(written.log, clock.sleep)
        supervisor.start("sync", work)
        await asyncio.sleep(0)
        await supervisor.close()

    run(scenario())
    assert clock.slept == []
    assert [entry["error"] for entry in written.entries()] == ["OSError: while cleaning up"]


def test_a_task_that_does_not_stop_is_named_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.01)
    written = Written()

    async def scenario() -> None:
        released = asyncio.Event()

        async def stubborn() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                await released.wait()

        supervisor = Supervisor(written.log)
        supervisor.start("stubborn", stubborn)
        await asyncio.sleep(0)
        await supervisor.close()
        released.set()
        await asyncio.sleep(0)

    run(scenario())
    assert [(entry["event"], entry["task"]) for entry in written.entries()] == [("task_does_not_stop", "stubborn")]


def test_two_tasks_cannot_have_one_name() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(Written().log)
        supervisor.start("sync", lambda: forever([], ""))
        with pytest.raises(ValueError, match="running already"):
            supervisor.start("sync", lambda: forever([], ""))
        await asyncio.sleep(0)
        await supervisor.close()

    run(scenario())


def test_after_closing_nothing_starts() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(Written().log)
        await supervisor.close()
        supervisor.start("late", lambda: forever([], ""))
        supervisor.start_once("late", lambda: forever([], ""))
        assert "late" not in {task.get_name() for task in asyncio.all_tasks()}

    run(scenario())


def test_what_is_asked_for_again_while_it_runs_runs_once_more() -> None:
    async def scenario() -> None:
        runs = 0
        gate = asyncio.Event()

        async def reload() -> None:
            nonlocal runs
            runs += 1
            await gate.wait()

        supervisor = Supervisor(Written().log)
        supervisor.start_once("reload", reload)
        await asyncio.sleep(0)
        supervisor.start_once("reload", reload)
        supervisor.start_once("reload", reload)
        gate.set()
        while any(task.get_name() == "reload" for task in asyncio.all_tasks()):
            await asyncio.sleep(0)
        assert runs == 2
        supervisor.start_once("reload", reload)
        await asyncio.sleep(0)
        assert runs == 3
        await supervisor.close()

    run(scenario())


def test_what_runs_once_and_fails_is_logged_and_may_be_asked_for_again() -> None:
    written = Written()

    async def scenario() -> None:
        supervisor = Supervisor(written.log)
        done = asyncio.Event()
        work = failing(1, done)
        supervisor.start_once("reload", work)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        supervisor.start_once("reload", work)
        await done.wait()
        await supervisor.close()

    run(scenario())
    assert [entry["restart_in"] for entry in written.entries()] == [None]


def test_work_goes_on_when_who_asked_for_it_has_left_and_gives_its_result() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(Written().log)
        gate = asyncio.Event()

        async def work() -> int:
            await gate.wait()
            return 3

        async def ask() -> int:
            return await asyncio.shield(supervisor.undertake("work", work()))

        asking = asyncio.create_task(ask(), name="ask")
        await asyncio.sleep(0)
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "work"]
        asking.cancel()
        await asyncio.wait({asking})
        gate.set()
        assert await task == 3
        await supervisor.close()

    run(scenario())


@pytest.mark.parametrize(("error", "logged"), [(ValueError("a bug"), 1), (StartError("taken"), 0)], ids=repr)
def test_what_work_raises_is_for_who_asked_and_a_bug_is_logged_as_well(error: Exception, logged: int) -> None:
    written = Written()

    async def scenario() -> None:
        supervisor = Supervisor(written.log)

        async def work() -> None:
            raise error

        with pytest.raises(type(error)):
            await asyncio.shield(supervisor.undertake("work", work()))
        await supervisor.close()

    run(scenario())
    assert [entry["event"] for entry in written.entries()] == ["task_failed"] * logged


@pytest.mark.parametrize("closed", [False, True], ids=["before", "after"])
def test_closing_ends_work_that_was_asked_for(closed: bool) -> None:
    async def scenario() -> None:
        supervisor = Supervisor(Written().log)
        if closed:
            await supervisor.close()
        task = supervisor.undertake("work", forever([], ""))
        await supervisor.close()
        await asyncio.wait({task})
        assert task.cancelled()

    run(scenario())
