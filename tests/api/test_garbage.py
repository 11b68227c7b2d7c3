"""Requests leave no cycles behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import CHAT, KEYS, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import Answer, CloseBeforeAnswer, Cut, Garbage, Stream
from tests.fakes.provider import FakeProvider
from tests.garbage import leaving_no_cycle

MESSAGES: Any = {**CHAT, "max_tokens": 9}
ASKED = 5
CHUNK = {"id": "a", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}
ERROR = {"error": {"message": "no", "type": "server_error", "code": None}}
CASES: dict[str, tuple[str, dict[str, Any], Callable[[], Any]]] = {
    "whole": ("/v1/chat/completions", CHAT, Answer),
    "streamed": ("/v1/chat/completions", {**CHAT, "stream": True}, Stream),
    "translated": ("/v1/messages", MESSAGES, Answer),
    "translated and streamed": ("/v1/messages", {**MESSAGES, "stream": True}, Stream),
    "failed": ("/v1/chat/completions", CHAT, lambda: Answer(500, {"error": {"message": "no"}})),
    "cut": ("/v1/chat/completions", {**CHAT, "stream": True}, lambda: Cut(700, Stream())),
    "without its end": ("/v1/chat/completions", {**CHAT, "stream": True}, lambda: Stream((CHUNK,))),
    "ended by an error": ("/v1/chat/completions", {**CHAT, "stream": True}, lambda: Stream((CHUNK, ERROR))),
    "translated and cut": ("/v1/messages", {**MESSAGES, "stream": True}, lambda: Cut(700, Stream())),
    "not HTTP": ("/v1/chat/completions", CHAT, Garbage),
    "without an answer": ("/v1/chat/completions", CHAT, CloseBeforeAnswer),
}


@pytest.mark.usefixtures("young")
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
            with leaving_no_cycle():
                await ask(ASKED)

    run(scenario())
