"""Limits as clients meet them: what is refused, what is told, what counts in the end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.conductor.admission import format_reset
from gateway.config.accounts import LimitsConfig, RateLimits
from gateway.policy.limits import RETURNS_PER_MINUTE
from gateway.usage import tokens_of
from tests.api.billed import prices
from tests.api.harness import AS_ANN, AS_ROOT, CHAT, KEYS, STREAM, TOKENS, Gateway, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import Answer, Behaviour, Cut, Hang, HangAfter, Stream, server_error
from tests.fakes.provider import FakeProvider

CHAT_PATH = "/v1/chat/completions"
BOUNDED = {**CHAT, "max_tokens": 50}
USED = 17
"""Tokens of the fake's chat answers."""


def as_bytes(body: object) -> bytes:
    """As the harness sends it."""
    return json.dumps(body).encode()


def limited(fake: FakeProvider, limits: str, more: str = "") -> str:
    return configuration(fake.base_url, more=f"{limits}\n{more}")


@pytest.mark.parametrize(
    ("limits", "scope", "kind", "retry_after"),
    [
        ("[limits.global]\nrequests_per_minute = 2", "global", "requests_per_minute", (60, 61)),
        ("[limits.user]\nrequests_per_minute = 2", "user", "requests_per_minute", (60, 61)),
        ("[limits.token]\nrequests_per_minute = 2", "token", "requests_per_minute", (60, 61)),
        ("[limits.user]\nrequests_per_hour = 2", "user", "requests_per_hour", (3600, 3660)),
        (
            "[limits.global]\nrequests_per_minute = 9\n[limits.user]\nrequests_per_hour = 2",
            "user",
            "requests_per_hour",
            (3600, 3660),
        ),
    ],
)
def test_what_is_beyond_a_limit_is_a_429_that_names_it(
    tmp_path: Path, limits: str, scope: str, kind: str, retry_after: tuple[int, int]
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits, TOKENS)) as running:
            running.clock.stop()
            for _ in range(2):
                assert (await running.ask("POST", CHAT_PATH, CHAT, AS_ANN)).status == 200
            got = await running.ask("POST", CHAT_PATH, CHAT, AS_ANN)
            assert (got.status, got.code) == (429, "rate_limit_exceeded")
            assert (got.error["scope"], got.error["limit"]) == (scope, kind)
            assert f"{kind} = 2" in got.error["message"]
            assert retry_after[0] <= int(got.header("retry-after") or 0) <= retry_after[1]
            assert int(got.header("retry-after-ms") or 0) <= retry_after[1] * 1000
            assert got.header("x-ratelimit-limit-requests") == "2"
            assert got.header("x-ratelimit-remaining-requests") == "0"
            assert got.header("x-should-retry") is None
            assert running.metric(f'rate_limit_requests_total{{scope="{scope}",outcome="allowed"}}') == 2
            assert running.metric(f'rate_limit_requests_total{{scope="{scope}",outcome="refused"}}') == 1
            running.pass_time(retry_after[1])
            assert (await running.ask("POST", CHAT_PATH, CHAT, AS_ANN)).status == 200
            assert len(fake.requests) == 3

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", CHAT_PATH, STREAM),
        ("POST", "/v1/embeddings", {"model": "gpt-4o", "input": "x"}),
        ("POST", "/v1/responses", {"model": "gpt-4o", "input": "x"}),
        ("POST", "/v1/audio/speech", {"model": "gpt-4o", "input": "x"}),
        ("GET", "/p/main/v1/files", b""),
        ("POST", "/v1/messages", {"model": "gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}),
        ("POST", "/v1/messages/count_tokens", {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}),
        ("POST", "/v1beta/models/gpt-4o:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}),
    ],
)
def test_every_way_to_a_model_counts(tmp_path: Path, method: str, path: str, body: object) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\nrequests_per_minute = 1"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            assert (await running.ask(method, path, body)).status != 429
            got = await running.ask(method, path, body)
            assert got.status == 429
            assert got.header("x-ratelimit-remaining-requests") == "0"

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/metrics", "/v1/models/gpt-4o", "/ready"])
def test_what_goes_to_no_provider_does_not_count(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        limits = "[limits.global]\nrequests_per_minute = 1"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            for _ in range(3):
                assert (await running.ask("GET", path)).status == 200
            assert (await running.administrate("GET", "/admin/status")).status == 200
            assert (await running.chat()).status == 200
            assert (await running.ask("GET", path)).status == 200

    run(scenario())


AS_BEN = {"authorization": "Bearer token-of-ben"}
ON_SALE = f"""
{TOKENS}
[tokens.ben]
token = "token-of-ben"
models = ["gpt-4o"]
{prices("0")}
"""


@pytest.mark.parametrize(
    ("path", "body", "who", "status"),
    [
        (CHAT_PATH, {**CHAT, "model": "o1"}, AS_BEN, 403),
        (CHAT_PATH, CHAT, AS_ANN, 402),
        ("/v1/responses", {"model": CHAT["model"], "input": "x", "background": True}, AS_ANN, 400),
        ("/p/nosuch/v1/chat/completions", CHAT, AS_ANN, 404),
    ],
)
def test_what_is_refused_before_a_provider_is_asked_is_given_back(
    tmp_path: Path, path: str, body: object, who: dict[str, str], status: int
) -> None:
    limits = """
[limits.global]
requests_per_minute = 1
[limits.user]
requests_per_hour = 1
"""

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits, ON_SALE)) as running:
            for _ in range(3):
                assert (await running.ask("POST", path, body, who)).status == status
            assert not fake.requests

    run(scenario())


