"""What outlives a reload: a circuit that is open stays open; every change of it is logged and measured."""

from __future__ import annotations

from pathlib import Path

from gateway.policy.breaker import State
from tests.conftest import run
from tests.daemon.running import daemon
from tests.upstream.pools import SERVER_ERROR

SERIES = 'llm_gateway_circuit_state{{provider="main"}} {}\n'


def test_a_circuit_stays_open_over_a_reload_and_all_of_its_changes_are_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, "127.0.0.1:0") as running:
            holdings = running.daemon._holdings
            breakers = holdings.pools.of["main"].breakers
            assert SERIES.format(0) in holdings.metrics.render().decode()
            for _ in range(5):
                breakers.end(breakers.enter(), SERVER_ERROR, None)
            opened = await running.wait_log("circuit_opened")
            assert (opened["level"], opened["provider"], opened["openings"]) == ("warning", "main", 1)
            assert (opened["last_error"], "proxy" in opened) == ("server_error", False)
            running.change("127.0.0.1:0", more="circuit_breaker.open_for = 0.001\n")
            await running.daemon.reload()
            assert holdings.pools.of["main"].breakers.state() is State.OPEN, "for as long as it was to be"
            assert SERIES.format(2) in holdings.metrics.render().decode()
            breakers.reset()
            assert (await running.wait_log("circuit_closed"))["level"] == "info"
            for _ in range(5):
                breakers.end(breakers.enter(), SERVER_ERROR, None)
            while breakers.state() is State.OPEN:
                pass
            assert (await running.wait_log("circuit_half_open"))["provider"] == "main"
            assert SERIES.format(1) in holdings.metrics.render().decode()

    run(scenario())
