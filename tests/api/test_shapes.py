"""The surfaces beside OpenAI's: errors and lists of models in their own shapes, and counts of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import TOKENS, configuration, gateway
from tests.conftest import run
from tests.fakes.gemini_api import GeminiApi
from tests.fakes.provider import FakeProvider

MESSAGES = {"model": "gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
GENERATE = "/v1beta/models/gpt-4o:generateContent"
VERSION = {"anthropic-version": "2023-06-01"}
GOOGLE = {"x-goog-api-key": "any"}


async def ask(tmp_path: Path, method: str, path: str, body: object = b"", headers: dict[str, str] | None = None) -> Any:
    async with FakeProvider() as fake:
        config = configuration(fake.base_url, provider='models = ["gpt-4o", "o3"]')
        async with gateway(tmp_path, config) as running:
            return await running.ask(method, path, body, headers or {})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("POST", "/v1/messages", b"{", 400, "invalid_request_error"),
        ("POST", "/v1/messages", {"model": "gpt-4o"}, 400, "invalid_request_error"),
        ("POST", "/v1/messages", {**MESSAGES, "stream": 1}, 400, "invalid_request_error"),
        ("POST", "/v1/messages", {**MESSAGES, "model": "nobody/nothing"}, 404, "not_found_error"),
        ("GET", "/v1/messages", b"", 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", b"", 404, "not_found_error"),
    ],
)
def test_errors_of_the_anthropic_surface_have_its_shape(
    tmp_path: Path, method: str, path: str, body: object, status: int, kind: str
) -> None:
    got = run(ask(tmp_path, method, path, body))
    assert (got.status, got.json["type"], got.json["error"]["type"]) == (status, "error", kind)
    assert got.json["error"]["message"]


@pytest.mark.parametrize(
    ("query", "goes_on"),
    [
        ("alt=sse", "alt=sse"),
        ("%61lt=%73se", "alt=sse"),
        ("$alt=json", "alt=json"),
        ("%24alt=json%3Benum-encoding%3Dint", "%24alt=json%3Benum-encoding%3Dint"),
        ("quotaUser=me&fields=candidates&callback=f&key=k&%6Bey=l&access_token=m&prettyPrint=false",
         "quotaUser=me&prettyPrint=false"),
        ("%66ields=usageMetadata", ""),
    ],
)  # fmt: skip
def test_of_googles_parameters_those_go_on_that_leave_the_answer_what_it_is(
    tmp_path: Path, query: str, goes_on: str
) -> None:
    """`fields` leaves out what is charged for, and all of an answer; a credential would be tried instead of our key."""

    async def scenario() -> None:
        async with FakeProvider(api=GeminiApi()) as fake:
            config = configuration(
                fake.base_url, provider='models = ["gpt-4o"]\ndialects = ["gemini"]\nprices = "none"'
            )
            config = config.replace('"openai"', '"gemini"').replace(fake.base_url, f"{fake.origin}/v1beta")
            async with gateway(tmp_path, config) as running:
                got = await running.ask("POST", f"/v1beta/models/gpt-4o:streamGenerateContent?{query}", CONTENTS)
                assert (got.status, fake.requests[-1].path.partition("?")[2]) == (200, goes_on)
                assert got.body[:1] == (b"d" if goes_on == "alt=sse" else b"[")

    run(scenario())


@pytest.mark.parametrize(
    "query", ["alt=proto", "$alt=proto", "%61lt=media", "alt=sse&alt=json", "alt=", "$alt=json;x=1"]
)
def test_an_answer_in_a_form_that_nobody_can_read_is_not_asked_for(tmp_path: Path, query: str) -> None:
    got = run(ask(tmp_path, "POST", f"{GENERATE}?{query}", CONTENTS))
    assert (got.status, got.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("POST", GENERATE, b"{", 400, "INVALID_ARGUMENT"),
        ("POST", GENERATE, {}, 400, "INVALID_ARGUMENT"),
        ("POST", "/v1beta/models/nobody%2Fnothing:generateContent", CONTENTS, 404, "NOT_FOUND"),
        ("POST", "/v1beta/models/gpt-4o:predict", CONTENTS, 404, "NOT_FOUND"),
        ("POST", "/v1beta/models/:generateContent", CONTENTS, 404, "NOT_FOUND"),
        ("POST", "/v1/models/gpt-4o:generateContent", {}, 400, "INVALID_ARGUMENT"),
        ("POST", "/v1/models/main%2Fgpt-4o:batchEmbedContents", {"requests": 5}, 400, "INVALID_ARGUMENT"),
        ("GET", "/v1beta/models/unknown", b"", 404, "NOT_FOUND"),
        ("GET", "/v1beta/tunedModels", b"", 404, "NOT_FOUND"),
    ],
)
def test_errors_of_the_gemini_surface_have_its_shape(
    tmp_path: Path, method: str, path: str, body: object, status: int, word: str
) -> None:
    got = run(ask(tmp_path, method, path, body))
    error = got.json["error"]
    assert (got.status, error["code"], error["status"]) == (status, status, word)
    assert error["message"]


def test_models_have_anthropics_shape_for_its_clients(tmp_path: Path) -> None:
    entry = {"type": "model", "id": "o3", "display_name": "o3", "created_at": "1970-01-01T00:00:00Z"}
    got = run(ask(tmp_path, "GET", "/v1/models", headers=VERSION))
    assert got.json["data"][1] == entry
    assert (got.json["has_more"], got.json["first_id"], got.json["last_id"]) == (False, "gpt-4o", "o3")
    assert run(ask(tmp_path, "GET", "/v1/models/o3", headers=VERSION)).json == entry
    missing = run(ask(tmp_path, "GET", "/v1/models/o4", headers=VERSION))
    assert (missing.status, missing.json["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize(
    ("method", "path", "headers", "shape"),
    [
        ("GET", "/v1/files", VERSION, "anthropic"),
        ("POST", "/v1/files?beta=true", VERSION, "anthropic"),
        ("GET", "/v1/cachedContents", GOOGLE, "gemini"),
        ("POST", "/upload/v1beta/files", {}, "gemini"),
        ("GET", "/v1/files", {"x-goog-api-client": "genai"}, "gemini"),
        ("GET", "/v1/files", {}, "openai"),
        ("GET", "/p/nobody/v1/files", VERSION, "anthropic"),
        ("GET", "/v1/chat/completions/x", VERSION, "openai"),
    ],
)
def test_what_is_not_there_is_said_in_the_clients_shape(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], shape: str
) -> None:
    got = run(ask(tmp_path, method, path, headers=headers))
    told = {
        "anthropic": "type" in got.json,
        "gemini": "status" in got.json["error"],
        "openai": "param" in got.json["error"],
    }
    assert (got.status, [name for name, found in told.items() if found]) == (404, [shape])


@pytest.mark.parametrize(
    ("path", "headers", "named"),
    [
        ("/v1/chat/completions", {}, "Authorization: Bearer TOKEN"),
        ("/v1/messages", {}, "x-api-key: TOKEN"),
        ("/v1beta/models/m:generateContent", {}, "x-goog-api-key: TOKEN"),
        ("/v1/models/m:generateContent", {}, "x-goog-api-key: TOKEN"),
        ("/v1/models", VERSION, "x-api-key: TOKEN"),
    ],
)
def test_who_sends_no_token_is_told_where_its_sdk_puts_it(
    tmp_path: Path, path: str, headers: dict[str, str], named: str
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            got = await running.ask("POST" if path != "/v1/models" else "GET", path, b"{}", headers)
            assert got.status == 401
            assert got.json["error"]["message"] == f"No API token was given: send {named}."
            if path.startswith("/v1/models/"):
                assert (await running.logged())["surface"] == "gemini"

    run(scenario())


@pytest.mark.parametrize(("root", "headers"), [("/v1beta", {}), ("/v1", GOOGLE)])
def test_models_have_geminis_shape_on_its_path(tmp_path: Path, root: str, headers: dict[str, str]) -> None:
    got = run(ask(tmp_path, "GET", f"{root}/models", headers=headers))
    assert [entry["name"] for entry in got.json["models"]] == ["models/gpt-4o", "models/o3"]
    one = run(ask(tmp_path, "GET", f"{root}/models/o3", headers=headers))
    assert one.json == got.json["models"][1]
    assert "generateContent" in one.json["supportedGenerationMethods"]


@pytest.mark.parametrize("root", ["/v1", "/v1beta"])
def test_googles_calls_are_counted_as_such(tmp_path: Path, root: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            assert (await running.ask("POST", f"{root}/models/gpt-4o:generateContent", CONTENTS)).status == 200
            assert (await running.logged())["surface"] == "gemini"

    run(scenario())


def test_a_field_that_only_looks_like_a_batch_is_no_failure_of_ours(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url).replace('type = "openai"', 'type = "gemini"')
            async with gateway(tmp_path, config) as running:
                await running.ask("POST", "/v1beta/models/main%2Fm:generateContent", {**CONTENTS, "requests": 5})
                assert [seen.json["requests"] for seen in fake.requests] == [5]

    run(scenario())


def test_a_model_with_a_colon_is_in_openais_shape_for_its_clients(tmp_path: Path) -> None:
    got = run(ask(tmp_path, "GET", "/v1/models/llama3:8b"))
    assert (got.status, got.code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/messages/count_tokens", {"model": "gpt-4o", "messages": MESSAGES["messages"]}, "input_tokens"),
        ("/v1beta/models/gpt-4o:countTokens", CONTENTS, "totalTokens"),
        ("/v1beta/models/gpt-4o:countTokens", {"generateContentRequest": {"model": "m", **CONTENTS}}, "totalTokens"),
    ],
)
def test_tokens_are_estimated_where_the_provider_does_not_count(
    tmp_path: Path, path: str, body: object, field: str
) -> None:
    got = run(ask(tmp_path, "POST", path, body))
    assert (got.status, got.header("x-llmgateway-estimated")) == (200, "true")
    assert 1 <= got.json[field] < 100
