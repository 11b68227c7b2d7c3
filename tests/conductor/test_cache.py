"""The response cache over HTTP: what is given again to whom, and what is not kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.conductor.cache import ResponseCache
from gateway.config.load import load_config
from gateway.observe.logs import Log
from gateway.providers import PROVIDER_FACTS
from tests.api.harness import AS_ANN, AS_ROOT, CHAT, KEYS, STREAM, TOKENS, Gateway, Got, configuration, gateway, until
from tests.conftest import run
from tests.fakes.anthropic_api import AnthropicApi
from tests.fakes.api import FakeApi
from tests.fakes.behaviours import Answer, Behaviour, Cut, HangAfter, SlowBytes, Stream, bad_request, server_error
from tests.fakes.gemini_api import GeminiApi
from tests.fakes.openai_api import OpenAIApi
from tests.fakes.provider import FakeProvider

CACHE = "[cache]\nenabled = true\n"
SMALL_KEEPALIVE = "[providers.main.streaming]\nkeepalive = 0.02\n"
APIS: dict[str, Callable[[], FakeApi]] = {"openai": OpenAIApi, "anthropic": AnthropicApi, "gemini": GeminiApi}
DIALECTS = {"gemini": 'dialects = ["gemini"]'}
"""The fake has not got Google's other one."""

MESSAGES: dict[str, Any] = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
CONTENTS: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
RESPONSE: dict[str, Any] = {"model": "m", "input": "hi", "store": False}
ON_M = {**CHAT, "model": "m"}
VERSION = {"anthropic-version": "2023-06-01"}

SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", ON_M),
    "chat, streamed": ("/v1/chat/completions", {**ON_M, "stream": True}),
    "chat, streamed by the path": ("/v1/chat/completions/stream", ON_M),
    "responses": ("/v1/responses", RESPONSE),
    "responses, streamed": ("/v1/responses", {**RESPONSE, "stream": True}),
    "messages": ("/v1/messages", MESSAGES),
    "messages, streamed": ("/v1/messages", {**MESSAGES, "stream": True}),
    "generate": ("/v1beta/models/m:generateContent", CONTENTS),
    "generate, streamed": ("/v1beta/models/m:streamGenerateContent?alt=sse", CONTENTS),
    "generate, as an array": ("/v1beta/models/m:streamGenerateContent", CONTENTS),
}


@asynccontextmanager
async def caching(
    tmp_path: Path, more: str = "", *, api: str = "", provider: str = "", behaviour: Behaviour | None = None
) -> AsyncIterator[tuple[Gateway, FakeProvider]]:
    """A gateway with the cache on, and the provider behind it."""
    async with FakeProvider(api=APIS[api]() if api else None) as fake:
        config = configuration(fake.base_url, provider=provider, more=CACHE + more)
        if api:
            config = config.replace('type = "openai"', f'type = "{api}"\n{DIALECTS.get(api, "")}')
        async with gateway(tmp_path, config) as running:
            if behaviour is not None:
                for key in KEYS:
                    fake.script(key, *[behaviour] * 4)
            yield running, fake


def state(got: Got) -> str | None:
    return got.header("x-llmgateway-cache")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("surface", SURFACES)
def test_the_same_request_gets_the_same_bytes_in_every_dialect(tmp_path: Path, api: str, surface: str) -> None:
    path, body = SURFACES[surface]

    async def scenario() -> None:
        async with caching(tmp_path, api=api, provider='models = ["m"]') as (running, fake):
            first = await running.ask("POST", path, body, VERSION)
            again = await running.ask("POST", path, body, VERSION)
            assert (first.status, state(first), first.header("age")) == (200, "miss", None)
            assert (again.status, state(again), again.header("age")) == (200, "hit", "0")
            assert len(fake.requests) == 1
            assert again.body == first.body and again.complete
            for name in ("content-type", "x-llmgateway-provider", "x-llmgateway-model", "x-llmgateway-dropped"):
                assert again.header(name) == first.header(name)
            assert again.header("x-request-id") not in (None, first.header("x-request-id"))
            assert again.header("x-llmgateway-upstream-id") is None

    run(scenario())


