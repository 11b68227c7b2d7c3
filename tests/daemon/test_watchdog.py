"""When the service manager hears that the gateway lives."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.conftest import run
from tests.daemon.running import daemon
from tests.fakes.manager import Notifications, notifications

ANYWHERE = "127.0.0.1:0"


def watched(told: Notifications) -> dict[str, str]:
    """An environment in which a report is due ten times a second."""
    return {"NOTIFY_SOCKET": str(told.path), "WATCHDOG_USEC": "300000"}


@contextmanager
def locked_database(folder: Path) -> Iterator[None]:
    """Somebody else is writing, and does not come to an end."""
    with closing(sqlite3.connect(folder / "state" / "llmgateway.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def forget_what_was_told(told: Notifications) -> None:
    while not told.nothing():
        told.take()


def test_a_locked_database_does_not_starve_the_watchdog(tmp_path: Path) -> None:
    async def scenario() -> None:
        with notifications(tmp_path) as told:
            async with daemon(tmp_path, ANYWHERE, **watched(told)) as running:
                assert await told.next() == "READY=1"
                with locked_database(tmp_path):
                    assert "no answer" in (await running.wait_log("store_silent"))["detail"]
                    forget_what_was_told(told)
                    assert [await told.next() for _ in range(3)] == ["WATCHDOG=1"] * 3

    run(scenario())


def test_a_dead_thread_starves_the_watchdog_and_is_logged(tmp_path: Path) -> None:
    def die() -> None:
        raise ValueError("an accident")

    async def scenario() -> None:
        with notifications(tmp_path) as told:
            async with daemon(tmp_path, ANYWHERE, **watched(told)) as running:
                assert await told.next() == "READY=1"
                threading.Thread(target=die, name="store-writer").start()
                assert (await running.wait_log("internal_error"))["error"] == "ValueError: an accident"
                assert "store-writer" in (await running.wait_log("watchdog_not_fed"))["detail"]
                forget_what_was_told(told)
                await running.wait_log("watchdog_not_fed", 3)
                assert told.nothing()

    run(scenario())
