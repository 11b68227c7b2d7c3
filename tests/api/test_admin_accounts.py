"""`/admin/users…` and `/admin/tokens…`: what is made, listed and refused, and that it counts at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import AS_ANN, CHAT, TOKENS, Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.provider import FakeProvider

JWT = "[auth.jwt]\nsecret = '0123456789abcdef0123456789abcdef'\n"


async def created(running: Gateway, body: dict[str, Any], noun: str = "tokens") -> Any:
    got = await running.administrate("POST", f"/admin/{noun}", body)
    assert got.status == 200, got
    return got.json


async def use(running: Gateway, token: str, model: str = "gpt-4o-mini") -> int:
    headers = {"authorization": f"Bearer {token}"}
    return (await running.ask("POST", "/v1/chat/completions", {**CHAT, "model": model}, headers)).status


def test_a_token_is_shown_once_and_counts_until_it_is_revoked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            made = await created(running, {"user": "ann", "name": "ci", "models": ["gpt-4o-mini"], "expires_in": 60})
            token = made["token"]
            assert (await use(running, token), await use(running, token, "gpt-4o")) == (200, 403)
            listed = (await running.administrate("GET", "/admin/tokens?user=ann")).json
            assert listed["tokens"][0] == {
                name: value for name, value in made.items() if name not in ("token", "new_user")
            }
            assert [each["name"] for each in listed["tokens"]] == ["ci", "ann"]  # the latter of the configuration
            shown = await running.administrate("POST", "/admin/tokens/revoke", {"token": token})
            assert shown.json["revoked"]["state"] == "revoked" and token not in str(shown.json)
            assert await use(running, token) == 401
            again = await running.administrate("POST", "/admin/tokens/revoke", {"token": made["id"]})
            assert again.json == shown.json
            assert token not in str(running.lines)

    run(scenario())


def test_a_token_expires(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            token = (await created(running, {"user": "ann", "expires_in": 60}))["token"]
            assert await use(running, token) == 200
            running.clock.ahead = 61
            got = await running.ask("POST", "/v1/chat/completions", CHAT, {"authorization": f"Bearer {token}"})
            assert (got.status, got.error["message"]) == (401, "The API token has expired.")
            assert (await running.administrate("GET", "/admin/tokens")).json["tokens"][0]["state"] == "expired"

    run(scenario())


def test_a_body_that_comes_behind_its_head_is_not_waited_for_from_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            token = (await created(running, {"user": "ann"}))["token"]
            wrong = f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}"
            for credential, status in ((wrong, 401), (token, 100)):
                async with running.talk() as talk:
                    fields = {"authorization": f"Bearer {credential}", "content-length": "9", "expect": "100-continue"}
                    await talk.send("POST", "/v1/chat/completions", b"", fields)
                    assert (await talk.head()).status == status

    run(scenario())


def test_a_token_that_is_revoked_while_its_body_comes_counts_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            made = await created(running, {"user": "ann"})
            async with running.talk() as talk:
                fields = {"authorization": f"Bearer {made['token']}", "content-length": "2", "expect": "100-continue"}
                await talk.send("POST", "/v1/chat/completions", b"", fields)
                assert (await talk.head()).status == 100
                await running.administrate("POST", "/admin/tokens/revoke", {"token": made["id"]})
                await talk.send_raw(b"{}")
                assert (await talk.answer()).status == 401

    run(scenario())


def test_a_user_is_made_changed_and_shown_with_his_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            limits = {"requests_per_minute": 60, "concurrency": 2}
            made = await created(running, {"name": "a/n ü", "limits": limits, "note": "x"}, "users")
            assert made["user"]["limits"] == limits and made["user"]["balance"] == "0"
            place = "/admin/users/a%2Fn%20%C3%BC"
            got = await running.administrate("PATCH", place, {"limits": {"concurrency": 0}, "models": ["gpt-4o"]})
            assert got.json["user"]["limits"] == {"requests_per_minute": 60}
            token = await created(running, {"user": "a/n ü"})
            shown = (await running.administrate("GET", place)).json
            assert shown["user"] == {**got.json["user"], "models": ["gpt-4o"], "note": "x"}
            assert [each["id"] for each in shown["tokens"]] == [token["id"]]
            assert await use(running, token["token"]) == 403
            await running.administrate("PATCH", place, {"limits": None, "models": [], "disabled": False, "note": None})
            shown = (await running.administrate("GET", place)).json["user"]
            assert (shown["limits"], shown["models"], shown["note"]) == ({}, [], "")
            assert await use(running, token["token"]) == 200

    run(scenario())


def test_tokens_of_the_configuration_are_listed_and_revoked_there_alone(tmp_path: Path) -> None:
    more = "[tokens.alice]\ntoken = 'token-of-alice'\n[tokens.'b.c']\ntoken = 'token-of-bob'\nuser = 'bob'\n"

    async def scenario() -> None:
        async with gateway(tmp_path, configuration("http://127.0.0.1:1", more=more)) as running:
            made = await created(running, {"user": "bob"})
            listed = (await running.administrate("GET", "/admin/tokens?user=bob")).json
            assert [(each["id"], each["configured"]) for each in listed["tokens"]] == [(made["id"], False), ("", True)]
            assert listed["total"] == 2
            assert "token-of" not in str(listed)
            for called, place in (("alice", "[tokens.alice]"), ("token-of-bob", '[tokens."b.c"]')):
                got = await running.administrate("POST", "/admin/tokens/revoke", {"token": called})
                assert (got.status, got.code) == (409, "in_configuration")
                assert place in got.error["message"]
            got = await running.administrate("POST", "/admin/tokens/revoke", {"token": "alice", "user": "bob"})
            assert got.status == 404

    run(scenario())


def test_users_are_listed_a_page_at_a_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for name in ("c", "a", "b"):
                await created(running, {"name": name}, "users")
            listed = (await running.administrate("GET", "/admin/users?limit=2")).json
            assert ([user["name"] for user in listed["users"]], listed["total"]) == (["a", "b"], 3)
            listed = (await running.administrate("GET", "/admin/users?limit=2&after=b")).json
            assert [user["name"] for user in listed["users"]] == ["c"]

    run(scenario())


@pytest.mark.parametrize(("body", "said"), [({}, "missing"), ({"name": ""}, "empty"), ({"name": 1}, "a text")])
def test_what_is_wrong_with_a_name_is_said(tmp_path: Path, body: dict[str, object], said: str) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path, configuration("http://127.0.0.1:1")) as running:
            assert said in (await running.administrate("POST", "/admin/users", body)).error["message"]

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("POST", "/admin/users", {}, 400, "name"),
        ("POST", "/admin/users", {"name": ""}, 400, "name"),
        ("POST", "/admin/users", {"name": " a"}, 400, "name"),
        ("POST", "/admin/users", {"name": "a\nb"}, 400, "name"),
        ("POST", "/admin/users", {"name": "a" * 201}, 400, "name"),
        ("POST", "/admin/users", {"name": "ann"}, 409, "name"),
        ("POST", "/admin/users", {"name": "b", "limits": {"rpm": 1}}, 400, "limits"),
        ("POST", "/admin/users", {"name": "b", "limits": {"concurrency": 1.5}}, 400, "limits"),
        ("POST", "/admin/users", {"name": "b", "limits": [1]}, 400, "limits"),
        ("POST", "/admin/users", {"name": "b", "providers": ["mian"]}, 400, "providers"),
        ("POST", "/admin/users", {"name": "b", "models": "gpt-4o"}, 400, "models"),
        ("POST", "/admin/users", {"name": "b", "modles": []}, 400, "modles"),
        ("POST", "/admin/users", {"name": "b", "note": 7}, 400, "note"),
        ("GET", "/admin/users/bob", b"", 404, "name"),
        ("PATCH", "/admin/users/bob", {"disabled": True}, 404, "name"),
        ("PATCH", "/admin/users/ann", {"disabled": "yes"}, 400, "disabled"),
        ("PATCH", "/admin/users/ann", {"name": "bob"}, 400, "name"),
        ("DELETE", "/admin/users/ann", b"", 405, None),
        ("GET", "/admin/users/ann/more", b"", 404, None),
        ("GET", "/admin/usersandmore", b"", 404, None),
        ("GET", "/admin/users?limit=x", b"", 400, "limit"),
        ("POST", "/admin/tokens", {}, 400, "user"),
        ("POST", "/admin/tokens", {"user": "ann", "name": "a b"}, 400, "name"),
        ("POST", "/admin/tokens", {"user": "ann", "name": "there"}, 409, "name"),
        ("POST", "/admin/tokens", {"user": "ann", "scopes": ["root"]}, 400, "scopes"),
        ("POST", "/admin/tokens", {"user": "ann", "expires_in": 0}, 400, "expires_in"),
        ("POST", "/admin/tokens", {"user": "ann", "expires_in": True}, 400, "expires_in"),
        ("POST", "/admin/tokens", {"user": "ann", "expires_in": 1e300}, 400, "expires_in"),
        ("POST", "/admin/tokens/revoke", {"token": "nothing"}, 404, "token"),
        ("POST", "/admin/tokens/revoke", {"token": "there"}, 400, "token"),
        ("POST", "/admin/tokens/revoke", {"token": "there", "user": "carol"}, 404, "token"),
        ("POST", "/admin/tokens/revoke", {"token": "there", "user": "bob"}, 200, None),
        ("GET", "/admin/tokens/revoke", b"", 405, None),
        ("POST", "/admin/tokens/jwt", {"user": "ann", "ttl": 60}, 200, None),
        ("POST", "/admin/tokens/jwt", {"ttl": 60}, 400, "user"),
        ("POST", "/admin/tokens/jwt", {"user": "ann", "scopes": ["admin"]}, 409, None),  # auth.jwt.scopes
        ("POST", "/admin/tokens/jwt", {"user": "ann", "ttl": "60"}, 400, "ttl"),
        ("POST", "/admin/tokens/jwt", {"user": "ann", "models": ["m" * 9000]}, 400, None),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(
    tmp_path: Path, method: str, path: str, body: object, status: int, param: str | None
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=JWT)) as running:
            await created(running, {"name": "ann"}, "users")
            await created(running, {"user": "ann", "name": "there"})
            await created(running, {"user": "bob", "name": "there"})
            got = await running.administrate(method, path, body)
            assert got.status == status, got
            assert status == 200 or got.error["param"] == param
            assert status == 200 or not got.error["message"].endswith("?.")

    run(scenario())


def test_it_takes_an_admin_on_tcp(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            for path in ("/admin/users", "/admin/tokens"):
                assert (await running.ask("POST", path, {"name": "eve"}, AS_ANN)).status == 403
                assert (await running.ask("POST", path, {"name": "eve"})).status == 401
            assert (await running.administrate("GET", "/admin/users")).json["total"] == 0
            admin = (await created(running, {"user": "root", "scopes": ["admin"]}))["token"]
            headers = {"authorization": f"Bearer {admin}"}
            assert (await running.ask("POST", "/admin/users", {"name": "eve"}, headers)).status == 200

    run(scenario())


def test_a_json_web_token_is_signed_for_a_user(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = TOKENS + JWT
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            made = await created(running, {"user": "ann", "ttl": 60, "models": ["gpt-4o-mini"]}, "tokens/jwt")
            token = made["token"]
            assert (await use(running, token), await use(running, token, "gpt-4o")) == (200, 403)
            running.clock.ahead = 80  # with the leeway
            assert await use(running, token) == 401

    run(scenario())


@pytest.mark.parametrize(("size", "status"), [(20_000, 401), (1_000_000, 431)])
@pytest.mark.parametrize("form", ["a{0}", "{0}.{0}.{0}", "llmg-{0}-{0}"])
def test_a_token_of_any_length_is_refused(tmp_path: Path, form: str, size: int, status: int) -> None:
    token = form.format("a" * (size // form.count("{0}")))

    async def scenario() -> None:
        config = configuration("http://127.0.0.1:1/v1", more=TOKENS + JWT)
        async with gateway(tmp_path, config) as running:
            assert await use(running, token) == status
            assert await use(running, "sk-anything") == 401

    run(scenario())


def test_while_the_database_is_away_a_token_that_may_be_right_is_told_to_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            known = (await created(running, {"user": "ann"}))["token"]
            unseen = (await created(running, {"user": "bob"}))["token"]
            assert await use(running, known) == 200
            await running.database.close()
            assert await use(running, known) == 200
            got = await running.ask("POST", "/v1/chat/completions", CHAT, {"authorization": f"Bearer {unseen}"})
            assert (got.status, got.code, got.header("retry-after")) == (503, "store_unavailable", "5")
            assert await use(running, "sk-anything") == 401
            assert await use(running, "token-of-ann") == 200

    run(scenario())
