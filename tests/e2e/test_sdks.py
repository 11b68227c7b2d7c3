"""The official SDKs through the gateway to every provider, streamed and not: four clients, four dialects behind them.

The providers are strict fakes (`tests/fakes/api.py`): they refuse what the real ones refuse and verify what they have
signed. The model behind them does what the user's text says (`tests/fakes/script.py`), and `see` makes it tell what it
was given, so that one scenario serves all pairs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors as google_errors

from tests.api.harness import Gateway, gateway
from tests.e2e.sdks import MAX_TOKENS, PDF, PNG, Result, Said, Sdks, Wishes
from tests.fakes import anthropic_api, gemini_api, openai_api, script
from tests.fakes.anthropic_api import AnthropicApi
from tests.fakes.gemini_api import GeminiApi
from tests.fakes.openai_api import OpenAIApi
from tests.fakes.provider import FakeProvider

CLIENTS = ("chat", "responses", "anthropic", "gemini")
PROVIDERS = ("chat", "responses", "anthropic", "gemini")
PLAIN = {"chat": "gpt-4o", "responses": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}
THINKING = (
    ("chat", "gpt-5"),
    ("responses", "gpt-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-7"),
    ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-3-pro-preview"),
    ("gemini", "gemini-3.5-flash"),
)
OTHERS = {"chat": "gpt-5", "responses": "gpt-5", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-3.5-flash"}
INPUT = script.INPUT + script.CACHED
WRITTEN = {"anthropic": script.WRITTEN_5M + script.WRITTEN_1H}

every_client = pytest.mark.parametrize("client", CLIENTS)
every_provider = pytest.mark.parametrize("provider", PROVIDERS)
streamed_and_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

RETRIES = """
[providers.{0}.retry]
on_server_error = {{attempts = 2, backoff = 0}}
"""
CONFIG = """
[server]
listen = ["127.0.0.1:0"]
[providers.chat]
type = "openai"
models = ["gpt-4o", "gpt-5"]
base_url = "{chat}/v1"
dialects = ["openai_chat"]
[providers.responses]
type = "openai"
base_url = "{chat}/v1"
dialects = ["openai_responses"]
[providers.anthropic]
type = "anthropic"
models = ["claude-sonnet-4-5"]
base_url = "{anthropic}"
[providers.gemini]
type = "gemini"
models = ["gemini-2.5-flash"]
base_url = "{gemini}"
dialects = ["gemini"]
"""


@dataclass(slots=True)
class Stage:
    """A gateway, the providers behind it, the SDKs before it; they live in one loop."""

    runner: asyncio.Runner
    sdks: Sdks
    fakes: dict[str, FakeProvider]
    apis: dict[str, Any]
    running: Gateway

    def run(self, scenario: Awaitable[Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(20):
                return await scenario

        return self.runner.run(bounded())


def open_stage(folder: Any, keys: int = 1) -> Iterator[Stage]:
    """Closes it, too."""
    apis = {"chat": OpenAIApi(), "anthropic": AnthropicApi(), "gemini": GeminiApi()}
    fakes = {name: FakeProvider(api=api) for name, api in apis.items()}
    names = {name: [f"sk-{name}-{number:020}" for number in range(keys)] for name in PROVIDERS}
    with asyncio.Runner() as runner:
        for fake in fakes.values():
            runner.run(fake.__aenter__())
        config = CONFIG.format(**{name: fake.origin for name, fake in fakes.items()})
        config += "".join(RETRIES.format(name) for name in PROVIDERS)
        inside = gateway(folder, config, names)
        running = runner.run(inside.__aenter__())
        sdks = Sdks.at(f"http://{running.server.addresses()[0]}")
        yield Stage(runner, sdks, fakes, {**apis, "responses": apis["chat"]}, running)
        runner.run(sdks.close())
        runner.run(inside.__aexit__(None, None, None))
        for fake in fakes.values():
            runner.run(fake.__aexit__())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    yield from open_stage(tmp_path_factory.mktemp("sdks"))


@pytest.fixture
def fresh(tmp_path: Any) -> Iterator[Stage]:
    """For tests after which keys rest."""
    yield from open_stage(tmp_path)


def heard(said: Said) -> dict[str, Any]:
    """What the model behind the provider was given."""
    seen: dict[str, Any] = json.loads(said.text)
    return seen


FINISHES: dict[str, dict[str, str]] = {
    "end": {"chat": "stop", "responses": "completed", "anthropic": "end_turn", "gemini": "STOP"},
    "tools": {"chat": "tool_calls", "responses": "completed", "anthropic": "tool_use", "gemini": "STOP"},
    "length": {"chat": "length", "responses": "max_output_tokens", "anthropic": "max_tokens", "gemini": "MAX_TOKENS"},
    "filter": {"chat": "content_filter", "responses": "content_filter", "anthropic": "refusal", "gemini": "SAFETY"},
}


@every_provider
@every_client
@streamed_and_not
def test_text_comes_through_with_its_usage(stage: Stage, client: str, provider: str, stream: bool) -> None:
    model = f"{provider}/{PLAIN[provider]}"
    talk = stage.sdks.talk(client, model, Wishes(system="Be brief.", temperature=0.5), stream=stream)
    said = stage.run(talk.say("DO see"))
    seen = heard(said)
    assert (seen["system"], seen["turns"]) == ("Be brief.", [["user", "DO see"]])
    assert (seen["max_tokens"], seen["temperature"]) == (MAX_TOKENS, 0.5)
    assert said.finish == FINISHES["end"][client]
    assert said.usage == (INPUT + WRITTEN.get(provider, 0), script.CACHED, script.TEXT_TOKENS, 0)
    assert said.model == model


@every_provider
@every_client
@streamed_and_not
def test_many_turns_come_through_in_order(stage: Stage, client: str, provider: str, stream: bool) -> None:
    talk = stage.sdks.talk(client, f"{provider}/{PLAIN[provider]}", Wishes(), stream=stream)

    async def scenario() -> Said:
        assert (await talk.say("Hi  there\n\n ")).text == script.GREETING
        assert (await talk.say('DO say  Ünïcödé 🙂 \\n\tand "quotes" ')).text == ' Ünïcödé 🙂 \\n\tand "quotes"'
        return await talk.say("DO see")

    turns = heard(stage.run(scenario()))["turns"]
    assert [text for role, text in turns if role == "user"] == [
        "Hi  there\n\n ",
        'DO say  Ünïcödé 🙂 \\n\tand "quotes" ',
        "DO see",
    ]
    assert [text for role, text in turns if role == "assistant"] == [script.GREETING, ' Ünïcödé 🙂 \\n\tand "quotes"']


TOOLS = Wishes(system="Use tools.", tools=("weather", "clock"))
LOOP = (
    'DO say Let me look. | call weather {"city": "Paris"} | call weather {"city": "Rome", "days": 2} // '
    'call clock {"city": "Rome"} // see'
)


@every_provider
@every_client
@streamed_and_not
def test_tools_are_called_in_parallel_and_in_turns(stage: Stage, client: str, provider: str, stream: bool) -> None:
    talk = stage.sdks.talk(client, f"{provider}/{PLAIN[provider]}", TOOLS, stream=stream)

    async def scenario() -> Said:
        first = await talk.say(LOOP)
        assert first.text == "Let me look."
        assert [(call.name, call.arguments) for call in first.calls] == [
            ("weather", {"city": "Paris"}),
            ("weather", {"city": "Rome", "days": 2}),
        ]
        assert first.finish == FINISHES["tools"][client]
        paris, rome = first.calls
        assert client == "gemini" or paris.id != rome.id
        second = await talk.give(Result(paris, "21 degrees"), Result(rome, "It rains", failed=True))
        assert [(call.name, call.arguments) for call in second.calls] == [("clock", {"city": "Rome"})]
        return await talk.give(Result(second.calls[0], "noon"))

    seen = heard(stage.run(scenario()))
    failed = client in ("anthropic", "gemini") and provider in ("anthropic", "gemini")
    assert [(name, said) for name, said, _ in seen["results"]] == [
        ("weather", "21 degrees"),
        ("weather", "It rains"),
        ("clock", "noon"),
    ]
    assert [wrong for _, _, wrong in seen["results"]] == [False, failed, False]
    assert seen["tools"] == ["weather", "clock"]
    assert [text for role, text in seen["turns"] if role == "assistant" and text] == ["Let me look."]


@every_provider
@every_client
@pytest.mark.parametrize("choice", ["required", "none", "clock"])
def test_the_choice_of_a_tool_comes_through(stage: Stage, client: str, provider: str, choice: str) -> None:
    wishes = Wishes(tools=("weather", "clock"), choice=choice)
    talk = stage.sdks.talk(client, f"{provider}/{PLAIN[provider]}", wishes, stream=False)
    assert heard(stage.run(talk.say("DO see")))["choice"] == choice


@every_provider
@every_client
@streamed_and_not
def test_images_and_documents_come_through(stage: Stage, client: str, provider: str, stream: bool) -> None:
    talk = stage.sdks.talk(client, f"{provider}/{PLAIN[provider]}", Wishes(), stream=stream)
    seen = heard(stage.run(talk.say("DO see", image=PNG, pdf=PDF)))
    assert sorted(seen["media"]) == [["application/pdf", len(PDF)], ["image/png", len(PNG)]]


@every_provider
@pytest.mark.parametrize("client", ["responses", "anthropic", "gemini"])
def test_an_image_that_a_tool_gave_comes_through(stage: Stage, client: str, provider: str) -> None:
    model = {"gemini": "gemini-3-pro-preview"}.get(provider, PLAIN[provider])
    talk = stage.sdks.talk(client, f"{provider}/{model}", TOOLS, stream=False)

    async def scenario() -> Said:
        first = await talk.say('DO call weather {"city": "Rome"} // see')
        return await talk.give(Result(first.calls[0], image=PNG))

    assert ["image/png", len(PNG)] in heard(stage.run(scenario()))["media"]


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "array", "items": {"$ref": "#/$defs/degree"}}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
    "$defs": {"degree": {"type": "number"}},
}


@every_provider
@every_client
@streamed_and_not
def test_answers_have_the_shape_that_was_asked_for(stage: Stage, client: str, provider: str, stream: bool) -> None:
    model = {"anthropic": "claude-sonnet-4-5"}.get(provider, PLAIN[provider])
    talk = stage.sdks.talk(client, f"{provider}/{model}", Wishes(schema=SCHEMA), stream=stream)
    said = stage.run(talk.say('DO json {"city": "Rome", "degrees": [21.5, 22]}'))
    assert json.loads(said.text) == {"city": "Rome", "degrees": [21.5, 22]}
    assert (said.calls, said.finish) == ((), FINISHES["end"][client])


THOUGHTS = (
    'DO think Where? | call weather {"city": "Paris"} | call weather {"city": "Rome"} // '
    'think When? | call clock {"city": "Rome"} // think Enough. | say Done. // see'
)


@pytest.mark.parametrize(("provider", "model"), THINKING)
@every_client
@streamed_and_not
def test_thoughts_go_back_to_their_provider_and_to_no_other(
    stage: Stage, client: str, provider: str, model: str, stream: bool
) -> None:
    api = stage.apis[provider]
    wishes = Wishes(tools=("weather", "clock"), thinking=True, adaptive=model == "claude-opus-4-7")
    talk = stage.sdks.talk(client, f"{provider}/{model}", wishes, stream=stream)
    shown = provider != "chat" and (client != "chat" or model == "claude-sonnet-4-5")
    api.verified.clear()
    api.sentinels = 0

    async def scenario() -> None:
        first = await talk.say(THOUGHTS)
        second = await talk.give(*(Result(call, "21 degrees") for call in first.calls))
        third = await talk.give(Result(second.calls[0], "noon"))
        assert third.text == "Done."
        assert third.usage[3] == script.THOUGHT_TOKENS
        if shown:
            assert [said.thoughts for said in (first, second, third)] == ["Where?", "When?", "Enough."]
        signed = list(api.verified)
        assert len(signed) == (0 if provider == "chat" else 3), "the first turn's twice, the second's once"
        assert api.sentinels == 0
        for other in PROVIDERS:
            if stage.apis[other] is not api:
                talk.model = f"{other}/{OTHERS[other]}"
                assert (await talk.say("DO say Hello.")).text == "Hello.", other
        assert api.verified == signed

    before = {name: len(other.verified) for name, other in stage.apis.items() if other is not api}
    stage.run(scenario())
    assert {name: len(other.verified) for name, other in stage.apis.items() if other is not api} == before


@pytest.mark.parametrize(("provider", "model"), THINKING)
@every_client
@streamed_and_not
def test_thoughts_before_a_plain_answer_do_not_keep_a_client_from_changing_its_provider(
    stage: Stage, client: str, provider: str, model: str, stream: bool
) -> None:
    adaptive = model == "claude-opus-4-7"
    talk = stage.sdks.talk(client, f"{provider}/{model}", Wishes(thinking=True, adaptive=adaptive), stream=stream)

    async def scenario() -> None:
        assert (await talk.say("DO think Hm. | say One.")).text == "One."
        for other in (*PROVIDERS, provider):
            talk.model = f"{other}/{model if other == provider else OTHERS[other]}"
            if not (adaptive and client == other == "anthropic" and other != provider):
                assert (await talk.say("DO say Two.")).text == "Two.", other

    stage.run(scenario())


@pytest.mark.parametrize(("provider", "model"), THINKING)
def test_a_client_that_keeps_nothing_but_ids_of_calls_goes_on(stage: Stage, provider: str, model: str) -> None:
    """Google's signatures travel in them; Claude goes on without thinking, OpenAI without what it thought."""
    api = stage.apis[provider]
    wishes = Wishes(tools=("weather", "clock"), thinking=True)
    talk = stage.sdks.talk("bare chat", f"{provider}/{model}", wishes, stream=True)
    api.verified.clear()
    api.sentinels = 0

    async def scenario() -> Said:
        first = await talk.say(THOUGHTS)
        second = await talk.give(*(Result(call, "21 degrees") for call in first.calls))
        return await talk.give(Result(second.calls[0], "noon"))

    assert stage.run(scenario()).text == "Done."
    assert (len(api.verified), api.sentinels) == (3 if provider == "gemini" else 0, 0)


