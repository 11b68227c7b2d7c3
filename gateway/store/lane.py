"""A thread that does blocking work for the event loop: a bounded queue of jobs, answered in groups.

A lane knows nothing of databases. What runs on its thread is a `Connection`, opened, used and closed there; sqlite.py
has two of them, the writer and the reader.

Invariants: a job is answered exactly once, on the loop; a group of jobs costs the loop one wake-up; a place in the
queue is given back only when its job was answered, so the queue's bound holds also for jobs whose callers have left;
`close` answers everything that was queued before it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from gateway.errors import StoreUnavailable

CLOSE_GRACE = 3.0
"""Seconds that closing may take beyond the deadline by which the last queued job has been answered or given up."""

Work = TypeVar("Work")
Result = TypeVar("Result")


class Job(Generic[Work, Result]):
    """A piece of work and the future of its caller. Exactly one of `result` and `error` is set on the thread."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Work, future: asyncio.Future[Result]) -> None:
        self.work = work
        self.future = future
        self.result: Result | None = None
        self.error: Exception | None = None

    @property
    def wanted(self) -> bool:
        """False when the caller was cancelled or gave up. Safe to ask from the thread."""
        return not self.future.cancelled()


class Connection(Protocol[Work, Result]):
    """What lives on a lane's thread. Only `open` may raise."""

    def open(self) -> None: ...

    def serve(self, jobs: Sequence[Job[Work, Result]]) -> None:
        """Set `result` or `error` of each job that is still wanted."""

    def close(self) -> None:
        """Also called after an `open` that failed half-way."""


class Lane(Generic[Work, Result]):
    """One thread, its connection and its queue. Belongs to the event loop it was made in."""

    def __init__(
        self,
        name: str,
        connection: Connection[Work, Result],
        *,
        deadline: float,
        queue_limit: int,
        group_limit: int,
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._queue_limit = queue_limit
        self._group_limit = group_limit
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Job[Work, Result] | None] = SimpleQueue()  # None: close
        self._room = asyncio.Semaphore(queue_limit)
        self._queued = 0
        self._closing = False
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def queued(self) -> int:
        return self._queued

    async def open(self, seconds: float) -> None:
        """Start the thread; raises what the connection's `open` raised."""
        self._thread.start()
        try:
            async with asyncio.timeout(seconds):
                await self._opened
        except TimeoutError:
            raise self._overdue(seconds) from None
        finally:
            if not self._opened.done() or self._opened.cancelled() or self._opened.exception():
                self._leave()

    async def ask(self, work: Work, seconds: float | None = None) -> Result:
        """The result of `work`, or the error its connection gave it, within the deadline or so many seconds."""
        seconds = self._deadline if seconds is None else seconds
        try:
            async with asyncio.timeout(seconds):
                await self._room.acquire()
                return await self._enqueue(work)
        except TimeoutError:
            raise self._overdue(seconds) from None

    def _enqueue(self, work: Work) -> asyncio.Future[Result]:
        if self._closing:
            self._room.release()  # the next in line learns it too
            raise StoreUnavailable("the database is closed")
        job: Job[Work, Result] = Job(work, self._loop.create_future())
        self._queued += 1
        self._queue.put(job)
        return job.future

    async def close(self) -> None:
        """Answer what is queued, close the connection, end the thread. Raises StoreUnavailable when that takes long."""
        self._leave()
        try:
            async with asyncio.timeout(self._deadline + CLOSE_GRACE):
                await asyncio.shield(self._ended)
        except TimeoutError:
            raise self._overdue(self._deadline) from None
        self._thread.join()

    def _leave(self) -> None:
        if not self._closing:
            self._closing = True
            self._queue.put(None)

    def _overdue(self, seconds: float) -> StoreUnavailable:
        detail = f"no answer for {seconds:g} s, {self._queued} of {self._queue_limit} places in its queue taken"
        return StoreUnavailable(
            "the database does not answer",
            detail=detail,
            hint="is another program holding it locked, or the disk slow?",
        )

    # On the loop, called from the thread.

    def _answer(self, jobs: Sequence[Job[Work, Result]]) -> None:
        for job in jobs:
            self._queued -= 1
            self._room.release()
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)  # type: ignore[arg-type]  # None may be a Result

    def _settle(self, future: asyncio.Future[None], error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    # On the thread.

    def _run(self) -> None:
        error: Exception | None = None
        try:
            self._connection.open()
        except Exception as exc:  # it is raised where the opening is awaited
            error = exc
        self._post(lambda: self._settle(self._opened, error))
        while error is None and self._serve_group():
            pass
        self._connection.close()
        self._post(lambda: self._settle(self._ended, None))

    def _serve_group(self) -> bool:
        """Serve what has gathered. False when it was the last."""
        job = self._queue.get()
        jobs: list[Job[Work, Result]] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) == self._group_limit:
                break
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
        if jobs:
            self._connection.serve(jobs)
            self._post(lambda: self._answer(jobs))
        return job is not None

    def _post(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            pass  # the loop was closed without closing us: nobody waits for an answer
