"""What every test may use."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Coroutine, Generator, Iterator
from typing import Any, TypeVar

import pytest
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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests are made and none is let go of: a third of the time went into looking for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where none may be written beside the sources, processes that tests start would compile the gateway each time."""
    with pytest.MonkeyPatch.context() as patch:
        if sys.dont_write_bytecode:
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
            patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@pytest.fixture
def young() -> Iterator[None]:
    """For the garbage collector nothing is older than the test: else it looks at all tests there are, each time."""
    gc.freeze()
    yield
    gc.unfreeze()


def run(scenario: Coroutine[Any, Any, T], seconds: float = 20.0) -> T:
    """The result of a coroutine in a fresh event loop; a test that hangs fails after `seconds`."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await scenario

    return asyncio.run(bounded())
