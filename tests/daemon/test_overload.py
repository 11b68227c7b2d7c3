"""The room for large bodies in a gateway that runs: one for requests and answers, with a limit that reloads change."""

from __future__ import annotations

from pathlib import Path

from gateway.policy.room import LARGE, Share
from tests.api.harness import CHAT
from tests.conftest import run
from tests.daemon.running import daemon
from tests.daemon.test_reloads import talking
from tests.ports import free_port

LIMITS = f"[server]\nmax_body_bytes = {2 * LARGE}\nmax_buffered_bytes = {4 * LARGE}\n"
LARGE_CHAT = {**CHAT, "model": "main/echo", "user": "x" * LARGE}


def test_requests_and_answers_share_one_room_whose_limit_a_reload_changes(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        async with daemon(tmp_path, f"127.0.0.1:{port}") as running:
            holdings = running.daemon._holdings
            assert holdings.exchange.room is holdings.room
            running.path.write_text(running.path.read_text().replace("[server]\n", LIMITS))
            await running.daemon.reload()
            answers = Share(holdings.room)
            assert not answers.hold(4 * LARGE + 1) and answers.hold(4 * LARGE)
            async with talking(port) as talk:
                await talk.send("POST", "/v1/chat/completions", LARGE_CHAT)
                assert (await talk.answer()).code == "overloaded"
            answers.hold(0)
            async with talking(port) as talk:
                await talk.send("POST", "/v1/chat/completions", LARGE_CHAT)
                assert (await talk.answer()).status == 200
                await talk.send("GET", "/metrics")
                page = (await talk.answer()).body.decode()
            for line in (
                'llm_gateway_shed_total{what="requests"} 1',
                "llm_gateway_held_bytes 0",
                'llm_gateway_queue_waiting{provider="main"} 0',
                'llm_gateway_queue_refused_total{provider="main"} 0',
                'llm_gateway_queue_wait_seconds_count{provider="main"} 0',
            ):
                assert f"\n{line}\n" in page

    run(scenario(), 60)
