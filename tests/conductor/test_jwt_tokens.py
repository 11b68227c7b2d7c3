"""JSON Web Tokens: which are believed, what they say of their bearer, and which are refused in spite of all tricks."""

from __future__ import annotations

import base64
import hmac
import json
import sys
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from gateway.conductor.identity import Known, Refusal, Verdict
from gateway.conductor.jwks import Jwks
from gateway.conductor.jwt_tokens import JwtVerifier, algorithms_of, sign
from gateway.config.accounts import JwtClaimsConfig, JwtConfig, RateLimits
from gateway.errors import GatewayError, StartError
from gateway.observe.logs import Log
from gateway.secret import Secret
from gateway.store.accounts import UserRow
from tests.conductor.accounts import NOW, accounts
from tests.conductor.issuer import Issuer, forged, new_key
from tests.conftest import run

SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
OTHER = "x" * 64
CONFIG = JwtConfig(secret=Secret(SECRET), issuer="us", audience=("gateway", "backup"))
CLAIMS = {"sub": "ann", "iss": "us", "aud": "gateway", "exp": NOW + 600}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    yield Issuer()


def keys_of(issuer: Issuer) -> Jwks:
    async def read() -> bytes:
        return issuer.document()

    return Jwks(read, "here", 60.0, 30.0, Log(write=lambda lines: None, human=False), lambda: NOW)


def verify(token: str | bytes, config: JwtConfig = CONFIG, keys: Jwks | None = None, now: float = NOW) -> Verdict:
    credential = token.encode() if isinstance(token, str) else token
    return run(JwtVerifier(config, keys, lambda: now).verify(credential))


def hs(claims: dict[str, Any], key: str | bytes = SECRET, algorithm: str = "HS256", **header: object) -> str:
    return jwt.encode(claims, key, algorithm, header or None)


def changed(**claims: object) -> dict[str, Any]:
    """The good claims, with others; None takes one out."""
    return {name: value for name, value in (CLAIMS | claims).items() if value is not None}


# -- what is believed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_signed_with_the_secret_is_believed_until_it_expires(algorithm: str) -> None:
    config = JwtConfig(secret=Secret(SECRET), algorithms=(algorithm,), issuer="us", audience=("gateway",), leeway=5)
    verdict = verify(hs(changed(nbf=NOW - 10), algorithm=algorithm), config)
    assert isinstance(verdict, Known)
    assert (verdict.identity.user, verdict.identity.token) == ("ann", "jwt") and verdict.identity.scopes == {"use"}
    assert (verdict.since, verdict.until) == (NOW - 15, NOW + 605)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("named", [True, False])
def test_a_token_signed_by_the_issuer_is_believed_until_its_keys_are_old(
    issuer: Issuer, algorithm: str, named: bool
) -> None:
    config = JwtConfig(jwks_url="https://there", issuer="us", audience=("gateway",))
    token = issuer.sign(CLAIMS, algorithm) if named else jwt.encode(CLAIMS, issuer.keys[algorithm], algorithm)
    verdict = verify(token, config, keys_of(issuer))
    assert isinstance(verdict, Known) and verdict.until == NOW + 60