@pytest.mark.parametrize(
    ("api", "path", "body"),
    [
        ("openai", "/v1/embeddings", {"model": "m", "input": "hi"}),
        ("gemini", "/v1beta/models/m:embedContent", {"content": {"parts": [{"text": "hi"}]}}),
        ("gemini", "/v1/embeddings", {"model": "m", "input": "hi"}),
        ("openai", "/v1beta/models/m:embedContent", {"content": {"parts": [{"text": "hi"}]}}),
        ("", "/v1/completions", {"model": "m", "prompt": "hi"}),
        ("", "/v1/completions", {"model": "m", "prompt": "hi", "stream": True}),
    ],
)
def test_vectors_and_completions_are_kept_too(tmp_path: Path, api: str, path: str, body: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with caching(tmp_path, api=api, provider='models = ["m"]') as (running, fake):
            first = await running.ask("POST", path, body)
            again = await running.ask("POST", path, body)
            assert (first.status, state(first), state(again)) == (200, "miss", "hit"), first
            assert again.body == first.body and len(fake.requests) == 1

    run(scenario())


def test_a_hit_is_told_in_the_log_and_the_metrics_and_uses_no_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path) as (running, _):
            first = await running.chat()
            used = running.metric("llm_tokens_total")
            await running.chat()
            miss, hit = await running.logged(), await running.logged(count=2)
            assert (miss["cache"], hit["cache"]) == ("miss", "hit")
            assert miss["input_tokens"] and "input_tokens" not in hit
            assert (hit["provider"], hit["attempts"], hit["key"]) == ("main", 0, "")
            assert hit["bytes_out"] == len(first.body)
            assert running.metric("llm_tokens_total") == used
            assert running.metric('llm_gateway_cache_requests_total{outcome="hit"}') == 1
            assert running.metric('llm_gateway_cache_requests_total{outcome="miss"}') == 1
            assert running.metric("llm_gateway_cache_answers") == 1
            assert len(first.body) < running.metric("llm_gateway_cache_bytes") < len(first.body) + 2048
            assert running.metric("llm_gateway_cache_failures_total") == 0

    run(scenario())


def test_a_hit_counts_as_a_request_and_takes_no_tokens(tmp_path: Path) -> None:
    limits = "[limits.user]\nrequests_per_minute = 10\ntokens_per_minute = 10000\n"

    async def scenario() -> None:
        async with caching(tmp_path, limits) as (running, _):
            got = [await running.chat() for _ in range(4)]
            assert [state(each) for each in got] == ["miss", "hit", "hit", "hit"]
            assert [each.header("x-ratelimit-remaining-requests") for each in got] == ["9", "8", "7", "6"]
            _, *left = [int(each.header("x-ratelimit-remaining-tokens") or 0) for each in got]
            assert left == [left[0]] * 3 and left[0] > 0

    run(scenario())


def test_the_cache_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = [await running.chat() for _ in range(2)]
            assert [state(each) for each in got] == [None, None] and len(fake.requests) == 2
            assert "cache" not in await running.logged()
            assert running.metric("llm_gateway_cache") == 0

    run(scenario())


def test_the_name_that_the_client_uses_for_a_model_is_part_of_the_question(tmp_path: Path) -> None:
    async def scenario() -> None:
        provider = 'models = ["gpt-4o", "small=gpt-4o"]'
        async with caching(tmp_path, provider=provider) as (running, fake):
            for name in ("small", "main/small", "gpt-4o"):
                got = [await running.chat(model=name) for _ in range(2)]
                assert [state(each) for each in got] == ["miss", "hit"]
                assert [each.json["model"] for each in got] == [name, name]
                assert got[1].header("x-llmgateway-model") == "gpt-4o"
            assert len(fake.requests) == 3

    run(scenario())


def test_users_do_not_see_each_others_answers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path, TOKENS) as (running, fake):
            for headers in (AS_ANN, AS_ROOT):
                got = [await running.ask("POST", "/v1/chat/completions", CHAT, headers) for _ in range(2)]
                assert [state(each) for each in got] == ["miss", "hit"]
            assert len(fake.requests) == 2

    run(scenario())


def test_a_shared_cache_answers_everybody_but_who_may_not_use_the_model(tmp_path: Path) -> None:
    no_model = '[tokens.bob]\ntoken = "token-of-bob"\nmodels = ["gpt-4o"]\n'

    async def scenario() -> None:
        async with caching(tmp_path, "shared = true\n" + TOKENS + no_model) as (running, fake):
            first = await running.ask("POST", "/v1/chat/completions", CHAT, AS_ROOT)
            again = await running.ask("POST", "/v1/chat/completions", CHAT, AS_ANN)
            assert (state(first), state(again), len(fake.requests)) == ("miss", "hit", 1)
            assert first.header("x-llmgateway-key") and again.header("x-llmgateway-key") is None
            refused = await running.ask("POST", "/v1/chat/completions", CHAT, {"authorization": "Bearer token-of-bob"})
            assert (refused.status, state(refused)) == (403, None)

    run(scenario())


