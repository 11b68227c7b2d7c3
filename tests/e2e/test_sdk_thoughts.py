"""What a provider has thought and signed, through the official SDKs: back to it, and to no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.sdks import OTHERS, PROVIDERS, THINKING, Stage, every_client, open_stage, streamed_and_not
from tests.e2e.talk import Result, Said, Wishes
from tests.fakes import script


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    yield from open_stage(tmp_path_factory.mktemp("sdks"))


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
