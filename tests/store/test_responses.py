"""Who made a Responses answer."""

from __future__ import annotations

from pathlib import Path

from gateway.store.responses import BATCH, ResponseRow, ResponseStore
from tests.conftest import run
from tests.store.conftest import opened


def test_an_answer_is_remembered_until_it_is_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = ResponseStore(database)
            await store.remember([])
            await store.remember(
                [
                    ResponseRow("resp_1", "main", "aa", "gpt-x", "ann", 1.0),
                    ResponseRow("resp_2", "main", "bb", "gpt-x", "", 2.0),
                ]
            )
            assert await store.owner("resp_1") == ("main", "aa", "gpt-x", "ann")
            assert await store.owner("resp_3") is None
            assert await store.forget_before(2.0) == 1
            assert await store.owner("resp_1") is None
            assert await store.owner("resp_2") == ("main", "bb", "gpt-x", "")

    run(scenario())


def test_remembering_again_replaces(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = ResponseStore(database)
            await store.remember([ResponseRow("resp_1", "main", "aa", "gpt-x", "ann", 1.0)])
            await store.remember([ResponseRow("resp_1", "other", "bb", "gpt-y", "bob", 3.0)])
            assert await store.owner("resp_1") == ("other", "bb", "gpt-y", "bob")
            assert await store.forget_before(2.0) == 0

    run(scenario())


def test_many_answers_are_forgotten_a_batch_at_a_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = ResponseStore(database)
            count = 2 * BATCH + 3
            await store.remember([ResponseRow(f"resp_{n}", "main", "aa", "m", "", float(n)) for n in range(count)])
            assert await store.forget_before(BATCH + 1.0) == BATCH + 1
            assert await store.forget_oldest() == BATCH
            assert await store.owner(f"resp_{count - 1}") is not None
            assert await store.owner(f"resp_{count - 3}") is None
            assert await store.forget_oldest() == 2
            assert await store.forget_oldest() == 0

    run(scenario())
