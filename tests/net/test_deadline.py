from __future__ import annotations

import asyncio

from gateway.net.deadline import Deadline
from tests.net.scripted import both_loops


@both_loops
async def test_a_deadline_that_is_due_already_can_be_moved_before_it_fires() -> None:
    loop, expired = asyncio.get_running_loop(), asyncio.Event()
    deadline = Deadline(loop, expired.set)
    deadline.move(loop.time())
    deadline.move(loop.time() - 1)
    deadline.move(loop.time())
    await expired.wait()


@both_loops
async def test_a_deadline_moved_later_does_not_expire_when_its_first_timer_fires() -> None:
    loop, fired = asyncio.get_running_loop(), asyncio.Event()
    expired: list[float] = []
    deadline = Deadline(loop, lambda: expired.append(loop.time()))
    deadline.move(loop.time())
    deadline.move(loop.time() + 60)
    loop.call_later(0.01, fired.set)
    await fired.wait()
    deadline.close()
    assert not expired


@both_loops
async def test_a_deadline_moved_earlier_expires_then() -> None:
    loop, expired = asyncio.get_running_loop(), asyncio.Event()
    deadline = Deadline(loop, expired.set)
    deadline.move(loop.time() + 60)
    deadline.move(loop.time())
    await expired.wait()


@both_loops
async def test_a_closed_deadline_never_expires() -> None:
    loop, later = asyncio.get_running_loop(), asyncio.Event()
    expired: list[float] = []
    deadline = Deadline(loop, lambda: expired.append(loop.time()))
    deadline.move(loop.time())
    deadline.close()
    loop.call_later(0.01, later.set)
    await later.wait()
    assert not expired