@every_provider
@every_client
@streamed_and_not
@pytest.mark.parametrize("stop", ["length", "filter"])
def test_why_an_answer_ended_is_said_in_the_clients_words(
    stage: Stage, client: str, provider: str, stop: str, stream: bool
) -> None:
    kind = "bare chat" if client == "chat" and stream else client  # the SDK's helper raises
    talk = stage.sdks.talk(kind, f"{provider}/{PLAIN[provider]}", Wishes(), stream=stream)
    said = stage.run(talk.say(f"DO say So far | stop {stop}"))
    assert (said.text, said.finish) == ("So far", FINISHES[stop][client])


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


@every_provider
def test_tokens_are_counted(stage: Stage, provider: str) -> None:
    """By the provider where it counts in the client's dialect, estimated elsewhere."""
    model = f"{provider}/{PLAIN[provider]}"

    async def scenario() -> tuple[int, int | None]:
        messages = [{"role": "user", "content": "How many?"}]
        counted = await stage.sdks.anthropic.messages.count_tokens(model=model, messages=messages)  # type: ignore[arg-type]
        google = await stage.sdks.gemini.aio.models.count_tokens(model=model, contents="How many?")
        return counted.input_tokens, google.total_tokens

    anthropics, googles = stage.run(scenario())
    assert anthropics and (anthropics == script.INPUT) is (provider == "anthropic")
    assert googles and (googles == script.INPUT) is (provider == "gemini")