def test_a_client_may_ask_for_another_answer_and_for_nothing_to_be_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path) as (running, fake):

            async def ask(wish: str = "") -> str | None:
                headers = {"cache-control": wish} if wish else {}
                return state(await running.ask("POST", "/v1/chat/completions", CHAT, headers))

            assert [await ask("no-store"), await ask("no-store"), await ask()] == [None, None, "miss"]
            assert [await ask("no-cache"), await ask()] == ["miss", "hit"]
            assert len(fake.requests) == 4
            running.clock.ahead += 10
            assert [await ask("max-age=11"), await ask("max-age=5"), await ask("max-age=5")] == ["hit", "miss", "hit"]

    run(scenario())


def test_an_answer_is_told_its_age_and_forgotten_in_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path, "ttl = 60\n") as (running, _):
            await running.chat()
            running.clock.ahead += 59
            assert (await running.chat()).header("age") == "59"
            running.clock.ahead += 2
            assert state(await running.chat()) == "miss"

    run(scenario())


def test_a_stream_that_was_made_of_a_whole_answer_is_given_again(tmp_path: Path) -> None:
    whole = Answer(200, {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})

    async def scenario() -> None:
        async with caching(tmp_path, behaviour=whole) as (running, fake):
            first, again = [await running.ask("POST", "/v1/chat/completions", STREAM) for _ in range(2)]
            assert (state(first), state(again), len(fake.requests)) == ("miss", "hit", 1)
            assert first.body == again.body and first.body.endswith(b"data: [DONE]\n\n")

    run(scenario())


FINISHED = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "content_filter"}]}
WORD = {"choices": [{"delta": {"content": "word"}}]}
PIECE = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
STOP = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("body", "behaviour"),
    [
        (CHAT, bad_request()),
        (CHAT, server_error()),
        (CHAT, Answer(200, FINISHED)),
        (CHAT, Answer(200, {"error": {"message": "it broke", "type": "server_error"}})),
        (CHAT, Answer(201)),
        (CHAT, Answer(200, b"no JSON", {"content-type": "text/plain"})),
        (CHAT, Answer(200, headers={"content-encoding": "gzip"})),
        (CHAT, Stream()),
        (STREAM, Stream((WORD, "[DONE]"))),
        (STREAM, Stream((WORD, STOP))),
        (STREAM, Stream((WORD, {"error": {"message": "it broke", "type": "server_error"}}))),
        (STREAM, Cut(150)),
        (STREAM, Stream((WORD, {"choices": [{"delta": {}, "finish_reason": "content_filter"}]}, "[DONE]"))),
    ],
)
def test_what_is_no_whole_and_good_answer_is_not_kept(
    tmp_path: Path, body: dict[str, Any], behaviour: Behaviour
) -> None:
    async def scenario() -> None:
        async with caching(tmp_path, behaviour=behaviour) as (running, _):
            states = []
            for _ in range(2):
                states.append(state(await running.ask("POST", "/v1/chat/completions", body)))
            assert states == ["miss", "miss"]
            assert running.metric("llm_gateway_cache_answers") == running.metric("llm_gateway_cache_bytes") == 0

    run(scenario())


def test_an_answer_whose_client_left_is_not_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path, behaviour=HangAfter(len(PIECE), Stream((PIECE, PIECE)))) as (running, fake):
            async with running.talk() as talk:
                await talk.send("POST", "/v1/chat/completions", STREAM)
                await talk.head()
            await fake.wait_aborted()
            assert (await running.logged())["cache"] == "miss"
            assert running.metric("llm_gateway_cache_bytes") == 0

    run(scenario())


def test_keepalives_are_no_part_of_a_kept_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path, SMALL_KEEPALIVE, behaviour=SlowBytes(40, 0.05, Stream())) as (running, _):
            first = await running.ask("POST", "/v1/chat/completions", STREAM)
            again = await running.ask("POST", "/v1/chat/completions", STREAM)
            assert b": keepalive\n\n" in first.body
            assert state(again) == "hit"
            assert again.body == first.body.replace(b": keepalive\n\n", b"")

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_too_long_passes_and_is_not_kept(tmp_path: Path, stream: bool) -> None:
    text = "x" * (1 << 20)
    whole = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    streamed = Stream(({"choices": [{"delta": {"content": text}}]}, STOP, "[DONE]"))

    async def scenario() -> None:
        behaviour = streamed if stream else Answer(200, whole)
        async with caching(tmp_path, "max_entry_mb = 1\n", behaviour=behaviour) as (running, _):
            for _ in range(2):
                got = await running.chat(stream=stream)
                assert state(got) == "miss" and text.encode() in got.body
            assert running.metric("llm_gateway_cache_bytes") == 0

    run(scenario())


