"""However a provider fails, what reaches it stays within 1.2 times of what clients ask, and the trials of a half-open
circuit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.policy.retry import CREDIT, RESERVE
from tests.api.harness import KEYS, Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Cut,
    Garbage,
    Hang,
    Reset,
    Stream,
    error,
    server_error,
)
from tests.fakes.provider import FakeProvider
from tests.ports import free_port

CLIENTS, AT_ONCE = 150, 15
PROBES = 3
OFF = "[providers.main.circuit_breaker]\nenabled = false"
IMPATIENT = "[providers.main.timeouts]\nfirst_byte = 0.02"
EAGER = "on_server_error = {attempts = 5, backoff = 0}"
"""More than the budget has."""

FAILURES = {
    "500": server_error(),
    "503": server_error(503),
    "503, come back at once": error(503, None, "Busy.", "server_error", retry_after="0"),
    "529": server_error(529),
    "empty": Answer(200, {"choices": []}),
    "an error in a 200": Answer(200, {"error": {"message": "No.", "type": "server_error", "code": 500}}),
    "a stream without events": Stream(()),
    "reset after the request": Reset(),
    "closed after the request": CloseBeforeAnswer(),
    "cut": Cut(10),
    "no HTTP": Garbage(),
    "silence": Hang(),
}


async def storm(running: Gateway, *, stream: bool, clients: int = CLIENTS, at_once: int = AT_ONCE) -> int:
    """So many clients, some at once. The attempts that were made for them, by the answers' own account."""
    attempts = 0
    for _ in range(clients // at_once):
        answers = await asyncio.gather(*(running.chat(stream=stream) for _ in range(at_once)))
        attempts += sum(int(got.header("x-llmgateway-attempts") or 0) for got in answers)
    return attempts


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_without_a_breaker_a_provider_that_only_fails_gets_a_fifth_more_and_not_a_storm(
    tmp_path: Path, failure: Behaviour, stream: bool
) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=EAGER, more=f"{OFF}\n{IMPATIENT}")) as running,
        ):
            for key in KEYS:
                fake.script(key, failure)
            attempts = await storm(running, stream=stream)
            assert CLIENTS < len(fake.requests) == attempts <= 1.2 * CLIENTS

    run(scenario())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("failure", [server_error(), Reset(), Hang()], ids=["500", "reset", "silence"])
def test_a_breaker_leaves_a_provider_that_only_fails_alone_but_for_trials(
    tmp_path: Path, failure: Behaviour, stream: bool
) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=EAGER, more=IMPATIENT)) as running,
        ):
            for key in KEYS:
                fake.script(key, failure)
            await storm(running, stream=stream, clients=AT_ONCE)
            assert len(fake.requests) <= AT_ONCE + RESERVE, "all at once, before anybody knew"
            before = len(fake.requests)
            for _ in range(5):
                running.pass_time(400)  # longer than it is ever open
                await storm(running, stream=stream, clients=AT_ONCE)
            openings = running.pool.breakers.circuits()[0].breaker.openings
            assert 5 <= openings - 1 <= len(fake.requests) - before <= PROBES * (openings - 1)

    run(scenario())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("more", [OFF, ""], ids=["without", "with a breaker"])
def test_a_provider_that_refuses_connections_is_not_called_more_often_either(
    tmp_path: Path, stream: bool, more: str
) -> None:
    async def scenario() -> None:
        config = configuration(f"http://127.0.0.1:{free_port()}/v1", retry=EAGER, more=more)
        async with gateway(tmp_path, config) as running:
            attempts = await storm(running, stream=stream)
            assert attempts <= (1.2 * CLIENTS if more else AT_ONCE + RESERVE)

    run(scenario())


@pytest.mark.parametrize("failure", [Reset(), CloseBeforeAnswer()], ids=["reset", "closed"])
def test_connections_that_were_idle_are_no_way_around_the_budget(tmp_path: Path, failure: Behaviour) -> None:
    """The provider has been well. When it begins to close whatever comes, each idle connection may pass for one that it
    had given up long ago."""

    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=EAGER, more=OFF)) as running,
        ):
            at_once = 50
            await asyncio.gather(*(running.chat() for _ in range(at_once)))
            for key in KEYS:
                fake.script(key, failure)
            before = len(fake.requests)
            await storm(running, stream=False, at_once=at_once)
            assert CLIENTS < len(fake.requests) - before <= 1.2 * CLIENTS + 10, "what was saved up before"

    run(scenario())


def test_after_good_times_an_outage_begins_with_what_was_saved_and_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=EAGER, more=OFF)) as running,
        ):
            saved = min(CREDIT, RESERVE + 0.2 * CLIENTS)
            await storm(running, stream=False)
            before = len(fake.requests)
            for key in KEYS:
                fake.script(key, server_error())
            await storm(running, stream=False)
            extra = len(fake.requests) - before - CLIENTS
            assert 0.2 * CLIENTS < extra <= 0.2 * CLIENTS + saved

    run(scenario())


def test_with_streams_that_break_off_nothing_is_sent_again(tmp_path: Path) -> None:
    words = Stream(({"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]},) * 9)

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=EAGER)) as running:
            for key in KEYS:
                fake.script(key, Cut(200, words))
            for _ in range(20):
                await running.chat(stream=True)
            assert len(fake.requests) == 5

    run(scenario())
