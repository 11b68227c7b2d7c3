"""What a gateway in this process still holds: connections, tasks, leases, reservations, places in queues.

`held` and `books` are 0 throughout when there is nothing to do, `tasks` are those from before the first request.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from gateway.daemon.daemon import Daemon


def held(daemon: Daemon) -> dict[str, int]:
    """How many of each are in use now. At rest all are 0."""
    holdings = daemon._holdings
    client, pools = holdings.client.statistics(), holdings.pools.of.values()
    open_ones = sum(not connection.closed for connection in holdings.client._connections)
    keys = [key for pool in pools for key in pool.standings.keys.values()]
    circuits = [circuit for pool in pools for circuit in pool.breakers.circuits()]
    return {
        "upstream connections": client.open - client.idle,
        "upstream connections beyond the pool": open_ones - client.open,
        "requests for a connection": client.waiting,
        "client connections": daemon._server.connections,
        "requests": daemon._server.in_flight,
        "requests by the metrics": holdings.metrics.in_flight,
        "leases by pool": sum(pool.in_flight for pool in pools),
        "leases by key": sum(key.in_flight for key in keys),
        "requests for a key": sum(len(pool.waiters) for pool in pools),
        "trials of circuits": sum(circuit.breaker.trials for circuit in circuits),
        "requests within limits": sum(meter.in_flight for meter in holdings.admission._limits._meters.values()),
        "bytes of large bodies": holdings.room.held,
        "charges on their way": holdings.ledger.queued,
    }


def tasks() -> Counter[str]:
    """Tasks by name; those of the fakes, which have one for each open connection, left out."""
    names = (task.get_name().rstrip("0123456789") for task in asyncio.all_tasks())
    return Counter(name for name in names if name != "fake provider")


def books(database: Path) -> dict[str, int]:
    """What a database of a gateway that has ended has wrong. In order all are 0."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db:
        count = {
            "reservations": "SELECT COUNT(*) FROM reservations",
            "reserved amounts": "SELECT COUNT(*) FROM users WHERE reserved <> 0",
            "balances that are not the sum of their entries": (
                "SELECT COUNT(*) FROM users WHERE balance <>"
                " (SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE user_name = name)"
            ),
            "requests charged for twice": (
                "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM ledger WHERE kind = 'charge'"
            ),
        }
        return {what: db.execute(query).fetchone()[0] for what, query in count.items()}
