"""An issuer's keys: which are taken, when they are read again, and what happens while they cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conductor import jwks
from gateway.conductor.identity import Known, Refusal
from gateway.conductor.jwks import FILE_AGE, KEYS_LIMIT, SET_LIMIT, URL_PAUSE, parse_jwks
from gateway.conductor.jwt_tokens import JwtVerifier, jwt_verifier
from gateway.config.accounts import JwtConfig
from gateway.net.client import Client
from gateway.observe.logs import Log
from tests.conductor.accounts import NOW
from tests.conductor.issuer import Issuer, KeyServer, key_server, new_key, public_jwk
from tests.conftest import run

MAX_AGE = 3600.0


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    yield Issuer()


class Rig:
    """A verifier with keys from somewhere; `now` may be moved."""

    def __init__(self, config: JwtConfig, client: Client) -> None:
        self.now = NOW
        self.lines: list[dict[str, Any]] = []
        self.log = Log(write=lambda data: self.lines.extend(map(json.loads, data.splitlines())), human=False)
        verifier = jwt_verifier(config, client, self.log, lambda: self.now)
        assert isinstance(verifier, JwtVerifier)
        self._verifier = verifier

    async def status(self, token: str) -> int:
        """200 for one that is believed."""
        verdict = await self._verifier.verify(token.encode())
        if isinstance(verdict, Refusal):
            return verdict.status
        assert isinstance(verdict, Known)
        return 200

    def token(self, issuer: Issuer, algorithm: str = "RS256", **header: object) -> str:
        return issuer.sign({"sub": "ann", "exp": self.now + 60}, algorithm, **header)


async def with_url(server: KeyServer, client: Client) -> Rig:
    return Rig(JwtConfig(jwks_url=server.url, jwks_max_age=MAX_AGE), client)


def test_keys_are_read_from_a_url_once_for_many_at_once(issuer: Issuer) -> None:
    async def scenario() -> None:
        client = Client()
        async with key_server(issuer.document()) as server:
            rig = await with_url(server, client)
            tokens = [rig.token(issuer, algorithm) for algorithm in ("RS256", "ES256", "EdDSA")] * 20
            assert set(await asyncio.gather(*map(rig.status, tokens))) == {200}
            assert server.asked == 1
            await client.close()

    run(scenario())


def test_a_new_key_is_found_when_a_token_names_it_and_the_old_one_is_gone_then(issuer: Issuer) -> None:
    async def scenario() -> None:
        client, successor = Client(), Issuer()
        async with key_server(issuer.document()) as server:
            rig = await with_url(server, client)
            assert await rig.status(rig.token(issuer)) == 200
            server.body = successor.document().replace(b'"RS256"', b'"new"')
            assert await rig.status(rig.token(successor, kid="new")) == 401  # they were read a moment ago
            rig.now += URL_PAUSE
            assert await rig.status(rig.token(successor, kid="new")) == 200
            assert await rig.status(rig.token(issuer)) == 401
            assert server.asked == 2
            await client.close()

    run(scenario())


def test_a_flood_of_unknown_kids_is_no_load_for_the_issuer(issuer: Issuer) -> None:
    async def scenario() -> None:
        client = Client()
        async with key_server(issuer.document()) as server:
            rig = await with_url(server, client)
            for second in range(0, 90, 3):
                rig.now = NOW + second
                for number in range(3):
                    assert await rig.status(rig.token(issuer, kid=f"{second} {number}")) == 401
            assert server.asked == 3
            await client.close()

    run(scenario())


def test_old_keys_are_read_again_in_the_background(issuer: Issuer) -> None:
    async def scenario() -> None:
        client = Client()
        async with key_server(issuer.document()) as server:
            rig = await with_url(server, client)
            assert await rig.status(rig.token(issuer)) == 200
            rig.now += MAX_AGE
            server.stall = True
            assert await rig.status(rig.token(issuer)) == 200  # nobody waits for the issuer
            while server.asked != 2:
                await asyncio.sleep(0)
            await client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""), (404, b"{}"), (302, b"{}"), (200, b"no JSON"), (200, b"[]"), (200, b'{"keys": []}'),
        (200, b'{"keys": {}}'), (200, b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
        (200, b'{"keys": ["' + b"x" * SET_LIMIT + b'"]}'),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_while_an_issuer_gives_nothing_of_use_the_keys_that_there_are_stay(
    issuer: Issuer, status: int, body: bytes
) -> None:
    async def scenario() -> None:
        client = Client()
        async with key_server(body) as server:
            server.status = status
            rig = await with_url(server, client)
            assert await rig.status(rig.token(issuer)) == 503  # never a wrong 401
            server.status, server.body = 200, issuer.document()
            rig.now += URL_PAUSE
            assert await rig.status(rig.token(issuer)) == 200
            server.status, server.body = status, body
            rig.now += MAX_AGE
            assert await rig.status(rig.token(issuer, kid="unknown")) == 401
            assert await rig.status(rig.token(issuer)) == 200
            rig.log.close()  # lines are written by a thread of its own
            assert [line["event"] for line in rig.lines] == ["jwks_failed", "jwks_read", "jwks_failed"]
            await client.close()

    run(scenario())


def test_an_issuer_that_does_not_answer_is_waited_for_a_while(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "READ_SECONDS", 0.05)

    async def scenario() -> None:
        client = Client()
        async with key_server(issuer.document()) as server:
            server.stall = True
            rig = await with_url(server, client)
            assert await rig.status(rig.token(issuer)) == 503
            await client.close()

    run(scenario())


def test_nobody_at_the_address_is_no_reason_for_a_401(issuer: Issuer) -> None:
    async def scenario() -> None:
        client = Client()
        async with key_server(b"") as server:
            rig = await with_url(server, client)
        assert await rig.status(rig.token(issuer)) == 503
        await client.close()

    run(scenario())


def test_a_file_is_read_again_when_it_has_changed(issuer: Issuer, tmp_path: Path) -> None:
    async def scenario() -> None:
        successor, path = Issuer(), tmp_path / "keys.json"
        rig = Rig(JwtConfig(jwks_file=str(path)), Client())
        assert await rig.status(rig.token(issuer)) == 503
        path.write_bytes(issuer.document())
        rig.now += 1
        assert await rig.status(rig.token(issuer)) == 200
        path.write_bytes(successor.document())
        rig.now += FILE_AGE
        assert await rig.status(rig.token(issuer)) == 200  # the file is only being read
        while len(rig.lines) < 3:
            await asyncio.sleep(0)
        assert await rig.status(rig.token(issuer)) == 401
        assert await rig.status(rig.token(successor)) == 200
        path.write_bytes(b"x" * (SET_LIMIT + 1))
        rig.now += FILE_AGE
        assert await rig.status(rig.token(successor)) == 200

    run(scenario())


def entries(issuer: Issuer) -> dict[str, dict[str, Any]]:
    return {name: public_jwk(name, key, kid=name) for name, key in issuer.keys.items()}


@pytest.mark.parametrize(
    ("algorithm", "change"),
    [
        ("RS256", {"use": "enc"}),
        ("RS256", {"key_ops": ["sign"]}),
        ("RS256", {"key_ops": "verify"}),
        ("RS256", {"alg": "RS512"}),
        ("RS256", {"alg": "HS256"}),
        ("RS256", {"kty": "oct", "k": "c2VjcmV0"}),
        ("RS256", {"n": 7}),
        ("RS256", {"n": "!"}),
        ("RS256", {"e": None}),
        ("RS256", {"kid": 7}),
        ("ES256", {"crv": "P-384"}),
        ("ES256", {"crv": "secp256k1"}),
        ("ES256", {"y": "AAAA"}),
        ("ES256", {"x": "A" * 43}),
        ("EdDSA", {"crv": "Ed448"}),
        ("EdDSA", {"crv": "X25519"}),
        ("EdDSA", {"x": "AAAA"}),
    ],
    ids=str,
)
def test_a_key_that_is_not_for_us_is_left_out(issuer: Issuer, algorithm: str, change: dict[str, Any]) -> None:
    known = entries(issuer)
    keys = parse_jwks(json.dumps({"keys": [{**known[algorithm], **change}, *known.values()]}).encode())
    assert {name: len(found) for name, found in keys.items()} == {"RS256": 1, "ES256": 1, "EdDSA": 1}


def test_a_short_rsa_key_is_left_out(issuer: Issuer) -> None:
    short = public_jwk("RS256", new_key("RS256", 1024))
    with pytest.raises(ValueError, match="2048"):
        parse_jwks(json.dumps({"keys": [short]}).encode())


def test_of_a_private_key_only_its_public_half_is_taken(issuer: Issuer) -> None:
    private = jwt.algorithms.RSAAlgorithm.to_jwk(issuer.keys["RS256"], as_dict=True)
    ((_, key),) = parse_jwks(json.dumps({"keys": [private | {"key_ops": ["sign", "verify"]}]}).encode())["RS256"]
    assert not hasattr(key, "private_numbers")


def test_the_keys_of_a_set_are_bounded(issuer: Issuer) -> None:
    many = [entries(issuer)["EdDSA"]] * (KEYS_LIMIT + 1)
    assert len(parse_jwks(json.dumps({"keys": many}).encode())["EdDSA"]) == KEYS_LIMIT


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["keys", "kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "RSA", "EC"]), x
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_a_set_or_is_not_and_breaks_nothing(value: object) -> None:
    for document in (
        value,
        {"keys": [value, {"kty": "RSA", "n": value, "e": "AQAB"}, {"kty": "EC", "crv": "P-256", "x": value}]},
    ):
        with pytest.raises(ValueError):
            parse_jwks(json.dumps(document).encode())
