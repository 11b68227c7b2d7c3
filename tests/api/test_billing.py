"""Requests that cost: what is reserved, charged, refused and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.conductor.upperbound import FRAME_TOKENS
from gateway.store.entries import Reservation
from gateway.upstream.exchange import PLAIN_LIMIT
from gateway.usage import tokens_of
from tests.api.billed import CENT, SHORT, ask, charges, charging, prices
from tests.api.harness import AS_ANN, AS_ROOT, CHAT, KEYS, TOKENS, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import Answer, Hang, Stream, server_error, unauthorized
from tests.fakes.provider import FakeProvider

KEY = "sk-first-000000000001"


def answered(usage: object, text: str = "Hello!") -> Answer:
    """A chat whose answer reports this usage, or none."""
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    return Answer(200, body if usage is None else {**body, "usage": usage})


USAGE = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}


def test_an_answer_is_charged_for_by_its_usage_before_it_arrives(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, answered(USAGE))
            got = await ask(running)
            assert (got.status, got.header("x-llmgateway-cost")) == (200, "0.4")
            (written,) = await charges(running)
            entry = written.entry
            assert (entry.amount, entry.estimated, written.balance_after) == (-40 * CENT, 0, 9960 * CENT)
            assert (entry.model, entry.provider, entry.token) == ("gpt-4o-mini", "main", "ann")
            assert json.loads(entry.usage) == {"input_uncached": 30, "output_text": 5}
            assert entry.request_id == got.header("x-request-id")
            assert entry.price_version.startswith("config ")
            assert running.metric('llm_cost_total{provider="main",model="gpt-4o-mini"}') == 0.4
            assert (await running.logged())["cost"] == 0.4

    run(scenario())


@pytest.mark.parametrize(
    ("usage", "estimated"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, 0),  # zero is a number
        (None, 1),
        ({}, 1),
        ({"prompt_tokens": -1, "completion_tokens": 1.5}, 1),
    ],
)
def test_usage_of_zero_costs_nothing_and_none_costs_an_estimate(tmp_path: Path, usage: object, estimated: int) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, answered(usage))
            got = await ask(running)
            (written,) = await charges(running)
            prompt = -(-len(json.dumps(SHORT)) // 4)
            due = prompt + 2 * 2 if estimated else 0  # "Hello!" is two tokens
            assert written.entry.estimated == estimated
            assert -written.entry.amount == due * CENT
            cost = got.header("x-llmgateway-cost")
            assert cost is not None and float(cost) == due / 100

    run(scenario())


LONG = answered(USAGE, "x" * (PLAIN_LIMIT + 1)).body
assert isinstance(LONG, dict)
EMBEDDED = {"data": [{"embedding": [0.123456789012] * 3072}] * 110, "usage": {"prompt_tokens": 30, "total_tokens": 30}}


@pytest.mark.parametrize(
    ("path", "body", "answer", "cents"),
    [
        ("/v1/chat/completions", SHORT, Answer(200, LONG), 40),
        ("/v1/chat/completions", SHORT, Answer(200, dict(sorted(LONG.items(), reverse=True))), 40),  # usage comes first
        ("/v1/chat/completions", SHORT, Answer(200, json.dumps(LONG).encode(), {"content-type": "text/plain"}), 40),
        ("/v1/embeddings", {"model": "gpt-4o-mini", "input": "Hi"}, Answer(200, EMBEDDED), 30),
    ],
)
def test_the_usage_of_an_answer_that_is_too_long_to_be_read_counts(
    tmp_path: Path, path: str, body: object, answer: Answer, cents: int
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, answer)
            got = await ask(running, body, path)
            assert (got.status, got.complete) == (200, True)
            (written,) = await charges(running)
            assert (-written.entry.amount, written.entry.estimated) == (cents * CENT, 0)

    run(scenario())


def test_an_answer_that_nobody_can_read_costs_what_was_reserved(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, answered(None, "x" * (PLAIN_LIMIT + 1)))
            assert (await ask(running, SHORT)).status == 200
            (written,) = await charges(running)
            reserved = len(json.dumps(SHORT)) + FRAME_TOKENS + 2 * 10
            assert (-written.entry.amount, written.entry.estimated) == (reserved * CENT, 1)

    run(scenario())


def test_a_failure_costs_nothing_and_only_the_answer_of_several_attempts_is_charged_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, server_error())
            fake.script("sk-second-00000000002", answered(USAGE))
            assert (await ask(running)).status == 200
            assert len(fake.requests) == 2
            assert [written.entry.amount for written in await charges(running)] == [-40 * CENT]
            for key in (KEY, "sk-second-00000000002", "sk-third-000000000003"):
                fake.script(key, unauthorized())
            got = await ask(running)
            assert got.status == 502
            assert not got.header("x-llmgateway-cost")
            assert len(await charges(running)) == 1

    run(scenario())


def test_who_cannot_pay_gets_402_with_what_it_takes_and_what_is_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="1") as running:
            got = await ask(running)
            error = got.json["error"]
            assert (got.status, error["code"], error["type"]) == (402, "insufficient_quota", "insufficient_quota")
            assert not got.header("retry-after")
            assert error["available"] == 1
            assert error["required"] > 1.6
            assert error["message"].startswith("The balance is too small for this. This request may cost up to 1.")
            assert error["message"].endswith("A shorter limit for the answer takes less.")
            speechless = {"model": "gpt-4o-mini", "input": "x" * 1000}
            message = (await ask(running, speechless, "/v1/embeddings")).error["message"]
            assert message.endswith("the balance is 1 USD.")
            assert not fake.requests

    run(scenario())


def test_money_that_is_only_reserved_is_not_called_exhausted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="3") as running:
            held = await running.ledger.reserve("ann", 250 * CENT)
            assert isinstance(held, Reservation)
            got = await ask(running)
            assert (got.status, got.json["error"]["code"]) == (402, "insufficient_quota")
            assert "reserved by requests in flight" in got.json["error"]["message"]
            assert got.json["error"]["available"] == 0.5
            running.ledger.release(held)
            assert (await ask(running)).status == 200

    run(scenario())


def test_the_402_has_the_shape_of_its_surface(tmp_path: Path) -> None:
    message = {"model": "gpt-4o-mini", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="0") as running:
            got = await ask(running, message, "/v1/messages")
            assert (got.status, got.json["type"], got.json["error"]["details"]["available"]) == (402, "error", 0)
            assert got.json["error"]["message"].startswith("The balance is exhausted.")
            assert got.json["error"]["message"].endswith("the balance is 0 USD.")
            got = await ask(
                running, {"contents": [{"parts": [{"text": "Hi"}]}]}, "/v1beta/models/gpt-4o-mini:generateContent"
            )
            assert (got.status, got.json["error"]["code"]) == (402, 402)

    run(scenario())


def test_a_disabled_user_gets_403(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            await running.books.open("ann", 100 * CENT, 0)
            await running.database.execute("UPDATE users SET disabled = 1")
            got = await ask(running)
            assert (got.status, got.json["error"]["code"]) == (403, "permission_denied")

    run(scenario())


def test_what_has_no_price_is_refused_or_free_as_the_operator_says(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            async with charging(tmp_path, fake) as running:
                for body, path in (
                    ({**SHORT, "model": "gpt-4o"}, "/v1/chat/completions"),
                    ({"model": "gpt-4o-mini", "prompt": "a cat"}, "/v1/images/generations"),
                    (CHAT, "/p/main/v1/chat/completions"),
                ):
                    got = await ask(running, body, path)
                    assert (got.status, got.json["error"]["code"]) == (402, "unpriced_model"), path
                    by_request = "no price for a request for the model" in got.json["error"]["message"]
                    assert by_request == path.endswith("generations")
                assert not fake.requests
            async with charging(tmp_path, fake, billing='unpriced = "free"') as running:
                got = await ask(running, {**SHORT, "model": "gpt-4o"})
                assert got.status == 200
                assert not got.header("x-llmgateway-cost")
                assert await charges(running) == []

    run(scenario())


def test_a_price_for_the_request_is_charged_where_there_are_no_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, Answer(200, b"sound", {"content-type": "audio/mpeg"}))
            got = await ask(running, {"model": "whisper-1", "input": "Hi"}, "/v1/audio/speech")
            assert (got.status, got.body, got.header("x-llmgateway-cost")) == (200, b"sound", "0.5")
            assert [written.entry.amount for written in await charges(running)] == [-50 * CENT]

    run(scenario())


def test_counting_tokens_and_the_admin_socket_are_free(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="0") as running:
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
            assert (await ask(running, body, "/v1/messages/count_tokens")).status == 200
            assert (await running.administrate("POST", "/v1/chat/completions", SHORT)).status == 200
            assert await charges(running) == []

    run(scenario())


def test_each_user_pays_for_himself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, answered(USAGE))
            for headers in (AS_ANN, AS_ROOT, AS_ANN):
                assert (await running.ask("POST", "/v1/chat/completions", SHORT, headers)).status == 200
            assert len(await charges(running, "ann")) == 2
            assert len(await charges(running, "root")) == 1

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("aborted", ["prompt", "free"])
def test_a_client_that_leaves_before_the_answer_pays_for_the_prompt_or_nothing_as_the_operator_says(
    tmp_path: Path, aborted: str, stream: bool
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, billing=f'aborted = "{aborted}"') as running:
            fake.script(KEY, Hang())
            body = {**SHORT, "stream": stream}
            async with running.talk() as talk:
                await talk.send("POST", "/v1/chat/completions", body, AS_ANN)
                await until(lambda: bool(fake.requests))
                assert await running.database.fetchval("SELECT COUNT(*) FROM reservations") == 1
            await running.logged()
            written = [each.entry for each in await charges(running)]
            if aborted == "free":
                assert written == []
                return
            (entry,) = written
            assert (entry.amount, entry.estimated) == (-tokens_of(len(json.dumps(body))) * CENT, 1)
            assert (entry.note, entry.provider) == ("client gone before the answer", "main")

    run(scenario())


def test_a_client_that_leaves_while_its_request_waits_for_a_place_pays_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            text = configuration(fake.base_url, provider="max_connections = 1", more=TOKENS + prices())
            async with gateway(tmp_path, text) as running, running.talk() as first:
                fake.script(KEY, Hang())
                await first.send("POST", "/v1/chat/completions", SHORT, AS_ROOT)
                await until(lambda: bool(fake.requests))
                async with running.talk() as talk:
                    await talk.send("POST", "/v1/chat/completions", SHORT, AS_ANN)
                    while await running.database.fetchval("SELECT COUNT(*) FROM reservations") != 2:
                        pass
                await running.logged()
                assert await charges(running) == []

    run(scenario())


def test_a_client_that_leaves_after_an_attempt_has_failed_pays_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        retry = "on_server_error = {attempts = 2, backoff = 60}"
        async with FakeProvider() as fake:
            text = configuration(fake.base_url, retry=retry, more=TOKENS + prices())
            async with gateway(tmp_path, text) as running:
                fake.script(KEY, server_error())
                async with running.talk() as talk:
                    await talk.send("POST", "/v1/chat/completions", SHORT, AS_ANN)
                    await until(lambda: running.metric('llm_attempts_total{provider="main",outcome="server_error"}'))
                assert (await running.logged())["outcome"] == "client_gone"
                assert await charges(running) == []

    run(scenario())


def test_a_translated_answer_without_usage_costs_an_estimate_of_what_it_says(tmp_path: Path) -> None:
    message = {"model": "gpt-4o-mini", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            for answer in (answered(None, "x" * 200), Stream((word("x" * 200), word("", "stop"), "[DONE]"))):
                for key in KEYS:
                    fake.script(key, answer)
                assert (await ask(running, message, "/v1/messages")).status == 200
                (written, *_) = await charges(running)
                prompt = -(-len(json.dumps(message)) // 4)
                assert (-written.entry.amount, written.entry.estimated) == ((prompt + 2 * 50) * CENT, 1)

    run(scenario())


def word(text: str, reason: str | None = None) -> dict[str, object]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}


def test_a_translated_answer_is_charged_for_too(tmp_path: Path) -> None:
    message = {"model": "gpt-4o-mini", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, answered(USAGE))
            got = await ask(running, message, "/v1/messages")
            assert (got.status, got.header("x-llmgateway-cost")) == (200, "0.4")

    run(scenario())
