"""Answers with status 200 that say they failed: what of them is charged for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.billed import CENT, SHORT, ask, charges, charging
from tests.conftest import run
from tests.fakes.behaviours import Answer
from tests.fakes.provider import FakeProvider

KEYS = ("sk-first-000000000001", "sk-second-00000000002", "sk-third-000000000003")
ASK_RESPONSE = {"model": "gpt-4o-mini", "max_output_tokens": 10, "input": "Hi."}
TEXT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'}


def failed_response(*output: object, usage: bool = True) -> dict[str, Any]:
    error = {"code": "server_error", "message": "It broke."}
    said = {"id": "resp_1", "object": "response", "status": "failed", "error": error, "output": list(output)}
    return {**said, "usage": {"input_tokens": 30, "output_tokens": 5, "total_tokens": 35} if usage else None}


def failed_chat(content: str) -> dict[str, Any]:
    """As OpenRouter has it when the provider behind it breaks off."""
    message, error = {"role": "assistant", "content": content}, {"code": 502, "message": "It broke."}
    choice = {"index": 0, "message": message, "finish_reason": "error", "native_finish_reason": "error"}
    return {
        "error": error,
        "choices": [choice],
        "usage": {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35},
    }


@pytest.mark.parametrize(
    ("path", "asked", "answer", "cents"),
    [
        ("/v1/responses", ASK_RESPONSE, failed_response(TEXT), 40),
        ("/v1/responses", ASK_RESPONSE, failed_response(CALL), 40),
        ("/v1/responses", ASK_RESPONSE, failed_response(), 0),
        ("/v1/responses", ASK_RESPONSE, failed_response(TEXT, usage=False), 0),
        ("/v1/chat/completions", SHORT, failed_chat("Hello!"), 40),
        ("/v1/chat/completions", SHORT, failed_chat(""), 0),
    ],
)
def test_an_answer_that_failed_is_charged_for_when_it_comes_with_output_and_usage(
    tmp_path: Path, path: str, asked: object, answer: dict[str, Any], cents: int
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            for key in KEYS:
                fake.script(key, *[Answer(200, answer)] * 5)
            got = await ask(running, asked, path)
            assert (got.status, b"It broke." in got.body) == (200, True)
            assert got.header("x-llmgateway-cost") == (str(cents / 100) if cents else None)
            assert [-written.entry.amount for written in await charges(running)] == [cents * CENT] * bool(cents)

    run(scenario())
