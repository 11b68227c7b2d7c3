"""How a model's name finds its provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.harness import CHAT, Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import Answer, server_error
from tests.fakes.provider import FakeProvider

KEYS = {"main": ["sk-main"], "second": ["sk-second"], "third": ["sk-third"]}


def more_provider(fake: FakeProvider, name: str, settings: str) -> str:
    return f'[providers.{name}]\ntype = "openai"\nbase_url = "{fake.base_url}"\n{settings}\n'


def listing(*models: str) -> Answer:
    return Answer(body={"object": "list", "data": [{"id": name, "object": "model"} for name in models]})


async def provider_of(running: Gateway, model: str) -> str:
    """Who is asked for a model, or the code of the error."""
    got = await running.chat(model=model)
    return got.header("x-llmgateway-provider") or "" if got.status == 200 else got.code


@pytest.mark.parametrize(
    ("model", "provider", "sent"),
    [
        ("a", "main", "a"),
        ("b", "second", "b"),
        ("second/a", "second", "a"),
        ("second/not/listed", "second", "not/listed"),
        ("org/model", "second", "org/model"),
        ("alias", "second", "real-model"),
        ("second/alias", "second", "real-model"),
        ("nobody/a", "model_not_found", ""),
        ("c", "model_not_found", ""),
        ("second/", "model_not_found", ""),
        ("/a", "model_not_found", ""),
        ("real-model", "model_not_found", ""),
    ],
)
def test_a_name_finds_its_provider(tmp_path: Path, model: str, provider: str, sent: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            second = more_provider(fake, "second", 'models = ["b", "org/model", "alias=real-model"]')
            config = configuration(fake.base_url, provider='models = ["a"]', more=second)
            async with gateway(tmp_path, config, KEYS) as running:
                assert await provider_of(running, model) == provider
                assert [seen.json["model"] for seen in fake.requests] == ([sent] if sent else [])

    run(scenario())


def test_a_token_is_told_of_no_provider_that_it_may_not_use(tmp_path: Path) -> None:
    limited = '[auth]\nrequired = true\n[tokens.bob]\ntoken = "token-of-bob"\nproviders = ["second"]\n'
    as_bob = {"authorization": "Bearer token-of-bob"}

    async def scenario() -> None:
        async with FakeProvider() as fake:
            second = more_provider(fake, "second", 'models = ["model-two"]')
            config = configuration(fake.base_url, provider='models = ["model-one"]', more=second + limited)
            async with gateway(tmp_path, config, KEYS) as running:
                got = await running.ask("GET", "/p/nobody/v1/models", headers=as_bob)
                assert (got.status, got.error["message"].endswith("Providers: second.")) == (404, True)
                got = await running.ask("POST", "/v1/chat/completions", {**CHAT, "model": "model-xxx"}, as_bob)
                assert "'model-two'" in got.error["message"] and "model-one" not in got.error["message"]

    run(scenario())


def test_an_unknown_model_is_answered_with_the_nearest_names(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.chat(model="gpt-4o-mimi")
            assert (got.status, got.code, got.error["param"]) == (404, "model_not_found", "model")
            assert "Did you mean 'gpt-4o-mini'" in got.error["message"]
            assert "Did you mean" not in (await running.chat(model="x" * 3000)).error["message"]

    run(scenario())


def test_providers_of_the_same_model_take_turns_and_priority_goes_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            more = more_provider(fake, "second", 'models = ["same"]\npriority = 5')
            more += more_provider(fake, "third", 'models = ["same"]\npriority = 5')
            config = configuration(fake.base_url, provider='models = ["same"]', more=more)
            async with gateway(tmp_path, config, KEYS) as running:
                used = [await provider_of(running, "same") for _ in range(4)]
                assert used in (["second", "third"] * 2, ["third", "second"] * 2)

    run(scenario())


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"messages": []}, {"model": "real-model", "messages": []}),
        ({"model": None, "messages": []}, {"model": "real-model", "messages": []}),
        ({"model": "", "messages": []}, {"model": "real-model", "messages": []}),
    ],
)
def test_a_request_without_a_model_gets_the_default_one(tmp_path: Path, body: object, sent: object) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            provider = 'models = ["alias=real-model"]\ndefault_model = "alias"'
            async with gateway(tmp_path, configuration(fake.base_url, provider=provider)) as running:
                got = await running.ask("POST", "/v1/chat/completions", body)
                assert got.status == 200
                assert fake.requests[0].json == sent
                assert got.json["model"] == "real-model"

    run(scenario())


def test_a_request_without_a_model_and_nobody_to_take_it_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more=more_provider(fake, "second", 'models = ["b"]'))
            async with gateway(tmp_path, config, KEYS) as running:
                got = await running.ask("POST", "/v1/chat/completions", {"messages": []})
                assert (got.status, got.code, got.error["param"]) == (400, "invalid_request_error", "model")

    run(scenario())


def test_what_nobody_lists_goes_to_the_default_provider(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            more = more_provider(fake, "second", 'models = ["b"]')
            config = configuration(fake.base_url, server='default_provider = "second"', more=more)
            async with gateway(tmp_path, config, KEYS) as running:
                assert await provider_of(running, "unheard-of") == "second"
                assert await provider_of(running, "gpt-4o") == "main"

    run(scenario())


def test_a_provider_without_a_list_is_asked_once_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-second", listing("x-1", "x-2"), Answer())
            more = more_provider(fake, "second", "models_ttl = 300")
            async with gateway(tmp_path, configuration(fake.base_url, more=more), KEYS) as running:
                assert await provider_of(running, "x-1") == "second"
                assert await provider_of(running, "x-2") == "second"
                assert await provider_of(running, "x-3") == "model_not_found"
                assert [seen.path for seen in fake.requests].count("/v1/models") == 1
                running.clock.ahead += 301
                fake.script("sk-second", listing("x-3"), Answer())
                assert await provider_of(running, "x-3") == "second"
                assert await provider_of(running, "x-1") == "model_not_found"

    run(scenario())


def test_a_provider_that_does_not_tell_its_models_is_not_asked_again_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-second", server_error(), Answer(body={"data": "nonsense"}), listing("x-1"), Answer())
            async with gateway(
                tmp_path, configuration(fake.base_url, more=more_provider(fake, "second", "")), KEYS
            ) as running:
                for calls in (1, 2, 3):
                    code = await provider_of(running, "x-1")
                    again = await provider_of(running, "x-1")
                    assert (code, again) == (("model_not_found",) * 2 if calls < 3 else ("second",) * 2)
                    running.clock.ahead += 61
                assert [seen.path for seen in fake.requests].count("/v1/models") == 3
                assert await provider_of(running, "gpt-4o") == "main"
                assert await provider_of(running, "second/x-9") == "second"

    run(scenario())


def test_a_single_provider_without_a_list_takes_every_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, provider="#")) as running,
        ):
            assert await provider_of(running, "whatever") == "main"
            assert [seen.path for seen in fake.requests] == ["/v1/chat/completions"]
            assert (await running.ask("GET", "/v1/models")).status == 200
            assert await provider_of(running, "whatever") == "main"

    run(scenario())


def test_a_disabled_provider_serves_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            more = more_provider(fake, "second", 'models = ["b"]\nenabled = false')
            async with gateway(tmp_path, configuration(fake.base_url, more=more), KEYS) as running:
                assert await provider_of(running, "b") == "model_not_found"
                assert await provider_of(running, "second/b") == "model_not_found"
                got = await running.ask("POST", "/p/second/v1/chat/completions", CHAT)
                assert (got.status, got.code) == (404, "not_found")

    run(scenario())
