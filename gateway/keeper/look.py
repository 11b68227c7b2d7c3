"""Looking at files: in a thread, one look at a time, and never longer than somebody is ready to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

READ_SECONDS = 60.0
"""How long reading a provider's files may take, on a slow network disk too."""


class Look(Generic[T]):
    """One kind of look. Not to be taken twice at once."""

    def __init__(self) -> None:
        self._running: asyncio.Future[T] | None = None

    async def take(self, look: Callable[[], T]) -> T:
        """The result of `look()`. Raises TimeoutError after READ_SECONDS, with words for the operator.

        The thread then goes on, and the next one to look waits for it: two readings would get in each other's way.
        """
        if self._running is None:
            self._running = asyncio.get_running_loop().run_in_executor(None, look)
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await asyncio.shield(self._running)
        except TimeoutError as exc:
            raise TimeoutError(f"could not be read within {READ_SECONDS:g} s") from exc
        finally:
            if self._running.done():
                self._running = None