@pytest.mark.parametrize(
    ("claims", "field", "value"),
    [
        ({"scope": "openid profile admin read"}, "scopes", {"use"}),  # an issuer's words are not ours
        ({"scope": ["use", "admin"]}, "scopes", {"use"}),
        ({"scope": "openid"}, "scopes", {"use"}),
        ({"scope": ""}, "scopes", {"use"}),
        ({"scope": []}, "scopes", {"use"}),
        ({"models": ["gpt-4o", "gpt-4o-mini"]}, "models", {"gpt-4o", "gpt-4o-mini"}),
        ({"models": "gpt-4o gpt-4o-mini"}, "models", {"gpt-4o", "gpt-4o-mini"}),
        ({"models": None}, "models", frozenset()),
        ({"providers": ["main"]}, "providers", {"main"}),
        ({"limits": {"requests_per_minute": 5}}, "limits", RateLimits(requests_per_minute=5)),
        ({"sub": "auth0|5f7c"}, "user", "auth0|5f7c"),
        ({"aud": ["other", "backup"]}, "user", "ann"),
        ({"iat": NOW + 10}, "user", "ann"),  # within the leeway
        ({"nbf": NOW + 10}, "user", "ann"),
        ({"exp": NOW - 9}, "user", "ann"),
        ({"exp": NOW + 0.5}, "user", "ann"),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_claims_say_who_it_is_and_what_he_may(claims: dict[str, Any], field: str, value: object) -> None:
    verdict = verify(hs({**CLAIMS, **claims}))
    assert isinstance(verdict, Known), verdict
    assert getattr(verdict.identity, field) == value


@pytest.mark.parametrize(
    ("allowed", "said", "granted"),
    [
        (("use", "read", "admin"), "openid use read profile", {"use", "read"}),
        (("use", "read", "admin"), ["admin"], {"admin"}),
        (("use", "read"), "read admin", {"read"}),
        (("use", "read"), "admin", {"use"}),
        (("read",), "use read", {"read"}),
        (("read",), "use", None),
        (("read",), None, None),
    ],
)
def test_a_token_is_for_no_more_than_the_configuration_allows(
    allowed: tuple[str, ...], said: object, granted: Set[str] | None
) -> None:
    config = JwtConfig(secret=Secret(SECRET), issuer="us", audience=("gateway",), scopes=allowed)
    verdict = verify(hs(changed(scope=said)), config)
    if isinstance(verdict, Known):
        assert verdict.identity.scopes == granted
    else:
        assert (verdict.status, granted) == (403, None)


def test_the_users_of_tokens_are_kept_apart_by_a_prefix() -> None:
    config = JwtConfig(secret=Secret(SECRET), user_prefix="sso/")
    for token in (hs({"sub": "ann", "exp": NOW + 60}), sign(config, NOW, 60, user="sso/ann")):
        verdict = verify(token, config)
        assert isinstance(verdict, Known) and verdict.identity.user == "sso/ann"
    assert isinstance(verify(hs({"sub": "a" * 196, "exp": NOW + 60}), config), Known)
    assert isinstance(verify(hs({"sub": "a" * 197, "exp": NOW + 60}), config), Refusal)
    assert isinstance(verify(hs({"sub": " ann", "exp": NOW + 60}), config), Refusal)
    for user in ("ann", "sso/", "sso/ ann"):
        with pytest.raises(GatewayError, match="no JWT is of"):
            sign(config, NOW, 60, user=user)


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("uid", {"uid": 12345}),
        ("account.id", {"account": {"id": "12345"}}),
        ("account.id", {"account.id": "12345"}),
        ("https://us.example/user", {"https://us.example/user": "12345"}),
    ],
)
def test_a_claim_may_have_another_name_and_lie_in_an_object(name: str, claims: dict[str, Any]) -> None:
    config = JwtConfig(secret=Secret(SECRET), claims=JwtClaimsConfig(user=name))
    verdict = verify(hs({"exp": NOW + 60, **claims}), config)
    assert isinstance(verdict, Known) and verdict.identity.user == "12345"


# -- what is not ---------------------------------------------------------------------------------------------------

LONG = 10 * 1024


def deep(levels: int = 1500) -> bytes:
    return b'{"sub":' + b"[" * levels + b"]" * levels + b"}"


def signed(header: dict[str, Any], claims: Any, key: bytes = SECRET.encode()) -> str:
    """Rightly signed with the secret, whatever the header says."""
    unsigned = forged(header, claims).rpartition(".")[0]
    signature = hmac.digest(key, unsigned.encode(), "sha256")
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


HS = {"alg": "HS256", "typ": "JWT"}

