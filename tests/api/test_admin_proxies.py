"""Proxies on the admin API: listed without passwords, checked, cleared, and counted in the status."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.config.proxyurl import ProxyUrl
from gateway.policy.proxyhealth import PROXY_FAILED
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool
from tests.api.harness import Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.provider import FakeProvider

URLS = [f"http://ann:secret-{n}@proxy-{n}.test:3128" for n in range(3)]
DOWN = Verdict(Scope.PROXY, Status.NETWORK_ERROR, PROXY_FAILED, evidence="refuses connections")
BLOCKED = Verdict(Scope.PROXY, Status.NO_ACCESS, "challenge_page", evidence="403 Just a moment…")


@asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[tuple[Gateway, ProxyPool]]:
    """Three proxies: the first works, the second is dead, the third is refused by the provider."""
    async with FakeProvider() as fake:
        more = '[providers.main.proxy]\nmode = "pool"'
        async with gateway(folder, configuration(fake.base_url, more=more)) as running:
            (pool,) = running.proxy_pools
            proxies = [Proxy(ProxyUrl.parse(url)) for url in URLS]
            pool.add(proxies)
            user = pool.user("main")
            user.succeed(pool.lend(proxies[0]))
            user.report(pool.lend(proxies[1]), DOWN)
            user.report(pool.lend(proxies[2]), BLOCKED)
            yield running, pool


async def listed(running: Gateway, query: str = "") -> list[str]:
    got = await running.administrate("GET", f"/admin/proxies?{query}")
    assert got.status == 200, got
    assert b"secret" not in got.body
    rows = got.json["proxies"]
    return [f"{row['proxy'][16:23]} {row['provider'] or 'all'} {row['status']}" for row in rows]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", ["proxy-0 all valid", "proxy-1 all network_error", "proxy-2 all untested", "proxy-2 main no_access"]),
        ("status=network_error,no_access", ["proxy-1 all network_error", "proxy-2 main no_access"]),
        ("pattern=*proxy-1*", ["proxy-1 all network_error"]),
        ("pattern=proxy-1.test:3128", ["proxy-1 all network_error"]),
        ("pattern=http://proxy-1.test:3128", ["proxy-1 all network_error"]),
        ("pattern=http://ann:****@proxy-1.test:3128", ["proxy-1 all network_error"]),
        ("pattern=proxy-1.test", []),
        ("limit=1", ["proxy-0 all valid"]),
    ],
)
def test_proxies_are_found_by_status_and_pattern(tmp_path: Path, query: str, rows: list[str]) -> None:
    async def scenario() -> None:
        async with proxied(tmp_path) as (running, _):
            assert await listed(running, query) == rows

    run(scenario())


def test_a_proxy_is_found_by_the_beginning_of_its_digest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(tmp_path) as (running, _):
            digest = ProxyUrl.parse(URLS[0]).digest.hex()
            assert await listed(running, f"pattern={digest[:8]}") == ["proxy-0 all valid"]
            assert await listed(running, f"pattern={digest[:7]}") == []

    run(scenario())


def test_a_row_says_why_and_until_when(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(tmp_path) as (running, pool):
            got = await running.administrate("GET", "/admin/proxies?pattern=*proxy-1*")
            (row,) = got.json["proxies"]
            assert got.json["total"] == 1
            assert row["until"] == pytest.approx(running.clock() + 60, abs=5)
            assert row.pop("until") > row.pop("checked_at") == row.pop("failing_since")
            assert row == {
                "file": pool.name,
                "proxy": "http://ann:****@proxy-1.test:3128",
                "digest": ProxyUrl.parse(URLS[1]).digest.hex()[:16],
                "provider": None,
                "status": "network_error",
                "reason": "proxy_failed",
                "last_error": "refuses connections",
                "failures": 1,
            }
            running.pass_time(61)
            assert "proxy-1 all untested" in await listed(running)

    run(scenario())


def test_a_cleared_proxy_is_used_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(tmp_path) as (running, pool):
            assert len(pool.user("main").choice.usable) == 1
            got = await running.administrate("POST", "/admin/proxies/clear", {"pattern": "*"})
            assert got.json["total"] == 3
            assert {row["status"] for row in got.json["changed"]} == {"untested"}
            assert b"secret" not in got.body
            assert len(pool.user("main").choice.usable) == 3
            got = await running.administrate("POST", "/admin/proxies/clear", {"pattern": "nobody*"})
            assert got.json == {"changed": [], "total": 0}

    run(scenario())


def test_proxies_that_differ_in_their_passwords_alone_are_told_apart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(tmp_path) as (running, pool):
            twins = [ProxyUrl.parse(f"http://bob:secret-{n}@twin.test:1") for n in range(2)]
            plain = ProxyUrl.parse("http://twin.test:1")
            pool.add([Proxy(url) for url in (*twins, plain)])
            for path in ("clear", "check"):
                for name in ("http://bob:****@twin.test:1", "twin.test:1"):
                    got = await running.administrate("POST", f"/admin/proxies/{path}", {"pattern": name})
                    assert (got.status, got.error["param"]) == (400, "pattern")
                    assert "proxies have that name; give the digest of one" in got.error["message"]
            for pattern, meant in (
                ("http://bob:secret-1@twin.test:1", [twins[1]]),
                (twins[0].digest.hex()[:12], [twins[0]]),
                ("http://twin.test:1", [plain]),
                ("http://bob*twin.test:1", twins),
            ):
                got = await running.administrate("POST", "/admin/proxies/clear", {"pattern": pattern})
                digests = {row["digest"] for row in got.json["changed"]}
                assert digests == {url.digest.hex()[:16] for url in meant}
                assert b"secret" not in got.body

    run(scenario())


def test_a_check_is_begun_for_each_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(tmp_path) as (running, pool):
            got = await running.administrate("POST", "/admin/proxies/check", {"pattern": "*"})
            assert got.json == {"checks": [{"check": "check of 3", "file": pool.name, "total": 3}]}
            got = await running.administrate("POST", "/admin/proxies/check", {"pattern": "nobody"})
            assert got.json == {"checks": []}

    run(scenario())


def test_the_status_groups_what_rests_with_its_last_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(tmp_path) as (running, pool):
            got = await running.administrate("GET", "/admin/status")
            assert str(tmp_path / "proxies/main.txt") in got.json["own_files"]
            (status,) = got.json["proxies"]
            groups: list[dict[str, Any]] = status.pop("groups")
            assert status == {
                "file": pool.name,
                "proxies": 3,
                "counts": {"network_error": 1, "no_access": 1, "valid": 1},
                "usable": {"main": 1},
                "files": [],
            }
            assert all(group.pop("until") > running.clock() for group in groups)
            assert groups == [
                {
                    "status": "network_error",
                    "reason": "proxy_failed",
                    "provider": None,
                    "proxies": 1,
                    "last_error": "refuses connections",
                },
                {
                    "status": "no_access",
                    "reason": "challenge_page",
                    "provider": "main",
                    "proxies": 1,
                    "last_error": "403 Just a moment…",
                },
            ]
            assert b"secret" not in got.body

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("GET", "/admin/proxies?status=weird", b"", 400, "status"),
        ("GET", "/admin/proxies?limit=many", b"", 400, "limit"),
        ("POST", "/admin/proxies/clear", {}, 400, "pattern"),
        ("POST", "/admin/proxies/check", {"pattern": 7}, 400, "pattern"),
        ("GET", "/admin/proxies/check", b"", 405, None),
    ],
)
def test_a_wrong_argument_is_named(
    tmp_path: Path, method: str, path: str, body: object, status: int, param: str | None
) -> None:
    async def scenario() -> None:
        async with proxied(tmp_path) as (running, pool):
            got = await running.administrate(method, path, body)
            assert (got.status, got.error["param"]) == (status, param)
            assert len(pool.user("main").choice.usable) == 1

    run(scenario())
