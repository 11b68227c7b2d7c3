"""What every test may use."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

T = TypeVar("T")

EXAMPLES = 50
"""Of a property, in every run of the suite, whose time is short. The profile "explore" looks for new faults."""

# A slow machine is no failure of the property; the suite's own limits are the deadlines of `run`.
settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, max_examples=EXAMPLES
)
settings.register_profile("explore", settings.get_profile("project"), derandomize=False, max_examples=2000)
settings.load_profile("project")


def run(scenario: Coroutine[Any, Any, T], seconds: float = 20.0) -> T:
    """The result of a coroutine in a fresh event loop; a test that hangs fails after `seconds`."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await scenario

    return asyncio.run(bounded())
