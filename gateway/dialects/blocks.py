"""Blocks one after the other: for dialects whose streams may have one open block at a time.

Chat Completions interleaves the arguments of parallel calls. Here the block that was opened first passes at once; what
belongs to the others is kept until it is closed, then they follow in the order of their opening.

The size of what is kept is bounded by whoever reads the stream: it is a part of one answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.dialects.deltas import Broken, Cited, Close, Delta, End, Finished, More, Open, Signed


class InOrder:
    """Deltas in, the same deltas out, with no two blocks open at once, and what finishes a choice behind all blocks.
    Blocks that a stream's end left open are closed."""

    __slots__ = ("_current", "_finished", "_waiting")

    def __init__(self) -> None:
        self._current: int | None = None
        self._waiting: dict[int, list[Delta]] = {}  # in the order of their opening
        self._finished: list[Delta] = []  # of choices that ended while blocks of another one were open

    def feed(self, deltas: Iterable[Delta]) -> list[Delta]:
        ordered: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, Open | More | Signed | Cited | Close):
                self._take(delta, ordered)
            elif isinstance(delta, Finished) and self._current is not None:
                self._finished.append(delta)
            else:
                if isinstance(delta, End | Broken):
                    self._flush(ordered)
                ordered.append(delta)
        return ordered

    def _take(self, delta: Open | More | Signed | Cited | Close, ordered: list[Delta]) -> None:
        block = delta.block
        if self._current is None and isinstance(delta, Open):
            self._current = block
        if block != self._current:
            self._waiting.setdefault(block, []).append(delta)
            return
        ordered.append(delta)
        if isinstance(delta, Close):
            self._current = None
            self._next(ordered)

    def _next(self, ordered: list[Delta]) -> None:
        """The blocks that waited: those that are whole at once, then one that is not."""
        while self._waiting:
            block = next(iter(self._waiting))
            kept = self._waiting.pop(block)
            ordered += kept
            if not isinstance(kept[-1], Close):
                self._current = block
                return
        ordered += self._finished
        self._finished.clear()

    def _flush(self, ordered: list[Delta]) -> None:
        while self._current is not None:
            ordered.append(Close(self._current))
            self._current = None
            self._next(ordered)