FORGED: dict[str, Callable[[], str | bytes]] = {
    "expired": lambda: hs(changed(exp=NOW - 11)),
    "without expiry": lambda: hs(changed(exp=None)),
    "expiry that is a text": lambda: hs(changed(exp="tomorrow")),
    "expiry that is true": lambda: signed(HS, changed(exp=True)),
    "expiry that is endless": lambda: signed(HS, json.dumps(CLAIMS).replace(str(NOW + 600), "Infinity").encode()),
    "expiry that is no number": lambda: signed(HS, json.dumps(CLAIMS).replace(str(NOW + 600), "NaN").encode()),
    "expiry of a thousand digits": lambda: signed(HS, json.dumps(CLAIMS).replace(str(NOW + 600), "9" * 1000).encode()),
    "not yet valid": lambda: hs(changed(nbf=NOW + 11)),
    "issued in the future": lambda: hs(changed(iat=NOW + 11)),
    "another audience": lambda: hs(changed(aud="elsewhere")),
    "other audiences": lambda: hs(changed(aud=["elsewhere", "nowhere"])),
    "without audience": lambda: hs(changed(aud=None)),
    "audience that is a number": lambda: signed(HS, changed(aud=7)),
    "another issuer": lambda: hs(changed(iss="them")),
    "without issuer": lambda: hs(changed(iss=None)),
    "issuer that is a list": lambda: signed(HS, changed(iss=["us"])),
    "without user": lambda: hs(changed(sub=None)),
    "empty user": lambda: hs(changed(sub="")),
    "user with spaces around": lambda: hs(changed(sub=" ann")),
    "user with a line feed": lambda: hs(changed(sub="ann\nbob")),
    "user that is an object": lambda: signed(HS, changed(sub={"name": "ann"})),
    "endless user": lambda: hs(changed(sub="a" * 201)),
    "scopes that are a number": lambda: hs(changed(scope=7)),
    "models that are numbers": lambda: hs(changed(models=[7])),
    "limits that are a list": lambda: hs(changed(limits=[7])),
    "limits of another name": lambda: hs(changed(limits={"rpm": 7})),
    "negative limits": lambda: hs(changed(limits={"concurrency": -1})),
    "another secret": lambda: hs(CLAIMS, OTHER),
    "changed claims": lambda: ".".join(
        [hs(CLAIMS).split(".")[0], hs(changed(sub="root")).split(".")[1], hs(CLAIMS).split(".")[2]]
    ),
    "no signature": lambda: hs(CLAIMS).rpartition(".")[0] + ".",
    "alg none": lambda: forged({"alg": "none"}, CLAIMS),
    "alg none, signed": lambda: signed({"alg": "none"}, CLAIMS),
    "alg None": lambda: forged({"alg": "NoNe"}, CLAIMS),
    "alg empty": lambda: signed({"alg": ""}, CLAIMS),
    "alg missing": lambda: signed({}, CLAIMS),
    "alg a list": lambda: signed({"alg": ["HS256"]}, CLAIMS),
    "alg null": lambda: signed({"alg": None}, CLAIMS),
    "alg in small letters": lambda: signed({"alg": "hs256"}, CLAIMS),
    "alg that is not configured": lambda: hs(CLAIMS, algorithm="HS512"),
    "alg of another family": lambda: signed({"alg": "RS256"}, CLAIMS),
    "alg twice": lambda: signed({}, CLAIMS).replace(
        forged({}, {}).split(".")[0], base64.urlsafe_b64encode(b'{"alg":"none","alg":"HS256"}').rstrip(b"=").decode(), 1
    ),
    "critical extension": lambda: signed({**HS, "crit": ["exp"]}, CLAIMS),
    "payload beside the token": lambda: signed({**HS, "b64": False, "crit": ["b64"]}, CLAIMS),
    "kid that is a number": lambda: signed({**HS, "kid": 7}, CLAIMS),
    "kid that is an object": lambda: signed({**HS, "kid": {}}, CLAIMS),
    "header that is a list": lambda: signed(["alg"], CLAIMS),  # type: ignore[arg-type]
    "header of deep lists": lambda: base64.urlsafe_b64encode(deep()).decode() + "." + hs(CLAIMS).partition(".")[2],
    "claims that are a list": lambda: signed(HS, ["ann"]),
    "claims of deep lists": lambda: signed(HS, deep()),
    "claims that are no JSON": lambda: signed(HS, b"\xff{"),
    "two dots": lambda: "..",
    "text with dots": lambda: "sk.any.thing",
    "not even ASCII": lambda: "é.ü.ß",
    "zero bytes": lambda: b"\x00.\x00.\x00",
    "a megabyte": lambda: "a" * 400_000 + "." + "b" * 400_000 + "." + "c" * 200_000,
    "a megabyte of claims": lambda: hs(changed(scope="x" * 1_000_000), OTHER),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(name: str) -> None:
    verdict = verify(FORGED[name]())
    assert isinstance(verdict, Refusal), verdict
    assert (verdict.status, verdict.code, verdict.lasting) == (401, "invalid_api_key", False)


KIDS = [
    "../../etc/passwd",
    "' OR 1=1 --",
    "k" * LONG,
    "\0",
    "/dev/null",
    "RS256\0",
    "https://evil.example/keys",
    "",
    " ",
]


@pytest.mark.parametrize("kid", KIDS, ids=lambda kid: kid[:20])
def test_a_kid_chooses_among_the_keys_that_are_here_and_leads_nowhere(issuer: Issuer, kid: str) -> None:
    config = JwtConfig(jwks_url="https://there", issuer="us", audience=("gateway",))
    mine = new_key("RS256")
    verdict = verify(jwt.encode(CLAIMS, mine, "RS256", {"kid": kid}), config, keys_of(issuer))
    assert isinstance(verdict, Refusal) and verdict.status == 401
    empty = base64.urlsafe_b64encode(b"").decode()
    for key in (b"", empty.encode()):  # what a file that is empty, or is not there, would have as a key
        assert isinstance(verify(signed({**HS, "kid": kid}, CLAIMS, key or b"\0"), keys=keys_of(issuer)), Refusal)


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "x5c"])
def test_a_token_that_brings_its_key_is_not_believed(issuer: Issuer, header: str) -> None:
    mine = Issuer()
    brought: dict[str, Any] = {
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/cert",
        "jwk": json.loads(mine.document())["keys"][0],
        "x5c": ["MIIB"],
    }
    config = JwtConfig(jwks_url="https://there", issuer="us", audience=("gateway",))
    for kid in ({}, {"kid": "unknown"}):
        token = jwt.encode(CLAIMS, mine.keys["RS256"], "RS256", {header: brought[header], **kid})
        assert isinstance(verify(token, config, keys_of(issuer)), Refusal)


