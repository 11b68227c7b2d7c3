"""The owner of background tasks: none is lost, none fails silently, none outlives the daemon.

A task that raises is logged and started again after a delay that grows from 1 to 60 seconds; one that ran for a
minute without trouble begins at 1 again. Work that somebody waits for (`undertake`) goes on when who asked for it has
left. What a task does is its own affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from gateway.errors import GatewayError
from gateway.observe.logs import Log

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
"""Seconds until a failed task is started again: soon enough for a hiccup, seldom enough for a bug."""

CLOSE_SECONDS = 5.0
"""What tasks get to clean up after they were cancelled; their work is written elsewhere, in the daemon's own stop."""

TRACE_CHARACTERS = 1500
"""Of a traceback, from its end, which is where the fault is."""

T = TypeVar("T")

Factory = Callable[[], Coroutine[Any, Any, None]]


class Supervisor:
    """Tasks by name. `sleep` waits between restarts."""

    def __init__(self, log: Log, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._log = log
        self._sleep = sleep
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._works: set[asyncio.Task[Any]] = set()
        self._again: set[str] = set()
        self._closed = False

    def start(self, name: str, factory: Factory) -> None:
        """Keep `factory()` running until it returns by itself. Names are unique; after `close` nothing starts."""
        if self._runs(name):
            raise ValueError(f"the task {name!r} is running already")
        if not self._closed:
            self._own(name, self._keep_running(name, factory))

    def start_once(self, name: str, factory: Factory) -> None:
        """Run `factory()` once. Asked for while it runs, it runs once more afterwards, however often it was asked."""
        if self._runs(name):
            self._again.add(name)
        elif not self._closed:
            self._own(name, self._run_once(name, factory))

    def undertake(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Work to be awaited through `asyncio.shield`, so that who asked may leave. What it raises is for who asked."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._works.add(task)
        task.add_done_callback(self._let_go)
        if self._closed:
            task.cancel()
        return task

    async def close(self) -> None:
        """Cancel everything and wait for it, five seconds at most."""
        self._closed = True
        tasks = [*self._tasks.values(), *self._works]
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for task in tasks:
            if task in late:
                self._log.error("task_does_not_stop", task=task.get_name())

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self._works.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not isinstance(error, GatewayError):
            self._complain(task.get_name(), error, None)  # a bug, and nobody may be left to hear of it

    def _own(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._disown(name, task))

    def _disown(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:  # and no successor that was started before this call came
            del self._tasks[name]

    def _runs(self, name: str) -> bool:
        task = self._tasks.get(name)
        return task is not None and not task.done()

    async def _keep_running(self, name: str, factory: Factory) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while True:
            started = loop.time()
            try:
                await factory()
                return
            except Exception as error:
                if loop.time() - started >= LONGEST_DELAY:
                    delay = FIRST_DELAY
                self._complain(name, error, delay)
            if self._closed:
                return
            await self._sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _run_once(self, name: str, factory: Factory) -> None:
        wanted = True
        while wanted and not self._closed:
            self._again.discard(name)
            try:
                await factory()
            except Exception as error:
                self._complain(name, error, None)
            wanted = name in self._again

    def _complain(self, name: str, error: Exception, delay: float | None) -> None:
        import traceback

        trace = "".join(traceback.format_exception(error))[-TRACE_CHARACTERS:]
        self._log.error("task_failed", task=name, error=error, restart_in=delay, traceback=trace)
