"""What is shut, as operators, monitors and Prometheus see it, and the operator's word on it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.policy.verdict import Scope, Status, Verdict
from tests.api.harness import AS_ANN, AS_ROOT, KEYS, TOKENS, Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import server_error, unauthorized
from tests.fakes.provider import FakeProvider
from tests.upstream.pools import is_shut

TWO = """
[providers.other]
type = "openai"
base_url = "http://127.0.0.1:1/v1"
models = ["other-model"]
"""
FAULT = Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "server_error", evidence="500 on fire")


def shut(running: Gateway, name: str = "main") -> None:
    breakers = running.pools[name].breakers
    for _ in range(5):
        breakers.end(breakers.enter(), FAULT, None)


async def trip(running: Gateway, fake: FakeProvider) -> None:
    """Have the guard close the pool."""
    for _ in KEYS:
        assert (await running.chat()).status == 200
    for key in KEYS:
        fake.script(key, unauthorized())
    for _ in range(5):
        await running.chat()
    assert running.pool.guard.tripped


def test_every_provider_has_a_row_and_what_is_shut_its_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TWO)) as running:
            shut(running)
            first, second = (await running.administrate("GET", "/admin/breakers")).json["breakers"]
            now = running.clock()
            assert first.pop("since") <= now and 47 <= first.pop("until") - now <= 60
            assert first == {
                "provider": "main",
                "of": "provider",
                "proxy": None,
                "state": "open",
                "mode": "auto_recovery",
                "failures": 0,
                "trials": 0,
                "openings": 1,
                "last_error": "500 on fire",
            }
            assert (second["provider"], second["state"], second["until"]) == ("other", "closed", None)
            rows = (await running.administrate("GET", "/admin/breakers?provider=other")).json["breakers"]
            assert rows == [second]
            got = await running.administrate("GET", "/admin/breakers?provider=mian")
            assert (got.status, "did you mean" in got.error["message"]) == (404, True)

    run(scenario())


def test_status_names_what_is_not_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TWO)) as running:
            shut(running)
            main, other = (await running.administrate("GET", "/admin/status")).json["providers"]
            assert [(row["of"], row["state"]) for row in main["breakers"]] == [("provider", "open")]
            assert other["breakers"] == []

    run(scenario())


def test_a_reset_closes_circuits_and_opens_what_the_guard_keeps_shut(tmp_path: Path) -> None:
    more = f"{TWO}[queue]\ntimeout = 0.001"

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            await trip(running, fake)
            shut(running, "other")
            rows = (await running.administrate("GET", "/admin/breakers")).json["breakers"]
            assert [(row["provider"], row["of"], row["state"]) for row in rows] == [
                ("main", "provider", "closed"),
                ("main", "keys", "open"),
                ("other", "provider", "open"),
            ]
            reset = {"provider": "other"}
            assert (await running.administrate("POST", "/admin/breakers/reset", reset)).json == {"reset": ["other"]}
            assert is_shut(running.pool)
            assert (await running.administrate("POST", "/admin/breakers/reset", {})).json == {"reset": ["main"]}
            assert not running.pool.guard.tripped
            assert (await running.administrate("POST", "/admin/breakers/reset", {})).json == {"reset": []}
            got = await running.administrate("POST", "/admin/breakers/reset", {"provider": "nobody"})
            assert got.status == 404

    run(scenario())


def test_the_guard_can_be_reset_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = "[queue]\ntimeout = 0.001"
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            await trip(running, fake)
            shut(running)
            assert (await running.administrate("POST", "/admin/guard/reset", {})).json == {"reset": ["main"]}
            assert not running.pool.guard.tripped
            assert (await running.chat()).code == "circuit_open"

    run(scenario())


@pytest.mark.parametrize(
    ("more", "headers", "detailed"),
    [
        ("", {}, True),
        (TOKENS, {}, False),
        (TOKENS, AS_ANN, False),
        (TOKENS, {"x-api-key": "token-of-reader"}, True),
        (TOKENS, AS_ROOT, True),
    ],
)
def test_health_tells_details_to_those_who_may_read(
    tmp_path: Path, more: str, headers: dict[str, str], detailed: bool
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TWO + more)) as running:
            got = await running.ask("GET", "/health/circuit-breakers", b"", headers)
            assert (got.status, got.json["status"]) == (200, "ok")
            shut(running)
            got = await running.ask("GET", "/health/circuit-breakers", b"", headers)
            told = dict(got.json)
            rows = told.pop("breakers", None)
            assert told == {"status": "degraded", "closed": 1, "half_open": 0, "open": 1}
            assert (rows is not None) is detailed
            if rows is not None:
                assert [row["state"] for row in rows] == ["open", "closed"]
            assert not fake.requests, "nobody was asked for it"

    run(scenario())


def test_a_wrong_credential_is_refused_even_where_none_is_needed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            got = await running.ask("GET", "/health/circuit-breakers", b"", {"authorization": "Bearer of-nobody"})
            assert (got.status, got.code) == (401, "invalid_api_key")

    run(scenario())


def test_health_is_degraded_while_the_guard_keeps_a_pool_shut(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = "[queue]\ntimeout = 0.001"
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            await trip(running, fake)
            told = (await running.ask("GET", "/health/circuit-breakers")).json
            assert (told["status"], told["closed"]) == ("degraded", 1)

    run(scenario())


def test_the_times_are_those_of_the_clock(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for key in KEYS:
                fake.script(key, server_error())
            for _ in range(3):
                await running.chat()
            (row,) = (await running.administrate("GET", "/admin/breakers")).json["breakers"]
            assert abs(row["since"] - time.time()) < 60
            running.pass_time(61)
            (row,) = (await running.administrate("GET", "/admin/breakers")).json["breakers"]
            assert (row["state"], row["until"]) == ("half_open", None)

    run(scenario())
