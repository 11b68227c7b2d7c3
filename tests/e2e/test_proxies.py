"""Proxies from a file, in a gateway that runs: used, changed, and remembered."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.conftest import run
from tests.e2e.load import Caller
from tests.e2e.process import GatewayProcess, gateway, one_provider, write_keys
from tests.fakes.provider import FakeProvider
from tests.fakes.proxy import FakeProxy

KEYS = [f"sk-good-{n:016}" for n in range(4)]


def configuration(fake: FakeProvider, mode: str, proxies: str = "probe = false") -> str:
    return one_provider(fake.base_url, more=f'[providers.main.proxy]\nmode = "{mode}"\n[proxies]\n{proxies}')


def write_proxies(folder: Path, *urls: str) -> None:
    path = folder / "proxies" / "main.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{url}\n" for url in urls))
    path.chmod(0o600)


def url_of(proxy: FakeProxy) -> str:
    return f"{proxy.url.scheme}://ann:secret@{proxy.url.authority}"


async def chat(running: GatewayProcess) -> int:
    """On a connection of its own."""
    caller = Caller(running.address)
    try:
        return (await caller.chat()).status
    finally:
        caller.close()


async def metrics(running: GatewayProcess) -> list[str]:
    caller = Caller(running.address)
    try:
        return (await caller.request("GET", "/metrics")).body.decode().splitlines()
    finally:
        caller.close()


def test_a_changed_proxy_file_counts_without_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            FakeProxy("http", user="ann", password="secret") as one,
            FakeProxy("socks5", user="ann", password="secret") as two,
        ):
            write_keys(tmp_path, KEYS)
            write_proxies(tmp_path, url_of(one))
            async with gateway(tmp_path, configuration(fake, "pool")) as running:
                assert await chat(running) == 200
                assert (one.tunnels, two.tunnels) == (1, 0)
                write_proxies(tmp_path, url_of(two))
                await running.wait_log("proxies_synced", 2)
                assert await chat(running) == 200
                assert (one.tunnels, two.tunnels) == (1, 1)
                (tmp_path / "config.toml").write_text(configuration(fake, "sticky"))
                assert (await running.command("reload")).code == 0
                assert await chat(running) == 200
                assert (one.tunnels, two.tunnels, fake.connections) == (1, 1, 2)
            assert "secret" not in str(running.logs)

    run(scenario(), 60)


def test_a_dead_proxy_is_remembered_over_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, FakeProxy(user="ann", password="secret") as alive:
            async with FakeProxy(user="ann", password="secret") as dead:
                pass
            write_keys(tmp_path, KEYS)
            write_proxies(tmp_path, url_of(dead), url_of(alive))
            async with gateway(tmp_path, configuration(fake, "pool")) as running:
                assert [await chat(running) for _ in range(2)] == [200, 200]
            with sqlite3.connect(tmp_path / "state" / "llmgateway.db") as database:
                before = database.execute("SELECT digest, status, until FROM proxy_status ORDER BY digest").fetchall()
            assert {status for _, status, _ in before} == {"valid", "network_error"}
            async with gateway(tmp_path, configuration(fake, "pool")) as running:
                assert await chat(running) == 200
            with sqlite3.connect(tmp_path / "state" / "llmgateway.db") as database:
                after = database.execute("SELECT digest, status, until FROM proxy_status ORDER BY digest").fetchall()
            assert after == before

    run(scenario(), 60)


@pytest.mark.parametrize("kind", ["http", "socks5h"])
def test_a_dead_proxy_is_found_shown_and_found_back_without_a_request(tmp_path: Path, kind: str) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            FakeProxy(kind, user="ann", password="secret") as one,
            FakeProxy("http", user="ann", password="secret") as two,
        ):
            write_keys(tmp_path, KEYS)
            write_proxies(tmp_path, url_of(one), url_of(two))
            config = configuration(fake, "sticky", "check = 0.5\nrest = 0.5\nmax_rest = 0.5")
            async with gateway(tmp_path, config) as running:
                assert await chat(running) == 200
                await one.__aexit__()
                benched = await running.wait_log("proxy_benched")
                assert benched["proxy"] == one.url.fingerprint
                assert [await chat(running) for _ in range(8)] == [200] * 8
                async with one:
                    returned = await running.wait_log("proxy_returned")
                    assert returned["proxy"] == one.url.fingerprint
                    assert [await chat(running) for _ in range(8)] == [200] * 8
                keys = await running.command("keys", "list", "--json")
                assert {row["status"] for row in keys.json} <= {"valid", "untested"}
            assert "secret" not in str(running.logs)

    run(scenario(), 60)


def test_the_operator_lists_checks_and_clears_proxies(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, FakeProxy("socks5", user="ann", password="secret") as alive:
            async with FakeProxy(user="ann", password="secret") as dead:
                pass
            write_keys(tmp_path, KEYS)
            write_proxies(tmp_path, url_of(alive), url_of(dead))
            async with gateway(tmp_path, configuration(fake, "pool")) as running:
                checked = await running.command("proxies", "check", "--json")
                (check,) = checked.json["checks"]
                assert check["outcomes"] == {"network_error": 1, "success": 1}
                listed = await running.command("proxies", "list", "--json")
                statuses = {row["proxy"]: row["status"] for row in listed.json}
                assert statuses == {alive.url.fingerprint: "valid", dead.url.fingerprint: "network_error"}
                table = await running.command("proxies", "list", "--status", "network_error")
                assert dead.url.fingerprint in table.out and "refuses connections" in table.out
                assert alive.url.fingerprint not in table.out
                status = await running.command("status")
                assert "1 network_error, 1 valid" in status.out and "1 for main" in status.out
                assert "Resting proxies" in status.out and "proxy_failed" in status.out
                series = f'llm_gateway_proxies{{file="{tmp_path}/proxies/main.txt",status="network_error"}} 1'
                assert series in await metrics(running)
                cleared = await running.command("proxies", "clear", dead.url.authority)
                assert cleared.out.splitlines()[1].split() == [dead.url.fingerprint, "untested"]
                nobody = await running.command("proxies", "clear", "nobody:1")
                assert nobody.code == 1 and "no proxy matches 'nobody:1'" in nobody.err
                nobody = await running.command("proxies", "check", "nobody:1")
                assert nobody.code == 1 and "no proxy matches" in nobody.err
                said = [checked, listed, table, status, cleared]
                assert not [ended for ended in said if ended.code or "secret" in ended.out + ended.err]
            assert "secret" not in str(running.logs)

    run(scenario(), 60)
