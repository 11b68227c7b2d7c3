"""Requests that wait for a key."""

from __future__ import annotations

import asyncio

import pytest

from gateway.upstream.waiters import Waiters
from tests.conftest import run


def test_they_are_woken_in_the_order_they_came() -> None:
    async def scenario() -> None:
        waiters = Waiters(10)
        order: list[int] = []

        async def wait(number: int) -> None:
            assert await waiters.wait(10)
            order.append(number)

        waiting = [asyncio.create_task(wait(number), name=f"{number}") for number in range(4)]
        await asyncio.sleep(0)
        assert len(waiters) == 4
        waiters.wake_one()
        waiters.wake_one()
        await asyncio.gather(*waiting[:2])
        assert order == [0, 1]
        waiters.wake_all()
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3]

    run(scenario())


def test_one_more_than_may_wait_is_turned_away_at_once() -> None:
    async def scenario() -> None:
        waiters = Waiters(1)
        first = asyncio.create_task(waiters.wait(10), name="first")
        await asyncio.sleep(0)
        assert await waiters.wait(10) is False
        waiters.wake_one()
        assert await first is True

    run(scenario())


def test_whose_time_is_up_leaves_the_queue() -> None:
    async def scenario() -> None:
        waiters = Waiters(10)
        assert await waiters.wait(0) is False
        assert len(waiters) == 0
        waiters.wake_one()  # nobody is there

    run(scenario())


def test_a_turn_that_comes_with_the_end_of_the_time_is_taken() -> None:
    async def scenario() -> None:
        waiters = Waiters(10)
        waiting = asyncio.create_task(waiters.wait(0), name="late")
        await asyncio.sleep(0)
        waiters.wake_one()  # before the timeout, which is due in the same turn of the loop
        assert await waiting is True

    run(scenario())


@pytest.mark.parametrize("woken_first", [False, True])
def test_a_cancelled_one_passes_its_turn_on(woken_first: bool) -> None:
    async def scenario() -> None:
        waiters = Waiters(10)
        first, second = (asyncio.create_task(waiters.wait(10), name=name) for name in ("first", "second"))
        await asyncio.sleep(0)
        if woken_first:
            waiters.wake_one()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        if not woken_first:
            waiters.wake_one()
        assert await second is True
        assert len(waiters) == 0

    run(scenario())
