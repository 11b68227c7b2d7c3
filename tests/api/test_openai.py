"""The OpenAI surface: what goes through untouched, what is checked, and what is renamed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import CHAT, STREAM, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import Answer, HangAfter, SlowBytes, Stream
from tests.fakes.provider import FakeProvider

COMPLETIONS = "/v1/chat/completions"
ODD = (
    b'  { "model" : "gpt-4o-mini",\r\n\t"messages":[ {"role":"user","content":"Gr\xc3\xbc\xc3\x9fe \\u00e9 \\ud83d'
    b'\\ude00 <script>select"} ],\n "seed": 12345678901234567890123, "temperature": 1.50,'
    b'"unknown":{"a":[1,2,{}],"b":null}, "seed":7 }\n'
)
"""Odd spacing, raw and escaped UTF-8, a number no float holds, unknown fields, a field given twice."""

ALIASED = 'models = ["fast=gpt-4o-mini", "gpt-4o", "embed=text-embedding-3-small"]'
ANSWER = (
    b'{ "id":"chatcmpl-1", "model" : "gpt-4o-mini-2024-07-18","choices":[ {"index":0,"message":{"role":"assistant",'
    b'"content":"say \\"model\\": \\"x\\" \\u00fc"},"finish_reason":"stop"}], "big":12345678901234567890123 }\n'
)


def in_provider(fake: FakeProvider) -> dict[str, Any]:
    decoded: dict[str, Any] = fake.requests[-1].json
    return decoded


def test_a_body_goes_to_the_provider_byte_for_byte(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            assert (await running.ask("POST", COMPLETIONS, ODD)).status == 200
            assert fake.requests[0].body == ODD

    run(scenario())


def test_an_answer_comes_back_byte_for_byte(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(body=ANSWER))
            assert (await running.chat()).body == ANSWER

    run(scenario())


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_stream_comes_back_byte_for_byte_wherever_it_is_cut(tmp_path: Path, size: int) -> None:
    events = (
        b": a comment\r\n\r\n",
        b'data: {"choices":[{"delta":{"role":"assistant"}}]}\r\n\r\n',
        b'event:message\ndata:{"choices":[{"delta":{"content":"\xc3\xa9\xe2\x82\xac"}}]}\ndata:\n\n',
        b'data: {"choices":[{"delta":{"content":"b"}}],"model":"other"}\n\r\n',
        b"id: 7\rdata: x\r\rdata: [DONE]\n\n",
    )

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", SlowBytes(size, 0.0, Stream(events)))
            got = await running.chat(stream=True)
            assert (got.status, got.body, got.complete) == (200, b"".join(events), True)
            assert got.header("content-type") == "text/event-stream"

    run(scenario())


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("gpt-4o", "gpt-4o"),
        ("fast", "gpt-4o-mini"),
        ("main/gpt-4o", "gpt-4o"),
        ("main/fast", "gpt-4o-mini"),
        ("main/someone/else", "someone/else"),
    ],
)
def test_the_model_alone_is_renamed_and_only_where_the_gateway_changed_it(
    tmp_path: Path, asked: str, sent: str
) -> None:
    body = ODD.replace(b"gpt-4o-mini", asked.encode())

    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, provider=ALIASED), ["sk-1"]) as running,
        ):
            fake.script("sk-1", Answer(body=ANSWER))
            got = await running.ask("POST", COMPLETIONS, body)
            assert fake.requests[0].body == ODD.replace(b"gpt-4o-mini", sent.encode())
            there = "gpt-4o-mini-2024-07-18" if asked == sent else asked
            assert got.body == ANSWER.replace(b"gpt-4o-mini-2024-07-18", there.encode())
            assert got.header("x-llmgateway-model") == sent

    run(scenario())


@pytest.mark.parametrize("size", [1, 3, 50, 1000])
def test_a_streamed_model_is_renamed_wherever_the_stream_is_cut(tmp_path: Path, size: int) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider=ALIASED)
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                plain = await running.chat(stream=True, model="gpt-4o")
                fake.script("sk-1", SlowBytes(size, 0.0, Stream(usage=True)))
                got = await running.chat(stream=True, model="fast")
                events = [json.loads(line[6:]) for line in got.body.splitlines() if line.startswith(b"data: {")]
                assert {event["model"] for event in events} == {"fast"}
                assert len(events) == plain.body.count(b"data: {") + 1
                assert got.body.endswith(b"data: [DONE]\n\n")
                line = await running.logged(count=2)
                assert (line["input_tokens"], line["output_tokens"]) == (11, 6)
                assert (line["model"], line["upstream_model"]) == ("fast", "gpt-4o-mini")

    run(scenario())


def test_a_model_inside_a_responses_answer_is_renamed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, provider=ALIASED)) as running,
        ):
            plain = await running.ask("POST", "/v1/responses", {"model": "fast", "input": "x"})
            assert plain.json["model"] == "fast"
            got = await running.ask("POST", "/v1/responses", {"model": "fast", "input": "x", "stream": True})
            events = [json.loads(line[6:]) for line in got.body.splitlines() if line.startswith(b"data: {")]
            assert {event["response"]["model"] for event in events if "response" in event} == {"fast"}
            assert fake.requests[1].json["model"] == "gpt-4o-mini"

    run(scenario())


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (CHAT, {"stream": True, **CHAT}),
        ({**CHAT, "stream": False, "n": 1}, {**CHAT, "stream": True, "n": 1}),
        ({**CHAT, "stream": None}, {**CHAT, "stream": True}),
        (STREAM, STREAM),
    ],
)
def test_the_stream_path_forces_streaming(tmp_path: Path, body: dict[str, Any], sent: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask("POST", "/v1/chat/completions/stream", body)
            assert got.header("content-type") == "text/event-stream"
            assert (fake.requests[0].path, in_provider(fake)) == ("/v1/chat/completions", sent)
            assert (await running.logged())["streamed"] is True

    run(scenario())


def test_the_forced_stream_leaves_the_other_bytes_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await running.ask("POST", "/v1/chat/completions/stream", ODD)
            assert fake.requests[0].body == ODD.replace(b"{", b'{"stream":true,', 1)

    run(scenario())


def test_a_compressed_body_is_called_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask("POST", COMPLETIONS, gzip.compress(json.dumps(CHAT).encode()))
            assert (got.status, got.error["message"]) == (400, "The body is not valid JSON: it is compressed.")

    run(scenario())


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (COMPLETIONS, b"", None),
        (COMPLETIONS, b"{", None),
        (COMPLETIONS, b'{"model": NaN}', None),
        (COMPLETIONS, b"\xff", None),
        (COMPLETIONS, b"[" * 5000, None),
        (COMPLETIONS, [1], None),
        (COMPLETIONS, {"model": "gpt-4o"}, "messages"),
        (COMPLETIONS, {"model": "gpt-4o", "messages": "hello"}, "messages"),
        (COMPLETIONS, {"model": "gpt-4o", "messages": None}, "messages"),
        (COMPLETIONS, {**CHAT, "model": 4}, "model"),
        (COMPLETIONS, {**CHAT, "model": ["gpt-4o"]}, "model"),
        (COMPLETIONS, {**CHAT, "stream": "true"}, "stream"),
        (COMPLETIONS, {**CHAT, "stream": 1}, "stream"),
        ("/v1/embeddings", {"model": "gpt-4o"}, "input"),
        ("/v1/moderations", {}, "input"),
        ("/v1/responses", b"null", None),
    ],
)
def test_what_is_wrong_with_a_body_is_named(tmp_path: Path, path: str, body: object, param: str | None) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask("POST", path, body)
            assert (got.status, got.code, got.error["param"]) == (400, "invalid_request_error", param)
            assert got.error["type"] == "invalid_request_error"
            assert param is None or f"'{param}'" in got.error["message"]
            assert not fake.requests

    run(scenario())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "gpt-4o", "prompt": "x"}),
        ("/v1/embeddings", {"model": "gpt-4o", "input": ["x"]}),
        ("/v1/responses", {"model": "gpt-4o", "input": "x"}),
        ("/v1/moderations", {"model": "gpt-4o", "input": "x"}),
        ("/v1/images/generations", {"model": "gpt-4o", "prompt": "x"}),
        ("/v1/audio/speech", {"model": "gpt-4o", "input": "x", "voice": "alloy"}),
    ],
)
def test_every_endpoint_is_the_providers_own(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask("POST", path + "?api-version=1&x=%20y", body)
            assert got.status == 200
            assert fake.requests[0].path == path + "?api-version=1&x=%20y"
            assert in_provider(fake) == body

    run(scenario())


@pytest.mark.parametrize(
    ("name", "value", "forwarded"),
    [
        ("Content-Type", "application/json; charset=utf-8", True),
        ("Accept", "text/event-stream", True),
        ("User-Agent", "OpenAI/Python 1.60", True),
        ("Idempotency-Key", "abc", True),
        ("OpenAI-Beta", "assistants=v2", True),
        ("Authorization", "Bearer client", False),
        ("X-Api-Key", "client", False),
        ("OpenAI-Organization", "org", False),
        ("OpenAI-Project", "proj", False),
        ("Cookie", "a=b", False),
        ("X-Stainless-OS", "Linux", False),
        ("X-Request-Id", "mine", False),
        ("Traceparent", "00-1-1-01", False),
        ("Accept-Encoding", "gzip", False),
        ("Referer", "http://localhost/", False),
    ],
)
def test_the_provider_sees_certain_headers_only(tmp_path: Path, name: str, value: str, forwarded: bool) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            assert (await running.ask("POST", COMPLETIONS, CHAT, {name: value})).status == 200
            seen = fake.requests[0].headers
            assert (seen.get(name.lower()) == value) is forwarded
            assert seen["authorization"] == "Bearer sk-1"
            assert seen["accept-encoding"] == "identity"
            assert seen["host"] == f"127.0.0.1:{fake.port}"

    run(scenario())


def test_extra_headers_of_the_configuration_go_to_the_provider(tmp_path: Path) -> None:
    more = '[providers.main.headers]\nOpenAI-Organization = "org-1"\nUser-Agent = "gateway"'

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            await running.ask("POST", COMPLETIONS, CHAT, {"user-agent": "client", "openai-organization": "client"})
            seen = fake.requests[0].headers
            assert (seen["openai-organization"], seen["user-agent"]) == ("org-1", "gateway")

    run(scenario())


def test_the_client_sees_certain_headers_only(tmp_path: Path) -> None:
    theirs = {
        "Set-Cookie": "a=b",
        "OpenAI-Organization": "org",
        "X-RateLimit-Remaining-Requests": "1",
        "OpenAI-Processing-Ms": "7",
        "CF-Ray": "x",
        "Strict-Transport-Security": "max-age=1",
        "Retry-After": "3",
        "Content-Encoding": "identity",
    }

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(headers=theirs), Stream(headers=theirs))
            for stream in (False, True):
                got = await running.chat(stream=stream)
                ours = {name for name, _ in got.headers} - {"content-length", "transfer-encoding", "x-request-id"}
                assert ours == {
                    "content-type", "content-encoding", "x-llmgateway-upstream-id", "x-llmgateway-provider",
                    "x-llmgateway-attempts", "x-llmgateway-model",
                }  # fmt: skip
                assert got.header("x-llmgateway-upstream-id") == "req_fake"
                assert got.header("x-llmgateway-attempts") == "1"

    run(scenario())


@pytest.mark.parametrize(
    "model",
    ["a\r\nx-evil: 1", "a\nb", "a\x00b", "gpt\u00e9\u20ac", "x" * 5000, "\u2028", "../../x", "main/\r\nx-evil: 1"],
)
def test_a_models_name_cannot_become_a_header(tmp_path: Path, model: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider="# discovers", server='default_provider = "main"')
            async with gateway(tmp_path, config) as running:
                got = await running.chat(model=model)
                assert got.status == 200 and got.header("x-evil") is None
                sent = model.removeprefix("main/")
                assert in_provider(fake)["model"] == sent
                named = got.header("x-llmgateway-model")
                assert named is not None and len(named) <= 200 and named.isprintable() and named.isascii()

    run(scenario())


def test_a_large_answer_passes_as_it_comes(tmp_path: Path) -> None:
    large = b'{"data":[{"b64_json":"' + b"A" * 6_000_000 + b'"}]}'

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(body=large), HangAfter(5_000_000, Answer(body=large)))
            got = await running.ask("POST", "/v1/images/generations", {"model": "gpt-4o", "prompt": "x"})
            assert got.body == large
            assert got.header("content-length") == str(len(large))

    run(scenario())


def test_nobody_waits_for_more_behind_the_end_of_a_stream(tmp_path: Path) -> None:
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "word"}, "finish_reason": "stop"}]}
    stream = Stream((chunk, "[DONE]"))

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", stream)
            whole = (await running.chat(stream=True)).body
            assert whole.endswith(b"data: [DONE]\n\n")
            fake.script("sk-1", HangAfter(len(whole), stream))
            got = await running.chat(stream=True)
            assert (got.body, got.complete) == (whole, True)

    run(scenario())


def test_usage_is_read_from_streams_that_report_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await running.chat(stream=True, stream_options={"include_usage": True})
            await running.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True})
            for count in (1, 2):
                line = await running.logged(count=count)
                tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
                assert [line[name] for name in tokens] == [11, 6, 4, 2]
            assert running.metric('llm_tokens_total{provider="main",model="gpt-4o",kind="cache_read"}') == 4
            assert running.metric('llm_tokens_total{provider="main",model="gpt-4o-mini",kind="output_text"}') == 4

    run(scenario())


@pytest.mark.parametrize("mode", ["auto", "disabled"])
@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses", "embeddings", "moderations"])
def test_a_conversation_is_no_form_whatever_its_type_says(tmp_path: Path, path: str, mode: str) -> None:
    """Else its model, its price and its limits would be looked for where they are not."""
    form = b'--b\r\ncontent-disposition: form-data; name="stream"\r\n\r\ntrue\r\n--b--\r\n'
    typed = {"content-type": "multipart/form-data; boundary=b"}
    more = f'[providers.main.streaming]\nmode = "{mode}"'

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            got = await running.ask("POST", f"/v1/{path}", form, typed)
            assert (got.status, got.code, fake.requests) == (400, "invalid_request_error", [])
            got = await running.ask("POST", f"/v1/{path}", {**CHAT, "input": "Hello", "prompt": "Hello"}, typed)
            assert (got.status, (await running.logged(count=2))["model"]) == (200, CHAT["model"])

    run(scenario())


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(302, b"", {"location": "http://127.0.0.1:9/steal"}))
            got = await running.chat()
            assert (got.status, got.code) == (502, "upstream_error")
            assert "redirects (302)" in got.error["message"]
            assert got.header("location") is None

    run(scenario())


def test_a_client_may_ask_again_on_the_same_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            async with running.talk() as talk:
                for body in (CHAT, STREAM, {}, CHAT):
                    await talk.send("POST", COMPLETIONS, body)
                    assert (await talk.answer()).complete
            await until(lambda: running.metric("llm_requests_in_flight") == 0)
            assert fake.connections == 1

    run(scenario())


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/../files",
        "/v1/images/..",
        "/v1/audio/./speech",
        "/v1/audio/%2e%2e/files",
        "/v1/audio/.%2E/files",
        "/v1/audio/a%2F..%2F..%2Ffiles",
        "/v1/audio/..%5Cfiles",
        "/v1/audio/..\\files",
    ],
)
def test_no_path_leads_out_of_its_family(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask("POST", path, {"model": "gpt-4o"})
            assert (got.status, got.code) == (404, "not_found")
            assert not fake.requests

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/images/edits", "/v1/audio/voices", "/v1/audio/a/b", "/v1/audio/..a/b..%20"])
def test_what_is_below_images_and_audio_is_the_providers_own(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            assert (await running.ask("POST", path, {"model": "gpt-4o"})).status == 200
            assert fake.requests[0].path == path
            assert (await running.ask("GET", path)).header("allow") == "POST"

    run(scenario())


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("", "/openai/v1/chat/completions?a=b"),
        ('api_version = "2024-10-21"', "/openai/deployments/prod%20one/chat/completions?a=b&api-version=2024-10-21"),
    ],
)
def test_azure_is_called_by_deployment_with_its_own_credential(tmp_path: Path, setting: str, path: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            text = configuration(fake.origin, provider=f'default_model = "prod one"\n{setting}')
            text = text.replace('type = "openai"', 'type = "azure"')
            async with gateway(tmp_path, text, ["sk-1"]) as running:
                fake.script("sk-1", Answer(200, {"choices": [{"message": {"content": "Hi"}}]}))
                body = {**CHAT, "model": "prod one"}
                got = await running.ask(
                    "POST", "/v1/chat/completions?a=b&api-version=1" if setting else "/v1/chat/completions?a=b", body
                )
            assert got.status == 200
            (seen,) = fake.requests
            assert (seen.path, seen.credentials) == (path, {"api-key": "sk-1"})

    run(scenario())
