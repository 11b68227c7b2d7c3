"""What the store's tests share: real files, opened as the daemon opens them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.store import open_store
from gateway.store.database import Database

FILE = "store.db"


@asynccontextmanager
async def opened(folder: Path, deadline: float = 15.0) -> AsyncIterator[Database]:
    database = await open_store(f"sqlite:{FILE}", folder, deadline=deadline)
    try:
        yield database
    finally:
        await database.close()
