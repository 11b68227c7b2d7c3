"""The official SDKs through the gateway to every provider, streamed and not: four clients, four dialects behind them.

`sdks.py` sets the stage. Thoughts and errors have tests of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.sdks import (
    CLIENTS,
    FINISHES,
    PLAIN,
    PROVIDERS,
    Stage,
    every_client,
    every_provider,
    heard,
    open_stage,
    streamed_and_not,
)
from tests.e2e.talk import MAX_TOKENS, PDF, PNG, Result, Said, Wishes
from tests.fakes import script

INPUT = script.INPUT + script.CACHED
WRITTEN = {"anthropic": script.WRITTEN_5M + script.WRITTEN_1H}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    yield from open_stage(tmp_path_factory.mktemp("sdks"))


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


@pytest.mark.parametrize(
    ("client", "model"),
    [
        *((client, f"{provider}/{PLAIN[provider]}") for client in CLIENTS for provider in PROVIDERS),
        *((client, "gemini/gemini-3-pro-preview") for client in CLIENTS),
        *((client, "anthropic/claude-sonnet-4-20250514") for client in CLIENTS if client != "anthropic"),
    ],
)
@streamed_and_not
def test_answers_have_the_shape_that_was_asked_for(stage: Stage, client: str, model: str, stream: bool) -> None:
    """The last model knows no shapes: a tool that it must call stands for one."""
    talk = stage.sdks.talk(client, model, Wishes(schema=SCHEMA), stream=stream)
    said = stage.run(talk.say('DO json {"city": "Rome", "degrees": [21.5, 22]}'))
    assert json.loads(said.text) == {"city": "Rome", "degrees": [21.5, 22]}
    assert (said.calls, said.finish) == ((), FINISHES["end"][client])


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


@every_provider
def test_tokens_are_counted(stage: Stage, provider: str) -> None:
    """By the provider where it counts in any dialect, estimated elsewhere."""
    model = f"{provider}/{PLAIN[provider]}"

    async def scenario() -> tuple[int, int | None]:
        messages = [{"role": "user", "content": "How many?"}]
        counted = await stage.sdks.anthropic.messages.count_tokens(model=model, messages=messages)  # type: ignore[arg-type]
        google = await stage.sdks.gemini.aio.models.count_tokens(model=model, contents="How many?")
        return counted.input_tokens, google.total_tokens

    anthropics, googles = stage.run(scenario())
    counts = provider in ("anthropic", "gemini")
    assert anthropics and (anthropics == script.INPUT) is counts
    assert googles and (googles == script.INPUT) is counts


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
    assert raw.headers["x-llmgateway-dropped"].split(", ") == ["temperature", "seed"]