def test_a_public_key_is_no_secret(issuer: Issuer) -> None:
    """The confusion of families: whoever knows the public key signs with it as if it were a secret."""
    config = JwtConfig(
        secret=Secret(SECRET),
        jwks_url="https://there",
        algorithms=("HS256", "RS256"),
        issuer="us",
        audience=("gateway",),
    )
    public = issuer.keys["RS256"].public_key()
    formats = (serialization.Encoding.PEM, serialization.Encoding.DER)
    shapes = [public.public_bytes(each, serialization.PublicFormat.SubjectPublicKeyInfo) for each in formats]
    for key in (*shapes, issuer.document()):
        for kid in ({}, {"kid": "RS256"}):
            assert isinstance(verify(signed({**HS, **kid}, CLAIMS, key), config, keys_of(issuer)), Refusal)
    assert isinstance(verify(issuer.sign(CLAIMS), config, keys_of(issuer)), Known)


def test_a_key_of_one_family_verifies_no_other(issuer: Issuer) -> None:
    config = JwtConfig(jwks_url="https://there", algorithms=("RS256",), issuer="us", audience=("gateway",))
    assert isinstance(verify(issuer.sign(CLAIMS, "ES256"), config, keys_of(issuer)), Refusal)
    assert isinstance(verify(issuer.sign(CLAIMS, "ES256", kid="RS256"), config, keys_of(issuer)), Refusal)


def test_an_audience_is_refused_where_none_is_configured() -> None:
    config = JwtConfig(secret=Secret(SECRET))
    assert isinstance(verify(hs(CLAIMS), config), Refusal)
    assert isinstance(verify(hs(changed(aud=None, iss="anybody")), config), Known)


def test_a_token_for_no_model_is_for_nothing_not_for_all() -> None:
    claims: dict[str, Any]
    for claims in ({"models": []}, {"providers": " "}):
        verdict = verify(hs({**CLAIMS, **claims}))
        assert isinstance(verdict, Refusal) and verdict.status == 403


@given(st.lists(st.binary(max_size=60), min_size=3, max_size=3))
def test_random_parts_are_refused(parts: list[bytes]) -> None:
    for token in (b".".join(parts), b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)):
        assert isinstance(verify(token), Refusal)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
CLAIM_NAMES = ("sub", "exp", "nbf", "iat", "iss", "aud", "scope", "models", "providers", "limits", "jti")


@given(st.dictionaries(st.sampled_from(CLAIM_NAMES), json_values, max_size=6))
def test_random_claims_rightly_signed_are_believed_or_refused_and_break_nothing(claims: dict[str, Any]) -> None:
    verdict = verify(signed(HS, {**CLAIMS, **claims}))
    if isinstance(verdict, Known):
        assert verdict.since <= NOW < verdict.until and verdict.identity.user


@given(st.dictionaries(st.sampled_from(("alg", "kid", "typ", "crit", "b64", "zip", "enc", "jku")), json_values))
def test_random_headers_break_nothing(header: dict[str, Any]) -> None:
    verdict = verify(signed(header, CLAIMS))
    assert isinstance(verdict, Refusal) or header.get("alg") == "HS256"


