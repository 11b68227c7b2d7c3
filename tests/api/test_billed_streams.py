"""Streams that cost: their end waits for the entry, and what was asked for on the gateway's behalf stays inside."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.conductor.upperbound import FRAME_TOKENS, KEPT_TOKENS
from gateway.errors import StoreUnavailable
from gateway.upstream.exchange import PLAIN_LIMIT
from tests.api.billed import CENT, SHORT, ask, charges, charging
from tests.api.harness import AS_ANN, KEYS, Gateway, until
from tests.conftest import run
from tests.fakes.answers import event
from tests.fakes.behaviours import Answer, Cut, HangAfter, Held, SlowBytes, Stream
from tests.fakes.provider import FakeProvider
from tests.store.money import set_patience

KEY = "sk-first-000000000001"
STREAMED = {**SHORT, "stream": True}
USAGE = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}


def chunk(**fields: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "choices": [], **fields}


def word(text: str, reason: str | None = None) -> dict[str, Any]:
    return chunk(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": reason}])


CHAT = (word("Hello"), word(" you", "stop"), chunk(usage=USAGE), "[DONE]")

MESSAGE = (
    {"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "model": "claude",
     "usage": {"input_tokens": 30, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
)  # fmt: skip

RESPONSE = (
    {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
    {"type": "response.output_text.delta", "delta": "Hello", "output_index": 0, "content_index": 0, "item_id": "i"},
    {"type": "response.completed", "response": {"id": "resp_1", "status": "completed",
     "usage": {"input_tokens": 30, "output_tokens": 5, "total_tokens": 35}}},
)  # fmt: skip

GEMINI = (
    {"candidates": [{"content": {"parts": [{"text": "Hello"}], "role": "model"}, "index": 0}],
     "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 3, "totalTokenCount": 33}},
    {"candidates": [{"content": {"parts": [{"text": " you"}], "role": "model"}, "finishReason": "STOP", "index": 0}],
     "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 5, "totalTokenCount": 35}},
)  # fmt: skip

ASK_MESSAGE = {
    "model": "gpt-4o-mini", "max_tokens": 10, "stream": True, "messages": [{"role": "user", "content": "Hi"}],
}  # fmt: skip
ASK_RESPONSE = {"model": "gpt-4o-mini", "max_output_tokens": 10, "stream": True, "input": "Hi"}
ASK_GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 10}}

SURFACES = [
    ("openai", "/v1/chat/completions", STREAMED, CHAT, b"[DONE]"),
    ("anthropic", "/v1/messages", ASK_MESSAGE, MESSAGE, b"message_stop"),
    ("openai", "/v1/responses", ASK_RESPONSE, RESPONSE, b"response.completed"),
    ("gemini", "/v1beta/models/gpt-4o-mini:streamGenerateContent?alt=sse", ASK_GEMINI, GEMINI, b'"STOP"'),
    ("openai", "/v1/messages", ASK_MESSAGE, CHAT, b"message_stop"),  # translated
    ("anthropic", "/v1/chat/completions", STREAMED, MESSAGE, b"[DONE]"),
]


class Gate:
    """Between the ledger and its database: `waiting` units are held until it is opened, or fail when it is `broken`."""

    def __init__(self, running: Gateway) -> None:
        self._database = running.database
        self._open = asyncio.Event()
        self.waiting = 0
        self.broken = False
        running.ledger._database = self

    async def transaction(self, statements: Any, *, power_safe: bool = False) -> list[int]:
        self.waiting += 1
        if self.broken:
            raise StoreUnavailable("the disk is full")
        await self._open.wait()
        return await self._database.transaction(statements, power_safe=power_safe)

    def open(self) -> None:
        self.broken = False
        self._open.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


@pytest.mark.parametrize(("kind", "path", "body", "events", "end"), SURFACES)
def test_the_end_of_a_stream_goes_out_when_its_entry_is_durable(
    tmp_path: Path, kind: str, path: str, body: object, events: tuple[Any, ...], end: bytes
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, kind=kind) as running:
            fake.script(KEY, Stream(events, gap=0.02))
            async with running.talk() as talk:
                await talk.send("POST", path, body, AS_ANN)
                await talk.head()
                got = await talk.until(b"Hello")
                gate = Gate(running)
                reading = asyncio.ensure_future(talk.until(end))
                await until(lambda: bool(gate.waiting))
                for _ in range(50):
                    await asyncio.sleep(0)
                assert not reading.done()
                gate.open()
                got += await reading
                assert await running.database.fetchval("SELECT COUNT(*) FROM ledger WHERE kind = 'charge'") == 1
                assert (await talk.rest())[1]
                assert got.count(b"Hello") == 1
            (written,) = await charges(running)
            assert (written.entry.amount, written.entry.estimated) == (-40 * CENT, 0)

    run(scenario())


@pytest.mark.parametrize("blank", [b"", b"\n", b" \r\n\r\n"])
def test_an_array_is_given_out_but_for_its_last_byte_until_its_entry_is_durable(tmp_path: Path, blank: bytes) -> None:
    path = "/v1beta/models/gpt-4o-mini:streamGenerateContent"

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, kind="gemini") as running:
            array = json.dumps(list(GEMINI)).encode() + blank
            for key in KEYS:
                fake.script(key, SlowBytes(100, 0.01, Answer(200, array)))
            async with running.talk() as talk:
                await talk.send("POST", path, ASK_GEMINI, AS_ANN)
                await until(lambda: bool(fake.requests))
                gate = Gate(running)
                await until(lambda: bool(gate.waiting))
                gate.open()
                got = await talk.answer()
            assert (got.body, got.complete) == (array, True)
            assert [written.entry.amount for written in await charges(running)] == [-40 * CENT]
            gate.broken = True
            async with running.talk() as talk:
                running.ledger._database = running.database
                await talk.send("POST", path, ASK_GEMINI, AS_ANN)
                await until(lambda: len(fake.requests) == 2)
                running.ledger._database = gate
                set_patience(running.ledger)
                got = await talk.answer()
            assert (got.body, got.complete) == (array.rstrip()[:-1], False)
            gate.open()

    run(scenario())


def test_usage_is_asked_for_and_taken_out_again_if_the_client_did_not_ask(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            for options, shown in ((None, 0), ({"include_usage": False}, 0), ({"include_usage": True}, 1)):
                body = STREAMED if options is None else {**STREAMED, "stream_options": options}
                got = await ask(running, body)
                assert fake.requests[-1].json["stream_options"] == {"include_usage": True}
                assert got.complete
                assert got.body.count(b'"prompt_tokens"') == shown
                assert got.body.rstrip().endswith(b"data: [DONE]")
            assert [written.entry.estimated for written in await charges(running)] == [0, 0, 0]

    run(scenario())


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_however_a_stream_is_cut_the_client_gets_the_same(tmp_path: Path, size: int) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, SlowBytes(size, 0.0, Stream(CHAT)))
            got = await ask(running, STREAMED)
            lines = [line[6:] for line in got.body.split(b"\n") if line.startswith(b"data: ")]
            assert [json.loads(line) for line in lines[:-1]] == list(CHAT[:2])
            assert lines[-1] == b"[DONE]"
            assert [written.entry.amount for written in await charges(running)] == [-40 * CENT]

    run(scenario())


def test_a_stream_whose_end_nobody_marks_is_charged_for_before_its_last_chunk(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, Stream(CHAT[:3]))
            got = await ask(running, STREAMED)
            assert got.complete
            assert [written.entry.amount for written in await charges(running)] == [-40 * CENT]

    run(scenario())


def test_what_a_client_has_put_into_its_tools_does_not_end_its_bill(tmp_path: Path) -> None:
    tools = [{"parameters": {"properties": {"a": {"default": {"type": "response.completed"}}}}}]
    begun = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "tools": tools}}

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, Stream((begun, *RESPONSE[1:]), gap=0.01))
            got = await ask(running, {**ASK_RESPONSE, "tools": tools}, "/v1/responses")
            assert got.complete
            (written,) = await charges(running)
            assert (written.entry.amount, written.entry.estimated) == (-40 * CENT, 0)

    run(scenario())


def test_usage_that_is_reported_after_the_end_is_charged_for_by_an_adjustment(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, Stream((word("Hello"), word(" you", "stop"), "[DONE]", chunk(usage=USAGE)), gap=0.02))
            assert (await ask(running, STREAMED)).complete
            while await running.ledger.flush(10):
                pass
            later, first, _ = (written.entry for written in await running.books.page("ann", 100))
            assert (first.kind, first.estimated, later.kind, later.estimated) == ("charge", 1, "adjustment", 0)
            assert first.amount + later.amount == -40 * CENT
            assert (await running.logged())["cost"] == 0.4

    run(scenario())


@pytest.mark.parametrize("size", [1, 4096])
def test_the_last_word_of_a_chat_waits_for_what_it_costs(tmp_path: Path, size: int) -> None:
    """Thought is in no word of the stream: who has the last one has paid for it, too."""
    usage = {**USAGE, "completion_tokens": 4005, "completion_tokens_details": {"reasoning_tokens": 4000}}

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, SlowBytes(size, 0.0, Stream((*CHAT[:2], chunk(usage=usage), "[DONE]"), gap=0.02)))
            async with running.talk() as talk:
                await talk.send("POST", "/v1/chat/completions", {**STREAMED, "max_tokens": 4000}, AS_ANN)
                await talk.head()
                await talk.until(b'"stop"')
            (written,) = await charges(running)
            assert (-written.entry.amount, written.entry.estimated) == ((30 + 2 * 4005) * CENT, 0)

    run(scenario())


def test_a_chat_that_breaks_after_its_last_word_still_gives_it_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, Cut(len(event(CHAT[0])) + len(event(CHAT[1])) + 5, Stream(CHAT)))
            got = await ask(running, STREAMED)
            assert not got.complete
            assert got.body.index(b" you") < got.body.index(b"upstream")
            (written,) = await charges(running)
            assert written.entry.note == "provider failed"

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "path", "body", "events", "cents"),
    [
        ("openai", "/v1/chat/completions", STREAMED, CHAT, None),  # nothing was reported: an estimate of the prompt too
        ("anthropic", "/v1/messages", ASK_MESSAGE, MESSAGE, 30 + 2 * (1 + 2)),  # the prompt was, and the text is not
        ("gemini", "/v1beta/models/gpt-4o-mini:streamGenerateContent?alt=sse", ASK_GEMINI, GEMINI, 30 + 2 * 3),
        ("anthropic", "/v1/chat/completions", STREAMED, MESSAGE, 30 + 2 * (1 + 2)),  # translated
    ],
)
def test_a_client_that_leaves_a_stream_pays_for_what_it_saw(
    tmp_path: Path, kind: str, path: str, body: dict[str, Any], events: tuple[Any, ...], cents: int | None
) -> None:
    """Five letters were seen, which are two tokens."""

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, kind=kind) as running:
            size = 0
            for one in events:
                size += len(event(one))
                if b"Hello" in event(one):
                    break
            fake.script(KEY, HangAfter(size, Stream(events)))
            async with running.talk() as talk:
                await talk.send("POST", path, body, AS_ANN)
                await talk.head()
                await talk.until(b"Hello")
            await running.logged()
            (written,) = await charges(running)
            entry = written.entry
            expected = -(-len(json.dumps(body)) // 4) + 2 * 2 if cents is None else cents
            assert -entry.amount == expected * CENT
            assert (entry.estimated, entry.note) == (0 if kind == "gemini" else 1, "client gone")

    run(scenario())


THINKS = {**STREAMED, "max_tokens": 500, "reasoning_effort": "low"}
REFERS = {**ASK_RESPONSE, "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}


@pytest.mark.parametrize(
    ("path", "body", "events", "beside", "out"),
    [
        ("/v1/chat/completions", THINKS, CHAT, 0, 500),  # thought, up to the limit
        ("/v1/responses", REFERS, RESPONSE, KEPT_TOKENS, 2),
    ],
)
def test_who_leaves_before_the_usage_does_not_leave_before_what_it_may_be(
    tmp_path: Path, path: str, body: dict[str, Any], events: tuple[Any, ...], beside: int, out: int
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="10000") as running:
            for key in KEYS:
                fake.script(key, Stream(events, gap=0.2))
            async with running.talk() as talk:
                await talk.send("POST", path, body, AS_ANN)
                await talk.head()
                await talk.until(b"Hello")
            await running.logged()
            (written,) = await charges(running)
            prompt = -(-len(json.dumps(body)) // 4)
            assert -written.entry.amount == (prompt + beside + 2 * out) * CENT
            assert (written.entry.estimated, written.entry.note) == (1, "client gone")

    run(scenario())


def test_who_leaves_an_array_pays_for_what_came_of_it(tmp_path: Path) -> None:
    piece = json.dumps({"candidates": [{"content": {"parts": [{"text": "Hello " * 10}]}}]}).encode()

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, kind="gemini") as running:
            array = Stream((b"[" + piece + b",\n" + piece + b",\n",), headers={"content-type": "application/json"})
            fake.script(KEY, HangAfter(2 * len(piece) + 5, array))
            async with running.talk() as talk:
                await talk.send("POST", "/v1beta/models/gpt-4o-mini:streamGenerateContent", ASK_GEMINI, AS_ANN)
                await talk.head()
                await talk.until(b"Hello")
            await running.logged()
            (written,) = await charges(running)
            prompt = -(-len(json.dumps(ASK_GEMINI)) // 4)
            assert -written.entry.amount == (prompt + 2 * 30) * CENT

    run(scenario())


def test_who_leaves_an_answer_that_nobody_reads_pays_what_was_reserved(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            long = {"choices": [{"index": 0, "message": {"content": "x" * (PLAIN_LIMIT + 1)}}]}
            fake.script(KEY, HangAfter(PLAIN_LIMIT + 50, Answer(200, long)))
            async with running.talk() as talk:
                await talk.send("POST", "/v1/chat/completions", SHORT, AS_ANN)
                await talk.head()
            await running.logged()
            (written,) = await charges(running)
            assert -written.entry.amount == (len(json.dumps(SHORT)) + FRAME_TOKENS + 2 * 10) * CENT

    run(scenario())


def test_a_provider_that_breaks_off_costs_what_came_from_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, Cut(250, Stream(CHAT)))
            got = await ask(running, STREAMED)
            assert not got.complete
            (written,) = await charges(running)
            assert (written.entry.estimated, written.entry.note) == (1, "provider failed")
            prompt = -(-len(json.dumps(STREAMED)) // 4)
            assert -written.entry.amount == (prompt + 2 * 2) * CENT

    run(scenario())


@pytest.mark.parametrize(("kind", "path", "body", "events", "end"), SURFACES)
def test_a_stream_that_cannot_be_charged_for_ends_in_an_error_and_is_charged_for_later(
    tmp_path: Path, kind: str, path: str, body: object, events: tuple[Any, ...], end: bytes
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, kind=kind) as running:
            fake.script(KEY, Stream(events, gap=0.02))
            async with running.talk() as talk:
                await talk.send("POST", path, body, AS_ANN)
                await talk.head()
                await talk.until(b"Hello")
                gate = Gate(running)
                gate.broken = True
                set_patience(running.ledger)
                rest, complete = await talk.rest()
                assert not complete
                assert end not in rest
                assert b"not given to its end" in rest
            gate.open()
            (written,) = await charges(running)
            assert written.entry.amount == -40 * CENT

    run(scenario())


def test_a_whole_answer_that_cannot_be_charged_for_is_a_503_and_costs_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEY, Held())
            async with running.talk() as talk:
                await talk.send("POST", "/v1/chat/completions", SHORT, AS_ANN)
                await until(lambda: bool(fake.requests))
                gate = Gate(running)
                gate.broken = True
                set_patience(running.ledger)
                fake.let_go()
                got = await talk.answer()
            assert (got.status, got.code) == (503, "store_unavailable")
            assert got.header("retry-after") == "5"
            got = await ask(running)  # and the next one is not even sent on
            assert (got.status, got.code, len(fake.requests)) == (503, "store_unavailable", 1)
            gate.open()
            set_patience(running.ledger, 10)
            await charges(running)
            account = await running.books.account("ann")
            assert account is not None
            assert (account.balance, account.reserved) == (10_000 * CENT, 0)  # what was written is given back
            assert (await ask(running)).status == 200  # it heals by itself

    run(scenario())
