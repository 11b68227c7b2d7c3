"""Users and API tokens from the command line, against a gateway that runs; and the first admin token."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from gateway.store import open_store
from gateway.store.accounts import AccountStore
from tests.conductor.issuer import Issuer, key_server
from tests.conftest import run
from tests.e2e.process import GatewayProcess, gateway, one_provider, write_keys
from tests.fakes.provider import FakeProvider

AUTH = "[auth]\nrequired = true\n"
JWT = "[auth.jwt]\nsecret = '0123456789abcdef0123456789abcdef'\nissuer = 'us'\naudience = ['gateway']\n"
CHAT = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi."}]}).encode()
KEY = "sk-one-0000000000000001"


def ask(address: str, token: str, path: str = "/v1/chat/completions", body: bytes | None = CHAT) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    try:
        with urlopen(Request(address + path, body, headers), timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


async def status_of(running: GatewayProcess, token: str, **where: Any) -> int:
    status, _ = await asyncio.to_thread(ask, running.address, token, **where)
    return status


async def created(running: GatewayProcess, *words: str) -> str:
    ended = await running.command("tokens", "create", *words)
    assert ended.code == 0, ended.err
    return ended.out.strip()


def test_the_first_admin_token_is_in_a_file_that_others_cannot_read_and_in_no_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [KEY])
            config = one_provider(fake.base_url, more=AUTH)
            async with gateway(tmp_path, config) as running:
                path = Path((await running.wait_log("admin_token_made"))["path"])
                assert path == tmp_path / "state" / "admin.token"
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                token = path.read_text().strip()
                assert token.startswith("llmg-") and token not in str(running.logs) + "".join(running.other_lines)
                assert await status_of(running, token, path="/admin/users", body=None) == 200
                assert await status_of(running, "", path="/admin/users", body=None) == 401
            async with gateway(tmp_path, config) as again:  # there is one now
                assert path.read_text().strip() == token
                assert await status_of(again, token, path="/admin/users", body=None) == 200
                assert not [line for line in again.logs if line["event"] == "admin_token_made"]

    run(scenario(), 60)


def test_a_reload_that_turns_auth_on_makes_the_first_admin_token(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [KEY])
            async with gateway(tmp_path, one_provider(fake.base_url)) as running:
                assert await status_of(running, "") == 200
                running.config.write_text(one_provider(fake.base_url, more=AUTH))
                assert (await running.command("reload")).code == 0
                token = Path((await running.wait_log("admin_token_made"))["path"]).read_text().strip()
                assert [await status_of(running, each) for each in ("", token)] == [401, 200]

    run(scenario(), 60)


def test_a_token_is_made_used_and_revoked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [KEY])
            async with gateway(tmp_path, one_provider(fake.base_url, more=AUTH)) as running:
                ended = await running.command("users", "create", "ann", "--limit", "rpm=600", "--note", "pays late")
                assert ended.code == 0, ended.err
                token = await created(running, "--user", "ann", "--name", "laptop", "--expires", "30d")
                assert await status_of(running, token) == 200
                assert await status_of(running, token, path="/admin/users", body=None) == 403
                listed = await running.command("tokens", "list", "--user", "ann", "--json")
                (row,) = listed.json
                assert (row["name"], row["state"], row["scopes"]) == ("laptop", "valid", ["use"])
                assert token not in listed.out and row["id"] in token
                twice = await running.command("tokens", "create", "--user", "ann", "--name", "laptop")
                assert twice.code == 1 and "already" in twice.err
                revoked = await running.command("tokens", "revoke", "laptop")
                assert (revoked.code, revoked.out) == (0, "revoked: token laptop of ann\n")
                assert await status_of(running, token) == 401
                again = await running.command("tokens", "revoke", "laptop")
                assert again.code == 1 and "No token" in again.err

    run(scenario(), 60)


def test_a_disabled_user_is_refused_until_he_is_enabled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [KEY])
            async with gateway(tmp_path, one_provider(fake.base_url, more=AUTH)) as running:
                await running.command("users", "create", "ann")
                token = await created(running, "--user", "ann")
                assert await status_of(running, token) == 200
                ended = await running.command("users", "disable", "ann")
                assert (ended.code, ended.out) == (0, "ann: disabled\n")
                status, body = await asyncio.to_thread(ask, running.address, token)
                assert (status, body["error"]["code"]) == (403, "permission_denied")
                assert "disabled" in body["error"]["message"]
                await running.command("users", "enable", "ann")
                assert await status_of(running, token) == 200
                nobody = await running.command("users", "disable", "bob")
                assert nobody.code == 1 and "no user 'bob'" in nobody.err

    run(scenario(), 60)


def test_users_are_listed_and_limited(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [KEY])
            async with gateway(tmp_path, one_provider(fake.base_url, more=AUTH)) as running:
                none = await running.command("users", "list")
                assert none.code == 0 and "users create" in none.err
                await running.command("users", "create", "bob", "--provider", "main", "--model", "gpt-4o-mini")
                await running.command("users", "create", "a/n n", "--limit", "tpm=5")
                ended = await running.command("users", "set-limit", "a/n n", "rpm=60", "concurrency=2")
                assert ended.out == "a/n n: limited to rpm=60 tpm=5 concurrency=2\n"
                listed = (await running.command("users", "list", "--json")).json
                assert [(row["name"], row["limits"]) for row in listed] == [
                    ("a/n n", {"requests_per_minute": 60, "tokens_per_minute": 5, "concurrency": 2}),
                    ("bob", {}),
                ]
                table = await running.command("users", "list")
                assert "provider:main model:gpt-4o-mini" in table.out
                ended = await running.command("users", "set-limit", "a/n n", "--none")
                assert ended.out == "a/n n: limited to what is configured\n"
                await created(running, "--user", "bob", "--name", "ci", "--scope", "read")
                shown = await running.command("users", "show", "bob")
                assert "ci" in shown.out and "read" in shown.out
                ended = await running.command("users", "allow", "bob", "--model", "gpt-4o", "--model", "tts-1")
                assert ended.out == "bob: may use model:gpt-4o model:tts-1\n"
                ended = await running.command("users", "allow", "bob", "--all")
                assert ended.out == "bob: may use everything\n"
                neither = await running.command("users", "allow", "bob")
                assert neither.code == 1 and "--all" in neither.err
                wrong = await running.command("users", "set-limit", "bob", "rpn=1")
                assert wrong.code == 2 and "rpm" in wrong.err

    run(scenario(), 60)


def test_a_json_web_token_is_signed_and_believed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [KEY])
            async with gateway(tmp_path, one_provider(fake.base_url, more=AUTH + JWT)) as running:
                ended = await running.command(
                    "tokens", "jwt", "--user", "ann", "--ttl", "30m", "--model", "gpt-4o-mini", "--limit", "rpm=9"
                )
                assert ended.code == 0, ended.err
                token = ended.out.strip()
                assert await status_of(running, token) == 200
                assert (await running.wait_log("request", 2))["user"] == "ann"  # the first one signed the token
                other = CHAT.replace(b"gpt-4o-mini", b"tts-1")
                assert await status_of(running, token, body=other) == 403
                assert await status_of(running, token[:-6] + "AAAAAA") == 401
                await running.command("users", "create", "ann")
                await running.command("users", "disable", "ann")
                assert await status_of(running, token) == 403

    run(scenario(), 60)


def test_an_issuers_tokens_are_believed_by_its_keys_at_a_url(tmp_path: Path) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        async with FakeProvider() as fake, key_server(issuer.document()) as server:
            write_keys(tmp_path, [KEY])
            jwt = f"[auth.jwt]\njwks_url = '{server.url}'\nissuer = 'them'\naudience = ['gateway']\n"
            async with gateway(tmp_path, one_provider(fake.base_url, more=AUTH + jwt)) as running:
                claims = {"sub": "ann", "iss": "them", "aud": "gateway", "exp": time.time() + 60}
                for algorithm in ("RS256", "ES256", "EdDSA"):
                    assert await status_of(running, issuer.sign(claims, algorithm)) == 200
                assert await status_of(running, Issuer().sign(claims)) == 401
                assert await status_of(running, issuer.sign({**claims, "exp": time.time() - 60})) == 401
                assert await status_of(running, "a" * 9000 + "." + issuer.sign(claims).partition(".")[2]) == 401
                assert server.asked == 1

    run(scenario(), 60)


def test_without_a_secret_no_json_web_token_is_signed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [KEY])
            async with gateway(tmp_path, one_provider(fake.base_url, more=AUTH)) as running:
                ended = await running.command("tokens", "jwt", "--user", "ann")
                assert ended.code == 1 and "auth.jwt.secret" in ended.err

    run(scenario(), 60)


def test_another_process_revokes_within_a_second(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, [KEY])
            async with gateway(tmp_path, one_provider(fake.base_url, more=AUTH)) as running:
                token = await created(running, "--user", "ann")
                assert await status_of(running, token) == 200
                database = await open_store("sqlite:llmgateway.db", tmp_path / "state")
                try:
                    assert await AccountStore(database).revoke_token(token.split("-")[1], 1.0)
                finally:
                    await database.close()
                async with asyncio.timeout(10):  # half a second, on a machine that has nothing else to do
                    while await status_of(running, token) != 401:
                        pass

    run(scenario(), 60)
