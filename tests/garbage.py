"""Cycles: what only the garbage collector finds is found late, and memory grows meanwhile."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def leaving_no_cycle() -> Iterator[None]:
    """Nothing of ours may wait for the garbage collector when the block ends. Goes with the fixture `young`."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        left = Counter(type(thing).__qualname__ for thing in gc.garbage if of_ours(thing))
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.garbage.clear()
    assert not left


def of_ours(thing: object) -> bool:
    return type(thing).__module__.startswith("gateway.")
