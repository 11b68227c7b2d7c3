"""`/health`, `/ready`, `/metrics`: none of them calls a provider."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway import __version__
from gateway.api import health
from tests.api.harness import KEYS, TOKENS, configuration, gateway
from tests.conftest import run
from tests.fakes.provider import FakeProvider


@pytest.mark.parametrize("more", ["", TOKENS])
def test_health_says_that_the_process_lives(tmp_path: Path, more: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            assert (await running.ask("HEAD", "/")).status == 200
            got = await running.ask("GET", "/health")
            assert (got.status, got.json) == (200, {"status": "ok", "version": __version__})
            assert (await running.ask("GET", "/ready")).json == {"status": "ready", "missing": []}
            assert not fake.requests

    run(scenario())


@pytest.mark.parametrize(
    "path", ["/health", "/health/circuit-breakers", "/ready", "/metrics", "/v1/models", "/v1/models/gpt-4o"]
)
def test_what_can_be_got_has_a_head(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            async with running.talk() as talk:
                await talk.send("HEAD", path)
                head = await talk.answer()
                await talk.send("GET", path)
                got = await talk.answer()
            assert (head.status, head.body) == (200, b"")
            assert head.header("content-type") == got.header("content-type")
            assert int(head.header("content-length") or 0) > 0

    run(scenario())


def test_a_gateway_without_a_usable_key_is_not_ready(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), KEYS[:1]) as running:
            running.pool.standings.disable(running.key(KEYS[0]))
            got = await running.ask("GET", "/ready")
            assert (got.status, got.json) == (503, {"status": "unavailable", "missing": ["no usable key"]})

    run(scenario())


def test_a_gateway_whose_database_is_gone_is_not_ready(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await running.database.close()
            got = await running.ask("GET", "/ready")
            assert got.status == 503
            assert got.json["missing"][0].startswith("database: ")
            assert (await running.ask("GET", "/health")).status == 200

    run(scenario())


def test_a_database_that_takes_its_time_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PING_SECONDS", 0.1)

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            other = sqlite3.connect(tmp_path / "state" / "llmgateway.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")  # the writer has to wait for it
            writing = asyncio.ensure_future(running.database.execute("CREATE TABLE a (b)"))
            try:
                got = await running.ask("GET", "/ready")
                assert (got.status, got.json["missing"]) == (503, ["database: no answer within 0.1 s"])
            finally:
                other.rollback()
                other.close()
            await writing
            assert (await running.ask("GET", "/ready")).status == 200

    run(scenario())


@pytest.mark.parametrize(
    ("more", "headers", "status"),
    [
        ("", {}, 200),
        (TOKENS, {}, 401),
        (TOKENS, {"x-api-key": "token-of-ann"}, 403),
        (TOKENS, {"x-api-key": "token-of-reader"}, 200),
        (TOKENS, {"x-api-key": "token-of-root"}, 200),
        (TOKENS + "\n[metrics]\npublic = true", {}, 200),
    ],
)
def test_metrics_are_for_those_who_may_read(tmp_path: Path, more: str, headers: dict[str, str], status: int) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            got = await running.ask("GET", "/metrics", b"", headers)
            assert got.status == status
            if status == 200:
                assert got.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
                assert b"# TYPE llm_requests_total counter\n" in got.body

    run(scenario())
