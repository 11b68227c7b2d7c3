"""One call with one key over real HTTP: what is an answer, what is an error, and what is left behind."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from gateway import jsonlib
from gateway.config.provider import ErrorParsingConfig, ErrorRule, ProviderConfig
from gateway.errors import ConnectError, Disconnect, ProtocolError, UpstreamTimeout
from gateway.net.client import Client
from gateway.policy.verdict import Provenance, Scope, Status
from gateway.providers.endpoints import MAIN_PATHS
from gateway.secret import Secret
from gateway.upstream import exchange as module
from gateway.upstream.exchange import Call, Exchange
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.provider import Provider
from tests.conftest import run
from tests.fakes.answers import TEXT, encode
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Cut,
    Garbage,
    Hang,
    HangAfter,
    Reset,
    SlowBytes,
    Stream,
    bad_request,
    model_not_found,
    quota,
    rate_limited,
    server_error,
    unauthorized,
)
from tests.fakes.provider import FakeProvider
from tests.upstream.pools import Clock
from tests.upstream.wire import SECRET, a_provider, wired

SUSPECT = (Scope.KEY, Status.SUSPECT)
LIMITED = (Scope.KEY, Status.RATE_LIMITED)
FAILED = (Scope.PROVIDER, Status.SERVER_ERROR)
UNREACHED = (Scope.PROVIDER, Status.NETWORK_ERROR)

ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
WORD = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
CREATED = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "error": None}}
TOO_MANY = {"error": {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}}
FAILED_RESPONSE: dict[str, Any] = {
    "type": "response.failed",
    "response": {"id": "resp_1", "status": "failed", "error": {"code": "server_error", "message": "no"}},
}


# Whole answers.


@pytest.mark.parametrize("shape", ["chat", "completions", "responses", "other"])
def test_a_plain_answer_is_read_whole_and_decoded(shape: str) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            outcome = await wire.call(shape)
            assert (outcome.verdict, outcome.status, outcome.streamed) == (None, 200, False)
            assert outcome.answer is None, "nothing is left to read"
            assert jsonlib.loads(outcome.body) == outcome.decoded
            assert wire.fake.requests[0].key == SECRET
            assert wire.client.statistics().idle == 1, "the connection is kept"

    run(scenario())


@pytest.mark.parametrize(
    ("shape", "body", "meaning"),
    [
        ("chat", TOO_MANY, LIMITED),
        ("chat", {"error": {"message": "no", "code": "invalid_api_key"}}, SUSPECT),
        ("chat", {"error": "words alone"}, FAILED),
        ("responses", TOO_MANY, LIMITED),
        ("other", TOO_MANY, LIMITED),
        ("chat", {"choices": []}, FAILED),
        ("chat", {"id": "1"}, FAILED),
        ("completions", {"choices": None}, FAILED),
        ("chat", b"", FAILED),
        ("chat", b'{"choices": [{"mess', FAILED),
        ("chat", [], FAILED),
    ],
)
def test_a_200_that_answers_nothing_is_an_error(shape: str, body: Any, meaning: tuple[Scope, Status]) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Answer(200, body))
            outcome = await wire.call(shape)
            assert outcome.verdict is not None
            assert (outcome.verdict.scope, outcome.verdict.status) == meaning
            assert outcome.answer is None
            assert outcome.body == (body if isinstance(body, bytes) else encode(body)), "it may be the last"

    run(scenario())


@pytest.mark.parametrize(
    ("shape", "answer"),
    [
        ("other", Answer(200, {"data": [], "error": None})),
        ("responses", Answer(200, {"object": "response", "error": None, "output": []})),
        ("other", Answer(200, [{"id": "a"}])),
        ("other", Answer(200, b"not JSON at all")),
        ("raw", Answer(200, {"error": {"message": "nobody looks into it"}})),
        ("other", Answer(200, b"plain", {"content-type": "text/plain"})),
    ],
)
def test_what_is_not_surely_an_error_is_an_answer(shape: str, answer: Answer) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, answer)
            outcome = await wire.call(shape)
            assert outcome.verdict is None
            outcome.close()

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [Answer(200, FAILED_RESPONSE["response"]), Answer(200, TOO_MANY), Stream((CREATED, FAILED_RESPONSE))],
    ids=str,
)
def test_what_was_stored_may_say_that_it_failed(answer: Behaviour) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, answer)
            outcome = await wire.call("stored")
            assert (outcome.verdict, outcome.status) == (None, 200)
            outcome.close()

    run(scenario())


def test_a_long_answer_is_passed_on_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLAIN_LIMIT", 1000)

    async def scenario() -> None:
        async with wired() as wire:
            whole = encode({"data": [{"b64_json": "x" * 5_000_000}]})
            wire.fake.script(SECRET, Answer(200, whole))
            outcome = await wire.call("other")
            assert outcome.verdict is None and outcome.decoded is None and outcome.answer is not None
            assert outcome.body + await outcome.answer.read_all(10_000_000) == whole
            outcome.close()

    run(scenario())


@pytest.mark.parametrize("shape", ["chat", "other"])
def test_what_is_compressed_is_unpacked_though_nobody_asked_for_it(shape: str) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            headers = {"content-encoding": "gzip"}
            wire.fake.script(SECRET, Answer(200, gzip.compress(encode(TOO_MANY)), headers))
            outcome = await wire.call(shape)
            assert outcome.verdict is not None and outcome.verdict.status is Status.RATE_LIMITED
            assert outcome.header(b"content-encoding") is None

    run(scenario())


def test_raw_bytes_stay_as_they_are_compressed_or_not() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            packed = gzip.compress(b"anything")
            wire.fake.script(SECRET, Answer(200, packed, {"content-encoding": "gzip"}))
            outcome = await wire.call("raw")
            assert outcome.answer is not None and outcome.header(b"content-encoding") == b"gzip"
            assert await outcome.answer.read_all(1000) == packed
            outcome.close()

    run(scenario())


# Error answers.


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (unauthorized(), SUSPECT),
        (rate_limited(), LIMITED),
        (quota(), (Scope.ACCOUNT, Status.NO_QUOTA)),
        (server_error(), FAILED),
        (server_error(503), (Scope.PROVIDER, Status.OVERLOADED)),
        (bad_request(), (Scope.CLIENT, Status.BAD_REQUEST)),
        (model_not_found(), (Scope.CLIENT, Status.NO_MODEL)),
        (
            Answer(403, b"<!DOCTYPE html><title>Just a moment...</title>", {"content-type": "text/html"}),
            (Scope.PROVIDER, Status.UNKNOWN),
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_is_classified_and_kept_whole(answer: Answer, meaning: tuple[Scope, Status], stream: bool) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, answer)
            outcome = await wire.call(stream=stream)
            assert outcome.verdict is not None
            assert (outcome.verdict.scope, outcome.verdict.status) == meaning
            assert outcome.status == answer.status
            assert outcome.body == (answer.body if isinstance(answer.body, bytes) else encode(answer.body))
            assert (outcome.answer, outcome.error, outcome.unanswered) == (None, None, False)

    run(scenario())


def test_a_hint_is_counted_from_now() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, rate_limited(20))
            verdict = (await wire.call()).verdict
            assert verdict is not None
            assert (verdict.until, verdict.provenance) == (wire.clock.now + 20, Provenance.AUTHORITATIVE)

    run(scenario())


@pytest.mark.parametrize("behaviour", [Cut(10, of=unauthorized()), HangAfter(10, of=unauthorized())])
def test_an_error_that_breaks_off_is_judged_by_its_status(behaviour: Behaviour) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, behaviour)
            outcome = await wire.call(idle=0.05)
            assert outcome.verdict is not None
            assert (outcome.verdict.scope, outcome.verdict.status) == SUSPECT
            assert (outcome.status, len(outcome.body)) == (401, 10)

    run(scenario())


@pytest.mark.parametrize("rest", [HangAfter(10, of=rate_limited()), SlowBytes(1, 0.001, of=Answer(429, b"x" * 10**6))])
def test_an_error_whose_body_stalls_does_not_hold_the_request_up(
    monkeypatch: pytest.MonkeyPatch, rest: Behaviour
) -> None:
    monkeypatch.setattr(module, "ERROR_SECONDS", 0.05)

    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, rest)
            outcome = await wire.call(idle=3600.0, seconds=3600.0)
            assert outcome.verdict is not None
            assert (outcome.verdict.scope, outcome.verdict.status) == LIMITED
            assert (outcome.status, outcome.error) == (429, None)
            await wire.fake.wait_aborted()

    run(scenario())


def test_of_an_endless_error_only_so_much_is_read() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Answer(500, b"x" * (module.ERROR_LIMIT * 4)))
            outcome = await wire.call()
            assert len(outcome.body) == module.ERROR_LIMIT
            assert wire.client.statistics().open == 0

    run(scenario())


# Streams.


def test_a_stream_is_held_until_its_first_meaningful_event() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Stream((b": hello\n\n", ROLE, WORD, "[DONE]"), gap=0.01))
            outcome = await wire.call(stream=True)
            assert outcome.verdict is None and outcome.streamed and outcome.answer is not None
            assert outcome.body.startswith(b": hello\n\n") and b'"Hi"' in outcome.body
            assert b"[DONE]" not in outcome.body
            assert await outcome.answer.read_all(1000) == b"data: [DONE]\n\n"
            outcome.close()

    run(scenario())


@pytest.mark.parametrize("shape", ["chat", "completions", "responses"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_no_byte_of_a_stream_is_lost_however_it_is_cut(shape: str, size: int) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Stream())
            whole = await wire.call(shape, stream=True)
            assert whole.answer is not None
            expected = whole.body + await whole.answer.read_all(100_000)
            wire.fake.script(SECRET, SlowBytes(size, 0.0, of=Stream()))
            outcome = await wire.call(shape, stream=True)
            assert outcome.verdict is None and outcome.answer is not None
            got = outcome.body + await outcome.answer.read_all(100_000)
            assert len(got) == len(expected) and TEXT.split()[0].encode() in got
            outcome.close()

    run(scenario())


@pytest.mark.parametrize(
    ("shape", "events", "meaning"),
    [
        ("chat", (TOO_MANY,), LIMITED),
        ("chat", (ROLE, TOO_MANY), LIMITED),
        ("chat", (ROLE, {"error": {"message": "no", "code": 502}}, "[DONE]"), FAILED),
        ("chat", (b'event: error\ndata: {"message": "no"}\n\n',), FAILED),
        ("chat", ("[DONE]",), FAILED),
        ("chat", (ROLE, "[DONE]"), FAILED),
        ("chat", (), FAILED),
        ("chat", (b": only a comment\n\n",), FAILED),
        ("chat", (ROLE,), FAILED),
        ("completions", (TOO_MANY,), LIMITED),
        ("responses", (CREATED, {"type": "error", "code": "rate_limit_exceeded", "message": "no"}), LIMITED),
        ("responses", (CREATED, FAILED_RESPONSE), FAILED),
        ("responses", (CREATED,), FAILED),
    ],
)
def test_a_stream_that_begins_with_an_error_or_says_nothing_is_an_error(
    shape: str, events: tuple[Any, ...], meaning: tuple[Scope, Status]
) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Stream(events))
            outcome = await wire.call(shape, stream=True)
            assert outcome.verdict is not None
            assert (outcome.verdict.scope, outcome.verdict.status) == meaning
            assert (outcome.status, outcome.streamed, outcome.answer) == (200, True, None)

    run(scenario())


def test_an_error_after_the_first_word_is_the_streams_own_affair() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Stream((WORD, TOO_MANY)))
            outcome = await wire.call(stream=True)
            assert outcome.verdict is None
            outcome.close()

    run(scenario())


@pytest.mark.parametrize(("after", "verdict"), [(0, UNREACHED), (20, UNREACHED), (len(encode(WORD)) + 8, None)])
def test_a_stream_cut_before_its_first_word_is_no_answer_and_after_it_one(
    after: int, verdict: tuple[Scope, Status] | None
) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Cut(after, of=Stream((WORD, WORD))))
            outcome = await wire.call(stream=True)
            if verdict is None:
                assert outcome.verdict is None and outcome.answer is not None
                with pytest.raises(Disconnect):
                    await outcome.answer.read_all(1000)
            else:
                assert outcome.verdict is not None and outcome.unanswered
                assert (outcome.verdict.scope, outcome.verdict.status) == verdict
            outcome.close()

    run(scenario())


def test_a_stream_is_held_only_so_long() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, HangAfter(len(encode(ROLE)) + 8, of=Stream((ROLE, WORD))))
            outcome = await wire.call(stream=True, hold=0.05)
            assert outcome.verdict is None and outcome.answer is not None
            assert outcome.body == b"data: " + encode(ROLE) + b"\n\n"
            outcome.close()
            await wire.fake.wait_aborted()

    run(scenario())


def test_a_stream_is_held_only_up_to_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD_LIMIT", 500)

    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Stream((b": working on it\n\n",) * 200, gap=0.001))
            outcome = await wire.call(stream=True)
            assert outcome.verdict is None
            assert 500 <= len(outcome.body) < 200 * 17
            outcome.close()

    run(scenario())


@pytest.mark.parametrize(("begin", "read"), [(b'{"image": "', True), (b"x", False), (b"<html>", False)])
def test_a_first_event_that_is_longer_than_what_is_held_may_be_an_image_but_must_be_json(
    begin: bytes, read: bool
) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Stream((b"data: " + begin + b"x" * (2 * module.HOLD_LIMIT),)))
            outcome = await wire.call(stream=True)
            assert (outcome.verdict is None) is read
            outcome.close()

    run(scenario())


# No answer.


@pytest.mark.parametrize(
    ("behaviour", "error", "status"),
    [
        (CloseBeforeAnswer(), Disconnect, Status.NETWORK_ERROR),
        (Reset(), Disconnect, Status.NETWORK_ERROR),
        (Garbage(), ProtocolError, Status.NETWORK_ERROR),
        (Cut(5), Disconnect, Status.NETWORK_ERROR),
        (Hang(), UpstreamTimeout, Status.TIMEOUT),
        (HangAfter(5), UpstreamTimeout, Status.TIMEOUT),
    ],
)
def test_without_an_answer_the_provider_may_have_done_the_work(
    behaviour: Behaviour, error: type[Exception], status: Status
) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, behaviour)
            patience = 0.05 if error is UpstreamTimeout else 60.0
            outcome = await wire.call(idle=patience, first_byte=patience)
            assert outcome.verdict is not None
            assert (outcome.verdict.scope, outcome.verdict.status) == (Scope.PROVIDER, status)
            assert isinstance(outcome.error, error) and outcome.unanswered
            assert outcome.error.__traceback__ is None, "it would keep the request alive"

    run(scenario())


def test_nothing_was_sent_where_nobody_listens() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            async with FakeProvider() as gone:
                base_url = gone.base_url
            provider = a_provider(base_url, wire.clock)
            (key,) = provider.pool.standings.keys.values()
            call = Call(b"GET", "/v1/models", "", (), b"", "", "other")
            outcome = await wire.exchange.call(provider, key, call, asyncio.get_running_loop().time() + 5)
            assert isinstance(outcome.error, ConnectError) and not outcome.unanswered
            assert outcome.verdict is not None and outcome.verdict.status is Status.NETWORK_ERROR

    run(scenario())


@pytest.mark.parametrize(
    ("behaviour", "stream"),
    [
        (Hang(), False),
        (HangAfter(5), False),
        (HangAfter(5, of=server_error()), False),
        (HangAfter(len(encode(ROLE)) + 8, of=Stream((ROLE, WORD))), True),
    ],
)
def test_a_cancelled_call_closes_its_connection(behaviour: Behaviour, stream: bool) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, behaviour)
            calling = asyncio.create_task(wire.call(stream=stream), name="call")
            while not wire.fake.requests:
                await asyncio.sleep(0)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            await wire.fake.wait_aborted()
            assert wire.client.statistics().open == 0

    run(scenario())


# Secrets.


def named(pad: int) -> dict[str, Any]:
    return {"error": {"message": f"{'x' * pad} Incorrect key {SECRET}!", "code": "invalid_api_key"}}


@pytest.mark.parametrize("pad", [0, 240, 270, 290, 400])
@pytest.mark.parametrize(
    "place", [lambda body: Answer(401, body), lambda body: Answer(200, body), lambda body: Stream((ROLE, body))]
)
def test_the_key_is_in_nothing_that_a_failure_leaves(place: Any, pad: int) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, place(named(pad)))
            outcome = await wire.call(stream=True)
            assert outcome.verdict is not None and outcome.verdict.status is Status.SUSPECT
            assert SECRET[:10] not in outcome.verdict.evidence
            assert SECRET.encode() not in outcome.body
            assert Secret(SECRET).fingerprint.encode() in outcome.body

    run(scenario())


@pytest.mark.parametrize(("shape", "status"), [("raw", 200), ("raw", 302), ("raw", 429), ("chat", 429)])
def test_the_key_is_in_no_header_that_goes_on(shape: str, status: int) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Answer(status, {}, {"x-sent": f"Bearer {SECRET}", "retry-after": SECRET}))
            outcome = await wire.call(shape)
            assert not any(SECRET.encode() in value for _, value in outcome.headers)
            assert outcome.header(b"x-sent") == b"Bearer sk-...6789"
            assert outcome.header(b"content-type") == b"application/json"
            outcome.close()

    run(scenario())


@pytest.mark.parametrize(
    "behaviour",
    [
        Answer(400, b"x" * 200 + b" bad key: " + SECRET.encode() * 200, {"content-type": "text/plain"}),
        Answer(400, (SECRET * 200).encode(), {"content-type": "text/plain"}),
        Garbage(f"HTTP/1.1 200 OK\r\nyour key {SECRET} is bad\r\n\r\n".encode()),
    ],
)
def test_the_key_is_in_no_evidence_however_the_provider_repeats_it(behaviour: Behaviour) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, behaviour)
            outcome = await wire.call()
            assert outcome.verdict is not None
            assert "sk-…6789" in outcome.verdict.evidence and SECRET[:10] not in outcome.verdict.evidence

    run(scenario())


# The built-in provider.


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("demo-key-one", None),
        ("demo-key-invalid", Status.SUSPECT),
        ("demo-key-limited", Status.RATE_LIMITED),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_built_in_provider_answers_through_the_same_door(key: str, status: Status | None, stream: bool) -> None:
    async def scenario() -> None:
        clock, client = Clock(), Client()
        config = replace(ProviderConfig(), name="demo", type="echo")
        provider = Provider(config, KeyPool("demo", config.health, clock=clock, rng=Random(1)))
        body = jsonlib.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": stream})
        call = Call(b"POST", "/chat/completions", "", (), body, "echo-1", "chat", stream)
        outcome = await Exchange(client, clock).call(
            provider, Key(Secret(key), b""), call, asyncio.get_running_loop().time() + 5
        )
        assert (outcome.verdict and outcome.verdict.status) == status
        assert outcome.streamed is (stream and status is None)
        rest = await outcome.answer.read_all(100_000) if outcome.answer is not None else b""
        assert status is not None or b"hi" in outcome.body + rest
        outcome.close()
        await client.close()

    run(scenario())


@pytest.mark.parametrize("patient", [False, True])
def test_a_patient_call_lets_others_go_first(patient: bool) -> None:
    async def scenario() -> None:
        clock, client = Clock(), Client()
        config = replace(ProviderConfig(), name="demo", type="echo")
        provider = Provider(config, KeyPool("demo", config.health, clock=clock, rng=Random(1)))
        call = Call(b"GET", "/models", "", (), b"", "", "other", patient=patient)
        key, deadline = Key(Secret("demo-key-one"), b""), asyncio.get_running_loop().time() + 5
        asking = asyncio.ensure_future(Exchange(client, clock).call(provider, key, call, deadline))
        await asyncio.sleep(0)  # its first step; nothing in it has to be waited for
        assert asking.done() is not patient
        assert (await asking).status == 200
        await client.close()

    run(scenario())


# What errors mean is the provider's own affair.


RULES = ErrorParsingConfig(rules=(ErrorRule(429, "error.code", "^rate_limit", "no_quota"),))


@pytest.mark.parametrize(
    "answer", [Answer(429, TOO_MANY), Answer(200, TOO_MANY), Stream(({"error": TOO_MANY["error"]},))], ids=str
)
def test_the_operators_rules_are_asked_wherever_an_error_is_found(answer: Behaviour) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, answer, answer)
            stream = isinstance(answer, Stream)
            outcome = await wire.call(stream=stream, error_parsing=RULES)
            assert outcome.verdict is not None
            assert (outcome.verdict.status, outcome.verdict.reason) == (Status.NO_QUOTA, "rule_1")
            outcome = await wire.call(stream=stream)
            assert outcome.verdict is not None
            assert outcome.verdict.status is Status.RATE_LIMITED, "without rules"

    run(scenario())


def test_a_vendors_rows_are_those_of_the_providers_type() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            body = {"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": 401}}
            wire.fake.script(SECRET, Answer(401, body), Answer(401, body))
            for kind, status in (("perplexity", Status.NO_QUOTA), ("openai", Status.SUSPECT)):
                outcome = await wire.call(type=kind)
                assert outcome.verdict is not None
                assert outcome.verdict.status is status, kind

    run(scenario())


BEARER, KEY = {"authorization": f"Bearer {SECRET}"}, SECRET
VERSION = "2023-06-01"


@pytest.mark.parametrize(
    ("kind", "dialect", "base_path", "path", "credentials", "version"),
    [
        ("openai", "openai_chat", "/v1", "/v1/chat/completions", BEARER, None),
        ("openai", "openai_responses", "/v1", "/v1/responses", BEARER, None),
        ("anthropic", "anthropic", "", "/v1/messages", {"x-api-key": KEY}, VERSION),
        ("anthropic", "anthropic", "/v1", "/v1/messages", {"x-api-key": KEY}, VERSION),
        ("anthropic", "anthropic", "/anthropic", "/anthropic/v1/messages", {"x-api-key": KEY}, VERSION),
        ("gemini", "gemini", "", "/v1beta/models/", {"x-goog-api-key": KEY}, None),
        ("gemini", "openai_chat", "/v1beta", "/v1beta/openai/chat/completions", BEARER, None),
        ("azure", "openai_chat", "", "/openai/v1/chat/completions", {"api-key": KEY}, None),
        ("azure", "openai_responses", "/openai/v1", "/openai/v1/responses", {"api-key": KEY}, None),
        ("deepseek", "openai_chat", "", "/chat/completions", BEARER, None),
        ("deepseek", "anthropic", "/v1", "/anthropic/v1/messages", {"x-api-key": KEY}, VERSION),
        ("openrouter", "anthropic", "/api/v1", "/api/v1/messages", BEARER, VERSION),
        ("zhipu", "anthropic", "/api/paas/v4", "/api/anthropic/v1/messages", BEARER, VERSION),
        ("dashscope", "anthropic", "/compatible-mode/v1", "/apps/anthropic/v1/messages", BEARER, VERSION),
        ("llmgateway", "gemini", "/v1", "/v1beta/models/", {"x-goog-api-key": KEY}, None),
        ("anthropic", "openai_chat", "", "/v1/chat/completions", {"x-api-key": KEY}, VERSION),
    ],
)
def test_a_call_goes_where_its_dialect_is_spoken_with_the_key_where_it_is_wanted(
    kind: str, dialect: str, base_path: str, path: str, credentials: dict[str, str], version: str | None
) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            provider = a_provider(wire.fake.origin + base_path, wire.clock, type=kind)
            (key,) = provider.pool.standings.keys.values()
            place, query = provider.endpoint(dialect).place(MAIN_PATHS[dialect], "m")
            wire.fake.script(SECRET, Answer(200, {}))
            call = Call(b"POST", place, query, (), b"{}", "m", "other", dialect=dialect)
            outcome = await wire.exchange.call(provider, key, call, asyncio.get_running_loop().time() + 5)
            assert outcome.verdict is None
            (seen,) = wire.fake.requests
            assert (seen.path, seen.credentials, seen.headers.get("anthropic-version")) == (path, credentials, version)

    run(scenario())


START = {"type": "message_start", "message": {"role": "assistant", "content": [], "usage": {"input_tokens": 1}}}
PING = {"type": "ping"}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
OVERLOADED_EVENT = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ((START, PING, DELTA), None),
        ((START, DELTA, OVERLOADED_EVENT), None),
        ((START, PING, OVERLOADED_EVENT), (Scope.PROVIDER, Status.OVERLOADED)),
        ((START, {"type": "message_stop"}), FAILED),
    ],
)
def test_a_messages_stream_is_held_until_it_says_something(
    events: tuple[dict[str, Any], ...], verdict: tuple[Scope, Status] | None
) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            provider = a_provider(wire.fake.origin, wire.clock, type="anthropic")
            (key,) = provider.pool.standings.keys.values()
            wire.fake.script(SECRET, Stream(events))
            call = Call(b"POST", "/v1/messages", "", (), b"{}", "m", "messages", True, dialect="anthropic")
            outcome = await wire.exchange.call(provider, key, call, asyncio.get_running_loop().time() + 5)
            found = outcome.verdict and (outcome.verdict.scope, outcome.verdict.status)
            assert (found, outcome.streamed) == (verdict, True)
            outcome.close()

    run(scenario())
