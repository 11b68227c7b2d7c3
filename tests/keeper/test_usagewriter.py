"""Usage by the hour: gathered, written behind, kept while the database is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.keeper import usagewriter
from gateway.keeper.usagewriter import UsageWriter
from gateway.observe.logs import Log
from gateway.observe.record import RequestRecord
from gateway.store.usage_hourly import HOUR, Sums, UsageStore
from gateway.usage import Usage
from tests.conftest import run
from tests.store.conftest import opened
from tests.store.money import Unsteady

NOW = 1_800_000_000.0 + 100


def record(user: str = "ann", model: str = "gpt-4o", **more: object) -> RequestRecord:
    made = RequestRecord("r", 0.0)
    made.user, made.token_name, made.model, made.upstream_model = user, "laptop", model, model
    made.provider, made.key, made.attempts, made.status, made.cost = "main", "sk-a…z", 1, 200, 7
    made.usage = Usage(10, cache_read=5, output_text=3)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_requests_of_an_hour_are_added_up_and_reported_by_what_is_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store, now = UsageStore(database), [NOW]
            writer = UsageWriter(store, Log(write=lambda _: None), lambda: now[0])
            for each in (record(), record(), record("bob", cost=None, usage=None, status=502, outcome="error")):
                writer.note(each)
            writer.note(record(attempts=0))  # no provider was asked
            assert await writer.flush()
            now[0] += HOUR
            writer.note(record(token_name="", model="gpt-4o-mini", upstream_model="gpt-4o-mini"))
            assert await writer.flush()
            two, failed, one = Sums(2, 0, 30, 10, 6, 14), Sums(1, 1, 0, 0, 0, 0), Sums(1, 0, 15, 5, 3, 7)
            assert await store.report("user", NOW, 10) == [("ann", two), ("", one), ("bob", failed)]
            assert await store.report("model", NOW, 1) == [("gpt-4o", Sums(3, 1, 30, 10, 6, 14))]
            assert await store.report("model", NOW + HOUR, 10) == [("gpt-4o-mini", one)]
            assert await store.forget_before(NOW + HOUR) == 3 + 3  # by token, too
            assert [name for name, _ in await store.report("user", 0, 10)] == []

    run(scenario())


def test_tokens_are_told_apart_by_their_users(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store, now = UsageStore(database), [NOW]
            writer = UsageWriter(store, Log(write=lambda _: None), lambda: now[0])
            for one in (record(), record(key="sk-b…y"), record(model="gpt-4o-mini"), record(token_name="ci")):
                writer.note(one)
            writer.note(record("bob", cost=30))
            assert await writer.flush()
            now[0] += HOUR
            for one in (record(), record(token_name="")):
                writer.note(one)
            assert await writer.flush()
            each = Sums(1, 0, 15, 5, 3, 7)
            assert await store.report_by_token(NOW, 10) == [
                ("bob", "laptop", each._replace(cost=30)),
                ("ann", "laptop", Sums(4, 0, 60, 20, 12, 28)),
                ("", "", each),
                ("ann", "ci", each),
            ]
            assert await store.report_by_token(NOW + HOUR, 1) == [("", "", each)]
            assert (await store.report("user", NOW, 1))[0] == ("ann", Sums(5, 0, 75, 25, 15, 35))
            assert await store.forget_before(NOW) == 4 + 3
            assert len(await store.report_by_token(0, 10)) == 2

    run(scenario())


def test_answers_from_the_cache_are_requests_of_their_own_without_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = UsageStore(database)
            writer = UsageWriter(store, Log(write=lambda _: None), lambda: NOW)
            writer.note(record(cache="miss"))
            writer.note(record(cache="hit", attempts=0, key="", usage=None, cost=4, first_byte_at=1.0))
            writer.note(record(cache="hit", attempts=0, key="", usage=None, cost=None, status=402, outcome="error"))
            assert await writer.flush()
            assert await store.report("model", 0, 10) == [("gpt-4o", Sums(2, 0, 15, 5, 3, 11))]
            asked, kept = Sums(1, 0, 15, 5, 3, 7), Sums(1, 0, 0, 0, 0, 4)
            assert await store.report("key", 0, 10) == [("sk-a…z", asked), ("cache", kept)]

    run(scenario())


def test_what_the_database_did_not_take_is_written_with_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            unsteady = Unsteady(database)
            unsteady.failures = ["before"]
            writer = UsageWriter(UsageStore(unsteady), Log(write=lambda _: None), lambda: NOW)  # type: ignore[arg-type]
            writer.note(record())
            assert not await writer.flush()
            writer.note(record())
            assert await writer.flush()
            ((_, sums),) = await UsageStore(database).report("user", 0, 10)
            assert sums.requests == 2

    run(scenario())


def test_memory_is_bounded_by_counting_further_models_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usagewriter, "LIMIT", 2)

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = UsageStore(database)
            writer = UsageWriter(store, Log(write=lambda _: None), lambda: NOW)
            for number in range(5):
                writer.note(record(upstream_model=f"model-{number}"))
            assert await writer.flush()
            found = {name: sums.requests for name, sums in await store.report("model", 0, 10)}
            assert found == {"model-0": 1, "model-1": 1, "other": 3}

    run(scenario())