@pytest.mark.parametrize("path", ["/p/nosuch/v1/files", "/v1/responses/resp_1"])
def test_a_flood_of_refusals_ends_at_the_limit(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\nrequests_per_minute = 2"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            statuses = [(await running.ask("GET", path)).status for _ in range(RETURNS_PER_MINUTE + 3)]
            assert statuses == [404] * (RETURNS_PER_MINUTE + 2) + [429]
            running.pass_time(61)
            assert (await running.chat()).status == 200

    run(scenario())


def test_what_a_provider_refused_stays_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\nrequests_per_minute = 1"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            fake.script(KEYS[0], Answer(400))
            assert (await running.chat()).status == 400
            assert (await running.chat()).status == 429

    run(scenario())


def test_every_answer_tells_the_tightest_limits(tmp_path: Path) -> None:
    limits = """
[limits.global]
requests_per_minute = 1000
tokens_per_minute = 300
[limits.user]
requests_per_hour = 10
"""

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            reserved = tokens_of(len(as_bytes(BOUNDED))) + 50
            for body in (BOUNDED, {**BOUNDED, "stream": True}):
                got = await running.ask("POST", CHAT_PATH, body)
                assert got.status == 200
            assert got.header("x-ratelimit-limit-requests") == "10"
            assert got.header("x-ratelimit-remaining-requests") == "8"
            assert (got.header("x-ratelimit-reset-requests") or "").startswith(("1h0m", "1h1m0s"))
            assert got.header("x-ratelimit-limit-tokens") == "300"
            assert abs(300 - USED - reserved - int(got.header("x-ratelimit-remaining-tokens") or 0)) <= 5
            assert got.header("x-ratelimit-reset-tokens") in ("1m0s", "1m1s")

    run(scenario())


def test_without_limits_nothing_is_told_and_what_the_provider_tells_stays_inside(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(KEYS[0], Answer(headers={"x-ratelimit-limit-requests": "7"}))
            got = await running.chat()
            assert not [name for name, _ in got.headers if name.startswith("x-ratelimit")]

    run(scenario())


def test_on_a_passed_path_the_provider_tells_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\nrequests_per_minute = 9"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            fake.script(KEYS[0], Answer(headers={"x-ratelimit-limit-requests": "7"}))
            got = await running.ask("POST", "/p/main/v1/chat/completions", CHAT)
            assert got.header("x-ratelimit-limit-requests") == "7"

    run(scenario())


async def free_tokens(running: Gateway) -> int:
    """What is left of a limit of 1000 tokens, once a call that reserves none has asked."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    got = await running.ask("POST", "/v1/messages/count_tokens", body)
    return int(got.header("x-ratelimit-remaining-tokens") or -1)


@pytest.mark.parametrize(
    ("behaviours", "body", "used"),
    [
        ((Answer(),), BOUNDED, USED),
        ((Stream(usage=True),), {**BOUNDED, "stream": True}, USED),
        ((Stream(usage=False),), {**BOUNDED, "stream": True}, None),  # nobody knows, so it is what was reserved
        ((server_error(),) * 3, BOUNDED, 0),
        ((Answer(400),), BOUNDED, 0),
        ((Cut(0),) * 3, BOUNDED, 0),
        ((server_error(), Answer()), BOUNDED, USED),  # by the next key
    ],
)
def test_what_was_reserved_is_corrected_at_the_end(
    tmp_path: Path, behaviours: tuple[Behaviour, ...], body: dict[str, object], used: int | None
) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\ntokens_per_minute = 1000"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            for key, behaviour in zip(KEYS, behaviours, strict=False):
                fake.script(key, behaviour)
            await running.ask("POST", CHAT_PATH, body)
            await until(lambda: running.metric("llm_requests_in_flight") == 0)
            reserved = tokens_of(len(as_bytes(body))) + 50
            assert await free_tokens(running) == 1000 - (reserved if used is None else used)

    run(scenario())


def test_an_answer_from_the_cache_uses_no_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\ntokens_per_minute = 1000\n[cache]\nenabled = true"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            for body in (BOUNDED, {**BOUNDED, "stream": True}):
                await running.ask("POST", CHAT_PATH, body)
                for _ in range(3):
                    got = await running.ask("POST", CHAT_PATH, body)
                    assert got.header("x-llmgateway-cache") == "hit"
            assert await free_tokens(running) == 1000 - 2 * USED
            assert b'"usage":{' not in got.body

    run(scenario())


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}])
def test_a_streams_usage_is_asked_for_and_shown_to_those_alone_who_asked(
    tmp_path: Path, options: dict[str, bool] | None
) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\ntokens_per_minute = 1000"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            body = {**BOUNDED, "stream": True} | ({} if options is None else {"stream_options": options})
            got = await running.ask("POST", CHAT_PATH, body)
            assert fake.requests[0].json["stream_options"]["include_usage"] is True
            asked = options is not None and options.get("include_usage", False)
            assert (b'"usage":{' in got.body) is asked
            assert got.complete and got.body.endswith(b"data: [DONE]\n\n")
            assert await free_tokens(running) == 1000 - USED

    run(scenario())


def test_without_a_limit_of_tokens_a_stream_is_as_the_client_wants_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\nrequests_per_minute = 10"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            await running.ask("POST", CHAT_PATH, STREAM)
            assert "stream_options" not in fake.requests[0].json

    run(scenario())


@pytest.mark.parametrize(
    ("behaviour", "begun"),
    [(Hang(), False), (HangAfter(60, Stream((b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n',) * 9)), True)],
)
def test_a_client_that_leaves_before_the_answer_gets_its_tokens_back(
    tmp_path: Path, behaviour: Behaviour, begun: bool
) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\ntokens_per_minute = 1000\nconcurrency = 1"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            fake.script(KEYS[0], behaviour)
            body = {**BOUNDED, "stream": True}
            async with running.talk() as talk:
                await talk.send("POST", CHAT_PATH, body)
                await until(lambda: len(fake.requests) == 1)
                assert (await running.chat()).error["limit"] in ("concurrency", "tokens_per_minute")
                if begun:
                    await talk.head()
            await fake.wait_aborted()
            await until(lambda: running.metric("llm_requests_in_flight") == 0)
            assert await free_tokens(running) == 1000 - (tokens_of(len(as_bytes(body))) + 50 if begun else 0)

    run(scenario())


def test_a_request_that_can_never_pass_is_not_worth_a_retry(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\ntokens_per_minute = 100"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            got = await running.chat(max_tokens=500)
            assert (got.status, got.code) == (429, "rate_limit_exceeded")
            assert "too large" in got.error["message"]
            assert (got.header("retry-after"), got.header("x-should-retry")) == (None, "false")
            assert got.header("x-ratelimit-remaining-tokens") == "100"
            assert (await running.chat(max_tokens=10)).status == 200
            assert len(fake.requests) == 1

    run(scenario())


def test_reservations_keep_requests_at_once_below_the_limit(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\ntokens_per_minute = 400"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            fits = 400 // (tokens_of(len(as_bytes(BOUNDED))) + 50)
            for key in KEYS:
                fake.script(key, *[Hang()] * 20)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(running.ask("POST", CHAT_PATH, BOUNDED)) for _ in range(20)]
                await until(lambda: len(fake.requests) + sum(task.done() for task in tasks) == 20)
                assert len(fake.requests) == fits
                assert all(task.result().status == 429 for task in tasks if task.done())
                for task in tasks:
                    task.cancel()

    run(scenario())


def test_each_user_and_token_has_its_own(tmp_path: Path) -> None:
    more = """
[auth]
required = true
[limits.user]
requests_per_minute = 3
[limits.token]
requests_per_minute = 2
[tokens.laptop]
token = "token-of-laptop"
user = "ann"
[tokens.phone]
token = "token-of-phone"
user = "ann"
[tokens.robot]
token = "token-of-robot"
limits = {requests_per_minute = 1}
"""

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, more)) as running:

            async def scope(token: str) -> str | None:
                got = await running.ask("POST", CHAT_PATH, CHAT, {"authorization": f"Bearer token-of-{token}"})
                return None if got.status == 200 else str(got.error["scope"])

            assert [await scope("laptop") for _ in range(3)] == [None, None, "token"]
            assert [await scope("phone") for _ in range(2)] == [None, "user"]
            assert [await scope("robot") for _ in range(2)] == [None, "token"]

    run(scenario())


def test_a_wrong_token_is_told_so_and_counts_nowhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = "[limits.global]\nrequests_per_minute = 1"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits, TOKENS)) as running:
            assert (await running.ask("POST", CHAT_PATH, CHAT, {"authorization": "Bearer no"})).status == 401
            assert (await running.ask("POST", CHAT_PATH, CHAT, AS_ROOT)).status == 200

    run(scenario())


def test_what_was_counted_outlives_another_configuration(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\nrequests_per_minute = 2"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            assert (await running.chat()).status == 200
            running.admission.arrange(LimitsConfig(user=RateLimits(requests_per_minute=1)))
            assert (await running.chat()).status == 429
            running.admission.arrange(LimitsConfig())
            assert (await running.chat()).status == 200
            running.admission.arrange(LimitsConfig(user=RateLimits(requests_per_minute=2)))
            assert [(await running.chat()).status for _ in range(2)] == [200, 429]

    run(scenario())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"model": "gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}),
        ("/v1beta/models/gpt-4o:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}),
    ],
)
def test_a_refusal_speaks_the_clients_dialect(tmp_path: Path, path: str, body: object) -> None:
    async def scenario() -> None:
        limits = "[limits.user]\nrequests_per_minute = 1"
        async with FakeProvider() as fake, gateway(tmp_path, limited(fake, limits)) as running:
            await running.chat()
            got = await running.ask("POST", path, body)
            assert got.status == 429
            assert (got.json["error"]["type"] if "messages" in path else got.json["error"]["status"]) in (
                "rate_limit_error",
                "RESOURCE_EXHAUSTED",
            )
            assert int(got.header("retry-after") or 0) >= 1

    run(scenario())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, b"0s"), (0.2, b"1s"), (59.0, b"59s"), (60.0, b"1m0s"), (359.5, b"6m0s"), (3659.1, b"1h1m0s")],
)
def test_a_reset_is_written_as_openai_writes_it(seconds: float, text: bytes) -> None:
    assert format_reset(seconds) == text
