"""Who is asking: the places of a credential, tokens and what they may, and what auth being off means."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.conductor.auth import Authenticator, Identity, find_credential, without_credential
from gateway.config.model import Config, TokenConfig
from gateway.errors import RequestError
from gateway.secret import Secret
from tests.api.harness import AS_ANN, AS_ROOT, CHAT, TOKENS, configuration, gateway
from tests.conftest import run
from tests.fakes.provider import FakeProvider

TOKEN = "token-of-ann"
CONFIG = Config(
    tokens={
        "ann": TokenConfig(Secret(TOKEN), user="Ann", providers=("main",), models=("gpt-4o",), default_provider="main"),
        "root": TokenConfig(Secret("token-of-root"), user="root", scopes=("admin",)),
    }
)


@pytest.mark.parametrize(
    ("fields", "query", "found"),
    [
        ({b"authorization": b"Bearer abc"}, "", b"abc"),
        ({b"authorization": b"bearer   abc "}, "", b"abc"),
        ({b"x-api-key": b"abc"}, "", b"abc"),
        ({b"api-key": b" abc"}, "", b"abc"),
        ({b"x-goog-api-key": b"abc"}, "", b"abc"),
        ({}, "key=abc", b"abc"),
        ({}, "alt=sse&key=a%2Bb+c&x=1", b"a+b c"),
        ({b"authorization": b"Bearer abc", b"x-api-key": b"other"}, "key=third", b"abc"),
        ({b"authorization": b"Bearer ", b"x-api-key": b"abc"}, "", b"abc"),
        ({b"authorization": b"Basic dTpw", b"x-api-key": b"abc"}, "", b"abc"),
        ({b"authorization": b"abc"}, "", b""),
        ({b"cookie": b"key=abc"}, "monkey=abc", b""),
        ({}, "key=", b""),
        ({}, "", b""),
    ],
)
def test_a_credential_is_found_wherever_sdks_put_it(fields: dict[bytes, bytes], query: str, found: bytes) -> None:
    assert find_credential(fields, query) == found


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ""),
        ("key=abc", ""),
        ("a=1&key=abc&b=%20", "a=1&b=%20"),
        ("key=abc&key=def&x", "x"),
        ("monkey=1&keys=2", "monkey=1&keys=2"),
        ("key&x=1", "x=1"),
        ("%6Bey=abc&x=1", "x=1"),
        ("access_token=abc&%6Fauth_token=def&x=1", "x=1"),
    ],
)
def test_the_credential_in_a_query_goes_no_further(query: str, left: str) -> None:
    assert without_credential(query) == left


def known(authenticator: Authenticator, credential: bytes) -> Identity:
    """Who that is, remembered or not."""
    fields = {b"x-api-key": credential}
    known = authenticator.identify(fields, "", "10.0.0.9") or run(authenticator.look_up(fields, "", "10.0.0.9"))
    assert known is not None
    return known


def identify(credential: bytes, *, required: bool) -> str:
    identity = known(Authenticator(CONFIG, required), credential)
    return f"{identity.user} {identity.token}".strip()


@pytest.mark.parametrize(
    ("credential", "required", "who"),
    [
        (TOKEN.encode(), True, "Ann ann"),
        (TOKEN.encode(), False, "Ann ann"),
        (b"sk-anything", False, "10.0.0.9"),
        (b"", False, "10.0.0.9"),
        (b"x" * 9000, False, "10.0.0.9"),
    ],
)
def test_a_known_token_applies_whether_auth_is_on_or_off(credential: bytes, required: bool, who: str) -> None:
    assert identify(credential, required=required) == who


def test_who_shows_nothing_is_nobody_when_auth_is_on() -> None:
    assert Authenticator(CONFIG, required=True).identify({b"x-api-key": b""}, "", "10.0.0.9") is None


@pytest.mark.parametrize("credential", [b"token-of-an", b"token-of-ann2", b"\xff\x00", b"x" * 9000])
def test_an_unknown_token_is_refused_when_auth_is_on(credential: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        identify(credential, required=True)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert credential.decode("latin-1") not in caught.value.message


def test_a_token_has_the_scopes_of_its_table_and_an_admin_has_all() -> None:
    authenticator = Authenticator(CONFIG, required=True)
    ann, root = known(authenticator, TOKEN.encode()), known(authenticator, b"token-of-root")
    nobody = known(Authenticator(Config(), required=False), b"")
    assert [ann.may(scope) for scope in ("use", "read", "admin")] == [True, False, False]
    assert [root.may(scope) for scope in ("use", "read", "admin")] == [True, True, True]
    assert [nobody.may(scope) for scope in ("use", "read", "admin")] == [True, True, False]
    assert known(Authenticator.of_operator(), b"").may("admin")


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        (AS_ANN, "", 200),
        ({"x-api-key": TOKEN}, "", 200),
        ({"api-key": TOKEN}, "", 200),
        ({"x-goog-api-key": TOKEN}, "", 200),
        ({}, f"?key={TOKEN}", 200),
        ({}, "", 401),
        ({"authorization": "Bearer token-of-nobody"}, "", 401),
        ({"x-api-key": "token-of-nobody"}, "", 401),
        ({}, "?key=token-of-nobody", 401),
        ({"authorization": "Bearer token-of-reader"}, "", 403),
        (AS_ROOT, "", 200),
    ],
)
def test_requests_need_a_token_when_auth_is_on(
    tmp_path: Path, headers: dict[str, str], query: str, status: int
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            got = await running.ask("POST", f"/v1/chat/completions{query}", CHAT, headers)
            assert got.status == status
            codes = {401: "invalid_api_key", 403: "permission_denied"}
            assert status == 200 or got.code == codes[status]
            assert (got.header("www-authenticate") is not None) is (status == 401)
            line = await running.logged()
            assert "token-of" not in str(line) and "key=" not in str(line["path"])
            for seen in fake.requests:
                assert "token-of" not in str(seen) and seen.path == "/v1/chat/completions"

    run(scenario())


def test_a_keys_fingerprint_is_shown_to_admins_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            got = await running.ask("POST", "/v1/chat/completions", CHAT, AS_ROOT)
            assert got.header("x-llmgateway-key") == "sk-...0001"
            got = await running.ask("POST", "/v1/chat/completions", CHAT, AS_ANN)
            assert got.header("x-llmgateway-key") is None

    run(scenario())


def test_the_record_names_the_user_and_never_the_token(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            await running.ask("POST", "/v1/chat/completions", CHAT, AS_ANN)
            line = await running.logged()
            assert (line["user"], line["token"]) == ("ann", "ann")

    run(scenario())


LIMITED = """
[auth]
required = true
[tokens.ann]
token = "token-of-ann"
providers = ["second"]
[tokens.bob]
token = "token-of-bob"
models = ["gpt-4o"]
[tokens.eve]
token = "token-of-eve"
default_provider = "second"
"""


@pytest.mark.parametrize(
    ("who", "path", "model", "status", "provider"),
    [
        ("ann", "/v1/chat/completions", "gpt-4o", 200, "second"),
        ("ann", "/v1/chat/completions", "second/gpt-4o", 200, "second"),
        ("ann", "/v1/chat/completions", "main/gpt-4o", 403, ""),
        ("ann", "/v1/chat/completions", "only-main", 403, ""),
        ("ann", "/p/main/v1/chat/completions", "gpt-4o", 403, ""),
        ("ann", "/p/second/v1/chat/completions", "gpt-4o", 200, "second"),
        ("bob", "/v1/chat/completions", "gpt-4o", 200, "main"),
        ("bob", "/v1/chat/completions", "gpt-4o-mini", 403, ""),
        ("bob", "/v1/chat/completions", "main/gpt-4o-mini", 403, ""),
        ("bob", "/p/main/v1/chat/completions", "gpt-4o-mini", 403, ""),
        ("bob", "/v1/responses", "gpt-4o-mini", 403, ""),
        ("eve", "/v1/chat/completions", "unheard-of", 200, "second"),
        ("eve", "/v1/chat/completions", "gpt-4o", 200, "main"),
    ],
)
def test_a_token_is_held_to_its_providers_and_models(
    tmp_path: Path, who: str, path: str, model: str, status: int, provider: str
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            more = f"""
[providers.second]
type = "openai"
base_url = "{fake.base_url}"
models = ["gpt-4o"]
{LIMITED}"""
            config = configuration(
                fake.base_url, provider='models = ["gpt-4o", "gpt-4o-mini", "only-main"]\npriority = 1', more=more
            )
            async with gateway(tmp_path, config, {"main": ["sk-main"], "second": ["sk-second"]}) as running:
                headers = {"authorization": f"Bearer token-of-{who}"}
                got = await running.ask("POST", path, {**CHAT, "model": model, "input": "x"}, headers)
                assert got.status == status
                assert status == 200 or got.code == "permission_denied"
                assert got.header("x-llmgateway-provider") == (provider or None)
                assert [seen.key for seen in fake.requests] == ([f"sk-{provider}"] if provider else [])

    run(scenario())


BOB = """
[tokens.bob]
token = "token-of-bob"
models = ["gpt-4o"]
"""


def test_a_response_does_not_lend_its_continuation_another_model(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=BOB)) as running:
            bob = {"authorization": "Bearer token-of-bob"}
            await running.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "x"}, bob)
            (made,) = fake.response_owner
            asked = {"model": "gpt-4o-mini", "input": "x", "previous_response_id": made}
            got = await running.ask("POST", "/v1/responses", asked, bob)
            assert (got.status, got.code) == (403, "permission_denied")

    run(scenario())


def test_a_body_with_two_models_is_not_sent_for_a_token_that_is_for_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=BOB)) as running:
            body = b'{"model": "gpt-4o-mini", "messages": [], "model": "gpt-4o"}'
            json_ = {"content-type": "application/json"}
            got = await running.ask(
                "POST", "/v1/chat/completions", body, json_ | {"authorization": "Bearer token-of-bob"}
            )
            assert (got.status, got.code, fake.requests) == (400, "invalid_request_error", [])
            assert (await running.ask("POST", "/v1/chat/completions", body, json_)).status == 200

    run(scenario())
