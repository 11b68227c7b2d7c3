"""A provider without a network: the built-in one answers in this process, through the same interface."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.errors import ProtocolError
from gateway.providers.echo import LocalAnswer


class InProcessAnswer:
    """Looks like `net.client.Answer`: status, headers, and a body in pieces."""

    __slots__ = ("_gap", "_pieces", "_taken", "headers", "status")

    def __init__(self, answer: LocalAnswer) -> None:
        self.status = answer.status
        self.headers: Sequence[tuple[bytes, bytes]] = answer.headers
        self._pieces = answer.pieces
        self._gap = answer.gap
        self._taken = 0

    @property
    def complete(self) -> bool:
        return self._taken >= len(self._pieces)

    async def read(self) -> bytes:
        """The next piece, after the gap that makes a stream look like one; b"" at the end."""
        if self._taken >= len(self._pieces):
            return b""
        if self._gap and self._taken:
            await asyncio.sleep(self._gap)
        piece = self._pieces[self._taken]
        self._taken += 1
        return piece

    async def read_all(self, limit: int) -> bytes:
        parts = []
        while piece := await self.read():
            parts.append(piece)
        body = b"".join(parts)
        if len(body) > limit:
            raise ProtocolError("the answer is too large", detail=f"more than {limit} bytes")
        return body

    def close(self) -> None:
        self._taken = len(self._pieces)
