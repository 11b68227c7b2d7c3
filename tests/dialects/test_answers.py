"""What a provider of any dialect answers, as a client of any other is told it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects.meaning import answer_meaning, stream_meaning
from tests.dialects.pairs import NAMES, PAIRS, asked, read_answer, read_stream, write_answer
from tests.dialects.providers import ANSWERS, ENDINGS, SAID, STREAMS

Json = dict[str, Any]

BOTH = pytest.mark.parametrize(("client", "provider"), PAIRS)
EACH = pytest.mark.parametrize("what", SAID)

FILTERED = {name: {ENDINGS[word][name] for word in ("refusal", "content_filter")} for name in NAMES}


def native_ending(client: str, body: Json) -> str:
    match client:
        case "openai_chat":
            return str(body["choices"][0]["finish_reason"])
        case "openai_responses":
            return str((body["incomplete_details"] or {}).get("reason") or body["status"])
        case "anthropic":
            return str(body["stop_reason"])
        case _:
            return str(body["candidates"][0]["finishReason"])


@EACH
@pytest.mark.parametrize("provider", NAMES)
def test_an_answer_and_its_stream_mean_the_same(provider: str, what: str) -> None:
    answer = answer_meaning(read_answer(provider, ANSWERS[provider](SAID[what])))
    assert stream_meaning(read_stream(provider, STREAMS[provider](SAID[what]))) == answer
    said = SAID[what]
    assert len(answer) == 1
    assert answer[0]["text"] == said.text + said.refusal
    assert answer[0]["thinking"] == said.thinking
    assert answer[0]["calls"] == [(call.name, call.arguments) for call in said.calls]
    assert answer[0]["tokens"] == tuple(count or None for count in said.usage)


@EACH
@BOTH
def test_a_client_is_told_what_the_provider_said(client: str, provider: str, what: str) -> None:
    answer = read_answer(provider, ANSWERS[provider](SAID[what]))
    shown = write_answer(client, answer)
    assert answer_meaning(read_answer(client, shown)) == answer_meaning(answer)
    ending = SAID[what].ending
    if ending in ("refusal", "content_filter"):
        assert native_ending(client, shown) in FILTERED[client]
    elif ending == "stop_sequence" and provider != "anthropic":
        assert native_ending(client, shown) == ENDINGS["stop"][client]  # only Anthropic tells them apart
    else:
        assert native_ending(client, shown) == ENDINGS[ending][client]


@EACH
@BOTH
def test_the_clients_sdk_reads_what_it_is_told(client: str, provider: str, what: str) -> None:
    shown = write_answer(client, read_answer(provider, ANSWERS[provider](SAID[what])))
    if client == "openai_chat":
        from openai.types.chat import ChatCompletion

        ChatCompletion.model_validate(shown)
    elif client == "openai_responses":
        from openai.types.responses import Response

        Response.model_validate(shown)
    elif client == "anthropic":
        pytest.importorskip("anthropic").types.Message.model_validate(shown)
    else:
        pytest.importorskip("google.genai.types").GenerateContentResponse.model_validate(shown)


@BOTH
def test_the_client_sees_its_own_name_of_the_model(client: str, provider: str) -> None:
    shown = write_answer(client, read_answer(provider, ANSWERS[provider](SAID["text"])), asked(client))
    assert shown.get("model", shown.get("modelVersion")) == "m"
