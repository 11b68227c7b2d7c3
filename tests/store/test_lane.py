"""The thread and its queue, with a connection that does as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from gateway.errors import StoreUnavailable
from gateway.store.lane import Job, Lane
from tests.conftest import run


class Echo:
    """Answers each text with itself, an empty one with an error, when `gate` is open. Keeps what it saw."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.groups: list[list[str]] = []
        self.log: list[str] = []
        self._refuse = refuse

    def open(self) -> None:
        self.log.append("open")
        if self._refuse:
            raise StoreUnavailable("refused")

    def serve(self, jobs: Sequence[Job[str, str]]) -> None:
        self.busy.set()
        assert self.gate.wait(10)
        self.groups.append([job.work for job in jobs if job.wanted])
        for job in jobs:
            if job.work:
                job.result = job.work
            else:
                job.error = ValueError("empty")

    def close(self) -> None:
        self.log.append(f"close in {threading.current_thread().name}")


def lane_of(echo: Echo, *, deadline: float = 10.0, queue_limit: int = 8, group_limit: int = 3) -> Lane[str, str]:
    return Lane("echo", echo, deadline=deadline, queue_limit=queue_limit, group_limit=group_limit)


def test_jobs_that_gather_are_served_in_groups_and_in_order() -> None:
    async def scenario() -> None:
        echo = Echo()
        lane = lane_of(echo)
        await lane.open(10.0)
        echo.gate.clear()
        first = asyncio.ensure_future(lane.ask("first"))
        await asyncio.to_thread(echo.busy.wait)
        rest = [asyncio.ensure_future(lane.ask(text)) for text in "abcd"]
        await asyncio.sleep(0)
        assert lane.queued == 5
        echo.gate.set()
        assert await first == "first"
        assert await asyncio.gather(*rest) == list("abcd")
        assert echo.groups == [["first"], ["a", "b", "c"], ["d"]]
        assert lane.queued == 0
        await lane.close()
        assert echo.log == ["open", "close in echo"]

    run(scenario())


def test_each_job_has_its_own_error() -> None:
    async def scenario() -> None:
        lane = lane_of(Echo())
        await lane.open(10.0)
        good, bad = await asyncio.gather(lane.ask("x"), lane.ask(""), return_exceptions=True)
        assert good == "x"
        assert isinstance(bad, ValueError)
        await lane.close()

    run(scenario())


def test_an_opening_that_fails_says_why_and_ends_the_thread() -> None:
    async def scenario() -> None:
        echo = Echo(refuse=True)
        lane = lane_of(echo)
        with pytest.raises(StoreUnavailable, match="refused"):
            await lane.open(10.0)
        with pytest.raises(StoreUnavailable, match="closed"):
            await lane.ask("x")
        await lane.close()
        assert echo.log == ["open", "close in echo"]

    run(scenario())


def test_a_full_queue_fails_at_the_deadline_and_forgets_who_left() -> None:
    async def scenario() -> None:
        echo = Echo()
        lane = lane_of(echo, deadline=0.05, queue_limit=2)
        await lane.open(10.0)
        echo.gate.clear()
        outcomes = await asyncio.gather(*(lane.ask(text) for text in "abcdef"), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        assert "2 of 2 places" in str(outcomes[-1])
        assert lane.queued == 2  # their places stay taken until the thread has passed them
        echo.gate.set()
        await lane.close()
        assert lane.queued == 0
        assert [text for group in echo.groups for text in group] == []

    run(scenario())


def test_closing_answers_what_was_queued_and_refuses_what_waited_for_a_place() -> None:
    async def scenario() -> None:
        echo = Echo()
        lane = lane_of(echo, queue_limit=2)
        await lane.open(10.0)
        echo.gate.clear()
        asked = [asyncio.ensure_future(lane.ask(text)) for text in "abc"]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(lane.close())
        await asyncio.sleep(0)
        echo.gate.set()
        a, b, c = await asyncio.gather(*asked, return_exceptions=True)
        assert (a, b) == ("a", "b")
        assert isinstance(c, StoreUnavailable)
        await closing
        await lane.close()

    run(scenario())


def test_a_loop_that_ends_without_closing_leaves_no_error_behind() -> None:
    echo = Echo()

    async def scenario() -> Lane[str, str]:
        lane = lane_of(echo)
        await lane.open(10.0)
        echo.gate.clear()
        asked = asyncio.ensure_future(lane.ask("x"))
        await asyncio.to_thread(echo.busy.wait)
        asked.cancel()
        return lane

    lane = run(scenario())
    echo.gate.set()
    lane._leave()  # what the end of the process does to a daemon thread
    lane._thread.join(10)
    assert not lane._thread.is_alive()
