"""A gateway that holds all it may: who is turned away, in whose words, and what goes on as before."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from gateway.conductor.ask import Ask
from gateway.net.request import Request
from gateway.policy.room import LARGE, Share
from gateway.upstream.exchange import Call
from tests.api.harness import CHAT, KEYS, Got, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import Answer, Hang, HangAfter, Stream
from tests.fakes.provider import FakeProvider

TEXT = "x" * 3 * LARGE
LONG: Any = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
}
GENERATE = "/v1beta/models/gpt-4o-mini:generateContent"
CHATS: dict[str, Any] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": {**CHAT, "max_tokens": 9},
    GENERATE: {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]},
}
WORDS = {
    "/v1/chat/completions": lambda got: got.json["error"]["code"],
    "/v1/messages": lambda got: got.json["error"]["details"]["error_code"],
    GENERATE: lambda got: got.json["error"]["details"][0]["reason"].lower(),
}
"""Where each surface says what happened."""

SERVER = f"max_body_bytes = {8 * LARGE}\nmax_buffered_bytes = {8 * LARGE}"


def shed(page: Got) -> dict[str, str]:
    lines = [line for line in page.body.decode().splitlines() if line.startswith("llm_gateway_shed_total{")]
    return {line.split('"')[1]: line.split()[1] for line in lines if line.split()[1] != "0"}


@pytest.mark.parametrize("path", CHATS)
def test_a_large_request_for_which_there_is_no_room_is_refused_in_the_words_of_its_surface(
    tmp_path: Path, path: str
) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, server=SERVER)) as running,
        ):
            others = Share(running.room)
            assert others.hold(7 * LARGE)
            refused = await running.ask("POST", path, {**CHATS[path], "user": TEXT})
            assert (refused.status, WORDS[path](refused), refused.header("retry-after")) == (503, "overloaded", "1")
            assert (await running.ask("POST", path, CHATS[path])).status == 200, "small ones need no room"
            others.hold(0)
            assert fake.requests
            assert (await running.chat(user=TEXT)).status == 200
            assert shed(await running.ask("GET", "/metrics")) == {"requests": "1"}

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/messages", GENERATE])
def test_a_large_answer_that_cannot_be_translated_for_want_of_room_is_nobodys_fault(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, server=SERVER), KEYS[:1]) as running,
        ):
            others = Share(running.room)
            assert others.hold(7 * LARGE)
            fake.script(KEYS[0], Answer(200, LONG), Answer(200, LONG))
            refused = await running.ask("POST", path, CHATS[path])
            assert (refused.status, WORDS[path](refused), refused.header("retry-after")) == (503, "overloaded", "1")
            assert len(fake.requests) == 1, "asking again would not make room"
            assert running.in_flight == 0
            assert running.key(KEYS[0]).standing.usable and running.pool.breakers.refusal() is None
            assert running.room.held == 7 * LARGE
            others.hold(0)
            assert (await running.ask("POST", path, CHATS[path])).status == 200
            assert shed(await running.ask("GET", "/metrics")) == {"answers": "1"}

    run(scenario())


def test_a_large_answer_in_the_clients_own_dialect_needs_no_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, server=SERVER), KEYS[:1]) as running,
        ):
            others = Share(running.room)
            assert others.hold(7 * LARGE)
            fake.script(KEYS[0], Answer(200, LONG))
            got = await running.chat()
            assert (got.status, got.json) == (200, LONG)
            others.hold(0)

    run(scenario())


def test_for_want_of_room_no_other_target_is_asked(tmp_path: Path) -> None:
    spare = """
[providers.spare]
type = "openai"
base_url = "{}"
models = ["gpt-4o-mini"]
"""

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, server=SERVER, more=spare.format(fake.base_url))
            async with gateway(tmp_path, config, {"main": KEYS[:1], "spare": KEYS[1:2]}) as running:
                others = Share(running.room)
                assert others.hold(7 * LARGE)
                for key in KEYS[:2]:
                    fake.script(key, Answer(200, LONG))
                refused = await running.ask("POST", "/v1/messages", CHATS["/v1/messages"])
                assert refused.status == 503
                assert (len(fake.requests), running.fallbacks) == (1, [])
                others.hold(0)

    run(scenario())


def test_a_request_that_waits_for_its_provider_counts_until_its_client_leaves(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, server=SERVER), KEYS[:1]) as running,
        ):
            fake.script(KEYS[0], Hang())
            async with running.talk() as talk:
                await talk.send("POST", "/v1/chat/completions", {**CHAT, "user": TEXT * 2})
                await until(lambda: len(fake.requests) == 1)
                assert running.room.held > 6 * LARGE
                assert (await running.chat(user=TEXT)).code == "overloaded"
                talk.leave()
                await until(lambda: not running.room.held)

    run(scenario())


@pytest.mark.usefixtures("young")
@pytest.mark.parametrize(
    ("path", "kept"), [("/v1/chat/completions", False), ("/p/main/v1/chat/completions", False), ("/v1/messages", True)]
)
def test_a_stream_that_has_begun_keeps_its_request_only_where_it_is_translated(
    tmp_path: Path, path: str, kept: bool
) -> None:
    mark = f"only at {path}"  # of other tests there may be something left

    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, server=SERVER), KEYS[:1]) as running,
        ):
            fake.script(KEYS[0], HangAfter(600, Stream()))
            async with running.talk() as talk:
                await talk.send("POST", path, {**CHAT, "max_tokens": 9, "stream": True, "user": TEXT + mark})
                assert (await talk.head()).status == 200
                assert (running.room.held > 0) is kept
                bodies = [thing.body for thing in gc.get_objects() if isinstance(thing, Request | Ask | Call)]
                assert any(mark.encode() in body for body in bodies) is kept
                talk.leave()
                await until(lambda: not running.server.in_flight and not running.room.held)

    run(scenario())
