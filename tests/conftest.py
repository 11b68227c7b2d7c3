"""What every test may use."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(scenario: Coroutine[Any, Any, T], seconds: float = 20.0) -> T:
    """The result of a coroutine in a fresh event loop; a test that hangs fails after `seconds`."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await scenario

    return asyncio.run(bounded())
