"""What every answer of a provider has, wherever it comes from: the network client, the built-in provider, or one of
them with something around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Header = tuple[bytes, bytes]


class UpstreamAnswer(Protocol):
    """`headers` have lower-case names. `read` gives the next piece of the body, b"" at its end."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Sequence[Header]: ...
    async def read(self) -> bytes: ...
    async def read_all(self, limit: int) -> bytes: ...
    def close(self) -> None: ...
