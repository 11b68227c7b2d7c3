"""The end of a gateway: what it still owes the database, and who may come in its place."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.store.entries import Entry, Reservation
from tests.conftest import run
from tests.daemon.running import daemon
from tests.daemon.test_prices import BILLING
from tests.daemon.test_watchdog import ANYWHERE, locked_database


async def status_at(path: Path) -> int:
    """What the admin socket answers, 0 for a connection that is cut. Raises OSError where nobody listens."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        line = await reader.readline()
        return int(line.split()[1]) if line else 0
    except (ConnectionResetError, BrokenPipeError):
        return 0
    finally:
        writer.close()


def test_the_admin_socket_stays_taken_until_the_last_charge_is_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        socket = tmp_path / "admin.sock"
        async with daemon(tmp_path, ANYWHERE, BILLING) as running:
            ledger = running.daemon._holdings.ledger
            with locked_database(tmp_path):
                ledger.settle_later(Reservation("c", "ann", 0), Entry("c", "charge", -1, 0.0))
                running.daemon._stopping.set()
                while (status := await status_at(socket)) in (0, 200):
                    pass
                assert status == 503
        assert ledger.queued == 0
        assert not socket.exists()

    run(scenario(), 60)


def test_an_end_that_is_cut_short_loses_no_line_of_a_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, ANYWHERE) as running:
            host, _, port = running.addresses[0].rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /v1/nothing HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            running.daemon._stopping.set()
            while not running.daemon._server.draining:
                await asyncio.sleep(0)
            (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "daemon"]
            task.cancel()
        writer.close()
        assert [line["path"] for line in running.logged("request")] == ["/v1/nothing"]

    run(scenario())
