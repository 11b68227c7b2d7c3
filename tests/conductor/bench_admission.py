"""What limits cost a request: `python -m tests.conductor.bench_admission`. The best of several runs, in µs of CPU."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, cast

from gateway.conductor.admission import Admission
from gateway.conductor.ask import Ask
from gateway.conductor.identity import Identity
from gateway.conductor.shared_limits import SharedLimits
from gateway.config.accounts import LimitsConfig, RateLimits
from gateway.net.connection import Reply
from gateway.observe.logs import Log
from gateway.observe.record import RequestRecord
from gateway.usage import Usage

REQUESTS, RUNS = 20_000, 7
ALL = RateLimits(10**9, 10**9, 10**12, 10**6)


class Answer:
    """As much of a Reply as is touched."""

    extra_headers: Any = ()


async def microseconds(config: LimitsConfig) -> float:
    """For one request that comes in and leaves."""
    clock = [1000.0]
    log = Log(write=lambda _: None, human=False)
    admission = Admission(lambda: clock[0], SharedLimits(time.monotonic, time.time, log))
    admission.arrange(config)
    fields = {"model": "m", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 50}
    body, who = json.dumps(fields).encode(), Identity("ann", "laptop")
    ask = Ask(b"POST", "openai_chat", "/chat/completions", "", (), body, "m", "chat", who, fields=fields)
    record = RequestRecord("id", 0.0)
    record.usage, record.first_byte_at = Usage(input_uncached=11, output_text=6), 1.0
    best = float("inf")
    for _ in range(RUNS):
        started = time.process_time()
        for _ in range(REQUESTS):
            clock[0] += 0.001
            admitted = await admission.enter(ask, cast(Reply, Answer()))
            if admitted is not None:
                admission.leave(admitted, record)
        best = min(best, (time.process_time() - started) / REQUESTS * 1e6)
    log.close()
    return best


async def main() -> None:
    started = time.process_time()
    for _ in range(10**7):
        pass
    print(f"a turn of an empty loop      {(time.process_time() - started) * 100:8.1f} ns")
    for name, config in {
        "no limit": LimitsConfig(),
        "requests_per_minute, a user": LimitsConfig(user=RateLimits(requests_per_minute=10**9)),
        "all limits, all scopes": LimitsConfig(global_=ALL, user=ALL, token=ALL),
    }.items():
        print(f"{name:28} {await microseconds(config):8.2f} µs")


if __name__ == "__main__":
    asyncio.run(main())
