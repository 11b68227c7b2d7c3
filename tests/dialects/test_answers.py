"""What a provider of any dialect answers, as a client of any other is told it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import jsonlib
from gateway.dialects.conversation import Answer, Choice, Citation, Ending, Finish, Opaque, Text
from gateway.dialects.losses import ContentLostError, Losses
from gateway.dialects.whole import to_deltas
from tests.dialects.meaning import answer_meaning, stream_meaning
from tests.dialects.pairs import NAMES, PAIRS, asked, read_answer, read_stream, write_answer, write_stream
from tests.dialects.providers import ANSWERS, ENDINGS, SAID, STREAMS

Json = dict[str, Any]

BOTH = pytest.mark.parametrize(("client", "provider"), PAIRS)
EACH = pytest.mark.parametrize("what", SAID)

FILTERED: dict[str, set[str]]
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


BOOK = Citation("", "A book", "said in it")
CITED = Answer(
    "a", "m", (Choice((Text("Hi", citations=(BOOK, Citation("https://e.com", "E"))),), Ending(Finish.STOP)),)
)


@pytest.mark.parametrize("client", ["openai_chat", "openai_responses", "anthropic"])
def test_a_citation_without_an_address_is_left_out_where_one_is_due(client: str) -> None:
    whole, streamed = Losses(), Losses()
    body = jsonlib.dumps(write_answer(client, CITED, losses=whole))
    stream = write_stream(client, to_deltas(CITED), losses=streamed)
    for said in (body, stream):
        assert b"https://e.com" in said
        assert b'"url":""' not in said and b"A book" not in said
    for losses in (whole, streamed):
        assert {(loss.path, loss.name, loss.content) for loss in losses.entries} == {
            ("answer.citations", "citations", False)
        }


def test_gemini_shows_citations_without_an_address() -> None:
    losses = Losses()
    assert b"A book" in jsonlib.dumps(write_answer("gemini", CITED, losses=losses))
    assert losses.entries == []


@pytest.mark.parametrize("client", NAMES)
def test_content_that_must_not_be_lost_is_no_answer(client: str) -> None:
    other = "gemini" if client == "anthropic" else "anthropic"
    answer = Answer("a", "m", (Choice((Text("Hi"), Opaque(other, {"type": "x"})), Ending(Finish.STOP)),))
    with pytest.raises(ContentLostError) as caught:
        write_answer(client, answer, losses=Losses(strict=True))
    assert caught.value.loss.path == "answer.x"
    with pytest.raises(ContentLostError):
        write_stream(client, to_deltas(answer), losses=Losses(strict=True))