@pytest.mark.parametrize("model", ["chat/text-embedding-3-small", "gemini/gemini-embedding-001"])
def test_texts_are_embedded(stage: Stage, model: str) -> None:
    async def scenario() -> list[list[float]]:
        openais = await stage.sdks.openai.embeddings.create(model=model, input=["a", "bb"], dimensions=4)
        one = await stage.sdks.gemini.aio.models.embed_content(model=model, contents="bb")
        assert one.embeddings and one.embeddings[0].values
        return [*(each.embedding for each in openais.data), one.embeddings[0].values]

    first, second, third = stage.run(scenario())
    assert first == pytest.approx([0.1, -0.2, -0.2, -0.2])
    assert second == pytest.approx([0.2, -0.2, -0.2, -0.2])
    assert third == pytest.approx([0.2, -0.2, -0.2])


def test_every_sdk_lists_the_models(stage: Stage) -> None:
    async def scenario() -> list[set[str]]:
        openais = {model.id async for model in stage.sdks.openai.models.list()}
        anthropics = {model.id async for model in stage.sdks.anthropic.models.list()}
        googles = {str(model.name) async for model in await stage.sdks.gemini.aio.models.list()}
        assert (await stage.sdks.openai.models.retrieve("gpt-5")).id == "gpt-5"
        assert (await stage.sdks.anthropic.models.retrieve("claude-sonnet-4-5")).id == "claude-sonnet-4-5"
        assert (await stage.sdks.gemini.aio.models.get(model="gemini-2.5-flash")).name == "models/gemini-2.5-flash"
        return [openais, anthropics, {name.removeprefix("models/") for name in googles}]

    for listed in stage.run(scenario()):
        assert {"gpt-4o", "gpt-5", "claude-sonnet-4-5", "gemini-2.5-flash"} <= listed


def test_what_was_dropped_is_named(stage: Stage) -> None:
    async def scenario() -> Any:
        return await stage.sdks.openai.chat.completions.with_raw_response.create(
            model="anthropic/claude-sonnet-4-5", messages=[{"role": "user", "content": "Hi"}], seed=1, temperature=1.5
        )

    raw = stage.run(scenario())
    assert raw.headers["x-llmgateway-dropped"].split(", ") == ["sampling.temperature", "sampling.seed"]
