"""Errors of providers as the official SDKs meet them: before an answer, and within a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors as google_errors

from tests.e2e.sdks import CLIENTS, PLAIN, Stage, every_client, every_provider, open_stage, streamed_and_not
from tests.e2e.talk import Wishes
from tests.fakes import anthropic_api, gemini_api, openai_api


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Stage]:
    """For each test, since keys rest after errors."""
    yield from open_stage(tmp_path)


FAILURES = {
    "chat": {name: failure[1] for name, failure in openai_api.FAILURES.items()},
    "responses": {name: failure[1] for name, failure in openai_api.FAILURES.items()},
    "anthropic": {name: failure[2] for name, failure in anthropic_api.FAILURES.items()},
    "gemini": {name: failure[2] for name, failure in gemini_api.FAILURES.items()},
}
STATUSES = {"rate": 429, "bad": 400, "context": 400, "server": 500, "overloaded": 503}


@every_provider
@streamed_and_not
def test_errors_arrive_as_the_sdks_own_classes(fresh: Stage, provider: str, stream: bool) -> None:
    async def scenario() -> None:
        for failure, status in STATUSES.items():
            for client in CLIENTS:
                model = f"{provider}/{PLAIN[provider]}"
                talk = fresh.sdks.talk(client, model, Wishes(), stream=stream)
                error = await _raised(talk.say(f"DO fail {failure}"))
                expected = 529 if client == provider == "anthropic" and failure == "overloaded" else status
                assert (client, failure, status_of(error)) == (client, failure, expected)
                assert isinstance(error, CLASSES[client]), error
                words = FAILURES[provider][failure]
                assert words in str(error) and '{"' not in str(error), "the provider's words, not its JSON"
                for pool in fresh.running.pools.values():
                    pool.breakers.reset()
                    for key in pool.standings.keys.values():
                        pool.standings.clear(key)

    fresh.run(scenario())


CLASSES: dict[str, type[Exception]] = {
    "chat": openai.APIStatusError,
    "responses": openai.APIStatusError,
    "anthropic": anthropic.APIStatusError,
    "gemini": google_errors.APIError,
}


def status_of(error: Any) -> int:
    return int(error.code if isinstance(error, google_errors.APIError) else error.status_code)


async def _raised(call: Awaitable[Any]) -> Exception:
    try:
        said = await call
    except (openai.APIError, anthropic.APIError, google_errors.APIError) as error:
        return error
    raise AssertionError(f"no error but {said}")


@every_provider
@every_client
def test_an_error_within_a_stream_is_an_error_of_the_sdk(fresh: Stage, client: str, provider: str) -> None:
    talk = fresh.sdks.talk(client, f"{provider}/{PLAIN[provider]}", Wishes(), stream=True)
    error = fresh.run(_raised(talk.say("DO say This much came, before it broke. | break")))
    assert any(words in str(error) for words in FAILURES[provider].values()), error
