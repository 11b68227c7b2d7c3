"""The owner of background tasks: none is lost, none fails silently, none outlives the daemon.

A task that raises is logged and started again after a delay that grows from 1 to 60 seconds; one that ran for a
minute without trouble begins at 1 again. What a task does is its own affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gateway.observe.logs import Log

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
"""Seconds until a failed task is started again: soon enough for a hiccup, seldom enough for a bug."""

CLOSE_SECONDS = 5.0
"""What tasks get to clean up after they were cancelled; their work is written elsewhere, in the daemon's own stop."""

TRACE_CHARACTERS = 1500
"""Of a traceback, from its end, which is where the fault is."""

Factory = Callable[[], Coroutine[Any, Any, None]]


class Supervisor:
    """Tasks by name. `sleep` waits between restarts."""

    def __init__(self, log: Log, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._log = log
        self._sleep = sleep
        self._tasks: dict[str, asyncio.Task[None]] = {}
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

    async def close(self) -> None:
        """Cancel everything and wait for it, five seconds at most."""
        self._closed = True
        tasks = dict(self._tasks)
        for task in tasks.values():
            task.cancel()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks.values(), timeout=CLOSE_SECONDS)
        for name, task in tasks.items():
            if task in late:
                self._log.error("task_does_not_stop", task=name)

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
