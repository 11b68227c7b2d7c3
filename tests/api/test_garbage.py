"""Requests leave no cycles behind: what only the garbage collector finds is found late, and memory grows meanwhile."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import CHAT, KEYS, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import Answer, CloseBeforeAnswer, Cut, Garbage, Stream
from tests.fakes.provider import FakeProvider

MESSAGES: Any = {**CHAT, "max_tokens": 9}
ASKED = 5
CASES: dict[str, tuple[str, dict[str, Any], Callable[[], Any]]] = {
    "whole": ("/v1/chat/completions", CHAT, Answer),
    "streamed": ("/v1/chat/completions", {**CHAT, "stream": True}, Stream),
    "translated": ("/v1/messages", MESSAGES, Answer),
    "translated and streamed": ("/v1/messages", {**MESSAGES, "stream": True}, Stream),
    "failed": ("/v1/chat/completions", CHAT, lambda: Answer(500, {"error": {"message": "no"}})),
    "cut": ("/v1/chat/completions", {**CHAT, "stream": True}, lambda: Cut(700, Stream())),
    "translated and cut": ("/v1/messages", {**MESSAGES, "stream": True}, lambda: Cut(700, Stream())),
    "not HTTP": ("/v1/chat/completions", CHAT, Garbage),
    "without an answer": ("/v1/chat/completions", CHAT, CloseBeforeAnswer),
}


@pytest.mark.parametrize("case", CASES)
def test_a_request_leaves_no_cycle(tmp_path: Path, case: str) -> None:
    path, body, behaviour = CASES[case]

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), KEYS[:1]) as running:

            async def ask(times: int) -> None:
                for _ in range(times):
                    fake.script(KEYS[0], behaviour())
                    await running.ask("POST", path, body)

            await ask(2)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                await ask(ASKED)
                gc.collect()
                left = Counter(type(thing).__qualname__ for thing in gc.garbage if of_ours(thing))
            finally:
                gc.set_debug(0)
                gc.enable()
                gc.garbage.clear()
            assert not left

    run(scenario())


def of_ours(thing: object) -> bool:
    return type(thing).__module__.startswith("gateway.")
