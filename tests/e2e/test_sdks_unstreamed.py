"""The official SDKs' streams from providers that are only asked for whole answers: `streaming.mode = "disabled"`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.sdks import (
    FINISHES,
    PLAIN,
    THINKING,
    Stage,
    every_client,
    every_provider,
    heard,
    open_stage,
)
from tests.e2e.talk import Result, Said, Wishes
from tests.fakes import script

DISABLED = """
[providers.{0}.streaming]
mode = "disabled"
"""
TOOLS = Wishes(system="Use tools.", tools=("weather", "clock"))
LOOP = 'DO say Let me look. | call weather {"city": "Paris"} | call weather {"city": "Rome", "days": 2} // see'
THOUGHTS = 'DO think Where? | call weather {"city": "Paris"} // think Enough. | say Done.'


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    yield from open_stage(tmp_path_factory.mktemp("sdks"), DISABLED)


@pytest.fixture(autouse=True)
def nobody_is_asked_for_a_stream(stage: Stage) -> Iterator[None]:
    for fake in stage.fakes.values():
        fake.requests.clear()
    yield
    asked = [seen for fake in stage.fakes.values() for seen in fake.requests]
    assert asked
    for seen in asked:
        assert "stream" not in seen.path and "sse" not in seen.path
        assert not json.loads(seen.body).get("stream")


@every_provider
@every_client
def test_a_stream_has_its_text_and_its_usage(stage: Stage, client: str, provider: str) -> None:
    model = f"{provider}/{PLAIN[provider]}"
    said = stage.run(stage.sdks.talk(client, model, Wishes(system="Be brief."), stream=True).say("DO see"))
    assert heard(said)["turns"] == [["user", "DO see"]]
    assert said.finish == FINISHES["end"][client]
    assert said.usage[2] == script.TEXT_TOKENS
    assert said.usage[:2] != (0, 0)
    assert said.model == model


@every_provider
@every_client
def test_a_stream_has_its_tool_calls(stage: Stage, client: str, provider: str) -> None:
    talk = stage.sdks.talk(client, f"{provider}/{PLAIN[provider]}", TOOLS, stream=True)

    async def scenario() -> Said:
        first = await talk.say(LOOP)
        assert first.text == "Let me look."
        assert [(call.name, call.arguments) for call in first.calls] == [
            ("weather", {"city": "Paris"}),
            ("weather", {"city": "Rome", "days": 2}),
        ]
        assert first.finish == FINISHES["tools"][client]
        return await talk.give(*(Result(call, call.arguments["city"]) for call in first.calls))

    seen = heard(stage.run(scenario()))
    assert [(name, said) for name, said, _ in seen["results"]] == [("weather", "Paris"), ("weather", "Rome")]


@pytest.mark.parametrize(("provider", "model"), THINKING)
@every_client
def test_a_stream_has_its_thoughts_and_they_go_back_signed(
    stage: Stage, client: str, provider: str, model: str
) -> None:
    api = stage.apis[provider]
    wishes = Wishes(tools=("weather", "clock"), thinking=True, adaptive=model == "claude-opus-4-7")
    talk = stage.sdks.talk(client, f"{provider}/{model}", wishes, stream=True)
    api.verified.clear()

    async def scenario() -> Said:
        first = await talk.say(THOUGHTS)
        if provider != "chat" and (client != "chat" or model == "claude-sonnet-4-5"):
            assert first.thoughts == "Where?"
        assert first.usage[3] == script.THOUGHT_TOKENS
        return await talk.give(*(Result(call, "21 degrees") for call in first.calls))

    assert stage.run(scenario()).text == "Done."
    assert len(api.verified) == (0 if provider == "chat" else 1)


@every_provider
@every_client
@pytest.mark.parametrize("stop", ["length", "filter"])
def test_a_stream_says_why_it_ended(stage: Stage, client: str, provider: str, stop: str) -> None:
    kind = "bare chat" if client == "chat" else client  # the SDK's helper raises
    talk = stage.sdks.talk(kind, f"{provider}/{PLAIN[provider]}", Wishes(), stream=True)
    said = stage.run(talk.say(f"DO say So far | stop {stop}"))
    assert (said.text, said.finish) == ("So far", FINISHES[stop][client])
