"""SIGTERM, SIGHUP and SIGKILL while requests run."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from pathlib import Path

from tests.conftest import run
from tests.e2e.load import Caller, load
from tests.e2e.process import GatewayProcess, gateway, one_provider, write_keys
from tests.fakes.behaviours import Delay, Stream, rate_limited
from tests.fakes.provider import FakeProvider

KEYS = [f"sk-good-{n:016}" for n in range(10)]


def assert_each_was_asked_once(fake: FakeProvider) -> None:
    users = [seen.json["user"] for seen in fake.requests]
    assert len(users) == len(set(users)), "a request reached the provider twice"


def test_sigterm_lets_requests_finish_refuses_new_ones_and_exits_0(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            for key in KEYS:
                fake.script(key, Delay(0.2))
            write_keys(tmp_path, KEYS)
            async with gateway(tmp_path, one_provider(fake.base_url)) as running:
                idle, busy = Caller(running.address), Caller(running.address)
                await idle.chat(user="first")
                slow = asyncio.create_task(busy.chat(stream=True, user="slow"))
                loading = asyncio.create_task(load(running.address, 10**6, 20, lambda: not alive(running)))
                while len(fake.requests) < 60:
                    await asyncio.sleep(0)
                running.signal(signal.SIGTERM)
                assert await running.wait() == 0
                tally = await loading
                assert (await slow).status == 200
                idle.close()
                busy.close()
        assert not tally.cut
        assert tally.statuses() <= {200, 503}
        for answer in tally.answers:
            if answer.status == 503:
                assert answer.json["error"]["code"] == "draining"
                assert int(answer.headers["retry-after"]) >= 1
        assert_each_was_asked_once(fake)

    run(scenario(), 60)


def alive(running: GatewayProcess) -> bool:
    return running.process.returncode is None


def test_sighup_under_load_swaps_the_configuration_and_breaks_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            for key in KEYS:
                fake.script(key, Stream(gap=0.001))
            write_keys(tmp_path, KEYS)
            config = one_provider(fake.base_url)
            async with gateway(tmp_path, config) as running:
                done = False
                loading = asyncio.create_task(load(running.address, 10**6, 20, lambda: done))
                for n in range(1, 6):
                    running.config.write_text(config.replace("[providers.main]", f"[providers.main]\npriority = {n}"))
                    running.signal(signal.SIGHUP)
                    assert (await running.wait_log("reloaded", n))["changed"] == ["providers.main"]
                running.config.write_text("[server]\nlisten = 3\n[queue]\nmax = -1\n")
                running.signal(signal.SIGHUP)
                assert "server.listen" in (await running.wait_log("reload_failed", 1))["detail"]
                assert "queue.max" in (await running.wait_log("reload_failed", 2))["detail"]
                done = True
                tally = await loading
        assert tally.statuses() == {200}
        assert not tally.cut and not tally.refused
        assert_each_was_asked_once(fake)

    run(scenario(), 60)


def test_after_sigkill_cooldowns_are_back_with_their_deadlines(tmp_path: Path) -> None:
    limited = [f"sk-limited-{n:012}" for n in range(30)]

    async def scenario() -> None:
        async with FakeProvider() as fake:
            for key in limited:
                fake.script(key, rate_limited(3000))
            write_keys(tmp_path, limited + KEYS)
            config = one_provider(fake.base_url)
            async with gateway(tmp_path, config) as running:
                while sum(fake.calls_by_key[key] for key in limited) < len(limited):
                    await load(running.address, 50, 5)
                known = await wait_rows(tmp_path / "state" / "llmgateway.db", len(limited))
                running.signal(signal.SIGKILL)
                assert await running.wait() == -signal.SIGKILL
            async with gateway(tmp_path, config) as running:
                await load(running.address, 200, 10)
                assert await wait_rows(tmp_path / "state" / "llmgateway.db", len(limited)) == known
        assert {fake.calls_by_key[key] for key in limited} == {1}

    run(scenario(), 60)


async def wait_rows(path: Path, count: int) -> dict[str, float]:
    """Digest and deadline of the keys that rest, once there are so many: the write-behind takes half a second."""
    while True:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            rows = database.execute("SELECT digest, until FROM key_status WHERE status = 'rate_limited'").fetchall()
        database.close()
        if len(rows) >= count:
            return dict(rows)
        await asyncio.sleep(0.05)
