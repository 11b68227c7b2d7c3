"""The official OpenAI SDK, with nothing but its base URL changed, against the gateway as a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.conftest import run
from tests.e2e.process import gateway, one_provider, write_keys
from tests.fakes.behaviours import Answer, bad_request, rate_limited, unauthorized
from tests.fakes.provider import FakeProvider

CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}


def client(address: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{address}/v1", api_key="anything", max_retries=0)


def test_every_call_of_the_sdk_is_answered_through_a_pool_with_bad_keys(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-bad-0000000000000001", unauthorized())
            fake.script("sk-limited-000000000001", rate_limited(60))
            write_keys(tmp_path, ["sk-bad-0000000000000001", "sk-limited-000000000001", "sk-good-000000000000001"])
            async with gateway(tmp_path, one_provider(fake.base_url)) as running, client(running.address) as sdk:
                for _ in range(3):
                    answer = await sdk.chat.completions.create(**CHAT)
                    assert answer.choices[0].message.content
                    assert answer.usage.total_tokens > 0
                words = []
                stream = await sdk.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
                async for chunk in stream:
                    words += [choice.delta.content or "" for choice in chunk.choices]
                    last = chunk
                assert "".join(words) and last.usage.total_tokens > 0
                vectors = await sdk.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
                assert len(vectors.data) == 2
                listed = [model.id async for model in sdk.models.list()]
                assert "gpt-4o-mini" in listed
                assert (await sdk.models.retrieve("whisper-1")).owned_by == "main"
                spoken = await sdk.audio.transcriptions.create(
                    model="whisper-1", file=("talk.wav", b"RIFF\r\n--not-a-boundary\x00\xff", "audio/wav")
                )
                assert spoken.text
                upload = fake.requests[-1]
                assert upload.headers["content-type"].startswith("multipart/form-data; boundary=")
                assert b"RIFF\r\n--not-a-boundary\x00\xff" in upload.body
                assert (await sdk.audio.speech.create(model="tts-1", voice="alloy", input="Hi")).content
                assert (await sdk.moderations.create(model="omni-moderation-latest", input="Hi")).results
                assert (await sdk.images.generate(model="gpt-image-1", prompt="a sea")).data
                old = await sdk.completions.create(model="gpt-4o-mini", prompt="Say hello")
                assert old.choices[0].text
        assert fake.calls_by_key["sk-bad-0000000000000001"] == 1
        assert fake.calls_by_key["sk-limited-000000000001"] == 1

    run(scenario(), 60)


def test_a_conversation_of_responses_stays_with_the_key_that_began_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [f"sk-good-00000000000000{n:02}" for n in range(20)])
            async with gateway(tmp_path, one_provider(fake.base_url)) as running, client(running.address) as sdk:
                first = await sdk.responses.create(model="gpt-4o-mini", input="Hello")
                owner = fake.response_owner[first.id]
                for _ in range(3):
                    await sdk.responses.create(model="gpt-4o-mini", input="And?", previous_response_id=first.id)
                    assert fake.requests[-1].key == owner
                kinds = []
                async with sdk.responses.stream(model="gpt-4o-mini", input="Hello") as stream:
                    async for event in stream:
                        kinds.append(event.type)
                    second = await stream.get_final_response()
                assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
                await sdk.responses.create(model="gpt-4o-mini", input="And?", previous_response_id=second.id)
                assert fake.requests[-1].key == fake.response_owner[second.id]
                with pytest.raises(openai.NotFoundError) as unknown:
                    await sdk.responses.create(model="gpt-4o-mini", input="And?", previous_response_id="resp_unknown")
                assert unknown.value.code == "previous_response_not_found"
            async with gateway(tmp_path, one_provider(fake.base_url)) as running, client(running.address) as sdk:
                await sdk.responses.create(model="gpt-4o-mini", input="After a restart", previous_response_id=first.id)
                assert fake.requests[-1].key == owner

    run(scenario(), 60)


def test_errors_arrive_as_the_sdks_own_classes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            fake.script("sk-only-000000000000001", Answer(), bad_request("Bad value."), rate_limited(60))
            write_keys(tmp_path, ["sk-only-000000000000001"])
            tokens = '[auth]\nrequired = true\n[tokens.app]\ntoken = "a-token-of-the-app"\n'
            async with gateway(tmp_path, one_provider(fake.base_url, more=tokens)) as running:
                async with client(running.address) as stranger:
                    with pytest.raises(openai.AuthenticationError) as refused:
                        await stranger.chat.completions.create(**CHAT)
                assert refused.value.code == "invalid_api_key"
                assert not fake.requests
                async with AsyncOpenAI(
                    base_url=f"{running.address}/v1", api_key="a-token-of-the-app", max_retries=0
                ) as sdk:
                    await sdk.chat.completions.create(**CHAT)
                    with pytest.raises(openai.BadRequestError) as bad:
                        await sdk.chat.completions.create(**CHAT)
                    assert "Bad value." in str(bad.value)
                    with pytest.raises(openai.RateLimitError) as limited:
                        await sdk.chat.completions.create(**CHAT)
                    assert limited.value.response.headers["retry-after"] == "60"
                    assert limited.value.code == "rate_limit_exceeded", "the provider's own"
                    with pytest.raises(openai.RateLimitError) as cooling:
                        await sdk.chat.completions.create(**CHAT)
                    assert cooling.value.code == "keys_cooling", "ours: the only key is not even asked"
                    assert len(fake.requests) == 3
                    with pytest.raises(openai.NotFoundError) as missing:
                        await sdk.chat.completions.create(model="gpt-4o-mini1", messages=CHAT["messages"])
                    assert "gpt-4o-mini" in str(missing.value)
                    with pytest.raises(openai.BadRequestError) as wrong:
                        await sdk.chat.completions.create(model="gpt-4o-mini", messages=None)  # type: ignore[call-overload]
                    assert wrong.value.param == "messages"

    run(scenario(), 60)
