"""What a large pool costs: `python -m tests.upstream.bench_pool [KEYS …]`.

Prints microseconds for each operation and megabytes for the pool. The costs must not grow with the number of keys.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from resource import getpagesize
from typing import NoReturn

from gateway.policy.health import VALID
from gateway.policy.verdict import Provenance, Scope, Status, Verdict
from gateway.secret import Secret
from gateway.upstream.key import Key
from tests.upstream.pools import Clock, a_pool

ROUNDS = 20_000
FORBIDDEN = Verdict(Scope.KEY_MODEL, Status.NO_ACCESS, "forbidden")


def resident() -> float:
    """Megabytes of memory in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize() / 1e6


def timed(what: str, rounds: int, act: Callable[[], object]) -> None:
    start = time.perf_counter()
    for _ in range(rounds):
        act()
    print(f"  {what:<34}{(time.perf_counter() - start) / rounds * 1e6:10.2f} µs")


def bench(count: int) -> None:
    print(f"{count:,} keys")
    before = resident()
    clock = Clock()
    pool, _ = a_pool(clock)
    start = time.perf_counter()
    keys = []
    for number in range(count):
        secret = Secret(f"sk-bench-{number:040}")
        keys.append(Key(secret, secret.digest))
    made = time.perf_counter()
    for at in range(0, count, 250):
        pool.standings.add(keys[at : at + 250])
    print(f"  {'all added':<34}{(time.perf_counter() - made) * 1e3:10.1f} ms (keys made in {(made - start) * 1e3:.0f})")
    for key in keys:
        key.standing = VALID
        pool.standings.place(key)
    pool.standings.counts.clear()
    pool.standings.counts[Status.VALID] = count
    gc.collect()
    gc.freeze()  # as the Keeper does after adding many
    print(f"  {'memory, keys included':<34}{resident() - before:10.1f} MB")

    def lease_and_succeed() -> None:
        lease = pool.lease("m")
        assert lease is not None
        pool.succeed(lease)

    def bench_one() -> None:
        lease = pool.lease("m")
        assert lease is not None
        until = clock.now + 60
        pool.report(lease, Verdict(Scope.KEY, Status.RATE_LIMITED, "told", until, Provenance.AUTHORITATIVE))

    few = min(ROUNDS, count // 2)
    timed("lease and succeed", ROUNDS, lease_and_succeed)
    timed("lease and succeed, 20 excluded", ROUNDS, lambda: pool.release(pool.lease("m", keys[:20]) or no_key()))
    timed("lease and bench", few, bench_one)
    timed("shortage", ROUNDS, lambda: pool.shortage("m"))
    clock.advance(60)
    start = time.perf_counter()
    turns = 0
    while pool.standings.wake_due():
        turns += 1
    print(f"  {'wake, a key':<34}{(time.perf_counter() - start) / few * 1e6:10.2f} µs in {turns} turns")
    lease = pool.lease("big")
    assert lease is not None
    timed("first verdict on a model", 1, lambda: pool.report(lease, FORBIDDEN))
    timed("lease and succeed, a model's own", ROUNDS, lease_and_succeed)
    print(f"  {'memory with a model of its own':<34}{resident() - before:10.1f} MB\n")


def no_key() -> NoReturn:
    raise RuntimeError("no key may be chosen")


def main() -> None:
    for count in [int(argument) for argument in sys.argv[1:]] or [100, 100_000]:
        bench(count)


if __name__ == "__main__":
    main()
