"""Large answers, where there is little room for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import jsonlib
from gateway.errors import RequestError
from gateway.policy.room import LARGE, weight
from tests.conftest import run
from tests.fakes.behaviours import Answer, Cut, HangAfter, Stream
from tests.upstream.test_reading import END, Reader
from tests.upstream.wire import SECRET, wired

TEXT = "x" * 3 * LARGE
LONG: Any = {"choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}]}
STREAMED = Stream(({"choices": [{"index": 0, "delta": {"content": TEXT}, "finish_reason": None}]}, END, "[DONE]"))


def test_an_answer_for_which_there_is_no_room_passes_as_it_comes() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.room.limit = 2 * LARGE
            wire.fake.script(SECRET, Answer(200, LONG))
            outcome = await wire.call()
            assert (outcome.verdict, outcome.decoded) == (None, None)
            assert wire.room.held <= 2 * LARGE
            assert outcome.answer is not None
            rest = await outcome.answer.read_all(1 << 20)
            assert TEXT.encode() in outcome.body + rest
            assert wire.room.shed["answers"] == 0
            outcome.close()

    run(scenario())


DENSE: Any = {"choices": [{"message": {"role": "assistant", "content": "Hi."}}], "x": [[]] * LARGE}
"""Twenty times as much as its bytes, once it is read."""


def test_an_answer_whose_values_find_no_room_passes_unread() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.room.limit = 10 * LARGE
            wire.fake.script(SECRET, Answer(200, DENSE))
            outcome = await wire.call()
            assert (outcome.verdict, outcome.decoded) == (None, None)
            assert outcome.answer is not None
            assert jsonlib.loads(outcome.body + await outcome.answer.read_all(1)) == DENSE
            outcome.close()
            assert wire.room.held == 0

    run(scenario())


def test_an_answer_that_must_be_read_counts_for_what_its_values_take() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Answer(200, DENSE))
            outcome = await wire.call(reading=Reader())
            assert wire.room.held == weight(outcome.body) > 10 * len(outcome.body)
            outcome.close()
            wire.room.limit = 10 * LARGE
            with pytest.raises(RequestError) as refused:
                await wire.call(reading=Reader())
            assert (refused.value.status, refused.value.code) == (503, "overloaded")
            assert (wire.room.held, wire.room.shed["answers"]) == (0, 1)

    run(scenario())


def test_an_answer_counts_until_it_is_closed() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Answer(200, LONG))
            outcome = await wire.call()
            assert wire.room.held == len(outcome.body) > 3 * LARGE
            outcome.close()
            assert wire.room.held == 0

    run(scenario())


@pytest.mark.parametrize("behaviour", [Answer(200, LONG), STREAMED], ids=["plain", "stream"])
def test_what_must_be_read_whole_is_given_up_where_there_is_no_room(behaviour: Answer | Stream) -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.room.limit = 2 * LARGE
            wire.fake.script(SECRET, behaviour)
            with pytest.raises(RequestError) as refused:
                await wire.call(reading=Reader())
            assert (refused.value.status, refused.value.code) == (503, "overloaded")
            assert wire.room.shed["answers"] == 1

    run(scenario())


def test_an_answer_that_breaks_off_gives_its_room_back() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, Cut(2 * LARGE, Answer(200, LONG)))
            outcome = await wire.call()
            assert outcome.error is not None
            assert wire.room.held == 0

    run(scenario())


def test_so_does_one_that_nobody_waits_for_any_more() -> None:
    async def scenario() -> None:
        async with wired() as wire:
            wire.fake.script(SECRET, HangAfter(2 * LARGE, Answer(200, LONG)))
            calling = asyncio.create_task(wire.call(), name="call")
            while not wire.room.held:
                await asyncio.sleep(0)
            calling.cancel()
            await asyncio.wait([calling])
            assert wire.room.held == 0

    run(scenario())