# -- what is signed here -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        JwtConfig(secret=Secret(SECRET), issuer="us", audience=("gateway",), scopes=("use", "read")),
        JwtConfig(secret=Secret(SECRET), algorithms=("HS512", "HS256"), scopes=("use", "read")),
        JwtConfig(
            secret=Secret(SECRET),
            scopes=("use", "read"),
            claims=JwtClaimsConfig(
                "account.id", "realm.roles", "can.providers", "https://us.example/models", "can.limits"
            ),
        ),
    ],
    ids=["plain", "HS512", "claims"],
)
def test_what_is_signed_here_is_believed_here(config: JwtConfig) -> None:
    limits = RateLimits(requests_per_minute=5)
    token = sign(
        config, NOW, 60, user="ann", scopes=("use", "read"), providers=["main"], models=["m"], limits=limits.named()
    )
    verdict = verify(token, config)
    assert isinstance(verdict, Known), verdict
    who = verdict.identity
    assert who.user == "ann" and who.scopes == {"use", "read"} and who.providers == {"main"} and who.models == {"m"}
    assert (who.limits, verdict.until) == (limits, NOW + 60 + config.leeway)


def test_no_scope_is_signed_that_nobody_would_believe() -> None:
    with pytest.raises(GatewayError, match="'admin'") as caught:
        sign(CONFIG, NOW, 60, user="ann", scopes=("use", "admin"))
    assert "auth.jwt.scopes" in caught.value.hint


def test_without_a_secret_nothing_is_signed() -> None:
    with pytest.raises(GatewayError, match="no secret"):
        sign(JwtConfig(jwks_url="https://there"), NOW, 60, user="ann")


@pytest.mark.parametrize(
    ("config", "algorithms"),
    [
        (JwtConfig(secret=Secret(SECRET)), ("HS256",)),
        (JwtConfig(jwks_file="f"), ("RS256", "ES256", "EdDSA")),
        (JwtConfig(secret=Secret(SECRET), jwks_url="u"), ("HS256", "RS256", "ES256", "EdDSA")),
        (JwtConfig(secret=Secret(SECRET), jwks_url="u", algorithms=("ES256",)), ("ES256",)),
    ],
)
def test_algorithms_follow_from_the_keys_unless_they_are_named(config: JwtConfig, algorithms: tuple[str, ...]) -> None:
    assert algorithms_of(config) == algorithms


# -- and remembered ------------------------------------------------------------------------------------------------


def verifier() -> JwtVerifier:
    return JwtVerifier(JwtConfig(secret=Secret(SECRET), leeway=0), None, lambda: NOW)


def test_a_believed_token_is_remembered_until_it_expires_and_not_before_it_is_valid(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path, jwt=verifier()) as place:
            token = hs({"sub": "ann", "exp": NOW + 60, "nbf": NOW - 5})
            assert (await place.who(token)).user == "ann"
            assert (place.remembered(token) is not None, place.reads) == (True, 1)
            place.now = NOW + 60
            assert place.remembered(token) is None
            place.now = NOW - 6  # the clock was set back
            assert place.remembered(token) is None

    run(scenario())


def test_the_user_of_a_token_has_limits_of_his_own_or_is_disabled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path, jwt=verifier()) as place:
            token = hs({"sub": "ann", "exp": NOW + 60, "limits": {"concurrency": 9}})
            assert (await place.who(token)).limits == RateLimits(concurrency=9)
            await place.store.create_user(UserRow("ann", 1.0, limits=RateLimits(concurrency=2)))
            assert (await place.who(token)).limits == RateLimits(concurrency=2)
            await place.store.change_user("ann", disabled=True)
            assert await place.refusal(token) == (403, "permission_denied")

    run(scenario())


def test_while_the_database_is_away_a_believed_token_waits_for_its_user_and_a_forged_one_does_not(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path, jwt=verifier()) as place:
            known, unseen = hs({"sub": "ann", "exp": NOW + 60}), hs({"sub": "bob", "exp": NOW + 60})
            await place.who(known)
            await place.database.close()
            assert (await place.who(known)).user == "ann"
            assert await place.refusal(unseen) == (503, "store_unavailable")
            assert await place.refusal(hs({"sub": "bob", "exp": NOW + 60}, OTHER)) == (401, "invalid_api_key")

    run(scenario())


def test_with_auth_off_a_forged_token_is_nobodys(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path, jwt=verifier(), required=False) as place:
            assert (await place.who(hs({"sub": "ann", "exp": NOW + 60}, OTHER))).user == "10.0.0.9"
            assert (await place.who(hs({"sub": "ann", "exp": NOW + 60}))).user == "ann"

    run(scenario())


def test_without_pyjwt_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(StartError) as caught:
        JwtVerifier(CONFIG, None, lambda: NOW)
    assert caught.value.hint == "pip install 'llmgateway[jwt]'"
