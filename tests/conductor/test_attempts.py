"""Trying until it works: which key comes next, what is tried again, and what the client hears when nothing helps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.policy.verdict import Status
from tests.api.harness import KEYS, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Delay,
    Garbage,
    Hang,
    Reset,
    Stream,
    bad_request,
    error,
    model_not_found,
    quota,
    rate_limited,
    server_error,
    unauthorized,
)
from tests.fakes.provider import FakeProvider

FIRST, SECOND, THIRD = KEYS
FORBIDDEN = error(403, None, "Forbidden.", "permission_error")
PAYMENT = error(402, None, "Payment required.", "billing")
CREDENTIALS_INSIDE = Answer(200, {"error": {"message": "no", "code": "invalid_api_key"}})


def keys_used(fake: FakeProvider) -> list[str]:
    return [seen.key for seen in fake.requests]


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (unauthorized(), "suspect"),
        (PAYMENT, "no_quota"),
        (FORBIDDEN, "suspect"),
        (rate_limited(20), "rate_limited"),
        (quota(), "no_quota"),
        (CREDENTIALS_INSIDE, "suspect"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_another_key_takes_over_from_a_bad_one(tmp_path: Path, behaviour: Behaviour, status: str, stream: bool) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(FIRST, behaviour)
            fake.script(SECOND, behaviour)
            got = await running.chat(stream=stream)
            assert (got.status, got.header("x-llmgateway-attempts")) == (200, "3")
            assert keys_used(fake) == [FIRST, SECOND, THIRD]
            rows = (await running.administrate("GET", "/admin/keys?pattern=sk-...0001")).json["keys"]
            assert rows[-1]["status"] == status
            for _ in range(3):
                assert (await running.chat()).header("x-llmgateway-attempts") == "1"

    run(scenario())


def test_a_blamed_key_is_never_tried_twice_in_a_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for key in KEYS:
                fake.script(key, rate_limited())  # no time is named: the last one is not benched
            assert (await running.chat()).status == 429
            assert sorted(keys_used(fake)) == sorted(KEYS)

    run(scenario())


def test_keys_that_have_proven_themselves_come_first_on_a_retry(tmp_path: Path) -> None:
    keys = [f"sk-untested-{n:08}" for n in range(6)]

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), keys) as running:
            proven = keys[5]
            lease = running.pool.lease_key(running.key(proven), "")
            assert lease is not None
            running.pool.succeed(lease)
            fake.script(keys[0], unauthorized())
            await running.chat()
            assert keys_used(fake) == [keys[0], proven]

    run(scenario())


@pytest.mark.parametrize("attempts", [0, 1, 2])
def test_other_keys_are_tried_as_often_as_the_configuration_says(tmp_path: Path, attempts: int) -> None:
    retry = f"on_key_error = {{attempts = {attempts}}}"

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, retry=retry)
            keys = [f"sk-number-{n:010}" for n in range(5)]
            async with gateway(tmp_path, config, keys) as running:
                for key in keys:
                    fake.script(key, rate_limited(30))
                assert (await running.chat()).status == 429
                assert len(fake.requests) == attempts + 1

    run(scenario())


@pytest.mark.parametrize("behaviour", [server_error(), server_error(503), server_error(529), Answer(502, b"<html>")])
def test_a_server_error_is_tried_again_on_another_key(tmp_path: Path, behaviour: Behaviour) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(FIRST, behaviour)
            fake.script(SECOND, behaviour)
            assert (await running.chat()).status == 200
            assert keys_used(fake) == [FIRST, SECOND, THIRD]
            assert running.pool.usable == 3

    run(scenario())


def test_a_server_error_is_tried_again_on_the_same_key_when_there_is_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), [FIRST]) as running:
            fake.script(FIRST, server_error(), server_error(), Answer())
            assert (await running.chat()).status == 200
            assert keys_used(fake) == [FIRST] * 3

    run(scenario())


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (server_error(), 500, None),
        (server_error(503), 503, None),
        (error(500, "weird", "odd", "t", retry_after="0", retry_after_ms="0"), 500, "weird"),
        (rate_limited(20), 429, "rate_limit_exceeded"),
        (quota(), 429, "insufficient_quota"),
        (FORBIDDEN, 403, None),
    ],
)
def test_the_last_failure_comes_as_it_was(tmp_path: Path, behaviour: Answer, status: int, code: str | None) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for key in KEYS:
                fake.script(key, behaviour)
            got = await running.chat()
            assert (got.status, got.json) == (status, behaviour.body)
            assert got.error["code"] == code
            for name in ("retry-after", "retry-after-ms"):
                assert got.header(name) == behaviour.headers.get(name)
            assert got.header("x-llmgateway-attempts") == "3"
            line = await running.logged()
            assert (line["status"], line["outcome"]) == (status, "error")

    run(scenario())


@pytest.mark.parametrize("behaviour", [unauthorized(), PAYMENT, CREDENTIALS_INSIDE])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/p/main/v1/chat/completions"])
def test_the_gateways_own_credentials_are_no_business_of_the_client(
    tmp_path: Path, behaviour: Behaviour, path: str
) -> None:
    if path.startswith("/p/") and behaviour is CREDENTIALS_INSIDE:
        return  # nobody looks inside

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for key in KEYS:
                fake.script(key, behaviour)
            got = await running.ask("POST", path, {"model": "gpt-4o", "messages": []})
            assert (got.status, got.code) == (502, "upstream_credentials")
            assert got.header("x-llmgateway-provider") == "main"
            assert got.header("x-llmgateway-attempts") == "3"
            assert "Incorrect" not in got.error["message"]

    run(scenario())


@pytest.mark.parametrize(
    "behaviour", [bad_request(), model_not_found(), error(422, "x", "y", "z"), error(413, None, "large", "t")]
)
def test_a_clients_mistake_is_answered_once(tmp_path: Path, behaviour: Answer) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(FIRST, behaviour)
            got = await running.chat()
            assert (got.status, got.json) == (behaviour.status, behaviour.body)
            assert len(fake.requests) == 1
            assert running.pool.standings.counts[Status.UNTESTED] == 3  # nothing was learned of any key

    run(scenario())


def test_a_stream_without_any_event_is_no_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for key in KEYS:
                fake.script(key, Stream(()))
            got = await running.chat(stream=True)
            assert (got.status, got.code) == (502, "upstream_error")

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_cannot_be_reached_is_tried_again_and_then_named(tmp_path: Path, stream: bool) -> None:
    async def scenario() -> None:
        fake = FakeProvider()
        async with fake:
            pass  # its port is free now, and nobody listens
        async with gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.chat(stream=stream)
            assert (got.status, got.code) == (502, "upstream_error")
            assert "could not be reached" in got.error["message"]
            assert got.header("x-llmgateway-attempts") == "3"
            assert running.pool.usable == 3
            async with fake:
                assert (await running.chat()).status == 200

    run(scenario())


@pytest.mark.parametrize(
    ("policy", "stream", "calls"),
    [
        ("never", False, 1),
        ("never", True, 1),
        ("streams", False, 1),
        ("streams", True, 3),
        ("always", False, 3),
        ("always", True, 3),
    ],
)
@pytest.mark.parametrize("behaviour", [CloseBeforeAnswer(), Reset(), Garbage()])
def test_what_was_not_answered_is_sent_again_as_configured(
    tmp_path: Path, policy: str, stream: bool, calls: int, behaviour: Behaviour
) -> None:
    retry = f'on_server_error = {{attempts = 2, backoff = 0}}\nreplay_unanswered = "{policy}"'

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=retry)) as running:
            for key in KEYS:
                fake.script(key, behaviour)
            got = await running.chat(stream=stream)
            assert (got.status, got.code) == (502, "upstream_error")
            assert len(fake.requests) == calls

    run(scenario())


@pytest.mark.parametrize(("policy", "status", "calls"), [("never", 502, 2), ("streams", 502, 2), ("always", 200, 3)])
def test_nor_is_it_on_a_fresh_connection_because_an_idle_one_was_closed(
    tmp_path: Path, policy: str, status: int, calls: int
) -> None:
    """Nobody knows whether the provider had read the request by then."""
    retry = f'on_server_error = {{attempts = 0}}\nreplay_unanswered = "{policy}"'

    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=retry), [FIRST]) as running,
        ):
            fake.script(FIRST, Answer(), CloseBeforeAnswer(), Answer())
            assert (await running.chat()).status == 200
            assert (await running.chat()).status == status
            assert len(fake.requests) == calls

    run(scenario())


@pytest.mark.parametrize(("policy", "calls"), [("never", 1), ("always", 2)])
def test_a_late_answer_is_a_timeout(tmp_path: Path, policy: str, calls: int) -> None:
    retry = f'on_server_error = {{attempts = 1, backoff = 0}}\nreplay_unanswered = "{policy}"'
    more = "[providers.main.timeouts]\nfirst_byte = 0.1"

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, retry=retry, more=more)
            async with gateway(tmp_path, config) as running:
                for key in KEYS:
                    fake.script(key, Hang())
                got = await running.chat()
                assert (got.status, got.code, got.error["type"]) == (504, "upstream_timeout", "timeout_error")
                assert len(fake.requests) == calls
                await fake.wait_aborted(calls)
                assert running.pool.usable == 3

    run(scenario())


def test_all_attempts_together_have_one_deadline(tmp_path: Path) -> None:
    more = "[providers.main.timeouts]\ntotal = 0.1"
    retry = "on_server_error = {attempts = 100, backoff = 0}"

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, retry=retry, more=more)
            async with gateway(tmp_path, config) as running:
                for key in (FIRST, SECOND):
                    fake.script(key, Delay(0.06, server_error()))
                got = await running.chat()
                assert (got.status, got.code) == (504, "upstream_timeout")
                assert THIRD not in keys_used(fake)

    run(scenario())


def test_a_retry_that_would_come_too_late_is_not_waited_for(tmp_path: Path) -> None:
    more = "[providers.main.timeouts]\ntotal = 5"
    retry = "on_key_error = {attempts = 3, backoff = 3600}"

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, retry=retry, more=more)
            async with gateway(tmp_path, config) as running:
                for key in KEYS:
                    fake.script(key, rate_limited(30))
                assert (await running.chat()).status == 429

    run(scenario())


@pytest.mark.parametrize(
    "behaviour",
    [
        error(503, None, "Busy.", "server_error", retry_after="0.2"),
        error(529, None, "Busy.", "overloaded_error", retry_after_ms="200"),
        error(500, None, "Odd. Please try again in 200 ms.", "server_error"),
        Answer(200, {"error": {"message": "Overloaded.", "code": 503}}, {"retry-after": "0.2"}),
        Stream((), headers={"retry-after": "0.2"}),
    ],
)
def test_a_failing_provider_is_left_alone_for_as_long_as_it_says(tmp_path: Path, behaviour: Behaviour) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(FIRST, behaviour)
            fake.script(SECOND, behaviour)
            assert (await running.chat(stream=isinstance(behaviour, Stream))).status == 200
            first, second, third = (seen.at for seen in fake.requests)
            if not isinstance(behaviour, Stream):  # of which nobody knows what went wrong
                assert second - first >= 0.2 and third - second >= 0.2
            assert running.pool.usable == 3, "no key rests for it"

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [500, 503, 529])
def test_a_wait_that_does_not_fit_into_the_deadline_is_left_to_the_client(
    tmp_path: Path, status: int, stream: bool
) -> None:
    more = "[providers.main.timeouts]\ntotal = 20"

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            fake.script(FIRST, error(status, None, "Busy.", "server_error", retry_after="20"))
            got = await running.chat(stream=stream)
            assert (got.status, got.header("retry-after")) == (status, "20")
            assert (got.header("x-llmgateway-attempts"), len(fake.requests)) == ("1", 1)
            assert running.pool.usable == 3
            assert (await running.chat(stream=stream)).status == 200, "others may try at once"

    run(scenario())


def test_a_blamed_key_is_not_tried_again_when_the_provider_fails_afterwards(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), KEYS[:2]) as running:
            fake.script(FIRST, rate_limited())
            fake.script(SECOND, server_error(), server_error(), Answer())
            assert (await running.chat()).status == 200
            assert keys_used(fake) == [FIRST, SECOND, SECOND, SECOND]

    run(scenario())


def test_an_outage_is_not_made_worse_by_retries(tmp_path: Path) -> None:
    """Not even where no circuit opens."""
    retry = "on_server_error = {attempts = 2, backoff = 0}\nbudget = 0.5"
    more = "[providers.main.circuit_breaker]\nenabled = false"

    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=retry, more=more)) as running,
        ):
            for key in KEYS:
                fake.script(key, server_error())
            for _ in range(20):
                assert (await running.chat()).status == 500
            assert len(fake.requests) == 20 + 10, "one retry for every second request"

    run(scenario())


def test_without_a_budget_nothing_is_retried_after_a_fault_of_the_providers(tmp_path: Path) -> None:
    retry = "on_server_error = {attempts = 2, backoff = 0}\nbudget = 0"

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=retry)) as running:
            for key in KEYS:
                fake.script(key, server_error())
            assert (await running.chat()).status == 500
            assert len(fake.requests) == 1

    run(scenario())


def test_a_request_waits_until_a_key_returns(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), [FIRST]) as running:
            fake.script(FIRST, rate_limited(9), Answer())
            assert (await running.chat()).status == 429
            waiting = [asyncio.ensure_future(running.chat()) for _ in range(20)]
            await until(lambda: len(running.pool.waiters) == 20)
            running.pass_time(9)
            assert {got.status for got in await asyncio.gather(*waiting)} == {200}
            assert len(fake.requests) == 21

    run(scenario())


def test_who_waits_for_a_model_is_served_by_a_key_that_is_enabled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), [FIRST, SECOND]) as running:
            fake.script(FIRST, rate_limited(9))
            running.pool.standings.disable(running.key(SECOND))
            assert (await running.chat()).status == 429
            waiting = asyncio.ensure_future(running.chat())
            await until(lambda: len(running.pool.waiters) == 1)
            running.pool.standings.enable(running.key(SECOND))
            assert (await waiting).status == 200

    run(scenario())


def test_the_queue_is_not_longer_than_the_configuration_says(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more="[queue]\nmax = 2")
            async with gateway(tmp_path, config, [FIRST]) as running:
                fake.script(FIRST, rate_limited(9), Answer())
                await running.chat()
                waiting = [asyncio.ensure_future(running.chat()) for _ in range(2)]
                await until(lambda: len(running.pool.waiters) == 2)
                got = await running.chat()
                assert (got.status, got.code) == (429, "keys_cooling")
                running.pass_time(9)
                assert {got.status for got in await asyncio.gather(*waiting)} == {200}

    run(scenario())


def test_nobody_waits_longer_than_the_queue_allows(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more="[queue]\ntimeout = 0.1")
            async with gateway(tmp_path, config, [FIRST]) as running:
                fake.script(FIRST, rate_limited(9))
                await running.chat()
                running.clock.ahead += 8.95  # the key is back in a moment, but nobody wakes it
                got = await running.chat()
                assert (got.status, got.code) == (429, "keys_cooling")

    run(scenario())


def test_cooling_keys_are_counted_and_the_earliest_return_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            running.clock.stop()
            for key, seconds in zip(KEYS, (300, 100, 200), strict=True):
                fake.script(key, rate_limited(seconds))
            await running.chat()
            got = await running.chat()
            assert (got.status, got.code, got.error["type"]) == (429, "keys_cooling", "rate_limit_error")
            assert got.error["keys"] == {"rate_limited": 3}
            assert "3 rate_limited" in got.error["message"]
            assert (got.header("retry-after"), got.header("retry-after-ms")) == ("100", "100000")
            assert len(fake.requests) == 3
            line = await running.logged(count=2)
            assert (line["error"], line["status"], line["attempts"]) == ("keys_cooling", 429, 0)

    run(scenario())


def test_without_a_usable_key_the_reasons_are_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(FIRST, unauthorized())
            fake.script(SECOND, quota())
            running.pool.standings.disable(running.key(THIRD))
            running.clock.stop()
            await running.chat()
            got = await running.chat()
            assert (got.status, got.code, got.error["type"]) == (503, "no_usable_key", "api_error")
            assert got.error["keys"] == {"disabled": 1, "no_quota": 1, "suspect": 1}
            assert got.header("retry-after") == "65"  # the suspect's second chance

    run(scenario())


def test_a_provider_without_keys_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), []) as running:
            got = await running.chat(stream=True)
            assert (got.status, got.code, got.header("retry-after")) == (503, "no_usable_key", "30")
            assert "no keys at all" in got.error["message"]

    run(scenario())


PINNED = [
    (rate_limited(50), 429, "keys_cooling", "rate_limited", "50"),
    (quota(), 503, "no_usable_key", "no_quota", "21600"),
    (unauthorized(), 503, "no_usable_key", "suspect", "65"),
]


@pytest.mark.parametrize(("behaviour", "status", "code", "reason", "retry_after"), PINNED)
def test_a_response_that_only_a_benched_key_can_continue_is_not_taken_elsewhere(
    tmp_path: Path, behaviour: Behaviour, status: int, code: str, reason: str, retry_after: str
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            asked = {"model": "gpt-4o", "input": "x"}
            await running.ask("POST", "/v1/responses", asked)
            ((made, owner),) = fake.response_owner.items()
            fake.script(owner, behaviour)
            running.clock.stop()
            follow_up = {**asked, "previous_response_id": made}
            await running.ask("POST", "/v1/responses", follow_up)
            assert [seen.key for seen in fake.requests] == [owner, owner]
            got = await running.ask("POST", "/v1/responses", follow_up)
            assert (got.status, got.code, got.error["keys"]) == (status, code, {reason: 1})
            assert got.header("retry-after") == retry_after
            assert len(fake.requests) == 2

    run(scenario())


def test_a_disabled_key_continues_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await running.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "x"})
            ((made, owner),) = fake.response_owner.items()
            running.pool.standings.disable(running.key(owner))
            got = await running.ask("GET", f"/v1/responses/{made}")
            assert (got.status, got.code, got.error["keys"]) == (503, "no_usable_key", {"disabled": 1})

    run(scenario())


def test_a_response_waits_for_its_key_when_that_is_back_soon(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            asked = {"model": "gpt-4o", "input": "x"}
            await running.ask("POST", "/v1/responses", asked)
            ((made, owner),) = fake.response_owner.items()
            fake.script(owner, rate_limited(9), Answer())
            follow_up = {**asked, "previous_response_id": made}
            assert (await running.ask("POST", "/v1/responses", follow_up)).status == 429
            waiting = asyncio.ensure_future(running.ask("POST", "/v1/responses", follow_up))
            await until(lambda: len(running.pool.waiters) == 1)
            running.pass_time(9)
            assert (await waiting).status == 200
            assert {seen.key for seen in fake.requests} == {owner}

    run(scenario())


def test_a_model_that_other_keys_serve_is_looked_for_elsewhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), [FIRST, SECOND]) as running:
            fake.script(FIRST, Answer(), model_not_found("gpt-4o-mini"))
            for _ in range(3):
                assert (await running.chat()).status == 200
            assert keys_used(fake) == [FIRST, SECOND, FIRST, SECOND]

    run(scenario())
