"""Looking at files: in threads, one look at a time, and never longer than somebody is ready to wait.

Disks hang, network disks above all. A look at one that does delays only those who need that one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")

READ_SECONDS = 60.0
"""How long reading a provider's files may take, on a slow network disk too."""

LINGER = 0.5
"""Seconds that the next look waits for the one before it."""


class Look(Generic[T]):
    """One kind of look, with a thread of its own. Not to be taken twice at once."""

    def __init__(self) -> None:
        self._running: asyncio.Future[T] | None = None
        self._give_up_at = 0.0
        self._unwanted = False

    async def take(self, look: Callable[[], T]) -> T:
        """The result of `look()`. Raises TimeoutError after READ_SECONDS, with words for the operator.

        The thread then goes on, since two readings would get in each other's way. The next ones to ask get what comes
        of it; until something does, they get the TimeoutError at once. After a look that was cancelled there is a new
        one: what that one sees may be old by now.
        """
        loop = asyncio.get_running_loop()
        if self._running is not None and self._unwanted:
            await self._end(self._running)
        if self._running is None:
            self._running, self._unwanted = _in_thread(loop, look), False
            self._give_up_at = loop.time() + READ_SECONDS
        return (await self._end(self._running)).result()

    async def _end(self, running: asyncio.Future[T]) -> asyncio.Future[T]:
        try:
            await asyncio.wait({running}, timeout=self._give_up_at - asyncio.get_running_loop().time())
        except asyncio.CancelledError:
            self._unwanted = True
            raise
        if not running.done():
            raise TimeoutError(f"could not be read within {READ_SECONDS:g} s")
        self._running = None
        return running


async def take_turns(
    group: asyncio.TaskGroup, looks: Iterable[tuple[str, Coroutine[Any, Any, T]]]
) -> dict[str, asyncio.Task[T]]:
    """Begin each look, by name, when the one before it has ended, or is late.

    In turn, because each wants the interpreter for itself. `looks` may be a generator, which is asked for each one when
    its turn has come.
    """
    begun: dict[str, asyncio.Task[T]] = {}
    for name, look in looks:
        begun[name] = group.create_task(look, name=f"look at the files of {name}")
        await asyncio.wait({begun[name]}, timeout=LINGER)
    return begun


def _in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> asyncio.Future[T]:
    """Not one of the loop's few threads: looking up names needs those, and a process that ends waits for them."""
    outcome: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            settle = partial(outcome.set_result, work())
        except Exception as exc:
            settle = partial(outcome.set_exception, exc)
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            pass  # the loop has ended

    threading.Thread(target=run, name="look", daemon=True).start()
    return outcome
