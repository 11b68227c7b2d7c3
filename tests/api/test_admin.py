"""The admin API: on its socket for everybody who gets in, on TCP with an admin token."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.api.admin_keys import BATCH
from gateway.config.provider import ProviderConfig
from gateway.errors import ConfigError, Problem, StartError, StoreUnavailable
from gateway.policy.verdict import Status
from gateway.secret import Secret
from tests.api.harness import AS_ANN, AS_ROOT, KEYS, TOKENS, Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    quota,
    rate_limited,
    server_error,
    unauthorized,
)
from tests.fakes.provider import FakeProvider
from tests.ports import free_port


async def keys_listed(running: Gateway, query: str) -> list[str]:
    got = await running.administrate("GET", f"/admin/keys?{query}")
    assert got.status == 200, got
    return [f"{row['provider']} {row['key'][-4:]} {row['status']}" for row in got.json["keys"]]


async def three_kinds(fake: FakeProvider, running: Gateway) -> None:
    """The first key limited, the second out of quota, the third valid."""
    fake.script(KEYS[0], rate_limited(100))
    fake.script(KEYS[1], quota())
    assert (await running.chat()).status == 200


@pytest.mark.parametrize(
    ("more", "headers", "status"),
    [
        ("", {}, 403),
        ("", AS_ROOT, 403),
        (TOKENS, {}, 401),
        (TOKENS, AS_ANN, 403),
        (TOKENS, {"x-api-key": "token-of-reader"}, 403),
        (TOKENS, AS_ROOT, 200),
    ],
)
@pytest.mark.parametrize("path", ["/admin/status", "/admin/keys"])
def test_on_tcp_an_admin_token_is_needed(
    tmp_path: Path, path: str, more: str, headers: dict[str, str], status: int
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            assert (await running.ask("GET", path, b"", headers)).status == status
            assert (await running.administrate("GET", path)).status == 200

    run(scenario())


def test_an_admin_token_counts_with_auth_off_too(tmp_path: Path) -> None:
    tokens = TOKENS.replace("required = true", "required = false")

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=tokens)) as running:
            assert (await running.ask("GET", "/admin/status", b"", AS_ROOT)).status == 200
            assert (await running.ask("GET", "/admin/status")).status == 403

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/admin/", 404, "not_found"),
        ("GET", "/admin/nothing", 404, "not_found"),
        ("GET", "/admin/keys/", 404, "not_found"),
        ("GET", "/admin/keys/disable", 405, "method_not_allowed"),
        ("POST", "/admin/status", 405, "method_not_allowed"),
        ("GET", "/admin/reload", 405, "method_not_allowed"),
        ("GET", "/admin/keys/export", 405, "method_not_allowed"),
        ("GET", "/admin/maintenance/purge", 405, "method_not_allowed"),
        ("POST", "/admin/maintenance/", 404, "not_found"),
    ],
)
def test_an_unknown_call_is_told_apart_from_a_wrong_method(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.administrate(method, path)
            assert (got.status, got.code) == (status, code)
            assert (got.header("allow") is not None) is (status == 405)

    run(scenario())


def test_status_masks_a_base_url_that_came_out_of_a_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "url").write_text("http://127.0.0.1:1/TOPSECRET")
        async with gateway(tmp_path, configuration("${file:url}")) as running:
            got = await running.administrate("GET", "/admin/status")
            assert [provider["base_url"] for provider in got.json["providers"]] == ["****"]

    run(scenario())


def test_status_groups_what_is_benched_by_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await three_kinds(fake, running)
            got = await running.administrate("GET", "/admin/status")
            assert got.json["config"] == str(tmp_path / "config.toml")
            assert (got.json["auth"], got.json["billing"]) == (False, False)
            assert got.json["inventory_problem"] == running.control.inventory_problem()
            (provider,) = got.json["providers"]
            groups = {group["status"]: group for group in provider.pop("groups")}
            recovery = provider.pop("next_recovery")
            assert provider == {
                "name": "main",
                "type": "openai",
                "base_url": fake.base_url,
                "keys": 3,
                "usable": 1,
                "due": 0,
                "waiting": 0,
                "counts": {"no_quota": 1, "rate_limited": 1, "valid": 1},
                "probing": "none",
                "to_probe": 0,
                "guard": None,
                "breakers": [],
                "outage": None,
                "files": [{"path": "keys/main.txt", "keys": 3}],
            }
            assert set(groups) == {"no_quota", "rate_limited"}
            limited = groups["rate_limited"]
            assert (limited["keys"], limited["reason"], limited["model"]) == (1, "rate_limited", None)
            assert "Rate limit reached" in limited["last_error"]
            assert limited["until"] == recovery > running.clock() + 90
            assert groups["no_quota"]["until"] > recovery

    run(scenario())


def test_status_says_which_usable_keys_are_only_due_for_a_try(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await three_kinds(fake, running)
            running.pass_time(40 * 86400.0)
            (provider,) = (await running.administrate("GET", "/admin/status")).json["providers"]
            (group,) = provider["groups"]
            assert (group["status"], group["keys"], group["due"], group["until"]) == ("no_quota", 1, "try", None)
            assert (provider["usable"], provider["due"]) == (3, 1)

    run(scenario())


def test_status_counts_only_keys_that_still_want_their_probe(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            standings = running.pool.standings
            standings.configure(ProviderConfig(name="main", type="openai", base_url=fake.base_url), "models")

            async def waiting() -> int:
                return int((await running.administrate("GET", "/admin/status")).json["providers"][0]["to_probe"])

            assert await waiting() == 3
            standings.disable(running.key(KEYS[0]))
            await running.chat()
            assert await waiting() == 1
            standings.configure(ProviderConfig(name="main", type="openai", base_url=fake.base_url), "none")
            assert not standings.probing.wanted

    run(scenario())


def test_status_counts_the_keys_that_closed_the_pool_once_each(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = "[queue]\ntimeout = 0.001"
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            for _ in KEYS:
                assert (await running.chat()).status == 200
            for key in KEYS:
                fake.script(key, unauthorized())
            for _ in range(5):
                await running.chat()
            (provider,) = (await running.administrate("GET", "/admin/status")).json["providers"]
            assert provider["guard"]["canaries"] > 0
            assert provider["guard"]["keys"] == 3
            assert provider["guard"]["cause"] == "egress_blocked" and provider["outage"] is None

    run(scenario())


@pytest.mark.parametrize(
    ("fault", "cause", "said"),
    [
        (server_error(529), "provider_down", "529"),
        (CloseBeforeAnswer(), "provider_down", "closed"),
        (Answer(403, b"<!DOCTYPE html><title>Just a moment...</title>"), "egress_blocked", "403 <!DOCTYPE"),
    ],
)
def test_status_names_the_cause_of_an_outage_until_somebody_gets_through(
    tmp_path: Path, fault: Behaviour, cause: str, said: str
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:

            async def status() -> dict[str, Any]:
                (provider,) = (await running.administrate("GET", "/admin/status")).json["providers"]
                return dict(provider)

            for key in KEYS:
                fake.script(key, fault)
            before = running.clock()
            assert (await running.chat()).status >= 400
            outage = (await status())["outage"]
            assert before <= outage.pop("since") <= running.clock()
            assert said in outage.pop("last_error")
            assert outage == {"cause": cause, "count": 3, "keys": 3, "proxy": None}
            await running.administrate("POST", "/admin/breakers/reset", {})
            assert (await status())["outage"] is None, "the operator knows better"
            assert (await running.chat()).status >= 400
            assert (await status())["outage"] is not None
            fake.script(KEYS[0], Answer())
            assert (await running.chat()).status == 200
            assert (await status())["outage"] is None

    run(scenario())


def test_status_knows_a_provider_that_nobody_listens_for_and_masks_what_it_repeats(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for key in KEYS:
                fake.script(key, Answer(500, {"error": {"message": f"{key} broke it"}}))
            await running.chat()
            (provider,) = (await running.administrate("GET", "/admin/status")).json["providers"]
            assert "broke it" in provider["outage"]["last_error"]
            assert not any(key in str(provider) for key in KEYS)
        async with gateway(tmp_path, configuration(f"http://127.0.0.1:{free_port()}/v1")) as running:
            await running.chat()
            (provider,) = (await running.administrate("GET", "/admin/status")).json["providers"]
            assert provider["outage"]["cause"] == "provider_down"
            assert provider["counts"] == {"untested": 3}

    run(scenario())


def test_looks_over_the_admin_socket_leave_no_line_in_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path, configuration("http://127.0.0.1:1", more=TOKENS)) as running:
            await running.administrate("GET", "/admin/status")
            await running.administrate("GET", "/admin/nowhere")
            await running.administrate("POST", "/admin/sync")
            await running.ask("GET", "/admin/status", b"", AS_ROOT)
            await running.logged(count=3)
            lines = [(line["method"], line["status"], line["client"]) for line in running.lines]
            assert [line[:2] for line in lines] == [("GET", 404), ("POST", 200), ("GET", 200)]
            assert lines[2][2] == "127.0.0.1"

    run(scenario())


def test_keys_are_listed_without_their_secrets(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await three_kinds(fake, running)
            got = await running.administrate("GET", "/admin/keys")
            assert got.json["total"] == 3
            assert not any(key.encode() in got.body for key in KEYS)
            row = got.json["keys"][0]
            assert row["checked_at"] is None and row["failing_since"] > 0
            known = {"provider", "key", "digest", "model", "status", "reason", "until", "provenance", "last_error"}
            assert set(row) == known | {"failing_since", "checked_at", "labels"}
            assert (row["status"], row["provenance"]) == ("rate_limited", "authoritative")
            assert row["model"] is None
            assert b"__ALL_MODELS__" not in got.body

    run(scenario())


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ("", ["main 0001 rate_limited", "main 0002 no_quota", "main 0003 valid", "second 0009 untested"]),
        ("provider=second", ["second 0009 untested"]),
        ("status=valid", ["main 0003 valid"]),
        ("status=no_quota,rate_limited", ["main 0001 rate_limited", "main 0002 no_quota"]),
        ("status=no_quota&status=valid", ["main 0002 no_quota", "main 0003 valid"]),
        ("provider=second&status=valid", []),
        ("pattern=sk-...0002", ["main 0002 no_quota"]),
        ("pattern=sk-%E2%80%A60002", ["main 0002 no_quota"]),
        ("pattern=*0003", ["main 0003 valid"]),
        ("pattern=*", ["main 0001 rate_limited", "main 0002 no_quota", "main 0003 valid", "second 0009 untested"]),
        ("pattern=sk-first-000000000001", ["main 0001 rate_limited"]),
        ("pattern=sk-first-00000000000", []),
        ("pattern=sk-first-000000000001&provider=second", []),
        ("limit=1", ["main 0001 rate_limited"]),
        ("limit=0", []),
    ],
)
def test_keys_are_found_by_provider_status_and_pattern(tmp_path: Path, query: str, listed: list[str]) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            more = f'[providers.second]\ntype = "openai"\nbase_url = "{fake.base_url}"\nmodels = ["b"]'
            keys = {"main": KEYS, "second": ["sk-other-000000000009"]}
            async with gateway(tmp_path, configuration(fake.base_url, more=more), keys) as running:
                await three_kinds(fake, running)
                assert await keys_listed(running, query) == listed

    run(scenario())


def test_a_key_is_found_by_the_beginning_of_its_digest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            digest = (await running.administrate("GET", "/admin/keys")).json["keys"][1]["digest"]
            assert await keys_listed(running, f"pattern={digest}") == ["main 0002 untested"]
            assert await keys_listed(running, f"pattern={digest[:8]}") == ["main 0002 untested"]
            assert await keys_listed(running, f"pattern={digest[:7]}") == []

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("GET", "/admin/keys?status=weird", b"", 400, "status"),
        ("GET", "/admin/keys?limit=-1", b"", 400, "limit"),
        ("GET", "/admin/keys?limit=many", b"", 400, "limit"),
        ("GET", "/admin/keys?limit=9999999999", b"", 400, "limit"),
        ("GET", "/admin/keys?provider=nobody", b"", 404, "provider"),
        ("POST", "/admin/keys/disable", b"", 400, None),
        ("POST", "/admin/keys/disable", b"[]", 400, None),
        ("POST", "/admin/keys/disable", {}, 400, "pattern"),
        ("POST", "/admin/keys/disable", {"pattern": ""}, 400, "pattern"),
        ("POST", "/admin/keys/disable", {"pattern": 7}, 400, "pattern"),
        ("POST", "/admin/keys/clear", {"pattern": "*", "provider": "nobody"}, 404, "provider"),
        ("POST", "/admin/keys/clear", {"pattern": "*", "provider": 7}, 400, "provider"),
        ("POST", "/admin/keys/export", {"status": "weird"}, 400, "status"),
        ("POST", "/admin/keys/export", {"provider": "nobody"}, 404, "provider"),
        ("POST", "/admin/keys/export", {"pattern": 7}, 400, "pattern"),
    ],
)
def test_a_wrong_argument_is_named(
    tmp_path: Path, method: str, path: str, body: object, status: int, param: str | None
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.administrate(method, path, body)
            assert (got.status, got.error["param"]) == (status, param)
            assert running.pool.standings.counts[Status.UNTESTED] == 3

    run(scenario())


def test_the_operators_word_is_disable_enable_and_clear(tmp_path: Path) -> None:
    async def change(running: Gateway, verb: str, pattern: str) -> dict[str, Any]:
        got = await running.administrate("POST", f"/admin/keys/{verb}", {"pattern": pattern})
        assert got.status == 200
        answer: dict[str, Any] = got.json
        return answer

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await three_kinds(fake, running)
            digest = Secret(KEYS[2]).digest.hex()[:16]
            assert await change(running, "disable", "*0003") == {
                "changed": [{"provider": "main", "key": "sk-…0003", "digest": digest, "status": "disabled"}],
                "total": 1,
                "matched": 1,
            }
            assert (await running.chat()).code == "keys_cooling"
            fake.script(KEYS[0])
            assert (await change(running, "clear", "*0001"))["changed"][0]["status"] == "untested"
            assert (await running.chat()).status == 200
            enabled = await change(running, "enable", "*")
            assert (enabled["changed"][0]["key"], enabled["total"], enabled["matched"]) == ("sk-…0003", 1, 3)
            assert await keys_listed(running, "") == ["main 0001 valid", "main 0002 no_quota", "main 0003 untested"]
            assert await change(running, "disable", "nobody*") == {"changed": [], "total": 0, "matched": 0}
            assert (await change(running, "disable", KEYS[0]))["total"] == 1
            assert await keys_listed(running, "status=disabled") == ["main 0001 disabled"]
            assert not any(KEYS[0] in str(line) for line in running.lines)

    run(scenario())


def test_an_amnesty_tells_of_those_alone_that_were_benched(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await three_kinds(fake, running)
            got = (await running.administrate("POST", "/admin/keys/amnesty", {"pattern": "*"})).json
            assert [row["key"] for row in got["changed"]] == ["sk-…0001", "sk-…0002"]
            assert (got["total"], got["matched"]) == (2, 3)

    run(scenario())


ALIKE = ["sk-first-000000000007", "sk-second-00000000007"]


@pytest.mark.parametrize("verb", ["disable", "enable", "clear", "amnesty", "check"])
def test_nothing_is_done_to_keys_that_have_one_name(tmp_path: Path, verb: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), {"main": ALIKE}) as running:
            digest = Secret(ALIKE[1]).digest.hex()
            got = await running.administrate("POST", f"/admin/keys/{verb}", {"pattern": "sk-...0007"})
            assert (got.status, got.error["param"]) == (400, "pattern")
            assert "2 keys have that name; give the digest of one" in got.error["message"]
            assert await keys_listed(running, "status=untested") == ["main 0007 untested"] * 2
            for pattern in (ALIKE[1], digest[:12], "sk-*0007", "*"):
                assert (await running.administrate("POST", f"/admin/keys/{verb}", {"pattern": pattern})).status == 200

    run(scenario())


def test_a_key_of_two_providers_is_one_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            more = f'[providers.second]\ntype = "openai"\nbase_url = "{fake.base_url}"\nmodels = ["b"]'
            keys = {"main": KEYS, "second": KEYS[:1]}
            async with gateway(tmp_path, configuration(fake.base_url, more=more), keys) as running:
                got = await running.administrate("POST", "/admin/keys/disable", {"pattern": "sk-...0001"})
                assert [row["provider"] for row in got.json["changed"]] == ["main", "second"]

    run(scenario())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("status=bogus", "There is no status 'bogus'; there are: untested, valid, suspect, invalid_key, "),
        ("provider=mian", "There is no provider 'mian'; did you mean \"main\"?"),
        ("provider=x", "There is no provider 'x'; there are: main"),
    ],
)
def test_an_unknown_word_is_answered_with_those_there_are(tmp_path: Path, query: str, words: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            assert words in (await running.administrate("GET", f"/admin/keys?{query}")).error["message"]

    run(scenario())


def test_the_operators_word_is_saved_before_it_is_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:

            async def stored() -> set[str]:
                rows = await running.database.fetch("SELECT status FROM key_status")
                assert len(rows) == len(KEYS)
                return {str(status) for (status,) in rows}

            for verb, status in (
                ("disable", "disabled"),
                ("enable", "untested"),
                ("disable", "disabled"),
                ("clear", "untested"),
            ):
                assert (await running.administrate("POST", f"/admin/keys/{verb}", {"pattern": "*"})).status == 200
                assert await stored() == {status}
            running.control.failure = StoreUnavailable("the change counts, but could not be saved", detail="full")
            got = await running.administrate("POST", "/admin/keys/disable", {"pattern": "*"})
            assert (got.status, got.code) == (503, "store_unavailable")
            assert "counts, but could not be saved: full" in got.error["message"]
            assert running.pool.standings.counts[Status.DISABLED] == len(KEYS)

    run(scenario())


def test_sync_and_reload_are_the_daemons(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            assert (await running.administrate("POST", "/admin/sync")).json["main"]["keys"] == 3
            assert (await running.administrate("POST", "/admin/reload")).json["changed"] == ["queue"]
            running.control.failure = ConfigError([Problem("config.toml", "queue.max", "must be a number")])
            got = await running.administrate("POST", "/admin/reload")
            assert (got.status, got.code) == (409, "config_error")
            assert got.error["problems"] == ["config.toml: queue.max: must be a number"]
            running.control.failure = StartError("cannot listen on :80", detail="in use")
            got = await running.administrate("POST", "/admin/reload")
            assert (got.status, got.code) == (409, "reload_failed")
            assert "cannot listen on :80: in use" in got.error["message"]
            running.control.failure = StoreUnavailable("the database is locked")
            got = await running.administrate("POST", "/admin/sync")
            assert (got.status, got.code) == (503, "store_unavailable")

    run(scenario())


@pytest.mark.parametrize("task", ["purge", "vacuum", "checkpoint"])
def test_maintenance_is_the_daemons(tmp_path: Path, task: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            assert (await running.administrate("POST", f"/admin/maintenance/{task}")).json == {"task": task}
            running.control.failure = StoreUnavailable("the database is away", detail="full", hint="make room")
            got = await running.administrate("POST", f"/admin/maintenance/{task}")
            assert (got.status, got.code) == (503, "store_unavailable")
            assert "the database is away: full; make room" in got.error["message"]

    run(scenario())


@pytest.mark.parametrize("path", ["/admin/sync", "/admin/reload", "/admin/maintenance/purge"])
def test_a_gateway_with_another_configuration_is_left_alone(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            mine = tmp_path / "config.toml"
            got = await running.administrate("POST", path, {"config": str(tmp_path / "other.toml")})
            assert (got.status, got.code) == (409, "other_config")
            assert str(mine) in got.error["message"]
            assert (await running.administrate("POST", path, {"config": str(mine)})).status == 200
            assert (await running.administrate("POST", path, {})).status == 200
            assert (await running.administrate("POST", path, b"[]")).status == 400

    run(scenario())


def test_a_keys_evidence_never_shows_the_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            answer = unauthorized()
            message = {"error": {"message": f"Incorrect API key provided: {KEYS[0]}.", "code": "invalid_api_key"}}
            fake.script(KEYS[0], type(answer)(401, message))
            await running.chat()
            got = await running.administrate("GET", "/admin/keys?status=suspect")
            assert KEYS[0].encode() not in got.body
            assert "Incorrect API key provided: sk-…0001" in got.json["keys"][0]["last_error"]

    run(scenario())


def test_the_admin_socket_serves_models_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            got = await running.administrate("POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": []})
            assert (got.status, got.header("x-llmgateway-key")) == (200, "sk-...0001")
            assert (await running.administrate("GET", "/metrics")).status == 200

    run(scenario())


async def exported(running: Gateway, **asked: object) -> list[dict[str, Any]]:
    got = await running.administrate("POST", "/admin/keys/export", asked)
    assert (got.status, got.header("content-type"), got.complete) == (200, "application/x-ndjson", True)
    return [json.loads(line) for line in got.body.splitlines()]


@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        ({}, ["0001", "0002", "0003"]),
        ({"status": "valid"}, ["0003"]),
        ({"status": "valid,no_quota"}, ["0002", "0003"]),
        ({"pattern": "*0002", "provider": "main"}, ["0002"]),
        ({"status": "disabled"}, []),
    ],
)
def test_keys_are_exported_a_line_each_without_their_secrets(
    tmp_path: Path, asked: dict[str, object], listed: list[str]
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await three_kinds(fake, running)
            rows = await exported(running, **asked)
            assert [row["key"][-4:] for row in rows] == listed
            assert not any("value" in row or set(KEYS) & set(map(str, row.values())) for row in rows)

    run(scenario())


def test_the_keys_themselves_are_exported_on_the_admin_socket_and_to_no_token(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            assert [row["value"] for row in await exported(running, full=True)] == list(KEYS)
            full = {"full": True}
            for headers, status in ((AS_ROOT, 403), (AS_ANN, 403), ({"x-api-key": "token-of-reader"}, 403), ({}, 401)):
                got = await running.ask("POST", "/admin/keys/export", full, headers)
                assert got.status == status
                assert not any(key.encode() in got.body for key in KEYS)
            got = await running.ask("POST", "/admin/keys/export", {}, AS_ROOT)
            assert got.status == 200 and not any(key.encode() in got.body for key in KEYS)
            assert not any(key in str(running.lines) for key in KEYS)

    run(scenario())


def test_many_keys_hold_nobody_up(tmp_path: Path) -> None:
    """Counted in turns of the loop: whoever waits for one is served in between."""
    keys = [f"sk-many-{n:012}" for n in range(20_000)]

    async def turns(running: Gateway, method: str, path: str, body: object = b"") -> int:
        count = 0
        asked = asyncio.ensure_future(running.administrate(method, path, body))
        while not asked.done():
            count += 1
            await asyncio.sleep(0)
        assert (await asked).status == 200
        return count

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), keys) as running:
            enough = len(keys) // BATCH
            assert await turns(running, "GET", "/admin/status") >= enough
            assert await turns(running, "GET", "/admin/keys?pattern=nothing") >= enough
            assert await turns(running, "POST", "/admin/keys/export", {"full": True}) >= enough
            assert await turns(running, "POST", "/admin/keys/disable", {"pattern": "*"}) >= enough
            assert running.pool.standings.counts[Status.DISABLED] == len(keys)

    run(scenario())