def test_a_long_stream_comes_from_the_cache_whole(tmp_path: Path) -> None:
    events: tuple[str | dict[str, Any], ...]
    events = (*({"choices": [{"delta": {"content": str(n) * 5000}}]} for n in range(50)), STOP, "[DONE]")

    async def scenario() -> None:
        async with caching(tmp_path, behaviour=Stream(events)) as (running, fake):
            first, again = [await running.chat(stream=True) for _ in range(2)]
            assert state(again) == "hit" and again.complete and again.body == first.body
            assert len(fake.requests) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"model": "m", "input": "hi"}),
        ("/v1/moderations", {"model": "m", "input": "hi"}),
        ("/p/main/v1/chat/completions", ON_M),
        ("/v1/messages/count_tokens", MESSAGES),
    ],
)
def test_other_calls_do_not_concern_the_cache(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with caching(tmp_path, provider='models = ["m"]') as (running, _):
            got = [await running.ask("POST", path, body) for _ in range(2)]
            assert [state(each) for each in got] == [None, None]
            assert running.metric("llm_gateway_cache_answers") == 0

    run(scenario())


def test_equal_requests_at_the_same_time_are_all_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path, behaviour=SlowBytes(50, 0.01)) as (running, fake):
            got = await asyncio.gather(*(running.chat() for _ in range(3)))
            assert [state(each) for each in got] == ["miss"] * 3
            assert len(fake.requests) == 3
            assert running.metric("llm_gateway_cache_answers") == 1

    run(scenario())


def test_the_operator_sees_and_clears_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path) as (running, _):
            await running.chat()
            shown = (await running.administrate("GET", "/admin/cache")).json
            assert shown == {
                "enabled": True,
                "storage": "memory",
                "shared": False,
                "answers": 1,
                "bytes": shown["bytes"],
                "limit": 64 << 20,
                "failures": 0,
            }
            cleared = await running.administrate("POST", "/admin/cache/clear")
            assert cleared.json == {"storage": "memory", "answers": 1, "bytes": shown["bytes"]}
            assert state(await running.chat()) == "miss"

    run(scenario())


def test_what_was_asked_for_before_the_cache_was_cleared_is_not_kept_after_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path, behaviour=SlowBytes(40, 0.02)) as (running, fake):
            asked = asyncio.ensure_future(running.chat())
            await until(lambda: len(fake.requests) == 1)
            await running.administrate("POST", "/admin/cache/clear")
            assert (await asked).status == 200
            assert running.metric("llm_gateway_cache_answers") == 0

    run(scenario())


def test_without_a_cache_there_is_nothing_to_clear(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            assert (await running.administrate("GET", "/admin/cache")).json == {"enabled": False}
            refused = await running.administrate("POST", "/admin/cache/clear")
            assert (refused.status, refused.code) == (409, "no_cache")

    run(scenario())


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ("", 1),
        ("[logging]\nrequests = false\n", 1),
        ("[translation]\non_loss = 'drop'\n", 0),
        ("[providers.main.headers]\nx-a = 'b'\n", 0),
    ],
)
def test_a_reload_forgets_what_answers_depend_on(tmp_path: Path, change: str, kept: int) -> None:
    async def scenario() -> None:
        async with caching(tmp_path) as (running, _):
            await running.chat()
            path = tmp_path / "config.toml"
            path.write_text(path.read_text() + change)
            assert running.cache is not None
            running.cache.arrange(load_config(path, {}, provider_types=PROVIDER_FACTS))
            assert running.metric("llm_gateway_cache_answers") == kept

    run(scenario())


def test_a_cache_that_was_switched_off_keeps_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with caching(tmp_path) as (running, _):
            await running.chat()
            path = tmp_path / "config.toml"
            path.write_text(path.read_text().replace("enabled = true", "enabled = false"))
            cache = running.cache
            assert isinstance(cache, ResponseCache)
            cache.arrange(load_config(path, {}, provider_types=PROVIDER_FACTS))
            assert state(await running.chat()) is None
            assert cache.statistics()["answers"] == 0

    run(scenario())


def test_a_cache_without_a_loop_costs_nothing_to_make() -> None:
    cache = ResponseCache(lambda: 0.0, Log(write=lambda _: None), lambda _: pytest.fail("no store is wanted"))
    assert cache.statistics()["enabled"] is False
